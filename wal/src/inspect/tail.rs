//! The newest batches of a log.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use super::walk::{Gap, Item, walk_listed};
use super::{Files, InspectError};
use crate::op::SegmentId;
use crate::record::BatchHeader;

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
                let mut groups: Vec<u64> = batch.records().map(|r| r.header.group).collect();
                groups.sort_unstable();
                groups.dedup();
                let (segment, offset) = (batch.segment, batch.offset);
                let (header, behind_gap) = (batch.header, batch.behind_gap);
                let groups = groups.len() as u64;
                found.push_back(TailBatch { segment, offset, header, groups, behind_gap });
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
