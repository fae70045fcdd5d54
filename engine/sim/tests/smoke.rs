//! A few bad days in every test run, and the promise that a seed repeats.

use sim::{NANOS_PER_MS, Options, run};

/// Seeds of the smoke: each draws sizes and faults of its own.
const SEEDS: std::ops::Range<u64> = 0..4;

#[test]
fn bad_days_break_no_law() {
    for seed in SEEDS {
        let report = run(seed, Options::default());
        let failure = report.failure.map(|f| f.what);
        assert_eq!(failure, None, "`sim run --seed {seed}` shows the trace");
        assert!(report.answered > 0 && report.elections > 0, "seed {seed} does nothing");
    }
}

#[test]
fn a_seed_gives_the_same_run_to_the_last_byte() {
    let short = Options { until: 8000 * NANOS_PER_MS, ..Options::default() };
    for seed in SEEDS.take(2) {
        let (one, two) = (run(seed, short), run(seed, short));
        assert_eq!((one.hash, one.events), (two.hash, two.events), "seed {seed}");
    }
    let hash = |seed| run(seed, short).hash;
    assert_ne!(hash(1), hash(2));
}
