//! What recovery says of damaged, foreign and unfinished files, on a real disk.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::path::Path;

use common::{
    BLOCK, Driver, STORE, check, config, entry, fill, flip, folder, open, patch, segments, used,
};
use raft_core::{GroupId, Index, StorageError};
use wal::batch::{Builder, Expected};
use wal::uring::DriverError;
use wal::{OpenError, WalConfig};

fn refusal(config: WalConfig) -> OpenError {
    match Driver::open(config) {
        Err(DriverError::Open(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the log opened"),
    }
}

/// A closed log of one group with `n` batches of one block each.
fn written(dir: &Path, n: u64) {
    let (mut log, _) = open(dir);
    fill(&mut log, 7, 1, 1..n + 1, 2000);
    log.close().unwrap();
}

#[test]
fn a_flipped_bit_in_the_newest_segment_is_found_and_named() {
    let dir = folder();
    written(dir.path(), 10);
    let file = &used(dir.path())[0];
    flip(file, 5 * BLOCK + 64 + 40 + 1000);
    let error = refusal(config(dir.path()));
    let OpenError::Corrupt(damage) = &error else { panic!("{error}") };
    assert_eq!(damage.identity, Some((GroupId(7), Index(5))));
    assert_eq!((damage.offset, damage.batch_seq), (5 * BLOCK + 64, 5));
    let text = "segment 0000000000000001.seg is damaged at offset 20544 (group 7 index 5): \
                acknowledged data may be lost; restore the folder or remove this node's data and \
                let it re-replicate";
    assert_eq!(error.to_string(), text);
    flip(file, 5 * BLOCK + 64 + 40 + 1000);
    check(&open(dir.path()).0.wal().reader(), 7, &[1; 10], 2000);
}

#[test]
fn the_last_acknowledged_batch_is_protected_by_beacon_and_close() {
    let dir = folder();
    let (mut log, _) = open(dir.path());
    fill(&mut log, 7, 1, 1..4, 2000);
    log.run_until_idle().unwrap();
    assert_eq!(log.wal().stats().writes, 4, "three batches and one BEACON");
    drop(log);
    flip(&used(dir.path())[0], 3 * BLOCK + 500);
    assert!(matches!(refusal(config(dir.path())), OpenError::Corrupt(_)));
}

#[test]
fn damage_of_an_older_segment_is_found() {
    let dir = folder();
    written(dir.path(), 150);
    let files = used(dir.path());
    assert!(files.len() >= 3);
    flip(&files[0], 60 * BLOCK + 100);
    assert!(matches!(refusal(config(dir.path())), OpenError::Corrupt(_)));
    flip(&files[0], 60 * BLOCK + 100);
    flip(&files[1], 20);
    assert!(matches!(refusal(config(dir.path())), OpenError::DamagedHeader { .. }));
    std::fs::remove_file(&files[1]).unwrap();
    let error = refusal(config(dir.path()));
    assert!(matches!(error, OpenError::MissingSegment { .. }), "{error}");
}

#[test]
fn a_torn_tail_is_cut_and_the_log_goes_on() {
    let dir = folder();
    let (mut log, _) = open(dir.path());
    fill(&mut log, 7, 1, 1..6, 2000);
    drop(log);
    let file = used(dir.path())[0].clone();
    // The last batch was written in part: no later one exists, so nothing says it was ever durable.
    patch(&file, 5 * BLOCK + 512, |bytes| bytes.fill(0), 3584);
    for first in [5, 8, 11] {
        let (mut log, found) = open(dir.path());
        assert_eq!(found.torn_tail.is_some(), first == 5, "the cut is durable");
        assert_eq!(found.groups[&GroupId(7)].last.index, Index(first - 1));
        fill(&mut log, 7, 1, first..first + 3, 2000);
    }
    check(&open(dir.path()).0.wal().reader(), 7, &[1; 13], 2000);
}

#[test]
fn garbage_lengths_are_bounded() {
    for garbage in [u32::MAX, 0, 4095, 0x8000_0000] {
        let dir = folder();
        let (mut log, _) = open(dir.path());
        fill(&mut log, 7, 1, 1..3, 100);
        drop(log);
        let file = &used(dir.path())[0];
        let sealed = |bytes: &mut [u8]| {
            bytes[32..36].copy_from_slice(&garbage.to_le_bytes());
            let crc = crc32c::crc32c(&bytes[8..64]);
            bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        };
        patch(file, 2 * BLOCK, sealed, 64);
        assert_eq!(open(dir.path()).1.groups[&GroupId(7)].last.index, Index(1));
        patch(file, BLOCK + 64 + 24, |len| len.copy_from_slice(&garbage.to_le_bytes()), 4);
        refusal(config(dir.path()));
    }
}

#[test]
fn files_that_were_never_in_use_are_no_part_of_the_log() {
    let dir = folder();
    written(dir.path(), 5);
    for (name, bytes) in [(0x50, vec![]), (0x51, vec![0; 70_000]), (0x52, vec![0xEE; 8192])] {
        std::fs::write(dir.path().join(format!("{name:016x}.seg")), bytes).unwrap();
    }
    let (mut log, _) = open(dir.path());
    check(&log.wal().reader(), 7, &[1; 5], 2000);
    fill(&mut log, 7, 1, 6..8, 2000);
    drop(log);
    // A header and nothing behind it: an empty segment.
    let last = used(dir.path()).pop().unwrap();
    patch(&last, BLOCK, |bytes| bytes.fill(0), 3 * BLOCK as usize);
    let (log, found) = open(dir.path());
    check(&log.wal().reader(), 7, &[1; 5], 2000);
    assert_eq!((found.segments, found.torn_tail), (2, None));
}

#[test]
fn a_shortened_file_is_refused() {
    let dir = folder();
    written(dir.path(), 5);
    let file = std::fs::OpenOptions::new().write(true).open(&used(dir.path())[0]).unwrap();
    file.set_len(100 << 10).unwrap();
    let error = refusal(config(dir.path()));
    assert!(matches!(error, OpenError::Truncated { expected: 262_144, .. }), "{error}");
}

#[test]
fn another_store_or_core_is_refused() {
    let dir = folder();
    written(dir.path(), 1);
    let other = WalConfig { store: STORE + 1, ..config(dir.path()) };
    assert!(
        matches!(refusal(other), OpenError::WrongStore { expected, .. } if expected == STORE + 1)
    );
    let other = WalConfig { core: 4, ..config(dir.path()) };
    assert!(matches!(refusal(other), OpenError::WrongCore { found: 3, expected: 4, .. }));
}

/// Changes the header of a segment and repairs its checksum.
fn rewrite_header(file: &Path, at: usize, bytes: &[u8]) {
    let change = |block: &mut [u8]| {
        block[at..at + bytes.len()].copy_from_slice(bytes);
        block[12..16].fill(0);
        let crc = crc32c::crc32c(block);
        block[12..16].copy_from_slice(&crc.to_le_bytes());
    };
    patch(file, 0, change, BLOCK as usize);
}

#[test]
fn a_newer_format_is_refused_and_a_compatible_one_opens() {
    let dir = folder();
    written(dir.path(), 3);
    let file = &used(dir.path())[0];
    rewrite_header(file, 24, &[0xFF; 8]);
    rewrite_header(file, 10, &[9, 0]);
    check(&open(dir.path()).0.wal().reader(), 7, &[1; 3], 2000);
    rewrite_header(file, 16, &[4]);
    assert!(matches!(refusal(config(dir.path())), OpenError::Features { bits: 4, .. }));
    rewrite_header(file, 8, &[2]);
    let error = refusal(config(dir.path())).to_string();
    assert!(error.contains("format version 2"), "{error}");
}

#[test]
fn numbers_at_their_end_are_refused_without_a_panic() {
    let dir = folder();
    written(dir.path(), 3);
    for name in [0, u64::MAX, 1 << 62] {
        std::fs::write(dir.path().join(format!("{name:016x}.seg")), [0; 8192]).unwrap();
    }
    let (mut log, _) = open(dir.path());
    check(&log.wal().reader(), 7, &[1; 3], 2000);
    fill(&mut log, 7, 1, 4..6, 2000);
    for index in [0, 1 << 62, u64::MAX] {
        let refused = log.wal_mut().append(GroupId(9), None, &[entry(9, 1, index, 8)]);
        assert!(matches!(refused, Err(wal::AppendError::Gap { .. })));
    }
    log.close().unwrap();
    check(&open(dir.path()).0.wal().reader(), 7, &[1; 5], 2000);
    let last = used(dir.path()).pop().unwrap();
    for at in [72, 88] {
        let before = std::fs::read(&last).unwrap();
        for number in [u64::MAX, u64::MAX - 1, 1 << 62] {
            rewrite_header(&last, at, &number.to_le_bytes());
            assert!(matches!(refusal(config(dir.path())), OpenError::DamagedHeader { .. }));
        }
        rewrite_header(&last, at, &before[at..at + 8]);
    }
    check(&open(dir.path()).0.wal().reader(), 7, &[1; 5], 2000);
}

#[test]
fn an_index_at_its_end_is_a_hole_without_a_panic() {
    for index in [0, 1 << 62, u64::MAX] {
        let (mut batch, mut builder) = (vec![0; 4096], Builder::default());
        builder.push_entry(&mut batch, GroupId(1), &entry(1, 1, index, 100));
        let expected = Expected { salt: 1, epoch: 1, batch_seq: 1, prev_chain: 0 };
        builder.seal(&mut batch, expected, 0, 0);
        let mut log = wal::index::LogIndex::default();
        assert!(log.apply(0, 4096, &batch).is_err());
        log.settle();
    }
}

#[test]
fn a_kind_of_entry_that_nobody_knows_is_refused() {
    let (mut batch, mut builder) = (vec![0; 4096], Builder::default());
    builder.push_entry(&mut batch, GroupId(1), &entry(1, 1, 1, 100));
    let expected = Expected { salt: 1, epoch: 1, batch_seq: 1, prev_chain: 0 };
    builder.seal(&mut batch, expected, 0, 0);
    let mut apply = |kind| {
        batch[64 + 29] = kind;
        wal::index::LogIndex::default().apply(0, 4096, &batch)
    };
    assert_eq!([0, 1, 2].map(&mut apply), [Ok(()); 3]);
    assert!(matches!(apply(3), Err(wal::index::Misfit::Unknown { offset: 64, .. })));
}

#[test]
fn a_second_opener_is_refused() {
    let dir = folder();
    let first = open(dir.path());
    let error = refusal(config(dir.path()));
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    drop(first);
    drop(open(dir.path()));
}

#[test]
fn settings_out_of_range_are_refused() {
    let dir = folder();
    let base = || config(dir.path());
    for bad in [
        WalConfig { segment_bytes: 100_000, ..base() },
        WalConfig { segment_bytes: 32 << 10, ..base() },
        WalConfig { segment_bytes: 256 << 20, ..base() },
        WalConfig { depth: 0, ..base() },
        WalConfig { depth: 65, ..base() },
        WalConfig { batch_bytes_max: 0, ..base() },
    ] {
        assert!(matches!(refusal(bad), OpenError::Config(_)));
    }
    assert!(segments(dir.path()).is_empty());
}

#[test]
fn a_damaged_entry_is_never_handed_out() {
    let dir = folder();
    written(dir.path(), 5);
    let (log, _) = open(dir.path());
    let reader = log.wal().reader();
    flip(&used(dir.path())[0], 3 * BLOCK + 64 + 40 + 7);
    let mut out = Vec::new();
    let read = reader.entries(GroupId(7), Index(1), Index(6), usize::MAX, &mut out);
    assert_eq!((read, out.len()), (Err(StorageError::Corrupt), 2));
}
