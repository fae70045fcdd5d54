//! What is appended is there again: live, after a reopening, over many segments, under small
//! limits.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{BLOCK, Driver, check, config, entry, fill, flip, folder, hard, open, segments, used};
use raft_core::{Entry, EntryKind, GroupId, Index, LogId, StorageError, Term};
use wal::{AppendError, Mark, WalConfig};

#[test]
fn what_was_appended_is_recovered() {
    let dir = folder();
    let (mut log, found) = open(dir.path());
    assert_eq!(found, wal::Recovered::default());
    let first =
        log.wal_mut().append(GroupId(7), Some(hard(1, 2, 0)), &[entry(7, 1, 1, 0)]).unwrap();
    let wal = log.wal_mut();
    let second = wal.append(GroupId(9), None, &[entry(9, 4, 1, 100), entry(9, 5, 2, 100)]).unwrap();
    assert!(first <= second && wal.durable() < first);
    log.run_until(second).unwrap();
    check(&log.wal().reader(), 7, &[1], 0);
    check(&log.wal().reader(), 9, &[4, 5], 100);
    log.close().unwrap();

    let (log, found) = open(dir.path());
    assert_eq!(found.torn_tail, None);
    let seven = &found.groups[&GroupId(7)];
    assert_eq!((seven.hard_state, seven.last), (hard(1, 2, 0), LogId::new(Term(1), Index(1))));
    let nine = &found.groups[&GroupId(9)];
    assert_eq!((nine.first_index, nine.last), (Index(1), LogId::new(Term(5), Index(2))));
    check(&log.wal().reader(), 7, &[1], 0);
    check(&log.wal().reader(), 9, &[4, 5], 100);
}

#[test]
fn a_log_over_many_segments_is_read_from_memory_and_from_files() {
    let dir = folder();
    let small = || WalConfig { tail_cache_bytes_max: 64 << 10, ..config(dir.path()) };
    let (mut log, _) = Driver::open(small()).unwrap();
    for round in 0..40 {
        for group in 1..4 {
            let first = 1 + round * 8;
            let entries: Vec<_> = (first..first + 8).map(|i| entry(group, 1, i, 3000)).collect();
            log.wal_mut().append(GroupId(group), Some(hard(1, 1, first)), &entries).unwrap();
        }
        let mark = log.wal_mut().append(GroupId(9), None, &[]).unwrap();
        log.run_until(mark).unwrap();
    }
    assert!(log.wal().stats().segments >= 8, "{:?}", log.wal().stats());
    assert_eq!(log.wal().stats().entries, 3 * 320);
    for group in 1..4 {
        check(&log.wal().reader(), group, &[1; 320], 3000);
    }
    log.close().unwrap();
    let (log, found) = Driver::open(small()).unwrap();
    assert_eq!(found.groups.len(), 3);
    for group in 1..4 {
        check(&log.wal().reader(), group, &[1; 320], 3000);
    }
}

#[test]
fn an_entry_replaces_the_suffix_it_lands_on() {
    let dir = folder();
    let (mut log, _) = open(dir.path());
    fill(&mut log, 1, 1, 1..11, 50);
    fill(&mut log, 1, 2, 6..9, 50);
    let terms = [1, 1, 1, 1, 1, 2, 2, 2];
    check(&log.wal().reader(), 1, &terms, 50);
    fill(&mut log, 2, 1, 1..5, 50);
    fill(&mut log, 2, 3, 1..2, 50);
    check(&log.wal().reader(), 2, &[3], 50);
    drop(log);
    let (log, _) = open(dir.path());
    check(&log.wal().reader(), 1, &terms, 50);
    check(&log.wal().reader(), 2, &[3], 50);
}

/// Appends `range` of group 1, every tenth entry a change of the configuration.
fn fill_with_changes(log: &mut Driver, term: u64, range: std::ops::Range<u64>) {
    let entries = range.map(|index| {
        let entry = entry(1, term, index, 3000);
        if index % 10 == 0 { Entry { kind: EntryKind::ConfChange, ..entry } } else { entry }
    });
    for entry in entries {
        let mark = log.wal_mut().append(GroupId(1), None, &[entry]).unwrap();
        log.run_until(mark).unwrap();
    }
}

/// Term and index of the changes of group 1 from `from` on, as the log hands them out.
fn changes(log: &Driver, from: u64) -> Result<Vec<(u64, u64)>, StorageError> {
    let mut out = Vec::new();
    log.wal().reader().conf_entries(GroupId(1), Index(from), &mut out)?;
    let whole = |e: &Entry| {
        let (term, index) = (e.id.term.0, e.id.index.0);
        assert_eq!(*e, Entry { kind: EntryKind::ConfChange, ..entry(1, term, index, 3000) });
        (term, index)
    };
    Ok(out.iter().map(whole).collect())
}

#[test]
fn changes_of_the_configuration_are_found_without_reading_the_rest() {
    let dir = folder();
    let (mut log, _) = open(dir.path());
    assert_eq!(changes(&log, 1), Ok(vec![]), "nothing was ever written");
    fill_with_changes(&mut log, 1, 1..206);
    assert!(log.wal().stats().segments > 2);
    let all: Vec<_> = (1..=20).map(|n| (1, 10 * n)).collect();
    assert_eq!(changes(&log, 1), Ok(all.clone()));
    assert_eq!(changes(&log, 190), Ok(vec![(1, 190), (1, 200)]));
    for from in [201, 206, 1000] {
        assert_eq!(changes(&log, from), Ok(vec![]));
    }
    assert_eq!(changes(&log, 0), Err(StorageError::Compacted));
    log.close().unwrap();
    let (mut log, _) = open(dir.path());
    assert_eq!(changes(&log, 1), Ok(all), "recovery finds them again");

    // What is replaced goes with the suffix; a term in between has its own.
    fill_with_changes(&mut log, 2, 30..45);
    let kept = vec![(1, 10), (1, 20), (2, 30), (2, 40)];
    assert_eq!(changes(&log, 1), Ok(kept.clone()));
    fill_with_changes(&mut log, 3, 41..44);
    assert_eq!(changes(&log, 1), Ok(kept.clone()));
    drop(log);
    let (mut log, _) = open(dir.path());
    assert_eq!(changes(&log, 1), Ok(kept));

    // A log that begins anew forgets all of them.
    fill_with_changes(&mut log, 4, 1..10);
    assert_eq!(changes(&log, 1), Ok(vec![]));
    fill_with_changes(&mut log, 4, 10..12);
    drop(log);
    assert_eq!(changes(&open(dir.path()).0, 1), Ok(vec![(4, 10)]));
}

#[test]
fn a_damaged_change_of_the_configuration_is_never_handed_out() {
    let dir = folder();
    let (mut log, _) = open(dir.path());
    fill_with_changes(&mut log, 1, 1..12);
    log.close().unwrap();
    let (log, _) = open(dir.path());
    flip(&used(dir.path())[0], 10 * BLOCK + 64 + 40 + 7);
    assert_eq!(changes(&log, 1), Err(StorageError::Corrupt));
}

#[test]
fn entries_come_in_pieces_of_the_wanted_size() {
    let dir = folder();
    let (mut log, _) = open(dir.path());
    fill(&mut log, 1, 1, 1..11, 100);
    let reader = log.wal().reader().clone();
    let count = |from, to, bytes| {
        let mut out = Vec::new();
        reader.entries(GroupId(1), Index(from), Index(to), bytes, &mut out).map(|()| out.len())
    };
    assert_eq!(count(1, 11, 350), Ok(3));
    assert_eq!(count(1, 11, 0), Ok(1));
    assert_eq!(count(9, 50, 10_000), Ok(2));
    assert_eq!(count(4, 4, 10_000), Ok(0));
    assert_eq!(count(0, 4, 10_000), Err(StorageError::Compacted));
    assert_eq!(count(11, 12, 10_000), Err(StorageError::Unavailable));
    assert_eq!(reader.term_at(GroupId(1), Index(0)), Ok(Term(0)));
    assert_eq!(reader.term_at(GroupId(1), Index(11)), Err(StorageError::Unavailable));
    assert_eq!(
        (reader.first_index(GroupId(5)), reader.last_index(GroupId(5))),
        (Index(1), Index(0))
    );
}

#[test]
fn refused_units_change_nothing() {
    let dir = folder();
    let (mut log, _) = open(dir.path());
    fill(&mut log, 1, 1, 1..4, 10);
    let mut refused = |entries: &[_]| log.wal_mut().append(GroupId(1), None, entries).unwrap_err();
    assert!(matches!(refused(&[entry(1, 1, 5, 1)]), AppendError::Gap { expected: Index(4), .. }));
    assert!(matches!(refused(&[entry(1, 1, 4, 1), entry(1, 1, 6, 1)]), AppendError::Gap { .. }));
    assert!(matches!(refused(&[entry(1, 1, 4, 256 << 10)]), AppendError::TooLarge { .. }));
    fill(&mut log, 1, 1, 4..5, 10);
    check(&log.wal().reader(), 1, &[1; 4], 10);
}

#[test]
fn empty_and_largest_units_and_many_groups_are_fine() {
    let dir = folder();
    let (mut log, _) =
        Driver::open(WalConfig { batch_bytes_max: 4096, ..config(dir.path()) }).unwrap();
    assert_eq!(log.wal_mut().append(GroupId(1), None, &[]).unwrap(), Mark(0));
    let Err(AppendError::TooLarge { bytes_max, .. }) =
        log.wal_mut().append(GroupId(1), None, &[entry(1, 1, 1, 300 << 10)])
    else {
        panic!("a unit larger than a segment was taken")
    };
    let largest = (bytes_max - wal::record::RECORD_HEADER_BYTES) / 8 * 8;
    fill(&mut log, 1, 1, 1..2, largest);
    fill(&mut log, 2, 1, 1..2, 0);
    let mut mark = Mark(0);
    for group in 10..100_010 {
        mark = log.wal_mut().append(GroupId(group), Some(hard(group, 1, 0)), &[]).unwrap();
    }
    log.run_until(mark).unwrap();
    drop(log);
    let (log, found) = open(dir.path());
    assert_eq!(found.groups.len(), 100_002);
    assert_eq!(found.groups[&GroupId(99_999)].hard_state, hard(99_999, 1, 0));
    check(&log.wal().reader(), 1, &[1], largest);
    check(&log.wal().reader(), 2, &[1], 0);
}

#[test]
fn a_log_opens_with_other_limits_than_it_was_written_with() {
    let dir = folder();
    for (turn, segment_bytes) in [256, 64, 1024, 128].into_iter().enumerate() {
        let (depth, batch_bytes_max) = (1 + 3 * turn, 4096 << turn);
        let segment_bytes = segment_bytes << 10;
        let config = WalConfig { depth, batch_bytes_max, segment_bytes, ..config(dir.path()) };
        let (mut log, _) = Driver::open(config).unwrap();
        let done = turn as u64 * 100;
        check(&log.wal().reader(), 1, &vec![1; done as usize], 900);
        fill(&mut log, 1, 1, done + 1..done + 101, 900);
    }
    let (log, _) = open(dir.path());
    check(&log.wal().reader(), 1, &[1; 400], 900);
}

#[test]
fn openings_without_appends_leave_no_segments_behind() {
    let dir = folder();
    for _ in 0..5 {
        open(dir.path()).0.close().unwrap();
    }
    assert_eq!(segments(dir.path()).len(), 1);
}
