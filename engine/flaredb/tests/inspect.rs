//! `flaredb inspect wal` on the log of a real node: whole, in use, damaged, taken apart.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use support::cluster::{free_dev_port, fresh_folder};
use support::node::{PROGRAM, wait_for};

/// One node at a time: all of them look for free ports from the same one on.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Exit code, standard output and standard error of `flaredb inspect wal`.
fn inspect(verb: &str, dir: &Path, rest: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(PROGRAM);
    let output = command.args(["inspect", "wal", verb]).arg(dir).args(rest).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn json(verb: &str, dir: &Path) -> (i32, Value) {
    let (code, said, _) = inspect(verb, dir, &["--json"]);
    (code, serde_json::from_str(&said).unwrap())
}

/// A node of one core and two groups over `data`, driven for so long.
fn dev(data: &Path, load: &str) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["dev", "--nodes", "1", "--cores", "1", "--groups", "2", "--load", load]);
    command.arg("--port").arg(free_dev_port().to_string()).arg("--data").arg(data);
    command.stdout(Stdio::null());
    command
}

/// The log folder of a node that has been driven and stopped.
fn written(data: &Path) -> PathBuf {
    let _alone = alone();
    assert!(dev(data, "300ms").status().unwrap().success());
    data.join("node-1/core-000/wal")
}

/// Flips a bit of the first segment.
fn flip(dir: &Path, offset: u64) {
    let path = dir.join("0000000000000001.seg");
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(&[byte[0] ^ 1]).unwrap();
    file.sync_all().unwrap();
}

#[test]
fn a_whole_log_is_shown_counted_and_exported() {
    let folder = fresh_folder();
    let dir = written(folder.path());
    let (code, said, _) = inspect("verify", &dir, &[]);
    assert!(code == 0 && said.starts_with("sound: 1 segments, "), "{said}");
    let (code, report) = json("verify", &dir);
    assert_eq!((code, &report["verdict"], &report["groups"]), (0, &"sound".into(), &2.into()));
    let (_, stat) = json("stat", &dir);
    assert_eq!((&stat["bytes"], &stat["batches"]["close"]), (&report["bytes"], &1.into()));
    assert_eq!(stat["kinds"][0]["name"], "ENTRY");
    let (_, said, _) = inspect("stat", &dir, &["--groups", "1"]);
    assert!(said.contains("2 groups, the 1 largest:"), "{said}");
    let (_, said, _) = inspect("tail", &dir, &["-n", "2"]);
    assert!(said.lines().count() == 3 && said.trim_end().ends_with("CLOSE"), "{said}");

    for group in stat["groups"].as_array().unwrap() {
        let (number, last) = (group["group"].to_string(), group["last_index"].as_u64().unwrap());
        let (code, said, _) = inspect("export", &dir, &["--group", &number]);
        let mut lines = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let state = lines.next().unwrap();
        assert_eq!(
            (code, state["last_index"].as_u64(), &state["vote"]),
            (0, Some(last), &1.into())
        );
        assert!(last > 20 && state["commit"].as_u64().unwrap() <= last, "{state}");
        let entries: BTreeMap<u64, Value> =
            lines.map(|line| (line["index"].as_u64().unwrap(), line)).collect();
        assert_eq!(entries.keys().copied().collect::<Vec<_>>(), (1..=last).collect::<Vec<_>>());
        assert_eq!((&entries[&1]["kind"], &entries[&1]["data"]), (&"no-op".into(), &"".into()));
        assert!(entries[&2]["data"].as_str().unwrap().len() > 10);
        let range = ["--group", &number, "--from", "3", "--to", "12"];
        let (_, said, _) = inspect("dump", &dir, &range);
        assert!(said.lines().count() == 11 && said.matches(" ENTRY ").count() == 10, "{said}");
    }
}

#[test]
fn a_log_in_use_is_only_looked_at_live() {
    let (folder, _alone) = (fresh_folder(), alone());
    let mut node = dev(folder.path(), "30s").spawn().unwrap();
    let dir = folder.path().join("node-1/core-000/wal");
    wait_for("writes", std::time::Duration::from_secs(30), || {
        let (code, said, _) = inspect("tail", &dir, &["--live", "-n", "30"]);
        code == 0 && said.matches(" NORMAL").count() >= 20
    });
    let (code, said, why) = inspect("verify", &dir, &[]);
    assert!(code == 2 && said.is_empty() && why.contains("in use by another process"), "{why}");
    let (code, said, why) = inspect("dump", &dir, &["--live"]);
    assert!(code == 0 && said.lines().count() > 30 && why.contains("may be in use"), "{why}");
    let (code, _, why) = inspect("quarantine", &dir, &["--yes"]);
    assert!(code == 2 && why.contains("in use by another process"), "{why}");
    let mut follow = Command::new(PROGRAM);
    follow.args(["inspect", "wal", "tail"]).arg(&dir).args(["--live", "-n", "1", "--follow"]);
    let mut follow = follow.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(follow.stdout.take().unwrap()).lines().skip(1).take(20);
    let batch = |line: String| line.split_whitespace().nth(2).unwrap().parse::<u64>().unwrap();
    let batches: Vec<u64> = lines.map(|line| batch(line.unwrap())).collect();
    assert!(batches.windows(2).all(|pair| pair[0] < pair[1]), "{batches:?}");
    follow.kill().unwrap();
    follow.wait().unwrap();
    node.kill().unwrap();
    node.wait().unwrap();
    let (code, report) = json("verify", &dir);
    assert!(code == 0 && report["batches"].as_u64().unwrap() > 30, "{report}");
}

#[test]
fn damage_is_named_and_taken_away_only_when_asked() {
    let folder = fresh_folder();
    let dir = written(folder.path());
    let (_, before) = json("verify", &dir);
    let (_, said, _) = inspect("dump", &dir, &["--group", "1", "--from", "9", "--to", "9"]);
    let offset: u64 =
        said.lines().nth(1).unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
    flip(&dir, offset + 40);
    let (code, said, _) = inspect("verify", &dir, &[]);
    let sentence = format!(
        "corruption: segment 0000000000000001.seg is damaged at offset {offset} (group 1 index 9)"
    );
    assert!(code == 1 && said.starts_with(&sentence), "{said}");
    let (code, report) = json("verify", &dir);
    let found = &report["damage"];
    assert_eq!((code, &report["verdict"]), (1, &"corruption".into()));
    assert_eq!(
        (&found["segment"], &found["offset"]),
        (&"0000000000000001.seg".into(), &offset.into())
    );
    assert_eq!((&found["group"], &found["index"]), (&1.into(), &9.into()));
    assert_eq!(report["gaps"].as_array().unwrap().len(), 1);
    let (code, _, why) = inspect("export", &dir, &["--group", "1"]);
    assert!(code == 2 && why.contains("is damaged at offset"), "{why}");
    let (code, said, _) = inspect("dump", &dir, &[]);
    assert!(
        code == 0 && said.contains("\n-- segment ") && said.contains("(behind a gap)"),
        "{said}"
    );

    let (code, said, _) = inspect("quarantine", &dir, &[]);
    assert!(code == 2 && said.contains("Nothing was changed. Repeat with --yes"), "{said}");
    assert!(said.contains("What this means") && !dir.join("quarantine").exists(), "{said}");
    assert_eq!(json("verify", &dir).1, report);
    let (code, said, _) = inspect("quarantine", &dir, &["--yes"]);
    assert!(code == 0 && said.contains("Done. What is left:\nsound: "), "{said}");
    assert!(dir.join("quarantine/0000000000000001.seg").exists());
    let (code, left) = json("verify", &dir);
    assert_eq!((code, &left["verdict"]), (0, &"sound".into()));
    assert!(left["batches"].as_u64() < before["batches"].as_u64(), "{left}");
    let (code, said, _) = inspect("quarantine", &dir, &["--yes"]);
    assert!(code == 0 && said.starts_with("nothing to move"), "{said}");
    // The node starts on what is left and goes on.
    written(folder.path());
    let (code, after) = json("verify", &dir);
    assert!(code == 0 && after["batches"].as_u64() > left["batches"].as_u64(), "{after}");
}

#[test]
fn mistakes_get_one_sentence() {
    let folder = fresh_folder();
    for verb in ["dump", "verify", "stat", "tail", "quarantine"] {
        let (code, said, why) = inspect(verb, folder.path(), &[]);
        assert!(code == 2 && said.is_empty() && why.lines().count() == 1, "{why}");
        assert!(why.starts_with("flaredb: ") && why.contains("holds no log"), "{why}");
        let (code, said, _) = inspect(verb, Path::new("--help"), &[]);
        assert!(code == 0 && said.contains("Examples:\n  flaredb inspect wal "), "{said}");
    }
    assert_eq!(inspect("export", folder.path(), &[]).0, 2, "the group is missing");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
