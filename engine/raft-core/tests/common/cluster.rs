//! One to seven replicas, a network and a scheduler that means no good.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use raft_core::{
    Applied, Bytes, ConfState, Config, Event, HardState, Index, LogId, Message, NodeId,
    ProposeError, RaftCore, ReadId, Ready, Role, StepError, Tick,
};

use super::disk::Disk;
use super::oracle::Oracle;
use super::random::Random;
use super::weather::Weather;

pub(super) struct Node {
    pub(super) core: Option<RaftCore<Disk>>,
    pub(super) config: Config,
    handed: HardState,
    /// The state machine: what was applied. Survives a crash if `durable_machine`.
    pub(super) machine: Vec<LogId>,
    pub(super) clock: u64,
    /// The core waits for entries from the disk.
    pub(super) fetching: bool,
}

/// A cluster and its run.
pub(crate) struct Cluster {
    pub(super) random: Random,
    pub(super) nodes: Vec<Node>,
    pub(super) disks: Vec<Disk>,
    pub(super) network: Vec<(usize, usize, Message)>,
    /// Copies that arrive long after everybody has forgotten them.
    late: Vec<(usize, usize, Message)>,
    pub(super) weather: Weather,
    pub(super) oracle: Oracle,
    pub(super) ready: Ready,
    names: u64,
    durable_machine: bool,
    /// The one clock of all nodes, where leases need one.
    pub(super) common_clock: Option<u64>,
    /// How often the members change, and how often logs are compacted, per thousand steps.
    pub(super) changes: usize,
    pub(super) compactions: usize,
    /// How bad the network is, in drops and duplicates per thousand messages.
    pub(super) drops: usize,
    duplicates: usize,
    crashes: usize,
    /// How often somebody campaigns without need, and how often time passes.
    campaigns: usize,
    ticks: usize,
    trace: Option<DefaultHasher>,
    /// Inputs handed to the cores.
    pub(crate) inputs: u64,
    /// Proposals accepted.
    pub(crate) proposals: u64,
    pub(crate) changed: u64,
    pub(crate) transfers: u64,
    pub(crate) restarts: u64,
}

impl Cluster {
    /// A cluster as the seed wants it: size, limits and weather.
    pub(crate) fn new(seed: u64, traced: bool) -> Self {
        let mut random = Random::new(seed);
        let size = [3, 3, 3, 5, 5, 7, 6, 4, 2, 1][random.below(10)];
        let changes = if size > 2 { [0, 2, 10, 40][random.below(4)] } else { 0 };
        // Who is not among the first voters waits, empty, to be told of the group.
        let first = if changes > 0 { 1 + random.below(size) } else { size } as u64;
        let disks: Vec<Disk> = (1..=size as u64)
            .map(|n| {
                let voters = if n <= first { first } else { 0 };
                Disk::with_conf(ConfState::of_voters((1..=voters).map(NodeId)))
            })
            .collect();
        let leases = random.permille(250);
        let config = Config {
            election_timeout_ticks: 10,
            heartbeat_interval_ticks: 1 + random.below(3) as u64,
            pre_vote: random.permille(700),
            // Without it removed nodes disturb the others for ever (thesis 4.2.3).
            check_quorum: leases || changes > 0 || random.permille(800),
            lease_ticks: if leases { 1 + random.below(9) as u64 } else { 0 },
            snapshot_timeout_ticks: 5 + random.below(40) as u64,
            seed,
            message_bytes_max: [1, 20, 1 << 20][random.below(3)],
            inflight_messages_max: [1, 2, 16][random.below(3)],
            inflight_bytes_max: [1, 50, 1 << 20][random.below(3)],
            uncommitted_bytes_max: [40, 1 << 20][random.below(2)],
            committed_bytes_max: [1, 50, 1 << 20][random.below(3)],
            log_cache_bytes_max: [0, 400, 1 << 20][random.below(3)],
            ..Config::new(NodeId(1))
        };
        let pending = [0, 2, 5][random.below(3)];
        disks.iter().for_each(|d| d.pending_every.set(pending));
        let nodes = (1..=size as u64).map(|id| Node {
            core: None,
            config: Config { id: NodeId(id), ..config.clone() },
            handed: HardState::default(),
            machine: Vec::new(),
            clock: 0,
            fetching: false,
        });
        let mut cluster = Self {
            nodes: nodes.collect(),
            disks,
            network: Vec::new(),
            late: Vec::new(),
            weather: Weather::new(size),
            oracle: Oracle::default(),
            ready: Ready::default(),
            names: 0,
            durable_machine: random.permille(300),
            common_clock: leases.then_some(0),
            changes,
            compactions: [0, 3, 30][random.below(3)],
            drops: [0, 20, 200][random.below(3)],
            duplicates: [0, 20, 200][random.below(3)],
            crashes: [0, 1, 5][random.below(3)],
            campaigns: [0, 2, 15][random.below(3)],
            ticks: [40, 100, 250][random.below(3)],
            trace: traced.then(DefaultHasher::new),
            inputs: 0,
            proposals: 0,
            changed: 0,
            transfers: 0,
            restarts: 0,
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
            self.campaign(node);
        } else if self.random.permille(self.ticks) {
            self.pass_time(node, 1);
        }
        self.administer(node);
        match self.random.below(1000) {
            0..1 => self.pass_time(node, 25),
            1..500 => self.deliver_some(),
            500..700 => self.sync(node),
            700..870 => self.propose(node),
            870..950 => self.read(node),
            950..960 => self.apply(node),
            960..968 => self.wrong_message(node),
            968..976 => self.fetch(node),
            _ => self.poll(node),
        }
        if self.random.permille(600) {
            self.poll(node);
        }
    }

    pub(super) fn start(&mut self, n: usize) {
        let now = Tick(self.common_clock.unwrap_or(0));
        let node = &mut self.nodes[n];
        let disk = self.disks[n].clone();
        let mut core = RaftCore::new_at(node.config.clone(), disk, now).expect("boots");
        node.handed = self.disks[n].platter.borrow().hard;
        node.clock = now.0;
        node.fetching = false;
        if !self.durable_machine {
            node.machine.clear();
        }
        self.restore(n);
        if self.durable_machine {
            core.handle_applied(Applied(Index(self.nodes[n].machine.len() as u64)));
        }
        self.nodes[n].core = Some(core);
        self.restarts += 1;
        self.poll(n);
    }

    /// The state machine takes what a durable snapshot holds, if that is more than it has.
    fn restore(&mut self, n: usize) {
        let last = self.disks[n].platter.borrow().snapshot.last.index;
        if last.0 > self.nodes[n].machine.len() as u64 {
            self.nodes[n].machine = self.oracle.prefix(last);
        }
    }

    pub(super) fn crash(&mut self, n: usize) {
        self.nodes[n].core = None;
        self.oracle.crashed(n);
        let kept = self.random.below(self.disks[n].writes() + 1);
        let torn = self.random.permille(500);
        self.disks[n].crash(kept, torn);
    }

    pub(super) fn input(&mut self, n: usize, act: impl FnOnce(&mut RaftCore<Disk>)) {
        let now = self.common_clock;
        if let Some(core) = &mut self.nodes[n].core {
            // Where leases are on a host sets the clock before anything else.
            now.into_iter().for_each(|now| core.handle_time(Tick(now)));
            act(core);
            self.inputs += 1;
        }
    }

    fn campaign(&mut self, n: usize) {
        if self.random.permille(500) {
            return self.input(n, RaftCore::handle_campaign);
        }
        let ticks = self.random.below(12) as u64;
        self.input(n, |core| core.handle_campaign_at(Tick(core.now().0 + ticks)));
    }

    fn pass_time(&mut self, n: usize, ticks: u64) {
        if let Some(clock) = &mut self.common_clock {
            // All clocks run alike; what a node does about it comes with its next input.
            *clock += u64::from(self.random.permille(400)) * ticks;
            return self.input(n, |_| {});
        }
        if self.weather.frozen[n] {
            return;
        }
        self.nodes[n].clock += ticks;
        let now = Tick(self.nodes[n].clock);
        self.input(n, |core| core.handle_time(now));
    }

    fn deliver_some(&mut self) {
        if !self.late.is_empty() && self.random.permille(10) {
            let (from, to, message) = self.late.remove(self.random.below(self.late.len()));
            return self.deliver(from, to, message);
        }
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
            return self.tell_of_loss(from, to, &message);
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

    pub(super) fn deliver(&mut self, from: usize, to: usize, message: Message) {
        let sender = self.nodes[from].config.id;
        self.input(to, |core| {
            let stranger = message.is_reply() && !core.conf().contains(sender);
            let taken = core.handle_message(sender, message.clone());
            let expected = if stranger { Err(StepError::UnknownPeer(sender)) } else { Ok(()) };
            assert_eq!(taken, expected, "{message:?} to {:?}", core.status());
        });
    }

    /// A message nobody would send must change nothing.
    fn wrong_message(&mut self, n: usize) {
        let Some((_, _, message)) = self.network.last().cloned() else {
            return;
        };
        self.input(n, |core| {
            let before = core.status();
            if message.is_reply() {
                core.handle_message(NodeId(99), message.clone()).expect_err("a stranger");
            }
            core.handle_message(before.id, message).expect_err("itself");
            assert_eq!(core.status(), before);
        });
    }

    fn sync(&mut self, n: usize) {
        let writes = self.disks[n].writes();
        if writes == 0 || self.weather.stuck[n] {
            return;
        }
        let count = 1 + self.random.below(writes);
        self.sync_count(n, count);
    }

    pub(super) fn sync_count(&mut self, n: usize, count: usize) {
        if let Some(receipt) = self.disks[n].sync(count) {
            self.restore(n);
            self.input(n, |core| core.handle_persisted(receipt));
        }
    }

    pub(super) fn apply(&mut self, n: usize) {
        let applied = Applied(Index(self.nodes[n].machine.len() as u64));
        self.input(n, |core| core.handle_applied(applied));
    }

    pub(super) fn fetch(&mut self, n: usize) {
        if std::mem::take(&mut self.nodes[n].fetching) {
            self.input(n, RaftCore::handle_fetched);
        }
    }

    fn propose(&mut self, n: usize) {
        self.names += 1;
        let size = [1, 10, 30][self.random.below(3)];
        let data = Bytes::from(format!("{:0size$}", self.names));
        let count = [1, 1, 1, 3][self.random.below(4)];
        let mut accepted = Vec::new();
        self.input(n, |core| {
            let proposals = core.handle_proposals(vec![data; count]);
            if let Some(first) = proposals.first {
                assert_eq!(core.status().transfer, None, "a leader that hands over takes nothing");
                let places = first.index.0..first.index.0 + proposals.taken as u64;
                accepted.extend(places.map(|index| LogId::new(first.term, Index(index))));
            }
            if let Some((_, error)) = proposals.refused {
                let behind = core.commit() < core.status().last.index;
                let handing_over = matches!(error, ProposeError::Transferring { .. });
                assert!(core.role() != Role::Leader || behind || handing_over, "{error}");
            }
        });
        for id in accepted {
            self.proposals += 1;
            self.oracle.proposed(n, id);
        }
    }

    fn read(&mut self, n: usize) {
        self.names += 1;
        let name = self.names;
        let mut accepted = false;
        self.input(n, |core| accepted = core.handle_read(ReadId(name)).is_ok());
        if accepted {
            self.oracle.read_asked(name, n);
        }
    }

    pub(super) fn poll(&mut self, n: usize) {
        let Some(core) = &mut self.nodes[n].core else {
            return;
        };
        if !core.has_ready() {
            return;
        }
        core.poll_ready(&mut self.ready);
        while self.handle_ready(n) {}
    }

    /// Does what the last poll asked for. Returns whether another followed from it.
    fn handle_ready(&mut self, n: usize) -> bool {
        let core = self.nodes[n].core.as_ref().expect("it runs");
        self.oracle.polled(n, core, &self.ready, self.nodes[n].handed, &self.disks);
        if let Some(trace) = &mut self.trace {
            format!("{n} {:?}", self.ready).hash(trace);
        }
        let handed = self.ready.hard_state.unwrap_or(self.nodes[n].handed);
        self.disks[n].write(&mut self.ready);
        self.oracle.observe(n, core, &self.disks);
        for (to, message) in self.ready.messages.drain(..) {
            let to = to.0 as usize - 1;
            if self.random.permille(8) {
                self.late.push((n, to, message.clone()));
            }
            self.network.push((n, to, message));
        }
        let node = &mut self.nodes[n];
        node.fetching |= self.ready.events.iter().any(|e| matches!(e, Event::Fetch { .. }));
        node.handed = handed;
        let applied = Index(node.machine.len() as u64);
        self.oracle.applied(applied, &self.ready.committed_entries, &self.disks[n]);
        node.machine.extend(self.ready.committed_entries.iter().map(|e| e.id));
        self.oracle.check_applied(&node.machine);
        // Applying takes its time: often nobody says how far it is until the next poll.
        if self.random.permille(300) {
            let mut ready = std::mem::take(&mut self.ready);
            let mut more = false;
            self.input(n, |core| more = core.handle_done(&mut ready));
            self.ready = ready;
            return more;
        }
        if self.random.permille(400) {
            self.apply(n);
        }
        false
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

    pub(super) fn statuses(&self) -> Vec<(raft_core::Status, ConfState)> {
        let cores = self.nodes.iter().filter_map(|n| n.core.as_ref());
        cores.map(|c| (c.status(), c.conf().clone())).collect()
    }

    /// A number for everything that came out, if the run is traced.
    pub(crate) fn trace(&self) -> u64 {
        self.trace.as_ref().map_or(0, Hasher::finish)
    }

    /// What happened, counted.
    pub(crate) fn counts(&self) -> [(&'static str, u64); 15] {
        let oracle = &self.oracle;
        [
            ("inputs", self.inputs),
            ("starts", self.restarts),
            ("elections", oracle.elections),
            ("proposals", self.proposals),
            ("commits", oracle.committed().0),
            ("losses", oracle.lost() as u64),
            ("proposals of unknown fate", oracle.uncertain),
            ("reads", oracle.reads_ready),
            ("reads under a lease", oracle.reads_leased),
            ("reads lost", oracle.reads_lost),
            ("changes of members", self.changed),
            ("configurations in force", oracle.conf_changes),
            ("snapshots installed", oracle.snapshots),
            ("transfers", self.transfers),
            ("transfers aborted", oracle.transfers_aborted),
        ]
    }
}
