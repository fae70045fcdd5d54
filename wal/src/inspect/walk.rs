//! Every batch that is there, oldest first, also behind damage.

use std::fmt;
use std::io;
use std::ops::ControlFlow;

use raft_core::{GroupId, Index};

use super::{Files, InspectError};
use crate::batch::{Expected, Fault, is_zero, records, verify};
use crate::error::OpenError;
use crate::op::SegmentId;
use crate::record::{BLOCK_BYTES, BatchHeader, RecordHeader};
use crate::segment::{Head, RECYCLED, SegmentHeader};

/// What lies in a folder, in the order of the log.
#[derive(Debug)]
pub enum Item<'a> {
    /// A segment with a valid header begins.
    Segment(SegmentHeader),
    /// A batch whose every byte was verified.
    Batch(Batch<'a>),
    /// A place where a batch was due and none is.
    Gap(Gap),
    /// A file without a valid header: one that was never in use, or whose header is damaged.
    Headless {
        /// The segment.
        segment: SegmentId,
        /// Length of the file.
        bytes: u64,
        /// Whether it holds nothing but zeros.
        zero: bool,
    },
}

/// A batch and where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The segment.
    pub segment: SegmentId,
    /// Where it starts, in bytes.
    pub offset: u64,
    /// Its header.
    pub header: BatchHeader,
    /// Whether damage or a torn tail lies before it in this segment: it counts only if the gap is
    /// damage, and a log with damage does not open.
    pub behind_gap: bool,
    bytes: &'a [u8],
}

/// A record and where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Where it starts in the segment, in bytes.
    pub offset: u64,
    /// Its header.
    pub header: RecordHeader,
    /// Its data.
    pub data: &'a [u8],
}

impl<'a> Batch<'a> {
    pub(super) const fn new(
        segment: SegmentId,
        offset: u64,
        header: BatchHeader,
        bytes: &'a [u8],
    ) -> Self {
        Self { segment, offset, header, behind_gap: false, bytes }
    }

    /// Its records.
    pub fn records(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        let start = self.offset;
        records(self.bytes).map(move |(at, header, data)| Record {
            offset: start + at as u64,
            header,
            data,
        })
    }
}

/// A place where a batch was due and none is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The segment.
    pub segment: SegmentId,
    /// Where it starts, in bytes.
    pub offset: u64,
    /// How far it is to the next intact batch of the segment, or to the end, in bytes.
    pub bytes: u64,
    /// The batch that was due.
    pub batch_seq: u64,
    /// Why what is there is not that batch.
    pub fault: Fault,
    /// Whether no later segment follows: then it may be a torn tail.
    pub newest: bool,
}

impl Gap {
    /// The group and the index of the first damaged record, when its header is readable.
    #[must_use]
    pub const fn identity(&self) -> Option<(GroupId, Index)> {
        match self.fault {
            Fault::Record { identity, .. } => identity,
            _ => None,
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, offset, batch_seq, .. } = self;
        write!(f, "segment {segment} at offset {offset}: batch {batch_seq} was due, but ")?;
        match self.fault {
            Fault::Header => write!(f, "no batch header is there"),
            Fault::Foreign => write!(f, "another batch is there"),
            Fault::Length => write!(f, "its lengths are impossible"),
            Fault::Record { offset, identity: None } => {
                write!(f, "the record at {} is unreadable", self.offset + offset as u64)
            }
            Fault::Record { offset, identity: Some((group, index)) } => {
                let at = self.offset + offset as u64;
                write!(f, "the record at {at} (group {group} index {index}) is damaged")
            }
            Fault::Body => write!(f, "its records are not those its header counts"),
            Fault::Padding => write!(f, "its padding is damaged"),
        }
    }
}

/// The name of a kind of record, as `FORMAT.md` has it.
#[must_use]
pub const fn kind_name(kind: u8) -> &'static str {
    match kind {
        1 => "ENTRY",
        2 => "GROUP_STATE",
        3 => "PURGE",
        4 => "TRUNCATE",
        5 => "DELETE",
        6 => "RELOC_ENTRY",
        7 => "CKPT_SEGMENTS",
        8 => "CKPT_GROUP",
        9 => "CKPT_END",
        10 => "KV",
        _ => "UNKNOWN",
    }
}

/// Shows everything in the folder to `see`, until it breaks.
///
/// Of a log in use, what is being written shows as a gap at the very end, and files that go away
/// meanwhile are left out.
///
/// # Errors
/// [`InspectError::Open`] when a file cannot be read or is of a later format.
pub fn walk(
    files: &mut Files,
    see: &mut dyn FnMut(Item<'_>) -> ControlFlow<()>,
) -> Result<(), InspectError> {
    let listed = files.sorted()?;
    walk_listed(files, &listed, see)
}

/// As [`walk`], but only these files.
pub(super) fn walk_listed(
    files: &mut Files,
    listed: &[(SegmentId, u64)],
    see: &mut dyn FnMut(Item<'_>) -> ControlFlow<()>,
) -> Result<(), InspectError> {
    let mut heads = Vec::with_capacity(listed.len());
    for &(segment, bytes) in listed {
        heads.push(match files.head(segment, bytes) {
            Err(OpenError::DamagedHeader { .. }) => Head::Absent,
            Err(error) if files.is_live() && is_gone(&error) => Head::Absent,
            other => other?,
        });
    }
    for (i, &(segment, bytes)) in listed.iter().enumerate() {
        let later = heads[i + 1..].iter().find_map(|head| match head {
            Head::Valid(header) => Some(header),
            Head::Absent => None,
        });
        let blocks = match files.load(segment, bytes) {
            Err(error) if files.is_live() && is_gone(&error) => continue,
            other => other?,
        };
        let flow = match &heads[i] {
            Head::Valid(header) => walk_segment(blocks.bytes(), header, later, see),
            Head::Absent => see(Item::Headless { segment, bytes, zero: is_zero(blocks.bytes()) }),
        };
        if flow.is_break() {
            break;
        }
    }
    Ok(())
}

fn is_gone(error: &OpenError) -> bool {
    matches!(error, OpenError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

fn walk_segment(
    bytes: &[u8],
    header: &SegmentHeader,
    later: Option<&SegmentHeader>,
    see: &mut dyn FnMut(Item<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let segment = SegmentId(header.segment_id);
    see(Item::Segment(*header))?;
    // What lies beyond the end that the successor states was never acknowledged.
    let end = later.filter(|later| later.prev_segment_id == header.segment_id);
    let end = end.map_or(bytes.len(), |later| bytes.len().min(later.prev_end as usize));
    let mut expected = first_batch(header);
    let (mut at, mut behind_gap) = (BLOCK_BYTES, false);
    while at < end {
        let offset = at as u64;
        match verify(&bytes[at..end], expected) {
            Ok(header) => {
                let len = header.total_len as usize;
                let bytes = &bytes[at..at + len];
                see(Item::Batch(Batch { segment, offset, header, behind_gap, bytes }))?;
                at += len;
                expected.batch_seq = header.batch_seq.saturating_add(1);
                expected.prev_chain = header.chain();
            }
            Err(_) if later.is_none() && is_unwritten(&bytes[at..end], header, expected) => break,
            Err(fault) => {
                let found = next_intact(&bytes[..end], at, expected);
                let resume = found.map_or(end, |(resume, _)| resume);
                let (bytes, batch_seq) = ((resume - at) as u64, expected.batch_seq);
                let newest = later.is_none();
                see(Item::Gap(Gap { segment, offset, bytes, batch_seq, fault, newest }))?;
                if let Some((_, header)) = found {
                    expected.batch_seq = header.batch_seq;
                    expected.prev_chain = header.prev_chain;
                }
                (at, behind_gap) = (resume, true);
            }
        }
    }
    ControlFlow::Continue(())
}

/// Whether nothing was written to the end of a segment: it is zero, or, in a file that had held
/// another one, without a batch of this.
fn is_unwritten(bytes: &[u8], segment: &SegmentHeader, expected: Expected) -> bool {
    if segment.compat & RECYCLED == 0 {
        return is_zero(bytes);
    }
    let first = BatchHeader::read(bytes).filter(BatchHeader::is_intact);
    let ours = first.is_some_and(|batch| batch.salt == segment.salt);
    !ours && next_intact(bytes, 0, expected).is_none()
}

/// What the first batch of a segment must say about itself.
pub(super) fn first_batch(header: &SegmentHeader) -> Expected {
    Expected {
        salt: header.salt,
        epoch: header.epoch,
        batch_seq: header.base_seq,
        prev_chain: header.prev_chain,
    }
}

/// The next batch behind `at` with an intact header of this segment; the inside of a batch is
/// skipped when its own header is intact, for its payload may be a copy of anything.
fn next_intact(bytes: &[u8], at: usize, expected: Expected) -> Option<(usize, BatchHeader)> {
    let read = |at: usize| BatchHeader::read(bytes.get(at..)?).filter(BatchHeader::is_intact);
    let inside = read(at).map_or(0, |header| header.total_len as usize);
    let mut next = at + inside.next_multiple_of(BLOCK_BYTES).max(BLOCK_BYTES);
    while next < bytes.len() {
        let ours = read(next).filter(|header| {
            header.salt == expected.salt
                && header.epoch == expected.epoch
                && header.batch_seq >= expected.batch_seq
        });
        if let Some(header) = ours {
            return Some((next, header));
        }
        next += BLOCK_BYTES;
    }
    None
}
