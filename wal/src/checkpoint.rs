//! A checkpoint in the making: which segments are needed and what is known of each group, in
//! pieces that ride along with the batches of the log (`FORMAT.md`, section 5).
//!
//! It costs time, but no group and no append waits for it: a piece says itself up to which batch
//! it holds, and what comes behind is replayed on top.

use raft_core::{GroupId, Index, LogId, Term};

use crate::batch::Builder;
use crate::index::LogIndex;
use crate::op::{Mark, SegmentId};
use crate::record::{CheckpointEnd, GroupState, LiveSegment, RecordKind, record_bytes};
use crate::segment::Anchor;

/// One piece at most, in bytes: it delays the batch it rides in.
pub(crate) const PIECE_BYTES_MAX: usize = 16 << 10;

const ITEM_BYTES: usize = size_of::<LiveSegment>();
const GROUP_BYTES: usize = record_bytes(size_of::<GroupState>());
const END_BYTES: usize = record_bytes(size_of::<CheckpointEnd>());

/// What a checkpoint takes, in bytes.
pub(crate) const fn cost(groups: usize, segments: usize) -> u64 {
    (groups * GROUP_BYTES + segments * ITEM_BYTES + END_BYTES) as u64
}

/// A checkpoint that is being written.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    anchor: Anchor,
    /// The segments before `from` that are needed, in ascending order.
    live: Vec<LiveSegment>,
    listed: usize,
    visits: Vec<GroupId>,
    groups: u64,
    /// The newest piece.
    written: Mark,
    ended: bool,
}

/// What goes into the next piece.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    segments: usize,
    groups: Vec<(GroupId, GroupState)>,
    end: bool,
    pub(crate) bytes: usize,
}

impl Checkpoint {
    pub(crate) fn new(anchor: Anchor, mut live: Vec<LiveSegment>, visits: Vec<GroupId>) -> Self {
        live.sort_unstable_by_key(|segment| segment.segment_id);
        let (listed, groups, written) = (0, 0, Mark(0));
        Self { anchor, live, listed, visits, groups, written, ended: false }
    }

    pub(crate) const fn anchor(&self) -> Anchor {
        self.anchor
    }

    /// Whether a segment is older than the checkpoint and not needed by it.
    pub(crate) fn frees(&self, segment: SegmentId) -> bool {
        let listed = self.live.binary_search_by_key(&segment.0, |live| live.segment_id);
        segment < self.anchor.from && listed.is_err()
    }

    /// Whether the next piece may be written: the one before is durable.
    pub(crate) fn is_due(&self, durable: Mark) -> bool {
        !self.ended && self.written <= durable
    }

    /// Whether all of it is durable.
    pub(crate) fn is_durable(&self, durable: Mark) -> bool {
        self.ended && self.written <= durable
    }

    /// Decides what goes into the next piece of at most `room` bytes.
    pub(crate) fn cut(&mut self, index: &mut LogIndex, room: usize) -> Piece {
        let mut piece = Piece::default();
        let left = self.live.len() - self.listed;
        if left > 0 {
            piece.segments = left.min((room - record_bytes(0)) / ITEM_BYTES);
            piece.bytes = record_bytes(piece.segments * ITEM_BYTES);
        }
        while piece.segments == left && piece.bytes + GROUP_BYTES.max(END_BYTES) <= room {
            let Some(group) = self.visits.pop().or_else(|| index.born()) else {
                piece.end = true;
                piece.bytes += END_BYTES;
                break;
            };
            // One that was deleted meanwhile has nothing to say.
            if let Some(log) = index.group(group) {
                piece.groups.push((group, log.state()));
                piece.bytes += GROUP_BYTES;
            }
        }
        piece
    }

    /// Writes a piece that holds up to the batch `as_of`.
    pub(crate) fn fill(&self, piece: &Piece, as_of: Mark, open: &mut Builder, batch: &mut [u8]) {
        let Anchor { from, id } = self.anchor;
        let (number, place) = (GroupId(id), LogId::new(Term(as_of.0), Index(from.0)));
        if piece.segments > 0 {
            let items = &self.live[self.listed..self.listed + piece.segments];
            let data = bytemuck::cast_slice(items);
            open.push_record(batch, number, place, RecordKind::CheckpointSegments, data);
        }
        for (group, state) in &piece.groups {
            let (at, data) = (LogId::new(Term(id), Index(as_of.0)), bytemuck::bytes_of(state));
            open.push_record(batch, *group, at, RecordKind::CheckpointGroup, data);
        }
        if piece.end {
            let groups = self.groups + piece.groups.len() as u64;
            let end = CheckpointEnd { segments: self.live.len() as u64, groups };
            let data = bytemuck::bytes_of(&end);
            open.push_record(batch, number, place, RecordKind::CheckpointEnd, data);
        }
    }

    /// Says where a piece was written.
    pub(crate) fn wrote(&mut self, piece: &Piece, at: Mark) {
        self.listed += piece.segments;
        self.groups += piece.groups.len() as u64;
        self.ended = piece.end;
        self.written = at;
    }
}
