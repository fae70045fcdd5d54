//! A group's view of its shard's log: what the core reads of the past.

use raft_core::{
    ConfState, Entry, GroupId, HardState, Index, InitialState, SnapshotMeta, Storage, StorageError,
    Term,
};
use wal::LogReader;

use crate::snapshots::SnapshotTable;

/// The durable log of one group, in the WAL of its shard. It is read at once, so nothing is ever
/// pending.
#[derive(Debug)]
pub(crate) struct GroupLog {
    reader: LogReader,
    group: GroupId,
    hard: HardState,
    conf: ConfState,
    snapshots: SnapshotTable,
}

impl GroupLog {
    /// The log of `group`, which was found with this hard state when the WAL was opened; `conf` are
    /// its first members. Its snapshot is looked up in `snapshots`.
    pub(crate) fn new(
        reader: LogReader,
        group: GroupId,
        hard: HardState,
        conf: ConfState,
        snapshots: SnapshotTable,
    ) -> Self {
        Self { reader, group, hard, conf, snapshots }
    }
}

impl Storage for GroupLog {
    fn initial_state(&self) -> Result<InitialState, StorageError> {
        Ok(InitialState { hard: self.hard, conf: self.conf.clone() })
    }

    fn entries(
        &self,
        from: Index,
        to: Index,
        bytes_max: usize,
        out: &mut Vec<Entry>,
    ) -> Result<(), StorageError> {
        self.reader.entries(self.group, from, to, bytes_max, out)
    }

    fn conf_entries(&self, from: Index, out: &mut Vec<Entry>) -> Result<(), StorageError> {
        self.reader.conf_entries(self.group, from, out)
    }

    fn term_at(&self, index: Index) -> Result<Term, StorageError> {
        self.reader.term_at(self.group, index)
    }

    fn first_index(&self) -> Index {
        self.reader.first_index(self.group)
    }

    fn last_index(&self) -> Index {
        self.reader.last_index(self.group)
    }

    fn snapshot_meta(&self) -> SnapshotMeta {
        self.snapshots.borrow().get(&self.group).cloned().unwrap_or_default()
    }
}
