//! Planted faults that a few seeds must find, each by breaking the law it is known to break. `sim
//! plants` counts them all.

use sim::{Options, Plant, run};

/// The seeds that are tried.
const SEEDS: std::ops::Range<u64> = 0..6;

fn assert_found(plant: Plant, law: &str) {
    let failure = |seed| run(seed, Options { plant: Some(plant), ..Options::default() }).failure;
    let found: Vec<String> = SEEDS.filter_map(failure).take(1).map(|f| f.what).collect();
    assert!(found.iter().any(|what| what.contains(law)), "{plant:?} breaks {found:?}, not {law}");
}

#[test]
fn careless_hosts_are_found() {
    assert_found(Plant::AckBeforeDurable, "Persist Before Send");
    assert_found(Plant::CountAckTwice, "Committed Is Durable");
    assert_found(Plant::ForgetHardState, "does not start");
    assert_found(Plant::AnswerTwice, "answered twice");
}

#[test]
fn careless_state_machines_are_found() {
    assert_found(Plant::ApplyTwice, "Equal States");
    assert_found(Plant::SkipApply, "Equal States");
    assert_found(Plant::LocalClock, "Equal States");
}

#[test]
fn careless_readers_are_found() {
    assert_found(Plant::AnyReplicaReads, "Linearizability");
}
