//! A table in which everything stands beside its peer and its goal.

use serde::Serialize;

use super::Figures;
use crate::report::median;

/// What is asked of ours.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) enum Goal {
    /// At least so many times this peer's figure.
    Times(&'static str, f64),
    /// Ours is at most this.
    AtMost(f64),
    /// Ours is less than this.
    Below(f64),
    /// Nothing; the figure explains others.
    None,
}

/// One thing that was measured.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    what: String,
    goal: Goal,
    /// Digits after the point.
    #[serde(skip)]
    digits: usize,
    /// Ours first.
    figures: Vec<Figures>,
}

impl Row {
    /// Prints and keeps it.
    pub(super) fn add(
        rows: &mut Vec<Self>,
        what: String,
        digits: usize,
        goal: Goal,
        figures: Vec<Figures>,
    ) {
        let row = Self { what, goal, digits, figures };
        row.print();
        rows.push(row);
    }

    fn print(&self) {
        let Some((ours, peers)) = self.figures.split_first() else {
            return;
        };
        if peers.is_empty() {
            self.print_line(ours, None);
        }
        for (nth, peer) in peers.iter().enumerate() {
            self.print_line(ours, Some((nth, peer)));
        }
    }

    /// Ours beside one peer; what is ours alone stands in the first line only.
    fn print_line(&self, ours: &Figures, peer: Option<(usize, &Figures)>) {
        let first = peer.is_none_or(|(nth, _)| nth == 0);
        let what = if first { self.what.as_str() } else { "" };
        let own = if first { self.shown(ours) } else { String::new() };
        print!("{what:<40} {own:>22}  ");
        let peer = peer.map(|(_, peer)| peer);
        match peer {
            Some(peer) => {
                let ratio = ratio(ours, peer).map_or("-".to_owned(), |r| format!("{r:.2}"));
                print!("{:<10} {:>22} {ratio:>9}  ", peer.core, self.shown(peer));
            }
            None => print!("{:<10} {:>22} {:>9}  ", "-", "-", "-"),
        }
        let (goal, reached) = self.verdict(ours, peer, first);
        let verdict = match reached {
            Some(true) => "reached",
            Some(false) => "not reached",
            None => "",
        };
        println!("{}", format!("{goal:<10} {verdict}").trim_end());
    }

    /// The median and, if there was more than one round, the range.
    fn shown(&self, figures: &Figures) -> String {
        let (digits, middle) = (self.digits, figures.median());
        if figures.rounds.len() < 2 {
            return format!("{middle:.digits$}");
        }
        let (low, high) = figures.range();
        format!("{middle:.digits$} ({low:.digits$}..{high:.digits$})")
    }

    /// The goal in words and whether it is reached, in the line where it belongs.
    fn verdict(
        &self,
        ours: &Figures,
        peer: Option<&Figures>,
        first: bool,
    ) -> (String, Option<bool>) {
        let digits = self.digits;
        let figure = ours.median();
        match self.goal {
            Goal::Times(whom, times) => match peer.filter(|peer| peer.core == whom) {
                Some(peer) => {
                    let reached = ratio(ours, peer).is_some_and(|ratio| ratio >= times);
                    (format!(">= {times}"), Some(reached))
                }
                None if peer.is_none() => (format!(">= {times} x {whom}"), None),
                None => (String::new(), None),
            },
            Goal::AtMost(most) if first => (format!("<= {most:.digits$}"), Some(figure <= most)),
            Goal::Below(end) if first => (format!("< {end:.digits$}"), Some(figure < end)),
            _ => (String::new(), None),
        }
    }
}

/// The median of the ratios, each within one round; nothing beside a peer of zero.
fn ratio(ours: &Figures, peer: &Figures) -> Option<f64> {
    let pairs = ours.rounds.iter().zip(&peer.rounds);
    let ratio = median(pairs.map(|(ours, peer)| ours / peer));
    ratio.is_finite().then_some(ratio)
}

/// Prints the heading.
pub(super) fn print_head() {
    println!(
        "{:<40} {:>22}  {:<10} {:>22} {:>9}  {:<10} verdict",
        "what", "ours", "peer", "its figure", "ours/peer", "goal"
    );
}

/// Prints what the figures mean, and how many goals are reached.
pub(super) fn print_notes(rows: &[Row]) {
    let verdicts: Vec<bool> = rows.iter().flat_map(Row::verdicts).collect();
    let reached = verdicts.iter().filter(|reached| **reached).count();
    println!();
    println!("M/s: million entries per second, committed and handed over on all three replicas;");
    println!("more is better, of all else less. Allocations are those of the replicas: commands");
    println!("are slices of one buffer and cost none. ns: of all three replicas of a group, per");
    println!(
        "tick, a heartbeat every 10 ticks (omnipaxos: every 100). omnipaxos*: with batch_size,"
    );
    println!("it holds commands back until a batch is full. Details: bench/README.md");
    println!("goals reached: {reached} of {}", verdicts.len());
}

impl Row {
    fn verdicts(&self) -> Vec<bool> {
        let Some((ours, peers)) = self.figures.split_first() else {
            return Vec::new();
        };
        let lone = std::iter::once(None).filter(|_| peers.is_empty());
        let lines = lone.chain(peers.iter().map(Some)).enumerate();
        lines.filter_map(|(nth, peer)| self.verdict(ours, peer, nth == 0).1).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(goal: Goal, figures: &[(&'static str, &[f64])]) -> Row {
        let of = |&(core, rounds): &(&'static str, &[f64])| Figures { core, rounds: rounds.into() };
        let figures = figures.iter().map(of).collect();
        Row { what: "x".to_owned(), goal, digits: 1, figures }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // A machine of half the speed in the second round changes no ratio.
        let row = row(Goal::Times("b", 2.0), &[("a", &[4.0, 2.0, 4.2]), ("b", &[2.0, 1.0, 2.0])]);
        assert_eq!(ratio(&row.figures[0], &row.figures[1]), Some(2.0));
        assert_eq!(row.verdicts(), [true]);
        assert_eq!(row.shown(&row.figures[1]), "2.0 (1.0..2.0)");
    }

    #[test]
    fn a_goal_has_one_verdict() {
        let figures: &[(&'static str, &[f64])] = &[("a", &[5.0]), ("b", &[2.0]), ("c", &[9.0])];
        assert_eq!(row(Goal::Times("c", 2.0), figures).verdicts(), [false]);
        assert_eq!(row(Goal::AtMost(5.0), figures).verdicts(), [true]);
        assert_eq!(row(Goal::Below(5.0), figures).verdicts(), [false]);
        assert_eq!(row(Goal::None, figures).verdicts(), [true; 0]);
        assert_eq!(
            row(Goal::Times("c", 2.0), &figures[..1]).verdicts(),
            [true; 0],
            "nobody to compare"
        );
        assert_eq!(row(Goal::Below(6.0), &figures[..1]).verdicts(), [true]);
    }
}
