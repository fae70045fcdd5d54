//! A log without its device: the write path and the index together, still pure.

use raft_core::{Entry, GroupId, HardState, Index};

use crate::error::{AppendError, WalError};
use crate::index::LogIndex;
use crate::op::{Completion, Mark, NUMBER_END, SegmentId, WriteOp};
use crate::record::{BATCH_HEADER_BYTES, GroupState, unit_bytes};
use crate::recover::Survey;
use crate::writer::{FreshSegment, Setup, Writer};

/// What a log has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalStats {
    /// Batches durable.
    pub writes: u64,
    /// Bytes of these batches, with headers and padding.
    pub bytes: u64,
    /// Entries in them.
    pub entries: u64,
    /// Segments of the log, those found at opening among them.
    pub segments: u64,
    /// How often a batch had to wait because the next segment was not ready.
    pub spare_misses: u64,
}

/// Write path, index and the table of segments.
pub struct Log {
    writer: Writer,
    index: LogIndex,
    segments: Vec<SegmentId>,
    stats: WalStats,
}

impl Log {
    /// A log that continues what recovery found.
    #[must_use]
    pub fn new(setup: Setup, survey: Survey) -> Self {
        let segments = survey.segments.len() as u64;
        Self {
            writer: Writer::new(setup, survey.tail),
            index: survey.index,
            segments: survey.segments,
            stats: WalStats { segments, ..WalStats::default() },
        }
    }

    /// Appends one unit: all of it becomes durable, or nothing.
    ///
    /// # Errors
    /// [`AppendError`]; state unchanged.
    pub fn append(
        &mut self,
        group: GroupId,
        hard_state: Option<HardState>,
        entries: &[Entry],
    ) -> Result<Mark, AppendError> {
        if let Some(error) = self.writer.poisoned() {
            return Err(AppendError::Poisoned(*error));
        }
        if self.writer.is_closing() {
            return Err(AppendError::Closed);
        }
        if hard_state.is_none() && entries.is_empty() {
            return Ok(self.writer.appended());
        }
        let (first, next) = self.appended_after(group, entries)?;
        let bytes = unit_bytes(hard_state.is_some(), entries);
        let bytes_max = self.writer.setup().batch_room() - BATCH_HEADER_BYTES;
        if bytes > bytes_max {
            return Err(AppendError::TooLarge { bytes, bytes_max });
        }
        self.index.set_appended(group, first, next);
        let state = hard_state.map(|hard| GroupState::new(hard, first, next.prev()));
        Ok(self.writer.append(group, state, entries, bytes))
    }

    /// First and next index of the group once `entries` are appended.
    fn appended_after(
        &self,
        group: GroupId,
        entries: &[Entry],
    ) -> Result<(Index, Index), AppendError> {
        let (first, next) = self.index.appended(group);
        let Some(head) = entries.first() else {
            return Ok((first, next));
        };
        let start = head.id.index;
        let gap = |expected, found| Err(AppendError::Gap { group, expected, found });
        if start > next && first != next || !(1..NUMBER_END).contains(&start.0) {
            return gap(next, start);
        }
        let mut due = start;
        for entry in entries {
            if entry.id.index != due {
                return gap(due, entry.id.index);
            }
            due = due.next();
        }
        let first = if first == next || start < first { start } else { first };
        Ok((first, due))
    }

    /// The next write, see [`Writer::next_op`].
    pub fn next_op(&mut self) -> Option<WriteOp> {
        let starved = self.writer.is_starved();
        let op = self.writer.next_op();
        self.stats.spare_misses += u64::from(!starved && self.writer.is_starved());
        if op.is_some_and(|op| op.offset == 0) {
            self.stats.segments += 1;
        }
        op
    }

    /// Takes the end of an operation and makes what is durable now readable.
    pub fn complete(&mut self, completion: Completion) {
        self.writer.complete(completion);
        while let Some(batch) = self.writer.pop_durable() {
            let bytes = self.writer.arena().bytes(batch.span);
            self.stats.writes += 1;
            self.stats.bytes += bytes.len() as u64;
            self.stats.entries += u64::from(batch.entries);
            let applied = self.index.apply(batch.slot, batch.offset, bytes);
            assert!(
                applied.is_ok(),
                "Log Continuity: what was appended follows the log: {applied:?}"
            );
            self.writer.arena_mut().release(batch.span, batch.slot, batch.offset);
        }
    }

    /// Offers a zero-filled file as the next segment but those offered before.
    pub fn offer(&mut self, id: SegmentId, salt: u64, created: u64) {
        match u16::try_from(self.segments.len()) {
            Ok(slot) => {
                self.segments.push(id);
                self.writer.offer(FreshSegment { id, slot, salt, created });
            }
            Err(_) => {
                self.writer.poison(WalError::TooManySegments { segments: self.segments.len() });
            }
        }
    }

    /// The file of a slot.
    #[must_use]
    pub fn segment(&self, slot: u16) -> Option<SegmentId> {
        self.segments.get(usize::from(slot)).copied()
    }

    /// The durable entries.
    #[must_use]
    pub const fn index(&self) -> &LogIndex {
        &self.index
    }

    /// The write path.
    #[must_use]
    pub const fn writer(&self) -> &Writer {
        &self.writer
    }

    /// The write path.
    #[must_use]
    pub const fn writer_mut(&mut self) -> &mut Writer {
        &mut self.writer
    }

    /// What was done since the log was opened.
    #[must_use]
    pub const fn stats(&self) -> WalStats {
        self.stats
    }
}
