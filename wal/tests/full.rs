//! A disk that is really full: a small file system in a file. Skipped where it may not be mounted.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Driver, check, config, entry, folder};
use raft_core::GroupId;
use wal::{AppendError, Mark, WalConfig};

/// A mounted file system of 64 MiB; unmounted at the end.
struct Small(PathBuf);

impl Small {
    fn mounted(dir: &Path) -> Option<Self> {
        let (image, point) = (dir.join("image"), dir.join("mounted"));
        std::fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        std::fs::create_dir(&point).unwrap();
        let ran = |command: &mut Command| {
            let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
            quiet.status().is_ok_and(|status| status.success())
        };
        let made = ran(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))
            && ran(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&point));
        made.then_some(Self(point))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn settings(dir: &Path) -> WalConfig {
    WalConfig { segment_bytes: 4 << 20, ..config(dir) }
}

/// Appends from `next` on until the log refuses; the next index and the last mark.
fn until_full(log: &mut Driver, mut next: u64) -> (u64, Mark) {
    let (start, mut last) = (Instant::now(), Mark(0));
    loop {
        assert!(start.elapsed() < Duration::from_secs(60), "the disk does not fill up");
        match log.wal_mut().append(GroupId(1), None, &[entry(1, 1, next, 60_000)]) {
            Ok(mark) => (next, last) = (next + 1, mark),
            Err(AppendError::StorageFull { .. }) => return (next, last),
            // The thread has not come to the end of the disk yet.
            Err(AppendError::NoSegment { os_error: libc::EAGAIN, .. }) => {}
            Err(other) => panic!("{other}"),
        }
        log.turn(Duration::from_millis(1)).unwrap();
    }
}

#[test]
fn a_disk_that_is_really_full_refuses_and_resumes() {
    let dir = folder();
    let Some(small) = Small::mounted(dir.path()) else {
        println!("skipped: no file system can be mounted here");
        return;
    };
    let (ballast, home) = (small.0.join("ballast"), small.0.join("wal"));
    std::fs::write(&ballast, vec![1; 24 << 20]).unwrap();
    let (mut log, _) = Driver::open(settings(&home)).unwrap();
    let (next, last) = until_full(&mut log, 1);
    let durable = log.wal().reader().last_index(GroupId(1)).0;
    assert!(durable > 100 && log.wal().durable() < last && log.wal().poisoned().is_none());
    check(&log.wal().reader(), 1, &vec![1; durable as usize], 60_000);
    // What waits becomes durable by itself once there is space.
    std::fs::remove_file(&ballast).unwrap();
    log.run_until(last).unwrap();
    check(&log.wal().reader(), 1, &vec![1; next as usize - 1], 60_000);
    // A log opens on a full disk and is read there, and a shutdown does not wait for space.
    let (end, _) = until_full(&mut log, next);
    let durable = log.wal().reader().last_index(GroupId(1)).0;
    drop(log);
    assert!(durable < end);
    let (log, found) = Driver::open(settings(&home)).unwrap();
    assert!(found.torn_tail.is_none());
    check(&log.wal().reader(), 1, &vec![1; durable as usize], 60_000);
    drop(log);
}
