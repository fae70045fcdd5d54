//! Where every durable entry lies: eight bytes an entry, terms as runs, and which entries change a
//! configuration.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use raft_core::{GroupId, Index};

use crate::batch::records;
use crate::op::{Mark, NUMBER_END};
use crate::record::{BatchHeader, GroupState, PURGE_RESTART, RecordHeader, RecordKind};
use crate::relocate::Relocation;

mod group;
mod usage;

use group::Appended;
pub use group::GroupLog;
pub(crate) use group::Restored;
pub use usage::Live;
use usage::Usage;

/// A data length that does not fit into a place: read it from the record header.
const LEN_UNKNOWN: u32 = 0xFF_FFFF;

/// Where a record lies: segment slot 16 bits, offset in units of eight 24 bits, data length 24
/// bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u64);

impl Place {
    pub(crate) fn new(slot: u16, offset: u64, data_len: u32) -> Self {
        debug_assert!(offset % 8 == 0 && offset / 8 < 1 << 24, "a segment has at most 128 MiB");
        Self(u64::from(slot) << 48 | (offset / 8) << 24 | u64::from(data_len.min(LEN_UNKNOWN)))
    }

    /// The slot of the segment.
    #[must_use]
    pub const fn slot(self) -> u16 {
        (self.0 >> 48) as u16
    }

    /// Offset of the record header in the segment, in bytes.
    #[must_use]
    pub const fn offset(self) -> u64 {
        (self.0 >> 24 & 0xFF_FFFF) * 8
    }

    /// Length of the data, in bytes; `None` when only the record header knows.
    #[must_use]
    pub const fn data_len(self) -> Option<u32> {
        let len = (self.0 & 0xFF_FFFF) as u32;
        if len == LEN_UNKNOWN { None } else { Some(len) }
    }

    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// Length of the data, in bytes, or 16 MiB when it is not less.
    pub(crate) const fn data_len_min(self) -> u32 {
        (self.0 & 0xFF_FFFF) as u32
    }
}

/// Why a record cannot follow what is there. State of its group undefined; the log does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// Entries between `expected` and `found` are missing.
    Hole {
        /// Offset of the record in the batch, in bytes.
        offset: usize,
        /// The group.
        group: GroupId,
        /// The index that was due.
        expected: Index,
        /// The index found.
        found: Index,
    },
    /// A checkpoint counts an entry that is nowhere.
    Lost {
        /// The group.
        group: GroupId,
        /// The index.
        index: Index,
    },
    /// A kind of record, or of entry, that this version does not know.
    Unknown {
        /// Offset of the record in the batch, in bytes.
        offset: usize,
        /// The kind.
        kind: u8,
    },
}

/// Group numbers are spread by one multiplication; they are ours, so nobody aims at the map.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0 ^ u64::from(byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        let product = u128::from(id ^ 0x9E37_79B9_7F4A_7C15) * 0xA076_1D64_78BD_642F;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
}

/// All groups of a log.
#[derive(Debug, Default)]
pub struct LogIndex {
    groups: HashMap<GroupId, GroupLog, BuildHasherDefault<IdHasher>>,
    usage: Usage,
    /// Groups that came to be, while somebody wants to know.
    born: Option<Vec<GroupId>>,
}

impl LogIndex {
    /// The log of a group, if anything was ever written for it and it was not deleted since.
    #[must_use]
    pub fn group(&self, group: GroupId) -> Option<&GroupLog> {
        self.groups.get(&group)
    }

    /// All groups, in no order.
    pub fn groups(&self) -> impl Iterator<Item = (GroupId, &GroupLog)> {
        self.groups.iter().map(|(&group, log)| (group, log))
    }

    /// What of a segment is alive.
    #[must_use]
    pub fn live(&self, slot: u16) -> Live {
        self.usage.of(slot)
    }

    /// What of all segments is alive.
    #[must_use]
    pub fn live_total(&self) -> Live {
        self.usage.total()
    }

    /// Memory the index takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let slots = self.groups.capacity() * size_of::<(GroupId, GroupLog)>();
        let heaps: usize = self.groups.values().map(GroupLog::heap_bytes).sum();
        (slots + heaps) as u64
    }

    /// Whether a group is there once all that was appended is durable.
    #[must_use]
    pub fn is_appended(&self, group: GroupId) -> bool {
        self.groups.get(&group).is_some_and(|log| !log.appended.gone)
    }

    /// First and next index of a group with what is not durable yet.
    #[must_use]
    pub fn appended(&self, group: GroupId) -> (Index, Index) {
        let end = self.groups.get(&group).map(|log| log.appended);
        end.map_or((Index(1), Index(1)), |end| (end.first, end.next))
    }

    /// Says how far a group has been appended.
    pub fn set_appended(&mut self, group: GroupId, first: Index, next: Index) {
        if let (None, Some(born)) = (self.groups.get(&group), &mut self.born) {
            born.push(group);
        }
        let log = self.groups.entry(group).or_default();
        log.appended = Appended { first, next, gone: false };
    }

    /// All groups there are; from now on [`LogIndex::born`] tells of new ones.
    pub(crate) fn watch(&mut self) -> Vec<GroupId> {
        self.born = Some(Vec::new());
        self.groups.keys().copied().collect()
    }

    /// A group that came to be since [`LogIndex::watch`] and was not told of yet.
    pub(crate) fn born(&mut self) -> Option<GroupId> {
        self.born.as_mut()?.pop()
    }

    /// Nobody wants to know of new groups any more.
    pub(crate) fn unwatch(&mut self) {
        self.born = None;
    }

    /// Number of groups.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there is no group.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Says that what was appended up to `mark` replaces entries of a group or deletes it.
    pub(crate) fn set_changed(&mut self, group: GroupId, mark: Mark) {
        if let Some(log) = self.groups.get_mut(&group) {
            log.changed = mark;
        }
    }

    /// Whether an entry lies at this place and nothing is appended that changes this, once all up
    /// to `durable` is applied.
    pub(crate) fn is_settled(&self, what: &Relocation, durable: Mark) -> bool {
        self.groups.get(&what.group).is_some_and(|log| {
            let here = log.place(what.id.index) == Some(what.place);
            here && log.term(what.id.index) == Some(what.id.term) && log.changed <= durable
        })
    }

    /// Says that the deletion of a group has been appended.
    pub fn set_deleted(&mut self, group: GroupId) {
        if let Some(log) = self.groups.get_mut(&group) {
            log.appended = Appended { first: Index(1), next: Index(1), gone: true };
        }
    }

    /// Takes in a durable batch that lies at `offset` of the segment in `slot`. The same rules
    /// hold for a batch that was just written and for one that recovery has proved.
    ///
    /// # Errors
    /// [`Misfit`] when a record does not follow its group's log.
    pub fn apply(&mut self, slot: u16, offset: u64, batch: &[u8]) -> Result<(), Misfit> {
        let seq = BatchHeader::read(batch).map_or(0, |header| header.batch_seq);
        for (at, head, data) in records(batch) {
            let place = Place::new(slot, offset + at as u64, head.data_len);
            self.apply_record(Mark(seq), at, &head, data, place)?;
        }
        Ok(())
    }

    /// One record of the batch `seq`.
    pub(crate) fn apply_record(
        &mut self,
        seq: Mark,
        offset: usize,
        head: &RecordHeader,
        data: &[u8],
        place: Place,
    ) -> Result<(), Misfit> {
        let group = GroupId(head.group);
        let unknown = Misfit::Unknown { offset, kind: head.kind };
        let kind = RecordKind::from_u8(head.kind).ok_or(unknown)?;
        match kind {
            RecordKind::Delete => {
                self.delete(group, seq);
                return Ok(());
            }
            // Says again what is there.
            RecordKind::CheckpointSegments
            | RecordKind::CheckpointGroup
            | RecordKind::CheckpointEnd => return Ok(()),
            RecordKind::RelocEntry => {
                if let Some(log) = self.groups.get_mut(&group) {
                    log.relocate(head.id(), place, &mut self.usage);
                }
                return Ok(());
            }
            RecordKind::Entry | RecordKind::GroupState | RecordKind::Purge => {}
        }
        let hole = |expected, found| Misfit::Hole { offset, group, expected, found };
        let (log, usage) = (self.groups.entry(group).or_default(), &mut self.usage);
        let id = head.id();
        match kind {
            RecordKind::Entry => {
                let kind = head.entry_kind().ok_or(unknown)?;
                log.push(id, kind, place, usage).map_err(|due| hole(due, id.index))
            }
            RecordKind::GroupState => {
                let state = GroupState::read(data).ok_or(unknown)?;
                log.hard = state.hard_state();
                let (first, last) = (Index(state.first_index), Index(state.last_index));
                if first != log.first() {
                    return Err(hole(first, log.first()));
                }
                if last != log.last() { Err(hole(last, log.last())) } else { Ok(()) }
            }
            RecordKind::Purge if id.index.0 >= NUMBER_END => Err(hole(log.last(), id.index)),
            RecordKind::Purge if head.flags == PURGE_RESTART => {
                log.restart(id.index.0 + 1, id.term.0, usage);
                Ok(())
            }
            RecordKind::Purge if head.flags != 0 => Err(unknown),
            RecordKind::Purge if id.index > log.last() => Err(hole(log.last(), id.index)),
            RecordKind::Purge => {
                if id.index >= log.first() {
                    log.purge(id.index, usage);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A group that was appended to behind its deletion in the batch `seq` begins anew, any other
    /// is forgotten. One that will be deleted again is remembered until then: what is appended
    /// behind that must know of it.
    fn delete(&mut self, group: GroupId, seq: Mark) {
        let Some(log) = self.groups.get_mut(&group) else { return };
        let (appended, changed) = (log.appended, log.changed);
        log.restart(1, 0, &mut self.usage);
        *log = GroupLog::default();
        (log.appended, log.changed) = (appended, changed);
        if appended.gone && changed <= seq {
            self.groups.remove(&group);
        }
    }

    /// Takes in a group as a checkpoint describes it.
    pub(crate) fn restore(&mut self, group: GroupId, found: &Restored) {
        let log = GroupLog::restored(found, &mut self.usage);
        self.groups.insert(group, log);
    }

    /// Forgets groups of which nothing is known: a checkpoint mentions also those that were just
    /// about to come to be.
    pub(crate) fn forget_blank(&mut self) {
        self.groups.retain(|_, log| !log.is_blank());
    }

    /// Takes what is durable as what was appended: the end of recovery.
    pub fn settle(&mut self) {
        for log in self.groups.values_mut() {
            log.settle();
        }
    }
}

#[cfg(test)]
mod tests;
