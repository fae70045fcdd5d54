//! Chapter 6.4.1: reads under a lease. Election timeout 10 ticks, heartbeats every 2, lease 8.

use raft_core::{
    ConfChange, ConfStep, Config, Index, NodeId, RaftCore, ReadOutcome, Role, Tick, Transition,
};

use crate::common::disk::Disk;
use crate::common::id;
use crate::common::solo::{
    Solo, TIMEOUT, accepted, ask_pre_vote, ask_transfer_vote, ask_vote, config, disk_with,
    heartbeat, heartbeat_reply, pre_vote, stale, timeout_now, vote,
};

const LEASE: u64 = 8;

fn leased() -> Config {
    Config { lease_ticks: LEASE, ..config() }
}

/// A replica that has been up for so long that it owes nobody to keep still.
fn awake(disk: Disk) -> Solo {
    let mut s = Solo::on(leased(), disk);
    s.core.handle_campaign_at(Tick(2 * TIMEOUT));
    s.ticks(TIMEOUT);
    assert_eq!((s.core.role(), s.core.leader()), (Role::Follower, None));
    s
}

/// A leader of three that is established.
fn leading() -> Solo {
    let mut s = awake(Disk::new(&[1, 2, 3]));
    s.elect();
    s.step(2, accepted(1, 1));
    s.step(3, accepted(1, 1));
    s.take();
    s
}

/// Lets a heartbeat leave; returns when, and the number of its round.
fn heartbeat_leaves(s: &mut Solo) -> (u64, u64) {
    for _ in 0..TIMEOUT {
        s.ticks(1);
        for message in s.take_for(2) {
            if let raft_core::Message::Heartbeat(m) = message {
                return (s.core.now().0, m.round);
            }
        }
    }
    panic!("a leader sends heartbeats");
}

/// A lease from the heartbeat that left at the returned time.
fn with_lease() -> (Solo, u64) {
    let mut s = leading();
    let (at, round) = heartbeat_leaves(&mut s);
    s.step(2, heartbeat_reply(1, round));
    assert_eq!(s.core.lease_until(), Some(Tick(at + LEASE)));
    (s, at)
}

fn ready(index: u64) -> ReadOutcome {
    ReadOutcome::Ready { index: Index(index) }
}

/// 6.4.1: once a round of heartbeats is acknowledged by a majority, the leader may assume for about
/// an election timeout that nobody else leads, and answers reads without asking.
#[test]
fn a_lease_answers_reads_at_once() {
    let (mut s, _) = with_lease();
    s.take();
    s.read(1);
    assert_eq!((s.take(), &s.reads[..]), (vec![], &[(1, ready(1))][..]));
}

/// 6.4.1: the lease begins when the heartbeat was sent, not when the answer came: the follower may
/// have stopped keeping still that long after it.
#[test]
fn a_lease_counts_from_the_sending() {
    let mut s = leading();
    let (at, round) = heartbeat_leaves(&mut s);
    s.ticks(5);
    s.step(3, heartbeat_reply(1, round));
    assert_eq!(s.core.lease_until(), Some(Tick(at + LEASE)));
    s.ticks(LEASE - 5);
    assert_eq!(s.core.lease_until(), None, "over at that tick");
}

/// 6.4.1: the answer to an older round does not prolong what a newer one gave, and one that comes
/// too late gives nothing.
#[test]
fn late_answers_give_what_is_left() {
    let mut s = leading();
    let (_, first) = heartbeat_leaves(&mut s);
    let (second_at, second) = heartbeat_leaves(&mut s);
    s.step(2, heartbeat_reply(1, second));
    s.step(3, heartbeat_reply(1, first));
    s.step(3, heartbeat_reply(1, second));
    assert_eq!(s.core.lease_until(), Some(Tick(second_at + LEASE)));

    let mut s = leading();
    let (at, round) = heartbeat_leaves(&mut s);
    s.core.handle_time(Tick(at + LEASE));
    s.step(2, heartbeat_reply(1, round));
    assert_eq!(s.core.lease_until(), None);
}

/// 6.4.1: when it is over the leader asks as without one (6.4).
#[test]
fn after_the_lease_a_read_asks_again() {
    let (mut s, at) = with_lease();
    s.core.handle_time(Tick(at + LEASE));
    s.turn();
    s.take();
    s.read(1);
    assert_eq!(s.reads, []);
    let asked = s.take_for(3);
    let [raft_core::Message::Heartbeat(m)] = &asked[..] else { panic!("{asked:?}") };
    s.step(3, heartbeat_reply(1, m.round));
    assert_eq!(s.reads, [(1, ready(1))]);
}

/// 6.4.1: a leader that slept is told the time first, and then has no lease.
#[test]
fn a_pause_ends_the_lease() {
    let (mut s, at) = with_lease();
    s.core.handle_time(Tick(at + 1000));
    s.read_refused_or_open();
    assert_eq!((s.core.lease_until(), s.core.role()), (None, Role::Follower));
}

impl Solo {
    /// Asks for a read that must not be answered now.
    fn read_refused_or_open(&mut self) {
        let _ = self.core.handle_read(raft_core::ReadId(99));
        self.turn();
        assert_eq!(self.reads, []);
    }
}

/// 6.4: no lease and no read before an entry of the own term is committed.
#[test]
fn no_lease_before_the_term_is_established() {
    let mut s = awake(Disk::new(&[1, 2, 3]));
    s.elect();
    let (_, round) = heartbeat_leaves(&mut s);
    s.step(2, heartbeat_reply(1, round));
    assert_eq!(s.core.lease_until(), None);
    s.read_refused_or_open();
    s.step(2, accepted(1, 1));
    assert!(s.core.lease_until().is_some());
    s.turn();
    assert_eq!(s.reads, [(99, ready(1))]);
}

/// 6.4.1: leases trust clocks, so whoever does not ask for them has none; and a lease must be
/// shorter than the time for which the others keep still.
#[test]
fn leases_are_off_unless_asked_for_and_shorter_than_the_timeout() {
    let mut s = Solo::leader(&[1, 2, 3]);
    s.step(2, accepted(1, 1));
    s.ticks(2);
    s.step(2, heartbeat_reply(1, 0));
    assert_eq!(s.core.lease_until(), None);
    let bad = [
        Config { lease_ticks: TIMEOUT, ..config() },
        Config { lease_ticks: 5, check_quorum: false, ..config() },
    ];
    for config in bad {
        assert!(RaftCore::new(config, Disk::new(&[1, 2, 3])).is_err());
    }
}

/// 6.4.1 and 4.2.3: for an election timeout after a heartbeat a follower votes for nobody, neither
/// when it learns of a new term nor on its own account: the lease rests on that.
#[test]
fn a_follower_keeps_still() {
    let mut f = awake(disk_with(&[1, 2, 3], &[1], 1));
    f.step(2, heartbeat(1, 1, 0));
    f.take();
    f.step(3, ask_vote(2, id(1, 1)));
    f.step(3, ask_pre_vote(2, id(1, 1)));
    assert_eq!((f.take(), f.term()), (vec![(3, pre_vote(1, 2, false))], 1));
    // The term comes by another way; the follower knows no leader of it, and is still bound.
    f.step(3, stale(5));
    f.step(3, ask_vote(5, id(1, 1)));
    assert_eq!(f.take(), [(3, vote(5, false))]);
    f.core.handle_campaign();
    f.turn();
    f.core.handle_campaign_at(f.core.now());
    f.ticks(TIMEOUT - 1);
    assert_eq!((f.core.role(), f.term()), (Role::Follower, 5));
    f.step(3, ask_vote(5, id(1, 1)));
    assert_eq!(f.take(), [(3, vote(5, false))], "to the last tick");
    f.ticks(1);
    f.take();
    f.step(3, ask_vote(9, id(1, 1)));
    assert_eq!(f.take(), [(3, vote(9, true))]);
}

/// 6.4.1: one that was just started does not know whom it heard before it died, and keeps still for
/// as long as it may have promised to.
#[test]
fn a_restarted_follower_keeps_still() {
    let mut f = Solo::on(leased(), disk_with(&[1, 2, 3], &[1], 1));
    f.step(3, ask_vote(2, id(1, 1)));
    f.step(3, ask_pre_vote(2, id(1, 1)));
    f.core.handle_campaign();
    f.turn();
    assert_eq!((f.take(), f.term()), (vec![(3, pre_vote(1, 2, false))], 1));
    f.core.handle_campaign_at(Tick(2 * TIMEOUT));
    f.ticks(TIMEOUT);
    f.step(3, ask_vote(2, id(1, 1)));
    assert_eq!(f.take(), [(3, vote(2, true))]);
}

/// 6.4.1: one that leads keeps still as well: its own voice is one of the majority.
#[test]
fn a_leader_with_a_lease_helps_nobody() {
    let (mut s, _) = with_lease();
    s.take();
    s.step(3, ask_vote(7, id(9, 9)));
    assert_eq!((s.take(), s.term(), s.core.role()), (vec![], 1, Role::Leader));
}

/// 6.4.1: who is deposed has no lease.
#[test]
fn the_lease_ends_with_the_leadership() {
    let (mut s, _) = with_lease();
    s.step(3, stale(5));
    assert_eq!(s.core.lease_until(), None);
    assert!(s.core.handle_read(raft_core::ReadId(1)).is_err());
}

/// 6.4.1 with 3.10: a successor is elected without waiting, so the lease ends before it is asked,
/// and does not come back in this term: the request may be late. Reads ask instead.
#[test]
fn handing_over_ends_the_lease_for_good() {
    let (mut s, _) = with_lease();
    s.core.handle_transfer(NodeId(2)).unwrap();
    assert_eq!(s.core.lease_until(), None, "before the request has left");
    s.turn();
    assert!(s.take_for(2).contains(&timeout_now(1)));
    for _ in 0..TIMEOUT {
        let (_, round) = heartbeat_leaves(&mut s);
        s.step(3, heartbeat_reply(1, round));
        assert_eq!(s.core.lease_until(), None);
    }
    assert_eq!(s.core.status().transfer, None);
    let (_, round) = heartbeat_leaves(&mut s);
    s.step(2, heartbeat_reply(1, round));
    s.step(3, heartbeat_reply(1, round));
    assert_eq!(s.core.lease_until(), None, "given up, and still without");
    s.read(1);
    assert_eq!(s.reads, []);
    let (_, round) = heartbeat_leaves(&mut s);
    s.step(3, heartbeat_reply(1, round));
    assert_eq!(s.reads, [(1, ready(1))]);
}

/// 6.4.1 with 3.10: a successor whose log still lacks something is not asked yet: so far nobody can
/// be elected early.
#[test]
fn the_lease_lasts_until_the_successor_is_asked() {
    let (mut s, at) = with_lease();
    s.propose("a");
    s.transfer(2);
    assert_eq!(s.core.lease_until(), Some(Tick(at + LEASE)));
    s.step(2, accepted(1, 2));
    assert_eq!(s.core.lease_until(), None);
}

/// 6.4.1 with 3.10: a voter that keeps still votes for a successor that the leader itself has
/// asked, since that leader's lease is void.
#[test]
fn a_bound_voter_votes_for_the_successor() {
    let mut f = Solo::on(leased(), disk_with(&[1, 2, 3], &[1], 1));
    f.step(2, heartbeat(1, 1, 0));
    f.take();
    f.step(3, ask_transfer_vote(2, id(1, 1)));
    assert_eq!(f.take(), [(3, vote(2, true))]);
}

/// 6.4.1 with 4.3: between two configurations the lease rests on both majorities.
#[test]
fn a_joint_lease_needs_both_majorities() {
    let mut s = leading();
    let steps = [4, 5].map(|n| ConfStep::AddVoter(NodeId(n)));
    let steps = [&steps[..], &[2, 3].map(|n| ConfStep::Remove(NodeId(n)))].concat();
    s.change(&ConfChange::Steps { steps, transition: Transition::JointExplicit });
    s.step(2, accepted(1, 2));
    s.step(4, accepted(1, 2));
    let (at, round) = heartbeat_leaves(&mut s);
    s.step(2, heartbeat_reply(1, round));
    s.step(3, heartbeat_reply(1, round));
    assert_eq!(s.core.lease_until(), None, "the new ones may elect another");
    s.step(5, heartbeat_reply(1, round));
    assert_eq!(s.core.lease_until(), Some(Tick(at + LEASE)));
}
