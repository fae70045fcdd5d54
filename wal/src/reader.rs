//! Reading durable entries back: from memory while they are recent, else through a map of their
//! segment.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use raft_core::{Entry, GroupId, Index, LogId, StorageError, Term};

use crate::disk::Segments;
use crate::index::{GroupLog, Place};
use crate::log::Log;
use crate::record::{RECORD_HEADER_BYTES, RecordHeader};

/// What a log and its readers share.
pub(crate) struct Shared {
    pub(crate) log: RefCell<Log>,
    pub(crate) segments: RefCell<Segments>,
}

/// A view of the durable entries of a log. Cloning is cheap; it sees what becomes durable later.
///
/// Every read verifies the checksums and the identity of what it read.
#[derive(Clone)]
pub struct LogReader {
    shared: Rc<Shared>,
}

impl fmt::Debug for LogReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogReader").finish_non_exhaustive()
    }
}

impl LogReader {
    pub(crate) const fn new(shared: Rc<Shared>) -> Self {
        Self { shared }
    }

    /// Appends to `out` the entries `from..to`, at least one, and as many as fit into `bytes_max`
    /// of payload. Entries beyond the last durable one are left out.
    ///
    /// # Errors
    /// [`StorageError::Compacted`] below the first index, [`StorageError::Unavailable`] when `from`
    /// lies beyond the last, [`StorageError::Corrupt`] when an entry is not what was written. `out`
    /// then holds the entries before it.
    pub fn entries(
        &self,
        group: GroupId,
        from: Index,
        to: Index,
        bytes_max: usize,
        out: &mut Vec<Entry>,
    ) -> Result<(), StorageError> {
        if from >= to {
            return Ok(());
        }
        let log = self.shared.log.borrow();
        let entries = log.index().group(group).ok_or(StorageError::Unavailable)?;
        check(entries, from)?;
        let (mut bytes, mut index) = (0, from);
        while index < to && index <= entries.last() {
            let id = LogId::new(entries.term(index).ok_or(StorageError::Corrupt)?, index);
            let place = entries.place(index).ok_or(StorageError::Corrupt)?;
            let len = place.data_len().unwrap_or(u32::MAX) as usize;
            if index > from && bytes + len > bytes_max {
                break;
            }
            let entry = self.read(&log, group, id, place)?;
            bytes += entry.data.len();
            out.push(entry);
            index = index.next();
        }
        Ok(())
    }

    /// Appends to `out` every [`raft_core::EntryKind::ConfChange`] from `from` to the end. Reads
    /// these alone: where they are is known.
    ///
    /// # Errors
    /// [`StorageError::Compacted`] below the first index, [`StorageError::Corrupt`] when an entry
    /// is not what was written. `out` then holds the ones before it.
    pub fn conf_entries(
        &self,
        group: GroupId,
        from: Index,
        out: &mut Vec<Entry>,
    ) -> Result<(), StorageError> {
        let log = self.shared.log.borrow();
        let Some(entries) = log.index().group(group) else {
            return Ok(());
        };
        if from < entries.first() {
            return Err(StorageError::Compacted);
        }
        for index in entries.confs(from) {
            let id = LogId::new(entries.term(index).ok_or(StorageError::Corrupt)?, index);
            let place = entries.place(index).ok_or(StorageError::Corrupt)?;
            out.push(self.read(&log, group, id, place)?);
        }
        Ok(())
    }

    /// The term of the entry at `index`, also of the one before the first when it was purged or a
    /// snapshot stands for it; zero at index zero, when the log starts at one.
    ///
    /// # Errors
    /// [`StorageError::Compacted`] below that, [`StorageError::Unavailable`] beyond
    /// the last.
    pub fn term_at(&self, group: GroupId, index: Index) -> Result<Term, StorageError> {
        let log = self.shared.log.borrow();
        let entries = log.index().group(group);
        if index.0 == 0 && entries.is_none_or(|entries| entries.first() == Index(1)) {
            return Ok(Term(0));
        }
        let entries = entries.ok_or(StorageError::Unavailable)?;
        if let Some(term) = entries.purged_term().filter(|_| index.next() == entries.first()) {
            return Ok(term);
        }
        check(entries, index)?;
        entries.term(index).ok_or(StorageError::Corrupt)
    }

    /// The first index; one past the last when the log is empty.
    #[must_use]
    pub fn first_index(&self, group: GroupId) -> Index {
        self.shared.log.borrow().index().group(group).map_or(Index(1), GroupLog::first)
    }

    /// The last durable index; one before the first when the log is empty.
    #[must_use]
    pub fn last_index(&self, group: GroupId) -> Index {
        self.shared.log.borrow().index().group(group).map_or(Index(0), GroupLog::last)
    }

    /// The entry at a place, from memory or from its file.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] when it is not what was written.
    pub(crate) fn read(
        &self,
        log: &Log,
        group: GroupId,
        id: LogId,
        place: Place,
    ) -> Result<Entry, StorageError> {
        let segment = log.segment(place.slot()).ok_or(StorageError::Corrupt)?;
        if let Some(bytes) = log.writer().arena().cached(segment, place.offset()) {
            if let Some(entry) = parse(bytes, group, id) {
                return Ok(entry);
            }
        }
        let mut segments = self.shared.segments.borrow_mut();
        let (slot, offset) = (place.slot(), place.offset());
        if let Some(entry) = segments
            .map(slot, segment)
            .and_then(|map| parse(map.get(offset as usize..)?, group, id))
        {
            return Ok(entry);
        }
        // The page cache may hold what a direct write has replaced since; the device has the last
        // word.
        let head = segments.read(segment, offset, RECORD_HEADER_BYTES);
        let head = head.and_then(|bytes| RecordHeader::read(&bytes));
        let len = head.filter(RecordHeader::is_intact).map(|head| head.data_len as usize);
        let bytes = len.and_then(|len| segments.read(segment, offset, RECORD_HEADER_BYTES + len));
        bytes.and_then(|bytes| parse(&bytes, group, id)).ok_or(StorageError::Corrupt)
    }
}

fn check(entries: &GroupLog, index: Index) -> Result<(), StorageError> {
    if index < entries.first() {
        Err(StorageError::Compacted)
    } else if index > entries.last() {
        Err(StorageError::Unavailable)
    } else {
        Ok(())
    }
}

/// The entry at the start of `bytes`, if it is this one and undamaged. The checksum is taken of the
/// copy: a map may change between two looks.
fn parse(bytes: &[u8], group: GroupId, id: LogId) -> Option<Entry> {
    let head = RecordHeader::read(bytes).filter(RecordHeader::is_intact)?;
    let ours = head.is_entry() && head.group == group.0 && head.id() == id;
    let data = bytes.get(RECORD_HEADER_BYTES..)?.get(..head.data_len as usize).filter(|_| ours)?;
    let data = Bytes::copy_from_slice(data);
    if head.holds(&data) { Some(Entry { id, kind: head.entry_kind()?, data }) } else { None }
}

#[cfg(test)]
mod tests;
