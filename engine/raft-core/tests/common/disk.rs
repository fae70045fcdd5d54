//! The durable side of one replica.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use raft_core::{
    ConfState, Entry, EntryKind, HardState, Index, InitialState, LogId, NodeId, Ready, Receipt,
    SnapshotMeta, Storage, StorageError, Term,
};

/// What a crash does not take.
#[derive(Clone, Debug, Default)]
pub(crate) struct Platter {
    pub(crate) hard: HardState,
    /// The log after `base`.
    pub(crate) entries: Vec<Entry>,
    /// The entry before the first.
    pub(crate) base: LogId,
    pub(crate) snapshot: SnapshotMeta,
    /// What the group began with.
    pub(crate) conf: ConfState,
}

impl Platter {
    fn apply(&mut self, write: &Write) {
        self.hard = write.hard.unwrap_or(self.hard);
        if let Some(snapshot) = &write.snapshot {
            self.snapshot = snapshot.clone();
            self.base = snapshot.last;
            self.entries.clear();
        }
        if let Some(first) = write.entries.first() {
            let kept = first.id.index.0.checked_sub(self.base.index.0 + 1);
            self.entries.truncate(kept.expect("no entry below the base") as usize);
            let last = self.last().index;
            assert_eq!(last.next(), first.id.index, "a log has no holes");
        }
        self.entries.extend(write.entries.iter().cloned());
    }

    /// The last entry, or the base.
    pub(crate) fn last(&self) -> LogId {
        self.entries.last().map_or(self.base, |e| e.id)
    }

    /// The identity at an index that is in the log, the base included.
    pub(crate) fn id_at(&self, index: Index) -> Option<LogId> {
        let offset = index.0.checked_sub(self.base.index.0)?;
        match offset.checked_sub(1) {
            None => Some(self.base),
            Some(place) => self.entries.get(place as usize).map(|e| e.id),
        }
    }

    /// The configuration in force at an index that is in the log.
    pub(crate) fn conf_at(&self, index: Index) -> ConfState {
        let confs = self.entries.iter().filter(|e| e.kind == EntryKind::ConfChange);
        let newest = confs.take_while(|e| e.id.index <= index).last();
        newest.map_or_else(
            || {
                let has_snapshot = self.snapshot.last.index > Index(0);
                if has_snapshot { self.snapshot.conf.clone() } else { self.conf.clone() }
            },
            |e| ConfState::decode(&e.data).expect("a configuration"),
        )
    }
}

/// A batch written and not yet synced.
#[derive(Debug)]
struct Write {
    receipt: Receipt,
    hard: Option<HardState>,
    snapshot: Option<SnapshotMeta>,
    entries: Vec<Entry>,
}

/// A disk with a queue of writes. Cloning shares it: one clone is the core's storage.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) platter: Rc<RefCell<Platter>>,
    writes: Rc<RefCell<VecDeque<Write>>>,
    /// Every so many reads of entries the answer is that they must be fetched first; 0 is never.
    pub(crate) pending_every: Rc<Cell<u32>>,
    /// Reads of entries so far.
    pub(crate) reads: Rc<Cell<u32>>,
    /// What every read of entries answers, if set.
    pub(crate) fault: Rc<Cell<Option<StorageError>>>,
    /// Reads at or below this answer that it was compacted, though the core was not told.
    pub(crate) compacted: Rc<Cell<u64>>,
}

impl Disk {
    pub(crate) fn new(voters: &[u64]) -> Self {
        Self::with_conf(ConfState::of_voters(voters.iter().copied().map(NodeId)))
    }

    pub(crate) fn with_conf(conf: ConfState) -> Self {
        let disk = Self::default();
        disk.platter.borrow_mut().conf = conf;
        disk
    }

    /// Takes the part of an output that is to be persisted.
    pub(crate) fn write(&self, ready: &mut Ready) {
        if let Some(receipt) = ready.receipt.take() {
            let entries = ready.entries_to_persist.to_vec();
            let (hard, snapshot) = (ready.hard_state.take(), ready.snapshot.take());
            let pending = self.writes.borrow().iter().any(|write| write.snapshot.is_some());
            assert!(!pending || entries.is_empty(), "nothing is persisted past a pending snapshot");
            self.writes.borrow_mut().push_back(Write { receipt, hard, snapshot, entries });
        }
    }

    pub(crate) fn writes(&self) -> usize {
        self.writes.borrow().len()
    }

    /// Syncs the oldest `count` writes and returns the receipt of the last of them.
    pub(crate) fn sync(&self, count: usize) -> Option<Receipt> {
        let mut newest = None;
        for _ in 0..count {
            let Some(write) = self.writes.borrow_mut().pop_front() else {
                break;
            };
            self.platter.borrow_mut().apply(&write);
            newest = Some(write.receipt);
        }
        newest
    }

    /// Power is lost: the oldest `kept` writes made it, nobody was told. With `torn` a snapshot in
    /// the next one made it as well, and the rest of that write did not.
    pub(crate) fn crash(&self, kept: usize, torn: bool) {
        let _ = self.sync(kept);
        let next = self.writes.borrow_mut().pop_front();
        if let Some(snapshot) = next.and_then(|write| write.snapshot).filter(|_| torn) {
            self.platter.borrow_mut().snapshot = snapshot;
        }
        self.writes.borrow_mut().clear();
    }

    /// Everything as the running replica sees it: synced and not yet synced.
    pub(crate) fn view(&self) -> Platter {
        let mut view = self.platter.borrow().clone();
        self.writes.borrow().iter().for_each(|write| view.apply(write));
        view
    }

    /// Takes a snapshot that ends at `index`, which is durable, and drops the log up to `base`.
    pub(crate) fn compact(&self, index: Index, base: Index) {
        let mut platter = self.platter.borrow_mut();
        let last = platter.id_at(index).expect("a snapshot ends in the log");
        let conf = platter.conf_at(index);
        platter.snapshot = SnapshotMeta { last, conf };
        if let Some(base) = platter.id_at(base.min(index)) {
            let dropped = base.index.0 - platter.base.index.0;
            platter.entries.drain(..dropped as usize);
            platter.base = base;
        }
    }

    /// Whether the entry is durable here, or part of the snapshot.
    pub(crate) fn holds(&self, id: LogId) -> bool {
        let platter = self.platter.borrow();
        let covered = id == platter.snapshot.last || id.index < platter.snapshot.last.index;
        covered || platter.id_at(id.index) == Some(id)
    }
}

impl Storage for Disk {
    fn initial_state(&self) -> Result<InitialState, StorageError> {
        let platter = self.platter.borrow();
        Ok(InitialState { hard: platter.hard, conf: platter.conf.clone() })
    }

    fn entries(
        &self,
        from: Index,
        to: Index,
        bytes_max: usize,
        out: &mut Vec<Entry>,
    ) -> Result<(), StorageError> {
        self.reads.set(self.reads.get() + 1);
        if let Some(error) = self.fault.get() {
            return Err(error);
        }
        let every = self.pending_every.get();
        if every > 0 && self.reads.get() % every == 0 {
            return Err(StorageError::Pending);
        }
        let platter = self.platter.borrow();
        let base = platter.base.index.0;
        if from.0 <= base.max(self.compacted.get()) {
            return Err(StorageError::Compacted);
        }
        let range = (from.0 - base) as usize - 1..(to.0 - base) as usize - 1;
        let mut bytes = 0;
        for (i, entry) in
            platter.entries.get(range).ok_or(StorageError::Unavailable)?.iter().enumerate()
        {
            bytes += entry.data.len();
            if i > 0 && bytes > bytes_max {
                break;
            }
            out.push(entry.clone());
        }
        Ok(())
    }

    fn conf_entries(&self, from: Index, out: &mut Vec<Entry>) -> Result<(), StorageError> {
        let platter = self.platter.borrow();
        let confs = platter.entries.iter().filter(|e| e.kind == EntryKind::ConfChange);
        out.extend(confs.filter(|e| e.id.index >= from).cloned());
        Ok(())
    }

    fn term_at(&self, index: Index) -> Result<Term, StorageError> {
        let id = self.platter.borrow().id_at(index);
        id.map(|id| id.term).ok_or(StorageError::Unavailable)
    }

    fn first_index(&self) -> Index {
        self.platter.borrow().base.index.next()
    }

    fn last_index(&self) -> Index {
        self.platter.borrow().last().index
    }

    fn snapshot_meta(&self) -> SnapshotMeta {
        self.platter.borrow().snapshot.clone()
    }
}
