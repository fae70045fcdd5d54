//! The benchmark harness of FlareDB: figures beside peers and beside what the machine can do.
//!
//! A figure comes with its command, commit, date and machine, or not at all; a run with an error
//! answer, a broken connection or a stall has no figure. Nothing is asserted here: tests do that.

mod cores;
mod error;
mod heap;
mod limits;
mod load;
mod logs;
mod machine;
mod meter;
mod peers;
mod process;
mod report;
mod suites;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::error::{BenchError, Tried};
use crate::load::Op;
use crate::peers::{FlaredbOptions, Peer};
use crate::suites::cluster::ClusterPlan;
use crate::suites::core::{BareArgs, CoreArgs};
use crate::suites::wal::{OpenArgs, WalArgs};

const EXAMPLES: &str = "Examples:
  bench limits --dir /var/lib/flaredb
  bench cluster --target all --clients 50 --pipeline 1,16 --bytes 128 --seconds 5 --rounds 3
  bench cluster --target flaredb,redis --op get --json figures.json
  bench cluster --target flaredb --flaredb-arg=--cores --flaredb-arg=1
  bench core --quick
  bench wal --dir /var/lib/flaredb --quick

Build first: cargo build --release -p flaredb -p bench";

/// Measures FlareDB, its peers and this machine.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    suite: Suite,
}

#[derive(Debug, Subcommand)]
enum Suite {
    /// What the disk, the loopback and a checksum can do here.
    Limits(LimitsArgs),
    /// The same durable load on FlareDB and its peers, in alternating rounds.
    Cluster(ClusterArgs),
    /// The consensus core alone, in one thread without I/O, beside other cores.
    Core(CoreArgs),
    /// Write-ahead logs: ours, others and the bare disk.
    Wal(WalArgs),
    /// Opens one log: a part of the suite `wal`.
    #[command(hide = true)]
    WalOpen(OpenArgs),
    /// One core commits, and nothing else happens: for a profiler.
    #[command(hide = true)]
    CoreBare(BareArgs),
}

#[derive(Debug, Args)]
struct LimitsArgs {
    /// A folder on the disk to measure.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Seconds per figure.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Also write the figures to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TargetName {
    Flaredb,
    Redis,
    Etcd,
    All,
}

#[derive(Debug, Args)]
struct ClusterArgs {
    /// Whom to measure.
    #[arg(long, value_delimiter = ',', default_value = "all")]
    target: Vec<TargetName>,
    /// What the clients do.
    #[arg(long, value_enum, default_value = "set")]
    op: Op,
    /// Clients; for a cluster each has one connection to every node.
    #[arg(long, default_value_t = 50)]
    clients: usize,
    /// Operations that a client has under way: one batch after the other.
    #[arg(long, value_delimiter = ',', default_value = "1,16")]
    pipeline: Vec<usize>,
    /// Bytes of a value.
    #[arg(long, default_value_t = 128)]
    bytes: usize,
    /// How many different keys.
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
    /// Seconds that are measured, after one of warming up.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Rounds; each starts every system on fresh data.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Before every run, wait up to so many seconds until the machine does nothing else.
    #[arg(long)]
    quiet: Option<u64>,
    /// Repeat a run in which other processes and the hypervisor took more processors than this.
    #[arg(long)]
    lost_max: Option<f64>,
    /// Threads of the load generator.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Where the systems keep their data; a real disk, or the figures mean nothing.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// The flaredb binary, if not the one beside this one.
    #[arg(long)]
    flaredb: Option<PathBuf>,
    /// One more argument for `flaredb dev`; may be given several times.
    #[arg(long = "flaredb-arg", allow_hyphen_values = true)]
    flaredb_args: Vec<String>,
    /// Also write the figures to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

impl ClusterArgs {
    fn plan(self) -> Result<ClusterPlan, BenchError> {
        if self.clients == 0 || self.pipeline.contains(&0) || self.seconds == 0 {
            let zero = "clients, pipeline and seconds must not be zero";
            return Err(BenchError::Usage(zero.to_owned()));
        }
        let wanted = |name| self.target.contains(&name) || self.target.contains(&TargetName::All);
        let peers = [
            (TargetName::Flaredb, Peer::Flaredb),
            (TargetName::Redis, Peer::Redis),
            (TargetName::Etcd, Peer::Etcd),
        ];
        Ok(ClusterPlan {
            peers: peers
                .into_iter()
                .filter(|(name, _)| wanted(*name))
                .map(|(_, peer)| peer)
                .collect(),
            flaredb: FlaredbOptions { binary: self.flaredb, arguments: self.flaredb_args },
            op: self.op,
            clients: self.clients,
            depths: self.pipeline,
            value_bytes: self.bytes,
            keys: self.keys,
            threads: self.threads,
            measured: Duration::from_secs(self.seconds),
            rounds: self.rounds,
            quiet: self.quiet.map(Duration::from_secs),
            lost_max: self.lost_max,
            folder: self.dir,
        })
    }
}

fn write_json(path: Option<PathBuf>, figures: &impl Serialize) -> Result<(), BenchError> {
    let Some(path) = path else {
        return Ok(());
    };
    let text = serde_json::to_string_pretty(figures)
        .map_err(|error| BenchError::Usage(error.to_string()))?;
    std::fs::write(&path, text).tried(format!("writing {}", path.display()))
}

/// Runs the suite; true if every figure that was asked for is there.
fn run(cli: Cli) -> Result<bool, BenchError> {
    match cli.suite {
        Suite::Limits(mut args) => {
            let json = args.json.take();
            let found = suites::limits::run(&args.dir, Duration::from_secs(args.seconds))?;
            write_json(json, &found)?;
            Ok(true)
        }
        Suite::Cluster(mut args) => {
            let json = args.json.take();
            let found = suites::cluster::run(&args.plan()?)?;
            write_json(json, &found)?;
            Ok(found.is_valid())
        }
        Suite::Core(mut args) => {
            let json = args.json.take();
            write_json(json, &suites::core::run(&args)?)?;
            Ok(true)
        }
        Suite::Wal(mut args) => {
            let json = args.json.take();
            write_json(json, &suites::wal::run(&args)?)?;
            Ok(true)
        }
        Suite::WalOpen(args) => suites::wal::open(&args).map(|()| true),
        Suite::CoreBare(args) => suites::core::bare(&args).map(|()| true),
    }
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_parse() {
        let lines = EXAMPLES.lines().chain(suites::core::EXAMPLES.lines());
        let lines = lines.chain(suites::wal::EXAMPLES.lines());
        for line in lines.filter(|l| l.starts_with("  bench")) {
            Cli::try_parse_from(line.split_whitespace()).unwrap();
        }
    }

    #[test]
    fn zero_clients_are_refused() {
        let cli = Cli::try_parse_from(["bench", "cluster", "--clients", "0"]).unwrap();
        let Suite::Cluster(args) = cli.suite else {
            panic!("another suite");
        };
        assert!(args.plan().is_err());
    }
}
