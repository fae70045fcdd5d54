//! Chapter 4.3: arbitrary changes of the members, through a joint configuration.

use raft_core::{
    ConfChange, ConfChangeError, ConfState, ConfStep, EntryKind, Event, Index, Message, NodeId,
    ReadOutcome, Role, Transition,
};

use crate::common::disk::Disk;
use crate::common::id;
use crate::common::solo::{
    Solo, TIMEOUT, accepted, append_entries, conf_entry, config, entry, heartbeat_reply, joint,
    members, timeout_now, vote,
};

/// From {1, 2, 3} to {1, 4, 5}.
fn replace_two(transition: Transition) -> ConfChange {
    use ConfStep::{AddVoter, Remove};
    let steps =
        vec![AddVoter(NodeId(4)), AddVoter(NodeId(5)), Remove(NodeId(2)), Remove(NodeId(3))];
    ConfChange::Steps { steps, transition }
}

fn explicit(from: &[u64], to: &[u64]) -> ConfState {
    joint(from, to)
}

fn auto(from: &[u64], to: &[u64]) -> ConfState {
    ConfState { auto_leave: true, ..joint(from, to) }
}

/// A leader of term 1 of {1, 2, 3} that has just entered the joint configuration.
fn entering(transition: Transition) -> Solo {
    let mut s = Solo::leader(&[1, 2, 3]);
    s.step(2, accepted(1, 1));
    s.step(3, accepted(1, 1));
    s.change(&replace_two(transition));
    s
}

/// A leader of {1, 2, 3} and {1, 4, 5} in term 1, established, that leaves when it is told.
fn leading() -> Solo {
    let mut s = entering(Transition::JointExplicit);
    s.step(2, accepted(1, 2));
    s.step(4, accepted(1, 2));
    assert_eq!(s.core.commit(), Index(2));
    s.take();
    s
}

/// 4.3: the old servers and the new ones alike are sent every entry.
#[test]
fn everybody_of_both_configurations_gets_the_log() {
    let mut s = entering(Transition::Auto);
    assert_eq!(s.core.conf(), &auto(&[1, 2, 3], &[1, 4, 5]), "more than one voter at a time");
    let sent = s.take();
    assert!((2..=5).all(|n| sent.iter().any(|(to, _)| *to == n)), "{sent:?}");
}

/// 4.3: agreement needs a majority of the old servers and one of the new, for the joint
/// configuration itself and for everything after it.
#[test]
fn agreement_needs_both_majorities() {
    let mut s = entering(Transition::JointExplicit);
    s.step(4, accepted(1, 2));
    s.step(5, accepted(1, 2));
    assert_eq!(s.core.commit(), Index(1), "all of the new, one of the old");
    s.step(3, accepted(1, 2));
    assert_eq!(s.core.commit(), Index(2));

    let mut s = entering(Transition::JointExplicit);
    s.step(2, accepted(1, 2));
    s.step(3, accepted(1, 2));
    assert_eq!(s.core.commit(), Index(1), "all of the old, one of the new");
    s.step(5, accepted(1, 2));
    assert_eq!(s.core.commit(), Index(2));
}

/// 4.3: a server that knows the joint configuration, committed or not, is elected by both
/// majorities only.
#[test]
fn an_election_needs_both_majorities() {
    let candidate = || {
        let conf = explicit(&[1, 2, 3], &[3, 4, 5]);
        let mut f = Solo::new(&[1, 2, 3]);
        f.step(2, append_entries(1, id(0, 0), 1, vec![entry(1, 1), conf_entry(1, 2, &conf)]));
        f.take();
        f.ticks(2 * TIMEOUT);
        assert_eq!(f.take().len(), 4, "everybody is asked");
        f
    };
    let mut f = candidate();
    f.step(2, vote(2, true));
    f.step(5, vote(2, true));
    assert_eq!(f.core.role(), Role::Candidate, "the old ones would do, of the new it is one");
    f.step(4, vote(2, true));
    assert_eq!(f.core.role(), Role::Leader);
    let mut f = candidate();
    f.step(4, vote(2, true));
    f.step(5, vote(2, true));
    assert_eq!(f.core.role(), Role::Candidate, "the new ones would do, of the old it is one");
    f.step(3, vote(2, true));
    assert_eq!(f.core.role(), Role::Leader);
    let mut f = candidate();
    f.step(4, vote(2, false));
    f.step(5, vote(2, false));
    assert_eq!(f.core.role(), Role::Follower, "lost in one is lost");
}

/// 4.3 and 6.4: that it still leads a leader hears from both majorities.
#[test]
fn a_read_needs_both_majorities() {
    let mut s = leading();
    s.read(1);
    s.step(2, heartbeat_reply(1, 1));
    s.step(3, heartbeat_reply(1, 1));
    assert_eq!(s.reads, []);
    s.step(4, heartbeat_reply(1, 1));
    assert_eq!(s.reads, [(1, ReadOutcome::Ready { index: Index(2) })]);
}

/// 4.3 and 6.2: one that hears only one of the two steps down.
#[test]
fn a_leader_that_hears_one_half_steps_down() {
    let mut s = leading();
    for _ in 0..2 * TIMEOUT {
        s.ticks(1);
        if s.core.role() != Role::Leader {
            return;
        }
        s.step(4, heartbeat_reply(1, 0));
        s.step(5, heartbeat_reply(1, 0));
    }
    panic!("the new servers alone keep no leader");
}

/// 4.3: once the joint configuration is committed the leader writes the new one, which again is in
/// force at once: its majority alone commits it.
#[test]
fn the_joint_configuration_is_left_when_it_is_committed() {
    let mut s = entering(Transition::Auto);
    s.step(2, accepted(1, 2));
    assert_eq!(s.core.conf_index(), Index(2));
    s.step(4, accepted(1, 2));
    assert_eq!((s.core.conf(), s.core.conf_index()), (&members(&[1, 4, 5], &[]), Index(3)));
    s.step(4, accepted(1, 3));
    assert_eq!(s.core.commit(), Index(3), "two of the new, none of the old");
    let kinds: Vec<_> = s.applied.iter().map(|e| e.kind).collect();
    assert_eq!(kinds, [EntryKind::NoOp, EntryKind::ConfChange, EntryKind::ConfChange]);
}

/// 4.3: an old server may lead meanwhile, and so may a new one; whoever does brings the change to
/// its end.
#[test]
fn a_later_leader_leaves_the_joint_configuration() {
    let disk = Disk::new(&[1, 2, 3]);
    let conf = auto(&[1, 2, 3], &[1, 4, 5]);
    disk.platter.borrow_mut().entries = vec![entry(1, 1), conf_entry(1, 2, &conf)];
    disk.platter.borrow_mut().hard.term = raft_core::Term(1);
    let mut s = Solo::leader_on(config(), disk);
    assert_eq!(s.last(), id(2, 3));
    s.step(2, accepted(2, 3));
    assert_eq!(s.core.conf(), &conf, "not before the term is established");
    s.step(5, accepted(2, 3));
    assert_eq!((s.core.conf(), s.core.conf_index()), (&members(&[1, 4, 5], &[]), Index(4)));
}

/// 4.3: a leader that is not in the new configuration steps down when that is committed, and counts
/// only where it is.
#[test]
fn a_leader_of_the_old_servers_steps_down_at_the_end() {
    let mut s = Solo::leader(&[1, 2, 3]);
    s.step(2, accepted(1, 1));
    let steps = [ConfStep::Remove(NodeId(1)), ConfStep::AddVoter(NodeId(4))];
    s.change(&ConfChange::new(steps));
    s.step(2, accepted(1, 2));
    assert_eq!(s.core.commit(), Index(1), "of {{2, 3, 4}} it is one");
    s.step(4, accepted(1, 2));
    assert_eq!((s.core.commit(), s.core.conf()), (Index(2), &members(&[2, 3, 4], &[])));
    s.step(4, accepted(1, 3));
    assert_eq!(s.core.role(), Role::Leader);
    s.take();
    s.step(3, accepted(1, 3));
    assert_eq!((s.core.role(), s.core.commit()), (Role::Follower, Index(3)));
    let asked: Vec<_> = s.take();
    assert!(asked.iter().any(|(to, m)| [3, 4].contains(to) && *m == timeout_now(1)), "{asked:?}");
}

/// 4.3 and 3.10: a successor that votes in the old configuration alone is none any more when the
/// joint one is left.
#[test]
fn a_successor_that_goes_is_none() {
    let mut s = entering(Transition::Auto);
    s.transfer(2);
    s.step(3, accepted(1, 2));
    s.step(4, accepted(1, 2));
    assert_eq!((s.core.conf_index(), s.core.status().transfer), (Index(3), None));
    assert!(s.events.contains(&Event::TransferAborted { to: NodeId(2) }));
}

/// 4.3: until it is left no other change begins; leaving is a change of its own where the caller
/// wants it so.
#[test]
fn an_explicit_joint_configuration_stays_until_it_is_left() {
    let mut s = entering(Transition::JointExplicit);
    let left = s.core.handle_conf_change(&ConfChange::Leave);
    assert_eq!(left, Err(ConfChangeError::InProgress { index: Index(2) }));
    let mut s = leading();
    s.ticks(3);
    assert_eq!(s.core.conf_index(), Index(2), "nobody leaves it unasked");
    let other = ConfChange::new([ConfStep::AddLearner(NodeId(9))]);
    assert_eq!(s.core.handle_conf_change(&other), Err(ConfChangeError::Joint));
    assert_eq!(s.change(&ConfChange::Leave), id(1, 3));
    assert_eq!(s.core.conf(), &members(&[1, 4, 5], &[]));
    s.step(5, accepted(1, 3));
    assert_eq!(s.core.commit(), Index(3));
    let again = s.core.handle_conf_change(&ConfChange::Leave);
    assert_eq!(again, Err(ConfChangeError::NotJoint));
}

/// 4.3: who votes in the old configuration and is a learner of the new one votes until the end.
#[test]
fn a_voter_becomes_a_learner_when_the_joint_configuration_is_left() {
    let mut s = Solo::leader(&[1, 2, 3]);
    s.step(2, accepted(1, 1));
    let steps = [ConfStep::AddLearner(NodeId(3)), ConfStep::AddVoter(NodeId(4))];
    s.change(&ConfChange::new(steps));
    let conf = s.core.conf().clone();
    assert_eq!((conf.learners, conf.learners_next), (vec![], vec![NodeId(3)]));
    s.step(3, accepted(1, 2));
    s.step(4, accepted(1, 2));
    assert_eq!(s.core.commit(), Index(2), "its voice is one of the old majority");
    assert_eq!(s.core.conf(), &members(&[1, 2, 4], &[3]));
}

/// 4.3: nobody is removed from what it already holds: members keep what is known about them.
#[test]
fn members_that_stay_are_not_probed_anew() {
    let mut s = entering(Transition::JointExplicit);
    let matched = |s: &Solo, n| s.core.peers().find(|p| p.id == NodeId(n)).map(|p| p.matched);
    assert_eq!([2, 3, 4].map(|n| matched(&s, n)), [Some(Index(1)), Some(Index(1)), Some(Index(0))]);
    let sent = s.take_for(2);
    let Some(Message::AppendEntries(m)) = sent.last() else { panic!("{sent:?}") };
    assert_eq!((m.prev, m.entries.len()), (id(1, 1), 1));
}
