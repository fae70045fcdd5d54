//! The headers of a folder: which segments belong to the log, and in which order.

use super::Medium;
use crate::arena::Blocks;
use crate::error::OpenError;
use crate::op::SegmentId;
use crate::record::{BLOCK_BYTES, LiveSegment};
use crate::segment::{Head, SegmentHeader};

/// The files of a folder with their headers, in ascending order.
pub(super) struct Heads {
    files: Vec<(SegmentId, u64)>,
    heads: Vec<Head>,
}

impl Heads {
    pub(super) fn read(medium: &mut dyn Medium, store: u128, core: u32) -> Result<Self, OpenError> {
        let mut files = medium.segments()?;
        files.sort_unstable();
        let heads = read_heads(medium, &files, store, core)?;
        Ok(Self { files, heads })
    }

    /// The valid headers, in ascending order.
    fn valid(&self) -> impl DoubleEndedIterator<Item = &SegmentHeader> {
        self.heads.iter().filter_map(|head| match head {
            Head::Valid(header) => Some(header),
            Head::Absent => None,
        })
    }

    pub(super) fn newest(&self) -> Option<SegmentHeader> {
        self.valid().next_back().copied()
    }

    /// The length of the largest segments.
    pub(super) fn segment_bytes_max(&self) -> u64 {
        self.valid().map(|header| header.segment_bytes).max().unwrap_or(0)
    }

    fn find(&self, id: u64) -> Option<&SegmentHeader> {
        let at = self.files.binary_search_by_key(&id, |(segment, _)| segment.0).ok()?;
        match &self.heads[at] {
            Head::Valid(header) => Some(header),
            Head::Absent => None,
        }
    }

    /// The complete end of the log, oldest first: from the newest header back to the segment
    /// `from`, or to the first one of all when that is zero.
    pub(super) fn chain(&self, from: SegmentId) -> Result<Vec<SegmentHeader>, OpenError> {
        let mut chain: Vec<SegmentHeader> = Vec::new();
        let Some(newest) = self.newest() else {
            return Ok(chain);
        };
        let mut wanted = newest.segment_id;
        while wanted != 0 && wanted >= from.0 {
            let header = self.find(wanted);
            let header = header.ok_or_else(|| self.absent(wanted, chain.last()))?;
            chain.push(*header);
            wanted = header.prev_segment_id;
        }
        if chain.last().is_none_or(|oldest| from.0 > 0 && oldest.segment_id != from.0) {
            return Err(self.absent(from.0, chain.last()));
        }
        chain.reverse();
        let mut ours = chain.iter().map(|header| header.segment_id).peekable();
        for header in self.valid().filter(|header| header.segment_id >= from.0) {
            if ours.next_if_eq(&header.segment_id).is_none() {
                let segment = SegmentId(header.segment_id);
                return Err(OpenError::StraySegment {
                    segment,
                    newest: SegmentId(newest.segment_id),
                });
            }
        }
        Ok(chain)
    }

    /// The headers of the segments that a checkpoint lists.
    pub(super) fn listed(
        &self,
        live: &[LiveSegment],
        from: &SegmentHeader,
    ) -> Result<Vec<SegmentHeader>, OpenError> {
        let one = |live: &LiveSegment| {
            let header = self.find(live.segment_id).copied();
            header.ok_or_else(|| self.absent(live.segment_id, Some(from)))
        };
        live.iter().map(one).collect()
    }

    /// Files that are not among these segments: with their lengths, and whether they have a header.
    pub(super) fn others(
        &self,
        ours: &[SegmentId],
    ) -> impl Iterator<Item = (SegmentId, u64, bool)> {
        let files = self.files.iter().zip(&self.heads);
        files
            .filter(|((segment, _), _)| ours.binary_search(segment).is_err())
            .map(|(&(segment, bytes), head)| (segment, bytes, *head != Head::Absent))
    }

    /// The error for a segment of the log that has no valid header.
    fn absent(&self, wanted: u64, needed_by: Option<&SegmentHeader>) -> OpenError {
        let missing = SegmentId(wanted);
        if self.files.iter().any(|&(segment, _)| segment == missing) {
            return OpenError::DamagedHeader { segment: missing };
        }
        let needed_by = SegmentId(needed_by.map_or(0, |header| header.segment_id));
        OpenError::MissingSegment { missing, needed_by }
    }
}

fn read_heads(
    medium: &mut dyn Medium,
    files: &[(SegmentId, u64)],
    store: u128,
    core: u32,
) -> Result<Vec<Head>, OpenError> {
    let mut block = Blocks::zeroed(BLOCK_BYTES);
    let mut heads = Vec::with_capacity(files.len());
    for &(segment, bytes) in files {
        if bytes < BLOCK_BYTES as u64 {
            heads.push(Head::Absent);
            continue;
        }
        medium.read(segment, 0, block.bytes_mut())?;
        let head = SegmentHeader::decode(segment, block.bytes())?;
        if let Head::Valid(header) = head {
            let found = u128::from_le_bytes(header.store);
            if found != store {
                return Err(OpenError::WrongStore { segment, found, expected: store });
            }
            if header.core != core {
                let found = header.core;
                return Err(OpenError::WrongCore { segment, found, expected: core });
            }
            let expected = header.segment_bytes;
            if bytes < expected {
                return Err(OpenError::Truncated { segment, bytes, expected });
            }
        }
        heads.push(head);
    }
    Ok(heads)
}
