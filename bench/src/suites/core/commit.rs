//! Propose to commit: how fast, and what it asks of the heap.

use super::table::{Goal, Row};
use super::{CoreArgs, Figures, alternate};
use crate::cores::{Corpus, System};
use crate::error::BenchError;
use crate::heap::Part;

/// Entries of the pass that counts allocations.
const COUNTED: usize = 16_384;
/// What is asked of ours beside omnipaxos, one command at a time and in batches.
const TIMES: (f64, f64) = (2.0, 2.5);
/// Zero to the digits that are shown.
const NO_ALLOCATION: f64 = 0.004;

/// Million entries per second.
pub(super) fn rates(
    systems: &[System],
    args: &CoreArgs,
    rounds: usize,
    entries: usize,
    rows: &mut Vec<Row>,
) -> Result<(), BenchError> {
    let corpus = Corpus::new();
    for &batch in &args.batch {
        let entries = entries.next_multiple_of(batch);
        let figures = alternate(systems, rounds, |at| {
            let took = (systems[at].commit)(&corpus, batch, entries)?;
            Ok(entries as f64 / took.as_secs_f64() / 1e6)
        })?;
        let times = if batch == 1 { TIMES.0 } else { TIMES.1 };
        let what = format!("propose -> commit, batch {batch}, M/s");
        Row::add(rows, what, 2, Goal::Times("omnipaxos", times), figures);
    }
    Ok(())
}

/// Heap allocations per entry, of the leader and of all three replicas.
pub(super) fn allocations(
    systems: &[System],
    args: &CoreArgs,
    rows: &mut Vec<Row>,
) -> Result<(), BenchError> {
    let corpus = Corpus::new();
    for &batch in &args.batch {
        let entries = COUNTED.next_multiple_of(batch);
        let mut leader = Vec::new();
        let mut total = Vec::new();
        for system in systems {
            let tallies = (system.count)(&corpus, batch, entries)?;
            let of = |part| tallies.of(part).allocations as f64 / entries as f64;
            let one = |figure| Figures { core: system.name, rounds: vec![figure] };
            leader.push(one(of(Part::Leader)));
            total.push(one(of(Part::Leader) + of(Part::Follower)));
        }
        let what = format!("allocations per entry, batch {batch}");
        Row::add(rows, format!("{what}, leader"), 2, Goal::AtMost(NO_ALLOCATION), leader);
        Row::add(rows, format!("{what}, all"), 2, Goal::None, total);
    }
    Ok(())
}
