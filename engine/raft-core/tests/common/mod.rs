//! A disk that loses what was not synced, and a cluster in memory with a dishonest network.
#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

pub(crate) mod admin;
pub(crate) mod cluster;
pub(crate) mod disk;
pub(crate) mod heal;
pub(crate) mod oracle;
pub(crate) mod random;
pub(crate) mod solo;
pub(crate) mod weather;

use raft_core::{Index, LogId, Term};

/// An entry's identity, short.
pub(crate) fn id(term: u64, index: u64) -> LogId {
    LogId::new(Term(term), Index(index))
}
