//! The fate of proposals made here: each ends as committed or as lost, never as both.

use alloc::vec::Vec;

use crate::event::Event;
use crate::ids::{Index, LogId, Term};

/// Proposals of one leadership in consecutive places: what the leader itself puts in between is no
/// proposal.
#[derive(Clone, Copy, Debug)]
struct Run {
    term: Term,
    first: Index,
    last: Index,
}

/// Proposals made here whose fate is open, oldest leadership first.
///
/// Truncation decides nothing: an entry overwritten here may survive elsewhere and be committed
/// after all (thesis figure 3.7). Only a committed entry in its place proves that it is lost.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proposed(Vec<Run>);

impl Proposed {
    #[inline]
    pub(crate) fn note(&mut self, id: LogId) {
        match self.0.last_mut() {
            Some(run) if run.term == id.term && run.last.next() == id.index => run.last = id.index,
            _ => self.begin(id),
        }
    }

    #[cold]
    fn begin(&mut self, id: LogId) {
        self.0.push(Run { term: id.term, first: id.index, last: id.index });
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The commit index rose from `old` to `new`: reports every proposal in whose place something
    /// else was or will be committed. Terms never fall along a log, so beyond a committed entry of
    /// a later term there is no place left for those of an earlier one.
    #[inline]
    pub(crate) fn committed(
        &mut self,
        old: Index,
        new: Index,
        delivered: Index,
        term_at: impl Fn(Index) -> Option<Term>,
        mut lost: impl FnMut(LogId),
    ) {
        let newest = term_at(new);
        if let [run] = &self.0[..] {
            let from = run.first.max(old.next());
            let is_own = newest == Some(run.term) && (from > new || term_at(from) == newest);
            // Equal at both ends is equal throughout, and nothing is over.
            if is_own && run.last > delivered {
                return;
            }
        }
        for run in &mut self.0 {
            let over = newest.is_some_and(|term| term > run.term);
            let from = run.first.0.max(old.0 + 1);
            let to = if over { run.last.0 } else { run.last.0.min(new.0) };
            let is_kept = |i| i <= new.0 && term_at(Index(i)) == Some(run.term);
            // Equal at both ends is equal throughout.
            if from > to || is_kept(from) && is_kept(to) {
                continue;
            }
            for index in (from..=to).filter(|i| !is_kept(*i)).map(Index) {
                lost(LogId::new(run.term, index));
            }
            if over {
                run.last = run.last.min(new);
            }
        }
        self.0.retain(|run| run.last > delivered && run.last >= run.first);
    }

    /// Reports every proposal beyond `known` whose fate is open, and forgets it: nothing more will
    /// be learned of it. `commit` and `term_at` are of the log.
    pub(crate) fn abandon(
        &mut self,
        known: Index,
        commit: Index,
        term_at: impl Fn(Index) -> Option<Term>,
        mut uncertain: impl FnMut(LogId),
    ) {
        for run in &mut self.0 {
            for index in (run.first.max(known.next()).0..=run.last.0).map(Index) {
                // What was replaced was reported when that was committed.
                if index > commit || term_at(index) == Some(run.term) {
                    uncertain(LogId::new(run.term, index));
                }
            }
            run.last = run.last.min(known);
        }
        self.0.retain(|run| run.last >= run.first);
    }

    /// The log gives way to a snapshot that ends at `last`: reports what became of every proposal,
    /// as far as that can be told. `delivered`, `commit` and `term_at` are of the log before.
    pub(crate) fn covered(
        &mut self,
        delivered: Index,
        commit: Index,
        last: LogId,
        term_at: impl Fn(Index) -> Option<Term>,
        mut event: impl FnMut(Event),
    ) {
        for run in &mut self.0 {
            let from = run.first.0.max(delivered.0 + 1);
            let over = last.term > run.term;
            let to = if over { run.last } else { run.last.min(last.index) };
            for index in (from..=to.0).map(Index) {
                let id = LogId::new(run.term, index);
                if index <= commit {
                    // What was replaced was reported when that was committed.
                    if term_at(index) == Some(run.term) {
                        event(Event::Uncertain { id });
                    }
                } else if index > last.index || run.term > last.term {
                    event(Event::Lost { id });
                } else {
                    event(Event::Uncertain { id });
                }
            }
            run.first = run.first.max(to.next());
        }
        self.0.retain(|run| run.last >= run.first);
    }
}

#[cfg(test)]
mod tests {
    use super::Proposed;
    use crate::event::Event;
    use crate::ids::{Index, LogId, Term};
    use alloc::vec::Vec;

    #[test]
    fn lost_is_what_was_replaced_by_something_committed() {
        let id = |t, i| LogId::new(Term(t), Index(i));
        let mut proposed = Proposed::default();
        for e in [id(2, 5), id(2, 6), id(2, 7), id(4, 7), id(4, 8)] {
            proposed.note(e);
        }
        let mut lost = Vec::new();
        // 2/5 is committed, 3/6 replaced 2/6.
        let terms = |i: Index| Some(Term([2, 3, 4, 4][i.0 as usize - 5]));
        proposed.committed(Index(4), Index(5), Index(4), terms, |e| lost.push(e));
        assert_eq!(lost, []);
        proposed.committed(Index(5), Index(6), Index(5), terms, |e| lost.push(e));
        assert_eq!(lost, [id(2, 6), id(2, 7)], "no 2/7 can follow 3/6");
        proposed.committed(Index(6), Index(8), Index(8), terms, |e| lost.push(e));
        proposed.committed(Index(8), Index(9), Index(9), |_| Some(Term(9)), |e| lost.push(e));
        assert_eq!(lost.len(), 2, "each proposal ends once");
    }

    #[test]
    fn a_snapshot_leaves_open_what_it_may_hold() {
        let id = |t, i| LogId::new(Term(t), Index(i));
        let ended = |term, last| {
            let mut proposed = Proposed::default();
            for e in [id(3, 5), id(3, 6), id(3, 7), id(3, 8)] {
                proposed.note(e);
            }
            let mut events = Vec::new();
            let terms = |_| Some(Term(3));
            proposed.covered(Index(5), Index(6), id(term, last), terms, |e| events.push(e));
            events
        };
        let (lost, open) =
            (|i| Event::Lost { id: id(3, i) }, |i| Event::Uncertain { id: id(3, i) });
        assert_eq!(ended(3, 7), [open(6), open(7)], "3/8 may come yet");
        assert_eq!(ended(4, 7), [open(6), open(7), lost(8)], "3/8 cannot follow 4/7");
        assert_eq!(ended(2, 7), [open(6), lost(7)], "3/7 cannot precede 2/7");
    }
}
