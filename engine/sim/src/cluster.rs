//! The cluster and its loop: take the next event, let it happen, look whether the laws still hold.

use std::collections::BTreeMap;

use raft_core::{GroupId, Index, Role};

use crate::faults::{Fault, Plan, Step};
use crate::network::Network;
use crate::node::{Input, Node};
use crate::oracle::{Broken, Oracle};
use crate::plant::Plant;
use crate::queue::{Event, Queue};
use crate::rng::Rng;
use crate::trace::Trace;
use crate::turn::Effect;
use crate::workload::{Client, Operation};
use crate::{Failure, NANOS_PER_MS, Nanos, Options, Report};

/// A run that takes more events than this goes round in circles.
const EVENTS_MAX: u64 = 20_000_000;

/// Everything there is.
pub(crate) struct Cluster {
    pub(crate) seed: u64,
    pub(crate) now: Nanos,
    pub(crate) until: Nanos,
    pub(crate) plan: Plan,
    pub(crate) plant: Option<Plant>,
    pub(crate) rng: Rng,
    pub(crate) queue: Queue,
    pub(crate) network: Network,
    pub(crate) nodes: Vec<Node>,
    pub(crate) clients: Vec<Client>,
    pub(crate) history: BTreeMap<String, Vec<Operation>>,
    pub(crate) oracle: Oracle,
    pub(crate) trace: Trace,
    pub(crate) faults: BTreeMap<Fault, u64>,
    pub(crate) next_ticket: u64,
    pub(crate) operations: u64,
    pub(crate) answered: u64,
    pub(crate) undecided: u64,
    pub(crate) events: u64,
    /// When the faults ended.
    pub(crate) healed: Option<Nanos>,
    pub(crate) quiet: bool,
    /// The last operation of each group that succeeded.
    pub(crate) served: BTreeMap<GroupId, Nanos>,
    pub(crate) failure: Option<Failure>,
    ended: bool,
}

impl Cluster {
    pub(crate) fn new(seed: u64, options: Options) -> Self {
        let mut rng = Rng::new(seed);
        let plan = Plan::draw(&mut rng);
        let network = Network::new(plan.nodes, Rng::new(rng.next()));
        let nodes = (0..plan.nodes).map(|place| Node::new(place, &mut rng)).collect();
        let hints = vec![0; plan.groups as usize + 1];
        let client = |_| Client { hints: hints.clone(), ..Client::default() };
        Self {
            seed,
            now: 0,
            until: options.until,
            plant: options.plant,
            queue: Queue::default(),
            network,
            nodes,
            clients: (0..plan.clients).map(client).collect(),
            history: BTreeMap::new(),
            oracle: Oracle::default(),
            trace: Trace::new(options.trace_from, options.until),
            faults: BTreeMap::new(),
            next_ticket: 0,
            operations: 0,
            answered: 0,
            undecided: 0,
            events: 0,
            healed: None,
            quiet: false,
            served: BTreeMap::new(),
            failure: None,
            ended: false,
            plan,
            rng,
        }
    }

    /// Lets everything happen, to the end or to the first broken law.
    pub(crate) fn run(&mut self) {
        for node in 0..self.plan.nodes {
            self.queue.push(0, Event::Start { node });
        }
        for client in 0..self.plan.clients {
            let at = self.rng.between(0, 50) * NANOS_PER_MS;
            self.queue.push(at, Event::Think { client });
        }
        self.queue.push(1000 * NANOS_PER_MS, Event::Fault);
        self.queue.push(self.plan.faults_for, Event::Heal);
        while let Some((at, event)) = self.queue.pop() {
            if self.failure.is_some() || self.ended || at > self.until {
                return;
            }
            self.now = at;
            self.events += 1;
            if self.events > EVENTS_MAX {
                return self.fail("Progress: too many events".to_owned());
            }
            self.happen(event);
        }
    }

    pub(crate) fn fail(&mut self, what: String) {
        let at = self.now;
        self.trace.note(at, &[99], || format!("BROKEN {what}"));
        self.failure.get_or_insert(Failure { at, what });
    }

    pub(crate) fn hold(&mut self, law: Broken) {
        if let Err(what) = law {
            self.fail(what);
        }
    }

    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = GroupId> + use<> {
        (1..=self.plan.groups).map(GroupId)
    }

    /// The node turns at this time, or earlier if that is planned.
    pub(crate) fn wake(&mut self, place: usize, at: Nanos) {
        let node = &mut self.nodes[place];
        let at = at.max(node.paused_until);
        if node.turn_at.is_none_or(|planned| planned > at || planned < self.now) {
            node.turn_at = Some(at);
            self.queue.push(at, Event::Turn { node: place });
        }
    }

    /// Something for a node's next turn.
    pub(crate) fn give(&mut self, place: usize, input: Input) {
        if let Some(host) = &mut self.nodes[place].host {
            host.inputs.push(input);
            let at = self.now + self.rng.between(1_000, 60_000);
            self.wake(place, at);
        }
    }

    /// Whether the node was to die at this step, and did.
    pub(crate) fn passes(&mut self, place: usize, step: Step) -> bool {
        let Some((due, left)) = &mut self.nodes[place].dies else { return false };
        if *due != step {
            return false;
        }
        if *left > 0 {
            *left -= 1;
            return false;
        }
        let silent = self.rng.one_in(2);
        self.kill(place, silent);
        true
    }

    /// What a turn left behind goes on its way, and the laws are held against the node.
    pub(crate) fn look(&mut self, place: usize, effect: Effect) {
        for note in effect.notes {
            let law = self.oracle.note(place, note);
            self.hold(law);
        }
        for (ticket, outcome) in effect.replies {
            self.answer(ticket, outcome);
        }
        let Some(host) = &self.nodes[place].host else { return };
        let applied = std::mem::take(&mut *host.applied.borrow_mut());
        let mut broken = Vec::new();
        let mut news = Vec::new();
        for group in self.groups() {
            let Some(replica) = host.shard.raft().replica(group) else { continue };
            if host.shard.has_stopped(group) && !host.shard.has_failed() {
                broken.push(format!("node {} stops its replica of group {group}", place + 1));
            }
            let term_at = |index: Index| replica.term_at(index);
            match self.oracle.commits(place, group, replica.commit(), term_at) {
                Ok(true) => news.push(group),
                Ok(false) => {}
                Err(what) => broken.push(what),
            }
            if replica.role() == Role::Leader {
                let law = self.oracle.leads(place, group, replica.term(), term_at);
                broken.extend(law.err());
            }
        }
        for entry in applied {
            broken.extend(self.oracle.applies(place, entry).err());
        }
        for group in news {
            broken.extend(self.durable(group).err());
        }
        broken.into_iter().for_each(|what| self.fail(what));
    }

    /// Whether the newest committed entry of a group is on the disks of a quorum.
    pub(crate) fn durable(&self, group: GroupId) -> Broken {
        let top = self.oracle.top(group);
        let holds = |n: &&Node| {
            let log = n.log.as_ref();
            log.and_then(|log| log.term(group, top.index)) == Some(top.term)
                || n.shelf.borrow().last(group).index >= top.index
        };
        let holders = self.nodes.iter().filter(holds).count();
        if top.index == Index(0) {
            return Ok(());
        }
        self.oracle.held(group, holders, self.plan.nodes)
    }

    pub(crate) fn report(self) -> Report {
        Report {
            seed: self.seed,
            hash: self.trace.hash(),
            simulated: self.now,
            events: self.events,
            faults: self.faults,
            operations: self.operations,
            answered: self.answered,
            elections: self.oracle.elections,
            installs: self.oracle.installs,
            committed: self.oracle.committed() as u64,
            checked: self.oracle.checked,
            undecided: self.undecided,
            failure: self.failure,
            trace: self.trace.into_lines(),
        }
    }
}
