//! Looks for bytes whose disk, as `play` reads them, makes recovery or inspection break a law or
//! panic.
//!
//! Needs a nightly toolchain and `cargo install cargo-fuzz`; from `wal`:
//!
//! ```text
//! cargo +nightly fuzz run -s none recover fuzz/corpus/recover tests/corpus -- \
//!     -max_len=512 -max_total_time=600
//! cargo +nightly fuzz run -s none recover fuzz/artifacts/recover/crash-...    # one finding again
//! cargo +nightly fuzz tmin -s none recover fuzz/artifacts/recover/crash-...   # the same, shorter
//! ```
//!
//! Without a sanitizer (`-s none`): recovery holds no unsafe code, and runs are faster by far. A
//! finding becomes a test with a name.
//!
//! What is worth keeping, the fewest runs that together reach every edge known, goes to
//! `tests/corpus`, which every `cargo test` replays:
//!
//! ```text
//! cargo +nightly fuzz run -s none recover tests/corpus fuzz/corpus/recover -- \
//!     -set_cover_merge=1 -use_counters=0 -max_len=512
//! ```
//!
//! When the meaning of bytes changes in `play`, or the format, the runs change with it: merge anew.
#![no_main]

#[path = "../play/mod.rs"]
mod play;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    play::run(bytes);
});
