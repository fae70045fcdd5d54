//! One to five replicas, a network and a scheduler that means no good.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use raft_core::{
    Applied, Bytes, Config, HardState, Index, LogId, Message, NodeId, RaftCore, ReadId, Ready,
    Role, Tick,
};

use super::disk::Disk;
use super::oracle::Oracle;
use super::random::Random;
use super::weather::Weather;

struct Node {
    core: Option<RaftCore<Disk>>,
    config: Config,
    handed: HardState,
    /// The state machine: what was applied. Survives a crash if `durable_machine`.
    machine: Vec<LogId>,
    clock: u64,
}

/// A cluster and its run.
pub(crate) struct Cluster {
    pub(super) random: Random,
    nodes: Vec<Node>,
    disks: Vec<Disk>,
    network: Vec<(usize, usize, Message)>,
    pub(super) weather: Weather,
    oracle: Oracle,
    ready: Ready,
    names: u64,
    durable_machine: bool,
    /// How bad the network is, in drops and duplicates per thousand messages.
    drops: usize,
    duplicates: usize,
    crashes: usize,
    /// How often somebody campaigns without need, and how often time passes.
    campaigns: usize,
    ticks: usize,
    trace: Option<DefaultHasher>,
    /// Proposals accepted.
    pub(crate) proposals: u64,
}

impl Cluster {
    /// A cluster as the seed wants it: size, limits and weather.
    pub(crate) fn new(seed: u64, traced: bool) -> Self {
        let mut random = Random::new(seed);
        let size = [3, 3, 3, 3, 5, 5, 4, 2, 1][random.below(9)];
        let voters: Vec<u64> = (1..=size as u64).collect();
        let disks: Vec<Disk> = voters.iter().map(|_| Disk::new(&voters)).collect();
        let config = Config {
            election_timeout_ticks: 10,
            heartbeat_interval_ticks: 1 + random.below(3) as u64,
            pre_vote: random.permille(700),
            seed,
            message_bytes_max: [1, 20, 1 << 20][random.below(3)],
            inflight_messages_max: [1, 2, 16][random.below(3)],
            uncommitted_bytes_max: [40, 1 << 20][random.below(2)],
            committed_bytes_max: [1, 50, 1 << 20][random.below(3)],
            log_cache_bytes_max: [0, 400, 1 << 20][random.below(3)],
            ..Config::new(NodeId(1))
        };
        let pending = [0, 2, 5][random.below(3)];
        disks.iter().for_each(|d| d.pending_every.set(pending));
        let nodes = voters.iter().map(|id| Node {
            core: None,
            config: Config { id: NodeId(*id), ..config.clone() },
            handed: HardState::default(),
            machine: Vec::new(),
            clock: 0,
        });
        let mut cluster = Self {
            nodes: nodes.collect(),
            disks,
            network: Vec::new(),
            weather: Weather::new(size),
            oracle: Oracle::default(),
            ready: Ready::default(),
            names: 0,
            durable_machine: random.permille(300),
            drops: [0, 20, 200][random.below(3)],
            duplicates: [0, 20, 200][random.below(3)],
            crashes: [0, 1, 5][random.below(3)],
            campaigns: [0, 2, 15][random.below(3)],
            ticks: [40, 100, 250][random.below(3)],
            trace: traced.then(DefaultHasher::new),
            proposals: 0,
            random,
        };
        (0..size).for_each(|n| cluster.start(n));
        cluster
    }

    /// One action.
    pub(crate) fn step(&mut self) {
        self.change_weather();
        let node = self.random.below(self.nodes.len());
        if self.random.permille(self.crashes) {
            return self.crash(node);
        }
        if self.nodes[node].core.is_none() {
            if self.random.permille(100) {
                self.start(node);
            }
            return;
        }
        let campaigns = if self.weather.starved { 40 } else { self.campaigns };
        if self.random.permille(campaigns) {
            self.input(node, RaftCore::handle_campaign);
        } else if self.random.permille(self.ticks) {
            self.pass_time(node, 1);
        }
        match self.random.below(1000) {
            0..1 => self.pass_time(node, 25),
            1..500 => self.deliver_some(),
            500..700 => self.sync(node),
            700..870 => self.propose(node),
            870..950 => self.read(node),
            950..960 => self.apply(node),
            960..968 => self.wrong_message(node),
            _ => self.poll(node),
        }
        if self.random.permille(600) {
            self.poll(node);
        }
    }

    pub(super) fn start(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        let mut core = RaftCore::new(node.config.clone(), self.disks[n].clone()).expect("boots");
        node.handed = self.disks[n].platter.borrow().hard;
        node.clock = 0;
        if self.durable_machine {
            core.handle_applied(Applied(Index(node.machine.len() as u64)));
        } else {
            node.machine.clear();
        }
        node.core = Some(core);
        self.poll(n);
    }

    pub(super) fn crash(&mut self, n: usize) {
        self.nodes[n].core = None;
        self.oracle.crashed(n);
        let kept = self.random.below(self.disks[n].writes() + 1);
        self.disks[n].crash(kept);
    }

    fn input(&mut self, n: usize, act: impl FnOnce(&mut RaftCore<Disk>)) {
        if let Some(core) = &mut self.nodes[n].core {
            act(core);
        }
    }

    fn pass_time(&mut self, n: usize, ticks: u64) {
        if self.weather.frozen[n] {
            return;
        }
        self.nodes[n].clock += ticks;
        let now = Tick(self.nodes[n].clock);
        self.input(n, |core| core.handle_time(now));
    }

    fn deliver_some(&mut self) {
        if self.network.is_empty() {
            return;
        }
        let at = self.random.below(self.network.len());
        // Mostly in order, or nothing would ever get through.
        let at = if self.random.permille(800) { 0 } else { at };
        let (from, to, message) = if self.random.permille(self.duplicates) {
            self.network[at].clone()
        } else {
            self.network.remove(at)
        };
        if self.weather.cut[from][to] || self.random.permille(self.drops) {
            return;
        }
        let entries = matches!(message, Message::AppendEntries(_));
        if self.weather.starved && entries && self.random.permille(850) {
            return;
        }
        self.deliver(from, to, message);
        if self.random.permille(500) {
            self.poll(to);
        }
    }

    fn deliver(&mut self, from: usize, to: usize, message: Message) {
        let sender = self.nodes[from].config.id;
        self.input(to, |core| {
            let taken = core.handle_message(sender, message.clone());
            assert_eq!(taken, Ok(()), "{message:?} to {:?}", core.status());
        });
    }

    /// A message nobody would send must change nothing.
    fn wrong_message(&mut self, n: usize) {
        let Some((_, _, message)) = self.network.last().cloned() else {
            return;
        };
        let Some(core) = &mut self.nodes[n].core else {
            return;
        };
        let before = core.status();
        core.handle_message(NodeId(99), message.clone()).expect_err("a stranger");
        core.handle_message(before.id, message).expect_err("itself");
        assert_eq!(core.status(), before);
    }

    fn sync(&mut self, n: usize) {
        let writes = self.disks[n].writes();
        if writes == 0 || self.weather.stuck[n] {
            return;
        }
        let count = 1 + self.random.below(writes);
        self.sync_count(n, count);
    }

    fn sync_count(&mut self, n: usize, count: usize) {
        if let Some(receipt) = self.disks[n].sync(count) {
            self.input(n, |core| core.handle_persisted(receipt));
        }
    }

    fn apply(&mut self, n: usize) {
        let applied = Applied(Index(self.nodes[n].machine.len() as u64));
        self.input(n, |core| core.handle_applied(applied));
    }

    fn propose(&mut self, n: usize) {
        self.names += 1;
        let size = [1, 10, 30][self.random.below(3)];
        let data = Bytes::from(format!("{:0size$}", self.names));
        let Some(core) = &mut self.nodes[n].core else {
            return;
        };
        match core.handle_proposal(data) {
            Ok(_) => self.proposals += 1,
            Err(_) => {
                assert!(core.role() != Role::Leader || core.commit() < core.status().last.index)
            }
        }
    }

    fn read(&mut self, n: usize) {
        self.names += 1;
        let name = self.names;
        let Some(core) = &mut self.nodes[n].core else {
            return;
        };
        if core.handle_read(ReadId(name)).is_ok() {
            self.oracle.read_asked(name, n);
        }
    }

    fn poll(&mut self, n: usize) {
        let Some(core) = &mut self.nodes[n].core else {
            return;
        };
        if !core.has_ready() {
            return;
        }
        core.poll_ready(&mut self.ready);
        let core = self.nodes[n].core.as_ref().expect("it runs");
        self.oracle.polled(n, core, &self.ready, self.nodes[n].handed, &self.disks);
        if let Some(trace) = &mut self.trace {
            format!("{n} {:?}", self.ready).hash(trace);
        }
        let handed = self.ready.hard_state.unwrap_or(self.nodes[n].handed);
        self.disks[n].write(&mut self.ready);
        self.oracle.observe(n, core, &self.disks);
        for (to, message) in self.ready.messages.drain(..) {
            self.network.push((n, to.0 as usize - 1, message));
        }
        let node = &mut self.nodes[n];
        node.handed = handed;
        let applied = Index(node.machine.len() as u64);
        self.oracle.applied(applied, &self.ready.committed_entries, &self.disks[n]);
        node.machine.extend(self.ready.committed_entries.iter().map(|e| e.id));
        self.oracle.check_applied(&node.machine);
        // Applying takes its time: often nobody says how far it is until the next poll.
        if self.random.permille(600) {
            self.apply(n);
        }
    }

    /// The weather clears: within a bounded time there is one leader, everything that was committed
    /// or accepted is settled, and all replicas are equal.
    pub(crate) fn recover(&mut self) {
        self.weather.clear();
        self.drops = 0;
        for n in 0..self.nodes.len() {
            if self.nodes[n].core.is_none() {
                self.start(n);
            }
        }
        for _ in 0..400 {
            for n in 0..self.nodes.len() {
                self.pass_time(n, 1);
                self.quiesce(n);
            }
            if self.is_settled() {
                self.oracle.check_applied(&self.nodes[0].machine);
                return assert_eq!(self.oracle.open_reads(), 0, "every read has an outcome");
            }
        }
        panic!("no progress: {:?}", self.statuses());
    }

    fn quiesce(&mut self, n: usize) {
        loop {
            self.sync_count(n, self.disks[n].writes());
            self.apply(n);
            self.poll(n);
            let waiting = std::mem::take(&mut self.network);
            let idle = waiting.is_empty();
            for (from, to, message) in waiting {
                self.deliver(from, to, message);
                self.poll(to);
            }
            let core = self.nodes[n].core.as_ref().expect("it runs");
            if idle && self.disks[n].writes() == 0 && !core.has_ready() {
                return;
            }
        }
    }

    fn is_settled(&self) -> bool {
        let mut cores = self.nodes.iter().filter_map(|n| n.core.as_ref());
        let Some(leader) = cores.clone().find(|c| c.status().established) else {
            return false;
        };
        let last = leader.status().last;
        cores.all(|core| {
            let status = core.status();
            status.last == last
                && status.hard.commit == last.index
                && status.applied == last.index
                && status.durable == last.index
                && status.soft.leader == leader.leader()
                && status.hard.term == leader.term()
        }) && self.oracle.open_reads() == 0
    }

    pub(super) fn size(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn is_up(&self, n: usize) -> bool {
        self.nodes[n].core.is_some()
    }

    /// A node that takes itself for the leader.
    pub(super) fn leader(&self) -> Option<usize> {
        let leads = |n: &Node| n.core.as_ref().is_some_and(|c| c.role() == Role::Leader);
        self.nodes.iter().position(leads)
    }

    fn statuses(&self) -> Vec<raft_core::Status> {
        self.nodes.iter().filter_map(|n| n.core.as_ref()).map(RaftCore::status).collect()
    }

    /// A number for everything that came out, if the run is traced.
    pub(crate) fn trace(&self) -> u64 {
        self.trace.as_ref().map_or(0, Hasher::finish)
    }

    pub(crate) fn oracle(&self) -> &Oracle {
        &self.oracle
    }
}
