//! Durable appends: how many, how late, at what cost; and the longest wait.

use std::path::Path;
use std::time::Duration;

use super::progress::Progress;
use super::sample::{Cell, Sample};
use super::{STALL_TIMES, WalArgs, table};
use crate::error::BenchError;
use crate::logs::{self, Corpus, Load, LogSystem};
use crate::machine;
use crate::process::Scratch;

/// Time before a measurement: longer than any log takes to have its first segments.
const WARM_UP: Duration = Duration::from_millis(200);
/// How often a disturbed measurement is repeated; the last one counts, with what disturbed it.
const ATTEMPTS_MAX: usize = 8;
/// Where waits are looked for: many appends, many segments.
const STALL: Cell = Cell { outstanding: 16, payload: 4096 };

/// Every log in every cell.
pub(super) fn measure(args: &WalArgs, corpus: &Corpus) -> Result<Vec<Sample>, BenchError> {
    let measured = Duration::from_secs_f64(args.seconds());
    let rounds = args.rounds();
    println!("\ndurable appends, {rounds} alternating rounds of {measured:?} on fresh logs");
    table::print_head();
    let mut samples = Vec::new();
    for &outstanding in &args.outstanding {
        for &payload in &args.payload {
            let cell = Cell { outstanding, payload };
            let from = samples.len();
            rounds_of(args, corpus, cell, measured, rounds, &mut samples)?;
            table::print_cell(&samples[from..]);
        }
    }
    table::print_notes(&samples);
    Ok(samples)
}

/// One cell for longer.
pub(super) fn measure_stall(args: &WalArgs, corpus: &Corpus) -> Result<Vec<Sample>, BenchError> {
    let measured = Duration::from_secs_f64(args.seconds() * STALL_TIMES);
    let (rounds, mut samples) = (args.long_rounds(), Vec::new());
    rounds_of(args, corpus, STALL, measured, rounds, &mut samples)?;
    println!("\nlongest waits, {rounds} alternating rounds of {measured:?} on fresh logs");
    table::print_stall(&samples);
    Ok(samples)
}

/// Rounds in which everyone is measured, each time somebody else first.
fn rounds_of(
    args: &WalArgs,
    corpus: &Corpus,
    cell: Cell,
    measured: Duration,
    rounds: usize,
    samples: &mut Vec<Sample>,
) -> Result<(), BenchError> {
    let Cell { outstanding, payload } = cell;
    let load = Load { outstanding, payload, warm_up: WARM_UP, measured };
    let (systems, mut progress) = (args.systems(), Progress::default());
    for round in 0..rounds {
        for turn in 0..systems.len() {
            let system = systems[(turn + round) % systems.len()];
            let part = format!("wal: {outstanding} outstanding, {payload} bytes");
            progress.say(&part, &format!("round {} of {rounds}, {}", round + 1, system.name));
            samples.push(undisturbed(args, corpus, &load, round + 1, system)?);
        }
    }
    progress.clear();
    Ok(())
}

/// One measurement; again, if others took too much of the processors meanwhile.
fn undisturbed(
    args: &WalArgs,
    corpus: &Corpus,
    load: &Load,
    round: usize,
    system: LogSystem,
) -> Result<Sample, BenchError> {
    let mut attempt = 1;
    loop {
        if let Some(patience) = args.quiet {
            // A machine that stays busy shows in what was lost.
            machine::wait_until_quiet(Duration::from_secs(patience));
        }
        let done = once(&args.dir, corpus, load, system)?;
        let sample = Sample::new(system.name, load, round, &done);
        let calm = args.lost_max.is_none_or(|max| sample.lost_cores() <= max);
        if calm || attempt == ATTEMPTS_MAX {
            return Ok(sample);
        }
        attempt += 1;
    }
}

fn once(
    dir: &Path,
    corpus: &Corpus,
    load: &Load,
    system: LogSystem,
) -> Result<logs::Done, BenchError> {
    let scratch = Scratch::new(dir, "wal")?;
    (system.append)(scratch.path(), load, corpus)
}
