//! A node in memory: a shard of groups, the disk beneath it, and state machines that remember
//! names.
#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use multi_raft::{MultiRaft, MultiReady, PeerBatch, Receipt};
use raft_core::{
    Applied, Bytes, ConfState, Config, Entry, EntryKind, Event, GroupId, HardState, Index,
    InitialState, LogId, NodeId, RaftCore, ReadId, ReadOutcome, SnapshotMeta, Storage,
    StorageError, Term,
};

#[derive(Debug, Default)]
struct Platter {
    hard: HardState,
    /// From the one after the snapshot on.
    entries: Vec<Entry>,
    voters: Vec<NodeId>,
    snapshot: SnapshotMeta,
    /// Reading entries takes a moment.
    is_cold: bool,
}

impl Platter {
    fn place(&self, index: Index) -> Result<usize, StorageError> {
        let first = self.snapshot.last.index.0 + 1;
        index.0.checked_sub(first).map(|i| i as usize).ok_or(StorageError::Compacted)
    }
}

/// One group's durable side; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store(Rc<RefCell<Platter>>);

impl Store {
    pub(crate) fn new(voters: &[u64]) -> Self {
        let store = Self::default();
        store.0.borrow_mut().voters = voters.iter().copied().map(NodeId).collect();
        store
    }

    pub(crate) fn log(&self) -> Vec<LogId> {
        self.0.borrow().entries.iter().map(|e| e.id).collect()
    }

    fn write(&self, entry: Entry) {
        let mut platter = self.0.borrow_mut();
        let place = platter.place(entry.id.index).unwrap();
        platter.entries.truncate(place);
        platter.entries.push(entry);
    }

    /// The log gives way to a snapshot.
    fn install(&self, snapshot: SnapshotMeta) {
        let mut platter = self.0.borrow_mut();
        platter.entries.clear();
        platter.snapshot = snapshot;
    }

    /// The entries up to here go into a snapshot.
    pub(crate) fn compact(&self, snapshot: SnapshotMeta) {
        let mut platter = self.0.borrow_mut();
        let gone = platter.place(snapshot.last.index.next()).unwrap();
        platter.entries.drain(..gone);
        platter.snapshot = snapshot;
    }

    pub(crate) fn set_cold(&self, is_cold: bool) {
        self.0.borrow_mut().is_cold = is_cold;
    }
}

impl Storage for Store {
    fn initial_state(&self) -> Result<InitialState, StorageError> {
        let platter = self.0.borrow();
        let conf = ConfState::of_voters(platter.voters.clone());
        Ok(InitialState { hard: platter.hard, conf })
    }

    fn entries(
        &self,
        from: Index,
        to: Index,
        _bytes_max: usize,
        out: &mut Vec<Entry>,
    ) -> Result<(), StorageError> {
        let platter = self.0.borrow();
        if platter.is_cold {
            return Err(StorageError::Pending);
        }
        let range = platter.place(from)?..platter.place(to)?;
        let entries = platter.entries.get(range).ok_or(StorageError::Unavailable)?;
        out.extend_from_slice(entries);
        Ok(())
    }

    fn conf_entries(&self, from: Index, out: &mut Vec<Entry>) -> Result<(), StorageError> {
        let platter = self.0.borrow();
        let changes = platter.entries[platter.place(from)?..].iter();
        out.extend(changes.filter(|e| e.kind == EntryKind::ConfChange).cloned());
        Ok(())
    }

    fn term_at(&self, index: Index) -> Result<Term, StorageError> {
        let platter = self.0.borrow();
        if index == platter.snapshot.last.index {
            return Ok(platter.snapshot.last.term);
        }
        let entry = platter.entries.get(platter.place(index)?);
        entry.map(|e| e.id.term).ok_or(StorageError::Unavailable)
    }

    fn first_index(&self) -> Index {
        self.0.borrow().snapshot.last.index.next()
    }

    fn last_index(&self) -> Index {
        let platter = self.0.borrow();
        Index(platter.snapshot.last.index.0 + platter.entries.len() as u64)
    }

    fn snapshot_meta(&self) -> SnapshotMeta {
        self.0.borrow().snapshot.clone()
    }
}

/// One poll's batch, on its way to the disk.
struct Write {
    receipt: Receipt,
    hard_states: Vec<(GroupId, HardState)>,
    snapshots: Vec<(GroupId, SnapshotMeta)>,
    entries: Vec<(GroupId, Entry)>,
}

/// A node: its shard, and everything its host would keep.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) multi: MultiRaft<Store>,
    pub(crate) stores: BTreeMap<GroupId, Store>,
    pub(crate) machines: BTreeMap<GroupId, Vec<LogId>>,
    pub(crate) outbox: Vec<PeerBatch>,
    pub(crate) reads: Vec<(GroupId, ReadId, ReadOutcome)>,
    pub(crate) events: Vec<(GroupId, Event)>,
    pub(crate) ready: MultiReady,
    writes: VecDeque<Write>,
}

pub(crate) fn config() -> Config {
    Config { election_timeout_ticks: 10, heartbeat_interval_ticks: 2, ..Config::new(NodeId(1)) }
}

impl Node {
    pub(crate) fn new(id: u64) -> Self {
        Self::on(id, BTreeMap::new())
    }

    /// A node that finds these groups on its disk.
    pub(crate) fn on(id: u64, stores: BTreeMap<GroupId, Store>) -> Self {
        let mut multi = MultiRaft::new(NodeId(id));
        for (group, store) in &stores {
            multi.create(*group, config(), store.clone()).unwrap();
        }
        Self {
            id: NodeId(id),
            multi,
            stores,
            machines: BTreeMap::new(),
            outbox: Vec::new(),
            reads: Vec::new(),
            events: Vec::new(),
            ready: MultiReady::default(),
            writes: VecDeque::new(),
        }
    }

    /// A node with groups `1..=count` of these voters.
    pub(crate) fn with_groups(id: u64, count: u64, voters: &[u64]) -> Self {
        Self::on(id, (1..=count).map(|g| (GroupId(g), Store::new(voters))).collect())
    }

    /// One poll, into `ready` and from there to where it belongs. Returns what the poll returned.
    pub(crate) fn poll(&mut self) -> bool {
        let mut ready = std::mem::take(&mut self.ready);
        let any = self.multi.poll_ready(&mut ready);
        assert_eq!(any, !ready.is_empty());
        check_shape(&ready);
        if let Some(receipt) = ready.receipt.take() {
            let hard_states = std::mem::take(&mut ready.hard_states);
            let snapshots = std::mem::take(&mut ready.snapshots);
            let entries = std::mem::take(&mut ready.entries_to_persist);
            self.writes.push_back(Write { receipt, hard_states, snapshots, entries });
        }
        for (group, entry) in ready.committed_entries.drain(..) {
            let machine = self.machines.entry(group).or_default();
            machine.push(entry.id);
            assert_eq!(entry.id.index.0, machine.len() as u64, "applied in order, each once");
            self.multi.applied(group, Applied(entry.id.index)).unwrap();
        }
        self.reads.append(&mut ready.reads);
        self.events.append(&mut ready.events);
        self.outbox.append(&mut ready.messages);
        self.ready = ready;
        any
    }

    pub(crate) fn writes(&self) -> usize {
        self.writes.len()
    }

    /// Syncs the oldest `count` writes and hands back the last of their receipts only.
    pub(crate) fn sync(&mut self, count: usize) {
        if let Some(receipt) = self.land(count) {
            self.multi.persisted(receipt);
        }
    }

    fn land(&mut self, count: usize) -> Option<Receipt> {
        let mut newest = None;
        for write in self.writes.drain(..count) {
            for (group, hard) in write.hard_states {
                self.stores[&group].0.borrow_mut().hard = hard;
            }
            for (group, snapshot) in write.snapshots {
                // The content of a snapshot is made up: nobody looks at what it covers.
                let applied = vec![LogId::default(); snapshot.last.index.0 as usize];
                self.machines.insert(group, applied);
                self.stores[&group].install(snapshot);
            }
            for (group, entry) in write.entries {
                self.stores[&group].write(entry);
            }
            newest = Some(write.receipt);
        }
        newest
    }

    /// Polls and syncs until nothing more comes.
    pub(crate) fn settle(&mut self) {
        while self.poll() || self.writes() > 0 {
            self.sync(self.writes());
        }
    }

    /// Dies with the writes that were not synced, but for the oldest `kept`, and comes back.
    pub(crate) fn crash(&mut self, kept: usize) {
        let _ = self.land(kept);
        *self = Self::on(self.id.0, std::mem::take(&mut self.stores));
    }

    /// The group's replica.
    pub(crate) fn replica(&self, group: u64) -> &RaftCore<Store> {
        self.multi.replica(GroupId(group)).unwrap()
    }

    pub(crate) fn propose(&mut self, group: u64, data: &str) -> LogId {
        self.multi.propose(GroupId(group), Bytes::from(data.to_owned())).unwrap()
    }
}

/// What the documentation of the output promises.
fn check_shape(ready: &MultiReady) {
    assert!(ready.messages.is_sorted_by(|a, b| a.to < b.to), "one batch per node, ascending");
    assert!(ready.messages.iter().all(|b| !b.messages.is_empty()), "no empty batch");
    assert!(ready.hard_states.is_sorted_by(|a, b| a.0 < b.0), "groups ascend");
    assert!(ready.snapshots.is_sorted_by(|a, b| a.0 < b.0), "groups ascend, each once");
    assert!(is_in_runs(&ready.entries_to_persist) && is_in_runs(&ready.committed_entries));
    let persists = !ready.hard_states.is_empty()
        || !ready.snapshots.is_empty()
        || !ready.entries_to_persist.is_empty();
    assert_eq!(persists, ready.receipt.is_some());
}

/// Whether groups ascend, and each group's entries are consecutive.
fn is_in_runs(entries: &[(GroupId, Entry)]) -> bool {
    entries.windows(2).all(|pair| {
        let [(g, a), (h, b)] = pair else { return false };
        g < h || g == h && a.id.index.next() == b.id.index
    })
}
