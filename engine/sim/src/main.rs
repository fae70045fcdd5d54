//! The simulator's command line: one seed, many seeds, or one seed again with its trace.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use clap::{Args, Parser, Subcommand};
use sim::{FAULTS, Fault, NANOS_PER_MS, Nanos, Options, Plant, Report, run};

/// How much of the trace is shown before a broken law.
const TRACE_BEFORE: Nanos = 300 * NANOS_PER_MS;
const TRACE_LINES: usize = 80;

/// A deterministic cluster that goes through bad days.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  sim run --seed 7                        one seed, and the trace around what broke, if anything
  sim swarm --seeds 0..1000 --jobs 2      a thousand seeds on two cores
  sim replay --seed 7 --until 4200ms --verbose   what happened up to that time
  sim swarm --seeds 0..50 --plant forget-vote    how soon a planted fault is found"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one seed.
    Run(One),
    /// Run many seeds, each with sizes and faults of its own.
    Swarm(Many),
    /// Run one seed again and show what happened.
    Replay(Again),
    /// Plant each fault in turn and count the seeds that find it.
    Plants(Hunt),
}

#[derive(Debug, Args)]
struct One {
    /// The seed: the same one gives the same run, to the last byte.
    #[arg(long)]
    seed: u64,
    /// A fault to plant.
    #[arg(long, value_enum)]
    plant: Option<Plant>,
}

#[derive(Debug, Args)]
struct Many {
    /// The seeds, the last one not included.
    #[arg(long, value_parser = seeds, default_value = "0..100")]
    seeds: Range<u64>,
    /// Threads; each runs one seed at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// A fault to plant.
    #[arg(long, value_enum)]
    plant: Option<Plant>,
}

#[derive(Debug, Args)]
struct Again {
    #[command(flatten)]
    one: One,
    /// Stop at this virtual time, as in 4200ms or 4.2s.
    #[arg(long, value_parser = time)]
    until: Option<Nanos>,
    /// Show everything from the start, not only what came last.
    #[arg(long)]
    verbose: bool,
}

#[derive(Debug, Args)]
struct Hunt {
    /// The seeds, the last one not included.
    #[arg(long, value_parser = seeds, default_value = "0..40")]
    seeds: Range<u64>,
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let parse = |part: &str| part.parse::<u64>().map_err(|error| format!("{part:?}: {error}"));
    let (first, end) = text.split_once("..").ok_or("give them as FIRST..END")?;
    Ok(parse(first)?..parse(end)?)
}

fn time(text: &str) -> Result<Nanos, String> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1.0),
        None => (text.strip_suffix('s').ok_or("give it as 4200ms or 4.2s")?, 1000.0),
    };
    let number: f64 = number.parse().map_err(|error| format!("{number:?}: {error}"))?;
    Ok((number * unit * NANOS_PER_MS as f64) as Nanos)
}

fn main() -> ExitCode {
    // A broken assertion is a broken law; the report has it.
    std::panic::set_hook(Box::new(|_| ()));
    match Cli::parse().command {
        Command::Run(one) => run_one(&one),
        Command::Swarm(many) => swarm(&many),
        Command::Replay(again) => replay(&again),
        Command::Plants(hunt) => plants(&hunt),
    }
}

fn run_one(one: &One) -> ExitCode {
    let report = run(one.seed, Options { plant: one.plant, ..Options::default() });
    println!("seed {} ended with hash {:016x}", one.seed, report.hash);
    let mut total = Total::default();
    total.add(&report);
    print!("{total}");
    tell_failure(&report, one.plant)
}

/// What broke, the command that shows it again, and the trace before it.
fn tell_failure(report: &Report, plant: Option<Plant>) -> ExitCode {
    let Some(failure) = &report.failure else { return ExitCode::SUCCESS };
    let ms = failure.at as f64 / NANOS_PER_MS as f64;
    println!("\nBROKEN by seed {} at {ms:.3} ms: {}", report.seed, failure.what);
    let planted = plant.map(|plant| format!(" --plant {}", name(plant))).unwrap_or_default();
    let until = failure.at / NANOS_PER_MS + 1;
    println!("  sim replay --seed {}{planted} --until {until}ms --verbose", report.seed);
    let trace_from = failure.at.saturating_sub(TRACE_BEFORE);
    let again = run(report.seed, Options { plant, trace_from, until: Nanos::MAX });
    show(&again.trace, TRACE_LINES);
    ExitCode::FAILURE
}

fn name(plant: Plant) -> String {
    use clap::ValueEnum;
    plant.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default()
}

fn show(trace: &[String], lines_max: usize) {
    let skipped = trace.len().saturating_sub(lines_max);
    if skipped > 0 {
        println!("  ... {skipped} lines before");
    }
    trace[skipped..].iter().for_each(|line| println!("  {line}"));
}

fn replay(again: &Again) -> ExitCode {
    let until = again.until.unwrap_or(Nanos::MAX);
    let options = Options { plant: again.one.plant, trace_from: 0, until };
    let report = run(again.one.seed, options);
    show(&report.trace, if again.verbose { usize::MAX } else { TRACE_LINES });
    match &report.failure {
        None => ExitCode::SUCCESS,
        Some(failure) => {
            println!("BROKEN: {}", failure.what);
            ExitCode::FAILURE
        }
    }
}

fn swarm(many: &Many) -> ExitCode {
    let next = AtomicU64::new(many.seeds.start);
    let (reports, arrivals) = mpsc::channel();
    let (mut total, mut failed) = (Total::default(), Vec::new());
    thread::scope(|scope| {
        for _ in 0..many.jobs.max(1) {
            let (reports, next) = (reports.clone(), &next);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= many.seeds.end {
                        return;
                    }
                    let options = Options { plant: many.plant, ..Options::default() };
                    if reports.send(run(seed, options)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(reports);
        for report in arrivals {
            total.add(&report);
            if report.failure.is_some() {
                failed.push(report);
            }
            progress(&total, failed.len(), &many.seeds);
        }
    });
    eprintln!();
    print!("{total}");
    failed.sort_by_key(|report| report.seed);
    println!("failed      {} seeds", failed.len());
    laws(&failed).iter().for_each(|(law, seeds)| println!("  {seeds} by {law}"));
    for report in failed.iter().skip(1).take(9) {
        let what = report.failure.as_ref().map(|f| f.what.lines().next().unwrap_or_default());
        println!("  seed {}: {}", report.seed, what.unwrap_or_default());
    }
    match failed.first() {
        Some(first) => tell_failure(first, many.plant),
        None => ExitCode::SUCCESS,
    }
}

/// One line per planted fault: how many seeds found it, the first of them, and what it broke.
fn plants(hunt: &Hunt) -> ExitCode {
    use clap::ValueEnum;
    let mut missed = 0;
    let with = |plant| Options { plant, ..Options::default() };
    // A seed that fails anyway finds nothing.
    let sound = |seed: &u64| run(*seed, with(None)).failure.is_none();
    let sound: Vec<u64> = hunt.seeds.clone().filter(sound).collect();
    for plant in Plant::value_variants() {
        let found = sound.iter().filter_map(|seed| {
            run(*seed, with(Some(*plant))).failure.map(|failure| (*seed, failure.what))
        });
        let found: Vec<(u64, String)> = found.collect();
        missed += u32::from(found.is_empty());
        let first = found.first().map(|(seed, what)| {
            format!("seed {seed}: {}", what.lines().next().unwrap_or_default())
        });
        let first = first.unwrap_or_else(|| "not found".to_owned());
        println!("{:<20} {:>4} of {}  {first}", name(*plant), found.len(), sound.len());
    }
    ExitCode::from(u8::from(missed > 0))
}

/// How many seeds broke each law.
fn laws(failed: &[Report]) -> BTreeMap<String, u64> {
    let mut laws = BTreeMap::new();
    for failure in failed.iter().filter_map(|report| report.failure.as_ref()) {
        // The names of laws come first; other texts have numbers, which are left out.
        let law = failure.what.split(':').next().unwrap_or_default();
        let law: String = law.chars().filter(|c| !c.is_ascii_digit()).collect();
        *laws.entry(law).or_default() += 1;
    }
    laws
}

fn progress(total: &Total, failed: usize, seeds: &Range<u64>) {
    if std::io::stderr().is_terminal() {
        let all = seeds.end - seeds.start;
        let hours = total.simulated as f64 / 3.6e12;
        eprint!("\r{} of {all} seeds, {hours:.2} h simulated, {failed} failed ", total.seeds);
        // A progress line that cannot be shown is not missed.
        let _ = std::io::stderr().flush();
    }
}

/// The sums over many runs.
#[derive(Default)]
struct Total {
    seeds: u64,
    simulated: u128,
    events: u64,
    operations: u64,
    answered: u64,
    elections: u64,
    installs: u64,
    committed: u64,
    checked: u64,
    undecided: u64,
    faults: BTreeMap<Fault, u64>,
}

impl Total {
    fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.simulated += u128::from(report.simulated);
        self.events += report.events;
        self.operations += report.operations;
        self.answered += report.answered;
        self.elections += report.elections;
        self.installs += report.installs;
        self.committed += report.committed;
        self.checked += report.checked;
        self.undecided += report.undecided;
        for (fault, times) in &report.faults {
            *self.faults.entry(*fault).or_default() += times;
        }
    }
}

impl std::fmt::Display for Total {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "seeds       {}", self.seeds)?;
        writeln!(f, "simulated   {:.1} s", self.simulated as f64 / 1e9)?;
        writeln!(f, "events      {}", self.events)?;
        writeln!(f, "operations  {} begun, {} answered", self.operations, self.answered)?;
        writeln!(f, "elections   {}", self.elections)?;
        writeln!(f, "snapshots   {} installed", self.installs)?;
        writeln!(f, "committed   {} entries", self.committed)?;
        writeln!(f, "laws        {} facts checked", self.checked)?;
        writeln!(f, "undecided   {} histories", self.undecided)?;
        write!(f, "faults      {}", self.faults.values().sum::<u64>())?;
        for fault in FAULTS.iter().filter(|fault| self.faults.contains_key(fault)) {
            write!(f, "{} {fault:?}", [", ", ": "][usize::from(fault == &FAULTS[0])])?;
            write!(f, " {}", self.faults.get(fault).copied().unwrap_or_default())?;
        }
        writeln!(f)
    }
}
