//! Seeded random runs of small clusters under faults; every output is checked against the laws.
//!
//! `RAFT_SEEDS` (how many), `RAFT_SEED` (the first) and `RAFT_STEPS` (per seed) widen the run:
//! `RAFT_SEEDS=60000 cargo test -p raft-core --profile checked --test properties -- --nocapture`.

mod common;

use common::cluster::Cluster;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn laws_hold_under_faults() {
    let (first, seeds) = (setting("RAFT_SEED", 0), setting("RAFT_SEEDS", 200));
    let steps = setting("RAFT_STEPS", 1500);
    let mut totals: Vec<(&str, u64)> = Vec::new();
    for seed in first..first + seeds {
        let guard = Guard(seed);
        let mut cluster = Cluster::new(seed, false);
        for _ in 0..steps {
            cluster.step();
        }
        cluster.recover();
        std::mem::forget(guard);
        let run = cluster.counts();
        totals.resize(run.len(), ("", 0));
        for (total, (name, n)) in totals.iter_mut().zip(run) {
            *total = (name, total.1 + n);
        }
    }
    let text: Vec<_> = totals.iter().map(|(name, n)| format!("{n} {name}")).collect();
    println!("{seeds} seeds, {} steps: {}", seeds * steps, text.join(", "));
    if seeds >= 200 {
        for (name, n) in totals {
            assert!(n > 0, "the run has seen no {name}, which it is there to see");
        }
    }
}

#[test]
fn a_seed_gives_one_history() {
    for seed in 0..8 {
        let run = || {
            let mut cluster = Cluster::new(seed, true);
            (0..1000).for_each(|_| cluster.step());
            cluster.recover();
            cluster.trace()
        };
        assert_eq!(run(), run(), "seed {seed}");
    }
}

/// Names the seed of a run that fails.
struct Guard(u64);

impl Drop for Guard {
    fn drop(&mut self) {
        eprintln!("failed with RAFT_SEED={} RAFT_SEEDS=1", self.0);
    }
}
