//! A deterministic cluster: the real replicas, log bytes, wire frames and state machines of several
//! nodes on one thread, in virtual time, through bad days that one number repeats.
//!
//! What is real: `raft-core` and `multi-raft`, the shard's turn ([`engine::bare`]), the write path,
//! bytes and recovery of `wal`, the hellos, frames and codecs of `net`, the key-value state machine
//! of `flaredb`. What is made up: time, disks, connections, processes and clients. Nothing here
//! touches a ring, a file, a socket or a clock.
//!
//! A run has two phases. First things go wrong, within what Raft promises to survive: what a disk
//! has acknowledged stays readable. Then everything heals, and within a bounded time all groups
//! must be led, serve and agree. Laws are checked at every turn, and at the end every key's
//! history must be linearizable.
//!
//! Start reading at [`run`], then `cluster.rs` (the loop), `turn.rs` (a node's turn), `oracle.rs`
//! (the laws), `plant.rs` (faults planted to see whether they are found).

mod cluster;
mod disk;
mod faults;
mod judge;
mod lanes;
mod linearizability;
mod machine;
mod mishaps;
mod network;
mod node;
mod oracle;
mod plant;
mod queue;
mod rng;
mod snapshots;
mod trace;
mod turn;
mod visits;
mod workload;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use faults::{FAULTS, Fault};
pub use plant::Plant;

/// Virtual time, in nanoseconds since the start of the run.
pub type Nanos = u64;

/// Nanoseconds of a millisecond.
pub const NANOS_PER_MS: Nanos = 1_000_000;

/// What a run may be told besides its seed.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A planted fault.
    pub plant: Option<Plant>,
    /// From when on the trace is kept as text.
    pub trace_from: Nanos,
    /// Until when the trace is kept, and the run goes on.
    pub until: Nanos,
}

impl Default for Options {
    fn default() -> Self {
        Self { plant: None, trace_from: Nanos::MAX, until: Nanos::MAX }
    }
}

/// A law that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// When.
    pub at: Nanos,
    /// Which, and how.
    pub what: String,
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The hash of everything that happened, in order.
    pub hash: u64,
    /// Virtual time that passed.
    pub simulated: Nanos,
    /// Events.
    pub events: u64,
    /// Faults of each kind.
    pub faults: BTreeMap<Fault, u64>,
    /// Operations that clients began.
    pub operations: u64,
    /// Operations whose answer is known.
    pub answered: u64,
    /// Elections won.
    pub elections: u64,
    /// Snapshots of other nodes installed.
    pub installs: u64,
    /// Entries committed.
    pub committed: u64,
    /// Facts held against the laws.
    pub checked: u64,
    /// Keys whose history was too long to decide.
    pub undecided: u64,
    /// What was broken, if anything.
    pub failure: Option<Failure>,
    /// The trace, as far as it was asked for.
    pub trace: Vec<String>,
}

/// Runs one seed.
#[must_use]
pub fn run(seed: u64, options: Options) -> Report {
    let mut cluster = cluster::Cluster::new(seed, options);
    let ended = catch_unwind(AssertUnwindSafe(|| cluster.run()));
    if let Err(panic) = ended {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        cluster.fail(format!("panic: {}", text.unwrap_or_default()));
    }
    cluster.report()
}

/// A checksum of bytes.
fn hash(bytes: &[u8]) -> u64 {
    u64::from(crc32c::crc32c(bytes)) << 24 ^ bytes.len() as u64
}
