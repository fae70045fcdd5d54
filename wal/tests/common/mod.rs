//! What the tests share: a folder on the disk of the build, entries with a recognisable payload, a
//! log through the adapter under test.
#![allow(dead_code, unreachable_pub, reason = "each test file takes what it needs")]

use std::path::{Path, PathBuf};

use raft_core::{Entry, EntryKind, GroupId, HardState, Index, LogId, NodeId, Term};
use tempfile::TempDir;
use wal::{LogReader, Recovered, WalConfig};

mod driver;

pub use driver::Driver;

pub const STORE: u128 = 0x1234_5678_9ABC_DEF0_0FED_CBA9_8765_4321;
pub const BLOCK: u64 = 4096;

/// A folder on a real file system: the temporary one may be in memory.
pub fn folder() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Small segments, so that tests are quick and rotation happens.
pub fn config(dir: &Path) -> WalConfig {
    WalConfig { core: 3, store: STORE, segment_bytes: 256 << 10, tag: 0xA7, ..WalConfig::new(dir) }
}

pub fn open(dir: &Path) -> (Driver, Recovered) {
    Driver::open(config(dir)).unwrap()
}

/// Bytes that only this entry of this group has.
pub fn payload(group: u64, term: u64, index: u64, len: usize) -> Vec<u8> {
    let mut state = group << 40 ^ term << 20 ^ index ^ 0x9E37_79B9_7F4A_7C15;
    let byte = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(byte).collect()
}

pub fn entry(group: u64, term: u64, index: u64, len: usize) -> Entry {
    let kind = if len == 0 { EntryKind::NoOp } else { EntryKind::Normal };
    let id = LogId::new(Term(term), Index(index));
    Entry { id, kind, data: payload(group, term, index, len).into() }
}

pub fn hard(term: u64, vote: u64, commit: u64) -> HardState {
    let vote = (vote > 0).then_some(NodeId(vote));
    HardState { term: Term(term), vote, commit: Index(commit) }
}

/// Appends `range` of a group, one unit each, and waits until all is durable.
pub fn fill(log: &mut Driver, group: u64, term: u64, range: std::ops::Range<u64>, len: usize) {
    for index in range {
        let entries = [entry(group, term, index, len)];
        let mark = log.wal_mut().append(GroupId(group), None, &entries).unwrap();
        log.run_until(mark).unwrap();
    }
}

/// Checks that a group's durable log is exactly these terms from index 1 on, each payload of
/// `len` bytes.
pub fn check(reader: &LogReader, group: u64, terms: &[u64], len: usize) {
    let id = GroupId(group);
    assert_eq!(reader.last_index(id), Index(terms.len() as u64), "group {group}");
    let mut out = Vec::new();
    if !terms.is_empty() {
        let to = Index(terms.len() as u64 + 1);
        reader.entries(id, Index(1), to, usize::MAX, &mut out).unwrap();
    }
    assert_eq!(out.len(), terms.len());
    for (i, found) in out.iter().enumerate() {
        assert_eq!(*found, entry(group, terms[i], i as u64 + 1, len));
        assert_eq!(reader.term_at(id, found.id.index), Ok(Term(terms[i])));
    }
}

/// The name of a test as the command line of its program has it.
pub fn test_name(module: &str, name: &str) -> String {
    match module.split_once("::") {
        Some((_, inner)) => format!("{inner}::{name}"),
        None => name.to_owned(),
    }
}

/// The segment files of a folder, in ascending order.
pub fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|ending| ending == "seg"));
    found.sort();
    found
}

/// The segment files that are in use.
pub fn used(dir: &Path) -> Vec<PathBuf> {
    let mut found = segments(dir);
    found.retain(|path| std::fs::read(path).unwrap().iter().any(|&byte| byte != 0));
    found
}

/// Changes bytes of a file in place.
pub fn patch(path: &Path, offset: u64, change: impl FnOnce(&mut [u8]), len: usize) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, offset).unwrap();
    change(&mut bytes);
    file.write_all_at(&bytes, offset).unwrap();
    file.sync_all().unwrap();
}

/// Flips one bit of a file.
pub fn flip(path: &Path, offset: u64) {
    patch(path, offset, |bytes| bytes[0] ^= 0x10, 1);
}
