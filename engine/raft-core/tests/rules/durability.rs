//! Rules 1, 3, 7 and 12: what counts as durable, and what is worth a flush.

use raft_core::{Event, HardState, Index, NodeId, ReadId, ReadOutcome, Role, Term};

use crate::common::disk::Disk;
use crate::common::id;
use crate::common::solo::{Solo, accepted, append, config, heartbeat, vote};

/// Rule 1: a single voter counts its vote only when it is durable, and serves nothing before its
/// opening entry is.
#[test]
fn a_single_voter_waits_for_its_disk() {
    let mut s = Solo::new(&[1]);
    s.auto_sync = false;
    s.core.handle_campaign();
    s.turn();
    assert_eq!(s.core.role(), Role::Candidate);
    s.sync();
    s.turn();
    assert_eq!(s.core.role(), Role::Leader);
    s.core.handle_read(ReadId(1)).unwrap();
    s.turn();
    assert_eq!((s.core.commit(), s.reads.len()), (Index(0), 0));
    s.sync();
    s.turn();
    assert_eq!(s.core.commit(), Index(1));
    assert_eq!(s.reads, [(1, ReadOutcome::Ready { index: Index(1) })]);
    assert!(s.events.contains(&Event::Established { term: Term(1) }));
    assert_eq!(s.core.next_deadline(), None, "nothing left to wait for");
}

/// Rule 1: a candidate asks nobody before its own vote is durable; a crash in between asks nobody
/// either.
#[test]
fn a_candidate_asks_when_its_vote_is_durable() {
    let mut s = Solo::new(&[1, 2, 3]);
    s.auto_sync = false;
    s.core.handle_campaign();
    s.turn();
    assert_eq!(s.take(), []);
    let mut s = s.restart();
    assert_eq!(s.term(), 0, "the term is forgotten with the vote");
    s.core.handle_campaign();
    s.turn();
    assert_eq!(s.take().len(), 2);
    assert_eq!(s.disk.platter.borrow().hard.vote, Some(NodeId(1)));
}

/// A vote that arrives while another election of ours waits for the disk elects nobody.
#[test]
fn a_vote_of_an_abandoned_term_does_not_count() {
    let mut s = Solo::new(&[1, 2, 3]);
    s.auto_sync = false;
    s.core.handle_campaign();
    s.turn();
    s.core.handle_campaign();
    s.turn();
    assert_eq!(s.term(), 2);
    s.step(2, vote(1, true));
    s.sync_one();
    s.turn();
    assert_eq!(s.take(), [], "the question of term 1 was never asked");
    assert_eq!(s.core.role(), Role::Candidate);
}

/// Rule 3: append X, truncate it by Y, append X again: the first write of X vouches for nothing.
#[test]
fn a_write_vouches_only_for_what_was_not_replaced_since() {
    let mut f = Solo::new(&[1, 2, 3, 4]);
    f.auto_sync = false;
    f.step(2, append(1, id(0, 0), 0, &[(1, 1)]));
    f.step(3, append(2, id(0, 0), 0, &[(2, 1)]));
    f.step(4, append(3, id(0, 0), 0, &[(1, 1)]));
    assert_eq!(f.disk.writes(), 3);
    f.sync_one();
    f.turn();
    assert_eq!((f.take(), f.core.status().durable), (vec![], Index(0)));
    f.sync_one();
    f.turn();
    assert_eq!((f.take(), f.core.status().durable), (vec![], Index(0)));
    f.sync_one();
    f.turn();
    assert_eq!((f.take(), f.core.status().durable), (vec![(4, accepted(3, 1))], Index(1)));
}

/// Rule 7: a quorum of others commits without the leader's disk; the leader applies only what is
/// durable here.
#[test]
fn others_commit_without_the_leaders_disk() {
    let mut s = Solo::leader(&[1, 2, 3]);
    s.step(2, accepted(1, 1));
    s.auto_sync = false;
    s.propose("a");
    s.step(2, accepted(1, 2));
    s.step(3, accepted(1, 2));
    assert_eq!((s.core.commit(), s.applied.len()), (Index(2), 1));
    s.sync();
    s.turn();
    assert_eq!(s.applied.len(), 2);
}

/// Rule 7, at a follower: committed and not yet durable here is not applied here.
#[test]
fn a_follower_applies_only_what_is_durable() {
    let mut f = Solo::new(&[1, 2, 3]);
    f.auto_sync = false;
    f.step(2, append(1, id(0, 0), 1, &[(1, 1)]));
    assert_eq!((f.core.commit(), f.applied.len()), (Index(1), 0));
    f.sync();
    f.turn();
    assert_eq!(f.applied.len(), 1);
}

/// Rule 12: the commit index rides along with other reasons and never asks for a flush of its own.
#[test]
fn the_commit_index_alone_is_not_written() {
    let mut f = Solo::new(&[1, 2, 3]);
    f.step(2, append(1, id(0, 0), 0, &[(1, 1), (1, 2)]));
    f.hard.clear();
    f.step(2, heartbeat(1, 2, 0));
    f.ticks(3);
    assert_eq!((f.core.commit(), f.hard.len(), f.disk.writes()), (Index(2), 0, 0));
    f.step(2, append(1, id(1, 2), 2, &[(1, 3)]));
    assert_eq!(f.hard, [HardState { term: Term(1), vote: None, commit: Index(2) }]);
    f.step(2, append(1, id(1, 3), 2, &[(1, 4)]));
    assert_eq!(f.hard.len(), 1, "nothing but entries changed");
}

/// Nothing moved: there is no batch and nothing to poll.
#[test]
fn nothing_comes_of_nothing() {
    let mut s = Solo::on(config(), Disk::new(&[1, 2, 3]));
    assert!(!s.core.has_ready());
    s.step(2, heartbeat(1, 0, 0));
    s.take();
    s.step(2, heartbeat(1, 0, 0));
    assert_eq!(s.take().len(), 1);
    assert!(!s.core.has_ready());
    assert_eq!(s.hard.len(), 1);
}
