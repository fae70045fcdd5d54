//! `bench core`: consensus cores in one thread, without I/O, in alternating rounds.

mod commit;
mod idle;
mod instructions;
mod table;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::cores::{self, PAYLOAD_BYTES, System};
use crate::error::BenchError;
use crate::machine::Machine;
use crate::report::median;
use table::Row;

/// Entries per round with `--quick`, and otherwise.
const ENTRIES: (usize, usize) = (40_000, 200_000);
/// Rounds with `--quick`, and otherwise.
const ROUNDS: (usize, usize) = (5, 9);

/// Shown after the help of the suite.
pub(crate) const EXAMPLES: &str = "Examples:
  bench core --quick
  bench core --json core.json
  bench core --batch 1,16 --rounds 15 --instructions

With the other cores: cargo run --release -p bench --features peers -- core
What is measured how: bench/README.md";

/// What to measure, and how long.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CoreArgs {
    /// Fewer entries, rounds and ticks: done within half a minute, and noisier.
    #[arg(long)]
    quick: bool,
    /// Commands that are proposed together.
    #[arg(long, value_delimiter = ',', default_value = "1,8,64")]
    batch: Vec<usize>,
    /// Entries per round.
    #[arg(long)]
    entries: Option<usize>,
    /// Rounds; each measures every core once.
    #[arg(long)]
    rounds: Option<usize>,
    /// Idle groups that every core has.
    #[arg(long, default_value_t = 10_000)]
    groups: usize,
    /// Idle groups of one more measurement, of ours alone.
    #[arg(long, default_value_t = 100_000)]
    groups_alone: usize,
    /// Also count instructions per entry; needs valgrind and takes a minute.
    #[arg(long)]
    instructions: bool,
    /// Also write the figures to this file.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

/// What `bench core-bare` does.
#[derive(Clone, Debug, Args)]
pub(crate) struct BareArgs {
    /// Which core, by its name.
    #[arg(long, default_value = "FlareDB")]
    core: String,
    /// Commands that are proposed together.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Entries after those that warm up.
    #[arg(long, default_value_t = 10_000)]
    entries: usize,
    /// Entries that there is room for.
    #[arg(long)]
    room: Option<usize>,
}

/// The figures of one core for one thing.
#[derive(Clone, Debug, Serialize)]
struct Figures {
    core: &'static str,
    /// One per round; one in all for what does not vary.
    rounds: Vec<f64>,
}

impl Figures {
    fn new(core: &'static str) -> Self {
        Self { core, rounds: Vec::new() }
    }

    fn median(&self) -> f64 {
        median(self.rounds.iter().copied())
    }

    fn range(&self) -> (f64, f64) {
        let low = self.rounds.iter().copied().fold(f64::INFINITY, f64::min);
        (low, self.rounds.iter().copied().fold(0.0, f64::max))
    }
}

/// Everything `bench core` found.
#[derive(Debug, Serialize)]
pub(crate) struct CoreReport {
    machine: Machine,
    payload_bytes: usize,
    entries: usize,
    rows: Vec<Row>,
}

/// Measures and prints.
pub(crate) fn run(args: &CoreArgs) -> Result<CoreReport, BenchError> {
    let choose = |(quick, thorough)| if args.quick { quick } else { thorough };
    let rounds = args.rounds.unwrap_or(choose(ROUNDS));
    let entries = args.entries.unwrap_or(choose(ENTRIES));
    if rounds == 0 || entries == 0 || args.batch.contains(&0) || args.groups == 0 {
        let zero = "rounds, entries, batch and groups must not be zero";
        return Err(BenchError::Usage(zero.to_owned()));
    }
    let systems = cores::systems();
    let machine = Machine::look();
    machine.print();
    println!();
    println!("one thread, no I/O; medians of {rounds} alternating rounds (min..max);");
    println!("ours/peer: the median of the rounds' own ratios");
    if systems.len() == 1 {
        println!("ours only; beside other cores: cargo run --release -p bench --features peers");
    }
    println!();
    table::print_head();
    let mut report = CoreReport { machine, payload_bytes: PAYLOAD_BYTES, entries, rows: vec![] };
    commit::rates(&systems, args, rounds, entries, &mut report.rows)?;
    commit::allocations(&systems, args, &mut report.rows)?;
    if args.instructions {
        instructions::measure(&systems, &args.batch, &mut report.rows)?;
    }
    idle::measure(&systems, args, rounds, &mut report.rows)?;
    table::print_notes(&report.rows);
    Ok(report)
}

/// One core commits, and nothing else happens.
pub(crate) fn bare(args: &BareArgs) -> Result<(), BenchError> {
    let named = |system: &System| system.name.eq_ignore_ascii_case(&args.core);
    let system = cores::systems().into_iter().find(named);
    let system = system.ok_or_else(|| BenchError::Usage(format!("no core {}", args.core)))?;
    if args.batch == 0 {
        return Err(BenchError::Usage("batch must not be zero".to_owned()));
    }
    (system.bare)(args.batch, args.entries, args.room.unwrap_or(args.entries))
}

/// Rounds in which everyone is measured, each time somebody else first.
fn alternate(
    systems: &[System],
    rounds: usize,
    mut measure: impl FnMut(usize) -> Result<f64, BenchError>,
) -> Result<Vec<Figures>, BenchError> {
    let mut figures: Vec<_> = systems.iter().map(|system| Figures::new(system.name)).collect();
    for round in 0..rounds {
        for turn in 0..systems.len() {
            let at = (turn + round) % systems.len();
            figures[at].rounds.push(measure(at)?);
        }
    }
    Ok(figures)
}
