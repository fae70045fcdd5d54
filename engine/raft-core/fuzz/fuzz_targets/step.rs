//! Looks for bytes whose run, as `play` reads them, breaks a law or panics.
//!
//! Needs a nightly toolchain and `cargo install cargo-fuzz`; from `engine/raft-core`:
//!
//! ```text
//! cargo +nightly fuzz run -s none step fuzz/corpus/step tests/corpus -- \
//!     -max_len=1024 -max_total_time=600
//! cargo +nightly fuzz run -s none step fuzz/artifacts/step/crash-...    # one finding again
//! cargo +nightly fuzz tmin -s none step fuzz/artifacts/step/crash-...   # the same, shorter
//! ```
//!
//! Without a sanitizer (`-s none`): the core holds no unsafe code, and runs are faster by far.
//! Its own laws are on, as in every build for fuzzing. A finding becomes a test with a name.
//!
//! What is worth keeping, the fewest runs that together reach every edge known, goes to
//! `tests/corpus`, which every `cargo test` replays:
//!
//! ```text
//! cargo +nightly fuzz run -s none step tests/corpus fuzz/corpus/step -- \
//!     -set_cover_merge=1 -use_counters=0 -max_len=1024
//! ```
//!
//! When the meaning of bytes changes in `play` the runs change with it: merge anew.
#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../play/mod.rs"]
mod play;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    play::run(bytes);
});
