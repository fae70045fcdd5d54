//! The newest batches of a log.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use super::walk::{Batch, Gap, Item, first_batch, walk_listed};
use super::{Files, InspectError};
use crate::arena::Blocks;
use crate::batch::{Expected, verify};
use crate::op::SegmentId;
use crate::record::{BLOCK_BYTES, BatchHeader};
use crate::recover::Medium;
use crate::segment::{Head, SEGMENT_BYTES_MAX};

/// A batch at the end of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailBatch {
    /// The segment.
    pub segment: SegmentId,
    /// Where it starts, in bytes.
    pub offset: u64,
    /// Its header.
    pub header: BatchHeader,
    /// How many groups it has records of.
    pub groups: u64,
    /// Whether damage or a torn tail lies before it in its segment.
    pub behind_gap: bool,
}

impl TailBatch {
    fn of(batch: &Batch<'_>) -> Self {
        let mut groups: Vec<u64> = batch.records().map(|record| record.header.group).collect();
        groups.sort_unstable();
        groups.dedup();
        let (segment, offset) = (batch.segment, batch.offset);
        let (header, behind_gap) = (batch.header, batch.behind_gap);
        Self { segment, offset, header, groups: groups.len() as u64, behind_gap }
    }
}

/// The last `n` batches, oldest first, and the places among and behind them where no valid batch
/// is. Reads no more segments than it needs.
///
/// # Errors
/// As [`super::walk`](fn@super::walk).
pub fn tail(files: &mut Files, n: usize) -> Result<(Vec<TailBatch>, Vec<Gap>), InspectError> {
    let listed = files.sorted()?;
    let mut segments = 4;
    loop {
        let first = listed.len().saturating_sub(segments);
        let (batches, gaps, complete) = last_of(files, &listed[first..], n)?;
        if complete || first == 0 {
            return Ok((batches, gaps));
        }
        segments *= 2;
    }
}

/// The last `n` batches of these files, and whether these files hold as many.
fn last_of(
    files: &mut Files,
    listed: &[(SegmentId, u64)],
    n: usize,
) -> Result<(Vec<TailBatch>, Vec<Gap>, bool), InspectError> {
    let (mut found, mut gaps) = (VecDeque::new(), Vec::new());
    let mut seen = 0;
    walk_listed(files, listed, &mut |item| {
        match item {
            Item::Batch(batch) => {
                found.push_back(TailBatch::of(&batch));
                seen += 1;
                if found.len() > n {
                    found.pop_front();
                }
            }
            Item::Gap(gap) => gaps.push(gap),
            Item::Segment(_) | Item::Headless { .. } => {}
        }
        ControlFlow::Continue(())
    })?;
    if let Some(first) = found.front().map(|batch| (batch.segment, batch.offset)) {
        gaps.retain(|gap| (gap.segment, gap.offset) > first);
    }
    Ok((found.into(), gaps, seen >= n))
}

/// Sees the batches that are added to a log in use.
#[derive(Clone, Copy, Debug)]
pub struct Follow {
    segment: SegmentId,
    offset: u64,
    expected: Expected,
}

impl Follow {
    /// What comes behind this batch.
    #[must_use]
    pub fn behind(batch: &TailBatch) -> Self {
        let TailBatch { segment, offset, header, .. } = *batch;
        let expected = Expected {
            salt: header.salt,
            epoch: header.epoch,
            batch_seq: header.batch_seq.saturating_add(1),
            prev_chain: header.chain(),
        };
        Self { segment, offset: offset + u64::from(header.total_len), expected }
    }

    /// The next batch, if it is there and whole. To be asked again until there is none, and again
    /// some time later. Reads little more than that batch.
    ///
    /// # Errors
    /// [`InspectError::Open`] when a file cannot be read.
    pub fn next(&mut self, files: &mut Files) -> Result<Option<TailBatch>, InspectError> {
        let listed = files.sorted()?;
        loop {
            if let Some(batch) = self.here(files, &listed)? {
                return Ok(Some(batch));
            }
            if !self.switch(files, &listed)? {
                return Ok(None);
            }
        }
    }

    fn here(
        &mut self,
        files: &mut Files,
        listed: &[(SegmentId, u64)],
    ) -> Result<Option<TailBatch>, InspectError> {
        let length = listed.iter().find(|(segment, _)| *segment == self.segment);
        let end = length.map_or(0, |&(_, bytes)| bytes.min(SEGMENT_BYTES_MAX));
        let room = end.saturating_sub(self.offset) as usize;
        if room < BLOCK_BYTES {
            return Ok(None);
        }
        let mut block = Blocks::zeroed(BLOCK_BYTES);
        files.read(self.segment, self.offset, block.bytes_mut())?;
        let header = BatchHeader::read(block.bytes()).filter(BatchHeader::is_intact);
        let len = header.map_or(0, |header| header.total_len as usize);
        if len == 0 || len > room {
            return Ok(None);
        }
        let mut blocks = Blocks::zeroed(len);
        files.read(self.segment, self.offset, blocks.bytes_mut())?;
        let Ok(header) = verify(blocks.bytes(), self.expected) else {
            return Ok(None);
        };
        let (segment, offset) = (self.segment, self.offset);
        let batch = TailBatch::of(&Batch::new(segment, offset, header, blocks.bytes()));
        *self = Self::behind(&batch);
        Ok(Some(batch))
    }

    /// Goes on in the segment that continues where this one ends, if there is one.
    fn switch(
        &mut self,
        files: &mut Files,
        listed: &[(SegmentId, u64)],
    ) -> Result<bool, InspectError> {
        for &(segment, bytes) in listed.iter().filter(|(segment, _)| *segment > self.segment) {
            let Head::Valid(header) = files.head(segment, bytes)? else { continue };
            let continues =
                header.prev_segment_id == self.segment.0 && header.prev_end == self.offset;
            if continues {
                let (offset, expected) = (BLOCK_BYTES as u64, first_batch(&header));
                *self = Self { segment, offset, expected };
                return Ok(true);
            }
        }
        Ok(false)
    }
}
