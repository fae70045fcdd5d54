//! Starting and ending a node.

use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use net::Hello;
use raft_core::{ConfState, GroupId};
use wal::{Wal, WalConfig};

use crate::client::Client;
use crate::config::EngineConfig;
use crate::connections::Connections;
use crate::error::StartError;
use crate::handle::{ShardHandle, ShardTask};
use crate::host::{Host, Work};
use crate::identity::{self, Identity};
use crate::lanes::Lanes;
use crate::mesh::{Inlet, Mesh, Parcel, SendRefused};
use crate::metrics::ShardMetrics;
use crate::protocol::{ConnectionInfo, Protocol, ProtocolFactory};
use crate::ring::{Ring, TAG_WAL};
use crate::runtime::{self, ShardThread};
use crate::shard::{Shard, ShardLimits};
use crate::snapshots::folder::Folder;
use crate::snapshots::transfers::Transfers;
use crate::snapshots::worker::Worker;
use crate::snapshots::{MachineFactory, SnapshotTable, restore};
use crate::state_machine::StateMachine;
use crate::storage::GroupLog;
use crate::strangers::Strangers;
use crate::view::{NodeView, shard_of};

/// A running node. Dropping it shuts it down.
pub struct Engine {
    view: Arc<NodeView>,
    mesh: Mesh,
    threads: Vec<ShardThread>,
}

/// A node about to be started: see [`Engine::builder`].
pub struct EngineBuilder {
    config: EngineConfig,
    machines: Option<Arc<MachineFactory>>,
    protocol: Option<Arc<ProtocolFactory>>,
}

/// What a shard's thread starts from.
struct ShardSeed {
    index: usize,
    config: Arc<EngineConfig>,
    identity: Identity,
    view: Arc<NodeView>,
    mesh: Mesh,
    inlet: Inlet,
    machines: Arc<MachineFactory>,
    protocol: Option<Arc<ProtocolFactory>>,
    listeners: Option<(TcpListener, Option<TcpListener>)>,
}

impl EngineBuilder {
    /// How the state machine of a group is made. Required.
    #[must_use]
    pub fn state_machine<F>(mut self, make: F) -> Self
    where
        F: Fn(GroupId) -> Box<dyn StateMachine> + Send + Sync + 'static,
    {
        self.machines = Some(Arc::new(make));
        self
    }

    /// How the protocol of a client connection is made. Without it clients are not served over TCP.
    #[must_use]
    pub fn protocol<F>(mut self, make: F) -> Self
    where
        F: Fn(ConnectionInfo) -> Box<dyn Protocol> + Send + Sync + 'static,
    {
        self.protocol = Some(Arc::new(make));
        self
    }

    /// Starts the node: returns when all its shards have recovered their logs and run.
    ///
    /// # Errors
    /// [`StartError`], one sentence that says what is wrong and what to do. Nothing runs then.
    pub fn start(self) -> Result<Engine, StartError> {
        let Self { config, machines, protocol } = self;
        config.validate()?;
        let machines = machines.ok_or(StartError::Config("a state machine is required"))?;
        check_memlock(config.shards)?;
        check_uring()?;
        let identity = identity::open(&config)?;
        let fsync = wal::probe_fsync(&config.data)
            .map_err(|error| StartError::Disk { path: config.data.clone(), error })?;
        let listeners = bind(&config, protocol.is_some())?;
        let view = Arc::new(NodeView::new(
            config.node,
            config.cluster_id,
            config.nodes.clone(),
            config.groups.clone(),
            config.shards,
            fsync,
        ));
        let (mesh, inlets) = Mesh::new(config.shards).map_err(StartError::Uring)?;
        let mut engine = Engine { view, mesh, threads: Vec::new() };
        engine.spawn(config, identity, inlets, machines, protocol, listeners)?;
        Ok(engine)
    }
}

impl Engine {
    /// Starts to build a node with these settings.
    #[must_use]
    pub fn builder(config: EngineConfig) -> EngineBuilder {
        EngineBuilder { config, machines: None, protocol: None }
    }

    /// What the node knows of itself, the cluster and the leaders.
    #[must_use]
    pub fn view(&self) -> Arc<NodeView> {
        Arc::clone(&self.view)
    }

    /// A way to send requests from any thread.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.mesh.clone(), Arc::clone(&self.view))
    }

    /// Runs something on a shard, with the shard's own handle. False if the shard has ended or is
    /// full.
    pub fn run_on(&self, shard: usize, task: impl FnOnce(&ShardHandle) + Send + 'static) -> bool {
        self.mesh.send(shard, Parcel::Task(ShardTask(Box::new(task)))).is_ok()
    }

    /// Waits until every group with a replica here knows its leader; false if that takes longer.
    #[must_use]
    pub fn wait_for_leaders(&self, timeout: Duration) -> bool {
        let until = Instant::now() + timeout;
        let node = self.view.node();
        let here = |g: &&crate::view::GroupSpec| g.replicas.contains(&node);
        loop {
            if self.view.groups().iter().filter(here).all(|g| self.view.leader(g.id).is_some()) {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether all shards still run: one ends by itself only when its ring has failed.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.view.shards().iter().any(|s| s.failed.read() != 0)
    }

    /// Ends the node: what is under way is finished or answered, the logs are closed. Blocks until
    /// done.
    pub fn shutdown(mut self) {
        self.end();
    }

    fn end(&mut self) {
        for shard in 0..self.threads.len() {
            while let Err(SendRefused::Full(_)) = self.mesh.send(shard, Parcel::Shutdown) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        for thread in self.threads.drain(..) {
            if let Err(error) = thread.join() {
                tracing::error!(%error, "a shard ended badly");
            }
        }
    }

    fn spawn(
        &mut self,
        config: EngineConfig,
        identity: Identity,
        inlets: Vec<Inlet>,
        machines: Arc<MachineFactory>,
        protocol: Option<Arc<ProtocolFactory>>,
        listeners: Option<(TcpListener, Option<TcpListener>)>,
    ) -> Result<(), StartError> {
        let config = Arc::new(config);
        let processors = if config.pin { runtime::processors() } else { Vec::new() };
        let (started, reports) = mpsc::channel();
        let mut listeners = listeners;
        for (index, inlet) in inlets.into_iter().enumerate() {
            let seed = ShardSeed {
                index,
                config: Arc::clone(&config),
                identity,
                view: Arc::clone(&self.view),
                mesh: self.mesh.clone(),
                inlet,
                machines: Arc::clone(&machines),
                protocol: protocol.clone(),
                listeners: if index == 0 { listeners.take() } else { None },
            };
            let report = started.clone();
            let name = format!("n{}-shard-{index}", config.node);
            let processor = processors.get(index % processors.len().max(1)).copied();
            let thread = runtime::spawn(&name, processor, move || run_shard(seed, report))?;
            self.threads.push(thread);
        }
        drop(started);
        for _ in 0..self.threads.len() {
            reports.recv().map_err(|_| StartError::Thread("it ended at once".into()))??;
        }
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("node", &self.view.node()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Says that a shard has ended by itself, unless it is told otherwise: also when it panicked.
struct EndGuard {
    metrics: Arc<ShardMetrics>,
    as_asked: bool,
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.metrics.failed.set(u64::from(!self.as_asked));
    }
}

/// The life of a shard's thread.
fn run_shard(seed: ShardSeed, report: mpsc::Sender<Result<(), StartError>>) {
    let metrics = Arc::clone(&seed.view.shards()[seed.index]);
    let mut guard = EndGuard { metrics, as_asked: false };
    let opened = open_shard(seed);
    let (result, host) = match opened {
        Ok(host) => (Ok(()), Some(host)),
        Err(error) => (Err(error), None),
    };
    // The starter waits for this; if it is gone nobody wants the shard, and it is told to end.
    let _ = report.send(result);
    drop(report);
    if let Some(mut host) = host {
        host.run();
        guard.as_asked = host.was_shut_down();
    }
}

/// Recovers the log of a shard and puts its parts together.
fn open_shard(seed: ShardSeed) -> Result<Host, StartError> {
    let ShardSeed { index, config, identity, view, mesh, inlet, machines, protocol, listeners } =
        seed;
    let now = Instant::now();
    let ring = Ring::new(&inlet).map_err(StartError::Uring)?;
    let (wal, mut recovered) = Wal::open(wal_config(index, &config, identity))
        .map_err(|error| StartError::Wal { shard: index, error })?;
    tracing::info!(
        shard = index,
        groups = recovered.groups.len(),
        bytes = recovered.bytes,
        millis = now.elapsed().as_millis() as u64,
        "log recovered"
    );
    let mut shard = Shard::new(index, limits(&config), Arc::clone(&view));
    let make = Arc::clone(&machines);
    shard.snapshots.machines = Some(Rc::new(move |group| make(group)));
    let path = config.data.join(format!("core-{index:03}")).join("snapshots");
    let folder = Folder::open(path.clone())
        .map_err(|error| StartError::Folder { path: path.clone(), error })?;
    let found = folder.list().map_err(|error| StartError::Folder { path, error })?;
    let snapshots = SnapshotTable::default();
    for group in config.groups.iter().filter(|g| shard_of(g.id, config.shards) == index) {
        if !group.replicas.contains(&config.node) {
            continue;
        }
        let hard = recovered.groups.remove(&group.id).map(|r| r.hard_state).unwrap_or_default();
        let conf = ConfState::of_voters(group.replicas.iter().copied());
        let known = found.get(&group.id).map(Vec::as_slice).unwrap_or_default();
        let machine = match restore(&folder, group.id, known, &*machines) {
            Some((machine, meta)) => {
                snapshots.borrow_mut().insert(group.id, meta);
                machine
            }
            None => machines(group.id),
        };
        let storage =
            GroupLog::new(wal.reader(), group.id, hard, conf, SnapshotTable::clone(&snapshots));
        let members = group.replicas.clone();
        shard.create(group.id, members, core_config(&config, group.id), storage, machine)?;
    }
    let worker = start_worker(index, &config, mesh.clone(), folder)?;
    let lanes = Lanes::new(own_hello(index, &config, identity), view.nodes(), now);
    let mut host = Host {
        index,
        shard,
        ring,
        wal,
        sockets: Host::sockets(),
        strangers: Strangers::new(),
        worker,
        transfers: Transfers::new(config.snapshot_bytes_per_second),
        snapshots,
        lanes,
        connections: Connections::new(
            index,
            config.requests_per_connection_max,
            Arc::clone(&view.shards()[index]),
        ),
        protocol,
        handle: ShardHandle::new(index, Arc::clone(&view)),
        work: Work::new(mesh.shards()),
        mesh,
        inlet,
        metrics: Arc::clone(&view.shards()[index]),
        view,
        tick: config.tick,
        connections_max: config.connections_max,
    };
    if let Some((peers, clients)) = listeners {
        host.listen(peers, clients);
    }
    Ok(host)
}

/// Starts the thread that works on the snapshot files of a shard; its news come as parcels.
fn start_worker(
    index: usize,
    config: &EngineConfig,
    mesh: Mesh,
    folder: Folder,
) -> Result<Worker, StartError> {
    let report = move |news| match mesh.send(index, Parcel::Snapshot(news)) {
        Err(SendRefused::Full(Parcel::Snapshot(news))) => Some(news),
        _ => None,
    };
    let name = format!("n{}-snap-{index}", config.node);
    Worker::start(name, folder, report).map_err(|error| StartError::Thread(error.to_string()))
}

fn wal_config(index: usize, config: &EngineConfig, identity: Identity) -> WalConfig {
    WalConfig {
        core: u32::try_from(index).unwrap_or(u32::MAX),
        store: identity.store,
        segment_bytes: config.segment_bytes,
        tag: TAG_WAL,
        ..WalConfig::new(config.data.join(format!("core-{index:03}")).join("wal"))
    }
}

pub(crate) fn limits(config: &EngineConfig) -> ShardLimits {
    let ticks = |d: Duration| (d.as_nanos() / config.tick.as_nanos().max(1)) as u64;
    ShardLimits {
        leaderless_wait_ticks: ticks(config.leaderless_wait).max(1),
        fate_wait_ticks: 2 * config.election_timeout_ticks,
        requests_max: config.requests_per_shard_max,
        unit_bytes_max: crate::persist::unit_bytes_max(config.segment_bytes),
        snapshot_log_bytes: config.snapshot_log_bytes,
    }
}

pub(crate) fn core_config(config: &EngineConfig, group: GroupId) -> raft_core::Config {
    raft_core::Config {
        election_timeout_ticks: config.election_timeout_ticks,
        heartbeat_interval_ticks: config.heartbeat_interval_ticks,
        entry_bytes_max: config.entry_bytes_max.min(config.segment_bytes as usize / 4),
        seed: group.0,
        ..raft_core::Config::new(config.node)
    }
}

fn own_hello(index: usize, config: &EngineConfig, identity: Identity) -> Hello {
    Hello {
        protocol_version: net::PROTOCOL_VERSION,
        cluster_id: config.cluster_id,
        node: config.node,
        incarnation: identity.incarnation,
        shard: u32::try_from(index).unwrap_or(u32::MAX),
        shards: u32::try_from(config.shards).unwrap_or(u32::MAX),
        features: net::FEATURE_SNAPSHOTS,
    }
}

/// The listening sockets of the node: one for peers if it has any, one for clients if it serves
/// them.
fn bind(
    config: &EngineConfig,
    serve: bool,
) -> Result<Option<(TcpListener, Option<TcpListener>)>, StartError> {
    let Some(own) = config.nodes.iter().find(|n| n.id == config.node) else {
        return Err(StartError::Config("the node's own id must be among the nodes"));
    };
    let clients = own.client_addr.filter(|_| serve).map(net::bind_listener).transpose()?;
    if config.nodes.len() == 1 && clients.is_none() {
        return Ok(None);
    }
    Ok(Some((net::bind_listener(own.peer_addr)?, clients)))
}

fn check_memlock(shards: usize) -> Result<(), StartError> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live value of the type that the call fills.
    let answered = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) } == 0;
    let have_kib = limit.rlim_cur / 1024;
    let need_kib = runtime::MEMLOCK_KIB;
    if answered && have_kib < need_kib {
        return Err(StartError::Memlock { have_kib, need_kib, shards });
    }
    Ok(())
}

fn check_uring() -> Result<(), StartError> {
    io_uring::IoUring::new(2).map(drop).map_err(StartError::Uring)
}
