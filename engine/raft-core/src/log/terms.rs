//! Which term every index belongs to, as runs: a log of millions of entries has few terms.

use alloc::vec::Vec;

use crate::entry::Entry;
use crate::error::BootError;
use crate::ids::{Index, LogId, Term};
use crate::storage::{Storage, StorageError};

/// The terms of the log from its base (the entry just before the first) to its end.
#[derive(Clone, Debug)]
pub(crate) struct TermRuns {
    /// Where each term starts, ascending in both; the first is the base. Never empty.
    runs: Vec<LogId>,
    /// The newest of them once more: nearly all questions are about it.
    newest: LogId,
    last: Index,
}

impl TermRuns {
    pub(crate) fn new(base: LogId) -> Self {
        Self { runs: alloc::vec![base], newest: base, last: base.index }
    }

    /// Reads the runs of a stored log: a few questions per term, not one per entry.
    pub(crate) fn load<S: Storage>(storage: &S) -> Result<Self, BootError> {
        let corrupt = BootError::Storage(StorageError::Corrupt);
        let last = storage.last_index();
        let Some(base) = storage.first_index().0.checked_sub(1).map(Index) else {
            return Err(corrupt);
        };
        if last < base || last.0 >= super::INDEX_END {
            return Err(corrupt);
        }
        let term_at = |i| storage.term_at(i).map_err(BootError::Storage);
        let base_term = if base == Index(0) { Term(0) } else { term_at(base)? };
        let mut runs = Self::new(LogId::new(base_term, base));
        let last_term = if last == base { base_term } else { term_at(last)? };
        let (mut at, mut term) = (base, base_term);
        while term != last_term {
            // The first index beyond `at` of another term: terms never fall along the log.
            let (mut low, mut high) = (at.next(), last);
            while low < high {
                let middle = Index(low.0 + (high.0 - low.0) / 2);
                if term_at(middle)? == term {
                    low = middle.next();
                } else {
                    high = middle;
                }
            }
            let next = term_at(low)?;
            if next <= term || next > last_term {
                return Err(corrupt);
            }
            (at, term) = (low, next);
            runs.begin(LogId::new(term, at));
        }
        runs.last = last;
        Ok(runs)
    }

    pub(crate) fn base(&self) -> LogId {
        self.runs[0]
    }

    #[inline]
    pub(crate) fn last(&self) -> LogId {
        LogId::new(self.newest.term, self.last)
    }

    #[inline]
    pub(crate) fn last_index(&self) -> Index {
        self.last
    }

    /// The term at an index from the base to the end, `None` elsewhere.
    #[inline]
    pub(crate) fn term_at(&self, index: Index) -> Option<Term> {
        if index > self.last {
            None
        } else if index >= self.newest.index {
            Some(self.newest.term)
        } else {
            self.older_term_at(index)
        }
    }

    fn older_term_at(&self, index: Index) -> Option<Term> {
        let after = self.runs.partition_point(|r| r.index <= index);
        after.checked_sub(1).map(|i| self.runs[i].term)
    }

    /// The last entry at or before `index` whose term is not above `term`; the base when there is
    /// none. One such answer skips a whole term of conflicting entries (thesis 3.5).
    pub(crate) fn last_at_or_below(&self, index: Index, term: Term) -> LogId {
        let mut end = index.min(self.last);
        for run in self.runs.iter().rev() {
            if run.index > end {
                continue;
            }
            if run.term <= term {
                return LogId::new(run.term, end);
            }
            end = run.index.prev();
        }
        self.base()
    }

    /// Notes the next entry.
    #[inline]
    pub(crate) fn push(&mut self, id: LogId) {
        assert!(id.index == self.last.next(), "a log has no holes");
        assert!(id.term >= self.newest.term, "terms never fall along a log");
        if id.term > self.newest.term {
            self.begin(id);
        }
        self.last = id.index;
    }

    /// A new term starts at this entry.
    #[cold]
    fn begin(&mut self, id: LogId) {
        self.runs.push(id);
        self.newest = id;
    }

    /// Notes the next entries, of which there is at least one.
    #[inline]
    pub(crate) fn push_all(&mut self, entries: &[Entry]) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return;
        };
        // Equal at both ends is equal throughout.
        self.push(first.id);
        if first.id.term == last.id.term {
            self.last = last.id.index;
        } else {
            entries[1..].iter().for_each(|e| self.push(e.id));
        }
    }

    /// Forgets what is before `base`, which becomes the base.
    pub(crate) fn compact(&mut self, base: Index) {
        let Some(term) = self.term_at(base).filter(|_| base > self.base().index) else {
            return;
        };
        let after = self.runs.partition_point(|r| r.index <= base);
        self.runs.drain(..after - 1);
        self.runs[0] = LogId::new(term, base);
        self.newest = self.runs[self.runs.len() - 1];
    }

    /// Forgets `from` and everything after it; never the base.
    pub(crate) fn truncate(&mut self, from: Index) {
        assert!(from > self.base().index, "the base of a log stays");
        while self.runs[self.runs.len() - 1].index >= from {
            self.runs.pop();
        }
        self.newest = self.runs[self.runs.len() - 1];
        self.last = self.last.min(from.prev());
    }
}

#[cfg(test)]
mod tests {
    use super::TermRuns;
    use crate::ids::{Index, LogId, Term};

    fn id(term: u64, index: u64) -> LogId {
        LogId::new(Term(term), Index(index))
    }

    #[test]
    fn terms_by_index() {
        let mut runs = TermRuns::new(id(2, 10));
        for e in [id(2, 11), id(4, 12), id(4, 13), id(7, 14)] {
            runs.push(e);
        }
        let terms: alloc::vec::Vec<_> =
            (9..=15).map(|i| runs.term_at(Index(i)).map(|t| t.0)).collect();
        assert_eq!(terms, [None, Some(2), Some(2), Some(4), Some(4), Some(7), None]);
        assert_eq!(runs.last(), id(7, 14));
        assert_eq!(runs.last_at_or_below(Index(99), Term(6)), id(4, 13));
        assert_eq!(runs.last_at_or_below(Index(12), Term(6)), id(4, 12));
        assert_eq!(runs.last_at_or_below(Index(14), Term(3)), id(2, 11));
        assert_eq!(runs.last_at_or_below(Index(14), Term(1)), id(2, 10));
        runs.truncate(Index(13));
        assert_eq!(runs.last(), id(4, 12));
        let mut compacted = runs.clone();
        compacted.compact(Index(11));
        assert_eq!(compacted.base(), id(2, 11));
        compacted.compact(Index(9));
        assert_eq!([10, 11, 12].map(|i| compacted.term_at(Index(i)).map(|t| t.0)), {
            [None, Some(2), Some(4)]
        });
        compacted.compact(Index(12));
        assert_eq!((compacted.base(), compacted.last()), (id(4, 12), id(4, 12)));
        runs.truncate(Index(11));
        assert_eq!(runs.last(), id(2, 10));
        assert_eq!(runs.term_at(Index(11)), None);
    }
}
