//! What all groups of a shard want done: the one output shape.

use raft_core::{
    Entry, Event, GroupId, HardState, Message, NodeId, ReadId, ReadOutcome, SnapshotMeta,
};

use crate::outbox;
use crate::receipts::Receipt;

/// Everything one poll wants done. Reuse one value: the poll clears it and keeps its memory.
///
/// Every list but `messages` names the groups in ascending order, so that lists can be merged. What
/// one group has in `snapshots`, in `hard_states` and in `entries_to_persist` is one atomic unit: a
/// crash leaves all of it or nothing. The entries of one group are consecutive, in
/// `entries_to_persist` as in `committed_entries`; the first one to persist also truncates.
#[derive(Debug, Default)]
pub struct MultiReady {
    /// Messages that may leave now: one batch per node, in ascending order of node.
    pub messages: Vec<PeerBatch>,
    /// Terms, votes and commits to persist.
    pub hard_states: Vec<(GroupId, HardState)>,
    /// Snapshots to install, at most one per group: each replaces the group's log and its state
    /// machine. A host that cannot install one must not hand the receipt back as if it had: it
    /// stops the replica with [`crate::MultiRaft::stop`].
    pub snapshots: Vec<(GroupId, SnapshotMeta)>,
    /// Entries to persist.
    pub entries_to_persist: Vec<(GroupId, Entry)>,
    /// To be handed back when the hard states, snapshots and entries above are durable. Absent when
    /// there is nothing to persist.
    pub receipt: Option<Receipt>,
    /// Entries to apply, in order, each exactly once.
    pub committed_entries: Vec<(GroupId, Entry)>,
    /// Reads that became safe, or failed.
    pub reads: Vec<(GroupId, ReadId, ReadOutcome)>,
    /// What happened, for logs, metrics and callers.
    pub events: Vec<(GroupId, Event)>,
    /// Emptied message lists, for the next batches.
    pub(crate) spare: Vec<Vec<(GroupId, Message)>>,
}

/// Everything that leaves for one node.
#[derive(Debug)]
pub struct PeerBatch {
    /// The node.
    pub to: NodeId,
    /// The messages, those of one group in the order in which they were made.
    pub messages: Vec<(GroupId, Message)>,
}

impl MultiReady {
    /// Forgets the content and keeps the memory.
    pub fn clear(&mut self) {
        outbox::recycle(&mut self.messages, &mut self.spare);
        self.hard_states.clear();
        self.snapshots.clear();
        self.entries_to_persist.clear();
        self.receipt = None;
        self.committed_entries.clear();
        self.reads.clear();
        self.events.clear();
    }

    /// Whether there is nothing to do. What there is to persist comes with a receipt.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
            && self.snapshots.is_empty()
            && self.receipt.is_none()
            && self.committed_entries.is_empty()
            && self.reads.is_empty()
            && self.events.is_empty()
    }

    /// Moves one group's output in.
    pub(crate) fn gather(&mut self, group: GroupId, ready: &mut raft_core::Ready) {
        for (to, message) in ready.messages.drain(..) {
            outbox::push(&mut self.messages, &mut self.spare, to, group, message);
        }
        self.hard_states.extend(ready.hard_state.take().map(|hard| (group, hard)));
        self.snapshots.extend(ready.snapshot.take().map(|snapshot| (group, snapshot)));
        self.entries_to_persist.extend(ready.entries_to_persist.iter().map(|e| (group, e.clone())));
        self.committed_entries.extend(ready.committed_entries.iter().map(|e| (group, e.clone())));
        // What nobody looks at any more the group's log may use again.
        ready.entries_to_persist.clear();
        ready.committed_entries.clear();
        self.reads.extend(ready.reads.drain(..).map(|(id, outcome)| (group, id, outcome)));
        self.events.extend(ready.events.drain(..).map(|event| (group, event)));
    }
}
