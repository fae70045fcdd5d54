//! The end of the log in memory.

use alloc::collections::VecDeque;

use crate::entry::Entry;
use crate::ids::Index;

/// What an entry costs in memory beside its payload.
const OVERHEAD: usize = core::mem::size_of::<Entry>();

/// The newest entries, consecutive, ending at the end of the log.
#[derive(Clone, Debug)]
pub(crate) struct Tail {
    first: Index,
    entries: VecDeque<Entry>,
    bytes: usize,
}

impl Tail {
    /// An empty tail of a log whose next entry is `first`.
    pub(crate) const fn new(first: Index) -> Self {
        Self { first, entries: VecDeque::new(), bytes: 0 }
    }

    /// The first index held; the next index of the log when nothing is.
    pub(crate) const fn first(&self) -> Index {
        self.first
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        self.bytes += entry.data.len() + OVERHEAD;
        self.entries.push_back(entry);
    }

    pub(crate) fn truncate(&mut self, from: Index) {
        if from < self.first {
            self.first = from;
            self.entries.clear();
            self.bytes = 0;
            return;
        }
        while self.first.0 + self.entries.len() as u64 > from.0 {
            if let Some(entry) = self.entries.pop_back() {
                self.bytes -= entry.data.len() + OVERHEAD;
            }
        }
    }

    /// What is held, in bytes, bookkeeping included.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Drops entries up to `until` from the front while more than `bytes_max` are held.
    pub(crate) fn evict(&mut self, until: Index, bytes_max: usize) {
        while self.bytes > bytes_max && self.first <= until {
            let Some(entry) = self.entries.pop_front() else {
                return;
            };
            self.bytes -= entry.data.len() + OVERHEAD;
            self.first = self.first.next();
        }
    }

    /// How many entries `from..=to`, all held, fit into `bytes_max` of payload; at least one.
    pub(crate) fn fitting(&self, from: Index, to: Index, bytes_max: usize) -> usize {
        let mut bytes = 0;
        let mut count = 0;
        for entry in self.range(from, to) {
            bytes += entry.data.len();
            if count > 0 && bytes > bytes_max {
                break;
            }
            count += 1;
        }
        count
    }

    /// The entries `from..=to`; those not held are left out.
    pub(crate) fn range(&self, from: Index, to: Index) -> impl Iterator<Item = &Entry> {
        let len = self.entries.len() as u64;
        let start = from.0.saturating_sub(self.first.0).min(len);
        let end = (to.0 + 1).saturating_sub(self.first.0).clamp(start, len);
        self.entries.range(start as usize..end as usize)
    }
}
