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

/// 3.3: whoever hears of a newer term takes it over, and a candidate or leader follows again.
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

/// 3.3: what comes from an older term is answered with the newer one, and has no other effect.
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

/// 3.4: whatever term is on its disk, a server that starts follows, and knows no leader yet.
#[test]
fn a_replica_begins_as_a_follower() {
    let s = Solo::on(config(), disk_with(&[1, 2, 3], &[1, 2], 0));
    assert_eq!((s.core.role(), s.core.leader(), s.term()), (Role::Follower, None, 2));
}

/// 3.4: a follower does not campaign while its leader is heard in time, and does once it is silent.
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

/// 3.4: when its timeout passes a follower enters the next term, gives itself its vote, and asks
/// all others for theirs.
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

/// 3.4: more than half of all voters elect, the candidate among them. An answer that comes twice
/// counts once; who is refused by too many gives up.
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

/// 3.4: the vote of a term stays with whoever asked first, though a better log asks later and
/// though the voter restarts. Who got it gets it again.
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

/// 3.4: a candidate that hears of a leader of its own term has lost, and follows it; an append of
/// an older term does not stop it.
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

/// 3.4: an election may have no winner: at its next timeout the candidate tries the next term.
#[test]
fn a_candidate_without_an_answer_starts_again() {
    let mut s = Solo::new(&[1, 2, 3]);
    s.ticks(2 * TIMEOUT);
    s.take();
    s.ticks(2 * TIMEOUT);
    assert!(s.term() >= 2);
    assert!(s.take().contains(&(2, ask_vote(2, id(0, 0)))));
}

/// 3.4: timeouts are random, lest servers campaign together: every tick of the range is drawn.
#[test]
fn timeouts_are_drawn_from_the_whole_range() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let s = Solo::on(Config { seed, ..config() }, Disk::new(&[1, 2, 3]));
        seen.insert(s.core.next_deadline().unwrap().0);
    }
    assert_eq!(seen, (TIMEOUT..2 * TIMEOUT).collect());
}

/// 3.6.1: a log that is behind the voter's gets neither vote nor pre-vote: the last terms decide,
/// and the lengths where these are equal.
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

/// 3.8: the answer to a candidate waits until the disk has the term and the vote.
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

/// 4.2.3: who leads or has just heard a leader ignores a candidate and its term, and a pre-vote
/// gets a no; a follower votes once the shortest timeout is over.
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

/// 6.2: a leader that is not answered by a majority for an election timeout becomes a follower, in
/// the same term; as long as it is answered it stays.
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

/// 9.6: with pre-votes a server asks in its old term, as often as it takes, and enters the next one
/// when a majority has answered this very question with yes.
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

/// 3.4 and 6.4: who has won sends an empty entry of the new term to the others at once.
#[test]
fn a_new_leader_opens_its_term_at_once() {
    let mut s = Solo::on(config(), disk_with(&[1, 2, 3], &[1, 1], 0));
    s.elect();
    let sent: Vec<Message> = s.take_for(3);
    assert_eq!(appends(&sent), [(id(1, 2), 0, id(2, 3))]);
    assert_eq!(s.last(), id(2, 3));
}
