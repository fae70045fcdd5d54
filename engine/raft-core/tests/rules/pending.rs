//! Rule 10: a snapshot on its way to the disk.

use raft_core::{ConfState, Event, Fault, Index, Message, Role, StorageError};

use crate::common::disk::Disk;
use crate::common::id;
use crate::common::solo::{
    Solo, TIMEOUT, accepted, append, ask_vote, config, disk_with, heartbeat, heartbeat_reply,
    members, snapshot, timeout_now, vote,
};

fn three() -> ConfState {
    members(&[1, 2, 3], &[])
}

/// A follower of 2 in term 3 that was handed a snapshot up to 2/9 and has not made it durable.
fn installing(disk: Disk) -> Solo {
    let mut f = Solo::on(config(), disk);
    f.turn();
    f.auto_sync = false;
    f.step(2, snapshot(3, id(2, 9), &three()));
    assert_eq!((f.take(), f.core.commit()), (vec![], Index(9)), "no answer yet");
    f
}

/// Rule 10: nothing is applied and nothing persisted past it; it is acknowledged when it is
/// durable.
#[test]
fn nothing_goes_past_a_pending_snapshot() {
    let mut f = installing(disk_with(&[1, 2, 3], &[1, 1, 1], 1));
    assert_eq!((f.disk.writes(), f.core.status().applied), (1, Index(1)));
    f.step(2, append(3, id(2, 9), 12, &[(3, 10), (3, 11)]));
    f.step(2, heartbeat(3, 0, 4));
    assert_eq!(f.last(), id(2, 9), "the entries are as good as lost");
    assert_eq!((f.disk.writes(), f.applied.len()), (1, 1));
    // Only the first batch made the term durable as well, so even that answer waits.
    f.sync();
    f.turn();
    assert_eq!(f.take(), [(2, accepted(3, 9)), (2, heartbeat_reply(3, 4))]);
    assert_eq!((f.core.status().applied, f.applied.len()), (Index(9), 1));
    f.auto_sync = true;
    f.step(2, append(3, id(2, 9), 12, &[(3, 10), (3, 11)]));
    assert_eq!(f.take(), [(2, accepted(3, 11))]);
    assert_eq!(f.applied.len(), 3);
}

/// Rule 10: its log is not there yet, so it leads nobody: it does not campaign, not even when asked
/// to. It does vote, by what it is about to have.
#[test]
fn who_is_installing_does_not_campaign() {
    let mut f = installing(disk_with(&[1, 2, 3], &[1, 1, 1], 1));
    f.step(2, timeout_now(3));
    f.core.handle_campaign();
    f.ticks(3 * TIMEOUT);
    assert_eq!((f.core.role(), f.term()), (Role::Follower, 3));
    f.step(3, ask_vote(4, id(2, 8)));
    f.step(3, ask_vote(4, id(2, 9)));
    f.sync();
    f.turn();
    f.sync();
    f.turn();
    assert_eq!(f.take(), [(3, vote(4, false)), (3, vote(4, true))]);
    f.ticks(2 * TIMEOUT);
    assert_eq!(f.core.role(), Role::Candidate, "then it campaigns like any other");
}

/// Rule 10: a second copy is not installed again, and answered like the first.
#[test]
fn a_repeated_snapshot_is_installed_once() {
    let mut f = installing(disk_with(&[1, 2, 3], &[1, 1, 1], 1));
    f.step(2, snapshot(3, id(2, 9), &three()));
    assert_eq!((f.take(), f.disk.writes()), (vec![], 1));
    f.sync();
    f.turn();
    let answers = f.take();
    assert!(!answers.is_empty() && answers.iter().all(|a| *a == (2, accepted(3, 9))));
    f.step(2, snapshot(3, id(2, 9), &three()));
    assert_eq!((f.take(), f.disk.writes()), (vec![(2, accepted(3, 9))], 0));
}

/// Rule 10: one at or below commit is answered with commit and changes nothing.
#[test]
fn a_snapshot_below_commit_is_answered_with_commit() {
    let mut f = Solo::on(config(), disk_with(&[1, 2, 3], &[1, 1, 2, 2], 3));
    f.turn();
    for last in [id(1, 2), id(2, 3)] {
        f.step(2, snapshot(3, last, &members(&[7, 8], &[])));
        assert_eq!(f.take(), [(2, accepted(3, 3))], "{last}");
    }
    assert_eq!((f.last(), f.core.conf()), (id(2, 4), &three()));
    f.step(2, snapshot(3, id(2, 2), &three()));
    assert_eq!(f.fault(), Some(Fault::CommittedConflict { index: Index(2) }), "two histories");
}

/// Rule 10: one that the log already holds only moves the commit index.
#[test]
fn a_snapshot_that_matches_the_log_fast_forwards() {
    let mut f = Solo::on(config(), disk_with(&[1, 2, 3], &[1, 1, 2, 2], 1));
    f.auto_sync = false;
    f.step(2, snapshot(2, id(2, 3), &three()));
    assert_eq!((f.take(), f.disk.writes()), (vec![(2, accepted(2, 3))], 0));
    assert_eq!((f.last(), f.core.commit(), f.applied.len()), (id(2, 4), Index(3), 3));
}

/// Rule 10: if what matches is not durable yet, the acknowledgement waits for it.
#[test]
fn a_fast_forward_is_acknowledged_when_durable() {
    let mut f = Solo::new(&[1, 2, 3]);
    f.auto_sync = false;
    f.step(2, append(1, id(0, 0), 0, &[(1, 1), (1, 2)]));
    f.step(2, snapshot(1, id(1, 2), &three()));
    assert_eq!((f.take(), f.core.commit(), f.applied.len()), (vec![], Index(2), 0));
    f.sync();
    f.turn();
    assert_eq!(f.take(), [(2, accepted(1, 2)), (2, accepted(1, 2))]);
    assert_eq!(f.applied.len(), 2);
}

/// Rule 10: one at a time. A newer one that comes meanwhile is as good as lost, and is taken when
/// it comes again.
#[test]
fn a_newer_snapshot_waits_for_the_pending_one() {
    let mut f = installing(disk_with(&[1, 2, 3], &[1, 1, 1], 1));
    f.step(2, snapshot(3, id(3, 20), &three()));
    assert_eq!((f.disk.writes(), f.core.commit()), (1, Index(9)));
    f.sync();
    f.turn();
    assert_eq!(f.take(), [(2, accepted(3, 9))]);
    assert_eq!(f.core.status().applied, Index(9));
    f.step(2, snapshot(3, id(3, 20), &three()));
    f.sync();
    f.turn();
    assert_eq!(f.take(), [(2, accepted(3, 20))]);
    assert_eq!(f.core.status().applied, Index(20));
}

/// Rule 10: a leader that comes meanwhile finds the same: what it sends past the snapshot is lost.
/// The snapshot itself, which is at commit here, is answered with commit when that is durable: what
/// the former leader was to hear nobody hears any more, and a leader without an answer waits as
/// long as a snapshot may take.
#[test]
fn a_new_leader_finds_the_snapshot_pending() {
    let mut f = installing(disk_with(&[1, 2, 3], &[1, 1, 1], 1));
    f.step(3, append(4, id(3, 10), 9, &[(4, 11)]));
    f.step(3, snapshot(4, id(2, 9), &three()));
    assert_eq!((f.take(), f.last()), (vec![], id(2, 9)));
    f.auto_sync = true;
    f.sync();
    f.turn();
    assert_eq!(f.take(), [(3, accepted(4, 9))], "nothing for the former leader");
}

/// Rules 3 and 10: what was on its way to the disk before the snapshot vouches for nothing beyond
/// what both logs share.
#[test]
fn writes_before_a_snapshot_do_not_make_it_durable() {
    let mut f = Solo::new(&[1, 2, 3]);
    f.auto_sync = false;
    f.step(2, append(1, id(0, 0), 1, &[(1, 1), (1, 2), (1, 3)]));
    f.step(3, snapshot(2, id(2, 3), &three()));
    f.sync_one();
    f.turn();
    assert_eq!(f.take(), []);
    assert!(f.core.status().durable <= Index(1), "no more than what both have");
    f.sync_one();
    f.turn();
    assert_eq!((f.take(), f.core.status().durable), (vec![(3, accepted(2, 3))], Index(3)));
}

/// Rule 10: a crash before the snapshot is durable leaves the log as it was.
#[test]
fn a_crash_while_pending_leaves_the_old_log() {
    let f = installing(disk_with(&[1, 2, 3], &[1, 1, 1], 1));
    let f = f.restart();
    assert_eq!((f.last(), f.core.commit(), f.term()), (id(1, 3), Index(1), 1));
}

/// Rule 10: what was handed out to be applied before it came may be reported after it.
#[test]
fn a_slow_state_machine_may_report_late() {
    let mut f = Solo::on(config(), disk_with(&[1, 2, 3], &[1, 1, 1], 3));
    f.auto_apply = false;
    f.turn();
    assert_eq!(f.applied.len(), 3);
    f.step(2, snapshot(3, id(2, 9), &three()));
    assert!(matches!(f.take()[..], [(2, Message::AppendEntriesReply(_))]));
    f.core.handle_applied(raft_core::Applied(Index(3)));
    f.turn();
    assert_eq!((f.core.status().applied, f.applied.len()), (Index(9), 3));
    assert!(!f.core.is_stopped());
}

/// Rule 10: what was being fetched before the snapshot came is not needed after it, and nobody has
/// to say that it is there.
#[test]
fn a_snapshot_ends_the_wait_for_older_entries() {
    let mut f = Solo::on(config(), disk_with(&[1, 2, 3], &[1, 1, 1], 3));
    f.disk.fault.set(Some(StorageError::Pending));
    f.turn();
    assert!(f.events.contains(&Event::Fetch { from: Index(1), to: Index(3) }));
    f.step(2, snapshot(3, id(2, 9), &three()));
    f.step(2, append(3, id(2, 9), 10, &[(3, 10)]));
    assert_eq!((f.core.status().applied, f.applied.len()), (Index(10), 1));
}
