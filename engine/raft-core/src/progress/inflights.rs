//! The AppendEntries that are on their way to one follower.

use alloc::collections::VecDeque;

use crate::config::Config;
use crate::ids::Index;

/// The last index and the payload of each message in flight, oldest first. Memory grows with use,
/// not with the limit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inflights {
    messages: VecDeque<(Index, usize)>,
    bytes: usize,
}

impl Inflights {
    pub(crate) fn is_full(&self, config: &Config) -> bool {
        self.messages.len() >= config.inflight_messages_max
            || !self.messages.is_empty() && self.bytes >= config.inflight_bytes_max
    }

    pub(crate) fn messages(&self) -> usize {
        self.messages.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn push(&mut self, last: Index, bytes: usize) {
        self.messages.push_back((last, bytes));
        self.bytes += bytes;
    }

    /// Everything up to `matched` has arrived.
    pub(crate) fn free_to(&mut self, matched: Index) {
        while let Some((_, bytes)) = self.messages.front().filter(|(last, _)| *last <= matched) {
            self.bytes -= bytes;
            self.messages.pop_front();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.messages.clear();
        self.bytes = 0;
    }
}
