//! What the log is, put together from a checkpoint and what lies before and behind its pieces.
//!
//! Before the batch up to which a checkpoint describes a group, only the newest copy of each entry
//! that it counts is wanted: whatever else happened there is in its description. Behind it every
//! record has its full effect.

use std::collections::{BTreeMap, BTreeSet};

use raft_core::{EntryKind, GroupId, Index};

use super::scan::Proved;
use crate::batch::records;
use crate::error::OpenError;
use crate::index::{LogIndex, Misfit, Place, Restored};
use crate::op::{Mark, NUMBER_END, SegmentId};
use crate::record::{
    CheckpointEnd, GroupState, LiveSegment, RecordHeader, RecordKind, record_bytes,
};
use crate::segment::Anchor;

/// What a checkpoint says of a group.
struct Target {
    as_of: u64,
    found: Restored,
}

/// The pieces of a checkpoint.
pub(super) struct Pieces {
    anchor: Anchor,
    pub(super) live: Vec<LiveSegment>,
    groups: BTreeMap<GroupId, (u64, GroupState)>,
    records: u64,
    /// The batch up to which a group that is not mentioned does not exist.
    end: Option<u64>,
}

impl Pieces {
    pub(super) fn new(anchor: Anchor) -> Self {
        Self { anchor, live: Vec::new(), groups: BTreeMap::new(), records: 0, end: None }
    }

    /// Takes the pieces out of a batch.
    pub(super) fn collect(&mut self, batch: &[u8]) -> Result<(), Misfit> {
        for (offset, head, data) in records(batch) {
            let unknown = Misfit::Unknown { offset, kind: head.kind };
            match RecordKind::from_u8(head.kind) {
                Some(RecordKind::CheckpointGroup) if head.term == self.anchor.id => {
                    let state = GroupState::read(data).ok_or(unknown)?;
                    self.groups.insert(GroupId(head.group), (head.index, state));
                    self.records += 1;
                }
                Some(RecordKind::CheckpointSegments) if head.group == self.anchor.id => {
                    let items = data.chunks(size_of::<LiveSegment>());
                    let item = bytemuck::try_pod_read_unaligned;
                    let items: Result<Vec<LiveSegment>, _> = items.map(item).collect();
                    self.live.extend(items.map_err(|_| unknown)?);
                }
                Some(RecordKind::CheckpointEnd) if head.group == self.anchor.id => {
                    let end: CheckpointEnd =
                        bytemuck::try_pod_read_unaligned(data).map_err(|_| unknown)?;
                    let whole = end.segments == self.live.len() as u64
                        && end.groups == self.records
                        && self.live.is_sorted_by(|a, b| a.segment_id < b.segment_id)
                        && self.live.last().is_none_or(|l| l.segment_id < self.anchor.from.0);
                    self.end = whole.then_some(head.term);
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) const fn is_complete(&self) -> bool {
        self.end.is_some()
    }
}

/// The newest checkpoint that ends in a batch.
pub(super) fn last_end(batch: &[u8]) -> Option<Anchor> {
    let is_end = |head: &RecordHeader| head.kind == RecordKind::CheckpointEnd as u8;
    let ends = records(batch).filter(|(_, head, _)| is_end(head));
    ends.last().map(|(_, head, _)| Anchor { from: SegmentId(head.index), id: head.group })
}

/// The log so far.
#[derive(Default)]
pub(super) struct Replay {
    pub(super) index: LogIndex,
    targets: BTreeMap<GroupId, Target>,
    /// Groups that were mentioned, behind the batch up to which their description holds.
    settled: BTreeSet<GroupId>,
    end: u64,
}

impl Replay {
    /// Begins with a checkpoint, in a log of at most `bytes`.
    pub(super) fn new(pieces: Pieces, bytes: u64) -> Result<Self, OpenError> {
        let refused = OpenError::Checkpoint { segment: pieces.anchor.from };
        // What a log holds bounds what is made room for, whatever a record says.
        let mut room = bytes / record_bytes(0) as u64;
        let mut targets = BTreeMap::new();
        for (group, (as_of, state)) in pieces.groups {
            let next = state.last_index.wrapping_add(1);
            let len = next.checked_sub(state.first_index).filter(|len| *len <= room);
            let sound = (1..NUMBER_END).contains(&state.first_index) && next <= NUMBER_END;
            let Some(len) = len.filter(|_| sound) else { return Err(refused) };
            room -= len;
            let (places, terms) = (vec![0; len as usize], vec![0; len as usize]);
            let found = Restored { state, places, terms, confs: BTreeSet::new() };
            targets.insert(group, Target { as_of, found });
        }
        let end = pieces.end.ok_or(refused)?;
        Ok(Self { targets, end, ..Self::default() })
    }

    /// Takes in a batch of the segment in `slot`.
    pub(super) fn batch(&mut self, slot: u16, batch: &Proved<'_>) -> Result<(), Misfit> {
        if batch.seq > self.end {
            self.settle_groups()?;
            return self.index.apply(slot, batch.offset, batch.bytes);
        }
        for (at, head, data) in records(batch.bytes) {
            let place = Place::new(slot, batch.offset + at as u64, head.data_len);
            self.record(batch.seq, at, &head, data, place)?;
        }
        Ok(())
    }

    fn record(
        &mut self,
        seq: u64,
        at: usize,
        head: &RecordHeader,
        data: &[u8],
        place: Place,
    ) -> Result<(), Misfit> {
        let unknown = Misfit::Unknown { offset: at, kind: head.kind };
        let kind = RecordKind::from_u8(head.kind).ok_or(unknown)?;
        match kind {
            RecordKind::CheckpointSegments
            | RecordKind::CheckpointGroup
            | RecordKind::CheckpointEnd => return Ok(()),
            _ => {}
        }
        let group = GroupId(head.group);
        let as_of = self.targets.get(&group).map(|target| target.as_of);
        if as_of.is_some_and(|as_of| seq > as_of) {
            self.settle_group(group)?;
        }
        if let Some(target) = self.targets.get_mut(&group) {
            return target.take(kind, head, place).ok_or(unknown);
        }
        if self.settled.contains(&group) {
            return self.index.apply_record(Mark(seq), at, head, data, place);
        }
        // Not mentioned: whatever it was, it is gone.
        Ok(())
    }

    fn settle_group(&mut self, group: GroupId) -> Result<(), Misfit> {
        let Some(Target { found, .. }) = self.targets.remove(&group) else { return Ok(()) };
        if let Some(lost) = found.places.iter().position(|&place| place == 0) {
            let index = Index(found.state.first_index + lost as u64);
            return Err(Misfit::Lost { group, index });
        }
        self.index.restore(group, &found);
        self.settled.insert(group);
        Ok(())
    }

    /// Everything that the checkpoint counts has been seen.
    pub(super) fn settle_groups(&mut self) -> Result<(), Misfit> {
        while let Some(&group) = self.targets.keys().next() {
            self.settle_group(group)?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> LogIndex {
        if self.end > 0 {
            self.index.forget_blank();
        }
        self.index.settle();
        self.index
    }
}

impl Target {
    /// Keeps the newest copy of an entry that counts.
    fn take(&mut self, kind: RecordKind, head: &RecordHeader, place: Place) -> Option<()> {
        if !matches!(kind, RecordKind::Entry | RecordKind::RelocEntry) {
            return Some(());
        }
        let found = &mut self.found;
        let at = head.index.checked_sub(found.state.first_index);
        let at = at.and_then(|at| usize::try_from(at).ok());
        let kind = head.entry_kind()?;
        let Some(at) = at.filter(|&at| at < found.places.len()) else { return Some(()) };
        (found.places[at], found.terms[at]) = (place.bits(), head.term);
        match kind {
            EntryKind::ConfChange => found.confs.insert(head.index),
            _ => found.confs.remove(&head.index),
        };
        Some(())
    }
}
