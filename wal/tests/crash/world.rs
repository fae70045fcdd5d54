//! A workload on a disk that crashes, and what must be true afterwards.

use raft_core::{Entry, EntryKind, GroupId, HardState, Index, LogId, NodeId, Term};
use wal::log::Log;
use wal::op::{Completion, SegmentId, WriteOp};
use wal::record::{BatchHeader, RECORD_HEADER_BYTES, RecordHeader};
use wal::recover::Survey;
use wal::table::Freed;
use wal::writer::Setup;

use super::disk::{Disk, Rng, STORE};
use super::model::{Deed, Model, Unit};

pub const SEGMENT_BYTES: u64 = 64 << 10;
const BLOCK: usize = 4096;
/// Groups with much to do, and those with little: a checkpoint of all takes several pieces.
const BUSY: u64 = 4;
const GROUPS: u64 = 90;

/// A write that was issued: where, what, and the batch it holds, if it is not a segment header.
#[derive(Clone)]
pub struct Issued {
    pub op: WriteOp,
    pub bytes: Vec<u8>,
    pub batch: Option<BatchHeader>,
}

/// How often things happened that a world is for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub crashes: u64,
    pub checkpoints: u64,
    pub freed: u64,
    pub recycled: u64,
    pub relocated: u64,
    /// Recoveries that began at a checkpoint, and those that did without some older segment.
    pub anchored: u64,
    pub with_gaps: u64,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.crashes += other.crashes;
        self.checkpoints += other.checkpoints;
        self.freed += other.freed;
        self.recycled += other.recycled;
        self.relocated += other.relocated;
        self.anchored += other.anchored;
        self.with_gaps += other.with_gaps;
    }
}

pub struct World {
    pub rng: Rng,
    pub disk: Disk,
    pub tally: Tally,
    log: Log,
    flying: Vec<WriteOp>,
    /// All writes to the segments of the log as it is now, in order; cut back at a crash to what
    /// survived.
    pub issued: Vec<Issued>,
    units: Vec<(u64, Unit)>,
    /// What the log holds once all is durable.
    ahead: Model,
    /// Segments that were freed and whose files are still there.
    freed: Vec<Freed>,
    next_segment: u64,
    term: u64,
}

fn setup(rng: &mut Rng, epoch: u64) -> Setup {
    Setup {
        store: STORE,
        core: 0,
        epoch,
        segment_bytes: SEGMENT_BYTES,
        batch_bytes_max: 4096 << rng.below(6),
        depth: 1 + rng.below(6) as usize,
        tail_cache_bytes_max: 16 << 10,
    }
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng(seed);
        let mut disk = Disk::default();
        let log = Log::new(setup(&mut rng, 1), disk.recover().unwrap());
        let crowded = rng.one_in(2);
        let mut world = Self {
            rng,
            disk,
            tally: Tally::default(),
            log,
            flying: Vec::new(),
            issued: Vec::new(),
            units: Vec::new(),
            ahead: Model::default(),
            freed: Vec::new(),
            next_segment: 1,
            term: 1,
        };
        for group in (1..=GROUPS).filter(|_| crowded) {
            let hard = HardState { term: Term(group), ..HardState::default() };
            let deed = Deed::Append { hard: Some(hard), entries: Vec::new() };
            world.unit(GroupId(group), deed);
        }
        world
    }

    pub fn acked(&self) -> u64 {
        self.log.writer().durable().0
    }

    /// One random thing happens.
    pub fn step(&mut self) {
        match self.rng.below(14) {
            0..=3 => self.append(),
            4 => self.give_up(),
            5..=7 => self.pump(),
            8..=9 => self.finish_one(),
            10 => self.supply(),
            11 => self.remove_freed(),
            12 => self.relocate(),
            _ => self.log.writer_mut().beacon(),
        }
    }

    fn entries(&mut self, start: u64) -> Vec<Entry> {
        let most = if self.rng.one_in(8) { 9_000 } else { 700 };
        (start..start + self.rng.below(4))
            .map(|index| {
                let len = self.rng.below(most);
                let byte = if self.rng.one_in(3) { 0 } else { self.rng.next() as u8 };
                let data = vec![byte; len as usize].into();
                let id = LogId::new(Term(self.term), Index(index));
                let changes = self.rng.one_in(4);
                let kind = if changes { EntryKind::ConfChange } else { EntryKind::Normal };
                Entry { id, kind, data }
            })
            .collect()
    }

    fn group(&mut self) -> GroupId {
        let groups = if self.rng.one_in(12) { GROUPS } else { BUSY };
        GroupId(1 + self.rng.below(groups))
    }

    fn append(&mut self) {
        let group = self.group();
        let log = self.ahead.groups.get(&group).cloned().unwrap_or_default();
        let next = log.next();
        let overwrite = self.rng.one_in(6);
        self.term += u64::from(overwrite);
        // Now and then below what was purged.
        let lowest = if self.rng.one_in(8) { 1 } else { log.first };
        let start = if overwrite { lowest + self.rng.below(next - lowest + 1) } else { next };
        let entries = self.entries(start);
        let end = if entries.is_empty() { next } else { start + entries.len() as u64 };
        let vote = Some(NodeId(group.0));
        let hard = HardState { term: Term(self.term), vote, commit: Index(end - 1) };
        // An overwritten suffix takes the commit index with it: real groups never commit what
        // they overwrite.
        let hard = (overwrite || self.rng.one_in(2)).then_some(hard);
        self.unit(group, Deed::Append { hard, entries });
    }

    /// A group loses its prefix, all of its log, or everything.
    fn give_up(&mut self) {
        let group = self.group();
        let log = self.ahead.groups.get(&group).cloned().unwrap_or_default();
        let deed = match self.rng.below(8) {
            0 => Deed::Delete,
            1 => {
                self.term += 1;
                let index = log.next() + self.rng.below(20);
                let snapshot = LogId::new(Term(self.term), Index(index));
                let entries = self.entries(index + 1);
                let commit = Index(index);
                let hard = HardState { term: Term(self.term), vote: None, commit };
                Deed::Restart { snapshot, hard, entries }
            }
            2 => Deed::Purge { up_to: Index(self.rng.below(log.next() + 5)) },
            _ => Deed::Purge { up_to: Index(log.next() - self.rng.below(4).min(log.next())) },
        };
        self.unit(group, deed);
    }

    fn unit(&mut self, group: GroupId, deed: Deed) {
        let unit = Unit { group, deed };
        let mark = unit.append_to(&mut self.log);
        self.ahead.apply(&unit);
        self.units.push((mark, unit));
    }

    pub fn supply(&mut self) {
        if self.log.writer().spares() >= 2 {
            return;
        }
        let id = SegmentId(self.next_segment);
        self.next_segment += 1;
        let reusable = self.freed.iter().position(|freed| freed.reusable);
        match reusable.filter(|_| self.rng.below(4) > 0) {
            Some(at) => {
                let old = self.freed.remove(at);
                let mut file = self.disk.files.remove(&old.segment).unwrap();
                file[..BLOCK].fill(0);
                self.disk.files.insert(id, file);
                self.log.offer_recycled(id, self.rng.next(), 0);
                self.tally.recycled += 1;
            }
            None => {
                self.disk.files.insert(id, vec![0; SEGMENT_BYTES as usize]);
                self.log.offer(id, self.rng.next(), 0);
            }
        }
    }

    fn remove_freed(&mut self) {
        if let Some(at) = self.freed.iter().position(|freed| !freed.reusable) {
            let freed = self.freed.remove(at);
            self.disk.files.remove(&freed.segment);
        }
    }

    pub fn pump(&mut self) {
        while let Some(op) = self.log.next_op() {
            let bytes = self.log.writer().op_bytes(&op).to_vec();
            let batch = (op.offset > 0).then(|| BatchHeader::read(&bytes).unwrap());
            self.issued.push(Issued { op, bytes, batch });
            self.flying.push(op);
        }
    }

    /// Living entries leave segments that are mostly dead.
    fn relocate(&mut self) {
        let mut wanted = Vec::new();
        self.log.relocations(&mut wanted);
        for what in wanted {
            let file = &self.disk.files[&self.log.segment(what.place.slot()).unwrap()];
            let record = &file[what.place.offset() as usize..];
            let head = RecordHeader::read(record).unwrap();
            let data = &record[RECORD_HEADER_BYTES..][..head.data_len as usize];
            assert!(head.is_intact() && head.holds(data) && head.group == what.group.0);
            let (kind, data) = (head.entry_kind().unwrap(), data.to_vec().into());
            self.log.relocate(&what, &Entry { id: what.id, kind, data });
        }
    }

    /// Any write in flight completes, not only the oldest.
    pub fn finish_one(&mut self) {
        if self.flying.is_empty() {
            return;
        }
        let at = self.rng.below(self.flying.len() as u64) as usize;
        let op = self.flying.remove(at);
        let issued = self.issued.iter().rfind(|issued| issued.op == op).unwrap();
        let file = self.disk.files.get_mut(&op.segment).unwrap();
        file[op.offset as usize..][..op.len as usize].copy_from_slice(&issued.bytes);
        self.log.complete(Completion { id: op.id, result: op.len as i32 });
        while let Some(freed) = self.log.take_freed() {
            self.issued.retain(|issued| issued.op.segment != freed.segment);
            self.freed.push(freed);
        }
    }

    /// Everything that waits becomes durable, and is proven by a BEACON.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            self.supply();
            self.relocate();
            self.pump();
            self.finish_one();
            self.log.writer_mut().beacon();
            let busy = self.log.is_checkpointing() || self.log.is_relocating();
            if self.log.writer().is_idle() && !busy {
                return;
            }
        }
        panic!("the log does not come to rest");
    }

    /// The power fails: of each write in flight every sector is new, old or garbage. So is the
    /// header of a freed file that was just being wiped.
    pub fn crash(&mut self) {
        for op in std::mem::take(&mut self.flying) {
            let issued = self.issued.iter().rfind(|issued| issued.op == op).unwrap();
            self.disk.tear(op.segment, op.offset, &issued.bytes, &mut self.rng);
        }
        for freed in std::mem::take(&mut self.freed) {
            if self.rng.one_in(2) {
                self.disk.tear(freed.segment, 0, &[0; BLOCK], &mut self.rng);
            }
        }
        self.tally.crashes += 1;
        self.tally.checkpoints += self.log.stats().checkpoints;
        self.tally.freed += self.log.stats().freed;
        self.tally.relocated += self.log.stats().relocated;
    }

    /// Recovers and checks: exactly the writes up to the first that is not whole, all
    /// acknowledged ones among them, every unit whole or gone.
    pub fn check(&mut self) -> Survey {
        let survey = self.disk.recover().unwrap_or_else(|error| panic!("false refusal: {error}"));
        let whole = |issued: &Issued| {
            let op = issued.op;
            self.disk.files[&op.segment][op.offset as usize..][..op.len as usize] == issued.bytes
        };
        let survivors = self.issued.iter().take_while(|issued| whole(issued)).count();
        self.issued.truncate(survivors);
        let last = self.issued.iter().rev().find_map(|issued| issued.batch);
        let expected = last.map_or(0, |batch| batch.batch_seq);
        assert_eq!(survey.tail.batch_seq, expected, "the longest valid prefix");
        assert!(expected >= self.acked(), "acknowledged batches are lost");
        self.units.retain(|(mark, _)| *mark <= expected);
        self.ahead = Model::of(self.units.iter().map(|(_, unit)| unit));
        self.ahead.check(&survey, &self.disk);
        self.tally.anchored += u64::from(survey.anchor.is_some());
        let gap = survey.segments.first().is_some_and(|first| first.0 > 1);
        self.tally.with_gaps += u64::from(gap);
        survey
    }

    /// The node starts again on the disk as it is.
    pub fn reopen(&mut self, survey: Survey) {
        self.next_segment = self.disk.files.keys().next_back().map_or(1, |id| id.0 + 1);
        for leftover in &survey.leftovers {
            self.issued.retain(|issued| issued.op.segment != leftover.segment);
            // The thread that removes them may not have come to it before the next crash.
            if self.rng.one_in(2) {
                self.disk.files.remove(&leftover.segment);
            }
        }
        let setup = setup(&mut self.rng, survey.epoch + 1);
        self.log = Log::new(setup, survey);
    }
}
