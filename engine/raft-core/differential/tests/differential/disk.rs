//! The durable side of a replica of either implementation: what was written, what was synced.

use std::collections::VecDeque;

use raft_core::{ConfState, HardState, Index, LogId, SnapshotMeta};

/// An entry of a log.
pub(crate) trait Stored: Clone {
    fn id(&self) -> LogId;
}

/// One state of the bytes.
#[derive(Clone)]
pub(crate) struct Platter<E> {
    pub(crate) hard: HardState,
    /// The entry before the first.
    pub(crate) base: LogId,
    pub(crate) entries: Vec<E>,
    pub(crate) snapshot: SnapshotMeta,
    /// The members the group began with.
    pub(crate) conf: ConfState,
}

impl<E: Stored> Platter<E> {
    fn apply<T>(&mut self, write: &Write<E, T>) {
        self.hard = write.hard.unwrap_or(self.hard);
        if let Some(snapshot) = &write.snapshot {
            self.snapshot = snapshot.clone();
            self.base = snapshot.last;
            self.entries.clear();
        }
        if let Some(first) = write.entries.first() {
            let kept = first.id().index.0 - self.base.index.0 - 1;
            assert!(kept <= self.entries.len() as u64, "a log has no holes");
            self.entries.truncate(kept as usize);
        }
        self.entries.extend(write.entries.iter().cloned());
    }

    pub(crate) fn last(&self) -> LogId {
        self.entries.last().map_or(self.base, Stored::id)
    }

    /// The entry at an index that is in the log; `None` for the base as well.
    pub(crate) fn entry(&self, index: Index) -> Option<&E> {
        let place = index.0.checked_sub(self.base.index.0 + 1)?;
        self.entries.get(place as usize)
    }

    /// The identity at an index that is in the log, the base included.
    pub(crate) fn id_at(&self, index: Index) -> Option<LogId> {
        if index == self.base.index { Some(self.base) } else { self.entry(index).map(Stored::id) }
    }

    fn compact(&mut self, snapshot: SnapshotMeta) {
        let dropped = snapshot.last.index.0 - self.base.index.0;
        self.entries.drain(..dropped as usize);
        self.base = snapshot.last;
        self.snapshot = snapshot;
    }
}

/// A batch written and not yet synced, and what is to be done once it is.
pub(crate) struct Write<E, T> {
    pub(crate) hard: Option<HardState>,
    pub(crate) snapshot: Option<SnapshotMeta>,
    pub(crate) entries: Vec<E>,
    pub(crate) then: T,
}

/// A disk with a queue of writes.
pub(crate) struct Disk<E, T> {
    /// As the running replica sees it.
    pub(crate) view: Platter<E>,
    /// As it would be after a power cut.
    pub(crate) durable: Platter<E>,
    writes: VecDeque<Write<E, T>>,
}

impl<E: Stored, T> Disk<E, T> {
    pub(crate) fn new(platter: Platter<E>) -> Self {
        Self { view: platter.clone(), durable: platter, writes: VecDeque::new() }
    }

    pub(crate) fn write(&mut self, write: Write<E, T>) {
        self.view.apply(&write);
        self.writes.push_back(write);
    }

    pub(crate) fn writes(&self) -> usize {
        self.writes.len()
    }

    /// Syncs the oldest `count` writes.
    pub(crate) fn sync(&mut self, count: usize) -> Vec<Write<E, T>> {
        let count = count.min(self.writes.len());
        let synced: Vec<_> = self.writes.drain(..count).collect();
        synced.iter().for_each(|write| self.durable.apply(write));
        synced
    }

    /// Power is lost after the oldest `kept` writes, and nobody was told of them.
    pub(crate) fn crash(&mut self, kept: usize) {
        self.sync(kept);
        self.writes.clear();
        self.view = self.durable.clone();
    }

    /// Drops the log up to a snapshot of what is applied. Returns whether it could.
    pub(crate) fn compact(&mut self, snapshot: &SnapshotMeta) -> bool {
        let possible = self.writes.is_empty() && snapshot.last.index > self.view.base.index;
        if possible {
            self.view.compact(snapshot.clone());
            self.durable.compact(snapshot.clone());
        }
        possible
    }
}
