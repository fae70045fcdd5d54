//! Where every durable entry lies: eight bytes an entry, terms as runs, and which entries change a
//! configuration.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use raft_core::{EntryKind, GroupId, HardState, Index, LogId, Term};

use crate::batch::records;
use crate::op::NUMBER_END;
use crate::record::{GroupState, RecordHeader, RecordKind};

/// Entries of one chunk.
const CHUNK: usize = 256;

/// A data length that does not fit into a place: read it from the record header.
const LEN_UNKNOWN: u32 = 0xFF_FFFF;

/// Where a record lies: segment slot 16 bits, offset in units of eight 24 bits, data length 24
/// bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u64);

impl Place {
    fn new(slot: u16, offset: u64, data_len: u32) -> Self {
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
    /// A kind of record, or of entry, that this version does not know.
    Unknown {
        /// Offset of the record in the batch, in bytes.
        offset: usize,
        /// The kind.
        kind: u8,
    },
}

/// The durable log of one group, and how far it has been appended.
#[derive(Debug)]
pub struct GroupLog {
    hard: HardState,
    first: u64,
    places: Vec<Vec<u64>>,
    len: usize,
    /// First index and term of each run of equal terms.
    terms: Vec<(u64, u64)>,
    /// The entries that are [`EntryKind::ConfChange`], in ascending order.
    confs: Vec<u64>,
    /// First and next index with what is not durable yet.
    appended: (u64, u64),
}

impl Default for GroupLog {
    /// An empty log that starts at index one.
    fn default() -> Self {
        Self {
            hard: HardState::default(),
            first: 1,
            places: Vec::new(),
            len: 0,
            terms: Vec::new(),
            confs: Vec::new(),
            appended: (1, 1),
        }
    }
}

impl GroupLog {
    /// Term, vote and commit.
    #[must_use]
    pub const fn hard_state(&self) -> HardState {
        self.hard
    }

    /// The first index; one past the last when the log is empty.
    #[must_use]
    pub const fn first(&self) -> Index {
        Index(self.first)
    }

    /// The last index; one before the first when the log is empty.
    #[must_use]
    pub const fn last(&self) -> Index {
        Index(self.first + self.len as u64 - 1)
    }

    /// The last entry; term zero when the log is empty.
    #[must_use]
    pub fn last_id(&self) -> LogId {
        LogId::new(self.term(self.last()).unwrap_or_default(), self.last())
    }

    /// Where the entry at `index` lies.
    #[must_use]
    pub fn place(&self, index: Index) -> Option<Place> {
        let i = usize::try_from(index.0.checked_sub(self.first)?).ok()?;
        self.places.get(i / CHUNK)?.get(i % CHUNK).copied().map(Place)
    }

    /// The term of the entry at `index`.
    #[must_use]
    pub fn term(&self, index: Index) -> Option<Term> {
        if self.len == 0 || index < self.first() || index > self.last() {
            return None;
        }
        let run = self.terms.partition_point(|&(first, _)| first <= index.0).checked_sub(1)?;
        self.terms.get(run).map(|&(_, term)| Term(term))
    }

    /// The entries from `from` on that change the configuration, in ascending order.
    pub fn confs(&self, from: Index) -> impl ExactSizeIterator<Item = Index> + '_ {
        let before = self.confs.partition_point(|&index| index < from.0);
        self.confs[before..].iter().copied().map(Index)
    }

    fn push(&mut self, id: LogId, kind: EntryKind, place: Place) -> Result<(), Index> {
        let index = id.index.0;
        if !(1..NUMBER_END).contains(&index) {
            return Err(self.last().next());
        }
        if self.len == 0 || index <= self.first {
            self.truncate(0);
            self.first = index;
        } else if index > self.last().0 + 1 {
            return Err(self.last().next());
        } else {
            self.truncate((index - self.first) as usize);
        }
        if self.len % CHUNK == 0 {
            // Small groups grow as they go, large ones take a chunk at once.
            let room = if self.places.is_empty() { 0 } else { CHUNK };
            self.places.push(Vec::with_capacity(room));
        }
        if let Some(chunk) = self.places.last_mut() {
            chunk.push(place.0);
        }
        self.len += 1;
        if self.terms.last().is_none_or(|&(_, term)| term != id.term.0) {
            self.terms.push((index, id.term.0));
        }
        if kind == EntryKind::ConfChange {
            self.confs.push(index);
        }
        Ok(())
    }

    fn truncate(&mut self, len: usize) {
        if len >= self.len {
            return;
        }
        self.len = len;
        self.places.truncate(len.div_ceil(CHUNK));
        if let Some(chunk) = self.places.last_mut() {
            chunk.truncate((len - 1) % CHUNK + 1);
        }
        let end = self.first + len as u64;
        let runs = self.terms.partition_point(|&(first, _)| first < end);
        self.terms.truncate(runs);
        let confs = self.confs.partition_point(|&index| index < end);
        self.confs.truncate(confs);
    }
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
}

impl LogIndex {
    /// The log of a group, if anything was ever written for it.
    #[must_use]
    pub fn group(&self, group: GroupId) -> Option<&GroupLog> {
        self.groups.get(&group)
    }

    /// All groups, in no order.
    pub fn groups(&self) -> impl Iterator<Item = (GroupId, &GroupLog)> {
        self.groups.iter().map(|(&group, log)| (group, log))
    }

    /// First and next index of a group with what is not durable yet.
    #[must_use]
    pub fn appended(&self, group: GroupId) -> (Index, Index) {
        let (first, next) = self.groups.get(&group).map_or((1, 1), |log| log.appended);
        (Index(first), Index(next))
    }

    /// Says how far a group has been appended.
    pub fn set_appended(&mut self, group: GroupId, first: Index, next: Index) {
        self.groups.entry(group).or_default().appended = (first.0, next.0);
    }

    /// Takes in a durable batch that lies at `offset` of the segment in `slot`. The same rules
    /// hold for a batch that was just written and for one that recovery has proved.
    ///
    /// # Errors
    /// [`Misfit`] when a record does not follow its group's log.
    pub fn apply(&mut self, slot: u16, offset: u64, batch: &[u8]) -> Result<(), Misfit> {
        for (at, head, data) in records(batch) {
            let place = Place::new(slot, offset + at as u64, head.data_len);
            self.apply_record(at, &head, data, place)?;
        }
        Ok(())
    }

    fn apply_record(
        &mut self,
        offset: usize,
        head: &RecordHeader,
        data: &[u8],
        place: Place,
    ) -> Result<(), Misfit> {
        let group = GroupId(head.group);
        let unknown = Misfit::Unknown { offset, kind: head.kind };
        let hole = |expected, found| Misfit::Hole { offset, group, expected, found };
        let log = self.groups.entry(group).or_default();
        match RecordKind::from_u8(head.kind) {
            Some(RecordKind::Entry) => {
                let kind = head.entry_kind().ok_or(unknown)?;
                log.push(head.id(), kind, place).map_err(|due| hole(due, head.id().index))
            }
            Some(RecordKind::GroupState) => {
                let state = GroupState::read(data).ok_or(unknown)?;
                log.hard = state.hard_state();
                let (first, last) = (Index(state.first_index), Index(state.last_index));
                if first != log.first() {
                    return Err(hole(first, log.first()));
                }
                if last != log.last() { Err(hole(last, log.last())) } else { Ok(()) }
            }
            None => Err(unknown),
        }
    }

    /// Takes what is durable as what was appended: the end of recovery.
    pub fn settle(&mut self) {
        for log in self.groups.values_mut() {
            log.appended = (log.first, log.first + log.len as u64);
        }
    }
}
