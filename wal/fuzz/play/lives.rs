//! A log that is written, crashes and is written again, as bytes say.

use std::collections::BTreeMap;

use raft_core::{Entry, EntryKind, GroupId, HardState, Index, LogId, NodeId, Term};
use wal::log::Log;
use wal::op::{Completion, SegmentId, WriteOp};
use wal::writer::Setup;

use super::disk::{Disk, SEGMENT_BYTES, STORE};
use super::reader::Reader;
use super::tally::Tally;

pub(super) fn setup(epoch: u64, choice: usize) -> Setup {
    Setup {
        store: STORE,
        core: 0,
        epoch,
        segment_bytes: SEGMENT_BYTES,
        batch_bytes_max: 4096 << (choice % 4),
        depth: 1 + choice / 4 % 4,
        tail_cache_bytes_max: 16 << 10,
    }
}

struct World {
    disk: Disk,
    log: Log,
    flying: Vec<(WriteOp, Vec<u8>)>,
    term: u64,
}

/// The disk of a log when it dies for the last time; what was acknowledged was always found again.
pub(super) fn written(reader: &mut Reader<'_>, tally: &mut Tally) -> Disk {
    let mut disk = Disk::default();
    let survey = disk.recover().expect("an empty folder opens");
    let log = Log::new(setup(1, reader.below(16)), survey);
    let mut world = World { disk, log, flying: Vec::new(), term: 1 };
    while !reader.is_empty() {
        match reader.below(20) {
            0..=4 => world.append(reader),
            5..=6 => world.start(),
            7..=9 => world.finish(reader),
            10 => world.settle(),
            11 => supply(&mut world.disk, &mut world.log),
            12 => world.log.writer_mut().beacon(),
            13 => {
                world.crash(reader, tally);
                tally.note("crash");
            }
            14 => {
                world.log.writer_mut().close();
                world.settle();
            }
            15..=17 => world.shorten(reader),
            _ => break,
        }
    }
    world.crash(reader, tally);
    world.disk
}

/// Offers an empty segment.
pub(super) fn supply(disk: &mut Disk, log: &mut Log) {
    if log.writer().spares() < 2 && disk.files.len() < 12 {
        let next = disk.files.keys().next_back().map_or(1, |id| id.0 + 1);
        disk.files.insert(SegmentId(next), vec![0; SEGMENT_BYTES as usize]);
        log.offer(SegmentId(next), next.wrapping_mul(0x9E37_79B9_7F4A_7C15), 0);
    }
}

/// Puts the bytes of a write on the disk and says so.
pub(super) fn finish(disk: &mut Disk, log: &mut Log, op: &WriteOp, bytes: &[u8]) {
    if let Some(file) = disk.files.get_mut(&op.segment) {
        file[op.offset as usize..][..bytes.len()].copy_from_slice(bytes);
    }
    log.complete(Completion { id: op.id, result: op.len as i32 });
}

impl World {
    fn append(&mut self, reader: &mut Reader<'_>) {
        let group = GroupId(1 + reader.below(3) as u64);
        let (first, next) = self.log.index().appended(group);
        let shape = reader.byte();
        // A quarter of the appends replaces something; a new log may start anywhere.
        let back = if shape % 4 == 0 { u64::from(shape / 16) } else { 0 };
        let empty = first == next && shape % 4 == 1;
        let start = if empty { 1 + u64::from(shape) } else { next.0.saturating_sub(back).max(1) };
        self.term += u64::from(back > 0);
        let len = match reader.byte() {
            len @ 0..250 => usize::from(len) * 4,
            len => usize::from(len - 249) * 5000,
        };
        let entries: Vec<Entry> = (start..start + u64::from(shape / 4 % 4))
            .map(|index| {
                let kind = if index % 4 == 0 { EntryKind::ConfChange } else { EntryKind::Normal };
                let data = vec![index as u8; len].into();
                Entry { id: LogId::new(Term(self.term), Index(index)), kind, data }
            })
            .collect();
        let hard = HardState { term: Term(self.term), vote: Some(NodeId(1)), commit: Index(0) };
        // A unit that does not fit is refused and changes nothing.
        let _ = self.log.append(group, (shape % 2 == 0).then_some(hard), &entries);
    }

    /// A group gives up its beginning, or all it had, or begins behind a snapshot.
    fn shorten(&mut self, reader: &mut Reader<'_>) {
        let group = GroupId(1 + reader.below(3) as u64);
        let (first, _) = self.log.index().appended(group);
        let index = Index(first.0 + reader.below(8) as u64);
        // What is refused changes nothing.
        let _ = match reader.below(4) {
            0 => self.log.delete(group),
            1 => {
                let snapshot = LogId::new(Term(self.term), index);
                self.log.restart(group, snapshot, None, &[])
            }
            _ => self.log.purge(group, index),
        };
    }

    fn start(&mut self) {
        while let Some(op) = self.log.next_op() {
            let bytes = self.log.writer().op_bytes(&op).to_vec();
            self.flying.push((op, bytes));
        }
    }

    fn finish(&mut self, reader: &mut Reader<'_>) {
        if !self.flying.is_empty() {
            let at = reader.below(self.flying.len());
            let (op, bytes) = self.flying.remove(at);
            finish(&mut self.disk, &mut self.log, &op, &bytes);
        }
    }

    /// Everything that has a segment becomes durable.
    fn settle(&mut self) {
        for _ in 0..64 {
            supply(&mut self.disk, &mut self.log);
            self.start();
            if self.flying.is_empty() {
                return;
            }
            for (op, bytes) in std::mem::take(&mut self.flying) {
                finish(&mut self.disk, &mut self.log, &op, &bytes);
            }
        }
    }

    /// Writes in flight are there, are not, or are half there; then the node starts again.
    fn crash(&mut self, reader: &mut Reader<'_>, tally: &mut Tally) {
        let acked = self.log.writer().durable().0;
        for (op, bytes) in std::mem::take(&mut self.flying) {
            let Some(file) = self.disk.files.get_mut(&op.segment) else { continue };
            let place = &mut file[op.offset as usize..][..bytes.len()];
            match reader.below(4) {
                0 => place.copy_from_slice(&bytes),
                1 => {}
                2 => {
                    let half = bytes.len() / 2;
                    place[half..].copy_from_slice(&bytes[half..]);
                }
                _ => place.fill(0xA5),
            }
        }
        let survey = self.disk.recover().expect("Torn Is Not Damaged: a crash damages nothing");
        assert!(survey.tail.batch_seq >= acked, "Durability: what was acknowledged is there");
        if survey.torn_tail.is_some() {
            tally.note("torn tail");
        }
        let gone: Vec<_> = survey.leftovers.iter().map(|leftover| leftover.segment).collect();
        for segment in gone {
            if reader.flag() {
                self.disk.files.remove(&segment);
            }
        }
        self.log = Log::new(setup(survey.epoch + 1, reader.below(16)), survey);
    }
}

/// Last index of every group.
pub(super) fn ends(survey: &wal::recover::Survey) -> BTreeMap<GroupId, (Index, Index)> {
    survey.index.groups().map(|(group, log)| (group, (log.first(), log.last()))).collect()
}
