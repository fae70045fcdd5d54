//! Bytes as a run of inputs: what the fuzzer finds, the tests replay, with no other interpreter in
//! between.
//!
//! The first byte chooses between [`alone`], one core whose peers lie and whose disk fails, and
//! [`together`], four honest nodes under a scheduler that means no good. The bytes that follow are
//! settings, then inputs. Every sequence of bytes is a run, a shorter one is the beginning of it,
//! and equal bytes are equal runs.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a run that cannot go on fails")]

mod alone;
mod reader;
mod tally;
mod together;
mod words;

use alone::alone;
pub(crate) use tally::Tally;
use together::together;

/// One run.
pub(crate) fn run(bytes: &[u8]) -> Tally {
    match bytes.split_first() {
        Some((first, rest)) if first % 2 == 0 => alone(rest),
        Some((_, rest)) => together(rest),
        None => Tally::default(),
    }
}
