//! `raft-core` beside raft-rs.
//!
//! `RAFT_SEEDS` (how many) and `RAFT_SEED` (the first) widen the run:
//! `RAFT_SEEDS=100000 cargo test -p raft-differential --profile checked -- --nocapture`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod changes;
mod cluster;
mod disk;
mod divergence;
mod model;
mod ours;
mod random;
mod single;
mod theirs;
mod translate;

use divergence::{Divergence, Tally};

/// How many seeds the tests take unless told otherwise, and how many it takes to see everything.
const SINGLES: u64 = 12_000;
const CHANGES: u64 = 3_000;
const CLUSTERS: u64 = 500;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Runs the seeds that are wanted. Returns whether they are enough to see everything.
fn run_seeds(test: &'static str, usual: u64, mut run: impl FnMut(u64)) -> bool {
    let first = setting("RAFT_SEED").unwrap_or(0);
    let seeds = setting("RAFT_SEEDS").unwrap_or(usual);
    for seed in first..first + seeds {
        let guard = Guard { test, seed };
        run(seed);
        std::mem::forget(guard);
    }
    seeds >= usual
}

#[test]
fn equal_states_and_inputs_give_equal_decisions() {
    single::hush();
    let mut tally = Tally::default();
    let name = "equal_states_and_inputs_give_equal_decisions";
    let all = run_seeds(name, SINGLES, |seed| single::run(seed, &mut tally));
    tally.report(Divergence::SINGLE, all);
}

#[test]
fn equal_configurations_change_alike() {
    let mut tally = Tally::default();
    let name = "equal_configurations_change_alike";
    let all = run_seeds(name, CHANGES, |seed| changes::run(seed, &mut tally));
    tally.report(Divergence::CHANGES, all);
}

#[test]
fn equal_schedules_give_equal_histories() {
    let mut tally = Tally::default();
    let name = "equal_schedules_give_equal_histories";
    let all = run_seeds(name, CLUSTERS, |seed| cluster::run(seed, &mut tally));
    tally.report(Divergence::CLUSTER, all);
    // Mostly the two are at one about who leads, or little is compared.
    let (syncs, kept) = ("synchronisations", "histories under one leader");
    assert!(tally.count(kept) * 10 > tally.count(syncs) * 9);
    assert!(!all || tally.count("reads of leaders cut off") > 0);
}

/// Says how to run a seed that fails again.
struct Guard {
    test: &'static str,
    seed: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Self { test, seed } = self;
        eprintln!("again: RAFT_SEED={seed} RAFT_SEEDS=1 cargo test -p raft-differential {test}");
    }
}
