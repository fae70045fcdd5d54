//! Three nodes of one cluster, each a process of its own on a folder of its own.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::node::{PROGRAM, Process, ask, info, wait_for};
use super::resp::Reply;

/// How long a cluster may take to elect all its leaders on a busy machine.
pub(crate) const READY_PATIENCE: Duration = Duration::from_secs(60);

/// A fresh folder on the disk that holds the build: a real one, where `/tmp` may be memory.
pub(crate) fn fresh_folder() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Loopback addresses nobody listens on, outside the range from which the system takes ports.
pub(crate) fn free_addresses(count: usize) -> Vec<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 20_000 + (std::process::id() % 110) as u16 * 100;
    let mut found = Vec::new();
    while found.len() < count {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed) % 1000;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            found.push(address);
        }
    }
    found
}

/// The first of three client ports in a row for `flaredb dev`, whose peer ports lie 10000 above.
pub(crate) fn free_dev_port() -> u16 {
    let first = 10_000 + (std::process::id() % 300) as u16 * 30;
    let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let mut candidates = (0..10).map(|n| first + n * 3);
    let all_free = |port: &u16| (*port..*port + 3).all(|p| free(p) && free(p + 10_000));
    candidates.find(all_free).unwrap()
}

/// The settings of a cluster under test.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) cluster_id: String,
    pub(crate) cores: usize,
    pub(crate) groups: usize,
    /// Small, so that what happens around snapshots happens in tests.
    pub(crate) snapshot_log_bytes: u64,
    pub(crate) peers: Vec<SocketAddr>,
    pub(crate) clients: Vec<SocketAddr>,
}

impl Layout {
    /// Three nodes with one core and six groups.
    pub(crate) fn new(cluster_id: &str) -> Self {
        let mut addresses = free_addresses(6);
        let clients = addresses.split_off(3);
        Self {
            cluster_id: cluster_id.to_owned(),
            cores: 1,
            groups: 6,
            snapshot_log_bytes: 64 << 10,
            peers: addresses,
            clients,
        }
    }

    /// The text of `node.toml` for a node, numbered from 1.
    pub(crate) fn toml(&self, node: usize, data: &Path) -> String {
        let Self { cluster_id, cores, groups, snapshot_log_bytes, .. } = self;
        let mut text = format!(
            "node = {node}\ncluster = \"{cluster_id}\"\ndata = \"{}\"\ncores = {cores}\n\
             groups = {groups}\nreplicas = 3\nsnapshot_log_bytes = {snapshot_log_bytes}\n",
            data.display()
        );
        for (place, (peer, client)) in self.peers.iter().zip(&self.clients).enumerate() {
            let id = place + 1;
            text.push_str(&format!(
                "\n[[nodes]]\nid = {id}\npeer = \"{peer}\"\nclient = \"{client}\"\n"
            ));
        }
        text
    }
}

/// What a node says about a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupInfo {
    pub(crate) first_slot: u16,
    pub(crate) last_slot: u16,
    pub(crate) leader: u64,
    pub(crate) keys: u64,
}

/// A cluster of three processes.
pub(crate) struct Cluster {
    pub(crate) layout: Layout,
    // Dropped before the folder that they work in.
    nodes: Vec<Option<Process>>,
    folder: TempDir,
    starts: usize,
}

impl Cluster {
    /// Starts three nodes and waits until every slot has a leader on every node's map.
    pub(crate) fn start(cluster_id: &str) -> Self {
        let mut cluster = Self::prepare(cluster_id);
        for node in 1..=3 {
            cluster.start_node(node);
        }
        cluster.wait_until_ready();
        cluster
    }

    /// Folders and settings for three nodes, none of which runs yet.
    pub(crate) fn prepare(cluster_id: &str) -> Self {
        Self {
            layout: Layout::new(cluster_id),
            folder: fresh_folder(),
            nodes: vec![None, None, None],
            starts: 0,
        }
    }

    /// The data folder of a node.
    pub(crate) fn data(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("node-{node}"))
    }

    /// Where clients reach a node.
    pub(crate) fn client(&self, node: usize) -> SocketAddr {
        self.layout.clients[node - 1]
    }

    /// Where peers reach a node.
    pub(crate) fn peer(&self, node: usize) -> SocketAddr {
        self.layout.peers[node - 1]
    }

    /// The command that starts a node, with its settings written.
    pub(crate) fn command(&self, node: usize) -> Command {
        let path = self.folder.path().join(format!("node-{node}.toml"));
        fs::write(&path, self.layout.toml(node, &self.data(node))).unwrap();
        let mut command = Command::new(PROGRAM);
        command.arg("start").arg("--config").arg(path);
        // What is meant for a test is no setting of the program.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FLAREDB_")) {
            command.env_remove(name);
        }
        command
    }

    /// Starts a node, or starts it again on the data it had.
    pub(crate) fn start_node(&mut self, node: usize) {
        let command = self.command(node);
        self.run(node, command);
    }

    /// Runs a command as a node.
    pub(crate) fn run(&mut self, node: usize, command: Command) {
        self.starts += 1;
        let log = format!("node-{node}-{}.log", self.starts);
        let log = self.folder.path().join(log);
        self.nodes[node - 1] = Some(Process::spawn(command, &log));
    }

    /// The process of a node.
    pub(crate) fn process(&mut self, node: usize) -> &mut Process {
        self.nodes[node - 1].as_mut().unwrap()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node - 1].take().unwrap().kill();
    }

    /// Waits until all three nodes say that every slot has a leader that can be reached.
    pub(crate) fn wait_until_ready(&mut self) -> Duration {
        wait_for("every slot is led", READY_PATIENCE, || {
            (1..=3).all(|node| {
                let process = self.process(node);
                assert!(process.is_running(), "node {node}: {}", process.output());
                is_ready(self.client(node))
            })
        })
    }

    /// What a node says about every group; nothing if it does not answer.
    pub(crate) fn groups(&self, node: usize) -> Option<BTreeMap<u64, GroupInfo>> {
        let fields = info(self.client(node)).ok()?;
        Some(fields.iter().filter_map(|(n, v)| group_info(n, v)).collect())
    }

    /// The node that leads most groups, and those groups.
    pub(crate) fn busiest_leader(&self) -> (usize, BTreeMap<u64, GroupInfo>) {
        let groups = self.groups(1).unwrap();
        let led = |node: usize| groups.values().filter(|g| g.leader == node as u64).count();
        let busiest = (1..=3).max_by_key(|&node| led(node)).unwrap();
        let groups = groups.into_iter();
        (busiest, groups.filter(|(_, g)| g.leader == busiest as u64).collect())
    }
}

/// Whether a node says that every slot has a leader that can be reached.
pub(crate) fn is_ready(client: SocketAddr) -> bool {
    let reply = ask(client, &["CLUSTER", "INFO"]);
    matches!(reply, Ok(Reply::Text(text)) if text.contains("cluster_state:ok"))
}

/// `group3` and `slots=0-99,leader=2,core=0,keys=7` as a number and what it says.
fn group_info(name: &str, value: &str) -> Option<(u64, GroupInfo)> {
    let number = name.strip_prefix("group")?.parse().ok()?;
    let field = |wanted: &str| {
        let pairs = value.split(',').filter_map(|pair| pair.split_once('='));
        pairs.clone().find(|(n, _)| *n == wanted).map(|(_, v)| v)
    };
    let (first, last) = field("slots")?.split_once('-')?;
    Some((
        number,
        GroupInfo {
            first_slot: first.parse().ok()?,
            last_slot: last.parse().ok()?,
            leader: field("leader")?.parse().ok()?,
            keys: field("keys")?.parse().ok()?,
        },
    ))
}
