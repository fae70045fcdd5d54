//! What must not go on for ever, and what must not begin too early: leases that rest on a follower,
//! snapshots that come too late, disks that hang, reads nobody answers.

use raft_core::{
    Applied, Bytes, Config, Event, Fault, Index, Message, ReadError, ReadId, Role, Tick,
};

use crate::common::disk::Disk;
use crate::common::id;
use crate::common::solo::{
    Solo, accepted, append, appends, config, heartbeat, heartbeat_reply, rejected, snapshot, stale,
};

fn leased() -> Config {
    Config { lease_ticks: 8, ..config() }
}

/// Rule 9: the follower on which a lease rests does not campaign either, though it has learned of a
/// later term and its own timer was set long before the last heartbeat.
#[test]
fn who_carries_a_lease_does_not_campaign() {
    for beats in 1..19 {
        let mut s = Solo::on(leased(), Disk::new(&[1, 2, 3]));
        for _ in 0..beats {
            s.ticks(1);
            s.step(2, heartbeat(1, 0, 1));
        }
        s.step(3, stale(5));
        s.ticks(9);
        assert_eq!((s.core.role(), s.term()), (Role::Follower, 5), "after {beats} heartbeats");
        s.ticks(30);
        assert_eq!(s.core.role(), Role::Candidate, "it does some day");
    }
}

/// An election that the host has set is held, unless the leader is heard in between.
#[test]
fn an_election_that_was_set_is_held() {
    let followed = || {
        let mut s = Solo::new(&[1, 2, 3]);
        s.step(2, heartbeat(1, 0, 0));
        s.core.handle_campaign_at(Tick(3));
        s.ticks(2);
        assert_eq!(s.core.role(), Role::Follower);
        s
    };
    let mut s = followed();
    s.ticks(1);
    assert_eq!(s.core.role(), Role::Candidate);
    let mut s = followed();
    s.step(2, heartbeat(1, 0, 0));
    s.ticks(9);
    assert_eq!(s.core.role(), Role::Follower, "the leader was heard");
    s.core.handle_campaign_at(Tick(1));
    assert_eq!(s.core.next_deadline(), Some(Tick(12)), "a time that is past is the next tick");
}

/// A candidate whose disk hangs does not go from term to term.
#[test]
fn no_term_is_begun_before_the_last_is_durable() {
    let mut s = Solo::new(&[1, 2, 3]);
    s.auto_sync = false;
    s.ticks(500);
    assert_eq!((s.core.role(), s.term(), s.disk.writes()), (Role::Candidate, 1, 1));
}

/// A snapshot that arrived when the log began after it already is followed by the next one.
#[test]
fn a_snapshot_that_came_too_late_is_followed_by_the_next() {
    let mut s = Solo::leader(&[1, 2, 3]);
    for data in ["a", "b", "c", "d"] {
        s.propose(data);
    }
    s.step(2, accepted(1, 5));
    s.compact(3);
    s.step(3, rejected(1, 0, id(0, 0), 0));
    s.step(3, heartbeat_reply(1, 0));
    assert!(s.take_for(3).contains(&snapshot(1, id(1, 3), s.core.conf())));
    s.compact(5);
    s.step(3, accepted(1, 3));
    assert_eq!(s.take_for(3), [snapshot(1, id(1, 5), s.core.conf())]);
}

/// Reads send heartbeats at any rate, and a slow disk is no loss: a probe is repeated once per
/// heartbeat interval.
#[test]
fn read_rounds_do_not_repeat_the_probe() {
    let mut s = Solo::leader(&[1, 2, 3]);
    s.step(2, accepted(1, 1));
    s.propose("a");
    s.take();
    for round in 1..=50 {
        s.read(round);
        s.step(2, heartbeat_reply(1, round));
        s.step(3, heartbeat_reply(1, round));
    }
    assert_eq!(appends(&s.take_for(3)).len(), 1);
    s.ticks(2);
    s.take();
    s.step(3, heartbeat_reply(1, 50));
    assert_eq!(appends(&s.take_for(3)).len(), 1, "the next interval");
}

/// A leader whose disk is silent makes room, and asks the one that knows most to lead.
#[test]
fn a_leader_with_a_hung_disk_makes_room() {
    let mut s = Solo::leader(&[1, 2, 3]);
    s.step(2, accepted(1, 1));
    s.auto_sync = false;
    s.propose("a");
    s.step(2, accepted(1, 2));
    s.take();
    let mut ticks = 0;
    while s.core.role() == Role::Leader && ticks < 100 {
        ticks += 1;
        s.ticks(1);
        s.step(2, heartbeat_reply(1, 0));
    }
    assert_eq!(s.core.role(), Role::Follower);
    assert!((20..30).contains(&ticks), "two election timeouts, looked at once in each: {ticks}");
    let asked = s.take().into_iter().any(|(to, m)| to == 2 && matches!(m, Message::TimeoutNow(_)));
    assert!(asked, "who knows most is to lead");
}

/// While no quorum answers callers go on asking; not for ever.
#[test]
fn reads_that_wait_are_limited() {
    let mut s = Solo::leader(&[1, 2, 3]);
    let refused = (0..100_000).find(|n| s.core.handle_read(ReadId(*n)) == Err(ReadError::Busy));
    assert_eq!(refused, Some(1 << 16));
}

/// What was never handed out cannot be applied: the state machine is another's.
#[test]
fn a_claim_after_the_start_stops_the_replica() {
    let mut s = Solo::leader(&[1, 2, 3]);
    s.propose("a");
    s.core.handle_applied(Applied(Index(2)));
    s.turn();
    let fault = Fault::AppliedUnasked { applied: Index(2), delivered: Index(0) };
    assert!(s.events.contains(&Event::Fault(fault)));
    assert_eq!(s.core.commit(), Index(0));
}

/// Of what was proposed to a replica that stops nobody will hear: that is said.
#[test]
fn who_stops_leaves_nobody_waiting() {
    let mut s = Solo::leader(&[1, 2, 3]);
    let lost = s.propose("a");
    s.core.handle_proposal(Bytes::from_static(b"b")).unwrap();
    s.step(2, append(1, id(0, 0), 0, &[]));
    let open: Vec<_> = s.events.iter().filter(|e| matches!(e, Event::Uncertain { .. })).collect();
    assert_eq!(open.len(), 2, "{lost} and the next one");
}
