//! The bytes of a batch and of its records: layout, checksums, nothing else (`FORMAT.md`,
//! sections 2-4).

use bytemuck::{Pod, Zeroable};
use raft_core::{Entry, EntryKind, GroupId, HardState, Index, LogId, NodeId, Term};

/// The unit of every write: offsets and lengths on disk are multiples of it, in bytes.
pub const BLOCK_BYTES: usize = 4096;

/// First bytes of a batch.
pub const BATCH_MAGIC: u32 = u32::from_le_bytes(*b"FWB1");

/// Length of a [`BatchHeader`], in bytes.
pub const BATCH_HEADER_BYTES: usize = size_of::<BatchHeader>();

/// Length of a [`RecordHeader`], in bytes.
pub const RECORD_HEADER_BYTES: usize = size_of::<RecordHeader>();

const _: () = assert!(cfg!(target_endian = "little"), "the format is little-endian");
const _: () = assert!(BATCH_HEADER_BYTES == 64);
const _: () = assert!(RECORD_HEADER_BYTES == 40);
const _: () = assert!(size_of::<GroupState>() == 96);
const _: () = assert!(size_of::<LiveSegment>() == 32);
const _: () = assert!(size_of::<CheckpointEnd>() == 16);

/// What a batch is for: the values of [`BatchHeader::flags`].
pub mod flags {
    /// Records of groups.
    pub const NORMAL: u16 = 0;
    /// Reserved.
    pub const RELOC: u16 = 1;
    /// Reserved.
    pub const CKPT: u16 = 2;
    /// No records; its `durable_seq` proves that everything before it was durable.
    pub const BEACON: u16 = 4;
    /// No records; the last batch of an orderly shutdown.
    pub const CLOSE: u16 = 8;
}

/// The head of a batch, at a multiple of [`BLOCK_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct BatchHeader {
    /// [`BATCH_MAGIC`].
    pub magic: u32,
    /// CRC32C of bytes 8..64 of this header.
    pub header_crc: u32,
    /// The salt of the segment.
    pub salt: u64,
    /// Position of this batch in the log, without gaps.
    pub batch_seq: u64,
    /// The highest batch known to be durable when this one was built.
    pub durable_seq: u64,
    /// Length with padding, a multiple of [`BLOCK_BYTES`].
    pub total_len: u32,
    /// Length of the records, without this header and the padding.
    pub data_len: u32,
    /// Number of records.
    pub n_records: u32,
    /// One of [`flags`].
    pub flags: u16,
    /// Zero: not compressed.
    pub codec: u8,
    /// Zero.
    pub zero: u8,
    /// CRC32C over all record headers, which hold the checksums of the data.
    pub body_crc: u32,
    /// The chain up to the batch before this one.
    pub prev_chain: u32,
    /// The epoch of the segment.
    pub epoch: u64,
}

impl BatchHeader {
    /// Fills in the checksum.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.header_crc = self.crc();
        self
    }

    /// Whether magic and checksum hold: these are the bytes some writer wrote.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.magic == BATCH_MAGIC && self.header_crc == self.crc()
    }

    /// The chain after this batch.
    #[must_use]
    pub fn chain(&self) -> u32 {
        crc32c::crc32c_append(self.prev_chain, bytemuck::bytes_of(self))
    }

    /// The header at the start of `bytes`; `None` when there are too few.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        bytes.get(..BATCH_HEADER_BYTES).map(bytemuck::pod_read_unaligned)
    }

    fn crc(&self) -> u32 {
        crc32c::crc32c(&bytemuck::bytes_of(self)[8..])
    }
}

/// What a record is. The values not used yet are reserved: a reader that meets one refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// One entry of a group's log.
    Entry = 1,
    /// What a group knows about itself: a [`GroupState`].
    GroupState = 2,
    /// The log of a group now begins behind this identity; see [`PURGE_RESTART`].
    Purge = 3,
    /// A group and all it had is gone.
    Delete = 5,
    /// A copy of an entry that lives: it has only changed its place.
    RelocEntry = 6,
    /// A piece of the list of live segments of a checkpoint: [`LiveSegment`] after
    /// [`LiveSegment`].
    CheckpointSegments = 7,
    /// A group in a checkpoint: its [`GroupState`].
    CheckpointGroup = 8,
    /// The end of a checkpoint: a [`CheckpointEnd`].
    CheckpointEnd = 9,
}

/// The flag of a [`RecordKind::Purge`] with which the whole log goes, not only the prefix: what
/// it holds was never part of the history that the snapshot at this identity stands for.
pub const PURGE_RESTART: u8 = 1;

impl RecordKind {
    /// The kind a stored byte stands for, if this version knows it.
    #[must_use]
    pub const fn from_u8(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Entry),
            2 => Some(Self::GroupState),
            3 => Some(Self::Purge),
            5 => Some(Self::Delete),
            6 => Some(Self::RelocEntry),
            7 => Some(Self::CheckpointSegments),
            8 => Some(Self::CheckpointGroup),
            9 => Some(Self::CheckpointEnd),
            _ => None,
        }
    }
}

/// The head of a record. Its data follows, padded with zeros to a multiple of eight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct RecordHeader {
    /// The group; of the list and the end of a checkpoint its number.
    pub group: u64,
    /// The index of the entry, or the last one that is purged. In the list and the end of a
    /// checkpoint the segment from which on the log is complete, in a group of one the batch up
    /// to which its state holds. Else zero.
    pub index: u64,
    /// The term of the entry, or of the snapshot a log begins behind. In the list and the end of a
    /// checkpoint the batch up to which it holds, in a group of one the number of the checkpoint.
    /// Else zero.
    pub term: u64,
    /// Length of the data, without padding.
    pub data_len: u32,
    /// A [`RecordKind`].
    pub kind: u8,
    /// For an entry and a copy of one its [`EntryKind`], for a purge zero or [`PURGE_RESTART`],
    /// else zero.
    pub flags: u8,
    /// Zero.
    pub zero: u16,
    /// CRC32C of bytes 0..32 of this header.
    pub hdr_crc: u32,
    /// CRC32C of the data, continued from `hdr_crc`: the data belongs to this identity and no
    /// other.
    pub data_crc: u32,
}

impl RecordHeader {
    /// The header of `data` under this identity.
    #[must_use]
    pub fn new(group: GroupId, id: LogId, kind: RecordKind, flags: u8, data: &[u8]) -> Self {
        let mut header = Self {
            group: group.0,
            index: id.index.0,
            term: id.term.0,
            // Callers bound a unit by the segment, which is far below 4 GiB.
            data_len: data.len() as u32,
            kind: kind as u8,
            flags,
            zero: 0,
            hdr_crc: 0,
            data_crc: 0,
        };
        header.hdr_crc = header.crc();
        header.data_crc = crc32c::crc32c_append(header.hdr_crc, data);
        header
    }

    /// Whether the identity is as written.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.hdr_crc == self.crc()
    }

    /// Whether `data` is what was written under this identity.
    #[must_use]
    pub fn holds(&self, data: &[u8]) -> bool {
        data.len() == self.data_len as usize
            && self.data_crc == crc32c::crc32c_append(self.hdr_crc, data)
    }

    /// The identity of the entry.
    #[must_use]
    pub const fn id(&self) -> LogId {
        LogId::new(Term(self.term), Index(self.index))
    }

    /// Whether this is an entry, the first or a later copy of it.
    #[must_use]
    pub const fn is_entry(&self) -> bool {
        self.kind == RecordKind::Entry as u8 || self.kind == RecordKind::RelocEntry as u8
    }

    /// What the entry is for, if this version knows it.
    #[must_use]
    pub const fn entry_kind(&self) -> Option<EntryKind> {
        EntryKind::from_u8(self.flags)
    }

    /// The header at the start of `bytes`; `None` when there are too few.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        bytes.get(..RECORD_HEADER_BYTES).map(bytemuck::pod_read_unaligned)
    }

    fn crc(&self) -> u32 {
        crc32c::crc32c(&bytemuck::bytes_of(self)[..32])
    }
}

/// The data of a [`RecordKind::GroupState`] record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct GroupState {
    /// The latest term seen.
    pub term: u64,
    /// Whom the replica voted for in that term; zero for nobody.
    pub vote: u64,
    /// The highest index known to be committed.
    pub commit: u64,
    /// The first index of the log after the unit this record ends.
    pub first_index: u64,
    /// The last index of the log after the unit this record ends.
    pub last_index: u64,
    /// In a checkpoint the term of the entry before `first_index`, zero when unknown; else zero.
    pub purged_term: u64,
    /// Reserved: the index of the newest snapshot.
    pub snapshot_index: u64,
    /// Reserved: the term of the newest snapshot.
    pub snapshot_term: u64,
    /// Zero.
    pub reserved: [u64; 4],
}

impl GroupState {
    /// The state of a replica whose log is `first..=last`.
    #[must_use]
    pub fn new(hard: HardState, first: Index, last: Index) -> Self {
        Self {
            term: hard.term.0,
            vote: hard.vote.map_or(0, |node| node.0),
            commit: hard.commit.0,
            first_index: first.0,
            last_index: last.0,
            ..Self::default()
        }
    }

    /// Term, vote and commit.
    #[must_use]
    pub fn hard_state(&self) -> HardState {
        HardState {
            term: Term(self.term),
            vote: (self.vote != 0).then_some(NodeId(self.vote)),
            commit: Index(self.commit),
        }
    }

    /// The state in the data of a record; `None` when the length is wrong.
    #[must_use]
    pub fn read(data: &[u8]) -> Option<Self> {
        (data.len() == size_of::<Self>()).then(|| bytemuck::pod_read_unaligned(data))
    }
}

/// A segment that a checkpoint needs, and where it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct LiveSegment {
    /// The number of the segment.
    pub segment_id: u64,
    /// Where it ends, in bytes.
    pub end: u64,
    /// Its last batch.
    pub last_seq: u64,
    /// The chain after that.
    pub chain: u32,
    /// Zero.
    pub zero: u32,
}

/// What a checkpoint consists of, so that a reader knows when it has all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct CheckpointEnd {
    /// Segments listed.
    pub segments: u64,
    /// Records of groups.
    pub groups: u64,
}

/// The room a record with `data_len` bytes of data takes, in bytes.
#[must_use]
pub const fn record_bytes(data_len: usize) -> usize {
    RECORD_HEADER_BYTES + data_len.next_multiple_of(8)
}

/// The room a unit takes, in bytes: its entries and, if there is one, its group state.
#[must_use]
pub fn unit_bytes(has_state: bool, entries: &[Entry]) -> usize {
    let state = if has_state { record_bytes(size_of::<GroupState>()) } else { 0 };
    entries.iter().map(|entry| record_bytes(entry.data.len())).sum::<usize>() + state
}

/// `bytes` rounded up to whole blocks.
#[must_use]
pub const fn whole_blocks(bytes: usize) -> usize {
    bytes.next_multiple_of(BLOCK_BYTES)
}
