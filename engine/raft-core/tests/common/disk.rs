//! The durable side of one replica.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use raft_core::{
    ConfState, Entry, HardState, Index, InitialState, LogId, NodeId, Ready, Receipt, SnapshotMeta,
    Storage, StorageError, Term,
};

/// What a crash does not take.
#[derive(Debug, Default)]
pub(crate) struct Platter {
    pub(crate) hard: HardState,
    /// The log from index 1.
    pub(crate) entries: Vec<Entry>,
    pub(crate) voters: Vec<NodeId>,
}

/// A batch written and not yet synced.
#[derive(Debug)]
struct Write {
    receipt: Receipt,
    hard: Option<HardState>,
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
    /// The log is gone up to here.
    pub(crate) compacted: Rc<Cell<u64>>,
}

impl Disk {
    pub(crate) fn new(voters: &[u64]) -> Self {
        let disk = Self::default();
        disk.platter.borrow_mut().voters = voters.iter().copied().map(NodeId).collect();
        disk
    }

    /// Takes the part of an output that is to be persisted.
    pub(crate) fn write(&self, ready: &mut Ready) {
        if let Some(receipt) = ready.receipt.take() {
            let entries = std::mem::take(&mut ready.entries_to_persist);
            let write = Write { receipt, hard: ready.hard_state.take(), entries };
            self.writes.borrow_mut().push_back(write);
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
            let mut platter = self.platter.borrow_mut();
            if let Some(hard) = write.hard {
                platter.hard = hard;
            }
            if let Some(first) = write.entries.first() {
                platter.entries.truncate(first.id.index.0 as usize - 1);
            }
            platter.entries.extend(write.entries);
            newest = Some(write.receipt);
        }
        newest
    }

    /// Power is lost: the oldest `kept` writes made it, nobody was told.
    pub(crate) fn crash(&self, kept: usize) {
        let _ = self.sync(kept);
        self.writes.borrow_mut().clear();
    }

    /// The log as the running replica sees it: synced and not yet synced.
    pub(crate) fn view(&self) -> Vec<Entry> {
        let mut log = self.platter.borrow().entries.clone();
        for write in self.writes.borrow().iter() {
            if let Some(first) = write.entries.first() {
                log.truncate(first.id.index.0 as usize - 1);
            }
            log.extend(write.entries.iter().cloned());
        }
        log
    }

    /// Whether the entry is durable here.
    pub(crate) fn holds(&self, id: LogId) -> bool {
        let place = id.index.0 as usize;
        place == 0 || self.platter.borrow().entries.get(place - 1).is_some_and(|e| e.id == id)
    }
}

impl Storage for Disk {
    fn initial_state(&self) -> Result<InitialState, StorageError> {
        let platter = self.platter.borrow();
        let conf = ConfState { voters: platter.voters.clone() };
        Ok(InitialState { hard: platter.hard, conf })
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
        if from.0 <= self.compacted.get() {
            return Err(StorageError::Compacted);
        }
        let platter = self.platter.borrow();
        let range = from.0 as usize - 1..to.0 as usize - 1;
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

    fn term_at(&self, index: Index) -> Result<Term, StorageError> {
        let platter = self.platter.borrow();
        let entry = platter.entries.get((index.0 as usize).wrapping_sub(1));
        entry.map(|e| e.id.term).ok_or(StorageError::Unavailable)
    }

    fn first_index(&self) -> Index {
        Index(self.compacted.get() + 1)
    }

    fn last_index(&self) -> Index {
        Index(self.platter.borrow().entries.len() as u64)
    }

    fn snapshot_meta(&self) -> SnapshotMeta {
        let last = Index(self.compacted.get());
        let term = self.term_at(last).unwrap_or_default();
        SnapshotMeta { last: LogId::new(term, last), conf: ConfState::default() }
    }
}
