//! The disk of a node: real log bytes, recovered by the real recovery, that a crash may tear.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use raft_core::{
    ConfState, Entry, GroupId, HardState, Index, InitialState, LogId, SnapshotMeta, Storage,
    StorageError, Term,
};
use wal::log::Log;
use wal::op::{SegmentId, WriteOp};
use wal::record::{RECORD_HEADER_BYTES, RecordHeader};
use wal::recover::Medium;
use wal::{OpenError, op::OpId};

use crate::rng::Rng;
use crate::snapshots::Newest;

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// The files of a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) files: BTreeMap<SegmentId, Vec<u8>>,
}

/// A write on its way to the disk.
#[derive(Clone, Debug)]
pub(crate) struct Flying {
    pub(crate) op: WriteOp,
    pub(crate) bytes: Vec<u8>,
}

impl Medium for Disk {
    fn segments(&mut self) -> Result<Vec<(SegmentId, u64)>, OpenError> {
        Ok(self.files.iter().map(|(id, bytes)| (*id, bytes.len() as u64)).collect())
    }

    fn read(&mut self, id: SegmentId, offset: u64, out: &mut [u8]) -> Result<(), OpenError> {
        if let Some(bytes) = self.files.get(&id).and_then(|f| f.get(offset as usize..)) {
            out.copy_from_slice(&bytes[..out.len()]);
        }
        Ok(())
    }
}

impl Disk {
    /// The write is on the medium.
    pub(crate) fn write(&mut self, flying: &Flying) {
        if let Some(file) = self.files.get_mut(&flying.op.segment) {
            file[flying.op.offset as usize..][..flying.bytes.len()].copy_from_slice(&flying.bytes);
        }
    }

    /// The power fails: every sector of a write on its way is new, old or garbage.
    pub(crate) fn tear(&mut self, flying: &Flying, rng: &mut Rng) {
        let Some(file) = self.files.get_mut(&flying.op.segment) else { return };
        let place = &mut file[flying.op.offset as usize..][..flying.bytes.len()];
        let fate = rng.below(4);
        for (old, new) in place.chunks_mut(SECTOR_BYTES).zip(flying.bytes.chunks(SECTOR_BYTES)) {
            match if fate < 3 { fate } else { rng.below(3) } {
                0 => old.copy_from_slice(new),
                1 => {}
                _ => old.fill_with(|| rng.next() as u8),
            }
        }
    }
}

/// A log and the disk below it, shared by the host and the groups that read it.
pub(crate) struct NodeLog {
    pub(crate) log: RefCell<Log>,
    pub(crate) disk: Rc<RefCell<Disk>>,
}

impl NodeLog {
    /// Takes a write out of the list of those on their way.
    pub(crate) fn land(flying: &mut Vec<Flying>, op: OpId) -> Option<Flying> {
        let place = flying.iter().position(|f| f.op.id == op)?;
        Some(flying.remove(place))
    }

    pub(crate) fn entry(
        &self,
        log: &Log,
        group: GroupId,
        index: Index,
    ) -> Result<Entry, StorageError> {
        let corrupt = StorageError::Corrupt;
        let entries = log.index().group(group).ok_or(StorageError::Unavailable)?;
        let id = LogId::new(entries.term(index).ok_or(corrupt)?, index);
        let place = entries.place(index).ok_or(corrupt)?;
        let segment = log.segment(place.slot()).ok_or(corrupt)?;
        let disk = self.disk.borrow();
        let file = disk.files.get(&segment).ok_or(corrupt)?;
        let record = file.get(place.offset() as usize..).ok_or(corrupt)?;
        let head = RecordHeader::read(record).filter(RecordHeader::is_intact).ok_or(corrupt)?;
        let data = &record[RECORD_HEADER_BYTES..][..head.data_len as usize];
        if head.group != group.0 || head.id() != id || !head.holds(data) {
            return Err(corrupt);
        }
        let kind = head.entry_kind().ok_or(corrupt)?;
        Ok(Entry { id, kind, data: Bytes::copy_from_slice(data) })
    }

    /// The term of a durable entry, also of the one that the log goes on from.
    pub(crate) fn term(&self, group: GroupId, index: Index) -> Option<Term> {
        let log = self.log.borrow();
        let entries = log.index().group(group)?;
        let base = entries.purged_term().filter(|_| index.next() == entries.first());
        base.or_else(|| entries.term(index))
    }

    /// The first durable entry.
    pub(crate) fn first(&self, group: GroupId) -> Index {
        self.log.borrow().index().group(group).map_or(Index(1), wal::index::GroupLog::first)
    }

    /// The last durable entry.
    pub(crate) fn last(&self, group: GroupId) -> Index {
        self.log.borrow().index().group(group).map_or(Index(0), wal::index::GroupLog::last)
    }
}

/// What a group reads of the log of its node.
pub(crate) struct GroupStorage {
    pub(crate) log: Rc<NodeLog>,
    pub(crate) group: GroupId,
    pub(crate) hard: HardState,
    pub(crate) conf: ConfState,
    pub(crate) newest: Newest,
}

impl Storage for GroupStorage {
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
        let log = self.log.log.borrow();
        let last = log.index().group(self.group).map_or(Index(0), wal::index::GroupLog::last);
        if from < log.index().group(self.group).map_or(Index(1), wal::index::GroupLog::first) {
            return Err(StorageError::Compacted);
        }
        if from > last && from < to {
            return Err(StorageError::Unavailable);
        }
        let (mut bytes, mut index) = (0, from);
        while index < to && index <= last {
            let entry = self.log.entry(&log, self.group, index)?;
            if index > from && bytes + entry.data.len() > bytes_max {
                break;
            }
            bytes += entry.data.len();
            out.push(entry);
            index = index.next();
        }
        Ok(())
    }

    fn term_at(&self, index: Index) -> Result<Term, StorageError> {
        let first = self.log.first(self.group);
        if index == Index(0) && first == Index(1) {
            return Ok(Term(0));
        }
        if index.next() < first {
            return Err(StorageError::Compacted);
        }
        self.log.term(self.group, index).ok_or(StorageError::Unavailable)
    }

    fn first_index(&self) -> Index {
        self.log.first(self.group)
    }

    fn last_index(&self) -> Index {
        self.log.last(self.group)
    }

    fn snapshot_meta(&self) -> SnapshotMeta {
        self.newest.borrow().get(&self.group).cloned().unwrap_or_default()
    }
}
