//! Chapter 5: compacted logs, and followers that are too far behind. What is in a snapshot is the
//! host's concern; the core knows what it stands for.

use raft_core::{ConfChange, ConfStep, Config, Index, Message, NodeId, Role, SnapshotStatus, Tick};

use crate::common::disk::Disk;
use crate::common::id;
use crate::common::solo::{
    Solo, TIMEOUT, accepted, append, append_entries, appends, ask_vote, conf_entry, config,
    disk_with, entry, heartbeat, heartbeat_reply, members, rejected, snapshot, stale, vote,
};

/// A leader of term 2 whose log begins after index 3; nothing is known of its followers.
fn compacted_leader(config: Config) -> Solo {
    let disk = disk_with(&[1, 2, 3], &[1; 5], 5);
    disk.compact(Index(3), Index(3));
    let mut s = Solo::leader_on(config, disk);
    s.take();
    s
}

/// The follower 2 has nothing: the leader finds out and sends the snapshot.
fn needs_snapshot(s: &mut Solo) {
    s.step(2, rejected(2, 5, id(0, 0), 0));
    s.step(2, rejected(2, 3, id(0, 0), 0));
}

fn snapshots(messages: &[Message]) -> usize {
    messages.iter().filter(|m| matches!(m, Message::InstallSnapshot(_))).count()
}

/// 5: each server compacts its own log on its own, followers too; the last index and term that a
/// snapshot replaces stay, for the check of the entry that follows.
#[test]
fn a_follower_compacts_on_its_own() {
    let mut f = Solo::on(config(), disk_with(&[1, 2, 3], &[1, 1, 2, 2], 4));
    f.turn();
    f.compact(4);
    assert_eq!(f.last(), id(2, 4));
    f.step(2, append(2, id(2, 4), 4, &[(2, 5)]));
    f.step(2, append(2, id(1, 2), 4, &[(2, 3), (2, 4), (2, 5)]));
    assert_eq!(f.take(), [(2, accepted(2, 5)), (2, accepted(2, 5))]);
    f.step(3, ask_vote(3, id(2, 4)));
    assert_eq!(f.take(), [], "it hears a leader");
    f.ticks(TIMEOUT);
    f.take();
    f.step(3, ask_vote(3, id(2, 4)));
    assert_eq!(f.take(), [(3, vote(3, false))], "and compares logs by their last entry");
}

/// 5: only what is applied is compacted.
#[test]
fn nothing_is_compacted_before_it_is_applied() {
    let mut f = Solo::on(config(), disk_with(&[1, 2, 3], &[1; 6], 3));
    f.turn();
    f.core.handle_compacted(Index(6));
    assert_eq!((f.core.term_at(Index(3)).is_some(), f.core.term_at(Index(2))), (true, None));
    assert_eq!(f.last(), id(1, 6));
}

/// 5.1: when the entry a follower needs next is gone, the leader sends its newest snapshot, with
/// the last entry that it includes and the configuration as of that entry, though a newer one is
/// in force.
#[test]
fn a_leader_sends_the_snapshot_with_its_configuration() {
    let mut s = compacted_leader(config());
    s.step(3, accepted(2, 6));
    s.change(&ConfChange::new([ConfStep::AddLearner(NodeId(4))]));
    s.take();
    needs_snapshot(&mut s);
    let sent = s.take_for(2);
    assert_eq!(sent.last(), Some(&snapshot(2, id(1, 3), &members(&[1, 2, 3], &[]))));
    assert_eq!(s.core.conf(), &members(&[1, 2, 3], &[4]));
}

/// 5.1: meanwhile everything else goes on: the others get entries, the follower heartbeats.
#[test]
fn a_snapshot_holds_up_nobody_else() {
    let mut s = compacted_leader(config());
    needs_snapshot(&mut s);
    s.step(3, accepted(2, 6));
    s.take();
    assert_eq!(s.propose("a"), id(2, 7));
    s.ticks(2);
    let sent = s.take();
    let to = |n| sent.iter().filter(move |(to, _)| *to == n).map(|(_, m)| m.clone());
    assert!(!appends(&to(3).collect::<Vec<_>>()).is_empty());
    assert_eq!(to(2).collect::<Vec<_>>(), [heartbeat(2, 0, 0)], "no entries until it answers");
    s.step(3, accepted(2, 7));
    assert_eq!(s.core.commit(), Index(7));
}

/// 5.1: the answer that the snapshot is there brings the follower back to entries.
#[test]
fn after_the_snapshot_the_log_goes_on() {
    let mut s = compacted_leader(config());
    needs_snapshot(&mut s);
    s.take();
    s.step(2, accepted(2, 3));
    let sent = appends(&s.take_for(2));
    assert_eq!((sent[0].0, sent[sent.len() - 1].2), (id(1, 3), id(2, 6)));
}

/// 5.1: a snapshot that was lost is sent again: after a time, when the follower shows that it is
/// alive, or when the host says so; one that is still moving is waited for.
#[test]
fn a_lost_snapshot_is_sent_again() {
    let limits = Config { snapshot_timeout_ticks: 6, ..config() };
    let mut s = compacted_leader(limits);
    needs_snapshot(&mut s);
    s.take();
    for _ in 0..5 {
        s.ticks(1);
        s.step(2, heartbeat_reply(2, 0));
    }
    assert_eq!(snapshots(&s.take_for(2)), 0);
    s.core.handle_snapshot_status(NodeId(2), SnapshotStatus::Moving);
    s.ticks(5);
    s.step(2, heartbeat_reply(2, 0));
    assert_eq!(snapshots(&s.take_for(2)), 0, "it is still moving");
    s.ticks(1);
    assert_eq!(snapshots(&s.take_for(2)), 1);
    s.core.handle_snapshot_status(NodeId(2), SnapshotStatus::Failed);
    s.turn();
    assert_eq!(snapshots(&s.take_for(2)), 0, "not before it is heard again");
    s.step(2, heartbeat_reply(2, 0));
    assert_eq!(snapshots(&s.take_for(2)), 1);
}

/// 5.1: an answer that comes after the leader gave up counts: the follower needs no second one.
#[test]
fn a_late_success_counts() {
    let mut s = compacted_leader(config());
    needs_snapshot(&mut s);
    s.core.handle_snapshot_status(NodeId(2), SnapshotStatus::Failed);
    s.take();
    s.step(2, accepted(2, 3));
    let sent = s.take_for(2);
    assert_eq!((snapshots(&sent), appends(&sent)[0].0), (0, id(1, 3)));
}

/// Snapshots are large: nobody gets one who has not been heard for an election timeout.
#[test]
fn the_dead_get_no_snapshot() {
    let limits = Config { snapshot_timeout_ticks: 3, ..config() };
    let mut s = compacted_leader(limits);
    needs_snapshot(&mut s);
    s.take();
    for _ in 0..4 * TIMEOUT {
        s.ticks(1);
        s.step(3, heartbeat_reply(2, 0));
    }
    let sent = snapshots(&s.take_for(2));
    assert!(sent < 6, "{sent} for one that is silent");
    s.step(2, heartbeat_reply(2, 0));
    assert_eq!(snapshots(&s.take_for(2)), 1, "and one when it is back");
}

/// 5.1: a snapshot that would leave a gap before the log, or that the follower is beyond, helps
/// nobody and is not sent.
#[test]
fn a_snapshot_that_does_not_help_is_not_sent() {
    for index in [2, 0] {
        let mut s = compacted_leader(config());
        s.disk.platter.borrow_mut().snapshot.last = id(u64::from(index > 0), index);
        needs_snapshot(&mut s);
        assert_eq!(snapshots(&s.take_for(2)), 0, "{index}");
        s.disk.platter.borrow_mut().snapshot.last = id(1, 3);
        s.step(2, heartbeat_reply(2, 0));
        assert_eq!(snapshots(&s.take_for(2)), 1, "there is one now");
    }
}

/// 5.1: a snapshot that holds more than the follower has replaces its whole log. The state machine
/// starts from it, and so does the configuration.
#[test]
fn a_snapshot_replaces_the_log() {
    let mut f = Solo::on(config(), disk_with(&[1, 2, 3], &[1, 1, 1], 1));
    f.turn();
    let conf = members(&[1, 2, 4], &[]);
    f.step(2, snapshot(3, id(2, 9), &conf));
    assert_eq!(f.take(), [(2, accepted(3, 9))]);
    assert_eq!((f.last(), f.core.commit(), f.core.conf()), (id(2, 9), Index(9), &conf));
    assert_eq!(f.core.status().applied, Index(9));
    f.step(2, append(3, id(2, 9), 10, &[(3, 10)]));
    assert_eq!(f.take(), [(2, accepted(3, 10))]);
    assert_eq!(f.applied.iter().map(|e| e.id).collect::<Vec<_>>(), [id(1, 1), id(3, 10)]);
    let f = f.restart();
    assert_eq!((f.last(), f.core.conf(), f.core.conf_index()), (id(3, 10), &conf, Index(9)));
}

/// 5.1: a log that contradicts the snapshot goes, whatever is in it, even if it is the longer one.
#[test]
fn a_conflicting_longer_log_is_replaced() {
    let mut f = Solo::on(config(), disk_with(&[1, 2, 3], &[1; 8], 1));
    f.step(2, snapshot(3, id(2, 4), &members(&[1, 2, 3], &[])));
    assert_eq!(
        (f.last(), f.core.commit(), f.take()),
        (id(2, 4), Index(4), vec![(2, accepted(3, 4))])
    );
}

/// 5.1: if the snapshot is of a part of what the follower has, the entries after it are kept.
#[test]
fn what_follows_a_snapshot_of_the_own_past_is_kept() {
    let mut f = Solo::on(config(), disk_with(&[1, 2, 3], &[1, 1, 1, 2], 0));
    f.step(2, snapshot(3, id(1, 3), &members(&[1, 2, 3], &[])));
    assert_eq!((f.last(), f.core.commit(), f.applied.len()), (id(2, 4), Index(3), 3));
    assert_eq!(f.take(), [(2, accepted(3, 3))]);
}

/// 5.1: a server answers a snapshot of a term that is over with its own term.
#[test]
fn a_snapshot_of_a_former_term_is_refused() {
    let mut f = Solo::on(config(), disk_with(&[1, 2, 3], &[4], 0));
    f.step(2, snapshot(3, id(2, 9), &members(&[2], &[])));
    assert_eq!((f.take(), f.last()), (vec![(2, stale(4))], id(4, 1)));
}

/// 5.1: it is a sign of life of the leader like any other.
#[test]
fn a_snapshot_is_a_sign_of_life() {
    let mut f = Solo::new(&[1, 2, 3]);
    f.core.handle_campaign();
    f.turn();
    f.step(3, snapshot(1, id(1, 9), &members(&[1, 2, 3], &[])));
    assert_eq!((f.core.role(), f.core.leader()), (Role::Follower, Some(NodeId(3))));
    assert!(f.core.next_deadline() >= Some(Tick(TIMEOUT)));
}

/// 5.1: the configuration in the snapshot is in force like one in the log: a server that is not in
/// it does not campaign, one that is counts by it.
#[test]
fn the_configuration_of_a_snapshot_is_in_force() {
    let mut f = Solo::new(&[1, 2, 3]);
    f.step(2, snapshot(1, id(1, 9), &members(&[2, 3], &[])));
    assert_eq!(f.core.next_deadline(), None);
    let mut f = Solo::on(config(), Disk::with_conf(Default::default()));
    f.step(2, snapshot(1, id(1, 9), &members(&[1, 2], &[])));
    f.take();
    f.ticks(2 * TIMEOUT);
    assert_eq!(f.take(), [(2, ask_vote(2, id(1, 9)))]);
}

/// 5 and 4.1: a configuration in the log after the snapshot is still the newest, also when the log
/// before it goes; the snapshot itself carries the one as of its last entry.
#[test]
fn compacting_keeps_the_configuration_in_force() {
    let mut f = Solo::new(&[1, 2, 3]);
    let (second, third) = (members(&[1, 2, 3, 4], &[]), members(&[1, 2, 3], &[4]));
    let entries = vec![
        entry(1, 1),
        conf_entry(1, 2, &second),
        entry(1, 3),
        conf_entry(1, 4, &third),
        entry(1, 5),
    ];
    f.step(2, append_entries(1, id(0, 0), 3, entries));
    assert_eq!(f.core.conf_at(Index(1)), Some(&members(&[1, 2, 3], &[])));
    assert_eq!(f.core.conf_at(Index(3)), Some(&second));
    f.compact(3);
    assert_eq!(f.disk.platter.borrow().snapshot.conf, second);
    assert_eq!((f.core.conf(), f.core.conf_at(Index(3))), (&third, Some(&second)));
    assert_eq!(f.core.conf_at(Index(1)), None, "of what was compacted no snapshot is made");
    f.step(3, append(2, id(1, 3), 3, &[(2, 4)]));
    assert_eq!(f.core.conf(), &second, "and falls back to it");
}
