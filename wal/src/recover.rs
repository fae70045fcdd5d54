//! Recovery by proof: what was acknowledged is found again or its loss is reported, nothing else
//! is kept.
//!
//! It begins at the newest complete checkpoint: that names the segments which still hold living
//! entries, and from the segment it lies in the log is complete. Every byte of every batch of these
//! is verified. A bad batch inside the log is damage. A bad batch at the very end is a write that a
//! crash cut short, unless something later proves that it had been durable: the header of a
//! following segment, or a later batch whose `durable_seq` covers it.

use crate::error::OpenError;
use crate::index::LogIndex;
use crate::op::SegmentId;
use crate::record::LiveSegment;
use crate::segment::{Anchor, SegmentHeader};
use crate::writer::Tail;

mod heads;
mod replay;
mod scan;

use heads::Heads;
use replay::{Pieces, Replay, last_end};
use scan::{Scan, misplaced};

/// Where segments are read from: a folder, or the disk of a simulation.
pub trait Medium {
    /// All segment files with their lengths, in any order.
    ///
    /// # Errors
    /// As the system says.
    fn segments(&mut self) -> Result<Vec<(SegmentId, u64)>, OpenError>;

    /// Fills `out` from `offset` on; both are whole blocks and lie inside the file.
    ///
    /// # Errors
    /// As the system says.
    fn read(&mut self, segment: SegmentId, offset: u64, out: &mut [u8]) -> Result<(), OpenError>;
}

/// The end of a log that a crash cut short. Nothing of it was ever acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment.
    pub segment: SegmentId,
    /// Where the log now ends, in bytes.
    pub offset: u64,
    /// The first batch that is gone.
    pub batch_seq: u64,
}

/// A file that is not part of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Its number.
    pub segment: SegmentId,
    /// Its length, in bytes.
    pub bytes: u64,
    /// Whether it holds nothing but zeros and may serve as the next segment.
    pub clean: bool,
}

/// What recovery found.
#[derive(Debug)]
pub struct Survey {
    /// Every durable entry and group state.
    pub index: LogIndex,
    /// The segments of the log, oldest first; the position is the slot in the index.
    pub segments: Vec<SegmentId>,
    /// Where each of them ends.
    pub ends: Vec<LiveSegment>,
    /// Where the log continues.
    pub tail: Tail,
    /// The newest complete checkpoint.
    pub anchor: Option<Anchor>,
    /// The epoch of the newest segment; zero for a new log.
    pub epoch: u64,
    /// Bytes of all batches.
    pub bytes: u64,
    /// Number of batches.
    pub batches: u64,
    /// What a crash cut short, if it did.
    pub torn_tail: Option<TornTail>,
    /// Files that are not part of the log, in ascending order.
    pub leftovers: Vec<Leftover>,
}

/// Reads and proves a whole log.
///
/// # Errors
/// [`OpenError`]; nothing is changed by recovery, so it may be repeated.
pub fn recover(medium: &mut dyn Medium, store: u128, core: u32) -> Result<Survey, OpenError> {
    let heads = Heads::read(medium, store, core)?;
    let mut scan = Scan::new(medium);
    let anchor = newest_anchor(&mut scan, &heads)?;
    let chain = heads.chain(anchor.map_or(SegmentId(0), |anchor| anchor.from))?;
    let mut log: Vec<(SegmentHeader, Option<LiveSegment>)> = Vec::new();
    let mut replay = Replay::default();
    if let (Some(anchor), Some(from)) = (anchor, chain.first()) {
        let pieces = collect(&mut scan, anchor, &chain)?;
        let listed = heads.listed(&pieces.live, from)?;
        log.extend(listed.into_iter().zip(pieces.live.iter().copied().map(Some)));
        let segments = (log.len() + chain.len()) as u64;
        replay = Replay::new(pieces, segments.saturating_mul(heads.segment_bytes_max()))?;
    }
    log.extend(ends(&chain));
    if u16::try_from(log.len()).is_err() {
        return Err(OpenError::TooManySegments { segments: log.len() });
    }
    scan.restart();
    for (slot, (header, end)) in log.iter().enumerate() {
        scan.segment(header, *end, &mut |batch| replay.batch(slot as u16, &batch))?;
    }
    replay.settle_groups().map_err(|misfit| misplaced(misfit, scan.tail))?;
    finish(scan, &heads, anchor, replay, &log)
}

/// The newest complete checkpoint: it ends in the newest segment, or that segment's header names
/// it.
fn newest_anchor(scan: &mut Scan<'_>, heads: &Heads) -> Result<Option<Anchor>, OpenError> {
    let Some(newest) = heads.newest() else {
        return Ok(None);
    };
    let mut anchor = newest.anchor();
    scan.segment(&newest, None, &mut |batch| {
        anchor = last_end(batch.bytes).or(anchor);
        Ok(())
    })?;
    Ok(anchor)
}

/// The segments of the complete end of a log, with where they end: the next one says so.
fn ends(
    chain: &[SegmentHeader],
) -> impl Iterator<Item = (SegmentHeader, Option<LiveSegment>)> + '_ {
    chain.iter().enumerate().map(|(i, header)| {
        let end = chain.get(i + 1).map(|next| LiveSegment {
            segment_id: header.segment_id,
            end: next.prev_end,
            last_seq: next.base_seq - 1,
            chain: next.prev_chain,
            zero: 0,
        });
        (*header, end)
    })
}

/// The pieces of a checkpoint, from the segment with which it begins on.
fn collect(
    scan: &mut Scan<'_>,
    anchor: Anchor,
    chain: &[SegmentHeader],
) -> Result<Pieces, OpenError> {
    let mut pieces = Pieces::new(anchor);
    for (header, end) in ends(chain) {
        scan.segment(&header, end, &mut |batch| pieces.collect(batch.bytes))?;
        if pieces.is_complete() {
            return Ok(pieces);
        }
    }
    Err(OpenError::Checkpoint { segment: anchor.from })
}

fn finish(
    mut scan: Scan<'_>,
    heads: &Heads,
    anchor: Option<Anchor>,
    replay: Replay,
    log: &[(SegmentHeader, Option<LiveSegment>)],
) -> Result<Survey, OpenError> {
    let (tail, epoch) = (scan.tail, scan.epoch);
    let segments: Vec<_> = log.iter().map(|(head, _)| SegmentId(head.segment_id)).collect();
    let others = heads.others(&segments);
    let leftovers =
        others.map(|(segment, bytes, has_header)| scan.leftover(segment, bytes, has_header));
    let leftovers = leftovers.collect::<Result<Vec<_>, _>>()?;
    let last = LiveSegment {
        segment_id: tail.segment.0,
        end: tail.end,
        last_seq: tail.batch_seq,
        chain: tail.chain,
        zero: 0,
    };
    Ok(Survey {
        index: replay.finish(),
        segments,
        ends: log.iter().map(|(_, end)| end.unwrap_or(last)).collect(),
        tail,
        anchor,
        epoch,
        bytes: scan.bytes,
        batches: scan.batches,
        torn_tail: scan.torn_tail,
        leftovers,
    })
}
