//! Replays what the fuzzer kept: every file under `corpus/` is a run. What the bytes mean,
//! `fuzz/play` knows; how to find more, `fuzz/fuzz_targets/recover.rs` says.

#[path = "../fuzz/play/mod.rs"]
mod play;

use std::path::Path;

#[test]
fn the_corpus_breaks_no_law() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut tally = play::Tally::default();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let guard = Guard(path.display().to_string());
        tally += play::run(&std::fs::read(&path).unwrap());
        std::mem::forget(guard);
    }
    eprintln!("{tally:#?}");
    tally.assert_seen(&[
        "continued",
        "crash",
        "mixed",
        "opened",
        "quarantined",
        "refused: batch",
        "refused: core",
        "refused: damaged header",
        "refused: features",
        "refused: hole",
        "refused: missing segment",
        "refused: record",
        "refused: store",
        "refused: stray segment",
        "refused: truncated",
        "refused: unknown record",
        "refused: version",
        "torn tail",
    ]);
}

/// Names the file of a run that fails.
struct Guard(String);

impl Drop for Guard {
    fn drop(&mut self) {
        eprintln!("failed with {}", self.0);
    }
}
