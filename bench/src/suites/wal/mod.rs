//! `bench wal`: durable appends to write-ahead logs and to the bare disk, in alternating rounds.

mod append;
mod goals;
mod progress;
mod recovery;
mod sample;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::error::BenchError;
use crate::logs::{self, Corpus, LogSystem, RAFT_ENGINE, READY};
use crate::machine::Machine;
use goals::Goal;
pub(crate) use recovery::OpenArgs;
use recovery::Reopened;
use sample::Sample;

/// Seconds of a measurement with `--quick`, and otherwise.
const SECONDS: (f64, f64) = (0.3, 1.0);
/// Rounds with `--quick`, and otherwise.
const ROUNDS: (usize, usize) = (3, 7);
/// As for the rounds, of the parts whose runs are long.
const LONG_ROUNDS: (usize, usize) = (1, 3);
/// MiB of payload that are written to be recovered.
const RECOVERY_MIB: (u64, u64) = (128, 1024);
/// A run of the stall part is so many times as long: it must see many changes of segments.
const STALL_TIMES: f64 = 5.0;

/// Shown after the help of the suite.
pub(crate) const EXAMPLES: &str = "Examples:
  bench wal --dir /var/lib/flaredb --quick
  bench wal --dir /var/lib/flaredb --all --json wal.json
  bench wal --outstanding 16 --payload 128,4096 --rounds 15
  bench wal --recovery --recovery-mib 512

With the other logs: cargo run --release -p bench --features peers -- wal
What is measured how: bench/README.md";

/// What to measure, and how long.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WalArgs {
    /// A folder on the disk to measure; nothing stays behind.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Shorter and fewer rounds, less to recover: done within two minutes, and noisier.
    #[arg(long)]
    quick: bool,
    /// Measure durable appends. The part that runs when none is named.
    #[arg(long)]
    append: bool,
    /// Measure the longest wait around changes of segments.
    #[arg(long)]
    stall: bool,
    /// Measure opening, reading, and the memory of the index.
    #[arg(long)]
    recovery: bool,
    /// All parts.
    #[arg(long)]
    all: bool,
    /// Appends under way.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,1024")]
    outstanding: Vec<usize>,
    /// Bytes of an entry.
    #[arg(long, value_delimiter = ',', default_value = "128,1024,4096")]
    payload: Vec<usize>,
    /// Seconds of one measurement.
    #[arg(long)]
    seconds: Option<f64>,
    /// Rounds; each measures every log and the disk once.
    #[arg(long)]
    rounds: Option<usize>,
    /// Also measure ours with the segments of a whole run made before the start: takes space and
    /// time for up to 4 GB per second measured.
    #[arg(long)]
    ready: bool,
    /// Measure only these, by their names as in the table; for a profiler.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Before every measurement, wait up to so many seconds until the machine does nothing else.
    #[arg(long)]
    quiet: Option<u64>,
    /// Repeat a measurement in which others and the hypervisor took more processors than this.
    #[arg(long)]
    lost_max: Option<f64>,
    /// MiB of payload that are written to be recovered.
    #[arg(long)]
    recovery_mib: Option<u64>,
    /// Also write the figures to this file.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

impl WalArgs {
    fn choose<T>(&self, (quick, thorough): (T, T)) -> T {
        if self.quick { quick } else { thorough }
    }

    fn seconds(&self) -> f64 {
        self.seconds.unwrap_or(self.choose(SECONDS))
    }

    fn rounds(&self) -> usize {
        self.rounds.unwrap_or(self.choose(ROUNDS))
    }

    fn long_rounds(&self) -> usize {
        self.rounds.unwrap_or(self.choose(LONG_ROUNDS))
    }

    fn recovery_bytes(&self) -> u64 {
        self.recovery_mib.unwrap_or(self.choose(RECOVERY_MIB)) << 20
    }

    /// Who is measured; ours first, the disk last.
    fn systems(&self) -> Vec<LogSystem> {
        let mut systems = logs::systems();
        systems.retain(|system| {
            let wanted = self.only.iter().any(|name| name.eq_ignore_ascii_case(system.name));
            wanted || self.only.is_empty() && (self.ready || system.name != READY)
        });
        systems
    }

    fn check(&self) -> Result<(), BenchError> {
        if self.systems().is_empty() {
            return Err(BenchError::Usage(format!("no log {}", self.only.join(", "))));
        }
        let zero = [&self.outstanding, &self.payload].into_iter().flatten().any(|n| *n == 0);
        let long = self.payload.iter().any(|bytes| *bytes > 64 << 10);
        if zero || self.rounds == Some(0) || self.recovery_mib == Some(0) || long {
            let what = "rounds, outstanding, payload and recovery-mib must not be zero, \
                        payload at most 65536";
            return Err(BenchError::Usage(what.to_owned()));
        }
        match Duration::try_from_secs_f64(self.seconds()) {
            Ok(seconds) if seconds > Duration::ZERO => Ok(()),
            _ => Err(BenchError::Usage("seconds must be more than zero".to_owned())),
        }
    }
}

/// Everything `bench wal` found.
#[derive(Debug, Serialize)]
pub(crate) struct WalReport {
    machine: Machine,
    append: Vec<Sample>,
    stall: Vec<Sample>,
    recovery: Vec<Reopened>,
    goals: Vec<Goal>,
}

/// Measures and prints.
pub(crate) fn run(args: &WalArgs) -> Result<WalReport, BenchError> {
    args.check()?;
    let machine = Machine::look();
    machine.print();
    if !logs::systems().iter().any(|system| system.name == RAFT_ENGINE) {
        println!("\nours only; beside other logs: cargo run --release -p bench --features peers");
    }
    let corpus = Corpus::new();
    let (mut append, mut stall, mut recovery) = (Vec::new(), Vec::new(), Vec::new());
    if args.append || args.all || !args.stall && !args.recovery {
        append = append::measure(args, &corpus)?;
    }
    if args.stall || args.all {
        stall = append::measure_stall(args, &corpus)?;
    }
    if args.recovery || args.all {
        recovery = recovery::measure(args, &corpus)?;
    }
    let goals = goals::judge(&append, &stall, &recovery);
    goals::print(&goals);
    Ok(WalReport { machine, append, stall, recovery, goals })
}

/// Opens one log and says on standard output what was found: the other half of the recovery part.
pub(crate) fn open(args: &OpenArgs) -> Result<(), BenchError> {
    recovery::open(args)
}
