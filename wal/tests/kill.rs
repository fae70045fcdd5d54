//! A process that dies in the middle of its work loses nothing that it acknowledged.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Driver, check, config, entry, folder, hard, open, test_name};
use raft_core::{GroupId, Index};
use wal::WalConfig;

const DIR: &str = "WAL_KILL_DIR";
const GROUPS: u64 = 3;

/// Appends for ever and prints the last index of each group after it is durable.
fn child(dir: &Path) {
    let (mut log, _) = Driver::open(WalConfig { depth: 4, ..config(dir) }).unwrap();
    let (reader, mut out) = (log.wal().reader(), std::io::stdout().lock());
    let mut last = reader.last_index(GroupId(1)).0;
    loop {
        let mut mark = None;
        for _ in 0..8 {
            last += 1;
            for group in 1..=GROUPS {
                let entries = [entry(group, 1, last, 700)];
                let state = Some(hard(1, 1, last));
                mark = Some(log.wal_mut().append(GroupId(group), state, &entries).unwrap());
            }
        }
        log.run_until(mark.unwrap()).unwrap();
        // Ends this process when nobody listens any more.
        out.write_all(format!("acked {last}\n").as_bytes()).unwrap();
    }
}

#[test]
fn what_a_killed_process_acknowledged_is_there() {
    if let Some(dir) = std::env::var_os(DIR) {
        child(Path::new(&dir));
    }
    let name = test_name(module_path!(), "what_a_killed_process_acknowledged_is_there");
    let dir = folder();
    let mut before = 0;
    for round in 0..6 {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &name, "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (begun, begins) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            let acked = lines.map_while(Result::ok);
            let acked = acked.filter_map(|line| line.strip_prefix("acked ")?.parse::<u64>().ok());
            acked.inspect(|_| begun.send(()).unwrap_or(())).last().unwrap_or(0)
        });
        // However long a busy machine takes to start it.
        begins.recv_timeout(Duration::from_secs(60)).unwrap();
        std::thread::sleep(Duration::from_millis(250 + 60 * round));
        process.kill().unwrap();
        process.wait().unwrap();
        let acked = reader.join().unwrap();
        assert!(acked > before, "the process did nothing");
        let (log, found) = open(dir.path());
        for group in 1..=GROUPS {
            let state = &found.groups[&GroupId(group)];
            assert!(state.last.index >= Index(acked), "{acked} was acknowledged: {state:?}");
            assert!(state.hard_state.commit <= state.last.index, "{state:?}");
            check(&log.wal().reader(), group, &vec![1; state.last.index.0 as usize], 700);
        }
        before = acked;
        // The groups may differ by one unit; the next round continues where all of them are.
        let last = found.groups.values().map(|group| group.last.index).min().unwrap();
        level(log, last);
    }
}

/// Brings all groups to the same last index by overwriting what lies beyond.
fn level(mut log: Driver, last: Index) {
    for group in 1..=GROUPS {
        let entries = [entry(group, 1, last.0, 700)];
        let mark =
            log.wal_mut().append(GroupId(group), Some(hard(1, 1, last.0)), &entries).unwrap();
        log.run_until(mark).unwrap();
    }
    log.close().unwrap();
}
