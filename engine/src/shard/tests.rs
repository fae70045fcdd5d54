//! Three shards in one thread, with a network and logs made up: what callers are told, and when.

mod cluster;
mod members;
mod snapshots;

use super::*;
use cluster::{Cluster, GROUP, Member};
use raft_core::Index;

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
fn a_request_waits_rather_than_be_sent_to_a_dead_leader() {
    let mut cluster = Cluster::led();
    cluster.members[1].shard.view.note_connected(NodeId(1), false);
    cluster.cut_off = Some(0);
    cluster.write(1, 1);
    assert_eq!(cluster.outcome(1, 1), None);
    cluster.pass(70);
    assert_eq!(cluster.outcome(1, 1), Some(&Err(RequestError::NoLeader)));
    cluster.pass(130);
    let leader = cluster.leader().unwrap();
    cluster.write(leader, 2);
    cluster.settle();
    assert!(matches!(cluster.outcome(leader, 2), Some(Ok(_))));
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
        entries: vec![entry].into(),
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
