//! Four honest nodes, of which some are members from the start. The bytes deliver, lose and repeat
//! messages, let time pass, sync and crash; the laws of Raft hold throughout.

use raft_core::{
    Applied, Bytes, ConfState, Config, Event, HardState, Index, LogId, Message, NodeId, RaftCore,
    ReadId, Ready, Role, SnapshotStatus, Tick,
};

use super::reader::Reader;
use super::tally::Tally;
use crate::common::disk::Disk;
use crate::common::oracle::Oracle;

const NODES: usize = 4;
/// Messages in the network at most; the oldest are lost first.
const NETWORK_MAX: usize = 64;

struct Node {
    core: RaftCore<Disk>,
    handed: HardState,
    machine: Vec<LogId>,
}

struct Together<'a> {
    bytes: Reader<'a>,
    config: Config,
    nodes: Vec<Node>,
    disks: Vec<Disk>,
    network: Vec<(usize, usize, Message)>,
    oracle: Oracle,
    ready: Ready,
    /// The state machines survive a crash.
    durable_machine: bool,
    clocks: [u64; NODES],
    names: u64,
    tally: Tally,
}

/// One run.
pub(super) fn together(bytes: &[u8]) -> Tally {
    let mut together = Together::new(Reader::new(bytes));
    while !together.bytes.is_empty() {
        together.input();
    }
    together.tally
}

fn config(bytes: &mut Reader<'_>) -> Config {
    let leases = bytes.below(4) == 0;
    let size = |bytes: &mut Reader<'_>| bytes.pick(&[1 << 20, 0, 20]);
    Config {
        election_timeout_ticks: 10,
        heartbeat_interval_ticks: 2,
        pre_vote: bytes.flag(),
        check_quorum: bytes.flag() || leases,
        lease_ticks: if leases { 1 + bytes.below(9) as u64 } else { 0 },
        seed: u64::from(bytes.byte()),
        snapshot_timeout_ticks: 5,
        inflight_messages_max: bytes.pick(&[64, 1, 2]),
        message_bytes_max: size(bytes),
        committed_bytes_max: size(bytes),
        log_cache_bytes_max: size(bytes),
        ..Config::new(NodeId(1))
    }
}

impl<'a> Together<'a> {
    fn new(mut bytes: Reader<'a>) -> Self {
        let config = config(&mut bytes);
        let first = bytes.pick(&[3, 1, 2, 4]);
        let durable_machine = bytes.flag();
        let members = |n| if n <= first { first } else { 0 };
        let conf = |n| ConfState::of_voters((1..=members(n)).map(NodeId));
        let disks: Vec<_> = (1..=NODES as u64).map(|n| Disk::with_conf(conf(n))).collect();
        let start = |(n, disk): (usize, &Disk)| Node {
            core: RaftCore::new(Config { id: id(n), ..config.clone() }, disk.clone())
                .expect("boots"),
            handed: HardState::default(),
            machine: Vec::new(),
        };
        let nodes = disks.iter().enumerate().map(start).collect();
        Self {
            bytes,
            config,
            nodes,
            disks,
            network: Vec::new(),
            oracle: Oracle::default(),
            ready: Ready::default(),
            durable_machine,
            clocks: [0; NODES],
            names: 0,
            tally: Tally::default(),
        }
    }

    fn input(&mut self) {
        let choice = self.bytes.byte();
        let n = usize::from(choice) % NODES;
        match choice / 4 {
            0..6 => self.deliver(n, false),
            6 => self.deliver(n, true),
            7 => self.lose(),
            8..14 => self.run_network(1 + n),
            14..20 => self.poll(n),
            20..26 => self.sync(n),
            26..34 => self.pass_time(n),
            34..39 => self.propose(n),
            39 | 40 => self.read(n),
            41 | 42 => self.apply(n),
            43..46 => self.change_members(n),
            46 | 47 => self.transfer(n),
            48..51 => self.compact(n),
            51 | 52 => self.crash(n),
            53 | 54 => self.act(n, RaftCore::handle_campaign),
            55 => self.act(n, RaftCore::handle_fetched),
            56 => self.disks[n].pending_every.set(u32::from(choice) % 3),
            57 => self.tell_of_loss(n),
            _ => self.settle(),
        }
    }

    /// One input for a node; where leases are on its clock is right first.
    fn act(&mut self, n: usize, act: impl FnOnce(&mut RaftCore<Disk>)) {
        let core = &mut self.nodes[n].core;
        if self.config.lease_ticks > 0 {
            core.handle_time(Tick(self.clocks[0]));
        }
        act(core);
    }

    fn deliver(&mut self, to: usize, again: bool) {
        let mut waiting = self.network.iter().enumerate().filter(|(_, m)| m.1 == to);
        let skip = usize::from(again);
        let Some(at) = waiting.nth(skip).map(|(at, _)| at) else {
            return;
        };
        let message = self.network[at].clone();
        if !again {
            self.network.remove(at);
        }
        self.hand(message);
    }

    fn hand(&mut self, (from, to, message): (usize, usize, Message)) {
        self.act(to, |core| {
            let stranger = message.is_reply() && !core.conf().contains(id(from));
            let taken = core.handle_message(id(from), message.clone());
            assert_eq!(taken.is_err(), stranger, "{message:?} to {:?}", core.status());
        });
    }

    fn lose(&mut self) {
        if !self.network.is_empty() {
            let at = self.bytes.below(self.network.len());
            self.network.remove(at);
        }
    }

    /// Everything that is on its way arrives, so many times.
    fn run_network(&mut self, rounds: usize) {
        for _ in 0..rounds {
            for message in std::mem::take(&mut self.network) {
                self.hand(message);
            }
            (0..NODES).for_each(|n| self.flush(n));
        }
    }

    /// A node does all it can without the others.
    fn flush(&mut self, n: usize) {
        self.poll(n);
        self.sync_count(n, usize::MAX);
        self.poll(n);
        self.apply(n);
    }

    /// A while without faults.
    fn settle(&mut self) {
        for _ in 0..12 {
            self.run_network(2);
            (0..NODES).for_each(|n| self.tick(n, 1));
        }
    }

    fn poll(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        if !node.core.has_ready() {
            return;
        }
        node.core.poll_ready(&mut self.ready);
        self.tally.note_ready(&self.ready);
        self.oracle.polled(n, &node.core, &self.ready, node.handed, &self.disks);
        node.handed = self.ready.hard_state.unwrap_or(node.handed);
        let messages = self.ready.messages.drain(..);
        self.network.extend(messages.map(|(to, m)| (n, to.0 as usize - 1, m)));
        let excess = self.network.len().saturating_sub(NETWORK_MAX);
        self.network.drain(..excess);
        let fetch = self.ready.events.iter().any(|e| matches!(e, Event::Fetch { .. }));
        self.disks[n].write(&mut self.ready);
        self.oracle.observe(n, &node.core, &self.disks);
        let applied = Index(node.machine.len() as u64);
        self.oracle.applied(applied, &self.ready.committed_entries, &self.disks[n]);
        node.machine.extend(self.ready.committed_entries.iter().map(|e| e.id));
        self.oracle.check_applied(&node.machine);
        if fetch && self.bytes.flag() {
            self.act(n, RaftCore::handle_fetched);
        }
    }

    fn sync(&mut self, n: usize) {
        let count = 1 + self.bytes.below(3);
        self.sync_count(n, count);
    }

    fn sync_count(&mut self, n: usize, count: usize) {
        if let Some(receipt) = self.disks[n].sync(count) {
            self.restore(n);
            self.act(n, |core| core.handle_persisted(receipt));
        }
    }

    fn restore(&mut self, n: usize) {
        let last = self.disks[n].platter.borrow().snapshot.last.index;
        if last.0 > self.nodes[n].machine.len() as u64 {
            self.nodes[n].machine = self.oracle.prefix(last);
        }
    }

    fn apply(&mut self, n: usize) {
        let applied = Applied(Index(self.nodes[n].machine.len() as u64));
        self.act(n, |core| core.handle_applied(applied));
    }

    fn pass_time(&mut self, n: usize) {
        let ticks = self.bytes.pick(&[1, 2, 5, 10, 20]);
        self.tick(n, ticks);
    }

    fn tick(&mut self, n: usize, ticks: u64) {
        // Leases need clocks that run alike.
        let n_of_clock = if self.config.lease_ticks > 0 { 0 } else { n };
        self.clocks[n_of_clock] += ticks;
        let now = Tick(self.clocks[n_of_clock]);
        self.act(n, |core| core.handle_time(now));
    }

    fn propose(&mut self, n: usize) {
        let data = Bytes::from(vec![n as u8; self.bytes.below(30)]);
        let mut accepted = None;
        self.act(n, |core| accepted = core.handle_proposal(data).ok());
        if let Some(id) = accepted {
            self.oracle.proposed(n, id);
        }
    }

    fn read(&mut self, n: usize) {
        self.names += 1;
        let name = self.names;
        let mut accepted = false;
        self.act(n, |core| accepted = core.handle_read(ReadId(name)).is_ok());
        if accepted {
            self.oracle.read_asked(name, n);
        }
    }

    fn change_members(&mut self, n: usize) {
        let change = self.bytes.conf_change(NODES);
        // What is committed so far was committed by the members so far.
        self.poll(n);
        self.oracle.observe(n, &self.nodes[n].core, &self.disks);
        let mut accepted = None;
        self.act(n, |core| accepted = core.handle_conf_change(&change).ok());
        if let Some(id) = accepted {
            self.oracle.proposed(n, id);
            self.tally.note("change of members");
        }
    }

    fn transfer(&mut self, n: usize) {
        let to = NodeId(1 + self.bytes.below(NODES) as u64);
        let mut accepted = false;
        self.act(n, |core| accepted = core.handle_transfer(to).is_ok());
        if accepted {
            self.tally.note("transfer");
        }
    }

    fn tell_of_loss(&mut self, n: usize) {
        let to = NodeId(1 + self.bytes.below(NODES) as u64);
        match self.bytes.below(3) {
            0 => self.act(n, |core| core.handle_unreachable(to)),
            1 => self.act(n, |core| core.handle_snapshot_status(to, SnapshotStatus::Moving)),
            _ => self.act(n, |core| core.handle_snapshot_status(to, SnapshotStatus::Failed)),
        }
    }

    fn compact(&mut self, n: usize) {
        let (core, disk) = (&self.nodes[n].core, &self.disks[n]);
        let (behind, told) = (self.bytes.below(4) as u64, self.bytes.flag());
        let index = core.status().applied;
        let base = Index(index.0.saturating_sub(behind));
        let newest = disk.platter.borrow().snapshot.last.index;
        if index <= newest || base < disk.platter.borrow().base.index {
            return;
        }
        let Some(conf) = core.conf_at(index).cloned() else {
            return;
        };
        disk.compact(index, base);
        let stored = disk.platter.borrow().snapshot.conf.clone();
        assert_eq!(stored, conf, "a snapshot carries the configuration of its index");
        self.tally.note("compacted");
        if told {
            self.act(n, |core| core.handle_compacted(base));
        }
    }

    fn crash(&mut self, n: usize) {
        let (kept, torn) = (self.bytes.below(4), self.bytes.flag());
        self.disks[n].crash(kept, torn);
        self.oracle.crashed(n);
        let config = Config { id: id(n), ..self.config.clone() };
        let now = Tick(if self.config.lease_ticks > 0 { self.clocks[0] } else { self.clocks[n] });
        let core = RaftCore::new_at(config, self.disks[n].clone(), now);
        let was = std::mem::replace(&mut self.nodes[n].core, core.expect("what it wrote boots"));
        self.nodes[n].handed = self.disks[n].platter.borrow().hard;
        if !self.durable_machine {
            self.nodes[n].machine.clear();
        }
        self.restore(n);
        if self.durable_machine {
            self.apply(n);
        }
        self.tally.note(if was.role() == Role::Leader { "leader crashed" } else { "crashed" });
    }
}

const fn id(node: usize) -> NodeId {
    NodeId(node as u64 + 1)
}
