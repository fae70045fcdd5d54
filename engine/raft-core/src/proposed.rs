//! The fate of proposals made here: each ends as committed or as lost, never as both.

use alloc::vec::Vec;

use crate::event::Event;
use crate::ids::{Index, LogId, Term};

/// Consecutive proposals of one leadership.
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
    pub(crate) fn note(&mut self, id: LogId) {
        match self.0.last_mut() {
            Some(run) if run.term == id.term => run.last = id.index,
            _ => self.0.push(Run { term: id.term, first: id.index, last: id.index }),
        }
    }

    /// The commit index rose from `old` to `new`: reports every proposal in whose place something
    /// else was committed.
    pub(crate) fn committed(
        &mut self,
        old: Index,
        new: Index,
        delivered: Index,
        term_at: impl Fn(Index) -> Option<Term>,
        mut lost: impl FnMut(LogId),
    ) {
        if self.0.is_empty() {
            return;
        }
        for run in &self.0 {
            let from = run.first.0.max(old.0 + 1);
            let to = run.last.0.min(new.0);
            // Terms never fall along a log: equal at both ends is equal throughout.
            let is_kept = |i| term_at(Index(i)) == Some(run.term);
            if from > to || is_kept(from) && is_kept(to) {
                continue;
            }
            for index in (from..=to).map(Index) {
                if !is_kept(index.0) {
                    lost(LogId::new(run.term, index));
                }
            }
        }
        self.0.retain(|run| run.last > delivered);
    }

    /// The log gives way to a snapshot that ends at `last`: reports what became of every proposal
    /// it covers, as far as that can be told. `term_at` is of the log before, `commit` and
    /// `delivered` as well.
    pub(crate) fn covered(
        &mut self,
        delivered: Index,
        commit: Index,
        last: LogId,
        term_at: impl Fn(Index) -> Option<Term>,
        mut event: impl FnMut(Event),
    ) {
        for run in &self.0 {
            let from = run.first.0.max(delivered.0 + 1);
            for index in (from..=run.last.0.min(last.index.0)).map(Index) {
                let id = LogId::new(run.term, index);
                if index <= commit {
                    // What was replaced was reported when that was committed.
                    if term_at(index) == Some(run.term) {
                        event(Event::Uncertain { id });
                    }
                } else if run.term > last.term {
                    // Terms never fall along a log: the snapshot's has no such entry.
                    event(Event::Lost { id });
                } else {
                    event(Event::Uncertain { id });
                }
            }
        }
        self.0.retain(|run| run.last > last.index);
    }
}

#[cfg(test)]
mod tests {
    use super::Proposed;
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
        proposed.committed(Index(5), Index(8), Index(8), terms, |e| lost.push(e));
        assert_eq!(lost, [id(2, 6), id(2, 7)]);
        proposed.committed(Index(8), Index(9), Index(9), |_| Some(Term(9)), |e| lost.push(e));
        assert_eq!(lost.len(), 2, "each proposal ends once");
    }
}
