//! A host whose members are those of the start, and snapshots that nobody has seen the content of:
//! what it does when a peer or its own core wants otherwise.

use std::rc::Rc;

use super::super::*;
use super::cluster::{Cluster, GROUP, Member};
use raft_core::{
    ConfChange, ConfState, ConfStep, Heartbeat, Index, InstallSnapshot, SnapshotMeta, Term,
};

fn refused(cluster: &Cluster, place: usize) -> u64 {
    cluster.members[place].shard.metrics.peers_refused.read()
}

fn snapshot() -> Message {
    let conf = ConfState::of_voters((1..=3).map(NodeId));
    let snapshot = Box::new(SnapshotMeta { last: LogId::new(Term(1), Index(50)), conf });
    Message::InstallSnapshot(InstallSnapshot { term: Term(1), snapshot })
}

#[test]
fn a_node_without_a_replica_is_refused() {
    let mut cluster = Cluster::led();
    let before = cluster.members[1].world.log.hard_state();
    let heartbeat = Heartbeat { term: Term(9), commit: Index(0), round: 0 };
    let last = LogId::new(Term(9), Index(99));
    let vote = raft_core::RequestVote { term: Term(9), last, transfer: true };
    for message in [Message::Heartbeat(heartbeat), Message::RequestVote(vote)] {
        for stranger in [NodeId(4), NodeId(0)] {
            cluster.members[1].shard.step(GROUP, stranger, message.clone());
        }
    }
    assert_eq!(refused(&cluster, 1), 4);
    cluster.settle();
    assert_eq!(cluster.members[1].world.log.hard_state(), before);
    assert_eq!(cluster.leader(), Some(0));
}

#[test]
fn a_snapshot_without_its_content_is_refused_and_the_replica_goes_on() {
    let mut cluster = Cluster::led();
    cluster.members[1].shard.step(GROUP, NodeId(1), snapshot());
    assert_eq!(refused(&cluster, 1), 1);
    cluster.write(0, 1);
    cluster.settle();
    cluster.pass(30);
    cluster.assert_equal_journals(&[1]);
}

/// Should a core come to want such a snapshot all the same, only that replica stops, and it never
/// says that it has what it has not.
#[test]
fn a_replica_whose_snapshot_is_not_here_stops_alone() {
    let mut cluster = Cluster::led();
    cluster.write(0, 1);
    cluster.pass(30);
    let before = cluster.members[1].world.log.hard_state();
    let Member { shard, world, .. } = &mut cluster.members[1];
    shard.raft.step(GROUP, NodeId(1), snapshot()).unwrap();
    for _ in 0..3 {
        shard.turn(world);
        shard.durable(world.mark);
    }
    assert!(world.sent.is_empty(), "{:?}", world.sent);
    assert_eq!(world.log.hard_state(), before);
    assert!(!shard.failed && shard.persistence.is_idle());
    cluster.write(1, 2);
    assert_eq!(cluster.outcome(1, 2), Some(&Err(RequestError::Stopped)));
    cluster.write(0, 3);
    cluster.settle();
    assert_eq!(cluster.outcome(0, 3), Some(&Ok(Bytes::from_static(&[2]))));
    // Its own time passes as well, and the leader's words reach it, to no effect.
    cluster.pass(400);
    assert_eq!(cluster.members[1].journal.borrow().len(), 1);
    assert_eq!(cluster.leader(), Some(0));
}

#[test]
fn changed_members_are_no_command() {
    let mut cluster = Cluster::led();
    cluster.write(0, 1);
    cluster.settle();
    let change = ConfChange::new([ConfStep::Remove(NodeId(3))]);
    cluster.members[0].shard.raft.propose_conf_change(GROUP, &change).unwrap();
    cluster.write(0, 2);
    cluster.settle();
    cluster.pass(30);
    cluster.write(0, 3);
    cluster.settle();
    cluster.pass(30);
    for place in [0, 1] {
        let journal = cluster.members[place].journal.borrow();
        assert_eq!(journal.iter().map(|b| b[0]).collect::<Vec<_>>(), [1, 2, 3]);
    }
    assert_eq!(cluster.outcome(0, 3), Some(&Ok(Bytes::from_static(&[3]))));
}

#[test]
fn a_write_during_a_transfer_is_asked_to_come_again() {
    let mut cluster = Cluster::led();
    cluster.cut_off = Some(1);
    cluster.members[0].shard.raft.transfer_leader(GROUP, NodeId(2)).unwrap();
    cluster.write(0, 1);
    assert!(matches!(cluster.outcome(0, 1), Some(Err(RequestError::Busy { .. }))));
    // The other does not take over in time: this one leads on.
    cluster.pass(110);
    cluster.write(0, 2);
    cluster.settle();
    assert_eq!(cluster.outcome(0, 2), Some(&Ok(Bytes::from_static(&[1]))));
}

#[test]
fn leadership_that_is_handed_over_is_taken() {
    let mut cluster = Cluster::led();
    cluster.members[0].shard.raft.transfer_leader(GROUP, NodeId(2)).unwrap();
    cluster.settle();
    assert!(cluster.members[1].shard.replica(GROUP).unwrap().leading);
    cluster.write(1, 1);
    cluster.settle();
    assert_eq!(cluster.outcome(1, 1), Some(&Ok(Bytes::from_static(&[1]))));
}

/// A write whose place a snapshot covers is neither applied nor lost.
#[test]
fn a_write_that_nobody_can_tell_of_is_uncertain() {
    let mut cluster = Cluster::led();
    cluster.cut_off = Some(0);
    cluster.write(0, 1);
    cluster.write(0, 2);
    let Member { shard, world, .. } = &mut cluster.members[0];
    let id = LogId::new(Term(1), Index(3));
    shard.lose_track(GROUP, id, world);
    shard.lose_track(GROUP, id, world);
    assert_eq!(cluster.outcome(0, 2), Some(&Err(RequestError::Uncertain { id })));
    assert_eq!(cluster.outcome(0, 1), None, "the others wait on");
}

#[test]
fn entries_that_must_be_fetched_are_asked_for_again() {
    let mut cluster = Cluster::led();
    for ticket in 1..=3 {
        cluster.write(0, ticket);
    }
    cluster.settle();
    cluster.pass(30);
    let pending = Rc::clone(&cluster.members[1].world.log.pending);
    cluster.restart(1);
    pending.set(2);
    cluster.pass(30);
    assert_eq!(pending.get(), 0);
    cluster.assert_equal_journals(&[1, 2, 3]);
}
