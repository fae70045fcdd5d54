//! Rule 11: what a replica makes of its disk.

use raft_core::{
    Applied, BootError, Bytes, ConfState, Config, Event, Fault, Index, NodeId, RaftCore, Role,
    SnapshotMeta, StorageError, Term,
};

use crate::common::disk::Disk;
use crate::common::id;
use crate::common::solo::{
    Solo, accepted, append, append_entries, conf_entry, config, disk_with, entry, members,
};

fn boot(disk: &Disk) -> Result<RaftCore<Disk>, BootError> {
    RaftCore::new(config(), disk.clone())
}

#[test]
fn a_commit_index_beyond_the_log_does_not_boot() {
    let error = boot(&disk_with(&[1, 2, 3], &[1, 1], 3)).unwrap_err();
    assert_eq!(error, BootError::CommitBeyondLog { commit: Index(3), last: Index(2) });
}

#[test]
fn an_entry_of_a_term_to_come_does_not_boot() {
    let disk = disk_with(&[1, 2, 3], &[1, 4], 0);
    disk.platter.borrow_mut().hard.term = Term(3);
    let error = boot(&disk).unwrap_err();
    assert_eq!(error, BootError::TermBehindLog { term: Term(3), last: Term(4) });
}

#[test]
fn a_log_whose_terms_fall_does_not_boot() {
    let disk = disk_with(&[1, 2, 3], &[1, 3, 3, 2], 0);
    disk.platter.borrow_mut().hard.term = Term(9);
    assert_eq!(boot(&disk).unwrap_err(), BootError::Storage(StorageError::Corrupt));
}

#[test]
fn bad_settings_do_not_boot() {
    let bad = [
        Config { id: NodeId(0), ..config() },
        Config { heartbeat_interval_ticks: 0, ..config() },
        Config { election_timeout_ticks: 4, ..config() },
        Config { inflight_messages_max: 0, ..config() },
    ];
    for config in bad {
        let error = RaftCore::new(config, Disk::new(&[1])).unwrap_err();
        assert!(matches!(error, BootError::Config(_)));
    }
}

/// Settings of which no sum can be built are no settings.
#[test]
fn settings_beyond_reason_do_not_boot() {
    let bad = [
        Config { election_timeout_ticks: u64::MAX, ..config() },
        Config { heartbeat_interval_ticks: u64::MAX / 2 + 3, ..config() },
    ];
    for config in bad {
        let error = RaftCore::new(config, Disk::new(&[1])).unwrap_err();
        assert!(matches!(error, BootError::Config(_)));
    }
}

/// A term after which there is none is damage: in it a second vote would be possible.
#[test]
fn a_term_without_a_next_one_does_not_boot() {
    let disk = disk_with(&[1, 2, 3], &[1, 1], 0);
    disk.platter.borrow_mut().hard.term = Term(u64::MAX);
    assert!(boot(&disk).is_err());
}

/// The durable commit index may lag; what is known to be committed is applied again from the start.
#[test]
fn a_restart_replays_what_is_committed() {
    let mut s = Solo::on(config(), disk_with(&[1, 2, 3], &[1, 1, 2, 2], 3));
    s.turn();
    let applied: Vec<_> = s.applied.iter().map(|e| e.id).collect();
    assert_eq!(applied, [id(1, 1), id(1, 2), id(2, 3)]);
}

/// A state machine that is itself durable says how far it is, which proves that much committed.
#[test]
fn a_durable_state_machine_is_not_fed_again() {
    let mut s = Solo::on(config(), disk_with(&[1, 2, 3], &[1, 1, 2, 2], 1));
    s.core.handle_applied(Applied(Index(3)));
    s.turn();
    assert_eq!((s.applied.len(), s.core.commit()), (0, Index(3)));
    s.elect();
    s.step(2, accepted(3, 5));
    assert_eq!(s.applied[0].id, id(2, 4));
}

#[test]
fn a_state_machine_ahead_of_the_log_stops_the_replica() {
    let mut s = Solo::on(config(), disk_with(&[1, 2, 3], &[1, 1], 0));
    s.core.handle_applied(Applied(Index(3)));
    s.turn();
    let fault = Fault::CommitBeyondLog { commit: Index(3), last: Index(2) };
    assert_eq!(s.events, [Event::Fault(fault)]);
}

/// Entries before the first index are in a snapshot: applied, and never asked for.
#[test]
fn a_compacted_log_boots_from_its_base() {
    let disk = disk_with(&[1, 2, 3], &[1, 1, 2, 2], 0);
    disk.compact(Index(2), Index(2));
    let mut s = Solo::on(config(), disk);
    s.turn();
    assert_eq!((s.core.commit(), s.core.status().applied), (Index(2), Index(2)));
    s.elect();
    s.step(2, accepted(3, 5));
    assert_eq!(s.applied[0].id, id(2, 3));
}

/// A snapshot may end within the log: what it holds is applied, what follows it is not.
#[test]
fn a_snapshot_within_the_log_boots() {
    let disk = disk_with(&[1, 2, 3], &[1, 1, 2, 2], 0);
    disk.compact(Index(3), Index(1));
    let mut s = Solo::on(config(), disk);
    s.turn();
    assert_eq!((s.core.status().applied, s.applied.len(), s.last()), (Index(3), 0, id(2, 4)));
    assert_eq!(s.core.term_at(Index(1)), Some(Term(1)), "the log before it is still there");
}

/// Rule 11: nor does a log without its beginning and without any snapshot.
#[test]
fn a_log_without_its_beginning_does_not_boot() {
    let disk = disk_with(&[1, 2, 3], &[1; 5], 5);
    {
        let mut platter = disk.platter.borrow_mut();
        platter.entries.drain(..3);
        platter.base = id(1, 3);
    }
    let gap = BootError::SnapshotGap { snapshot: Index(0), first: Index(4) };
    assert_eq!(boot(&disk).unwrap_err(), gap);
}

#[test]
fn a_gap_between_snapshot_and_log_does_not_boot() {
    let disk = disk_with(&[1, 2, 3], &[1, 1, 2, 2], 0);
    disk.compact(Index(3), Index(3));
    disk.platter.borrow_mut().snapshot.last = id(1, 2);
    let gap = BootError::SnapshotGap { snapshot: Index(2), first: Index(4) };
    assert_eq!(boot(&disk).unwrap_err(), gap);
}

/// A disk on which a crash came between a snapshot up to 3/9 and the log that goes with it: log,
/// term and vote are those of before.
fn torn() -> Disk {
    let disk = disk_with(&[1, 2, 3], &[1, 1, 2], 2);
    disk.platter.borrow_mut().hard.vote = Some(NodeId(2));
    let conf = members(&[1, 2, 4], &[]);
    disk.platter.borrow_mut().snapshot = SnapshotMeta { last: id(3, 9), conf };
    disk
}

/// Rules 10 and 11: the snapshot counts, the log gives way. Until the disk has that, the replica
/// does not campaign.
#[test]
fn a_torn_snapshot_is_finished() {
    let mut s = Solo::on(config(), torn());
    s.auto_sync = false;
    assert_eq!((s.last(), s.core.commit(), s.term()), (id(3, 9), Index(9), 3));
    assert_eq!(s.core.conf(), &members(&[1, 2, 4], &[]));
    assert_eq!(s.core.status().hard.vote, None, "no vote was given in the term it came with");
    s.core.handle_campaign();
    s.step(2, append(3, id(3, 9), 9, &[(3, 10)]));
    assert_eq!((s.core.role(), s.last(), s.disk.writes()), (Role::Follower, id(3, 9), 1));
    s.sync();
    s.turn();
    assert_eq!(s.disk.platter.borrow().base, id(3, 9));
    s.step(2, append(3, id(3, 9), 9, &[(3, 10)]));
    s.sync();
    s.turn();
    let mut s = s.restart();
    assert_eq!((s.last(), s.term(), s.core.commit()), (id(3, 10), 3, Index(9)));
    s.core.handle_campaign();
    s.turn();
    assert_eq!(s.core.role(), Role::Candidate);
}

/// Rules 10 and 11: as often as the power goes.
#[test]
fn a_torn_snapshot_survives_more_crashes() {
    let mut s = Solo::on(config(), torn());
    for torn in [true, false, true] {
        s.poll();
        s.disk.crash(0, torn);
        s = Solo::on(config(), s.disk.clone());
        assert_eq!((s.last(), s.term()), (id(3, 9), 3));
    }
    s.poll();
    s.disk.crash(1, false);
    let s = Solo::on(config(), s.disk);
    assert_eq!((s.last(), s.term(), s.disk.view().entries.len()), (id(3, 9), 3, 0));
}

/// A torn snapshot of an entry that the log once had, under another term.
#[test]
fn a_torn_snapshot_replaces_a_longer_log() {
    let disk = disk_with(&[1, 2, 3], &[1; 12], 2);
    disk.platter.borrow_mut().snapshot =
        SnapshotMeta { last: id(3, 9), conf: members(&[1, 2, 3], &[]) };
    let mut s = Solo::on(config(), disk);
    s.turn();
    assert_eq!((s.last(), s.disk.platter.borrow().last()), (id(3, 9), id(3, 9)));
}

/// A disk whose log holds configurations: {1, 2, 3} at first, {1, 2, 3, 4} from 2, committed, and
/// {2, 3, 4} from 4, not committed.
fn changed() -> Disk {
    let disk = disk_with(&[1, 2, 3], &[1; 5], 3);
    let confs = [(1, members(&[1, 2, 3, 4], &[])), (3, members(&[2, 3, 4], &[]))];
    for (place, conf) in confs {
        disk.platter.borrow_mut().entries[place] = conf_entry(1, place as u64 + 1, &conf);
    }
    disk
}

/// Thesis 4.1: the newest configuration in the log is in force after a restart as before, and when
/// its entry goes the one before is.
#[test]
fn the_configurations_of_the_log_survive() {
    let mut s = Solo::on(config(), changed());
    assert_eq!((s.core.conf(), s.core.conf_index()), (&members(&[2, 3, 4], &[]), Index(4)));
    assert_eq!(s.core.conf_at(Index(3)), Some(&members(&[1, 2, 3, 4], &[])));
    assert_eq!(s.core.conf_at(Index(1)), Some(&members(&[1, 2, 3], &[])));
    assert!(s.core.next_deadline().is_some(), "out by an entry that is not committed");
    s.step(2, append(2, id(1, 3), 3, &[(2, 4)]));
    assert_eq!((s.core.conf(), s.core.conf_index()), (&members(&[1, 2, 3, 4], &[]), Index(2)));
}

/// With a snapshot the log's configurations count from there on; what the group began with does not
/// count any more.
#[test]
fn the_configuration_of_the_snapshot_is_where_the_log_begins() {
    for base in [0, 1, 3] {
        let disk = changed();
        disk.compact(Index(3), Index(base));
        disk.platter.borrow_mut().conf = members(&[7, 8, 9], &[]);
        let mut s = Solo::on(config(), disk);
        assert_eq!(s.core.conf(), &members(&[2, 3, 4], &[]), "{base}");
        s.step(2, append(2, id(1, 3), 3, &[(2, 4)]));
        assert_eq!((s.core.conf(), s.core.conf_index()), (&members(&[1, 2, 3, 4], &[]), Index(3)));
    }
}

#[test]
fn damaged_configurations_do_not_boot() {
    let corrupt = || BootError::Storage(StorageError::Corrupt);
    for data in [&[][..], &[9; 40], &ConfState::default().encode()] {
        let disk = changed();
        disk.platter.borrow_mut().entries[1].data = Bytes::copy_from_slice(data);
        assert_eq!(boot(&disk).map(drop), Err(corrupt()));
    }
    let disk = Disk::with_conf(ConfState { learners: vec![NodeId(1)], ..members(&[1, 2], &[]) });
    assert_eq!(boot(&disk).map(drop), Err(corrupt()), "what the group began with");
    let disk = torn();
    disk.platter.borrow_mut().snapshot.conf.voters.reverse();
    assert_eq!(boot(&disk).map(drop), Err(corrupt()), "that of the snapshot");
}

/// A replica that is to join has no configuration. It follows whoever leads, and what it learned is
/// there after a restart.
#[test]
fn an_empty_configuration_joins() {
    let mut s = Solo::on(config(), Disk::with_conf(ConfState::default()));
    assert_eq!((s.core.next_deadline(), s.core.conf_at(Index(0))), (None, None));
    let entries = vec![entry(3, 1), conf_entry(3, 2, &members(&[2, 3], &[1]))];
    s.step(2, append_entries(3, id(0, 0), 1, entries));
    assert_eq!(s.core.conf_at(Index(1)), None, "no snapshot ends where nobody is a member");
    let s = s.restart();
    assert_eq!((s.core.conf(), s.term()), (&members(&[2, 3], &[1]), 3));
}

/// A replica that is no voter waits for ever.
#[test]
fn who_is_no_voter_does_not_campaign() {
    let mut s = Solo::on(config(), Disk::new(&[2, 3, 4]));
    assert_eq!(s.core.next_deadline(), None);
    s.core.handle_campaign();
    s.ticks(100);
    assert_eq!((s.take(), s.term()), (vec![], 0));
}
