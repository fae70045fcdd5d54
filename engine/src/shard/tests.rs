//! Three shards in one thread, with a network and logs made up: what callers are told, and when.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::*;
use crate::mesh::Caller;
use crate::protocol::Ticket;
use crate::state_machine::ApplyBatch;
use crate::view::{GroupSpec, NodeSpec};
use raft_core::{ConfState, Index, InitialState, SnapshotMeta, StorageError, Term};

const GROUP: GroupId = GroupId(1);

#[derive(Clone, Default)]
struct MemLog(Rc<RefCell<(HardState, Vec<Entry>)>>);

impl Storage for MemLog {
    fn initial_state(&self) -> Result<InitialState, StorageError> {
        let voters = vec![NodeId(1), NodeId(2), NodeId(3)];
        Ok(InitialState { hard: self.0.borrow().0, conf: ConfState { voters } })
    }
    fn entries(
        &self,
        from: Index,
        to: Index,
        _: usize,
        out: &mut Vec<Entry>,
    ) -> Result<(), StorageError> {
        let log = &self.0.borrow().1;
        out.extend_from_slice(&log[from.0 as usize - 1..to.0 as usize - 1]);
        Ok(())
    }
    fn term_at(&self, index: Index) -> Result<Term, StorageError> {
        if index == Index(0) {
            return Ok(Term(0));
        }
        let log = &self.0.borrow().1;
        log.get(index.0 as usize - 1).map(|e| e.id.term).ok_or(StorageError::Unavailable)
    }
    fn first_index(&self) -> Index {
        Index(1)
    }
    fn last_index(&self) -> Index {
        Index(self.0.borrow().1.len() as u64)
    }
    fn snapshot_meta(&self) -> SnapshotMeta {
        SnapshotMeta::default()
    }
}

/// Remembers every command in order; the reply is how many there are.
#[derive(Default)]
struct Journal(Rc<RefCell<Vec<Bytes>>>);

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
}

#[derive(Default)]
struct World {
    sent: Vec<(NodeId, GroupId, Message)>,
    outcomes: BTreeMap<u64, Outcome>,
    log: MemLog,
    mark: u64,
    log_fails: bool,
    log_is_full: bool,
}

impl Outlet for World {
    fn send(&mut self, to: NodeId, group: GroupId, message: &Message) {
        self.sent.push((to, group, message.clone()));
    }
    fn persist(
        &mut self,
        _: GroupId,
        hard_state: Option<HardState>,
        entries: &[Entry],
    ) -> Persisted {
        if self.log_fails {
            return Persisted::Failed;
        }
        if self.log_is_full {
            return Persisted::Later;
        }
        let mut log = self.log.0.borrow_mut();
        if let Some(hard) = hard_state {
            log.0 = hard;
        }
        if let Some(first) = entries.first() {
            log.1.truncate(first.id.index.0 as usize - 1);
            log.1.extend_from_slice(entries);
        }
        self.mark += 1;
        Persisted::At(self.mark)
    }
    fn reply(&mut self, to: ReplyTo, outcome: Outcome) {
        let ReplyTo::Shard { caller: Caller::Connection { ticket, .. }, .. } = to else {
            panic!("the tests ask as connections");
        };
        let before = self.outcomes.insert(ticket.0, outcome);
        assert!(before.is_none(), "request {} was answered twice", ticket.0);
    }
}

struct Member {
    shard: Shard<MemLog>,
    world: World,
    journal: Rc<RefCell<Vec<Bytes>>>,
}

/// Three nodes; messages between nodes on different sides of a cut are lost.
struct Cluster {
    members: Vec<Member>,
    cut_off: Option<usize>,
    now: u64,
}

impl Cluster {
    fn new() -> Self {
        let nodes: Vec<NodeSpec> = (1..=3)
            .map(|id| NodeSpec {
                id: NodeId(id),
                peer_addr: "127.0.0.1:1".parse().unwrap(),
                client_addr: None,
            })
            .collect();
        let replicas = vec![NodeId(1), NodeId(2), NodeId(3)];
        let groups = vec![GroupSpec { id: GROUP, replicas: replicas.clone() }];
        let limits =
            ShardLimits { leaderless_wait_ticks: 70, fate_wait_ticks: 200, requests_max: 100 };
        let member = |id| {
            let view = NodeView::new(
                NodeId(id),
                1,
                nodes.clone(),
                groups.clone(),
                1,
                std::time::Duration::ZERO,
            );
            let mut shard = Shard::new(0, limits, Arc::new(view));
            let (world, journal) = (World::default(), Rc::default());
            let machine = Box::new(Journal(Rc::clone(&journal)));
            let config = Config::new(NodeId(id));
            shard.create(GROUP, replicas.clone(), config, world.log.clone(), machine).unwrap();
            Member { shard, world, journal }
        };
        Self { members: (1..=3).map(member).collect(), cut_off: None, now: 0 }
    }

    /// A cluster in which node 1 leads.
    fn led() -> Self {
        let mut cluster = Self::new();
        cluster.members[0].shard.campaign_where_preferred(|_| true);
        cluster.settle();
        assert!(cluster.members[0].shard.replica(GROUP).unwrap().leading);
        cluster
    }

    /// Turns everybody until nobody has anything to say.
    fn settle(&mut self) {
        for _ in 0..100 {
            if self.turn_all() {
                return;
            }
        }
        panic!("the cluster does not come to rest");
    }

    /// One turn of everybody. True if nobody has anything to say.
    fn turn_all(&mut self) -> bool {
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
    fn settle_stuck(&mut self) {
        for _ in 0..10 {
            self.turn_all();
        }
    }

    fn pass(&mut self, ticks: u64) {
        for _ in 0..ticks {
            self.now += 1;
            for member in &mut self.members {
                member.shard.advance_to(Tick(self.now));
            }
            self.settle();
        }
    }

    fn ask(&mut self, place: usize, ticket: u64, op: Op) {
        let caller = Caller::Connection { key: 1, ticket: Ticket(ticket) };
        let reply_to = ReplyTo::Shard { shard: 0, caller };
        let Member { shard, world, .. } = &mut self.members[place];
        shard.request(Request { group: GROUP, op, reply_to }, world);
    }

    fn write(&mut self, place: usize, ticket: u64) {
        self.ask(place, ticket, Op::Write(Bytes::from(vec![ticket as u8])));
    }

    fn outcome(&self, place: usize, ticket: u64) -> Option<&Outcome> {
        self.members[place].world.outcomes.get(&ticket)
    }

    fn leader(&self) -> Option<usize> {
        let cut = self.cut_off;
        let leads =
            |(p, m): &(usize, &Member)| Some(*p) != cut && m.shard.replicas().all(|r| r.leading);
        self.members.iter().enumerate().find(leads).map(|(place, _)| place)
    }

    fn assert_equal_journals(&self, expected: &[u8]) {
        for member in &self.members {
            let journal: Vec<u8> = member.journal.borrow().iter().map(|b| b[0]).collect();
            assert_eq!(journal, expected);
        }
    }
}

#[test]
fn a_write_is_answered_once_and_applied_everywhere() {
    let mut cluster = Cluster::led();
    for ticket in 1..=3 {
        cluster.write(0, ticket);
    }
    cluster.settle();
    for ticket in 1..=3u8 {
        let expected = Ok(Bytes::from(vec![ticket]));
        assert_eq!(cluster.outcome(0, u64::from(ticket)), Some(&expected));
    }
    cluster.pass(30);
    cluster.assert_equal_journals(&[1, 2, 3]);
    assert_eq!(cluster.members[0].shard.requests, 0);
}

#[test]
fn a_read_sees_the_writes_answered_before_it() {
    let mut cluster = Cluster::led();
    cluster.write(0, 1);
    cluster.settle();
    cluster.ask(0, 2, Op::Read(Bytes::new()));
    cluster.ask(0, 3, Op::Read(Bytes::new()));
    cluster.settle();
    assert_eq!(cluster.outcome(0, 2), Some(&Ok(Bytes::from_static(&[1]))));
    assert_eq!(cluster.outcome(0, 3), Some(&Ok(Bytes::from_static(&[1]))));
}

#[test]
fn a_follower_names_the_leader() {
    let mut cluster = Cluster::led();
    cluster.write(1, 1);
    let leader = NodeId(1);
    assert_eq!(cluster.outcome(1, 1), Some(&Err(RequestError::NotLeader { leader })));
}

#[test]
fn without_a_leader_a_request_waits_and_then_fails_untouched() {
    let mut cluster = Cluster::new();
    cluster.write(0, 1);
    cluster.ask(0, 2, Op::Read(Bytes::new()));
    // Shorter than the shortest election timeout, so nobody is elected meanwhile.
    cluster.pass(60);
    assert_eq!(cluster.outcome(0, 1), None);
    cluster.pass(11);
    assert_eq!(cluster.outcome(0, 1), Some(&Err(RequestError::NoLeader)));
    assert_eq!(cluster.outcome(0, 2), Some(&Err(RequestError::NoLeader)));
}

#[test]
fn a_request_that_waited_goes_to_the_leader_that_is_elected() {
    let mut cluster = Cluster::new();
    cluster.write(0, 1);
    cluster.members[0].shard.campaign_where_preferred(|_| true);
    cluster.settle();
    assert_eq!(cluster.outcome(0, 1), Some(&Ok(Bytes::from_static(&[1]))));
}

#[test]
fn a_write_without_a_quorum_is_never_called_untouched() {
    let mut cluster = Cluster::led();
    cluster.cut_off = Some(0);
    cluster.write(0, 1);
    cluster.ask(0, 2, Op::Read(Bytes::new()));
    cluster.pass(250);
    assert!(cluster.leader().is_some(), "the others elected one of them");
    assert_eq!(cluster.outcome(0, 1), None, "its fate is still looked for");
    cluster.pass(250);
    let id = LogId::new(Term(1), Index(2));
    assert_eq!(cluster.outcome(0, 1), Some(&Err(RequestError::Uncertain { id })));
    assert_eq!(cluster.outcome(0, 2), Some(&Err(RequestError::NoLeader)));
}

#[test]
fn a_write_whose_place_was_taken_is_certainly_not_applied() {
    let mut cluster = Cluster::led();
    cluster.cut_off = Some(0);
    cluster.write(0, 1);
    cluster.pass(240);
    let leader = cluster.leader().unwrap();
    cluster.write(leader, 7);
    cluster.settle();
    assert_eq!(cluster.outcome(leader, 7), Some(&Ok(Bytes::from_static(&[1]))));
    cluster.cut_off = None;
    cluster.pass(40);
    let leader = NodeId(leader as u64 + 1);
    assert_eq!(cluster.outcome(0, 1), Some(&Err(RequestError::NotLeader { leader })));
    cluster.assert_equal_journals(&[7]);
}

#[test]
fn a_write_that_another_leader_commits_is_answered_with_the_truth() {
    let mut cluster = Cluster::led();
    cluster.write(0, 1);
    // The entry reaches the others, their answers do not come back.
    let Member { shard, world, .. } = &mut cluster.members[0];
    shard.turn(world);
    for (to, group, message) in std::mem::take(&mut world.sent) {
        cluster.members[to.0 as usize - 1].shard.step(group, NodeId(1), message);
    }
    cluster.cut_off = Some(0);
    cluster.pass(240);
    assert!(cluster.leader().is_some());
    assert_eq!(cluster.outcome(0, 1), None);
    cluster.cut_off = None;
    cluster.pass(40);
    assert_eq!(cluster.outcome(0, 1), Some(&Ok(Bytes::from_static(&[1]))));
    cluster.assert_equal_journals(&[1]);
}

#[test]
fn a_failed_log_tells_every_caller_what_is_known() {
    let mut cluster = Cluster::led();
    cluster.ask(0, 1, Op::Read(Bytes::new()));
    cluster.write(0, 2);
    cluster.members[0].world.log_fails = true;
    cluster.settle();
    let id = LogId::new(Term(1), Index(2));
    assert_eq!(cluster.outcome(0, 1), Some(&Err(RequestError::Stopped)));
    assert_eq!(cluster.outcome(0, 2), Some(&Err(RequestError::Uncertain { id })));
    cluster.write(0, 3);
    assert_eq!(cluster.outcome(0, 3), Some(&Err(RequestError::Stopped)));
    cluster.pass(250);
    assert!(cluster.leader().is_some_and(|leader| leader != 0));
}

#[test]
fn too_many_requests_are_refused_at_the_door() {
    let mut cluster = Cluster::led();
    for ticket in 0..101 {
        cluster.write(0, ticket);
    }
    assert!(matches!(cluster.outcome(0, 100), Some(Err(RequestError::Busy { .. }))));
    cluster.settle();
    assert!(matches!(cluster.outcome(0, 99), Some(Ok(_))));
}

#[test]
fn a_caller_sees_its_own_writes_and_not_its_later_ones() {
    let mut cluster = Cluster::led();
    // One burst: read, write, read, write, read. Every read stands where it was asked.
    cluster.ask(0, 1, Op::Read(Bytes::new()));
    cluster.write(0, 2);
    cluster.ask(0, 3, Op::Read(Bytes::new()));
    cluster.write(0, 4);
    cluster.ask(0, 5, Op::Read(Bytes::new()));
    cluster.settle();
    for (ticket, seen) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)] {
        assert_eq!(cluster.outcome(0, ticket), Some(&Ok(Bytes::from(vec![seen]))), "{ticket}");
    }
}

#[test]
fn a_write_that_is_committed_confirms_the_reads_before_it() {
    let mut cluster = Cluster::led();
    cluster.ask(0, 1, Op::Read(Bytes::new()));
    cluster.write(0, 2);
    // Every heartbeat is lost; the appends alone must do.
    for _ in 0..20 {
        for place in 0..3 {
            let Member { shard, world, .. } = &mut cluster.members[place];
            shard.durable(world.mark);
            shard.turn(world);
            for (to, group, message) in std::mem::take(&mut world.sent) {
                if !matches!(message, Message::Heartbeat(_)) {
                    let there = &mut cluster.members[to.0 as usize - 1];
                    there.shard.step(group, NodeId(place as u64 + 1), message);
                }
            }
        }
    }
    assert_eq!(cluster.outcome(0, 1), Some(&Ok(Bytes::from_static(&[0]))));
    assert_eq!(cluster.outcome(0, 2), Some(&Ok(Bytes::from_static(&[1]))));
}

#[test]
fn writes_of_two_leaderships_at_one_place_get_their_own_answers() {
    let mut cluster = Cluster::led();
    // Node 1 proposes to nobody, loses its place in the log, and leads again before it gives up.
    cluster.cut_off = Some(0);
    for ticket in 1..=5 {
        cluster.write(0, ticket);
    }
    let mut waited = 0;
    while cluster.leader().is_none() {
        cluster.pass(1);
        waited += 1;
        assert!(waited < 400, "nobody is elected");
    }
    let other = cluster.leader().unwrap();
    // The empty entry that opens the other's term takes the first place at node 1, uncommitted
    // there.
    let term = cluster.members[other].shard.raft.status(GROUP).unwrap().hard.term;
    let id = LogId::new(term, Index(2));
    let entry = Entry { id, kind: raft_core::EntryKind::NoOp, data: Bytes::new() };
    let append = Message::AppendEntries(raft_core::AppendEntries {
        term,
        prev: LogId::new(Term(1), Index(1)),
        commit: Index(1),
        entries: vec![entry],
    });
    cluster.members[0].shard.step(GROUP, NodeId(other as u64 + 1), append);
    cluster.cut_off = Some(other);
    cluster.settle();
    cluster.pass(110);
    cluster.members[0].shard.raft.campaign(GROUP).unwrap();
    cluster.settle();
    assert!(cluster.members[0].shard.replica(GROUP).unwrap().leading);
    for ticket in 11..=14 {
        cluster.write(0, ticket);
    }
    cluster.pass(30);
    cluster.cut_off = None;
    cluster.pass(400);
    cluster.assert_equal_journals(&[11, 12, 13, 14]);
    for ticket in 11..=14 {
        assert!(matches!(cluster.outcome(0, ticket), Some(Ok(_))), "{ticket}");
    }
    for ticket in 1..=5 {
        assert!(matches!(cluster.outcome(0, ticket), Some(Err(_))), "{ticket}");
    }
}

#[test]
fn a_full_disk_refuses_writes_and_nothing_else() {
    let mut cluster = Cluster::led();
    cluster.members[0].world.log_is_full = true;
    cluster.write(0, 1);
    cluster.settle_stuck();
    cluster.write(0, 2);
    assert!(matches!(cluster.outcome(0, 2), Some(Err(RequestError::Busy { .. }))));
    // The others hold the entry: it is committed, and applied here once it is durable here.
    assert_eq!(cluster.outcome(0, 1), None);
    cluster.members[0].world.log_is_full = false;
    cluster.pass(20);
    assert_eq!(cluster.outcome(0, 1), Some(&Ok(Bytes::from_static(&[1]))));
    cluster.write(0, 3);
    cluster.settle();
    assert_eq!(cluster.outcome(0, 3), Some(&Ok(Bytes::from_static(&[2]))));
    cluster.pass(5);
    cluster.assert_equal_journals(&[1, 3]);
}
