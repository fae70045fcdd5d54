//! The adapter under a disk that fails, is full or slow, and a ring that is busy.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use io_uring::IoUring;
use raft_core::{EntryKind, Index, LogId, Term};
use tempfile::TempDir;

use super::*;
use crate::spare::Order;

fn folder() -> TempDir {
    let exe = std::env::current_exe().unwrap();
    TempDir::new_in(exe.parent().unwrap()).unwrap()
}

fn config(dir: &TempDir) -> WalConfig {
    WalConfig { segment_bytes: 64 << 10, tag: 9, ..WalConfig::new(dir.path()) }
}

fn entry(index: u64, len: usize) -> Entry {
    let id = LogId::new(Term(1), Index(index));
    Entry { id, kind: EntryKind::Normal, data: vec![7; len].into() }
}

fn append(wal: &mut Wal, index: u64, len: usize) -> Mark {
    wal.append(GroupId(1), None, &[entry(index, len)]).unwrap()
}

fn submit(wal: &mut Wal, ring: &mut IoUring) -> usize {
    wal.submit(Instant::now(), &mut ring.submission())
}

/// Waits for one completion and hands it over as `change` makes it.
fn reap(wal: &mut Wal, ring: &mut IoUring, change: impl FnOnce(i32) -> i32) {
    ring.submit_and_wait(1).unwrap();
    let done = ring.completion().next().unwrap();
    wal.complete(done.user_data(), change(done.result()));
}

/// A log with two batches in flight behind a durable one.
fn two_in_flight(dir: &TempDir, ring: &mut IoUring) -> (Wal, Mark) {
    let (mut wal, _) = Wal::open(WalConfig { batch_bytes_max: 4096, ..config(dir) }).unwrap();
    let first = append(&mut wal, 1, 100);
    assert_eq!(submit(&mut wal, ring), 2, "the header and the batch");
    reap(&mut wal, ring, |result| result);
    reap(&mut wal, ring, |result| result);
    assert_eq!(wal.durable(), first);
    for index in 2..5 {
        append(&mut wal, index, 3000);
    }
    assert_eq!(submit(&mut wal, ring), 2, "no more than the depth");
    (wal, first)
}

#[test]
fn a_failed_write_is_final() {
    for result in [-libc::EIO, -libc::ECANCELED, -libc::ENOSPC, 512, 0] {
        let (dir, mut ring) = (folder(), IoUring::new(8).unwrap());
        let (mut wal, first) = two_in_flight(&dir, &mut ring);
        reap(&mut wal, &mut ring, |_| result);
        let error = *wal.poisoned().unwrap();
        assert_eq!(matches!(error, WalError::Short { .. }), result >= 0, "{error}");
        reap(&mut wal, &mut ring, |result| result);
        assert_eq!(
            (wal.durable(), wal.in_flight()),
            (first, 0),
            "nothing in flight is acknowledged"
        );
        assert_eq!(submit(&mut wal, &mut ring), 0);
        let refused = wal.append(GroupId(1), None, &[entry(5, 1)]);
        assert_eq!(refused, Err(AppendError::Poisoned(error)));
        assert_eq!((wal.next_deadline(), wal.has_work()), (None, false));
        wal.close();
        assert!(wal.is_closed());
        drop(wal);
        assert!(Wal::open(config(&dir)).is_ok(), "another opening may try the disk again");
    }
}

#[test]
fn only_the_contiguous_prefix_is_acknowledged() {
    let (dir, mut ring) = (folder(), IoUring::new(8).unwrap());
    let (mut wal, first) = two_in_flight(&dir, &mut ring);
    ring.submit_and_wait(2).unwrap();
    let mut done: Vec<_> = ring.completion().map(|c| (c.user_data(), c.result())).collect();
    done.sort_unstable();
    wal.complete(done[1].0, done[1].1);
    assert_eq!((wal.durable(), wal.in_flight()), (first, 1));
    wal.complete(done[0].0 ^ 1 << 60, done[0].1);
    assert_eq!(wal.in_flight(), 1, "a completion of somebody else");
    wal.complete(done[0].0, done[0].1);
    assert_eq!((wal.durable(), wal.in_flight()), (Mark(first.0 + 2), 0));
}

#[test]
fn memory_of_writes_in_flight_outlives_the_log() {
    let (dir, mut ring) = (folder(), IoUring::new(8).unwrap());
    let (wal, _) = two_in_flight(&dir, &mut ring);
    let reader = wal.reader();
    drop(wal);
    assert_eq!(reader.term_at(GroupId(1), Index(1)), Ok(Term(1)));
    ring.submit_and_wait(2).unwrap();
}

#[test]
fn a_full_queue_only_delays() {
    let (dir, mut ring) = (folder(), IoUring::new(1).unwrap());
    let (mut wal, _) = Wal::open(config(&dir)).unwrap();
    let mark = append(&mut wal, 1, 100);
    assert_eq!(submit(&mut wal, &mut ring), 1);
    assert_eq!(submit(&mut wal, &mut ring), 0);
    while wal.durable() < mark {
        reap(&mut wal, &mut ring, |result| result);
        submit(&mut wal, &mut ring);
    }
}

#[test]
fn an_idle_log_writes_one_beacon_and_then_nothing() {
    let (dir, mut ring) = (folder(), IoUring::new(8).unwrap());
    let (mut wal, _) = Wal::open(config(&dir)).unwrap();
    assert_eq!((submit(&mut wal, &mut ring), wal.next_deadline()), (0, None));
    append(&mut wal, 1, 100);
    let start = Instant::now();
    let sq = |wal: &mut Wal, ring: &mut IoUring, at| wal.submit(at, &mut ring.submission());
    assert_eq!(sq(&mut wal, &mut ring, start), 2);
    reap(&mut wal, &mut ring, |result| result);
    reap(&mut wal, &mut ring, |result| result);
    assert_eq!(wal.next_deadline(), Some(start + BEACON_AFTER));
    assert_eq!(sq(&mut wal, &mut ring, start + BEACON_AFTER / 2), 0);
    assert_eq!(sq(&mut wal, &mut ring, start + BEACON_AFTER), 1);
    reap(&mut wal, &mut ring, |result| result);
    assert_eq!(sq(&mut wal, &mut ring, start + BEACON_AFTER * 9), 0);
    assert_eq!((wal.next_deadline(), wal.has_work()), (None, false));
}

#[test]
fn a_log_with_work_always_says_what_it_waits_for() {
    let (dir, mut ring) = (folder(), IoUring::new(128).unwrap());
    let config = WalConfig { batch_bytes_max: 16 << 10, depth: 3, ..config(&dir) };
    let (mut wal, _) = Wal::open(config).unwrap();
    let (mut random, mut index, mut last) = (7_u64, 0, Mark(0));
    // Only what a caller may rely on: it submits after appends, completions and deadlines.
    while index < 3000 || wal.durable() < last || wal.has_work() || wal.next_deadline().is_some() {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        for _ in 0..(random >> 60).min(3000 - index) {
            index += 1;
            last = append(&mut wal, index, (random >> 40) as usize % 5000);
        }
        submit(&mut wal, &mut ring);
        let waits = wal.in_flight() > 0 || wal.next_deadline().is_some();
        assert!(!wal.has_work() || waits, "nothing will wake this log up");
        if wal.in_flight() > 0 {
            reap(&mut wal, &mut ring, |result| result);
        } else if let Some(at) = wal.next_deadline() {
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
        }
        if index == 3000 && wal.durable() == last {
            wal.close();
        }
    }
    assert!(wal.is_closed() && wal.stats().segments > 10);
}

/// A workshop that fails with this error number while it is not zero.
fn failing(dir: &TempDir, error: &Arc<AtomicU32>) -> Workshop {
    let (error, mut real) =
        (Arc::clone(error), workshop(dir.path().to_owned(), 64 << 10, Access::Direct));
    Box::new(move |order, stop| match error.load(Ordering::Relaxed) {
        0 => real(order, stop),
        error => Err(io::Error::from_raw_os_error(error as i32)),
    })
}

#[test]
fn a_full_disk_refuses_after_a_while_and_resumes() {
    for (number, full) in [(libc::ENOSPC, true), (libc::EIO, false)] {
        let (dir, mut ring) = (folder(), IoUring::new(8).unwrap());
        let error = Arc::new(AtomicU32::new(if full { number as u32 } else { 0 }));
        let (mut wal, _) =
            Wal::open_with(config(&dir), Access::Direct, failing(&dir, &error)).unwrap();
        error.store(number as u32, Ordering::Relaxed);
        let (mut index, mut last) = (0, Mark(0));
        let refused = loop {
            submit(&mut wal, &mut ring);
            while wal.in_flight() > 0 {
                reap(&mut wal, &mut ring, |result| result);
            }
            index += 1;
            match wal.append(GroupId(1), None, &[entry(index, 40_000)]) {
                Ok(mark) => last = mark,
                Err(refused) => break refused,
            }
            assert!(index < 2000, "appends must end");
            if index > 100 && wal.no_spare.is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        assert_eq!(matches!(refused, AppendError::StorageFull { .. }), full, "{refused}");
        assert!(wal.poisoned().is_none() && wal.pending_bytes() > STARVED_BYTES_MAX);
        assert!(wal.next_deadline().is_some() && wal.stats().spare_misses > 0);
        error.store(0, Ordering::Relaxed);
        while wal.durable() < last {
            submit(&mut wal, &mut ring);
            match wal.in_flight() {
                0 => std::thread::sleep(Duration::from_millis(1)),
                _ => reap(&mut wal, &mut ring, |result| result),
            }
        }
        append(&mut wal, index, 100);
    }
}

#[test]
fn memory_is_bounded_while_a_segment_takes_its_time() {
    let (dir, mut ring) = (folder(), IoUring::new(8).unwrap());
    let go = Arc::new(AtomicU32::new(1));
    let (gate, mut real) =
        (Arc::clone(&go), workshop(dir.path().to_owned(), 64 << 10, Access::Direct));
    let slow = move |order, stop: &AtomicBool| {
        while gate.load(Ordering::Relaxed) == 0 && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        real(order, stop)
    };
    let (mut wal, _) = Wal::open_with(config(&dir), Access::Direct, Box::new(slow)).unwrap();
    go.store(0, Ordering::Relaxed);
    let mut last = Mark(0);
    let refused = (1..).find_map(|index| {
        submit(&mut wal, &mut ring);
        while wal.in_flight() > 0 {
            reap(&mut wal, &mut ring, |result| result);
        }
        let appended = wal.append(GroupId(1), None, &[entry(index, 40_000)]);
        appended.map(|mark| last = mark).err()
    });
    let expected = Some(libc::EAGAIN);
    assert!(matches!(refused, Some(AppendError::NoSegment { os_error, .. })
        if Some(os_error) == expected));
    assert!(wal.pending_bytes() < STARVED_BYTES_MAX + (1 << 20));
    go.store(1, Ordering::Relaxed);
    while wal.durable() < last {
        submit(&mut wal, &mut ring);
        match wal.in_flight() {
            0 => std::thread::sleep(Duration::from_millis(1)),
            _ => reap(&mut wal, &mut ring, |result| result),
        }
    }
}

#[test]
fn a_full_disk_is_told_once_and_the_thread_sleeps() {
    let dir = folder();
    let error = Arc::new(AtomicU32::new(libc::ENOSPC as u32));
    let mut spares =
        Spares::start(failing(&dir, &error), Vec::new(), VecDeque::new(), SegmentId(1)).unwrap();
    spares.order();
    assert!(spares.wait().unwrap().is_err());
    std::thread::sleep(Duration::from_millis(350));
    assert!(spares.poll().is_none(), "the same reason again");
    error.store(0, Ordering::Relaxed);
    assert!(spares.wait().unwrap().is_ok());
    let start = Instant::now();
    drop(spares);
    assert!(start.elapsed() < Duration::from_millis(50), "the end waits for a sleeping thread");
}

#[test]
fn unused_files_are_adopted_and_others_removed() {
    let dir = folder();
    let orders = Arc::new(Mutex::new(Vec::new()));
    drop(Wal::open(config(&dir)).unwrap());
    std::fs::write(dir.path().join(SegmentId(5).to_string()), b"half").unwrap();
    let (seen, mut real) =
        (Arc::clone(&orders), workshop(dir.path().to_owned(), 64 << 10, Access::Direct));
    let spy = move |order, stop: &_| {
        seen.lock().unwrap().push(order);
        real(order, stop)
    };
    drop(Wal::open_with(config(&dir), Access::Direct, Box::new(spy)).unwrap());
    let expected = [Order::Remove(SegmentId(5)), Order::Adopt(SegmentId(1))];
    assert_eq!(*orders.lock().unwrap(), expected);
}

/// Appends to segment after segment and keeps only the newest entry, until three were freed.
fn churn(wal: &mut Wal, ring: &mut IoUring, from: u64) -> u64 {
    let (mut index, freed) = (from, wal.stats().freed + 3);
    while wal.stats().freed < freed {
        append(wal, index, 40_000);
        let mark = wal.purge(GroupId(1), Index(index - 1)).unwrap();
        index += 1;
        while wal.durable() < mark || wal.shared.log.borrow().is_checkpointing() {
            submit(wal, ring);
            match wal.in_flight() {
                0 => std::thread::sleep(Duration::from_millis(1)),
                _ => reap(wal, ring, |result| result),
            }
        }
    }
    index
}

#[test]
fn freed_files_serve_again_unless_another_process_wrote_them() {
    let (dir, mut ring) = (folder(), IoUring::new(8).unwrap());
    let orders = Arc::new(Mutex::new(Vec::new()));
    let open = || {
        let (seen, mut real) =
            (Arc::clone(&orders), workshop(dir.path().to_owned(), 64 << 10, Access::Direct));
        let spy = move |order, stop: &_| {
            seen.lock().unwrap().push(order);
            real(order, stop)
        };
        Wal::open_with(config(&dir), Access::Direct, Box::new(spy)).unwrap().0
    };
    let recycled = |orders: &[Order]| {
        let old = |order: &Order| match order {
            Order::Recycle { old, new } => Some((*old, *new)),
            _ => None,
        };
        orders.iter().filter_map(old).collect::<Vec<_>>()
    };
    let mut wal = open();
    let next = churn(&mut wal, &mut ring, 1);
    let next = churn(&mut wal, &mut ring, next);
    drop(wal);
    let first = std::mem::take(&mut *orders.lock().unwrap());
    assert!(!recycled(&first).is_empty(), "{first:?}");
    assert!(recycled(&first).iter().all(|(old, new)| old < new));
    let mut wal = open();
    let boundary = wal.shared.log.borrow().writer().tail().segment;
    let end = churn(&mut wal, &mut ring, next);
    submit(&mut wal, &mut ring);
    let start = Instant::now();
    while !orders.lock().unwrap().contains(&Order::Remove(boundary)) {
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", orders.lock().unwrap());
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(wal);
    let second = std::mem::take(&mut *orders.lock().unwrap());
    assert!(recycled(&second).iter().all(|(old, _)| *old > boundary), "{second:?}");
    assert_eq!(open().reader().last_index(GroupId(1)), Index(end - 1));
}

#[test]
fn purging_makes_room_on_a_full_disk() {
    let (dir, mut ring) = (folder(), IoUring::new(8).unwrap());
    let mut real = workshop(dir.path().to_owned(), 64 << 10, Access::Direct);
    let path = dir.path().to_owned();
    // Room for six files, the lock among them.
    let small = move |order, stop: &AtomicBool| match order {
        Order::Make(_) if std::fs::read_dir(&path)?.count() >= 6 => {
            Err(io::Error::from_raw_os_error(libc::ENOSPC))
        }
        order => real(order, stop),
    };
    let (mut wal, _) = Wal::open_with(config(&dir), Access::Direct, Box::new(small)).unwrap();
    let mut turn = |wal: &mut Wal| {
        submit(wal, &mut ring);
        match wal.in_flight() {
            0 => std::thread::sleep(Duration::from_millis(1)),
            _ => reap(wal, &mut ring, |result| result),
        }
    };
    let (mut index, start) = (1, Instant::now());
    for _ in 0..4 {
        // Nothing is given up until the disk is full.
        while wal.no_spare.is_none() || wal.shared.log.borrow().writer().spares() > 0 {
            assert!(start.elapsed() < Duration::from_secs(60), "{:?}", wal.stats());
            if wal.shared.log.borrow().writer().spares() > 0 {
                let mark = append(&mut wal, index, 20_000);
                index += 1;
                while wal.durable() < mark {
                    turn(&mut wal);
                }
            }
            turn(&mut wal);
        }
        let freed = wal.stats().freed;
        wal.purge(GroupId(1), Index(index - 2)).unwrap();
        while wal.stats().freed < freed + 2 || wal.no_spare.is_some() {
            assert!(start.elapsed() < Duration::from_secs(60), "{:?}", wal.stats());
            turn(&mut wal);
        }
    }
    assert_eq!(wal.reader().last_index(GroupId(1)), Index(index - 1));
    assert!(wal.stats().segments > 10 && wal.poisoned().is_none());
}

#[test]
fn a_file_that_cannot_serve_again_is_replaced() {
    let dir = folder();
    let (old, new) = (SegmentId(3), SegmentId(9));
    std::fs::write(dir.path().join(old.to_string()), vec![7; 5000]).unwrap();
    let mut real = workshop(dir.path().to_owned(), 64 << 10, Access::Direct);
    let spare = real(Order::Recycle { old, new }, &AtomicBool::new(false)).unwrap().unwrap();
    assert!(!spare.recycled && spare.id == new && spare.file.metadata().unwrap().len() == 64 << 10);
    assert!(!dir.path().join(old.to_string()).exists());
    let spare = real(Order::Recycle { old: new, new: SegmentId(10) }, &AtomicBool::new(false));
    assert!(spare.unwrap().unwrap().recycled && !dir.path().join(new.to_string()).exists());
}

#[test]
fn the_probe_measures_something() {
    let dir = folder();
    let median = crate::probe_fsync(dir.path()).unwrap();
    assert!(median > Duration::ZERO && median < Duration::from_secs(5), "{median:?}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
