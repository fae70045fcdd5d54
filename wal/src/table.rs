//! The segments of a log: their slots in the index and where each one ends.

use crate::error::WalError;
use crate::op::SegmentId;
use crate::record::LiveSegment;
use crate::writer::Tail;

/// A segment of the log.
#[derive(Clone, Copy, Debug)]
struct Row {
    segment: SegmentId,
    /// Where it ends; not yet known of the segment in use and of those to come.
    end: Option<LiveSegment>,
    /// Whether it was begun since the log was opened.
    ours: bool,
}

/// A segment that is no part of the log any more: nothing durable needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freed {
    /// Its number.
    pub segment: SegmentId,
    /// The slot it had in the index.
    pub slot: u16,
    /// Whether its file may serve again: an earlier process or version may have left others in a
    /// state that nobody knows.
    pub reusable: bool,
}

/// The segments, by slot.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Option<Row>>,
    vacant: Vec<u16>,
}

impl Table {
    /// The segments that recovery found, in the order of their slots.
    pub(crate) fn new(found: &[LiveSegment]) -> Self {
        let row = |end: &LiveSegment| {
            Some(Row { segment: SegmentId(end.segment_id), end: Some(*end), ours: false })
        };
        Self { rows: found.iter().map(row).collect(), vacant: Vec::new() }
    }

    /// A slot for a segment that is to come.
    pub(crate) fn add(&mut self, segment: SegmentId) -> Result<u16, WalError> {
        let row = Some(Row { segment, end: None, ours: true });
        if let Some(slot) = self.vacant.pop() {
            self.rows[usize::from(slot)] = row;
            return Ok(slot);
        }
        let segments = self.rows.len();
        let slot = u16::try_from(segments).map_err(|_| WalError::TooManySegments { segments })?;
        self.rows.push(row);
        Ok(slot)
    }

    pub(crate) fn segment(&self, slot: u16) -> Option<SegmentId> {
        self.rows.get(usize::from(slot)).copied().flatten().map(|row| row.segment)
    }

    /// Number of segments, those to come among them.
    pub(crate) fn len(&self) -> usize {
        self.rows.len() - self.vacant.len()
    }

    /// Nothing is written to the segment in use any more.
    pub(crate) fn seal(&mut self, tail: &Tail) {
        let end = LiveSegment {
            segment_id: tail.segment.0,
            end: tail.end,
            last_seq: tail.batch_seq,
            chain: tail.chain,
            zero: 0,
        };
        let row = self.rows.iter_mut().flatten().find(|row| row.segment == tail.segment);
        if let Some(row) = row {
            row.end = Some(end);
        }
    }

    /// The segments that are written to the end, with their slots.
    pub(crate) fn sealed(&self) -> impl Iterator<Item = (u16, LiveSegment)> {
        let row = |(slot, row): (usize, &Option<Row>)| Some((slot as u16, row.as_ref()?.end?));
        self.rows.iter().enumerate().filter_map(row)
    }

    /// Takes a segment out of the log.
    pub(crate) fn free(&mut self, slot: u16) -> Option<Freed> {
        let row = self.rows.get_mut(usize::from(slot))?.take()?;
        self.vacant.push(slot);
        Some(Freed { segment: row.segment, slot, reusable: row.ours })
    }
}
