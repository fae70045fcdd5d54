//! Durable appends a second beside what the device does at most, in one run.
//!
//! `cargo run --release -p wal --example append [folder]`

#![expect(clippy::unwrap_used, reason = "a measurement that fails may stop")]

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use raft_core::{Entry, EntryKind, GroupId, Index, LogId, Term};
use wal::uring::Driver;
use wal::{Blocks, WalConfig};

const TIME: Duration = Duration::from_millis(700);
const GROUPS: u64 = 1000;
const PROBE_BYTES: u64 = 64 << 20;

fn main() {
    let base = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = base.join(format!("wal-append-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = zeros(&dir.join("raw"));
    println!("outstanding  payload   appends/s      MiB/s   p50 us   p99 us   raw 4 KiB/s   ratio");
    for outstanding in [1, 16, 64, 1024] {
        for payload in [128, 1024, 4096] {
            let raw = raw(&file);
            let log = dir.join("log");
            let found = appends(&log, outstanding, payload);
            std::fs::remove_dir_all(&log).unwrap();
            let mib = found.rate * payload as f64 / f64::from(1 << 20);
            println!(
                "{outstanding:11} {payload:8} {:11.0} {mib:10.1} {:8} {:8} {raw:13.0} {:7.2}",
                found.rate,
                found.p50.as_micros(),
                found.p99.as_micros(),
                found.rate / raw,
            );
        }
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

fn zeros(path: &Path) -> File {
    std::fs::write(path, vec![0; PROBE_BYTES as usize]).unwrap();
    File::open(path).unwrap().sync_all().unwrap();
    let flags = libc::O_DIRECT | libc::O_DSYNC;
    OpenOptions::new().write(true).custom_flags(flags).open(path).unwrap()
}

/// Durable 4 KiB writes a second, one after the other.
fn raw(file: &File) -> f64 {
    let mut block = Blocks::zeroed(4096);
    block.bytes_mut().fill(0xA5);
    let (start, mut writes) = (Instant::now(), 0_u64);
    while start.elapsed() < TIME {
        file.write_all_at(block.bytes(), writes * 4096 % PROBE_BYTES).unwrap();
        writes += 1;
    }
    writes as f64 / start.elapsed().as_secs_f64()
}

struct Found {
    rate: f64,
    p50: Duration,
    p99: Duration,
}

/// Keeps `outstanding` appends of `payload` bytes under way, over many groups.
fn appends(dir: &Path, outstanding: u64, payload: usize) -> Found {
    let (mut log, _) = Driver::open(WalConfig::new(dir)).unwrap();
    let mut state = 88_172_645_463_325_252_u64;
    let data: Vec<u8> = (0..payload)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect();
    let data = bytes::Bytes::from(data);
    let (mut sent, mut waiting) = (0_u64, std::collections::VecDeque::new());
    let (mut done, mut times) = (0_u64, Vec::new());
    let start = Instant::now();
    while start.elapsed() < TIME {
        let now = Instant::now();
        while (waiting.len() as u64) < outstanding {
            let id = LogId::new(Term(1), Index(1 + sent / GROUPS));
            let entry = Entry { id, kind: EntryKind::Normal, data: data.clone() };
            let mark = log.wal_mut().append(GroupId(1 + sent % GROUPS), None, &[entry]).unwrap();
            waiting.push_back((mark, now));
            sent += 1;
        }
        log.turn(Duration::from_millis(2)).unwrap();
        let (durable, now) = (log.wal().durable(), Instant::now());
        while waiting.front().is_some_and(|(mark, _)| *mark <= durable) {
            times.extend(waiting.pop_front().map(|(_, at)| now - at));
            done += 1;
        }
    }
    let rate = done as f64 / start.elapsed().as_secs_f64();
    times.sort_unstable();
    log.close().unwrap();
    Found { rate, p50: times[times.len() / 2], p99: times[times.len() * 99 / 100] }
}
