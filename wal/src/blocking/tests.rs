//! The adapter over a disk that fails, writes in pieces, lies about a flush, or is full.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use raft_core::{Entry, EntryKind, GroupId, Index, LogId, Term};
use tempfile::TempDir;

use super::*;
use crate::error::AppendError;
use crate::spare::{Workshop, workshop};
use crate::uring;

fn folder() -> TempDir {
    let exe = std::env::current_exe().unwrap();
    TempDir::new_in(exe.parent().unwrap()).unwrap()
}

fn config(dir: &TempDir) -> WalConfig {
    WalConfig {
        segment_bytes: 64 << 10,
        batch_bytes_max: 4096,
        tag: 9,
        ..WalConfig::new(dir.path())
    }
}

fn append(log: &mut Driver, index: u64, len: usize) -> Mark {
    let id = LogId::new(Term(1), Index(index));
    let entry = Entry { id, kind: EntryKind::Normal, data: vec![7; len].into() };
    log.wal_mut().append(GroupId(1), None, &[entry]).unwrap()
}

/// What a [`Faulty`] disk was asked to do and what it does.
#[derive(Default)]
struct Script {
    /// Calls so far, and the error of each that fails.
    writes: u64,
    syncs: u64,
    write_errors: BTreeMap<u64, i32>,
    sync_errors: BTreeMap<u64, i32>,
    /// Most bytes of one write; zero takes nothing. No limit if there is none.
    piece: Option<usize>,
}

struct Faulty(Rc<RefCell<Script>>);

impl Device for Faulty {
    fn write_at(&mut self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut script = self.0.borrow_mut();
        script.writes += 1;
        if let Some(&error) = script.write_errors.get(&script.writes) {
            return Err(io::Error::from_raw_os_error(error));
        }
        let len = script.piece.map_or(bytes.len(), |piece| piece.min(bytes.len()));
        if len == 0 { Ok(0) } else { file.write_at(&bytes[..len], offset) }
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        let mut script = self.0.borrow_mut();
        script.syncs += 1;
        match script.sync_errors.get(&script.syncs) {
            Some(&error) => Err(io::Error::from_raw_os_error(error)),
            None => file.sync_data(),
        }
    }
}

/// A log with one durable batch on a disk that does what the script says.
fn scripted(dir: &TempDir) -> (Driver, Rc<RefCell<Script>>, Mark) {
    let (mut log, _) = Driver::open(config(dir)).unwrap();
    let script = Rc::new(RefCell::new(Script::default()));
    log.device = Box::new(Faulty(Rc::clone(&script)));
    let mark = append(&mut log, 1, 100);
    assert_eq!((log.turn(), log.wal().durable()), (Ok(2), mark), "the header and the batch");
    assert_eq!((script.borrow().writes, script.borrow().syncs), (2, 1), "one flush for both");
    (log, script, mark)
}

/// The log stays stopped with this error and asks nothing of the disk any more.
fn assert_stopped(mut log: Driver, script: &Rc<RefCell<Script>>, durable: Mark) -> WalError {
    let error = *log.wal().poisoned().unwrap();
    let asked = (script.borrow().writes, script.borrow().syncs);
    for _ in 0..3 {
        assert_eq!(log.turn(), Err(error));
        assert_eq!(log.run_until(Mark(durable.0 + 1)), Err(error));
    }
    let refused = log.wal_mut().append(GroupId(2), None, &[]);
    assert_eq!(refused, Err(AppendError::Poisoned(error)));
    assert_eq!((script.borrow().writes, script.borrow().syncs), asked, "nothing is tried again");
    assert_eq!((log.wal().durable(), log.wal().in_flight()), (durable, 0));
    assert_eq!((log.wal().next_deadline(), log.wal().has_work()), (None, false));
    assert!(log.close().is_ok(), "what has stopped is closed at once");
    error
}

#[test]
fn a_failed_write_is_final() {
    for error in [libc::EIO, libc::ENOSPC, libc::EDQUOT] {
        for failing in [3, 4] {
            let dir = folder();
            let (mut log, script, first) = scripted(&dir);
            script.borrow_mut().write_errors.insert(failing, error);
            (2..5).for_each(|index| assert!(append(&mut log, index, 3000) > first));
            assert!(log.turn().is_err());
            // A write that went well beside it was not flushed and is not acknowledged.
            assert_eq!(script.borrow().writes, failing);
            let found = assert_stopped(log, &script, first);
            let offset = (failing - 1) * 4096;
            let segment = crate::SegmentId(1);
            assert_eq!(found, WalError::Write { segment, offset, os_error: error });
            assert!(Driver::open(config(&dir)).is_ok(), "another opening may try the disk again");
        }
    }
}

#[test]
fn a_failed_flush_is_final() {
    let dir = folder();
    let (mut log, script, first) = scripted(&dir);
    script.borrow_mut().sync_errors.insert(2, libc::EIO);
    (2..5).for_each(|index| assert!(append(&mut log, index, 3000) > first));
    assert!(log.turn().is_err());
    assert_eq!((script.borrow().writes, script.borrow().syncs), (4, 2));
    let found = assert_stopped(log, &script, first);
    assert!(matches!(found, WalError::Write { os_error: libc::EIO, .. }), "{found}");
}

#[test]
fn a_write_may_come_in_pieces_but_not_stop() {
    let dir = folder();
    let (mut log, script, _) = scripted(&dir);
    script.borrow_mut().piece = Some(1000);
    script.borrow_mut().write_errors.insert(4, libc::EINTR);
    let mark = append(&mut log, 2, 3000);
    log.run_until(mark).unwrap();
    assert_eq!(script.borrow().writes, 2 + 5 + 1, "five pieces and an interruption");
    script.borrow_mut().piece = Some(0);
    append(&mut log, 3, 3000);
    assert!(log.turn().is_err());
    let found = assert_stopped(log, &script, mark);
    assert!(matches!(found, WalError::Short { written: 0, expected: 4096, .. }), "{found}");
    let (log, found) = uring::Driver::open(config(&dir)).unwrap();
    assert_eq!((found.batches, log.wal().reader().last_index(GroupId(1))), (2, Index(2)));
}

#[test]
fn several_batches_share_a_flush() {
    let dir = folder();
    let (mut log, _) = Driver::open(WalConfig { depth: 8, ..config(&dir) }).unwrap();
    let script = Rc::new(RefCell::new(Script::default()));
    log.device = Box::new(Faulty(Rc::clone(&script)));
    let last = (1..9).map(|index| append(&mut log, index, 3000)).last().unwrap();
    assert_eq!((log.turn(), log.wal().durable()), (Ok(8), Mark(last.0 - 1)));
    assert_eq!((script.borrow().writes, script.borrow().syncs), (8, 1));
    // The newest batch might have grown meanwhile.
    assert_eq!((log.turn(), log.wal().durable()), (Ok(1), last));
}

#[test]
fn a_ring_gets_nothing_that_it_could_not_make_durable() {
    let (dir, mut ring) = (folder(), io_uring::IoUring::new(8).unwrap());
    let (mut log, _) = Driver::open(config(&dir)).unwrap();
    let mark = append(&mut log, 1, 100);
    assert_eq!(log.wal_mut().submit(Instant::now(), &mut ring.submission()), 0);
    assert!(log.wal().in_flight() == 0 && log.wal().durable() < mark);
    log.run_until(mark).unwrap();
}

/// A workshop that fails with this error number while it is not zero.
fn failing(dir: &TempDir, error: &Arc<AtomicU32>) -> Workshop {
    let error = Arc::clone(error);
    let mut real = workshop(dir.path().to_owned(), 64 << 10, Access::Buffered);
    Box::new(move |order, stop| match error.load(Ordering::Relaxed) {
        0 => real(order, stop),
        error => Err(io::Error::from_raw_os_error(error as i32)),
    })
}

#[test]
fn a_full_disk_refuses_after_a_while_and_resumes() {
    let dir = folder();
    let error = Arc::new(AtomicU32::new(libc::ENOSPC as u32));
    let opened = Wal::open_with(config(&dir), Access::Buffered, failing(&dir, &error));
    let (wal, _) = opened.unwrap();
    let mut log = Driver { wal, device: Box::new(Disk), written: Vec::new() };
    let (mut index, mut last) = (0, Mark(0));
    let refused = loop {
        log.turn().unwrap();
        let id = LogId::new(Term(1), Index(index + 1));
        let entry = Entry { id, kind: EntryKind::Normal, data: vec![7; 40_000].into() };
        match log.wal_mut().append(GroupId(1), None, &[entry]) {
            Ok(mark) => (index, last) = (index + 1, mark),
            Err(refused) => break refused,
        }
        assert!(index < 2000, "appends must end");
    };
    assert!(matches!(refused, AppendError::StorageFull { .. }), "{refused}");
    assert!(log.wal().poisoned().is_none() && log.wal().next_deadline().is_some());
    error.store(0, Ordering::Relaxed);
    log.run_until(last).unwrap();
    assert_eq!(log.wal().reader().last_index(GroupId(1)), Index(index));
    log.close().unwrap();
}
