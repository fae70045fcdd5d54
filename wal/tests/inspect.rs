//! Looking into logs without their node: sound ones, torn ones, damaged ones, ones in use.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use common::{
    BLOCK, Driver, STORE, check, config, entry, fill, flip, folder, hard, open, patch, segments,
    used,
};
use raft_core::{GroupId, Index};
use wal::inspect::{
    Export, Files, Follow, InspectError, Item, Quarantine, Verdict, kind_name, stat, tail, verify,
    walk,
};
use wal::{OpenError, SegmentId};

/// A closed log of one group with `n` batches of one block each.
fn written(dir: &Path, n: u64) {
    let (mut log, _) = open(dir);
    fill(&mut log, 7, 1, 1..n + 1, 2000);
    log.close().unwrap();
}

/// Every file of the folder with its bytes and the time of its last change.
fn snapshot(dir: &Path) -> BTreeMap<String, (Vec<u8>, std::time::SystemTime)> {
    let entry = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        (
            name,
            (std::fs::read(entry.path()).unwrap(), entry.metadata().unwrap().modified().unwrap()),
        )
    };
    std::fs::read_dir(dir).unwrap().map(entry).collect()
}

fn damage(dir: &Path) -> OpenError {
    match verify(&mut Files::open(dir).unwrap()).unwrap().verdict {
        Verdict::Damaged(error) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_sound_log_is_verified_counted_and_walked_without_a_trace() {
    let dir = folder();
    let (mut log, _) = open(dir.path());
    fill(&mut log, 7, 1, 1..101, 2000);
    let state = Some(hard(3, 2, 1));
    let mark = log.wal_mut().append(GroupId(9), state, &[entry(9, 3, 1, 0)]).unwrap();
    log.run_until(mark).unwrap();
    let mark = log.wal_mut().purge(GroupId(7), Index(10)).unwrap();
    log.run_until(mark).unwrap();
    log.close().unwrap();
    let before = snapshot(dir.path());

    let mut files = Files::open(dir.path()).unwrap();
    let report = verify(&mut files).unwrap();
    assert!(matches!(report.verdict, Verdict::Sound), "{report:?}");
    assert_eq!((report.store, report.core, report.groups), (STORE, 3, 2));
    let found = stat(&mut files).unwrap();
    assert_eq!(found.segments.len() as u64, report.segments);
    let batches = found.batches;
    assert_eq!((batches.normal, batches.close, batches.other), (102, 1, 0));
    assert_eq!(batches.normal + batches.beacon + batches.close, report.batches);
    assert_eq!((found.bytes, found.gaps.len()), (report.bytes, 0));
    assert_eq!(found.segments.iter().map(|segment| segment.used).sum::<u64>(), found.bytes);
    let entries = found.kinds[&1];
    assert_eq!((kind_name(1), entries.records, entries.data_bytes), ("ENTRY", 101, 200_000));
    assert_eq!(entries.bytes, 100 * 2040 + 40);
    assert_eq!((found.kinds[&2].records, found.kinds[&2].bytes), (1, 136));
    assert_eq!((kind_name(3), found.kinds[&3].records, found.kinds[&3].bytes), ("PURGE", 1, 40));
    let seven = found.groups[&GroupId(7)];
    assert_eq!((seven.records, seven.last), (101, entry(7, 1, 100, 0).id));
    assert_eq!(found.groups[&GroupId(9)].last, entry(9, 3, 1, 0).id);
    let headers = 64 * report.batches;
    assert_eq!(found.record_bytes, headers + entries.bytes + 136 + 40);
    assert!((found.fill() - found.record_bytes as f64 / found.bytes as f64).abs() < 1e-9);

    let mut seen = Vec::new();
    walk(&mut files, &mut |item| {
        if let Item::Batch(batch) = item {
            assert!(!batch.behind_gap);
            seen.extend(batch.records().map(|record| (record.offset, record.header.index)));
        }
        if seen.len() < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })
    .unwrap();
    assert_eq!(seen, [(BLOCK + 64, 1), (2 * BLOCK + 64, 2), (3 * BLOCK + 64, 3)]);
    assert_eq!(before, snapshot(dir.path()), "nothing was written");
}

#[test]
fn the_last_batches_are_found_over_many_segments() {
    let dir = folder();
    written(dir.path(), 500);
    let mut files = Files::open(dir.path()).unwrap();
    assert!(stat(&mut files).unwrap().segments.len() > 6);
    for n in [0, 1, 3, 200, 450, 10_000] {
        let (last, gaps) = tail(&mut files, n).unwrap();
        let seqs: Vec<u64> = last.iter().map(|batch| batch.header.batch_seq).collect();
        let end = verify(&mut files).unwrap().batches;
        let first = end.saturating_sub(n as u64);
        assert_eq!(seqs, (first + 1..=end).collect::<Vec<_>>());
        assert!(gaps.is_empty() && last.iter().all(|batch| batch.groups <= 1));
    }
}

#[test]
fn what_is_added_to_a_log_is_followed_over_segments() {
    let dir = folder();
    let (mut log, _) = open(dir.path());
    fill(&mut log, 7, 1, 1..6, 2000);
    let mut files = Files::live(dir.path()).unwrap();
    let (last, _) = tail(&mut files, 1).unwrap();
    let mut follow = Follow::behind(&last[0]);
    let mut seen = last[0].header.batch_seq;
    assert_eq!(follow.next(&mut files).unwrap(), None);
    for round in 0..20 {
        fill(&mut log, 7, 1, 6 + round * 10..16 + round * 10, 2000);
        while let Some(batch) = follow.next(&mut files).unwrap() {
            seen += 1;
            assert_eq!(batch.header.batch_seq, seen);
        }
        assert_eq!(seen, log.wal().durable().0);
    }
    assert!(log.wal().stats().segments > 2);
    drop(log);
    // An opening that goes on behind a torn tail is followed too.
    let (mut log, _) = open(dir.path());
    fill(&mut log, 7, 1, 206..209, 2000);
    let batches = std::iter::from_fn(|| follow.next(&mut files).unwrap());
    assert_eq!(batches.last().unwrap().header.batch_seq, log.wal().durable().0);
}

#[test]
fn damage_and_a_torn_tail_are_told_apart() {
    let dir = folder();
    written(dir.path(), 10);
    let file = used(dir.path())[0].clone();
    flip(&file, 5 * BLOCK + 64 + 40 + 1000);
    flip(&file, 8 * BLOCK + 20);
    let report = verify(&mut Files::open(dir.path()).unwrap()).unwrap();
    let Verdict::Damaged(OpenError::Corrupt(damage)) = report.verdict else { panic!("{report:?}") };
    assert_eq!(damage.identity, Some((GroupId(7), Index(5))));
    let [first, second] = report.gaps[..] else { panic!("{:?}", report.gaps) };
    assert_eq!((first.offset, first.bytes, first.batch_seq), (5 * BLOCK, BLOCK, 5));
    assert_eq!(first.identity(), Some((GroupId(7), Index(5))));
    let text = "segment 0000000000000001.seg at offset 20480: batch 5 was due, but the record at \
                20544 (group 7 index 5) is damaged";
    assert_eq!(first.to_string(), text);
    assert_eq!((second.offset, second.bytes, second.batch_seq), (8 * BLOCK, BLOCK, 8));
    assert!(second.to_string().ends_with("but no batch header is there"), "{second}");
    let (last, gaps) = tail(&mut Files::open(dir.path()).unwrap(), 4).unwrap();
    assert!(last.iter().all(|batch| batch.behind_gap) && gaps == [second]);

    let dir = folder();
    let (mut log, _) = open(dir.path());
    fill(&mut log, 7, 1, 1..6, 2000);
    drop(log);
    patch(&used(dir.path())[0], 5 * BLOCK + 512, |bytes| bytes.fill(0), 3584);
    let report = verify(&mut Files::open(dir.path()).unwrap()).unwrap();
    let Verdict::Torn(torn) = report.verdict else { panic!("{report:?}") };
    assert_eq!((torn.segment, torn.offset, torn.batch_seq), (SegmentId(1), 5 * BLOCK, 5));
    let mut files = Files::open(dir.path()).unwrap();
    assert!(Quarantine::plan(&mut files).unwrap().is_none(), "the next opening leaves it out");
}

#[test]
fn a_log_in_use_is_refused_or_read_as_it_is() {
    let dir = folder();
    let (mut log, _) = open(dir.path());
    fill(&mut log, 7, 1, 1..20, 2000);
    let refused = Files::open(dir.path()).unwrap_err();
    assert!(matches!(refused, InspectError::Open(OpenError::Locked { .. })), "{refused}");
    let mut live = Files::live(dir.path()).unwrap();
    assert!(live.is_live());
    assert_eq!(stat(&mut live).unwrap().groups[&GroupId(7)].last.index, Index(19));
    fill(&mut log, 7, 1, 20..100, 2000);
    assert_eq!(stat(&mut live).unwrap().groups[&GroupId(7)].last.index, Index(99));
    let refused = Quarantine::plan(&mut live).err().unwrap();
    assert!(matches!(refused, InspectError::Open(OpenError::Locked { .. })), "{refused}");
    log.close().unwrap();
    let files = Files::open(dir.path()).unwrap();
    let Err(wal::uring::DriverError::Open(refused)) = Driver::open(config(dir.path())) else {
        panic!("a log was opened that is being looked at")
    };
    assert!(matches!(refused, OpenError::Locked { .. }), "{refused}");
    drop(files);
}

#[test]
fn folders_without_a_log_are_named() {
    let dir = folder();
    let refused = Files::open(dir.path()).unwrap_err();
    assert!(matches!(refused, InspectError::NoLog { .. }), "{refused}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "not even a lock is made");
    let refused = Files::open(dir.path().join("nowhere")).unwrap_err();
    assert!(matches!(refused, InspectError::Open(OpenError::Io { .. })), "{refused}");
    assert!(!dir.path().join("nowhere").exists());
}

#[test]
fn a_group_is_exported_as_a_node_would_find_it() {
    let dir = folder();
    let (mut log, _) = open(dir.path());
    fill(&mut log, 7, 1, 1..150, 2000);
    fill(&mut log, 7, 2, 140..145, 2000);
    let mark = log.wal_mut().append(GroupId(7), Some(hard(2, 5, 144)), &[entry(7, 2, 145, 0)]);
    log.run_until(mark.unwrap()).unwrap();
    log.close().unwrap();
    let mut files = Files::open(dir.path()).unwrap();
    let mut export = Export::open(&mut files, GroupId(7)).unwrap();
    assert_eq!((export.first(), export.last()), (Index(1), Index(145)));
    assert_eq!(export.hard_state(), hard(2, 5, 144));
    for index in 1..=145 {
        let found = export.entry(Index(index)).unwrap().unwrap();
        let (term, len) = (if index < 140 { 1 } else { 2 }, if index < 145 { 2000 } else { 0 });
        let expected = entry(7, term, index, len);
        assert_eq!((found.id, &found.data), (expected.id, &expected.data));
        assert_eq!(found.kind, if len == 0 { "no-op" } else { "normal" });
    }
    assert_eq!(export.entry(Index(146)).unwrap(), None);
    let refused = Export::open(&mut files, GroupId(8)).err().unwrap();
    assert!(matches!(refused, InspectError::NoGroup { group: GroupId(8) }), "{refused}");
    drop(files);
    flip(&used(dir.path())[1], 5 * BLOCK + 64 + 40 + 1000);
    let mut files = Files::open(dir.path()).unwrap();
    let refused = Export::open(&mut files, GroupId(7)).err().unwrap();
    assert!(matches!(refused, InspectError::Open(OpenError::Corrupt(_))), "{refused}");
}

/// What a quarantine of the log leaves: the last index of group 7, after checking that nothing is
/// lost from the disk and that the rest opens and goes on.
fn quarantined(dir: &Path) -> u64 {
    let before = snapshot(dir);
    let error = damage(dir);
    let mut files = Files::open(dir).unwrap();
    let quarantine = Quarantine::plan(&mut files).unwrap().unwrap();
    assert_eq!(quarantine.reason().to_string(), error.to_string());
    let (cut, moved) = (quarantine.cut(), quarantine.moved().collect::<Vec<_>>());
    assert_eq!(before, snapshot(dir), "a plan changes nothing");
    let last = quarantine.last_batch();
    quarantine.carry_out().unwrap();
    let kept = snapshot(&dir.join("quarantine"));
    let gone = moved.iter().copied().chain(cut.map(|(segment, _)| segment));
    for segment in gone {
        let name = segment.to_string();
        assert_eq!(kept[&name].0, before[&name].0, "{name} was kept as it was");
    }
    let report = verify(&mut files).unwrap();
    assert!(matches!(report.verdict, Verdict::Sound), "{report:?}");
    assert_eq!(report.batches, last);
    assert!(Quarantine::plan(&mut files).unwrap().is_none());
    drop(files);
    let (mut log, found) = open(dir);
    let index = found.groups.get(&GroupId(7)).map_or(0, |group| group.last.index.0);
    check(&log.wal().reader(), 7, &vec![1; index as usize], 2000);
    fill(&mut log, 7, 1, index + 1..index + 4, 2000);
    log.close().unwrap();
    check(&open(dir).0.wal().reader(), 7, &vec![1; index as usize + 3], 2000);
    index
}

#[test]
fn a_damaged_batch_and_all_behind_it_go_to_the_quarantine() {
    let dir = folder();
    written(dir.path(), 10);
    flip(&used(dir.path())[0], 5 * BLOCK + 64 + 40 + 1000);
    // Without spares the damaged file is the last one that was looked at before it is replaced.
    for spare in segments(dir.path()).iter().skip(1) {
        std::fs::remove_file(spare).unwrap();
    }
    {
        let mut files = Files::open(dir.path()).unwrap();
        let quarantine = Quarantine::plan(&mut files).unwrap().unwrap();
        assert_eq!(quarantine.cut(), Some((SegmentId(1), 5 * BLOCK)));
        // Six batches behind the damaged one can be read, the CLOSE among them.
        let lost = quarantine.lost();
        assert_eq!((lost.batches, lost.entries, lost.groups.len()), (6, 5, 1));
        assert_eq!(quarantine.last_batch(), 4);
    }
    assert_eq!(quarantined(dir.path()), 4);
}

#[test]
fn damage_of_any_segment_is_taken_away() {
    // What is planted, and how much may be left.
    type Plant = fn(&[std::path::PathBuf]);
    let plants: [(Plant, std::ops::Range<u64>); 6] = [
        (|files| flip(&files[0], 60 * BLOCK + 100), 59..60),
        (|files| flip(&files[1], 20), 50..62),
        (|files| std::fs::remove_file(&files[1]).unwrap(), 50..62),
        (|files| flip(&files[0], 20), 0..1),
        (
            |files| {
                let file = std::fs::OpenOptions::new().write(true).open(&files[1]).unwrap();
                file.set_len(10 * BLOCK + 100).unwrap();
            },
            60..72,
        ),
        (|files| flip(&files[2], 7 * BLOCK + 4000), 100..150),
    ];
    for (i, (plant, left)) in plants.into_iter().enumerate() {
        let dir = folder();
        written(dir.path(), 180);
        let files = used(dir.path());
        assert!(files.len() >= 3);
        plant(&files);
        let index = quarantined(dir.path());
        assert!(left.contains(&index), "plant {i} left {index}");
    }
}

#[test]
fn what_is_in_the_quarantine_is_never_overwritten() {
    let dir = folder();
    for round in 0..3 {
        written_on(dir.path(), 10);
        let newest = used(dir.path()).pop().unwrap();
        flip(&newest, 3 * BLOCK + 64 + 40 + 100);
        let held = dir.path().join("quarantine");
        let before = if held.exists() { snapshot(&held) } else { BTreeMap::new() };
        let mut files = Files::open(dir.path()).unwrap();
        Quarantine::plan(&mut files).unwrap().unwrap().carry_out().unwrap();
        let after = snapshot(&held);
        assert!(after.len() > before.len(), "round {round}");
        assert!(before.iter().all(|(name, file)| after[name].0 == file.0));
    }
}

/// Ten more batches of group 7, in a segment of their own.
fn written_on(dir: &Path, n: u64) {
    let (mut log, found) = open(dir);
    let next = found.groups.get(&GroupId(7)).map_or(1, |group| group.last.index.0 + 1);
    fill(&mut log, 7, 1, next..next + n, 2000);
    log.close().unwrap();
}

#[test]
fn files_of_two_stores_are_left_to_people() {
    let (dir, other) = (folder(), folder());
    written(dir.path(), 10);
    let settings = wal::WalConfig { store: STORE + 1, ..config(other.path()) };
    let (mut log, _) = Driver::open(settings).unwrap();
    fill(&mut log, 7, 1, 1..100, 2000);
    log.close().unwrap();
    std::fs::copy(&used(other.path())[1], dir.path().join("0000000000000002.seg")).unwrap();
    assert!(matches!(damage(dir.path()), OpenError::WrongStore { .. }));
    let mut files = Files::open(dir.path()).unwrap();
    let refused = Quarantine::plan(&mut files).err().unwrap();
    assert!(matches!(refused, InspectError::Mixed(_)), "{refused}");
}
