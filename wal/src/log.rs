//! A log without its device: the write path and the index together, still pure.

use std::collections::VecDeque;

use raft_core::{Entry, GroupId, HardState, Index, LogId, Term};

use crate::batch::Builder;
use crate::checkpoint::Checkpoint;
use crate::error::AppendError;
use crate::index::LogIndex;
use crate::op::{Completion, Mark, NUMBER_END, SegmentId, WriteOp};
use crate::record::{
    BATCH_HEADER_BYTES, GroupState, PURGE_RESTART, RecordKind, record_bytes, unit_bytes,
};
use crate::recover::Survey;
use crate::relocate::Sweep;
use crate::table::{Freed, Table};
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
    /// Segments that the log has had, those found at opening among them.
    pub segments: u64,
    /// How often a batch had to wait because the next segment was not ready.
    pub spare_misses: u64,
    /// Checkpoints completed.
    pub checkpoints: u64,
    /// Segments that were freed.
    pub freed: u64,
    /// Living entries that were copied out of mostly dead segments.
    pub relocated: u64,
}

/// What a log takes now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalSpace {
    /// Segments of the log, those that are ready and not in use yet among them.
    pub segments: u64,
    /// Their length together, in bytes, as if all were as long as new ones.
    pub bytes: u64,
    /// Living entries.
    pub live_entries: u64,
    /// Bytes of their records.
    pub live_bytes: u64,
    /// Memory of the index, in bytes: eight an entry, and some for each group.
    pub index_bytes: u64,
}

/// Write path, index and the table of segments.
pub struct Log {
    writer: Writer,
    index: LogIndex,
    table: Table,
    checkpoint: Option<Checkpoint>,
    sweep: Option<Sweep>,
    freed: VecDeque<Freed>,
    stats: WalStats,
}

impl Log {
    /// A log that continues what recovery found.
    #[must_use]
    pub fn new(setup: Setup, survey: Survey) -> Self {
        let segments = survey.segments.len() as u64;
        Self {
            writer: Writer::new(setup, survey.tail, survey.anchor),
            index: survey.index,
            table: Table::new(&survey.ends),
            checkpoint: None,
            sweep: None,
            freed: VecDeque::new(),
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
        self.check_open()?;
        if hard_state.is_none() && entries.is_empty() {
            return Ok(self.writer.appended());
        }
        let (first, next) = self.appended_after(group, self.index.appended(group), entries)?;
        self.unit(group, None, hard_state, entries, (first, next))
    }

    /// Begins the log of a group anew behind a snapshot of everything up to `snapshot`: what it
    /// held is gone, the first index is the one after. The hard state and the first `entries`
    /// are part of the unit.
    ///
    /// # Errors
    /// [`AppendError`]; state unchanged.
    pub fn restart(
        &mut self,
        group: GroupId,
        snapshot: LogId,
        hard_state: Option<HardState>,
        entries: &[Entry],
    ) -> Result<Mark, AppendError> {
        self.check_open()?;
        let first = snapshot.index.next();
        if !(1..NUMBER_END).contains(&first.0) {
            return Err(AppendError::Gap { group, expected: Index(1), found: first });
        }
        let (_, next) = self.appended_after(group, (first, first), entries)?;
        if entries.first().is_some_and(|head| head.id.index != first) {
            let found = entries.first().map_or(first, |head| head.id.index);
            return Err(AppendError::Gap { group, expected: first, found });
        }
        self.unit(group, Some(snapshot), hard_state, entries, (first, next))
    }

    /// Gives up the entries of a group up to `up_to`: the first index rises. Entries that do not
    /// exist are given up without effect, so purging twice or beyond the end is fine.
    ///
    /// # Errors
    /// [`AppendError::Poisoned`], [`AppendError::Closed`]; state unchanged.
    pub fn purge(&mut self, group: GroupId, up_to: Index) -> Result<Mark, AppendError> {
        self.check_open()?;
        let (first, next) = self.index.appended(group);
        let last = up_to.min(next.prev());
        if last < first {
            return Ok(self.writer.appended());
        }
        self.index.set_appended(group, last.next(), next);
        Ok(self.mark(group, LogId::new(Term(0), last), RecordKind::Purge))
    }

    /// Deletes a group, its log and its hard state. It may be appended to again, as one that never
    /// was.
    ///
    /// # Errors
    /// [`AppendError::Poisoned`], [`AppendError::Closed`]; state unchanged.
    pub fn delete(&mut self, group: GroupId) -> Result<Mark, AppendError> {
        self.check_open()?;
        if !self.index.is_appended(group) {
            return Ok(self.writer.appended());
        }
        self.index.set_deleted(group);
        let mark = self.mark(group, LogId::default(), RecordKind::Delete);
        self.index.set_changed(group, mark);
        Ok(mark)
    }

    fn check_open(&self) -> Result<(), AppendError> {
        match self.writer.poisoned() {
            Some(error) => Err(AppendError::Poisoned(*error)),
            None if self.writer.is_closing() => Err(AppendError::Closed),
            None => Ok(()),
        }
    }

    /// Appends a unit after which the group's log is `first..next`.
    fn unit(
        &mut self,
        group: GroupId,
        restart: Option<LogId>,
        hard_state: Option<HardState>,
        entries: &[Entry],
        (first, next): (Index, Index),
    ) -> Result<Mark, AppendError> {
        let mark_bytes = if restart.is_some() { record_bytes(0) } else { 0 };
        let bytes = unit_bytes(hard_state.is_some(), entries) + mark_bytes;
        let bytes_max = self.writer.setup().batch_room() - BATCH_HEADER_BYTES;
        if bytes > bytes_max {
            return Err(AppendError::TooLarge { bytes, bytes_max });
        }
        let end = self.index.appended(group).1;
        let replaces = restart.is_some() || entries.first().is_some_and(|head| head.id.index < end);
        self.index.set_appended(group, first, next);
        let state = hard_state.map(|hard| GroupState::new(hard, first, next.prev()));
        let mark = self.writer.append(bytes, |open, batch| {
            if let Some(snapshot) = restart {
                open.push_mark(batch, group, snapshot, RecordKind::Purge, PURGE_RESTART);
            }
            for entry in entries {
                open.push_entry(batch, group, entry);
            }
            if let Some(state) = state {
                open.push_state(batch, group, &state);
            }
        });
        if replaces {
            self.index.set_changed(group, mark);
        }
        Ok(mark)
    }

    fn mark(&mut self, group: GroupId, id: LogId, kind: RecordKind) -> Mark {
        let fill = |open: &mut Builder, batch: &mut [u8]| open.push_mark(batch, group, id, kind, 0);
        self.writer.append(record_bytes(0), fill)
    }

    /// First and next index of a log `first..next` once `entries` are appended.
    fn appended_after(
        &self,
        group: GroupId,
        (first, next): (Index, Index),
        entries: &[Entry],
    ) -> Result<(Index, Index), AppendError> {
        let Some(head) = entries.first() else {
            return Ok((first, next));
        };
        let start = head.id.index;
        let gap = |expected, found| Err(AppendError::Gap { group, expected, found });
        let unborn = first == next && first.0 == 1;
        if start > next && !unborn || !(1..NUMBER_END).contains(&start.0) {
            return gap(next, start);
        }
        let mut due = start;
        for entry in entries {
            if entry.id.index != due {
                return gap(due, entry.id.index);
            }
            due = due.next();
        }
        let first = if unborn || start < first { start } else { first };
        Ok((first, due))
    }

    /// The next write, see [`Writer::next_op`].
    pub fn next_op(&mut self) -> Option<WriteOp> {
        self.continue_checkpoint();
        let (starved, tail) = (self.writer.is_starved(), self.writer.tail());
        let op = self.writer.next_op();
        self.stats.spare_misses += u64::from(!starved && self.writer.is_starved());
        if let Some(op) = op.filter(|op| op.offset == 0) {
            self.stats.segments += 1;
            self.table.seal(&tail);
            self.begin_checkpoint(op.segment);
            self.begin_sweep();
        } else if op.is_none() && self.writer.spares() == 0 && self.writer.has_segment() {
            // The disk may be full: what can be freed is wanted now, not at the next switch.
            self.begin_checkpoint(self.writer.tail().segment);
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
            self.writer.arena_mut().release(batch.span, batch.segment, batch.offset);
        }
        self.end_checkpoint();
    }

    /// Offers a zero-filled file as the next segment but those offered before.
    pub fn offer(&mut self, id: SegmentId, salt: u64, created: u64) {
        self.offer_file(id, salt, created, false);
    }

    /// As [`Log::offer`], of a file that had held a segment which was freed. Its salt must be new.
    pub fn offer_recycled(&mut self, id: SegmentId, salt: u64, created: u64) {
        self.offer_file(id, salt, created, true);
    }

    fn offer_file(&mut self, id: SegmentId, salt: u64, created: u64, recycled: bool) {
        match self.table.add(id) {
            Ok(slot) => self.writer.offer(FreshSegment { id, slot, salt, created, recycled }),
            Err(error) => self.writer.poison(error),
        }
    }

    /// The file of a slot.
    #[must_use]
    pub fn segment(&self, slot: u16) -> Option<SegmentId> {
        self.table.segment(slot)
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

mod space;
