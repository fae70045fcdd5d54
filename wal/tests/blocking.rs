//! The blocking adapter: the tests of the log once more, and what only it can do.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(clippy::duplicate_mod, reason = "each of these is a program of its own too")]

#[path = "damage.rs"]
mod damage;
#[path = "full.rs"]
mod full;
#[path = "inspect.rs"]
mod inspect;
#[path = "kill.rs"]
mod kill;
#[path = "log.rs"]
mod log;
#[path = "recycle.rs"]
mod recycle;
#[path = "space.rs"]
mod space;

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use common::{Driver, check, config, entry, fill, folder, hard};
use raft_core::{GroupId, Index};
use tempfile::TempDir;
use wal::inspect::{Files, Verdict, verify};
use wal::{OpenError, WalConfig, blocking, uring};

fn by_ring(config: WalConfig) -> Driver {
    Driver::Ring(uring::Driver::open(config).unwrap().0)
}

fn by_files(config: WalConfig) -> Driver {
    Driver::Blocking(blocking::Driver::open(config).unwrap().0)
}

#[test]
fn the_tests_of_the_log_run_through_plain_files_here() {
    let dir = folder();
    let (log, _) = Driver::open(config(dir.path())).unwrap();
    assert!(matches!(log, Driver::Blocking(_)));
}

#[test]
fn a_log_written_by_one_adapter_opens_with_the_other() {
    for cut_short in [false, true] {
        let dir = folder();
        let mut next = 1;
        for open in [by_ring, by_files, by_files, by_ring, by_ring, by_files] {
            let mut log = open(config(dir.path()));
            check(&log.wal().reader(), 1, &vec![1; next as usize - 1], 900);
            fill(&mut log, 1, 1, next..next + 90, 900);
            next += 90;
            if cut_short {
                drop(log);
            } else {
                log.close().unwrap();
            }
        }
        let report = verify(&mut Files::open(dir.path()).unwrap()).unwrap();
        assert!(matches!(report.verdict, Verdict::Sound), "{report:?}");
    }
}

/// Writes a log, closes it and reads it again.
fn write_and_read(dir: &Path) {
    let mut log = by_files(config(dir));
    fill(&mut log, 1, 1, 1..301, 2000);
    let state = Some(hard(1, 2, 300));
    let mark = log.wal_mut().append(GroupId(2), state, &[entry(2, 1, 1, 0)]).unwrap();
    log.run_until(mark).unwrap();
    drop(log);
    for _ in 0..2 {
        let (log, found) = blocking::Driver::open(config(dir)).unwrap();
        assert_eq!(found.groups[&GroupId(2)].hard_state, hard(1, 2, 300));
        assert_eq!(found.groups[&GroupId(1)].last.index, Index(300));
        check(&log.wal().reader(), 1, &[1; 300], 2000);
        log.close().unwrap();
    }
    let report = verify(&mut Files::open(dir).unwrap()).unwrap();
    assert!(matches!(report.verdict, Verdict::Sound), "{report:?}");
}

#[test]
fn a_log_in_memory_is_written_and_read_again() {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    if !mounts.lines().any(|line| line.contains(" /dev/shm tmpfs ")) {
        println!("skipped: no file system in memory here");
        return;
    }
    write_and_read(&TempDir::new_in("/dev/shm").unwrap().path().join("wal"));
}

/// A mounted file system without direct I/O; unmounted at the end.
struct Plain(PathBuf);

impl Plain {
    fn mounted(point: &Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "ramfs", "none"]).arg(point).stderr(Stdio::null());
        let mounted = mount.status().is_ok_and(|status| status.success());
        mounted.then(|| Self(point.to_owned()))
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_file_system_without_direct_io_will_do() {
    let dir = folder();
    let Some(plain) = Plain::mounted(dir.path()) else {
        println!("skipped: no file system can be mounted here");
        return;
    };
    let home = plain.0.join("wal");
    let Err(uring::DriverError::Open(refused)) = uring::Driver::open(config(&home)) else {
        panic!("the ring needs direct I/O")
    };
    assert!(matches!(refused, OpenError::NoDirectIo { .. }), "{refused}");
    write_and_read(&home);
}

#[test]
fn an_idle_log_is_proven_by_a_beacon_when_its_time_has_come() {
    let dir = folder();
    let (mut log, _) = blocking::Driver::open(config(dir.path())).unwrap();
    assert_eq!((log.turn(), log.wal().next_deadline()), (Ok(0), None));
    let mark = log.wal_mut().append(GroupId(1), None, &[entry(1, 1, 1, 10)]).unwrap();
    assert_eq!((log.turn(), log.wal().durable()), (Ok(2), mark));
    let due = log.wal().next_deadline().unwrap();
    assert_eq!(log.turn(), Ok(0), "not yet");
    std::thread::sleep(due.saturating_duration_since(Instant::now()));
    assert_eq!(log.turn(), Ok(1));
    assert_eq!((log.turn(), log.wal().next_deadline()), (Ok(0), None));
    assert_eq!(log.wal().stats().writes, 2);
}
