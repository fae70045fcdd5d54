//! What is appended is there again: live, after a reopening, over many segments, under small limits.

mod common;

use common::{check, entry, folder, hard, open};
use raft_core::{GroupId, Index, LogId, Term};

#[test]
fn what_was_appended_is_recovered() {
    let dir = folder();
    let (mut log, found) = open(dir.path());
    assert_eq!(found, wal::Recovered::default());
    let first = log
        .wal_mut()
        .append(GroupId(7), Some(hard(1, 2, 0)), &[entry(7, 1, 1, 0)])
        .unwrap();
    let wal = log.wal_mut();
    let second = wal
        .append(
            GroupId(9),
            None,
            &[entry(9, 4, 1, 100), entry(9, 5, 2, 100)],
        )
        .unwrap();
    assert!(first <= second && wal.durable() < first);
    log.run_until(second).unwrap();
    check(&log.wal().reader(), 7, &[1], 0);
    check(&log.wal().reader(), 9, &[4, 5], 100);
    log.close().unwrap();

    let (log, found) = open(dir.path());
    assert_eq!(found.torn_tail, None);
    let seven = &found.groups[&GroupId(7)];
    assert_eq!(
        (seven.hard_state, seven.last),
        (hard(1, 2, 0), LogId::new(Term(1), Index(1)))
    );
    let nine = &found.groups[&GroupId(9)];
    assert_eq!(
        (nine.first_index, nine.last),
        (Index(1), LogId::new(Term(5), Index(2)))
    );
    check(&log.wal().reader(), 7, &[1], 0);
    check(&log.wal().reader(), 9, &[4, 5], 100);
}
