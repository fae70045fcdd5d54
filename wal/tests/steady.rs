//! What a log costs while nothing new happens to it: no allocation per append, no time when idle.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Mutex;
use std::time::Duration;

use common::{Driver, config, entry, folder, hard};
use raft_core::{GroupId, Index, LogId, Term};
use wal::WalConfig;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is passed on to the allocator of the system.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        BYTES.with(|bytes| bytes.set(bytes.get() + layout.size() as u64));
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(at, layout) }
    }
}

/// Held by each test: they measure the whole process.
static ALONE: Mutex<()> = Mutex::new(());

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn an_append_allocates_nothing_but_its_share_of_the_index() {
    const GROUPS: u64 = 50;
    let _alone = ALONE.lock();
    let dir = folder();
    let settings = WalConfig { segment_bytes: 8 << 20, ..config(dir.path()) };
    let (mut log, _) = Driver::open(settings).unwrap();
    let mut entries = [entry(1, 1, 1, 1000)];
    let mut run = |from: u64, to: u64| {
        for index in from..to {
            entries[0].id = LogId::new(Term(1), Index(index));
            let mut mark = None;
            for group in 1..=GROUPS {
                let state = Some(hard(1, 1, index));
                mark = Some(log.wal_mut().append(GroupId(group), state, &entries).unwrap());
            }
            log.run_until(mark.unwrap()).unwrap();
        }
    };
    run(1, 300);
    let before = (ALLOCATIONS.get(), BYTES.get());
    run(300, 900);
    let appends = (600 * GROUPS) as f64;
    let calls = (ALLOCATIONS.get() - before.0) as f64 / appends;
    let bytes = (BYTES.get() - before.1) as f64 / appends;
    println!("{calls:.4} allocations and {bytes:.1} bytes an append, over {appends} appends");
    assert!(calls < 0.02, "{calls} allocations an append");
    assert!(bytes < 24.0, "{bytes} bytes an append");
}

/// Processor time of this process so far.
fn cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the value outlives the call, which fills it in.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn an_idle_log_takes_no_time() {
    let _alone = ALONE.lock();
    let dir = folder();
    let (mut log, _) = Driver::open(config(dir.path())).unwrap();
    let mark = log.wal_mut().append(GroupId(1), None, &[entry(1, 1, 1, 10)]).unwrap();
    log.run_until(mark).unwrap();
    log.run_until_idle().unwrap();
    assert_eq!((log.wal().has_work(), log.wal().next_deadline()), (false, None));
    std::thread::sleep(Duration::from_millis(100));
    let before = cpu();
    std::thread::sleep(Duration::from_millis(400));
    let used = cpu() - before;
    assert!(used < Duration::from_millis(8), "{used:?} of 400 ms");
}
