//! The command line.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::config::{Config, ConfigError, Partial, nodes, number_or_word};
use crate::dev::{self, DevOptions};
use crate::inspect::{self, InspectOptions};
use crate::node::Node;

const EXAMPLES: &str = "\
Examples:
  flaredb dev                          three nodes on this machine, clients on 7001 to 7003
  flaredb dev --load 10s               the same, driven for ten seconds
  flaredb start --config node.toml     one node of a cluster
  flaredb inspect wal verify DIR       whether the log of a core is whole
  redis-cli -c -p 7001 set greeting hello";

/// How long the main thread sleeps between looks at what may end the program.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug, Parser)]
#[command(name = "flaredb", version, about, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a whole cluster in this process, on loopback, to try things
    #[command(after_help = "Examples:
  flaredb dev
  flaredb dev --nodes 5 --port 7101 --data ./flaredb-data
  flaredb dev --cores 2 --groups 12 --load 10s")]
    Dev(DevOptions),
    /// Run one node of a cluster
    #[command(after_help = "Examples:
  flaredb start --config node.toml
  flaredb start --config node.toml --check
  FLAREDB_CORES=4 flaredb start --config node.toml --node 2")]
    Start(StartOptions),
    /// Check a configuration file and say what is wrong with it
    CheckConfig {
        /// The file
        #[arg(default_value = "node.toml")]
        config: PathBuf,
    },
    /// Look into the files of a node that is stopped
    Inspect(InspectOptions),
}

#[derive(Debug, Args)]
struct StartOptions {
    /// The configuration file
    #[arg(long)]
    config: Option<PathBuf>,
    /// Print the settings in force and where they come from, and start nothing
    #[arg(long)]
    check: bool,
    /// Which of the nodes this is
    #[arg(long)]
    node: Option<u64>,
    /// The name of the cluster
    #[arg(long)]
    cluster: Option<String>,
    /// All nodes: 1=peer:port/client:port,2=...
    #[arg(long)]
    nodes: Option<String>,
    /// The data folder
    #[arg(long)]
    data: Option<PathBuf>,
    /// Cores to use, or auto
    #[arg(long)]
    cores: Option<String>,
    /// Groups of the whole cluster
    #[arg(long)]
    groups: Option<usize>,
    /// Replicas of each group
    #[arg(long)]
    replicas: Option<usize>,
    /// Whether each core's thread is pinned
    #[arg(long)]
    pin: Option<bool>,
    /// Bytes of a log segment
    #[arg(long)]
    segment_bytes: Option<u64>,
    /// Bytes of a group's log between two snapshots
    #[arg(long)]
    snapshot_log_bytes: Option<u64>,
    /// Bytes of the longest value
    #[arg(long)]
    value_bytes_max: Option<usize>,
    /// What is logged
    #[arg(long)]
    log: Option<String>,
}

impl StartOptions {
    fn config(&self) -> Result<Config, ConfigError> {
        let file = self.config.as_deref().map(Partial::from_file).transpose()?.unwrap_or_default();
        let environment = Partial::from_environment(std::env::vars())?;
        let flags = Partial {
            node: self.node,
            cluster: self.cluster.clone(),
            nodes: self.nodes.as_deref().map(nodes).transpose()?,
            data: self.data.clone(),
            cores: self.cores.as_deref().map(number_or_word),
            groups: self.groups,
            replicas: self.replicas,
            pin: self.pin,
            segment_bytes: self.segment_bytes,
            snapshot_log_bytes: self.snapshot_log_bytes,
            value_bytes_max: self.value_bytes_max,
            // A password on the command line could be read by every user of the machine.
            password: None,
            log: self.log.clone(),
        };
        Config::merge(&file, &environment, &flags)
    }
}

/// Runs the program: the exit code is 0 if all went well, 1 if it did not, 2 if it was called
/// wrongly.
#[must_use]
pub fn run() -> ExitCode {
    match Cli::parse().command {
        Verb::Dev(options) => {
            log_to_stderr(&options.log);
            match dev::run(&options, &stop_flag()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(1, &error),
            }
        }
        Verb::Start(options) => match options.config() {
            Ok(config) if options.check => {
                print!("{}", config.describe());
                ExitCode::SUCCESS
            }
            Ok(config) => start(&config),
            Err(error) => fail(2, &error),
        },
        Verb::CheckConfig { config } => {
            let none = Partial::default();
            let checked =
                Partial::from_file(&config).and_then(|file| Config::merge(&file, &none, &none));
            match checked {
                Ok(_) => {
                    println!("{} is a valid configuration", config.display());
                    ExitCode::SUCCESS
                }
                Err(error) => fail(2, &error),
            }
        }
        Verb::Inspect(options) => match inspect::run(&options) {
            Ok(code) => code,
            Err(error) => fail(2, &error),
        },
    }
}

fn start(config: &Config) -> ExitCode {
    log_to_stderr(&config.log);
    let stop = stop_flag();
    let node = match Node::start(config) {
        Ok(node) => node,
        Err(error) => return fail(1, &error),
    };
    let micros = node.view().fsync().as_micros();
    println!(
        "node {} of cluster {} is up; an fsync takes {micros} us",
        config.node, config.cluster
    );
    while !stop.load(Ordering::Relaxed) && node.is_running() {
        std::thread::sleep(LOOK);
    }
    if !node.is_running() {
        eprintln!(
            "flaredb: a core of node {} has failed and the node ends; see the log",
            config.node
        );
        return ExitCode::FAILURE;
    }
    println!("shutting down");
    node.shutdown();
    ExitCode::SUCCESS
}

fn fail(code: u8, error: &dyn std::error::Error) -> ExitCode {
    eprintln!("flaredb: {error}");
    ExitCode::from(code)
}

/// A flag that SIGINT and SIGTERM set.
fn stop_flag() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&stop);
    if let Err(error) = ctrlc::set_handler(move || set.store(true, Ordering::Relaxed)) {
        eprintln!("flaredb: signals cannot be caught ({error}); end it with SIGKILL");
    }
    stop
}

fn log_to_stderr(filter: &str) {
    let colours = std::io::stderr().is_terminal();
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    // A second subscriber is refused; the first one goes on.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(std::io::stderr)
        .try_init();
}
