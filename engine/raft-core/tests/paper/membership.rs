//! Chapter 4.1, 4.2: members come and go one at a time. (4.3 is in `joint`.)

use raft_core::{
    ConfChange, ConfChangeError, ConfState, ConfStep, Event, Index, LogId, Message, NodeId,
    ReadOutcome, Role,
};

use crate::common::disk::Disk;
use crate::common::id;
use crate::common::solo::{
    Solo, TIMEOUT, accepted, append, append_entries, appends, ask_pre_vote, ask_vote, conf_entry,
    config, disk_with, entry, heartbeat, heartbeat_reply, members, pre_vote, timeout_now, vote,
};

/// A leader of term 1 whose opening entry is committed, with nothing on its way.
fn established(conf: ConfState) -> Solo {
    let mut s = Solo::leader_on(config(), Disk::with_conf(conf));
    let others: Vec<_> = s.core.peers().map(|p| p.id.0).collect();
    for other in others {
        s.step(other, accepted(1, 1));
    }
    assert!(s.core.status().established);
    s.take();
    s
}

fn one(step: ConfStep) -> ConfChange {
    ConfChange::new([step])
}

fn add(node: u64) -> ConfChange {
    one(ConfStep::AddVoter(NodeId(node)))
}

fn remove(node: u64) -> ConfChange {
    one(ConfStep::Remove(NodeId(node)))
}

/// A follower of node 2 in term 1 with the configuration {1, 2, 3} and, uncommitted, this one.
fn told(conf: &ConfState) -> Solo {
    let mut f = Solo::new(&[1, 2, 3]);
    f.step(2, append_entries(1, id(0, 0), 1, vec![entry(1, 1), conf_entry(1, 2, conf)]));
    f.take();
    f
}

/// 4.1: a server uses the newest configuration in its log from the moment it is there, whether it
/// is committed or not. On the leader: the new server is sent the entry, and counts for it.
#[test]
fn a_leader_uses_the_new_configuration_at_once() {
    let mut s = established(members(&[1, 2, 3], &[]));
    assert_eq!(s.change(&add(4)), id(1, 2));
    assert_eq!(s.core.conf(), &members(&[1, 2, 3, 4], &[]));
    let sent = s.take();
    assert!([2, 3, 4].iter().all(|n| sent.iter().any(|(to, _)| to == n)), "{sent:?}");
    s.step(2, accepted(1, 2));
    assert_eq!(s.core.commit(), Index(1), "two of four are no majority");
    s.step(4, accepted(1, 2));
    assert_eq!(s.core.commit(), Index(2), "the new server counts for the entry that adds it");
}

/// 4.1: the same on a follower, which knows nothing of the commit of that entry.
#[test]
fn a_follower_uses_the_new_configuration_at_once() {
    let mut f = told(&members(&[1, 2, 3, 4], &[]));
    assert_eq!((f.core.commit(), f.core.conf()), (Index(1), &members(&[1, 2, 3, 4], &[])));
    f.ticks(2 * TIMEOUT);
    let asked: Vec<_> = f.take().into_iter().map(|(to, _)| to).collect();
    assert_eq!(asked, [2, 3, 4], "it asks the new server for its vote");
    f.step(2, vote(2, true));
    assert_eq!(f.core.role(), Role::Candidate, "and two of four do not elect it");
    f.step(4, vote(2, true));
    assert_eq!(f.core.role(), Role::Leader);
}

/// 4.1: a leader does not begin a change while the one before is not committed: two changes on
/// their way may have majorities that do not meet.
#[test]
fn one_change_at_a_time() {
    let mut s = established(members(&[1, 2, 3], &[]));
    s.change(&add(4));
    let last = s.last();
    let refused = s.core.handle_conf_change(&add(5));
    assert_eq!(refused, Err(ConfChangeError::InProgress { index: Index(2) }));
    assert_eq!(s.last(), last, "the log is untouched");
    s.step(2, accepted(1, 2));
    s.step(3, accepted(1, 2));
    assert_eq!(s.change(&add(5)), id(1, 3));
}

/// 4.1, with the correction that was published later: nor before an entry of its own term is
/// committed, or a change of a former leader might come to light beside its own.
#[test]
fn no_change_before_the_term_is_established() {
    let mut s = Solo::leader(&[1, 2, 3]);
    assert_eq!(s.core.handle_conf_change(&add(4)), Err(ConfChangeError::NotEstablished));
    s.step(3, accepted(1, 1));
    assert_eq!(s.change(&add(4)), id(1, 2));
}

/// 4.1: an uncommitted change may be taken back by another leader: a server whose log loses the
/// entry falls back to the configuration before it.
#[test]
fn a_server_falls_back_when_the_entry_goes() {
    let mut f = told(&members(&[1, 2, 3, 4], &[]));
    f.events.clear();
    f.step(3, append(2, id(1, 1), 1, &[(2, 2)]));
    assert_eq!(f.core.conf(), &members(&[1, 2, 3], &[]));
    assert!(f.events.contains(&Event::ConfChanged { index: Index(0) }));
    f.ticks(2 * TIMEOUT);
    f.step(2, vote(3, true));
    assert_eq!(f.core.role(), Role::Leader, "two of three elect it again");
}

/// 4.1: the former leader falls back as well, and what it had proposed is lost.
#[test]
fn a_deposed_leader_falls_back() {
    let mut s = established(members(&[1, 2, 3], &[]));
    let lost = s.change(&remove(3));
    s.step(3, append(2, id(1, 1), 1, &[(2, 2)]));
    assert_eq!((s.core.role(), s.core.conf()), (Role::Follower, &members(&[1, 2, 3], &[])));
    s.step(3, heartbeat(2, 2, 0));
    assert!(s.events.contains(&Event::Lost { id: lost }));
}

/// 4.1: a server takes entries of a leader that is not in its configuration: a server that is to
/// join has none, and learns it that way.
#[test]
fn a_server_without_a_configuration_follows_and_learns_it() {
    let mut f = Solo::on(config(), Disk::with_conf(ConfState::default()));
    f.ticks(5 * TIMEOUT);
    assert_eq!((f.take(), f.term()), (vec![], 0), "4.2.1: it does not campaign");
    let conf = members(&[2, 3], &[1]);
    f.step(2, append_entries(3, id(0, 0), 0, vec![entry(3, 1), conf_entry(3, 2, &conf)]));
    assert_eq!(f.take(), [(2, accepted(3, 2))]);
    assert_eq!((f.core.leader(), f.core.conf()), (Some(NodeId(2)), &conf));
}

/// 4.1: a server votes for a candidate that is not in its configuration: its vote may be needed
/// when the candidate's configuration is newer.
#[test]
fn a_server_votes_for_a_candidate_it_does_not_know() {
    let mut f = Solo::new(&[1, 2, 3]);
    f.step(7, ask_pre_vote(1, id(0, 0)));
    f.step(7, ask_vote(1, id(0, 0)));
    assert_eq!(f.take(), [(7, pre_vote(0, 1, true)), (7, vote(1, true))]);
}

/// 4.2.1: a server may be added as a non-voting member: it gets the log and counts for nothing,
/// neither in commitment nor in elections nor in the leader's question whether it is heard.
#[test]
fn a_learner_gets_the_log_and_does_not_count() {
    let mut s = established(members(&[1, 2, 3], &[]));
    s.change(&one(ConfStep::AddLearner(NodeId(4))));
    s.step(4, accepted(1, 1));
    assert_eq!(appends(&s.take_for(4)).last().map(|a| a.2), Some(id(1, 2)));
    s.step(4, accepted(1, 2));
    assert_eq!(s.core.commit(), Index(1), "one voter and a learner commit nothing");
    s.step(2, accepted(1, 2));
    assert_eq!(s.core.commit(), Index(2));
    for _ in 0..2 * TIMEOUT {
        s.ticks(1);
        s.step(4, heartbeat_reply(1, 0));
        if s.core.role() != Role::Leader {
            return;
        }
    }
    panic!("a learner's answers keep no leader");
}

/// 4.2.1: a candidate does not ask learners, and a learner does not campaign. It does vote when it
/// is asked: it may have been promoted, in a configuration it has not seen yet.
#[test]
fn a_learner_is_no_candidate_and_votes_when_asked() {
    let mut s = Solo::on(config(), Disk::with_conf(members(&[1, 2], &[3])));
    s.ticks(2 * TIMEOUT);
    assert_eq!(s.take(), [(2, ask_vote(1, id(0, 0)))]);
    let refused = vote(1, true);
    s.step(3, refused);
    assert_eq!(s.core.role(), Role::Candidate, "a learner elects nobody");

    let mut learner = Solo::on(config(), Disk::with_conf(members(&[2, 3], &[1])));
    learner.ticks(5 * TIMEOUT);
    learner.core.handle_campaign();
    learner.step(2, timeout_now(1));
    assert_eq!((learner.core.role(), learner.term()), (Role::Follower, 1));
    learner.ticks(TIMEOUT);
    learner.take();
    learner.step(3, ask_vote(2, id(0, 0)));
    assert_eq!(learner.take(), [(3, vote(2, true))]);
}

/// 4.2.1: once it has caught up the learner is made a full member, like any other change.
#[test]
fn a_learner_is_promoted() {
    let mut s = established(members(&[1, 2, 3], &[4]));
    s.change(&add(4));
    assert_eq!(s.core.conf(), &members(&[1, 2, 3, 4], &[]));
    s.step(4, accepted(1, 2));
    s.step(3, accepted(1, 2));
    assert_eq!(s.core.commit(), Index(2), "what it has counts at once");
    assert!(s.core.peers().all(|p| p.voter));
}

/// 4.2.2: a leader that is removed goes on until the entry that removes it is committed; it does
/// not count itself meanwhile; then it steps down, and asks another to take over (3.10).
#[test]
fn a_removed_leader_leads_until_that_is_committed_and_does_not_count_itself() {
    let mut s = established(members(&[1, 2, 3], &[]));
    s.change(&remove(1));
    s.take();
    s.step(2, accepted(1, 2));
    assert_eq!((s.core.role(), s.core.commit()), (Role::Leader, Index(1)), "one of two");
    let after = s.propose("a");
    assert_eq!(after, id(1, 3), "it takes proposals meanwhile");
    s.read(7);
    s.step(2, heartbeat_reply(1, 1));
    assert_eq!(s.reads, [], "a read needs both that are left");
    s.step(2, accepted(1, 3));
    s.take();
    s.step(3, accepted(1, 2));
    assert_eq!((s.core.role(), s.core.commit()), (Role::Follower, Index(2)));
    assert!(s.take().contains(&(2, timeout_now(1))), "who has most is asked to lead");
    assert_eq!(s.core.next_deadline(), None, "it has no part in elections any more");
}

/// 4.2.2: a leader that is made a learner makes room in the same way.
#[test]
fn a_demoted_leader_steps_down() {
    let mut s = established(members(&[1, 2, 3], &[]));
    s.change(&one(ConfStep::AddLearner(NodeId(1))));
    s.step(2, accepted(1, 2));
    assert_eq!(s.core.role(), Role::Leader);
    s.step(3, accepted(1, 2));
    assert_eq!((s.core.role(), s.core.conf()), (Role::Follower, &members(&[2, 3], &[1])));
}

/// 4.2.2: a server that is not in its newest configuration still campaigns while that is not
/// committed, since it may be the only one that can be elected. It does not count itself.
#[test]
fn a_removed_server_campaigns_until_that_is_committed() {
    let mut f = told(&members(&[2, 3], &[]));
    f.ticks(2 * TIMEOUT);
    assert_eq!(f.core.role(), Role::Candidate);
    f.step(2, vote(2, true));
    assert_eq!(f.core.role(), Role::Candidate, "one of two, its own does not count");
    f.step(3, vote(2, true));
    assert_eq!(f.core.role(), Role::Leader);
    f.step(2, accepted(2, 3));
    assert_eq!((f.core.role(), f.core.commit()), (Role::Leader, Index(1)));
    f.step(3, accepted(2, 3));
    assert_eq!((f.core.role(), f.core.commit()), (Role::Follower, Index(3)), "then it goes");
}

/// 4.2.2: once it knows that to be committed it campaigns no more.
#[test]
fn a_server_that_knows_it_is_removed_is_silent() {
    let mut f = told(&members(&[2, 3], &[]));
    f.step(2, heartbeat(1, 2, 0));
    assert_eq!(f.core.next_deadline(), None, "from then on, not from its next campaign");
    f.take();
    f.ticks(5 * TIMEOUT);
    f.core.handle_campaign();
    f.turn();
    assert_eq!((f.take(), f.term(), f.core.next_deadline()), (vec![], 1, None));
}

/// 4.2.2: the last voter cannot go.
#[test]
fn the_last_voter_stays() {
    let mut s = established(members(&[1], &[2]));
    assert_eq!(s.core.handle_conf_change(&remove(1)), Err(ConfChangeError::NoVoters));
    assert_eq!(s.core.role(), Role::Leader);
}

/// 4.2.3: a removed server that was not told does not disturb the others, though its log may be as
/// good as theirs: while they hear a leader they do not look at its requests.
#[test]
fn a_removed_server_does_not_disturb() {
    let mut s = established(members(&[1, 2, 3], &[]));
    s.change(&remove(3));
    s.step(2, accepted(1, 2));
    s.take();
    s.step(3, ask_vote(9, id(1, 1)));
    s.step(3, ask_vote(9, id(9, 9)));
    assert_eq!((s.take(), s.term(), s.core.role()), (vec![], 1, Role::Leader));

    let mut f = told(&members(&[1, 2], &[]));
    f.step(3, ask_vote(9, id(9, 9)));
    assert_eq!((f.take(), f.term(), f.core.leader()), (vec![], 1, Some(NodeId(2))));
}

/// 4.1 and 6.4: what was waiting for a server that goes no longer waits.
#[test]
fn a_read_does_not_wait_for_a_server_that_left() {
    let mut s = established(members(&[1, 2, 3, 4], &[]));
    s.read(1);
    s.step(2, heartbeat_reply(1, 1));
    assert_eq!(s.reads, [], "two of four");
    s.change(&remove(4));
    assert_eq!(s.reads, [(1, ReadOutcome::Ready { index: Index(1) })], "two of three");
}

/// 4.2.2: a removed server gets nothing more, not even by way of an answer to it.
#[test]
fn a_removed_server_gets_nothing_more() {
    let mut s = established(members(&[1, 2, 3], &[]));
    s.change(&remove(3));
    s.step(2, accepted(1, 2));
    s.take();
    let refused = s.core.handle_message(NodeId(3), accepted(1, 1));
    assert!(refused.is_err());
    s.propose("a");
    s.ticks(3);
    assert_eq!(s.take_for(3), []);
    assert!(s.core.peers().all(|p| p.id == NodeId(2)));
}

/// 4.1: who comes is found where the log ends for it, not where it ends here: the entry that adds
/// it is at first too far ahead.
#[test]
fn a_new_server_is_probed_and_gets_the_whole_log() {
    let disk = disk_with(&[1, 2, 3], &[1, 1, 1, 1, 1], 5);
    let mut s = Solo::leader_on(config(), disk);
    s.step(2, accepted(2, 6));
    s.change(&add(4));
    let first = appends(&s.take_for(4));
    assert_eq!(first[0].0, id(2, 6));
    s.step(4, crate::common::solo::rejected(2, 6, LogId::default(), 0));
    let all = s.take_for(4);
    let Message::AppendEntries(m) = &all[0] else { panic!("{all:?}") };
    assert_eq!((m.prev, m.entries[0].id), (LogId::default(), id(1, 1)));
}
