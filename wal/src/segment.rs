//! The first block of a segment file (`FORMAT.md`, section 1).

use bytemuck::{Pod, Zeroable};

use crate::error::OpenError;
use crate::op::{NUMBER_END, SegmentId};
use crate::record::BLOCK_BYTES;

/// First bytes of a segment file.
pub const SEGMENT_MAGIC: u64 = u64::from_le_bytes(*b"FLAREWAL");

/// The major version this crate reads and writes. Another one is refused.
pub const FORMAT_MAJOR: u16 = 1;

/// The minor version this crate writes. Any is read.
pub const FORMAT_MINOR: u16 = 2;

/// The largest segment, in bytes: an index entry has 24 bits for an offset in units of eight.
pub const SEGMENT_BYTES_MAX: u64 = 128 << 20;

/// The smallest segment, in bytes.
pub const SEGMENT_BYTES_MIN: u64 = 64 << 10;

/// Blocks at the end of a segment that only a BEACON and a CLOSE batch may use, so that neither
/// ever needs a new segment, not even on a full disk.
pub const RESERVED_BLOCKS: usize = 2;

/// The bit of [`SegmentHeader::compat`] of a file that had held another segment: what lies behind
/// its end may be old batches instead of zeros.
pub const RECYCLED: u64 = 1;

const _: () = assert!(size_of::<SegmentHeader>() == 144);

/// Where a reader of the log begins: a complete checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The segment from which on the log is complete; of the older ones only those that the
    /// checkpoint lists are needed.
    pub from: SegmentId,
    /// The number of the checkpoint, above those of all before: a batch that was not full when it
    /// began.
    pub id: u64,
}

/// The fields of the first block; the rest of the block is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct SegmentHeader {
    /// [`SEGMENT_MAGIC`].
    pub magic: u64,
    /// [`FORMAT_MAJOR`].
    pub major: u16,
    /// [`FORMAT_MINOR`].
    pub minor: u16,
    /// CRC32C of the whole block with this field zero.
    pub crc: u32,
    /// Features without which the segment cannot be read; none exist yet.
    pub incompat: u64,
    /// Features a reader may ignore: [`RECYCLED`].
    pub compat: u64,
    /// The store the log belongs to.
    pub store: [u8; 16],
    /// The core the log belongs to.
    pub core: u32,
    /// [`BLOCK_BYTES`].
    pub block_bytes: u32,
    /// Length of the file, in bytes.
    pub segment_bytes: u64,
    /// The number of this segment.
    pub segment_id: u64,
    /// Rises by one each time the log is opened.
    pub epoch: u64,
    /// Random, repeated in each batch.
    pub salt: u64,
    /// The sequence number of the first batch.
    pub base_seq: u64,
    /// The segment before this one; zero for the first.
    pub prev_segment_id: u64,
    /// Where the segment before this one ends: what lies beyond was never acknowledged.
    pub prev_end: u64,
    /// The chain after the last batch of the segment before this one.
    pub prev_chain: u32,
    /// Zero.
    pub reserved: u32,
    /// Unix time in nanoseconds, for people.
    pub created: u64,
    /// [`Anchor::from`] of the newest checkpoint that was durable before this header; zero when
    /// there was none.
    pub checkpoint_from: u64,
    /// [`Anchor::id`] of it.
    pub checkpoint_id: u64,
}

/// What the first block of a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// A header some writer wrote.
    Valid(SegmentHeader),
    /// Zeros, or a header that was cut short: the segment was never in use.
    Absent,
}

impl SegmentHeader {
    /// The newest checkpoint that was durable before this header.
    #[must_use]
    pub fn anchor(&self) -> Option<Anchor> {
        let (from, id) = (SegmentId(self.checkpoint_from), self.checkpoint_id);
        (id != 0).then_some(Anchor { from, id })
    }

    /// Writes the block.
    pub fn encode(mut self, block: &mut [u8; BLOCK_BYTES]) {
        self.crc = 0;
        block.fill(0);
        block[..size_of::<Self>()].copy_from_slice(bytemuck::bytes_of(&self));
        let crc = crc32c::crc32c(block);
        block[12..16].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads the block of the file `name`.
    ///
    /// # Errors
    /// [`OpenError::Version`] and [`OpenError::Features`] for a format this crate does not know,
    /// [`OpenError::DamagedHeader`] for fields that contradict each other or the name.
    pub fn decode(name: SegmentId, block: &[u8]) -> Result<Head, OpenError> {
        let Some(head) = block.get(..size_of::<Self>()) else {
            return Ok(Head::Absent);
        };
        let header: Self = bytemuck::pod_read_unaligned(head);
        if header.magic != SEGMENT_MAGIC || block.len() != BLOCK_BYTES {
            return Ok(Head::Absent);
        }
        // Before the checksum, which another major version may keep elsewhere.
        if header.major > FORMAT_MAJOR {
            return Err(OpenError::Version { segment: name, major: header.major });
        }
        let zero = [0; 4];
        let crc = crc32c::crc32c_append(crc32c::crc32c(&block[..12]), &zero);
        if header.crc != crc32c::crc32c_append(crc, &block[16..]) {
            return Ok(Head::Absent);
        }
        if header.incompat != 0 {
            return Err(OpenError::Features { segment: name, bits: header.incompat });
        }
        let sound = header.segment_id == name.0
            && header.block_bytes as usize == BLOCK_BYTES
            && header.prev_segment_id < header.segment_id
            && (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&header.segment_bytes)
            && header.segment_bytes % BLOCK_BYTES as u64 == 0
            && header.major == FORMAT_MAJOR
            && (1..NUMBER_END).contains(&header.base_seq)
            && header.epoch < NUMBER_END
            && header.checkpoint_from < header.segment_id
            && (header.checkpoint_from == 0) == (header.checkpoint_id == 0);
        if sound {
            Ok(Head::Valid(header))
        } else {
            Err(OpenError::DamagedHeader { segment: name })
        }
    }
}
