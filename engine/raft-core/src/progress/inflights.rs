//! The AppendEntries that are on their way to one follower.

use alloc::collections::VecDeque;

use crate::ids::Index;

/// The last index of each message in flight, oldest first. Memory grows with use, not with the
/// limit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inflights(VecDeque<Index>);

impl Inflights {
    pub(crate) fn is_full(&self, max: usize) -> bool {
        self.0.len() >= max
    }

    pub(crate) fn push(&mut self, last: Index) {
        self.0.push_back(last);
    }

    /// Everything up to `matched` has arrived.
    pub(crate) fn free_to(&mut self, matched: Index) {
        while self.0.front().is_some_and(|last| *last <= matched) {
            self.0.pop_front();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
