//! Which configuration was in force where in the log.

use alloc::vec::Vec;

use super::ConfState;
use crate::ids::Index;

/// The configurations of the log, oldest first: the one it began with, and one per entry that
/// changed it. Never empty.
#[derive(Clone, Debug)]
pub(crate) struct ConfHistory(Vec<(Index, ConfState)>);

impl ConfHistory {
    pub(crate) fn new(index: Index, conf: ConfState) -> Self {
        Self(alloc::vec![(index, conf)])
    }

    pub(crate) fn newest(&self) -> &ConfState {
        &self.0[self.0.len() - 1].1
    }

    /// The entry of the newest configuration; of the first one, where the log began.
    pub(crate) fn newest_index(&self) -> Index {
        self.0[self.0.len() - 1].0
    }

    /// The configuration in force at `index`; `None` before the oldest one known.
    pub(crate) fn at(&self, index: Index) -> Option<&ConfState> {
        let after = self.0.partition_point(|(i, _)| *i <= index);
        after.checked_sub(1).map(|i| &self.0[i].1)
    }

    /// The configuration in force at `index`, and every later one.
    pub(crate) fn since(&self, index: Index) -> impl Iterator<Item = &ConfState> {
        let after = self.0.partition_point(|(i, _)| *i <= index);
        self.0[after.saturating_sub(1)..].iter().map(|(_, conf)| conf)
    }

    pub(crate) fn push(&mut self, index: Index, conf: ConfState) {
        assert!(index > self.newest_index(), "a log has no holes");
        self.0.push((index, conf));
    }

    /// The log lost `from` and everything after it. Returns whether the newest configuration went
    /// with it.
    pub(crate) fn truncate(&mut self, from: Index) -> bool {
        let kept = self.0.partition_point(|(i, _)| *i < from).max(1);
        let fell = kept < self.0.len();
        self.0.truncate(kept);
        fell
    }

    /// The log before `base`, and `base` itself, will not be asked about any more.
    pub(crate) fn compact(&mut self, base: Index) {
        let after = self.0.partition_point(|(i, _)| *i <= base);
        self.0.drain(..after.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::ConfHistory;
    use crate::conf_change::ConfState;
    use crate::ids::{Index, NodeId};

    #[test]
    fn each_index_has_its_configuration() {
        let conf = |n| ConfState::of_voters((1..=n).map(NodeId));
        let mut history = ConfHistory::new(Index(5), conf(1));
        history.push(Index(8), conf(2));
        history.push(Index(12), conf(3));
        let at = |h: &ConfHistory, i| h.at(Index(i)).map(|c| c.voters.len());
        assert_eq!([4, 5, 7, 8, 11, 12, 99].map(|i| at(&history, i)), {
            [None, Some(1), Some(1), Some(2), Some(2), Some(3), Some(3)]
        });
        assert!(!history.truncate(Index(13)));
        assert!(history.truncate(Index(12)));
        assert_eq!((history.newest_index(), history.newest()), (Index(8), &conf(2)));
        history.compact(Index(7));
        assert_eq!([6, 8].map(|i| at(&history, i)), [Some(1), Some(2)]);
        history.compact(Index(8));
        assert_eq!([6, 8].map(|i| at(&history, i)), [None, Some(2)]);
        assert!(!history.truncate(Index(3)), "what the log began with stays");
    }
}
