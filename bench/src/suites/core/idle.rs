//! What groups cost that have nothing to do.

use std::time::Instant;

use super::table::{Goal, Row};
use super::{CoreArgs, Figures, alternate};
use crate::cores::{Crowd, ELECTION_TICKS, HEARTBEAT_TICKS, Settle, System};
use crate::error::BenchError;
use crate::heap;

/// Nanoseconds per group and tick.
const NANOS: f64 = 5.0;
/// Bytes per replica.
const BYTES: f64 = 1024.0;
const REPLICAS: usize = 3;
/// Ticks per round with `--quick`, and otherwise: everything periodic has happened equally often.
const TICKS: (usize, usize) = (ELECTION_TICKS, 2 * ELECTION_TICKS);
/// Rounds of what is longest, with `--quick`.
const QUICK_ROUNDS: usize = 3;
/// Ticks per round of ours alone with `--quick`.
const QUICK_TICKS_ALONE: usize = 3 * HEARTBEAT_TICKS;

/// Time and memory, beside the peers and with more groups alone.
pub(super) fn measure(
    systems: &[System],
    args: &CoreArgs,
    rounds: usize,
    rows: &mut Vec<Row>,
) -> Result<(), BenchError> {
    let ticks = if args.quick { TICKS.0 } else { TICKS.1 };
    let rounds = if args.quick { rounds.min(QUICK_ROUNDS) } else { rounds };
    let able: Vec<System> = systems.iter().copied().filter(|s| s.crowd.is_some()).collect();
    measure_one(&able, args.groups, ticks, rounds, rows)?;
    if args.groups_alone > 0 {
        let ticks = if args.quick { QUICK_TICKS_ALONE } else { ticks };
        measure_one(&able[..1], args.groups_alone, ticks, rounds, rows)?;
    }
    Ok(())
}

fn measure_one(
    systems: &[System],
    groups: usize,
    ticks: usize,
    rounds: usize,
    rows: &mut Vec<Row>,
) -> Result<(), BenchError> {
    let mut crowds = Vec::new();
    let mut bytes = Vec::new();
    for system in systems {
        let Some(settle) = system.crowd else {
            continue;
        };
        let (crowd, tallies) = heap::counted(|| settled(settle, groups));
        crowds.push(crowd?);
        let per_replica = tallies.live() as f64 / (groups * REPLICAS) as f64;
        bytes.push(Figures { core: system.name, rounds: vec![per_replica] });
    }
    let figures = alternate(systems, rounds, |at| {
        let started = Instant::now();
        for _ in 0..ticks {
            crowds[at].tick()?;
        }
        Ok(started.elapsed().as_secs_f64() * 1e9 / (ticks * groups) as f64)
    })?;
    crowds.iter().try_for_each(|crowd| crowd.check())?;
    let what = format!("{groups} idle groups");
    Row::add(rows, format!("{what}, ns per tick"), 1, Goal::Below(NANOS), figures);
    Row::add(rows, format!("{what}, bytes/replica"), 0, Goal::AtMost(BYTES), bytes);
    Ok(())
}

/// Groups that have been idle for a while, and nothing else.
fn settled(settle: Settle, groups: usize) -> Result<Box<dyn Crowd>, BenchError> {
    let mut crowd = settle(groups)?;
    crowd.tick()?;
    crowd.trim();
    Ok(crowd)
}
