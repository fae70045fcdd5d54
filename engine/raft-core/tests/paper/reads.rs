//! Chapter 6.4: linearizable reads without the log.

use raft_core::{Index, NodeId, ReadError, ReadId, ReadOutcome, Role};

use crate::common::solo::{
    Solo, TIMEOUT, accepted, config, disk_with, heartbeat, heartbeat_reply, stale,
};

fn ready(index: u64) -> ReadOutcome {
    ReadOutcome::Ready { index: Index(index) }
}

fn established() -> Solo {
    let mut s = Solo::leader(&[1, 2, 3]);
    s.step(2, accepted(1, 1));
    s.step(3, accepted(1, 1));
    s.take();
    s
}

/// 6.4: before it has committed in its own term a leader may not know all that is committed: a read
/// that comes so early waits.
#[test]
fn reads_wait_for_the_first_commit_of_the_term() {
    let mut s = Solo::leader_on(config(), disk_with(&[1, 2, 3], &[1, 1], 2));
    s.take();
    s.read(7);
    assert_eq!(s.take(), [], "no round is spent on it");
    s.step(2, heartbeat_reply(2, 0));
    assert_eq!(s.reads, []);
    s.step(2, accepted(2, 3));
    s.step(2, heartbeat_reply(2, 1));
    assert_eq!(s.reads, [(7, ready(3))]);
}

/// 6.4: a read is confirmed by heartbeats that left after it came, once a majority has answered;
/// answers to older ones say nothing about it.
#[test]
fn a_read_needs_a_round_that_began_after_it() {
    let mut s = established();
    s.read(1);
    assert_eq!(s.take(), [(2, heartbeat(1, 1, 1)), (3, heartbeat(1, 1, 1))]);
    s.step(2, heartbeat_reply(1, 0));
    assert_eq!(s.reads, [], "an answer to an older heartbeat");
    s.step(2, heartbeat_reply(1, 1));
    assert_eq!(s.reads, [(1, ready(1))]);
    s.read(2);
    s.step(2, heartbeat_reply(1, 1));
    assert_eq!(s.reads.len(), 1, "the former round again");
    s.step(3, heartbeat_reply(1, 2));
    assert_eq!(s.reads[1], (2, ready(1)));
}

/// 6.4: reads that come together cost one round, and are answered in the order they came in.
#[test]
fn reads_share_a_round() {
    let mut s = established();
    for read in 0..100 {
        s.core.handle_read(ReadId(read)).unwrap();
    }
    s.turn();
    assert_eq!(s.take().len(), 2);
    s.step(3, heartbeat_reply(1, 1));
    assert_eq!(s.reads.len(), 100);
    assert!(s.reads.iter().map(|r| r.0).eq(0..100), "in the order asked");
}

/// 6.4: a read that is confirmed is still held back until its index is applied here.
#[test]
fn a_read_waits_for_the_state_machine() {
    let mut s = established();
    s.auto_apply = false;
    s.propose("a");
    s.step(2, accepted(1, 2));
    s.read(1);
    s.step(2, heartbeat_reply(1, 1));
    assert_eq!(s.reads, []);
    s.core.handle_applied(raft_core::Applied(Index(2)));
    s.turn();
    assert_eq!(s.reads, [(1, ready(2))]);
}

/// 6.4: a leader that was replaced answers no read, neither when it learns of it nor when it is cut
/// off: what waits is told that it is lost.
#[test]
fn reads_fail_when_leadership_is_lost() {
    let mut deposed = established();
    deposed.read(1);
    deposed.step(2, stale(5));
    assert_eq!(deposed.reads, [(1, ReadOutcome::Lost)]);

    let mut cut_off = established();
    cut_off.read(1);
    cut_off.ticks(TIMEOUT);
    assert_eq!(
        (cut_off.reads, cut_off.core.role()),
        (vec![(1, ReadOutcome::Lost)], Role::Follower)
    );
}

/// A round that was confirmed before the leadership ended is good: the index only has to be
/// applied.
#[test]
fn a_confirmed_read_outlives_the_leadership() {
    let mut s = established();
    s.auto_apply = false;
    s.propose("a");
    s.step(2, accepted(1, 2));
    s.read(1);
    s.step(2, heartbeat_reply(1, 1));
    s.step(2, stale(5));
    assert_eq!(s.reads, []);
    s.core.handle_applied(raft_core::Applied(Index(2)));
    s.turn();
    assert_eq!(s.reads, [(1, ready(2))]);
}

/// A lost round is repeated by the next heartbeat.
#[test]
fn a_lost_round_is_repeated() {
    let mut s = established();
    s.read(1);
    s.take();
    s.ticks(2);
    assert!(s.take().contains(&(3, heartbeat(1, 1, 1))));
    s.step(3, heartbeat_reply(1, 1));
    assert_eq!(s.reads, [(1, ready(1))]);
}

#[test]
fn others_refuse_reads_and_name_the_leader() {
    let mut f = Solo::new(&[1, 2, 3]);
    let refused = |leader| Err(ReadError::NotLeader { leader });
    assert_eq!(f.core.handle_read(ReadId(1)), refused(None));
    f.step(3, heartbeat(1, 0, 0));
    assert_eq!(f.core.handle_read(ReadId(1)), refused(Some(NodeId(3))));
}

/// A follower answers a heartbeat of a term that is over with a round that confirms nothing: the
/// asker may lead the newer term by the time the answer arrives.
#[test]
fn an_answer_across_terms_confirms_nothing() {
    let mut f = Solo::on(config(), disk_with(&[1, 2, 3], &[9], 0));
    f.step(2, heartbeat(4, 0, 17));
    assert_eq!(f.take(), [(2, heartbeat_reply(9, 0))]);
}

/// An answer of a former term is no answer to a round of this one, whatever its number.
#[test]
fn an_answer_of_a_former_term_confirms_nothing() {
    let mut s = Solo::leader_on(config(), disk_with(&[1, 2, 3], &[1], 0));
    s.step(2, accepted(2, 2));
    s.read(1);
    s.step(3, heartbeat_reply(1, 1));
    assert_eq!(s.reads, []);
    s.step(3, heartbeat_reply(2, 1));
    assert_eq!(s.reads, [(1, ready(2))]);
}
