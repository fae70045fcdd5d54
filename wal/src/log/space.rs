//! When to write a checkpoint, and which segments it frees.

use raft_core::Entry;

use super::{Log, WalSpace};
use crate::batch::Builder;
use crate::checkpoint::{Checkpoint, PIECE_BYTES_MAX, cost};
use crate::op::SegmentId;
use crate::record::{BATCH_HEADER_BYTES, LiveSegment, record_bytes};
use crate::relocate::{Relocation, Sweep};
use crate::segment::Anchor;
use crate::table::Freed;

impl Log {
    /// A segment that is no part of the log any more. Nothing reads it; its file may be removed
    /// or, with [`Freed::reusable`], offered again under a new number once its header is gone.
    pub fn take_freed(&mut self) -> Option<Freed> {
        self.freed.pop_front()
    }

    /// Whether a checkpoint is under way; it goes on with each durable batch.
    #[must_use]
    pub const fn is_checkpointing(&self) -> bool {
        self.checkpoint.is_some()
    }

    /// What the log takes now. Looks at every group and segment: for people and tests, not for
    /// every turn.
    #[must_use]
    pub fn space(&self) -> WalSpace {
        let live = self.index.live_total();
        let segments = self.table.len() as u64;
        WalSpace {
            segments,
            bytes: segments * self.writer.setup().segment_bytes,
            live_entries: live.entries,
            live_bytes: live.bytes,
            index_bytes: self.index.bytes(),
        }
    }

    /// Whether living entries are being copied out of mostly dead segments; it goes on with each
    /// call of [`Log::relocations`].
    #[must_use]
    pub const fn is_relocating(&self) -> bool {
        self.sweep.is_some()
    }

    /// Begins to empty segments that are mostly dead. Not while the next segment is not ready: what
    /// is written to free space must not take the last of it.
    pub(super) fn begin_sweep(&mut self) {
        if self.sweep.is_some() || self.writer.spares() == 0 {
            return;
        }
        let live = |(slot, _): (u16, LiveSegment)| (self.index.live(slot), slot);
        let living = self.table.sealed().map(live).filter(|(live, _)| live.entries > 0);
        let sealed = living.map(|(live, slot)| (live.bytes, slot)).collect();
        let segment_bytes = self.writer.setup().segment_bytes;
        self.sweep = Sweep::new(sealed, segment_bytes, self.index.groups().map(|(id, _)| id));
    }

    /// Adds to `out` living entries that are to be copied now. Read each of them and hand it to
    /// [`Log::relocate`]; one that cannot be read stays where it is.
    pub fn relocations(&mut self, out: &mut Vec<Relocation>) {
        let durable = self.writer.durable();
        let stopped = self.writer.is_closing() || self.writer.poisoned().is_some();
        if stopped || self.sweep.as_ref().is_some_and(|sweep| sweep.is_over(durable)) {
            self.sweep = None;
        }
        // A batch that waits for a segment is not made longer.
        let starved = self.writer.is_starved();
        if let Some(sweep) = self.sweep.as_mut().filter(|sweep| !starved && sweep.is_due(durable)) {
            sweep.look(&self.index, out);
        }
    }

    /// Appends a copy of an entry that [`Log::relocations`] asked for, if it still lives there.
    pub fn relocate(&mut self, what: &Relocation, entry: &Entry) {
        let bytes = record_bytes(entry.data.len());
        let fits = bytes + BATCH_HEADER_BYTES <= self.writer.setup().batch_room();
        // A copy must not come behind the end of what it is a copy of.
        let settled = self.index.is_settled(what, self.writer.durable());
        if let Some(sweep) = self.sweep.as_mut().filter(|_| fits && settled) {
            let fill = |open: &mut Builder, batch: &mut [u8]| {
                open.push_copy(batch, what.group, entry);
            };
            sweep.wrote(self.writer.append(bytes, fill));
            self.stats.relocated += 1;
        }
    }

    /// Begins a checkpoint while `from` is the segment in use, if that frees enough.
    pub(super) fn begin_checkpoint(&mut self, from: SegmentId) {
        let dead = self.dead_segments();
        let (segments, groups) = (self.table.len() - dead, self.index.len());
        let segment_bytes = self.writer.setup().segment_bytes;
        let (cost, gain) = (cost(groups, segments), dead as u64 * segment_bytes);
        // A checkpoint fills segments which the next one frees. It must gain more than that, or an
        // idle log would go on for ever.
        let worth = if cost < segment_bytes / 4 { 1 } else { 2 * (cost + segment_bytes) };
        if self.checkpoint.is_some() || gain < worth {
            return;
        }
        let live: Vec<LiveSegment> = self.living().collect();
        let anchor = Anchor { from, id: self.writer.open_seq() };
        self.checkpoint = Some(Checkpoint::new(anchor, live, self.index.watch()));
    }

    /// Segments without a living entry, the one in use and those to come aside.
    fn dead_segments(&self) -> usize {
        self.table.sealed().count() - self.living().count()
    }

    fn living(&self) -> impl Iterator<Item = LiveSegment> {
        let alive = |&(slot, _): &(u16, _)| self.index.live(slot).entries > 0;
        self.table.sealed().filter(alive).map(|(_, end)| end)
    }

    /// Adds the next piece to the open batch, when the one before is durable.
    pub(super) fn continue_checkpoint(&mut self) {
        let Some(checkpoint) = &mut self.checkpoint else { return };
        let durable = self.writer.durable();
        if self.writer.is_closing() || self.writer.poisoned().is_some() {
            self.abandon_checkpoint();
        } else if checkpoint.is_due(durable) {
            let room = self.writer.setup().batch_bytes_max.min(PIECE_BYTES_MAX);
            let piece = checkpoint.cut(&mut self.index, room - BATCH_HEADER_BYTES);
            let fill = |open: &mut _, batch: &mut _| checkpoint.fill(&piece, durable, open, batch);
            let mark = self.writer.append(piece.bytes, fill);
            checkpoint.wrote(&piece, mark);
        }
    }

    fn abandon_checkpoint(&mut self) {
        self.checkpoint = None;
        self.index.unwatch();
    }

    /// Frees what a checkpoint does not need, once all of it is durable.
    pub(super) fn end_checkpoint(&mut self) {
        let durable = self.writer.durable();
        let Some(checkpoint) = self.checkpoint.take_if(|check| check.is_durable(durable)) else {
            return;
        };
        self.index.unwatch();
        self.writer.set_anchor(checkpoint.anchor());
        self.stats.checkpoints += 1;
        let unneeded = |&(_, end): &(u16, LiveSegment)| checkpoint.frees(SegmentId(end.segment_id));
        let slots: Vec<u16> = self.table.sealed().filter(unneeded).map(|(slot, _)| slot).collect();
        for slot in slots {
            assert_eq!(
                self.index.live(slot).entries,
                0,
                "Space Safety: no entry lies in a segment that is freed"
            );
            self.freed.extend(self.table.free(slot));
            self.stats.freed += 1;
        }
    }
}
