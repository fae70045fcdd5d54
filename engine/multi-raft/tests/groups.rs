//! Many groups behind one clock, one outbox and one receipt.

mod common;

use common::{Node, Store, config};
use multi_raft::{
    ConfChangeError, CreateError, MultiRaft, ProposeError, ReadError, StepError, TransferError,
    UnknownGroup,
};
use raft_core::{
    Applied, BootError, Bytes, ConfChange, ConfStep, Event, GroupId, Heartbeat, Index, Message,
    NodeId, ReadId, ReadOutcome, Role, SnapshotStatus, Term, Tick,
};

fn heartbeat(term: u64) -> Message {
    Message::Heartbeat(Heartbeat { term: Term(term), commit: Index(0), round: 0 })
}

#[test]
fn groups_without_input_or_deadline_are_not_touched() {
    let mut node = Node::with_groups(1, 5000, &[1]);
    for group in 1..=5000 {
        node.multi.campaign(GroupId(group)).unwrap();
    }
    node.settle();
    assert!(node.machines.len() == 5000, "every group has applied its opening entry");
    // Election deadlines from before the elections are looked at once more, and dropped.
    node.multi.advance_to(Tick(20));
    let before = node.multi.touches();
    for _ in 0..1000 {
        node.multi.tick();
        assert!(!node.poll());
    }
    assert_eq!(node.multi.touches(), before);
    node.propose(77, "a");
    node.settle();
    assert!(node.multi.touches() - before <= 8, "one group's worth of touches");
}

#[test]
fn time_touches_only_the_groups_that_are_due() {
    let mut node = Node::with_groups(1, 1000, &[1, 2, 3]);
    let mut campaigning = 0;
    for tick in 1..20 {
        let before = node.multi.touches();
        node.multi.tick();
        let touched = node.multi.touches() - before;
        node.settle();
        let seen =
            |e: &(GroupId, Event)| matches!(e.1, Event::Changed { role: Role::PreCandidate, .. });
        let now = node.events.iter().filter(|e| seen(e)).count() as u64;
        assert_eq!(touched, now - campaigning, "tick {tick}");
        campaigning = now;
    }
    assert_eq!(campaigning, 1000, "all of them, spread over an election timeout");
}

/// Deadlines that move with every heartbeat cost one look per election timeout, not one per
/// heartbeat.
#[test]
fn heartbeats_postpone_deadlines() {
    let mut node = Node::with_groups(1, 10, &[1, 2, 3]);
    for _ in 0..200 {
        for group in 1..=10 {
            node.multi.step(GroupId(group), NodeId(2), heartbeat(1)).unwrap();
        }
        node.settle();
        node.multi.tick();
    }
    assert!(node.multi.groups().all(|g| node.multi.leader(g) == Some(NodeId(2))));
    let deadline = node.multi.next_deadline().unwrap();
    assert!(deadline > node.multi.now());
    node.multi.advance_to(Tick(node.multi.now().0 + 20));
    node.settle();
    let campaigning = |g| node.multi.replica(g).unwrap().role() == Role::PreCandidate;
    assert!(node.multi.groups().all(campaigning));
}

#[test]
fn messages_leave_in_one_batch_per_node() {
    let mut node = Node::new(1);
    for (group, voters) in [(1, [1, 2, 3]), (2, [3, 1, 9]), (3, [1, 2, 9])] {
        let store = Store::new(&voters);
        node.multi.create(GroupId(group), config(), store.clone()).unwrap();
        node.stores.insert(GroupId(group), store);
        node.multi.campaign(GroupId(group)).unwrap();
    }
    assert!(node.poll());
    let sent: Vec<(u64, Vec<u64>)> = node
        .outbox
        .iter()
        .map(|b| (b.to.0, b.messages.iter().map(|(g, _)| g.0).collect()))
        .collect();
    assert_eq!(sent, [(2, vec![1, 3]), (3, vec![1, 2]), (9, vec![2, 3])]);
    assert!(!node.poll(), "and only once");
}

#[test]
fn one_receipt_releases_what_waits_in_every_group() {
    let mut node = Node::with_groups(1, 100, &[1]);
    for group in 1..=100 {
        node.multi.campaign(GroupId(group)).unwrap();
    }
    assert!(node.poll());
    assert_eq!((node.writes(), node.multi.has_ready()), (1, false));
    node.sync(1);
    assert!(node.poll());
    assert!(node.multi.groups().all(|g| node.multi.leader(g) == Some(NodeId(1))));
    assert_eq!(node.writes(), 1, "all opening entries in one batch");
    node.settle();
    assert!(node.machines.values().all(|m| m.len() == 1));
}

/// A receipt vouches for every earlier batch, of whatever groups.
#[test]
fn a_later_receipt_covers_earlier_batches() {
    let mut node = Node::with_groups(1, 3, &[1]);
    for group in 1..=3 {
        node.multi.campaign(GroupId(group)).unwrap();
        assert!(node.poll());
    }
    assert_eq!(node.writes(), 3);
    node.sync(3);
    node.settle();
    assert!(node.machines.values().all(|m| m.len() == 1));
}

/// Committed entries that exceed one poll's portion come with the next, without new input.
#[test]
fn a_group_with_more_to_say_stays_on_the_list() {
    let mut node = Node::new(1);
    let store = Store::new(&[1]);
    let small = raft_core::Config { committed_bytes_max: 1, ..config() };
    node.multi.create(GroupId(1), small, store.clone()).unwrap();
    node.stores.insert(GroupId(1), store);
    node.multi.campaign(GroupId(1)).unwrap();
    node.settle();
    for _ in 0..10 {
        node.propose(1, "abc");
    }
    node.settle();
    assert_eq!(node.machines[&GroupId(1)].len(), 11);
}

#[test]
fn reads_carry_their_group() {
    let mut node = Node::with_groups(1, 2, &[1]);
    for group in 1..=2 {
        node.multi.campaign(GroupId(group)).unwrap();
        node.settle();
        node.multi.read_index(GroupId(group), ReadId(9)).unwrap();
    }
    node.settle();
    let ready = ReadOutcome::Ready { index: Index(1) };
    assert_eq!(node.reads, [(GroupId(1), ReadId(9), ready), (GroupId(2), ReadId(9), ready)]);
}

#[test]
fn groups_that_are_not_here_are_refused() {
    let mut node = Node::with_groups(1, 1, &[1, 2, 3]);
    let (here, gone) = (GroupId(1), GroupId(2));
    let multi = &mut node.multi;
    assert_eq!(multi.create(here, config(), Store::new(&[1])), Err(CreateError::Exists));
    let bad = raft_core::Config { heartbeat_interval_ticks: 0, ..config() };
    let boot = multi.create(gone, bad, Store::new(&[1]));
    assert!(matches!(boot, Err(CreateError::Boot(BootError::Config(_)))));
    assert_eq!(multi.step(gone, NodeId(2), heartbeat(1)), Err(StepError::UnknownGroup));
    assert_eq!(multi.propose(gone, Bytes::new()), Err(ProposeError::UnknownGroup));
    assert_eq!(multi.read_index(gone, ReadId(1)), Err(ReadError::UnknownGroup));
    assert_eq!(multi.campaign(gone), Err(UnknownGroup));
    assert_eq!(multi.campaign_at(gone, Tick(1)), Err(UnknownGroup));
    assert_eq!(multi.applied(gone, Applied(Index(1))), Err(UnknownGroup));
    assert_eq!(multi.fetched(gone), Err(UnknownGroup));
    assert_eq!(multi.compacted(gone, Index(1)), Err(UnknownGroup));
    assert_eq!(multi.unreachable(gone, NodeId(2)), Err(UnknownGroup));
    let status = multi.snapshot_status(gone, NodeId(2), SnapshotStatus::Failed);
    assert_eq!(status, Err(UnknownGroup));
    assert_eq!(multi.stop(gone), Err(UnknownGroup));
    let change = ConfChange::new([ConfStep::Remove(NodeId(3))]);
    let changed = multi.propose_conf_change(gone, &change);
    assert_eq!(changed, Err(ConfChangeError::UnknownGroup));
    assert_eq!(multi.transfer_leader(gone, NodeId(2)), Err(TransferError::UnknownGroup));
    assert_eq!((multi.status(gone), multi.leader(gone)), (None, None));
    let refused = raft_core::ProposeError::NotLeader { leader: None };
    assert_eq!(multi.propose(here, Bytes::new()), Err(ProposeError::Refused(refused)));
    let refused = raft_core::ConfChangeError::NotLeader { leader: None };
    let changed = multi.propose_conf_change(here, &change);
    assert_eq!(changed, Err(ConfChangeError::Refused(refused)));
    let refused = raft_core::TransferError::NotLeader { leader: None };
    let transfer = multi.transfer_leader(here, NodeId(2));
    assert_eq!(transfer, Err(TransferError::Refused(refused)));
    assert_eq!(multi.len(), 1);
}

/// A group that is created late waits for a leader from then on, and its clock is the shard's.
#[test]
fn a_late_group_starts_at_the_present() {
    let mut multi = MultiRaft::new(NodeId(1));
    multi.advance_to(Tick(1000));
    multi.create(GroupId(1), config(), Store::new(&[1, 2, 3])).unwrap();
    let deadline = multi.next_deadline().unwrap();
    assert!((Tick(1010)..Tick(1020)).contains(&deadline));
    assert!(!multi.has_ready());
}

#[test]
fn an_election_comes_when_it_is_told_to() {
    let mut node = Node::with_groups(1, 2, &[1, 2, 3]);
    let campaigns = |node: &Node, g| node.replica(g).role() == Role::PreCandidate;
    node.multi.campaign_at(GroupId(1), Tick(3)).unwrap();
    assert_eq!(node.multi.next_deadline(), Some(Tick(3)));
    node.multi.advance_to(Tick(2));
    assert!(!campaigns(&node, 1));
    node.multi.advance_to(Tick(3));
    assert!(campaigns(&node, 1) && !campaigns(&node, 2));
    // A time that is over means the next tick; the present stays as it is.
    node.multi.campaign_at(GroupId(2), Tick(1)).unwrap();
    node.multi.advance_to(Tick(3));
    assert!(!campaigns(&node, 2));
    node.multi.tick();
    assert!(campaigns(&node, 2));
}

/// A replica that its host has stopped promises nothing any more, whatever is or becomes durable.
#[test]
fn a_stopped_replica_is_silent() {
    let mut node = Node::with_groups(1, 2, &[1, 2, 3]);
    let last = raft_core::LogId::default();
    for group in [1, 2] {
        let ask = raft_core::RequestVote { term: Term(1), last, transfer: false };
        node.multi.step(GroupId(group), NodeId(2), Message::RequestVote(ask)).unwrap();
    }
    assert!(node.poll());
    node.multi.stop(GroupId(1)).unwrap();
    node.sync(1);
    node.settle();
    let voted: Vec<_> = node.outbox.iter().flat_map(|b| &b.messages).map(|(g, _)| g.0).collect();
    assert_eq!(voted, [2], "the other group's vote leaves");
    let (here, multi) = (GroupId(1), &mut node.multi);
    let stopped = Err(StepError::Refused(raft_core::StepError::Stopped));
    assert_eq!(multi.step(here, NodeId(2), heartbeat(1)), stopped);
    let stopped = Err(ProposeError::Refused(raft_core::ProposeError::Stopped));
    assert_eq!(multi.propose(here, Bytes::new()), stopped);
    let stopped = Err(ReadError::Refused(raft_core::ReadError::Stopped));
    assert_eq!(multi.read_index(here, ReadId(1)), stopped);
    let stopped = Err(TransferError::Refused(raft_core::TransferError::Stopped));
    assert_eq!(multi.transfer_leader(here, NodeId(2)), stopped);
    assert_eq!(multi.campaign(here), Ok(()), "and nothing happens");
    multi.advance_to(Tick(1000));
    node.settle();
    assert!(node.outbox.iter().flat_map(|b| &b.messages).all(|(g, _)| *g == GroupId(2)));
    assert_eq!(node.replica(1).role(), Role::Follower);
}

/// Output that waits for its poll when the host stops the replica is never handed out.
#[test]
fn what_a_stopped_replica_had_to_say_is_dropped() {
    let mut node = Node::with_groups(1, 1, &[1, 2, 3]);
    node.multi.campaign(GroupId(1)).unwrap();
    node.multi.stop(GroupId(1)).unwrap();
    assert!(!node.poll() && !node.multi.has_ready());
}
