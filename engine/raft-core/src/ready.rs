//! What the core wants done: the one output shape, and the receipts that come back.

use alloc::vec::Vec;

use crate::event::Event;
use crate::ids::{Index, NodeId};
use crate::log::EntryParts;
use crate::message::Message;
use crate::state::HardState;
use crate::storage::SnapshotMeta;

/// Everything one poll of a core wants done.
///
/// `hard_state`, `snapshot` and `entries_to_persist` are one unit: after a crash all of it is there
/// or nothing. Only of a snapshot it may be that its content is there and the rest is not.
///
/// Reuse one value: the poll clears it and keeps its memory.
#[derive(Debug, Default)]
pub struct Ready {
    /// Messages that may leave now.
    pub messages: Vec<(NodeId, Message)>,
    /// Term, vote and commit to persist, if they changed.
    pub hard_state: Option<HardState>,
    /// Entries to persist, in order. The first one also truncates: whatever the log holds at its
    /// index and beyond is gone.
    pub entries_to_persist: EntryParts,
    /// A snapshot to install before the entries.
    pub snapshot: Option<SnapshotMeta>,
    /// To be handed back when the hard state, the snapshot and the entries above are durable.
    /// Absent when there is nothing to persist.
    pub receipt: Option<Receipt>,
    /// Entries to apply to the state machine, in order, each exactly once, all of them durable
    /// here. A [`crate::EntryKind::NoOp`] changes nothing but counts in [`Applied`].
    pub committed_entries: EntryParts,
    /// Reads that became safe, or failed.
    pub reads: Vec<(ReadId, ReadOutcome)>,
    /// What happened, for logs, metrics and callers.
    pub events: Vec<Event>,
}

impl Ready {
    /// Forgets the content and keeps the memory.
    #[inline]
    pub fn clear(&mut self) {
        self.hard_state = None;
        self.receipt = None;
        self.entries_to_persist.clear();
        self.committed_entries.clear();
        // Hosts drain the messages, and the others are rare.
        let lists = self.messages.len() | self.reads.len() | self.events.len();
        if lists > 0 || self.snapshot.is_some() {
            self.clear_rest();
        }
    }

    #[cold]
    fn clear_rest(&mut self) {
        self.messages.clear();
        self.reads.clear();
        self.events.clear();
        self.snapshot = None;
    }
}

/// The number of a persist batch, rising by one with each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PersistSeq(pub u64);

/// The claim check of a persist batch. Only a poll makes one; it cannot be copied. Handing it back
/// says: this batch **and every earlier one** is durable. It belongs to the core that made it: who
/// starts the replica anew drops the receipts of the one before, also of writes under way.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "messages that wait for this batch leave only after the receipt is handed back"]
pub struct Receipt(pub(crate) PersistSeq);

impl Receipt {
    /// The number of the batch.
    #[must_use]
    pub const fn seq(&self) -> PersistSeq {
        self.0
    }
}

/// How far the state machine has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Applied(pub Index);

/// The caller's name of a linearizable read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

/// What became of a linearizable read (thesis 6.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// Leadership was confirmed and everything up to `index` has been applied: read the state
    /// machine now.
    Ready {
        /// The index the answer reflects at least.
        index: Index,
    },
    /// Leadership was lost before it could be confirmed. Nothing was read; ask the new leader.
    Lost,
}
