//! Ours: `raft-core` by its door that allocates nothing, `multi-raft` for many groups.

mod group;
mod idle;

use std::cell::RefCell;

use raft_core::{
    Bytes, ConfState, Entry, EntryKind, Index, InitialState, LogId, NodeId, SnapshotMeta, Storage,
    StorageError, Term,
};

use crate::cores::mapped;
pub(crate) use group::Group;
pub(crate) use idle::Idle;

pub(crate) const NAME: &str = "FlareDB";

/// The nodes of every group.
const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

/// A log in memory, with a copy of every entry: a host that writes a file copies as well.
#[derive(Debug)]
struct Arena(RefCell<Vec<Entry>>);

impl Arena {
    /// An empty log with memory for so many entries.
    fn new(entries: usize) -> Self {
        let blank = Entry { id: LogId::default(), kind: EntryKind::NoOp, data: Bytes::new() };
        Self(RefCell::new(mapped(&blank, entries)))
    }

    /// Appends entries; what the log holds at the index of the first and beyond is gone.
    #[inline]
    fn append(&self, entries: &[Entry]) {
        if let Some(first) = entries.first() {
            let mut log = self.0.borrow_mut();
            log.truncate(first.id.index.prev().0 as usize);
            log.extend_from_slice(entries);
        }
    }
}

impl Storage for Arena {
    fn initial_state(&self) -> Result<InitialState, StorageError> {
        let conf = ConfState { voters: NODES.to_vec(), ..ConfState::default() };
        Ok(InitialState { conf, ..InitialState::default() })
    }

    fn entries(
        &self,
        from: Index,
        to: Index,
        bytes_max: usize,
        out: &mut Vec<Entry>,
    ) -> Result<(), StorageError> {
        let log = self.0.borrow();
        let wanted = (from.0 as usize - 1)..(to.0 as usize - 1);
        let mut bytes = 0;
        for entry in log.get(wanted).ok_or(StorageError::Unavailable)? {
            bytes += entry.data.len();
            if bytes > bytes_max && bytes > entry.data.len() {
                break;
            }
            out.push(entry.clone());
        }
        Ok(())
    }

    fn term_at(&self, index: Index) -> Result<Term, StorageError> {
        match index.0.checked_sub(1) {
            None => Ok(Term(0)),
            Some(at) => self
                .0
                .borrow()
                .get(at as usize)
                .map(|entry| entry.id.term)
                .ok_or(StorageError::Unavailable),
        }
    }

    fn first_index(&self) -> Index {
        Index(1)
    }

    fn last_index(&self) -> Index {
        Index(self.0.borrow().len() as u64)
    }

    fn snapshot_meta(&self) -> SnapshotMeta {
        SnapshotMeta::default()
    }
}
