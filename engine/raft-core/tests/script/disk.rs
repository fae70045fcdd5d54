//! The durable side of one replica, in memory.

use std::cell::RefCell;
use std::rc::Rc;

use raft_core::{
    ConfState, Entry, EntryKind, HardState, Index, InitialState, LogId, SnapshotMeta, Storage,
    StorageError, Term,
};

/// What a restart does not take: term, vote and commit, the log after `base`, and the state
/// machine, which is its own newest snapshot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Platter {
    pub(crate) hard: HardState,
    pub(crate) base: LogId,
    pub(crate) entries: Vec<Entry>,
    /// The state machine: the last entry applied, and the members as of it.
    pub(crate) machine: SnapshotMeta,
    /// The members the group began with.
    pub(crate) initial: ConfState,
}

/// A persist batch on its way to the disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Write {
    pub(crate) hard: Option<HardState>,
    pub(crate) snapshot: Option<SnapshotMeta>,
    pub(crate) entries: Vec<Entry>,
}

impl Platter {
    /// Takes a batch. Returns what is wrong with it, if anything.
    pub(crate) fn write(&mut self, write: &Write) -> Result<(), &'static str> {
        self.hard = write.hard.unwrap_or(self.hard);
        if let Some(snapshot) = &write.snapshot {
            if snapshot.last.index < self.machine.last.index {
                return Err("a snapshot takes back what was applied");
            }
            self.machine = snapshot.clone();
            self.base = snapshot.last;
            self.entries.clear();
        }
        if let Some(first) = write.entries.first() {
            if first.id.index <= self.machine.last.index {
                return Err("an applied entry is written over");
            }
            self.entries.truncate((first.id.index.0 - self.base.index.0 - 1) as usize);
            if self.last().index.next() != first.id.index {
                return Err("the log on disk has a hole");
            }
        }
        self.entries.extend(write.entries.iter().cloned());
        Ok(())
    }

    /// The last entry, or the base.
    pub(crate) fn last(&self) -> LogId {
        self.entries.last().map_or(self.base, |e| e.id)
    }

    /// The identity at an index from the base to the end.
    pub(crate) fn id_at(&self, index: Index) -> Option<LogId> {
        let offset = index.0.checked_sub(self.base.index.0)?;
        match offset.checked_sub(1) {
            None => Some(self.base),
            Some(place) => self.entries.get(place as usize).map(|e| e.id),
        }
    }

    /// The state machine has applied everything up to this index, which is in the log.
    pub(crate) fn apply(&mut self, index: Index) {
        let applied = self.machine.last.index;
        if applied == Index(0) {
            self.machine.conf = self.initial.clone();
        }
        let new = self.entries.iter().filter(|e| (applied.next()..=index).contains(&e.id.index));
        let mut conf = None;
        for entry in new {
            self.machine.last = entry.id;
            if entry.kind == EntryKind::ConfChange {
                conf = ConfState::decode(&entry.data).or(conf);
            }
        }
        if let Some(conf) = conf {
            self.machine.conf = conf;
        }
    }

    /// Drops the log up to this index. Only what was applied may go.
    pub(crate) fn compact(&mut self, through: Index) -> bool {
        let applied = self.machine.last.index;
        let base = self.id_at(through).filter(|_| through <= applied);
        if let Some(base) = base {
            self.entries.drain(..(base.index.0 - self.base.index.0) as usize);
            self.base = base;
        }
        base.is_some()
    }
}

/// The platter as the core reads it. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(pub(crate) Rc<RefCell<Platter>>);

impl Storage for Disk {
    fn initial_state(&self) -> Result<InitialState, StorageError> {
        let platter = self.0.borrow();
        Ok(InitialState { hard: platter.hard, conf: platter.initial.clone() })
    }

    fn entries(
        &self,
        from: Index,
        to: Index,
        bytes_max: usize,
        out: &mut Vec<Entry>,
    ) -> Result<(), StorageError> {
        let platter = self.0.borrow();
        let base = platter.base.index;
        if from <= base {
            return Err(StorageError::Compacted);
        }
        let range = (from.0 - base.0 - 1) as usize..(to.0 - base.0 - 1) as usize;
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
        let id = self.0.borrow().id_at(index);
        id.map(|id| id.term).ok_or(StorageError::Unavailable)
    }

    fn first_index(&self) -> Index {
        self.0.borrow().base.index.next()
    }

    fn last_index(&self) -> Index {
        self.0.borrow().last().index
    }

    fn snapshot_meta(&self) -> SnapshotMeta {
        self.0.borrow().machine.clone()
    }
}
