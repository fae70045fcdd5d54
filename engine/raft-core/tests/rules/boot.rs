//! Rule 11: what a replica makes of its disk.

use raft_core::{
    Applied, BootError, Config, Event, Fault, Index, NodeId, RaftCore, StorageError, Term,
};

use crate::common::disk::Disk;
use crate::common::id;
use crate::common::solo::{Solo, accepted, config, disk_with};

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

/// A replica that is no voter waits for ever.
#[test]
fn who_is_no_voter_does_not_campaign() {
    let mut s = Solo::on(config(), Disk::new(&[2, 3, 4]));
    assert_eq!(s.core.next_deadline(), None);
    s.core.handle_campaign();
    s.ticks(100);
    assert_eq!((s.take(), s.term()), (vec![], 0));
}
