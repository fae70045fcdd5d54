//! `flaredb dev`: a whole cluster in one process, on loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;

use crate::config::{Config, ConfigError, NodeEntry, NumberOrWord, Partial};
use crate::load::{self, LoadError};
use crate::node::Node;
use crate::topology::Health;

/// From a node's client port to its peer port.
const PEER_PORT_GAP: u16 = 10_000;
/// How long the cluster may take to elect leaders.
const ELECTION_PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

/// How the cluster is set up.
#[derive(Clone, Debug, Args)]
pub struct DevOptions {
    /// How many nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    pub nodes: u16,
    /// Cores per node [default: the machine's, shared among the nodes, at most 4]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub cores: Option<u64>,
    /// The client port of the first node
    #[arg(long, default_value_t = 7001)]
    pub port: u16,
    /// Groups of the whole cluster [default: two per core and node]
    #[arg(long)]
    pub groups: Option<usize>,
    /// Where to keep the data [default: a temporary folder, removed at the end]
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Drive the cluster for so long, tell how it went, and end: 10s, 2m
    #[arg(long, value_parser = load::duration)]
    pub load: Option<Duration>,
    /// What is logged
    #[arg(long, default_value = "warn")]
    pub log: String,
}

impl DevOptions {
    fn cores_per_node(&self) -> u64 {
        let machine = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
        self.cores.unwrap_or_else(|| (machine / u64::from(self.nodes.max(1))).clamp(1, 4))
    }
}

/// Why the cluster did not run. What was started has been ended.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// A setting cannot be used. Nothing was started.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A node does not start. The others have been ended.
    #[error("node {node} does not start: {error}")]
    Start {
        /// The node.
        node: u64,
        /// Why.
        error: engine::StartError,
    },
    /// The temporary folder cannot be made. Nothing was started.
    #[error("the folder {path} cannot be made: {error}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The ports do not fit below 65536. Nothing was started.
    #[error("the client port {0} is too high: peers need ports {PEER_PORT_GAP} above the clients'")]
    Port(u16),
    /// The cluster does not become ready. The nodes have been ended.
    #[error("the cluster has no leaders after {} s; see the log", ELECTION_PATIENCE.as_secs())]
    NotReady,
    /// A node has failed. The others have been ended.
    #[error("a core of node {0} has failed; see the log")]
    Failed(u64),
    /// The load could not be driven. The nodes have been ended.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Where temporary folders go: on a disk if possible, because `/tmp` may be memory, and a log in
/// memory is neither durable nor always possible.
fn temporary_root() -> PathBuf {
    let disk = Path::new("/var/tmp");
    if std::env::var_os("TMPDIR").is_none() && disk.is_dir() {
        return disk.to_owned();
    }
    std::env::temp_dir()
}

/// A folder that is removed at the end if nobody asked to keep it.
struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    fn open(asked: Option<&Path>) -> Result<Self, DevError> {
        let temporary = asked.is_none();
        let path = asked.map_or_else(
            || temporary_root().join(format!("flaredb-dev-{}", std::process::id())),
            Path::to_owned,
        );
        // A temporary folder must be new: it is removed at the end.
        let made =
            if temporary { std::fs::create_dir(&path) } else { std::fs::create_dir_all(&path) };
        made.map_err(|error| DevError::Folder { path: path.clone(), error })?;
        Ok(Self { path, temporary })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary {
            // It is in the folder for temporary files: if it stays, the system clears it away.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// Runs the cluster until it is told to stop, or until the load has been driven.
///
/// # Errors
/// [`DevError`], one sentence.
pub fn run(options: &DevOptions, stop: &AtomicBool) -> Result<(), DevError> {
    let folder = Folder::open(options.data.as_deref())?;
    let mut nodes = Vec::new();
    for id in 1..=u64::from(options.nodes) {
        let config = config(options, id, &folder.path)?;
        let node = Node::start(&config).map_err(|error| DevError::Start { node: id, error })?;
        nodes.push(node);
    }
    wait_until_ready(&nodes, stop)?;
    if !stop.load(Ordering::Relaxed) {
        announce(options, &nodes, &folder);
    }
    let driven = match options.load {
        Some(duration) => load::drive(&nodes, duration, stop)
            .map_err(DevError::from)
            // A failed core explains a failed connection.
            .or_else(|error| check_running(&nodes).and(Err(error)))
            .and_then(|()| check_running(&nodes)),
        None => wait(&nodes, stop),
    };
    println!("shutting down");
    // All at once: a node that ends alone would hand its groups to one that ends next.
    std::thread::scope(|scope| {
        for node in nodes {
            scope.spawn(move || node.shutdown());
        }
    });
    driven
}

fn config(options: &DevOptions, id: u64, folder: &Path) -> Result<Config, DevError> {
    let last = options.port.checked_add(options.nodes).ok_or(DevError::Port(options.port))?;
    last.checked_add(PEER_PORT_GAP).ok_or(DevError::Port(options.port))?;
    let local = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let nodes = (0..options.nodes).map(|place| NodeEntry {
        id: u64::from(place) + 1,
        peer: local(options.port + place + PEER_PORT_GAP),
        client: local(options.port + place),
    });
    let flags = Partial {
        node: Some(id),
        cluster: Some("dev".into()),
        nodes: Some(nodes.collect()),
        data: Some(folder.join(format!("node-{id}"))),
        cores: Some(NumberOrWord::Number(options.cores_per_node())),
        groups: options.groups,
        // The nodes share the machine's cores, so none may claim one for itself.
        pin: Some(false),
        ..Partial::default()
    };
    let none = Partial::default();
    Ok(Config::merge(&none, &none, &flags)?)
}

fn wait_until_ready(nodes: &[Node], stop: &AtomicBool) -> Result<(), DevError> {
    let started = Instant::now();
    let ready = |node: &Node| Health::of(&node.view(), node.server().slots()).is_ok();
    while !nodes.iter().all(ready) && !stop.load(Ordering::Relaxed) {
        check_running(nodes)?;
        if started.elapsed() > ELECTION_PATIENCE {
            return Err(DevError::NotReady);
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

fn announce(options: &DevOptions, nodes: &[Node], folder: &Folder) {
    println!("{} nodes of {} core(s) are up:", nodes.len(), options.cores_per_node());
    for node in nodes {
        let view = node.view();
        let Some(addr) = view.node_spec(view.node()).and_then(|spec| spec.client_addr) else {
            continue;
        };
        let led = node.server().led(&view).count();
        let micros = view.fsync().as_micros();
        println!("  node {}  {addr}  leads {led} groups, fsync {micros} us", view.node());
    }
    let kept = if folder.temporary { ", removed at the end" } else { "" };
    println!("data: {}{kept}", folder.path.display());
    println!("connect: redis-cli -c -p {}", options.port);
}

fn wait(nodes: &[Node], stop: &AtomicBool) -> Result<(), DevError> {
    println!("end it with Ctrl-C");
    while !stop.load(Ordering::Relaxed) {
        check_running(nodes)?;
        std::thread::sleep(LOOK);
    }
    Ok(())
}

fn check_running(nodes: &[Node]) -> Result<(), DevError> {
    match nodes.iter().find(|node| !node.is_running()) {
        Some(failed) => Err(DevError::Failed(failed.view().node().0)),
        None => Ok(()),
    }
}
