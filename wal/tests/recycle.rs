//! Logs that are written for ever in bounded space.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::path::Path;

use common::{Driver, check, config, entry, fill, folder, hard, segments};
use raft_core::{Entry, GroupId, Index};
use wal::uring::DriverError;
use wal::{LogReader, OpenError, WalConfig};

const HOT: u64 = 77;

/// Nothing is read from memory: what a reader gets is what the files hold.
fn uncached(dir: &Path) -> WalConfig {
    WalConfig { tail_cache_bytes_max: 0, ..config(dir) }
}

fn open(dir: &Path) -> (Driver, wal::Recovered) {
    Driver::open(uncached(dir)).unwrap()
}

/// Appends `n` entries of 3000 bytes to the hot group and keeps the last ten.
fn churn(log: &mut Driver, n: u64) {
    for _ in 0..n {
        let next = log.wal().reader().last_index(GroupId(HOT)).next().0;
        log.wal_mut().append(GroupId(HOT), None, &[entry(HOT, 1, next, 3000)]).unwrap();
        let mark = log.wal_mut().purge(GroupId(HOT), Index(next.saturating_sub(10))).unwrap();
        log.run_until(mark).unwrap();
    }
}

/// Checks what the hot group holds after `n` appends.
fn check_hot(reader: &LogReader, n: u64) {
    let (id, first) = (GroupId(HOT), n - 9);
    assert_eq!((reader.first_index(id), reader.last_index(id)), (Index(first), Index(n)));
    let mut out = Vec::new();
    reader.entries(id, Index(first), Index(n + 1), usize::MAX, &mut out).unwrap();
    let expected: Vec<Entry> = (first..=n).map(|index| entry(HOT, 1, index, 3000)).collect();
    assert_eq!(out, expected);
}

#[test]
fn a_log_that_is_purged_takes_bounded_space_and_time() {
    let dir = folder();
    let (mut log, _) = open(dir.path());
    churn(&mut log, 3000);
    log.run_until_idle().unwrap();
    let stats = log.wal().stats();
    assert!(stats.bytes > 12_000_000 && stats.segments > 45, "{stats:?}");
    assert!(stats.freed > stats.segments - 6 && stats.checkpoints > 20, "{stats:?}");
    check_hot(&log.wal().reader(), 3000);
    assert!(segments(dir.path()).len() <= 8, "{:?}", segments(dir.path()));
    log.close().unwrap();
    let (mut log, found) = open(dir.path());
    check_hot(&log.wal().reader(), 3000);
    assert!(found.bytes < 4 << 18, "recovery reads what lives: {found:?}");
    // Openings that write little are no way to pile up segments either.
    for round in 1..20 {
        churn(&mut log, 1);
        log.close().unwrap();
        (log, _) = open(dir.path());
        check_hot(&log.wal().reader(), 3000 + round);
        assert!(segments(dir.path()).len() <= 16, "{:?}", segments(dir.path()));
    }
}

#[test]
fn a_reader_never_sees_a_byte_of_another_segment() {
    let dir = folder();
    let (mut log, _) = open(dir.path());
    let reader = log.wal().reader();
    // Every fifth segment or so holds an entry that stays. It does not stay there.
    for index in 1..30 {
        fill(&mut log, 5, index, index..index + 1, 2000);
        churn(&mut log, 250);
        check_hot(&reader, 250 * index);
        check(&reader, 5, &(1..=index).collect::<Vec<_>>(), 2000);
    }
    let stats = log.wal().stats();
    assert!(stats.freed > 100 && stats.relocated >= 25, "{stats:?}");
    assert!(segments(dir.path()).len() <= 9, "{:?}", segments(dir.path()));
    drop((log, reader));
    let (log, found) = open(dir.path());
    check(&log.wal().reader(), 5, &(1..30).collect::<Vec<_>>(), 2000);
    check_hot(&log.wal().reader(), 250 * 29);
    assert!(found.segments <= 6, "all that lives fits into one: {found:?}");
}

fn refusal(dir: &Path) -> OpenError {
    match Driver::open(uncached(dir)) {
        Err(DriverError::Open(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the log opened"),
    }
}

#[test]
fn a_needed_segment_is_missed_and_a_freed_one_is_not() {
    let dir = folder();
    let (mut log, _) = open(dir.path());
    fill(&mut log, 5, 1, 1..50, 3900);
    churn(&mut log, 600);
    log.close().unwrap();
    let (log, found) = open(dir.path());
    drop(log);
    let files = segments(dir.path());
    assert!(found.segments >= 2 && files[0].ends_with("0000000000000001.seg"));
    assert!(!files[1].ends_with("0000000000000002.seg"), "there is a gap: {files:?}");
    // What was freed comes back from a backup: it is no part of the log.
    let freed = dir.path().join("0000000000000002.seg");
    std::fs::copy(&files[0], &freed).unwrap();
    common::patch(&freed, 0, |block| block.fill(0), 4096);
    let (log, again) = open(dir.path());
    assert_eq!(again.groups, found.groups);
    drop(log);
    assert!(!freed.exists());
    common::flip(&files[0], 4096 + 64 + 40 + 7);
    assert!(matches!(refusal(dir.path()), OpenError::Corrupt(_)));
    common::flip(&files[0], 20);
    assert!(matches!(refusal(dir.path()), OpenError::DamagedHeader { .. }));
    std::fs::remove_file(&files[0]).unwrap();
    assert!(matches!(refusal(dir.path()), OpenError::MissingSegment { .. }));
}

#[test]
fn what_was_deleted_stays_away_when_nobody_remembers_the_deletion() {
    let dir = folder();
    let (mut log, _) = open(dir.path());
    let id = GroupId(5);
    // One segment keeps both an entry that stays and entries of the group that goes.
    fill(&mut log, 6, 1, 1..40, 3900);
    let mark = log.wal_mut().append(id, Some(hard(9, 3, 0)), &[]).unwrap();
    log.run_until(mark).unwrap();
    fill(&mut log, 5, 9, 1..20, 100);
    churn(&mut log, 100);
    let mark = log.wal_mut().delete(id).unwrap();
    log.run_until(mark).unwrap();
    churn(&mut log, 600);
    drop(log);
    let (mut log, found) = open(dir.path());
    assert!(!found.groups.contains_key(&id) && found.groups.contains_key(&GroupId(6)));
    fill(&mut log, 5, 2, 1..4, 50);
    churn(&mut log, 600);
    drop(log);
    let (log, found) = open(dir.path());
    check(&log.wal().reader(), 5, &[2, 2, 2], 50);
    assert_eq!(found.groups[&id].hard_state, hard(0, 0, 0));
    check(&log.wal().reader(), 6, &[1; 39], 3900);
}

#[test]
fn a_log_of_many_idle_groups_comes_to_rest() {
    let dir = folder();
    let small = WalConfig { segment_bytes: 64 << 10, ..config(dir.path()) };
    let (mut log, _) = Driver::open(small.clone()).unwrap();
    for round in 1..4 {
        let mut mark = None;
        for group in 1..3000 {
            let state = Some(hard(round, 1, 0));
            mark = Some(log.wal_mut().append(GroupId(group), state, &[]).unwrap());
        }
        log.run_until(mark.unwrap()).unwrap();
        log.run_until_idle().unwrap();
    }
    let stats = log.wal().stats();
    assert!(stats.checkpoints > 0 && stats.bytes < 8_000_000, "{stats:?}");
    churn(&mut log, 100);
    drop(log);
    let (_, found) = Driver::open(small).unwrap();
    assert!((1..3000).all(|group| found.groups[&GroupId(group)].hard_state == hard(3, 1, 0)));
}

/// A group that does nothing, beside one that never rests.
#[test]
fn an_idle_entry_pins_no_space_and_stays_readable() {
    let dir = folder();
    let (mut log, _) = open(dir.path());
    fill(&mut log, 5, 1, 1..2, 2000);
    for round in 1..40 {
        churn(&mut log, 100);
        check(&log.wal().reader(), 5, &[1], 2000);
        if round % 8 == 0 {
            drop(log);
            log = open(dir.path()).0;
        }
    }
    log.run_until_idle().unwrap();
    let stats = log.wal().stats();
    assert!(stats.relocated > 0 && stats.relocated < 300, "{stats:?}");
    assert!(segments(dir.path()).len() <= 8, "{:?}", segments(dir.path()));
    check(&log.wal().reader(), 5, &[1], 2000);
    drop(log);
    check(&open(dir.path()).0.wal().reader(), 5, &[1], 2000);
}
