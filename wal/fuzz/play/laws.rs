//! What must hold of any folder whatever.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use raft_core::{Entry, EntryKind, GroupId, Index, LogId, Term};
use wal::OpenError;
use wal::inspect::{
    Export, Files, Follow, InspectError, Quarantine, Report, Verdict, stat, tail, verify, walk,
};
use wal::log::Log;
use wal::record::{RECORD_HEADER_BYTES, RecordHeader};
use wal::recover::Survey;

use super::disk::Disk;
use super::lives::{ends, finish, setup, supply};
use super::tally::Tally;

/// Numbers beyond this are near their end, where a log refuses to go on.
const NEAR_THE_END: u64 = 1 << 61;

/// Checks recovery, and if `deep` inspection too.
pub(super) fn check(disk: &mut Disk, deep: bool, tally: &mut Tally) {
    let before = disk.clone();
    let found = disk.recover();
    let again = disk.recover();
    assert!(*disk == before, "Recovery Writes Nothing");
    match (&found, &again) {
        (Ok(one), Ok(two)) => assert_eq!((one.tail, ends(one)), (two.tail, ends(two))),
        (Err(one), Err(two)) => assert_eq!(one.to_string(), two.to_string()),
        _ => panic!("Equal Disks Are Equal Logs"),
    }
    if deep && !disk.files.is_empty() {
        inspected(disk, &found, tally);
    }
    match found {
        Ok(survey) => {
            tally.note("opened");
            readable(disk, &survey);
            continued(disk, survey, tally);
        }
        Err(error) => tally.note_refusal(&error),
    }
}

/// The index leads to the records it names.
fn readable(disk: &Disk, survey: &Survey) {
    for (group, log) in survey.index.groups() {
        let last = log.last();
        assert!(log.first().0 >= 1 && last.0 + 1 >= log.first().0);
        for index in (log.first().0..=last.0).map(Index) {
            let place = log.place(index).expect("Index: every entry has a place");
            let file = &disk.files[&survey.segments[usize::from(place.slot())]];
            let record = &file[place.offset() as usize..];
            let head = RecordHeader::read(record).expect("Index: a place is inside its file");
            let data = &record[RECORD_HEADER_BYTES..][..head.data_len as usize];
            assert!(head.is_intact() && head.holds(data), "Index: records are intact");
            assert_eq!((head.group, head.index), (group.0, index.0));
            assert_eq!(log.term(index), Some(Term(head.term)));
        }
        for conf in log.confs(Index(0)) {
            assert!(log.first() <= conf && conf <= last);
        }
    }
}

/// What has opened takes more, and opens with it.
fn continued(disk: &mut Disk, survey: Survey, tally: &mut Tally) {
    let newest = disk.files.keys().next_back().map_or(0, |id| id.0);
    let far = [survey.tail.batch_seq, survey.epoch, newest].iter().any(|&n| n > NEAR_THE_END);
    if far || disk.files.len() >= 12 {
        return;
    }
    let mut before = ends(&survey);
    let mut log = Log::new(setup(survey.epoch + 1, 0), survey);
    let group = GroupId(1);
    let (first, next) = log.index().appended(group);
    let id = LogId::new(Term(1), next);
    let entry = Entry { id, kind: EntryKind::Normal, data: vec![7; 100].into() };
    let Ok(mark) = log.append(group, None, &[entry]) else { return };
    before.insert(group, (if first == next { next } else { first }, next));
    supply(disk, &mut log);
    while log.writer().durable() < mark {
        let op = log.next_op().expect("Progress: there is a segment");
        let bytes = log.writer().op_bytes(&op).to_vec();
        finish(disk, &mut log, &op, &bytes);
    }
    let after = disk.recover().expect("A Log That Opened Opens Again");
    assert_eq!(ends(&after), before, "Durability: all that was there and the entry");
    tally.note("continued");
}

/// A folder for this process, in memory if possible.
fn folder() -> PathBuf {
    let shm = Path::new("/dev/shm");
    let base = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
    base.join(format!("wal-play-{}", std::process::id()))
}

/// Inspection agrees with recovery, and a quarantine leaves what opens.
fn inspected(disk: &Disk, found: &Result<Survey, OpenError>, tally: &mut Tally) {
    let dir = folder();
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir(&dir).expect("a folder");
    for (segment, bytes) in &disk.files {
        fs::write(dir.join(segment.to_string()), bytes).expect("a file");
    }
    let mut files = Files::open(&dir).expect("there are segments");
    let report = verify(&mut files);
    let _ = tail(&mut files, 3);
    let mut records = 0;
    let _ = walk(&mut files, &mut |item| {
        if let wal::inspect::Item::Batch(batch) = item {
            records += batch.records().count();
        }
        ControlFlow::Continue(())
    });
    if let (Ok(survey), Ok(report)) = (found, &report) {
        let counted = stat(&mut files).expect("a log that opens is counted");
        assert!(!matches!(report.verdict, Verdict::Damaged(_)), "Inspection Agrees");
        assert_eq!((report.batches, report.bytes), (survey.batches, survey.bytes));
        assert!(counted.bytes >= survey.bytes && counted.gaps.iter().all(|gap| gap.newest));
        // Dead segments that wait to be freed are counted and no part of the log; behind a CLOSE
        // there may be a trace of a write that nobody waits for.
        if counted.bytes == survey.bytes && counted.gaps.is_empty() {
            followed(&mut files, survey.batches);
        }
        exported(&mut files, survey);
    }
    if let (Err(OpenError::Corrupt(damage)), Ok(report)) = (found, &report) {
        let Verdict::Damaged(OpenError::Corrupt(seen)) = &report.verdict else {
            panic!("Inspection Agrees: {report:?}")
        };
        assert_eq!(seen, damage);
    }
    quarantined(&mut files, matches!(report, Ok(ref report) if is_damaged(report)), tally);
    fs::remove_dir_all(&dir).expect("the folder goes");
}

fn is_damaged(report: &Report) -> bool {
    matches!(report.verdict, Verdict::Damaged(_))
}

/// What is damaged can be taken away, unless files of two logs or of a later format are among it.
fn quarantined(files: &mut Files, damaged: bool, tally: &mut Tally) {
    match Quarantine::plan(files) {
        Ok(Some(quarantine)) => quarantine.carry_out().expect("nothing is in the way"),
        Ok(None) => return assert!(!damaged, "A Quarantine Is For What Is Damaged"),
        Err(InspectError::Mixed(_)) => return tally.note("mixed"),
        Err(InspectError::Open(
            OpenError::UnknownRecord { .. }
            | OpenError::Version { .. }
            | OpenError::Features { .. },
        )) => return,
        Err(error) => panic!("A Quarantine Finds The Damage: {error}"),
    }
    let left = verify(files).expect("A Quarantine Leaves What Opens");
    assert!(!is_damaged(&left), "A Quarantine Leaves What Opens: {left:?}");
    tally.note("quarantined");
}

/// Who follows a log from its first batch on sees all others.
fn followed(files: &mut Files, batches: u64) {
    let (all, _) = tail(files, usize::MAX).expect("a log that opens has an end");
    assert_eq!(all.len() as u64, batches);
    let Some(first) = all.first() else { return };
    let mut follow = Follow::behind(first);
    let rest: Vec<_> = std::iter::from_fn(|| follow.next(files).expect("readable")).collect();
    assert_eq!(rest, all[1..]);
}

fn exported(files: &mut Files, survey: &Survey) {
    for (group, (first, last)) in ends(survey) {
        let mut export = Export::open(files, group).expect("the group is there");
        assert_eq!((export.first(), export.last()), (first, last));
        for index in first.0..=last.0 {
            let entry = export.entry(Index(index)).expect("readable").expect("there");
            assert_eq!(entry.id.index, Index(index));
        }
    }
}
