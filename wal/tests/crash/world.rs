//! A disk that forgets and lies at a crash, a workload on it, and what must be true afterwards.

use std::collections::BTreeMap;

use raft_core::{Entry, EntryKind, GroupId, HardState, Index, LogId, NodeId, Term};
use wal::OpenError;
use wal::log::Log;
use wal::op::{Completion, SegmentId, WriteOp};
use wal::record::{BatchHeader, RECORD_HEADER_BYTES, RecordHeader};
use wal::recover::{Medium, Survey, recover};
use wal::writer::Setup;

pub const SEGMENT_BYTES: u64 = 64 << 10;
const STORE: u128 = 0xF00D;
const SECTOR: usize = 512;

/// Splitmix64.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[derive(Clone, Default)]
pub struct Disk {
    pub files: BTreeMap<SegmentId, Vec<u8>>,
}

impl Medium for Disk {
    fn segments(&mut self) -> Result<Vec<(SegmentId, u64)>, OpenError> {
        Ok(self.files.iter().rev().map(|(&id, bytes)| (id, bytes.len() as u64)).collect())
    }

    fn read(&mut self, id: SegmentId, offset: u64, out: &mut [u8]) -> Result<(), OpenError> {
        out.copy_from_slice(&self.files[&id][offset as usize..][..out.len()]);
        Ok(())
    }
}

impl Disk {
    pub fn recover(&mut self) -> Result<Survey, OpenError> {
        recover(self, STORE, 0)
    }
}

/// A write that was issued: where, what, and the batch it holds, if it is not a segment header.
#[derive(Clone)]
pub struct Issued {
    pub op: WriteOp,
    pub bytes: Vec<u8>,
    pub batch: Option<BatchHeader>,
}

struct Unit {
    mark: u64,
    group: GroupId,
    hard: Option<HardState>,
    entries: Vec<Entry>,
}

pub struct World {
    pub rng: Rng,
    pub disk: Disk,
    log: Log,
    flying: Vec<WriteOp>,
    /// All writes of the log as it is now, in order; cut back at a crash to what survived.
    pub issued: Vec<Issued>,
    units: Vec<Unit>,
    next_segment: u64,
    next_index: BTreeMap<u64, u64>,
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
        Self {
            rng,
            disk,
            log,
            flying: Vec::new(),
            issued: Vec::new(),
            units: Vec::new(),
            next_segment: 1,
            next_index: BTreeMap::new(),
            term: 1,
        }
    }

    pub fn acked(&self) -> u64 {
        self.log.writer().durable().0
    }

    /// One random thing happens.
    pub fn step(&mut self) {
        match self.rng.below(10) {
            0..=3 => self.append(),
            4..=5 => self.pump(),
            6..=7 => self.finish_one(),
            8 => self.supply(),
            _ => self.log.writer_mut().beacon(),
        }
    }

    fn append(&mut self) {
        let group = 1 + self.rng.below(3);
        let next = *self.next_index.entry(group).or_insert(1);
        let overwrite = self.rng.one_in(6);
        self.term += u64::from(overwrite);
        let start = if overwrite { 1 + self.rng.below(next) } else { next };
        let most = if self.rng.one_in(8) { 9_000 } else { 700 };
        let entries: Vec<Entry> = (start..start + self.rng.below(4))
            .map(|index| {
                let len = self.rng.below(most);
                let byte = if self.rng.one_in(3) { 0 } else { self.rng.next() as u8 };
                let data = vec![byte; len as usize].into();
                let id = LogId::new(Term(self.term), Index(index));
                let changes = self.rng.one_in(4);
                let kind = if changes { EntryKind::ConfChange } else { EntryKind::Normal };
                Entry { id, kind, data }
            })
            .collect();
        let last = start + entries.len() as u64;
        if !entries.is_empty() {
            self.next_index.insert(group, last);
        }
        let commit = Index(self.next_index[&group] - 1);
        let hard = HardState { term: Term(self.term), vote: Some(NodeId(group)), commit };
        // An overwritten suffix takes the commit index with it: real groups never commit what
        // they overwrite.
        let hard = (overwrite || self.rng.one_in(2)).then_some(hard);
        let group = GroupId(group);
        let mark = self.log.append(group, hard, &entries).unwrap().0;
        self.units.push(Unit { mark, group, hard, entries });
    }

    pub fn supply(&mut self) {
        if self.log.writer().spares() < 2 {
            let id = SegmentId(self.next_segment);
            self.next_segment += 1;
            self.disk.files.insert(id, vec![0; SEGMENT_BYTES as usize]);
            self.log.offer(id, self.rng.next(), 0);
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
    }

    /// Everything that waits becomes durable, and is proven by a BEACON.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            self.supply();
            self.pump();
            self.finish_one();
            self.log.writer_mut().beacon();
            if self.log.writer().is_idle() {
                return;
            }
        }
        panic!("the log does not come to rest");
    }

    /// The power fails: of each write in flight every sector is new, old or garbage.
    pub fn crash(&mut self) {
        for op in std::mem::take(&mut self.flying) {
            let issued = self.issued.iter().rfind(|issued| issued.op == op).unwrap();
            let file = self.disk.files.get_mut(&op.segment).unwrap();
            let place = &mut file[op.offset as usize..][..op.len as usize];
            let fate = self.rng.below(4);
            for (old, new) in place.chunks_mut(SECTOR).zip(issued.bytes.chunks(SECTOR)) {
                let sector = if fate < 3 { fate } else { self.rng.below(3) };
                match sector {
                    0 => old.copy_from_slice(new),
                    1 => {}
                    _ => old.fill_with(|| self.rng.next() as u8),
                }
            }
        }
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
        self.units.retain(|unit| unit.mark <= expected);
        self.check_groups(&survey);
        survey
    }

    fn check_groups(&mut self, survey: &Survey) {
        self.next_index.clear();
        let mut model: BTreeMap<GroupId, (HardState, Vec<Entry>)> = BTreeMap::new();
        for unit in &self.units {
            let (hard, entries) = model.entry(unit.group).or_default();
            if let Some(first) = unit.entries.first() {
                entries.truncate(first.id.index.0 as usize - 1);
            }
            entries.extend_from_slice(&unit.entries);
            *hard = unit.hard.unwrap_or(*hard);
        }
        for (group, (hard, entries)) in model {
            self.next_index.insert(group.0, entries.len() as u64 + 1);
            let Some(log) = survey.index.group(group) else {
                assert!(entries.is_empty() && hard == HardState::default());
                continue;
            };
            assert_eq!(log.hard_state(), hard, "{group:?}");
            assert_eq!(log.last().0, entries.len() as u64, "{group:?}");
            assert!(hard.commit <= log.last(), "committed entries are lost");
            let confs = entries.iter().filter(|entry| entry.kind == EntryKind::ConfChange);
            let confs: Vec<Index> = confs.map(|entry| entry.id.index).collect();
            assert_eq!(log.confs(Index(0)).collect::<Vec<_>>(), confs, "{group:?}");
            for entry in &entries {
                let place = log.place(entry.id.index).unwrap();
                let file = &self.disk.files[&survey.segments[usize::from(place.slot())]];
                let record = &file[place.offset() as usize..];
                let head = RecordHeader::read(record).unwrap();
                assert_eq!((head.group, head.id()), (group.0, entry.id));
                assert_eq!(log.term(entry.id.index), Some(entry.id.term));
                assert_eq!(record[RECORD_HEADER_BYTES..][..entry.data.len()], entry.data);
            }
        }
    }

    /// The node starts again on the disk as it is.
    pub fn reopen(&mut self, survey: Survey) {
        self.next_segment = self.disk.files.keys().next_back().map_or(1, |id| id.0 + 1);
        for leftover in &survey.leftovers {
            // The thread that removes them may not have come to it before the next crash.
            if self.rng.one_in(2) {
                self.disk.files.remove(&leftover.segment);
            }
        }
        let setup = setup(&mut self.rng, survey.epoch + 1);
        self.log = Log::new(setup, survey);
    }
}
