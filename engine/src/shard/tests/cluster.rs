//! The made-up world of the shard's tests: three nodes, their logs and the network between them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use super::super::*;
use crate::mesh::Caller;
use crate::protocol::Ticket;
use crate::state_machine::{ApplyBatch, RestoreError};
use crate::view::{GroupSpec, NodeSpec};
use raft_core::{ConfState, Index, InitialState, SnapshotMeta, StorageError, Term};

pub(super) const GROUP: GroupId = GroupId(1);

#[derive(Clone, Default)]
pub(super) struct MemLog {
    stored: Rc<RefCell<(HardState, Vec<Entry>)>>,
    /// How many reads of entries find them not fetched yet.
    pub(super) pending: Rc<Cell<u32>>,
}

impl MemLog {
    pub(super) fn hard_state(&self) -> HardState {
        self.stored.borrow().0
    }
}

impl Storage for MemLog {
    fn initial_state(&self) -> Result<InitialState, StorageError> {
        let conf = ConfState::of_voters((1..=3).map(NodeId));
        Ok(InitialState { hard: self.hard_state(), conf })
    }
    fn entries(
        &self,
        from: Index,
        to: Index,
        _: usize,
        out: &mut Vec<Entry>,
    ) -> Result<(), StorageError> {
        if let Some(fewer) = self.pending.get().checked_sub(1) {
            self.pending.set(fewer);
            return Err(StorageError::Pending);
        }
        let log = &self.stored.borrow().1;
        out.extend_from_slice(&log[from.0 as usize - 1..to.0 as usize - 1]);
        Ok(())
    }
    fn term_at(&self, index: Index) -> Result<Term, StorageError> {
        if index == Index(0) {
            return Ok(Term(0));
        }
        let log = &self.stored.borrow().1;
        log.get(index.0 as usize - 1).map(|e| e.id.term).ok_or(StorageError::Unavailable)
    }
    fn first_index(&self) -> Index {
        Index(1)
    }
    fn last_index(&self) -> Index {
        Index(self.stored.borrow().1.len() as u64)
    }
    fn snapshot_meta(&self) -> SnapshotMeta {
        SnapshotMeta::default()
    }
}

/// Remembers every command in order; the reply is how many there are.
#[derive(Default)]
pub(super) struct Journal(Rc<RefCell<Vec<Bytes>>>);

impl StateMachine for Journal {
    fn apply(&mut self, batch: &mut ApplyBatch<'_>) {
        while let Some((_, command, reply)) = batch.next_entry() {
            self.0.borrow_mut().push(command.clone());
            reply.push(self.0.borrow().len() as u8);
        }
    }
    fn read(&mut self, _: &[u8], reply: &mut Vec<u8>) {
        reply.push(self.0.borrow().len() as u8);
    }
    fn digest(&self) -> u64 {
        self.0.borrow().len() as u64
    }
    fn begin_snapshot(&mut self) -> bool {
        true
    }
    fn snapshot_piece(&mut self, _: usize, piece: &mut Vec<u8>) -> bool {
        piece.extend(self.0.borrow().iter().flatten());
        false
    }
    fn restore_piece(&mut self, piece: &[u8]) -> Result<(), RestoreError> {
        self.0.borrow_mut().extend(piece.iter().map(|byte| Bytes::from(vec![*byte])));
        Ok(())
    }
}

#[derive(Default)]
pub(super) struct World {
    pub(super) sent: Vec<(NodeId, GroupId, Message)>,
    pub(super) outcomes: BTreeMap<u64, Outcome>,
    pub(super) log: MemLog,
    pub(super) mark: u64,
    pub(super) log_fails: bool,
    pub(super) log_is_full: bool,
    pub(super) jobs: Vec<SnapshotJob>,
    pub(super) kept: Vec<SnapshotMeta>,
    pub(super) compacted: Vec<Index>,
    /// Where logs began anew. What such a log holds is not kept here.
    pub(super) restarts: Vec<LogId>,
}

impl Outlet for World {
    fn send(&mut self, to: NodeId, group: GroupId, message: &Message) {
        self.sent.push((to, group, message.clone()));
    }
    fn persist(
        &mut self,
        _: GroupId,
        restart: Option<LogId>,
        hard_state: Option<HardState>,
        entries: &[Entry],
    ) -> Persisted {
        if self.log_fails {
            return Persisted::Failed;
        }
        if self.log_is_full {
            return Persisted::Later;
        }
        self.restarts.extend(restart);
        let mut log = self.log.stored.borrow_mut();
        if let Some(hard) = hard_state {
            log.0 = hard;
        }
        if let Some(first) = entries.first().filter(|_| self.restarts.is_empty()) {
            log.1.truncate(first.id.index.0 as usize - 1);
            log.1.extend_from_slice(entries);
        }
        self.mark += 1;
        Persisted::At(self.mark)
    }
    fn snapshot(&mut self, job: SnapshotJob) {
        self.jobs.push(job);
    }
    fn keep_snapshot(&mut self, _: GroupId, meta: &SnapshotMeta) {
        self.kept.push(meta.clone());
    }
    fn compact(&mut self, _: GroupId, through: Index) {
        self.compacted.push(through);
    }
    fn reply(&mut self, to: ReplyTo, outcome: Outcome) {
        let ReplyTo::Shard { caller: Caller::Connection { ticket, .. }, .. } = to else {
            panic!("the tests ask as connections");
        };
        let before = self.outcomes.insert(ticket.0, outcome);
        assert!(before.is_none(), "request {} was answered twice", ticket.0);
    }
}

pub(super) struct Member {
    pub(super) shard: Shard<MemLog>,
    pub(super) world: World,
    pub(super) journal: Rc<RefCell<Vec<Bytes>>>,
}

/// Three nodes; messages between nodes on different sides of a cut are lost.
pub(super) struct Cluster {
    pub(super) members: Vec<Member>,
    pub(super) cut_off: Option<usize>,
    pub(super) now: u64,
}

impl Member {
    /// A node that finds this log on its disk.
    fn new(id: u64, log: MemLog) -> Self {
        let nodes = (1..=3).map(|id| NodeSpec {
            id: NodeId(id),
            peer_addr: "127.0.0.1:1".parse().unwrap(),
            client_addr: None,
        });
        let replicas = vec![NodeId(1), NodeId(2), NodeId(3)];
        let groups = vec![GroupSpec { id: GROUP, replicas: replicas.clone() }];
        let limits = ShardLimits {
            leaderless_wait_ticks: 70,
            fate_wait_ticks: 200,
            requests_max: 100,
            unit_bytes_max: 1 << 20,
            snapshot_log_bytes: 1 << 20,
        };
        let synced = std::time::Duration::ZERO;
        let view = NodeView::new(NodeId(id), 1, nodes.collect(), groups, 1, synced);
        (1..=3).for_each(|node| view.note_connected(NodeId(node), true));
        let mut shard = Shard::new(0, limits, Arc::new(view));
        let (world, journal) = (World { log, ..World::default() }, Rc::default());
        let machine = Box::new(Journal(Rc::clone(&journal)));
        let config = Config::new(NodeId(id));
        shard.create(GROUP, replicas, config, world.log.clone(), machine).unwrap();
        Self { shard, world, journal }
    }
}

impl Cluster {
    pub(super) fn new() -> Self {
        let member = |id| Member::new(id, MemLog::default());
        Self { members: (1..=3).map(member).collect(), cut_off: None, now: 0 }
    }

    /// The node dies and comes back with what its log holds.
    pub(super) fn restart(&mut self, place: usize) {
        let log = self.members[place].world.log.clone();
        self.members[place] = Member::new(place as u64 + 1, log);
        self.members[place].shard.advance_to(Tick(self.now));
    }

    /// A cluster in which node 1 leads.
    pub(super) fn led() -> Self {
        let mut cluster = Self::new();
        cluster.members[0].shard.campaign_where_preferred(|_| true);
        cluster.settle();
        assert!(cluster.members[0].shard.replica(GROUP).unwrap().leading);
        cluster
    }

    /// Turns everybody until nobody has anything to say.
    pub(super) fn settle(&mut self) {
        for _ in 0..100 {
            if self.turn_all() {
                return;
            }
        }
        panic!("the cluster does not come to rest");
    }

    /// One turn of everybody. True if nobody has anything to say.
    pub(super) fn turn_all(&mut self) -> bool {
        let mut quiet = true;
        for place in 0..self.members.len() {
            let Member { shard, world, .. } = &mut self.members[place];
            shard.durable(world.mark);
            let more = shard.turn(world);
            let settled = shard.failed || shard.persistence.is_idle();
            quiet &= !more && world.sent.is_empty() && settled;
            for (to, group, message) in std::mem::take(&mut world.sent) {
                let there = to.0 as usize - 1;
                if self.cut_off.is_none_or(|cut| cut != place && cut != there) {
                    self.members[there].shard.step(group, NodeId(place as u64 + 1), message);
                }
            }
        }
        quiet
    }

    /// Turns everybody a few times, although a log takes nothing.
    pub(super) fn settle_stuck(&mut self) {
        for _ in 0..10 {
            self.turn_all();
        }
    }

    pub(super) fn pass(&mut self, ticks: u64) {
        for _ in 0..ticks {
            self.now += 1;
            for member in &mut self.members {
                member.shard.advance_to(Tick(self.now));
            }
            self.settle();
        }
    }

    pub(super) fn ask(&mut self, place: usize, ticket: u64, op: Op) {
        let caller = Caller::Connection { key: 1, ticket: Ticket(ticket) };
        let reply_to = ReplyTo::Shard { shard: 0, caller };
        let Member { shard, world, .. } = &mut self.members[place];
        shard.request(Request { group: GROUP, op, reply_to }, world);
    }

    pub(super) fn write(&mut self, place: usize, ticket: u64) {
        self.ask(place, ticket, Op::Write(Bytes::from(vec![ticket as u8])));
    }

    pub(super) fn outcome(&self, place: usize, ticket: u64) -> Option<&Outcome> {
        self.members[place].world.outcomes.get(&ticket)
    }

    pub(super) fn leader(&self) -> Option<usize> {
        let cut = self.cut_off;
        let leads =
            |(p, m): &(usize, &Member)| Some(*p) != cut && m.shard.replicas().all(|r| r.leading);
        self.members.iter().enumerate().find(leads).map(|(place, _)| place)
    }

    pub(super) fn assert_equal_journals(&self, expected: &[u8]) {
        for member in &self.members {
            let journal: Vec<u8> = member.journal.borrow().iter().map(|b| b[0]).collect();
            assert_eq!(journal, expected);
        }
    }
}
