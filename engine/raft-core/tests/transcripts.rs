//! Scenarios: each file in `transcripts/` claims something about Raft in prose, citing Diego
//! Ongaro's thesis "Consensus: Bridging Theory and Practice" (2014), and shows it step by step.
//!
//! A file is blocks separated by empty lines. A block is comments (`#`), or commands, a line `----`
//! and what they print; `examples/raft-script.rs` runs the same commands and `--help` there
//! explains them. After a change `RAFT_REWRITE=1 cargo test -p raft-core --test transcripts` writes
//! the outputs anew; then every difference is to be read against the thesis.
#![expect(clippy::unwrap_used, reason = "test code")]

mod script;

use std::fs;
use std::path::{Path, PathBuf};

use script::Interpreter;

fn transcripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "txt"));
    files.sort();
    files
}

/// Runs a transcript. Returns it with the outputs there are, and the interpreter at its end.
fn replay(text: &str) -> (String, Interpreter) {
    let mut interpreter = Interpreter::default();
    let mut blocks = Vec::new();
    for block in text.split("\n\n") {
        let commands = block.split_once("\n----").map_or(block, |(commands, _)| commands);
        let commands = commands.trim();
        let mut done: Vec<_> = commands.lines().flat_map(|l| interpreter.feed(l)).collect();
        done.extend(interpreter.finish());
        let output: String = done.iter().map(|d| d.output.as_str()).collect();
        let output = if output.is_empty() { "ok" } else { output.trim_end() };
        if done.is_empty() {
            blocks.push(commands.to_owned());
        } else {
            blocks.push(format!("{commands}\n----\n{output}"));
        }
    }
    blocks.retain(|b| !b.is_empty());
    (blocks.join("\n\n") + "\n", interpreter)
}

/// The first lines in which two texts differ.
fn difference(expected: &str, actual: &str) -> String {
    let mut lines = expected.lines().zip(actual.lines()).zip(1..);
    match lines.find(|((old, new), _)| old != new) {
        Some(((old, new), line)) => format!("line {line}\n  expected {old}\n  printed  {new}"),
        None => "one is longer".into(),
    }
}

#[test]
fn every_transcript_shows_what_happens() {
    let rewrite = std::env::var_os("RAFT_REWRITE").is_some();
    let files = transcripts();
    let count = files.len();
    let mut wrong = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let expected = fs::read_to_string(&file).unwrap();
        let claim = expected.split("\n\n").next().unwrap();
        assert!(claim.lines().all(|l| l.starts_with('#')), "{name} begins with a claim");
        assert!(claim.to_lowercase().contains("thesis"), "{name} cites the thesis");
        let (actual, _) = replay(&expected);
        assert!(!actual.contains("LAW BROKEN"), "{name} breaks a law:\n{actual}");
        if rewrite {
            fs::write(&file, &actual).unwrap();
        } else if actual != expected {
            wrong.push(format!("{name} {}", difference(&expected, &actual)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 25, "only {count} transcripts were found");
}

#[test]
fn a_second_run_prints_the_same() {
    for file in transcripts() {
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(replay(&text).0, replay(&text).0);
    }
}

/// Whatever is typed, one line answers it, and no law is broken by it.
#[test]
fn nonsense_is_refused_and_does_no_harm() {
    const NAMES: &str = "add-nodes campaign compact deliver-msgs forget-leader heal log-level \
        messages partition process-append process-apply process-ready propose propose-conf-change \
        raft-log raft-state read-index report-snapshot report-unreachable restart send-snapshot \
        set-randomized-election-timeout stabilize status tick tick-election tick-heartbeat \
        transfer-leadership nothing";
    const WORDS: &str = "1 2 3 4 9 0 -1 18446744073709551616 99999999999 x voters=(1,2,3) \
        voters=(1,2 learners=(4) index=10 term=0 term=7 timeout=5 timeout=0 from=1 to=2 to=9 \
        drop=(2) type=AppendEntries type=MsgVote type=x count=1 keep=true v4 l3 r1 r2 u2 v0 v \
        leave v1=true transition=explicit transition=implicit pre-vote=true check-quorum=true \
        async-storage-writes=true max-inflight=1 max-inflight=0 lease=2 lease=9 all writes=1 \
        torn=true status=moving = () ( ) ==";
    let (names, words): (Vec<_>, Vec<_>) =
        (NAMES.split_whitespace().collect(), WORDS.split_whitespace().collect());
    let mut seed = 1_u64;
    let mut below = move |bound: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % bound as u64) as usize
    };
    for round in 0..60 {
        let mut interpreter = Interpreter::default();
        let mut lines = vec!["add-nodes 3 voters=(1,2,3) index=10".to_owned()];
        for _ in 0..250 {
            let name = names[below(names.len())];
            let count = below(4);
            let said: Vec<_> = (0..count).map(|_| words[below(words.len())]).collect();
            lines.push(format!("{name} {}", said.join(" ")));
            // Bring it about that something goes on between the nonsense.
            let node = 1 + below(4);
            lines.push(match below(8) {
                0 => format!("campaign {node}"),
                1 => format!("tick {node} {}", below(6)),
                2 => format!("propose {node} x"),
                3 => "stabilize log-level=none".into(),
                4 => {
                    format!("propose-conf-change {node} {}", ["v4", "r4", "l4", "leave"][below(4)])
                }
                5 => format!("restart {node} writes={}", below(3)),
                6 => format!("process-ready {node}"),
                _ => format!("deliver-msgs {node} count=2"),
            });
        }
        for line in &lines {
            for done in interpreter.feed(line) {
                let sound = !done.output.contains("LAW BROKEN");
                assert!(sound, "round {round}, {}: {}", done.statement, done.output);
            }
        }
        assert!(interpreter.refused() > 0);
    }
}
