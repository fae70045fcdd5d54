//! Replays what the fuzzer kept: every file under `corpus/` is a run. What the bytes mean,
//! `fuzz/play` knows; how to find more, `fuzz/fuzz_targets/step.rs` says.

mod common;
#[path = "../fuzz/play/mod.rs"]
mod play;

use std::path::Path;

#[test]
fn the_corpus_breaks_no_law() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut tally = play::Tally::default();
    for file in std::fs::read_dir(folder).expect("a folder") {
        let path = file.expect("a file").path();
        let guard = Guard(path.display().to_string());
        tally += play::run(&std::fs::read(&path).expect("readable"));
        std::mem::forget(guard);
    }
    tally.assert_seen(&[
        "change of members",
        "established",
        "fault: two leaders",
        "leader crashed",
        "proposal lost",
        "read ready",
        "snapshot installed",
        "snapshot sent",
        "transfer aborted",
    ]);
}

/// Names the file of a run that fails.
struct Guard(String);

impl Drop for Guard {
    fn drop(&mut self) {
        eprintln!("failed with {}", self.0);
    }
}
