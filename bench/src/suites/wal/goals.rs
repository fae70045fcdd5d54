//! What was to be reached, and whether it was.

use serde::Serialize;

use super::recovery::{self, Reopened};
use super::sample::{Cell, Sample, cells, figures, middle, ratio};
use super::table::shape;
use crate::logs::{DISK, OKAYWAL, OURS, RAFT_ENGINE};

/// Batches from this size on are large, in bytes.
const LARGE_BATCH: usize = 256 << 10;
/// The throughput at which processors are compared, in bytes per second.
const CPU_RATE: f64 = 500e6;

/// On which side of the figure that was asked for the measured one must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Need {
    AtLeast,
    AtMost,
}

/// One goal beside what was measured.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Goal {
    what: String,
    need: Need,
    asked: f64,
    found: f64,
    reached: bool,
}

#[derive(Default)]
struct Goals(Vec<Goal>);

impl Goals {
    /// Adds a goal if there is a figure to hold against it.
    fn add(&mut self, what: String, need: Need, asked: f64, found: Option<f64>) {
        if let Some(found) = found {
            let reached = match need {
                Need::AtLeast => found >= asked,
                Need::AtMost => found <= asked,
            };
            self.0.push(Goal { what, need, asked, found, reached });
        }
    }
}

/// Holds everything that was measured against what was to be reached; medians decide.
pub(super) fn judge(append: &[Sample], stall: &[Sample], recovery: &[Reopened]) -> Vec<Goal> {
    let mut goals = Goals::default();
    for cell in cells(append) {
        judge_cell(append, cell, &mut goals);
    }
    judge_processors(append, &mut goals);
    judge_stall(stall, &mut goals);
    let mut payloads: Vec<usize> = recovery.iter().map(|r| r.payload).collect();
    payloads.dedup();
    for payload in payloads {
        judge_recovery(recovery, payload, &mut goals);
    }
    goals.0
}

fn judge_cell(samples: &[Sample], cell: Cell, goals: &mut Goals) {
    use Need::{AtLeast, AtMost};
    let Cell { outstanding, payload } = cell;
    let name = |what: &str| format!("{outstanding} x {payload} B: {what}");
    let rate = |other| ratio(samples, (OURS, other), cell, |s| s.per_second);
    match outstanding {
        1 => {
            goals.add(name("rate beside the disk"), AtLeast, 0.9, rate(DISK));
            goals.add(name("rate beside raft-engine"), AtLeast, 1.2, rate(RAFT_ENGINE));
            let p50 = middle(samples, OURS, cell, |s| s.p50_micros);
            goals.add(name("p50, us"), AtMost, 100.0, p50);
        }
        16 => {
            goals.add(name("rate beside raft-engine"), AtLeast, 3.0, rate(RAFT_ENGINE));
            goals.add(name("rate beside okaywal"), AtLeast, 2.5, rate(OKAYWAL));
            let p99 = ratio(samples, (OURS, RAFT_ENGINE), cell, |s| s.p99_micros);
            goals.add(name("p99 beside raft-engine"), AtMost, 0.5, p99);
        }
        64 => goals.add(name("rate beside raft-engine"), AtLeast, 1.6, rate(RAFT_ENGINE)),
        _ => {}
    }
    if shape(cell).bytes >= LARGE_BATCH {
        goals.add(name("large batches beside the disk"), AtLeast, 0.85, rate(DISK));
    }
    if (outstanding, payload) == (1024, 4096) {
        let found = middle(samples, OURS, cell, |s| s.bytes_per_second() / 1e9);
        goals.add(name("GB/s"), AtLeast, 2.5, found);
    }
}

/// Processors at a throughput: those of the cell that comes closest to it, in proportion.
fn judge_processors(samples: &[Sample], goals: &mut Goals) {
    let rate = |cell| middle(samples, OURS, cell, Sample::bytes_per_second);
    let distance = |cell: &Cell| rate(*cell).map_or(f64::MAX, |r| (r / CPU_RATE).ln().abs());
    let closest = cells(samples).into_iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
    let Some(cell) = closest else {
        return;
    };
    let found = middle(samples, OURS, cell, |s| {
        s.usage.own_cores * CPU_RATE / s.bytes_per_second().max(1.0)
    });
    let what = format!(
        "cores at 500 MB/s, from {} x {} B at {:.0} MB/s",
        cell.outstanding,
        cell.payload,
        rate(cell).unwrap_or_default() / 1e6
    );
    goals.add(what, Need::AtMost, 0.5, found);
}

fn judge_stall(samples: &[Sample], goals: &mut Goals) {
    for cell in cells(samples) {
        let longest = figures(samples, OURS, cell, |s| s.max_micros / 1e3);
        let longest = longest.into_iter().reduce(f64::max);
        goals.add("longest wait of all rounds, ms".to_owned(), Need::AtMost, 5.0, longest);
    }
}

/// Seconds per GiB, times raft-engine's time, random reads per second.
fn asked_of_recovery(payload: usize) -> Option<(f64, f64, f64)> {
    match payload {
        128 => Some((1.0, 3.0, 1e6)),
        1024 => Some((0.55, 2.0, 1e6)),
        4096 => Some((0.5, 1.0, 5e5)),
        _ => None,
    }
}

fn judge_recovery(found: &[Reopened], payload: usize, goals: &mut Goals) {
    use Need::{AtLeast, AtMost};
    let Some((per_gib, times, reads)) = asked_of_recovery(payload) else {
        return;
    };
    let name = |what: &str| format!("recovery, {payload} B: {what}");
    let own = recovery::middle(found, (OURS, payload, true), Reopened::per_gib);
    goals.add(name("s per GiB, cold"), AtMost, per_gib, own);
    let beside = |who| recovery::ratio(found, (who, OURS), (payload, true), |r| r.look.seconds);
    goals.add(name("raft-engine's time beside ours"), AtLeast, times, beside(RAFT_ENGINE));
    if payload >= 1024 {
        goals.add(name("time of a bare scan beside ours"), AtLeast, 0.8, beside(DISK));
    }
    let rate = |r: &Reopened| r.look.reads_per_second;
    let own = recovery::middle(found, (OURS, payload, false), rate);
    goals.add(name("random reads per second, warm"), AtLeast, reads, own);
    let beside = recovery::ratio(found, (OURS, RAFT_ENGINE), (payload, false), rate);
    goals.add(name("random reads beside raft-engine"), AtLeast, 4.0, beside);
    if payload == 128 {
        let index = recovery::middle(found, (OURS, payload, true), Reopened::index_bytes);
        goals.add(name("index, bytes per entry"), AtMost, 12.0, index);
    }
}

/// Prints the goals.
pub(super) fn print(goals: &[Goal]) {
    println!("\n{:<56} {:>12} {:>12}  verdict", "goal", "asked", "found");
    for goal in goals {
        let sign = match goal.need {
            Need::AtLeast => ">=",
            Need::AtMost => "<=",
        };
        let asked = format!("{sign} {}", shown(goal.asked));
        let verdict = if goal.reached { "reached" } else { "not reached" };
        println!("{:<56} {asked:>12} {:>12}  {verdict}", goal.what, shown(goal.found));
    }
    let reached = goals.iter().filter(|goal| goal.reached).count();
    println!("goals reached: {reached} of {}", goals.len());
}

/// Two digits after the point, none where there are many before it.
fn shown(figure: f64) -> String {
    if figure >= 1_000.0 { format!("{figure:.0}") } else { format!("{figure:.2}") }
}

#[cfg(test)]
mod tests {
    use super::super::sample::example;
    use super::*;

    #[test]
    fn medians_decide() {
        let cell = Cell { outstanding: 16, payload: 4096 };
        let mut samples = Vec::new();
        for (round, (ours, peer)) in [(60.0, 20.0), (10.0, 20.0), (90.0, 20.0)].iter().enumerate() {
            samples.push(example(OURS, cell, round + 1, *ours));
            samples.push(example(RAFT_ENGINE, cell, round + 1, *peer));
        }
        let goals = judge(&samples, &[], &[]);
        let reached = |what: &str| {
            let goal = goals.iter().find(|goal| goal.what.contains(what)).unwrap();
            (goal.found, goal.reached)
        };
        assert_eq!(reached("rate beside raft-engine"), (3.0, true));
        assert!(reached("p99 beside raft-engine").1);
        assert!(!goals.iter().any(|goal| goal.what.contains("okaywal")), "it was not measured");
        assert!(!reached("cores at 500 MB/s").1);
    }

    #[test]
    fn the_longest_wait_of_any_round_counts() {
        let cell = Cell { outstanding: 16, payload: 4096 };
        let samples = [example(OURS, cell, 1, 4_000.0), example(OURS, cell, 2, 400.0)];
        let goals = judge(&[], &samples, &[]);
        assert_eq!((goals[0].found, goals[0].reached), (10.0, false));
    }
}
