//! Chapter 3.10: handing leadership over.

use raft_core::{
    Bytes, ConfChange, ConfChangeError, ConfStep, Config, Event, Index, Message, NodeId,
    ProposeError, Role, TransferError,
};

use crate::common::disk::Disk;
use crate::common::id;
use crate::common::solo::{
    Solo, TIMEOUT, accepted, append, appends, ask_transfer_vote, ask_vote, config, disk_with,
    heartbeat, heartbeat_reply, members, timeout_now, vote,
};

/// A leader of term 1 whose followers have its opening entry.
fn leading() -> Solo {
    let mut s = Solo::leader(&[1, 2, 3]);
    s.step(2, accepted(1, 1));
    s.step(3, accepted(1, 1));
    s.take();
    s
}

fn propose(s: &mut Solo) -> Result<(), ProposeError> {
    s.core.handle_proposal(Bytes::new()).map(drop)
}

/// 3.10, step 1: the leader takes no more requests; neither commands nor changes of the members.
#[test]
fn a_leader_that_hands_over_takes_no_requests() {
    let mut s = leading();
    s.transfer(2);
    let to = NodeId(2);
    assert_eq!(propose(&mut s), Err(ProposeError::Transferring { to }));
    let change = ConfChange::new([ConfStep::AddLearner(NodeId(9))]);
    let refused = s.core.handle_conf_change(&change);
    assert_eq!(refused, Err(ConfChangeError::Transferring { to }));
    assert_eq!((s.last(), s.core.status().transfer), (id(1, 1), Some(to)));
}

/// 3.10, steps 2 and 3: the successor first gets all the leader has, by the usual replication, and
/// only then is asked to campaign.
#[test]
fn the_successor_gets_everything_first() {
    let mut s = leading();
    s.propose("a");
    s.propose("b");
    s.take();
    s.transfer(2);
    s.step(2, accepted(1, 2));
    assert!(!s.take().iter().any(|(_, m)| matches!(m, Message::TimeoutNow(_))));
    s.step(3, accepted(1, 3));
    s.step(2, accepted(1, 3));
    assert_eq!(s.take_for(2)[0], timeout_now(1));
    s.step(2, accepted(1, 3));
    s.step(2, heartbeat_reply(1, 0));
    assert!(!s.take().iter().any(|(_, m)| matches!(m, Message::TimeoutNow(_))), "asked once");
}

/// 3.10: one that has everything already is asked at once.
#[test]
fn a_successor_that_has_everything_is_asked_at_once() {
    let mut s = leading();
    s.transfer(3);
    assert_eq!(s.take(), [(3, timeout_now(1))]);
}

/// 3.10: being asked is as if the election timer had run out: a new term and a request for votes at
/// once, without asking beforehand, though the leader is heard.
#[test]
fn the_successor_campaigns_at_once() {
    let disk = disk_with(&[1, 2, 3], &[1], 1);
    let mut f = Solo::on(Config { pre_vote: true, ..config() }, disk);
    f.step(2, heartbeat(1, 1, 0));
    f.take();
    f.step(2, timeout_now(1));
    assert_eq!((f.core.role(), f.term()), (Role::Candidate, 2));
    let ask = ask_transfer_vote(2, id(1, 1));
    assert_eq!(f.take(), [(2, ask.clone()), (3, ask)]);
    f.step(2, vote(2, true));
    assert_eq!(f.core.role(), Role::Leader);
}

/// 3.10 and 4.2.3: the request says that the leader wants it, so a voter that hears that leader
/// does not refuse, as it refuses others. It still compares the logs (3.6.1).
#[test]
fn a_voter_does_not_cling_to_a_leader_that_hands_over() {
    let hearing = || {
        let mut f = Solo::on(config(), disk_with(&[1, 2, 3], &[1], 1));
        f.step(2, heartbeat(1, 1, 0));
        f.take();
        f
    };
    let mut f = hearing();
    f.step(3, ask_vote(2, id(1, 1)));
    assert_eq!((f.take(), f.term()), (vec![], 1));
    f.step(3, ask_transfer_vote(2, id(1, 1)));
    assert_eq!((f.take(), f.term()), (vec![(3, vote(2, true))], 2));
    let mut f = hearing();
    f.step(3, ask_transfer_vote(2, id(0, 0)));
    assert_eq!((f.take(), f.term()), (vec![(3, vote(2, false))], 2));
}

/// 3.10: the former leader gives its vote like the others, and steps down by that.
#[test]
fn the_leader_votes_for_its_successor() {
    let mut s = leading();
    s.transfer(2);
    s.take();
    s.step(2, ask_transfer_vote(2, id(1, 1)));
    assert_eq!(s.take(), [(2, vote(2, true))]);
    assert_eq!((s.core.role(), s.term()), (Role::Follower, 2));
    assert_eq!(s.core.status().transfer, None);
    let aborted = |e: &Event| matches!(e, Event::TransferAborted { .. });
    assert!(!s.events.iter().any(aborted), "it came about");
}

/// 3.10: if it has not come about after about an election timeout the leader gives up and takes
/// requests again.
#[test]
fn a_transfer_that_takes_too_long_is_given_up() {
    let mut s = leading();
    s.transfer(2);
    for _ in 0..TIMEOUT {
        assert_eq!(propose(&mut s), Err(ProposeError::Transferring { to: NodeId(2) }));
        s.step(3, heartbeat_reply(1, 0));
        s.ticks(1);
    }
    assert!(s.events.contains(&Event::TransferAborted { to: NodeId(2) }));
    assert_eq!((s.core.role(), s.term()), (Role::Leader, 1));
    s.take();
    assert_eq!(propose(&mut s), Ok(()));
    s.turn();
    assert_eq!(appends(&s.take_for(3)), [(id(1, 1), 1, id(1, 2))]);
}

/// 3.10: only one that can be elected is a successor, and only a leader has one.
#[test]
fn only_another_voter_is_a_successor() {
    let mut s = Solo::leader_on(config(), Disk::with_conf(members(&[1, 2, 3], &[4])));
    s.take();
    for to in [0, 1, 4, 9].map(NodeId) {
        assert_eq!(s.core.handle_transfer(to), Err(TransferError::NotAVoter(to)));
    }
    assert_eq!((s.core.status().transfer, propose(&mut s)), (None, Ok(())));
    let mut f = Solo::new(&[1, 2, 3]);
    f.step(3, heartbeat(1, 0, 0));
    let refused = Err(TransferError::NotLeader { leader: Some(NodeId(3)) });
    assert_eq!(f.core.handle_transfer(NodeId(2)), refused);
}

/// A second wish replaces the first; the same wish again changes nothing, not even the time.
#[test]
fn a_second_transfer_replaces_the_first() {
    let mut s = leading();
    s.propose("a");
    s.transfer(2);
    s.ticks(TIMEOUT / 2);
    s.step(3, heartbeat_reply(1, 0));
    s.transfer(2);
    s.step(3, accepted(1, 2));
    s.take();
    s.transfer(3);
    assert!(s.events.contains(&Event::TransferAborted { to: NodeId(2) }));
    assert_eq!(s.take(), [(3, timeout_now(1))]);
    s.step(2, accepted(1, 2));
    assert!(!s.take_for(2).contains(&timeout_now(1)), "the first is forgotten");

    let mut s = leading();
    s.transfer(2);
    s.ticks(TIMEOUT - 1);
    s.step(3, heartbeat_reply(1, 0));
    s.transfer(2);
    s.ticks(1);
    assert_eq!(s.core.status().transfer, None, "asking again does not prolong it");
}

/// A successor that has campaigned in vain does not lead by what it was asked before: the request
/// is of a term that is over.
#[test]
fn a_request_of_a_former_term_asks_nobody() {
    let mut f = Solo::on(config(), disk_with(&[1, 2, 3], &[1], 1));
    f.step(3, append(2, id(1, 1), 1, &[(2, 2)]));
    f.take();
    f.step(2, timeout_now(1));
    assert_eq!((f.take(), f.term(), f.core.leader()), (vec![], 2, Some(NodeId(3))));
}

/// 3.10: a new leader starts as any other: what the former one was about is no concern of its.
#[test]
fn a_leader_that_comes_back_hands_nothing_over() {
    let mut s = leading();
    s.transfer(2);
    s.step(2, ask_transfer_vote(2, id(1, 1)));
    s.step(2, append(2, id(1, 1), 1, &[(2, 2)]));
    s.elect();
    assert_eq!((s.term(), s.core.status().transfer, propose(&mut s)), (3, None, Ok(())));
    assert_eq!(s.core.commit(), Index(1));
}
