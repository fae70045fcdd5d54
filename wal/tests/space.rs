//! Logs that lose their prefix, are deleted and begin anew.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::path::Path;

use common::{Driver, entry, fill, folder, hard, open};
use raft_core::{Entry, GroupId, Index, LogId, StorageError, Term};
use wal::{AppendError, LogReader, Mark};

const G: GroupId = GroupId(1);

fn run(log: &mut Driver, mark: Result<Mark, AppendError>) {
    log.run_until(mark.unwrap()).unwrap();
}

/// Checks that the log of a group is exactly `first..first + terms.len()`, each payload of `len`
/// bytes, and that it is the same after a reopening.
fn check_from(
    dir: &Path,
    log: Driver,
    group: u64,
    first: u64,
    terms: &[u64],
    len: usize,
) -> Driver {
    let look = |reader: &LogReader| {
        let (id, end) = (GroupId(group), first + terms.len() as u64);
        let bounds = (reader.first_index(id), reader.last_index(id));
        assert_eq!(bounds, (Index(first), Index(end - 1)), "group {group}");
        let mut out = Vec::new();
        if !terms.is_empty() {
            reader.entries(id, Index(first), Index(end), usize::MAX, &mut out).unwrap();
        }
        let expected = (first..end).zip(terms).map(|(index, &term)| entry(group, term, index, len));
        assert_eq!(out, expected.collect::<Vec<Entry>>());
        if first > 1 {
            let below = reader.entries(id, Index(first - 1), Index(end), 1, &mut out);
            assert_eq!(below, Err(StorageError::Compacted));
        }
    };
    look(&log.wal().reader());
    drop(log);
    let log = open(dir).0;
    look(&log.wal().reader());
    log
}

#[test]
fn a_purge_raises_the_first_index() {
    let dir = folder();
    let (mut log, _) = open(dir.path());
    fill(&mut log, 1, 1, 1..301, 40);
    fill(&mut log, 1, 2, 301..601, 40);
    let mut terms = vec![1; 300];
    terms.resize(600, 2);
    // Within a chunk of the index, at its borders, across several, twice the same, below.
    for up_to in [1, 7, 255, 256, 257, 299, 300, 300, 12, 0, 301, 511, 512, 590] {
        let mark = log.wal_mut().purge(G, Index(up_to));
        run(&mut log, mark);
        let first = log.wal().reader().first_index(G);
        assert!(first > Index(up_to));
        let below = log.wal().reader().term_at(G, first.prev());
        assert_eq!(below, Ok(Term(terms[first.0 as usize - 2])), "the term before the first");
        log = check_from(dir.path(), log, 1, first.0, &terms[first.0 as usize - 1..], 40);
        let term_at = |index: Index| log.wal().reader().term_at(G, index);
        assert_eq!(term_at(first.prev()), Ok(Term(terms[first.0 as usize - 2])));
        if first.0 > 2 {
            assert_eq!(term_at(Index(first.0 - 2)), Err(StorageError::Compacted));
        }
    }
    fill(&mut log, 1, 3, 601..603, 40);
    terms.extend([3, 3]);
    check_from(dir.path(), log, 1, 591, &terms[590..], 40);
}

#[test]
fn a_purge_beyond_the_last_empties_the_log_where_it_ends() {
    let dir = folder();
    let (mut log, _) = open(dir.path());
    fill(&mut log, 1, 4, 1..6, 40);
    let mark = log.wal_mut().purge(G, Index(1000));
    run(&mut log, mark);
    assert_eq!(log.wal().reader().term_at(G, Index(5)), Ok(Term(4)));
    log = check_from(dir.path(), log, 1, 6, &[], 40);
    let gap = log.wal_mut().append(G, None, &[entry(1, 4, 7, 40)]);
    assert!(matches!(gap, Err(AppendError::Gap { expected: Index(6), .. })));
    fill(&mut log, 1, 4, 6..8, 40);
    log = check_from(dir.path(), log, 1, 6, &[4, 4], 40);
    // The only entry of a log is replaced, then the log is cut before its first entry.
    let mark = log.wal_mut().purge(G, Index(6));
    run(&mut log, mark);
    fill(&mut log, 1, 5, 7..8, 40);
    log = check_from(dir.path(), log, 1, 7, &[5], 40);
    fill(&mut log, 1, 6, 3..5, 40);
    assert_eq!(log.wal().reader().term_at(G, Index(2)), Err(StorageError::Compacted));
    log = check_from(dir.path(), log, 1, 3, &[6, 6], 40);
    // Nothing of a group that never was.
    let mark = log.wal_mut().purge(GroupId(9), Index(5));
    run(&mut log, mark);
    assert_eq!(log.wal().reader().first_index(GroupId(9)), Index(1));
}

#[test]
fn a_purge_of_what_is_not_durable_yet_follows_it() {
    let dir = folder();
    let (mut log, _) = open(dir.path());
    fill(&mut log, 1, 1, 1..11, 40);
    let entries = [entry(1, 2, 5, 40), entry(1, 2, 6, 40), entry(1, 2, 7, 40)];
    log.wal_mut().append(G, None, &entries).unwrap();
    let mark = log.wal_mut().purge(G, Index(6));
    assert_eq!(log.wal().reader().first_index(G), Index(1), "it is not durable");
    run(&mut log, mark);
    assert_eq!(log.wal().reader().term_at(G, Index(6)), Ok(Term(2)));
    check_from(dir.path(), log, 1, 7, &[2], 40);
}

#[test]
fn a_snapshot_replaces_the_log_and_its_stale_tail() {
    let dir = folder();
    let (mut log, _) = open(dir.path());
    fill(&mut log, 1, 1, 1..121, 40);
    let mark = log.wal_mut().purge(G, Index(89));
    run(&mut log, mark);
    let snapshot = LogId::new(Term(3), Index(100));
    let mark = log.wal_mut().restart(G, snapshot, Some(hard(3, 2, 100)), &[]);
    run(&mut log, mark);
    log = check_from(dir.path(), log, 1, 101, &[], 40);
    assert_eq!(log.wal().reader().term_at(G, Index(100)), Ok(Term(3)));
    let unavailable = log.wal().reader().term_at(G, Index(101));
    assert_eq!(unavailable, Err(StorageError::Unavailable), "no ghost of the old tail");
    fill(&mut log, 1, 3, 101..103, 40);
    log = check_from(dir.path(), log, 1, 101, &[3, 3], 40);
    // A follower that never had anything, with the entries behind the snapshot in one unit.
    let (two, entries) = (GroupId(2), [entry(2, 7, 51, 40)]);
    let snapshot = LogId::new(Term(6), Index(50));
    let gap = log.wal_mut().restart(two, snapshot, None, &[entry(2, 7, 52, 40)]);
    assert!(matches!(gap, Err(AppendError::Gap { expected: Index(51), found: Index(52), .. })));
    let beyond = LogId::new(Term(6), Index(u64::MAX - 1));
    assert!(matches!(log.wal_mut().restart(two, beyond, None, &[]), Err(AppendError::Gap { .. })));
    let mark = log.wal_mut().restart(two, snapshot, Some(hard(7, 0, 51)), &entries);
    run(&mut log, mark);
    drop(check_from(dir.path(), log, 2, 51, &[7], 40));
    let (_, found) = open(dir.path());
    let group = found.groups[&two];
    assert_eq!((group.hard_state, group.last), (hard(7, 0, 51), LogId::new(Term(7), Index(51))));
}

#[test]
fn a_deleted_group_is_gone_and_may_begin_again_below() {
    let dir = folder();
    let (mut log, _) = open(dir.path());
    let state = Some(hard(5, 2, 9));
    let mark = log.wal_mut().append(G, state, &[entry(1, 5, 1, 40), entry(1, 5, 2, 40)]);
    run(&mut log, mark);
    fill(&mut log, 1, 5, 3..301, 40);
    let mark = log.wal_mut().delete(G);
    run(&mut log, mark);
    assert_eq!(log.wal_mut().delete(G).unwrap(), log.wal().durable(), "nothing is left to delete");
    log = check_from(dir.path(), log, 1, 1, &[], 40);
    drop(log);
    let (mut log, found) = open(dir.path());
    assert!(!found.groups.contains_key(&G));
    // Deleted, begun again and deleted again before anything is durable.
    log.wal_mut().append(G, Some(hard(1, 1, 0)), &[entry(1, 1, 1, 40)]).unwrap();
    log.wal_mut().delete(G).unwrap();
    log.wal_mut().append(G, None, &[entry(1, 2, 1, 40), entry(1, 2, 2, 40)]).unwrap();
    let mark = log.wal_mut().purge(G, Index(1));
    run(&mut log, mark);
    drop(check_from(dir.path(), log, 1, 2, &[2], 40));
    let (log, found) = open(dir.path());
    assert_eq!(found.groups[&G].hard_state, hard(0, 0, 0), "the vote of the old group is gone");
    drop(log);
}

#[test]
fn a_stopped_log_takes_none_of_these() {
    let dir = folder();
    let (mut log, _) = open(dir.path());
    fill(&mut log, 1, 1, 1..3, 40);
    log.wal_mut().close();
    assert_eq!(log.wal_mut().purge(G, Index(1)), Err(AppendError::Closed));
    assert_eq!(log.wal_mut().delete(G), Err(AppendError::Closed));
    let snapshot = LogId::new(Term(1), Index(1));
    assert_eq!(log.wal_mut().restart(G, snapshot, None, &[]), Err(AppendError::Closed));
}

#[test]
fn an_entry_below_what_was_purged_has_its_term() {
    let dir = folder();
    let (mut log, _) = open(dir.path());
    fill(&mut log, 1, 1, 1..5, 40);
    fill(&mut log, 1, 3, 5..11, 40);
    // The run of the term began before the first index, and the log now begins before the run.
    let mark = log.wal_mut().purge(G, Index(6));
    run(&mut log, mark);
    fill(&mut log, 1, 3, 3..6, 40);
    let log = check_from(dir.path(), log, 1, 3, &[3, 3, 3], 40);
    for index in 3..6 {
        assert_eq!(log.wal().reader().term_at(G, Index(index)), Ok(Term(3)));
    }
}

#[test]
fn the_index_takes_about_eight_bytes_an_entry() {
    let dir = folder();
    let (mut log, _) = open(dir.path());
    let mut mark = Mark(0);
    for start in (1..100_000).step_by(1000) {
        let entries: Vec<Entry> =
            (start..start + 1000).map(|index| entry(1, 1, index, 8)).collect();
        mark = log.wal_mut().append(G, None, &entries).unwrap();
        log.run_until(mark).unwrap();
    }
    let look = |log: &Driver, entries: u64| {
        let space = log.wal().space();
        assert_eq!((space.live_entries, space.live_bytes), (entries, entries * 48));
        assert!(space.bytes > space.live_bytes, "{space:?}");
        space.index_bytes as f64 / entries as f64
    };
    let each = look(&log, 100_000);
    println!("{each:.2} bytes of index an entry");
    assert!((8.0..9.0).contains(&each), "{each} bytes an entry");
    log.wal_mut().purge(G, Index(60_000)).unwrap();
    mark = mark.max(log.wal_mut().append(G, Some(hard(1, 1, 0)), &[]).unwrap());
    log.run_until(mark).unwrap();
    assert!((8.0..9.5).contains(&look(&log, 40_000)));
    drop(log);
    assert!((8.0..9.5).contains(&look(&open(dir.path()).0, 40_000)));
}
