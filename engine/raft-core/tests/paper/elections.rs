//! Chapter 3.3, 3.4, 3.6.1, 3.8, 4.2.3, 6.2, 9.6: terms, votes, leadership.

use std::collections::BTreeSet;

use raft_core::{Config, HardState, Index, Message, NodeId, Role, Term};

use crate::common::disk::Disk;
use crate::common::id;
use crate::common::solo::{
    Solo, TIMEOUT, append, appends, ask_pre_vote, ask_vote, config, disk_with, heartbeat,
    heartbeat_reply, pre_vote, stale, vote,
};

fn pre_voting() -> Config {
    Config { pre_vote: true, ..config() }
}

/// 3.3: "if one server's current term is smaller than the other's, then it updates its current term
/// to the larger value."
#[test]
fn a_larger_term_is_adopted_by_every_role() {
    let mut follower = Solo::new(&[1, 2, 3]);
    follower.step(2, heartbeat(4, 0, 0));
    assert_eq!((follower.term(), follower.core.leader()), (4, Some(NodeId(2))));

    let mut candidate = Solo::new(&[1, 2, 3]);
    candidate.core.handle_campaign();
    candidate.turn();
    assert_eq!(candidate.core.role(), Role::Candidate);
    candidate.step(2, vote(5, false));
    assert_eq!((candidate.term(), candidate.core.role()), (5, Role::Follower));

    let mut leader = Solo::leader(&[1, 2, 3]);
    leader.step(2, stale(9));
    assert_eq!(
        (leader.term(), leader.core.role(), leader.core.leader()),
        (9, Role::Follower, None)
    );
}

/// 3.3: "If a server receives a request with a stale term number, it rejects the request."
#[test]
fn a_request_of_a_stale_term_is_answered_and_changes_nothing() {
    let mut s = Solo::new(&[1, 2, 3]);
    s.step(2, heartbeat(4, 0, 7));
    s.take();
    let before = s.core.status();
    s.step(3, append(3, id(0, 0), 0, &[(3, 1)]));
    s.step(3, heartbeat(3, 0, 7));
    s.step(3, ask_vote(3, id(3, 99)));
    let answers: Vec<_> = s.take().into_iter().map(|(_, m)| m).collect();
    assert_eq!(answers, [stale(4), heartbeat_reply(4, 0), vote(4, false)]);
    assert_eq!(s.core.status(), before);
}

/// 3.4: "When servers start up, they begin as followers."
#[test]
fn a_replica_begins_as_a_follower() {
    let s = Solo::on(config(), disk_with(&[1, 2, 3], &[1, 2], 0));
    assert_eq!((s.core.role(), s.core.leader(), s.term()), (Role::Follower, None, 2));
}

/// 3.4: "A server remains in follower state as long as it receives valid RPCs from a leader or
/// candidate."
#[test]
fn heartbeats_keep_a_follower_a_follower() {
    let mut s = Solo::new(&[1, 2, 3]);
    for _ in 0..20 {
        s.step(2, heartbeat(1, 0, 0));
        s.ticks(TIMEOUT - 1);
        assert_eq!(s.core.role(), Role::Follower);
    }
    s.ticks(2 * TIMEOUT);
    assert_eq!(s.core.role(), Role::Candidate);
}

/// 3.4: "To begin an election, a follower increments its current term and transitions to candidate
/// state. It then votes for itself and issues RequestVote RPCs in parallel to each of the other
/// servers."
#[test]
fn an_election_asks_everyone_in_a_new_term() {
    let mut s = Solo::on(config(), disk_with(&[1, 2, 3], &[1, 2], 0));
    s.ticks(2 * TIMEOUT);
    assert_eq!((s.core.role(), s.term()), (Role::Candidate, 3));
    let ask = ask_vote(3, id(2, 2));
    assert_eq!(s.take(), [(2, ask.clone()), (3, ask)]);
    let hard = s.disk.platter.borrow().hard;
    assert_eq!((hard.term, hard.vote), (Term(3), Some(NodeId(1))));
}

/// 3.4: "A candidate wins an election if it receives votes from a majority of the servers in the
/// full cluster for the same term."
#[test]
fn a_majority_elects() {
    for (voters, needed) in [(2, 1), (3, 1), (4, 2), (5, 2)] {
        let all: Vec<u64> = (1..=voters).collect();
        let mut s = Solo::new(&all);
        s.core.handle_campaign();
        s.turn();
        for voter in 0..needed {
            assert_eq!(s.core.role(), Role::Candidate, "{voter} of {voters}");
            s.step(2 + voter, vote(1, true));
            if voter + 1 < needed {
                s.step(2 + voter, vote(1, true));
            }
        }
        assert_eq!(s.core.role(), Role::Leader);
    }
    let mut s = Solo::new(&[1, 2, 3]);
    s.core.handle_campaign();
    s.turn();
    s.step(2, vote(1, false));
    s.step(3, vote(1, false));
    assert_eq!(s.core.role(), Role::Follower);
}

/// 3.4: "Each server will vote for at most one candidate in a given term, on a
/// first-come-first-served basis."
#[test]
fn one_vote_per_term_even_across_a_restart() {
    let mut s = Solo::new(&[1, 2, 3]);
    s.step(2, ask_vote(1, id(0, 0)));
    s.step(3, ask_vote(1, id(5, 5)));
    s.step(2, ask_vote(1, id(0, 0)));
    assert_eq!(s.take(), [(2, vote(1, true)), (3, vote(1, false)), (2, vote(1, true))]);
    let mut s = s.restart();
    s.step(3, ask_vote(1, id(5, 5)));
    s.step(2, ask_vote(1, id(0, 0)));
    assert_eq!(s.take(), [(3, vote(1, false)), (2, vote(1, true))]);
}

/// 3.4: "If the leader's term is at least as large as the candidate's current term, then the
/// candidate recognizes the leader as legitimate and returns to follower state. If the term in the
/// RPC is smaller, then the candidate rejects the RPC and continues in candidate state."
#[test]
fn a_candidate_yields_to_a_leader_of_its_term_only() {
    let mut s = Solo::new(&[1, 2, 3]);
    s.core.handle_campaign();
    s.core.handle_campaign();
    s.turn();
    assert_eq!((s.core.role(), s.term()), (Role::Candidate, 2));
    s.step(3, append(1, id(0, 0), 0, &[]));
    assert_eq!(s.core.role(), Role::Candidate);
    s.step(3, append(2, id(0, 0), 0, &[]));
    assert_eq!((s.core.role(), s.core.leader()), (Role::Follower, Some(NodeId(3))));
    s.step(2, vote(2, true));
    assert_eq!(s.core.role(), Role::Follower, "a vote that comes too late elects nobody");
}

/// 3.4: "if many followers become candidates at the same time, votes could be split ... each
/// candidate will time out and start a new election by incrementing its term".
#[test]
fn a_candidate_without_an_answer_starts_again() {
    let mut s = Solo::new(&[1, 2, 3]);
    s.ticks(2 * TIMEOUT);
    s.take();
    s.ticks(2 * TIMEOUT);
    assert!(s.term() >= 2);
    assert!(s.take().contains(&(2, ask_vote(2, id(0, 0)))));
}

/// 3.4: "Raft uses randomized election timeouts to ensure that split votes are rare".
#[test]
fn timeouts_are_drawn_from_the_whole_range() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let s = Solo::on(Config { seed, ..config() }, Disk::new(&[1, 2, 3]));
        seen.insert(s.core.next_deadline().unwrap().0);
    }
    assert_eq!(seen, (TIMEOUT..2 * TIMEOUT).collect());
}

/// 3.6.1: "the voter denies its vote if its own log is more up-to-date than that of the candidate."
#[test]
fn a_vote_compares_terms_then_lengths() {
    let cases = [
        (id(3, 1), true),
        (id(2, 2), true),
        (id(2, 3), true),
        (id(2, 1), false),
        (id(1, 9), false),
        (id(0, 0), false),
    ];
    for (last, granted) in cases {
        let mut s = Solo::on(config(), disk_with(&[1, 2, 3], &[1, 2], 0));
        s.step(2, ask_vote(4, last));
        assert_eq!(s.take(), [(2, vote(4, granted))], "{last}");
        let mut s = Solo::on(pre_voting(), disk_with(&[1, 2, 3], &[1, 2], 0));
        s.step(2, ask_pre_vote(4, last));
        assert_eq!(s.take(), [(2, pre_vote(2, 4, granted))], "{last}");
    }
}

/// 3.8: "each server persists its current term and vote ... before responding to RPCs."
#[test]
fn a_vote_leaves_only_when_durable() {
    let mut s = Solo::new(&[1, 2, 3]);
    s.auto_sync = false;
    s.step(2, ask_vote(3, id(0, 0)));
    assert_eq!(s.take(), []);
    s.sync();
    s.turn();
    assert_eq!(s.take(), [(2, vote(3, true))]);
    assert_eq!(s.hard, [HardState { term: Term(3), vote: Some(NodeId(2)), commit: Index(0) }]);
}

/// 4.2.3: "if a server receives a RequestVote request within the minimum election timeout of
/// hearing from a current leader, it does not update its term or grant its vote."
#[test]
fn a_leader_that_is_heard_is_not_deposed() {
    let mut s = Solo::new(&[1, 2, 3]);
    s.step(2, heartbeat(1, 0, 0));
    s.ticks(TIMEOUT - 1);
    s.take();
    s.step(3, ask_vote(7, id(9, 9)));
    assert_eq!((s.take(), s.term()), (vec![], 1));
    s.step(3, ask_pre_vote(7, id(9, 9)));
    assert_eq!((s.take(), s.term()), (vec![(3, pre_vote(1, 7, false))], 1));
    s.ticks(1);
    s.take();
    s.step(3, ask_vote(7, id(9, 9)));
    assert_eq!((s.take(), s.term()), (vec![(3, vote(7, true))], 7));

    let mut leader = Solo::leader(&[1, 2, 3]);
    leader.step(3, ask_vote(7, id(9, 9)));
    assert_eq!((leader.core.role(), leader.term()), (Role::Leader, 1));
}

/// 6.2: "a leader in Raft steps down if an election timeout elapses without a successful round of
/// heartbeats to a majority of its cluster".
#[test]
fn a_leader_that_hears_no_quorum_steps_down() {
    let mut s = Solo::leader(&[1, 2, 3, 4, 5]);
    s.ticks(TIMEOUT - 1);
    s.step(2, heartbeat_reply(1, 0));
    s.ticks(1);
    assert_eq!(s.core.role(), Role::Follower, "one of four is no quorum");
    assert_eq!((s.term(), s.core.leader()), (1, None));

    let mut s = Solo::leader(&[1, 2, 3, 4, 5]);
    for _ in 0..10 {
        s.ticks(TIMEOUT - 1);
        s.step(4, heartbeat_reply(1, 0));
        s.step(5, heartbeat_reply(1, 0));
        assert_eq!(s.core.role(), Role::Leader);
    }
    s.ticks(TIMEOUT);
    assert_eq!(s.core.role(), Role::Follower);
}

/// 9.6: "a candidate only increments its term if it first learns from a majority of the cluster
/// that they would be willing to grant the candidate their votes".
#[test]
fn no_term_is_spent_without_a_majority_of_pre_votes() {
    let mut s = Solo::on(pre_voting(), Disk::new(&[1, 2, 3]));
    for _ in 0..5 {
        s.ticks(2 * TIMEOUT);
        assert_eq!((s.core.role(), s.term()), (Role::PreCandidate, 0));
    }
    assert!(s.hard.is_empty(), "asking needs no disk");
    assert!(s.take().contains(&(3, ask_pre_vote(1, id(0, 0)))));
    s.step(2, pre_vote(0, 99, true));
    assert_eq!(s.core.role(), Role::PreCandidate, "the answer to another question");
    s.step(2, pre_vote(0, 1, true));
    assert_eq!((s.core.role(), s.term()), (Role::Candidate, 1));
    assert_eq!(s.take(), [(2, ask_vote(1, id(0, 0))), (3, ask_vote(1, id(0, 0)))]);
}

/// 9.6: a pre-vote disturbs nobody, and a refusal teaches the term.
#[test]
fn pre_votes_change_nothing_at_the_voter_and_teach_the_asker() {
    let mut voter = Solo::on(pre_voting(), disk_with(&[1, 2, 3], &[5], 0));
    voter.step(2, ask_pre_vote(3, id(2, 9)));
    assert_eq!(voter.take(), [(2, pre_vote(5, 3, false))]);
    voter.step(2, ask_pre_vote(8, id(7, 9)));
    voter.step(3, ask_pre_vote(8, id(7, 9)));
    assert_eq!(voter.take(), [(2, pre_vote(5, 8, true)), (3, pre_vote(5, 8, true))]);
    assert!(voter.hard.is_empty());

    let mut asker = Solo::on(pre_voting(), disk_with(&[1, 2, 3], &[2], 0));
    asker.core.handle_campaign();
    asker.turn();
    asker.step(2, pre_vote(5, 3, false));
    assert_eq!((asker.core.role(), asker.term()), (Role::Follower, 5));
}

/// 9.6: a replica that is ahead in terms must not be stuck under a leader of an older term.
#[test]
fn a_replica_ahead_in_terms_brings_the_leader_to_its_term() {
    let mut stuck = Solo::on(pre_voting(), disk_with(&[1, 2, 3], &[7], 0));
    stuck.step(2, heartbeat(4, 0, 3));
    let answer = stuck.take_for(2).remove(0);
    let mut leader = Solo::leader_on(config(), disk_with(&[1, 2, 3], &[3], 0));
    leader.step(3, answer);
    assert_eq!((leader.core.role(), leader.term()), (Role::Follower, 7));
}

/// 3.4: "Once a candidate wins an election, it becomes leader. It then sends heartbeat messages to
/// all of the other servers"; 6.4: it commits "a blank no-op entry into the log at the start of its
/// term".
#[test]
fn a_new_leader_opens_its_term_at_once() {
    let mut s = Solo::on(config(), disk_with(&[1, 2, 3], &[1, 1], 0));
    s.elect();
    let sent: Vec<Message> = s.take_for(3);
    assert_eq!(appends(&sent), [(id(1, 2), 0, id(2, 3))]);
    assert_eq!(s.last(), id(2, 3));
}
