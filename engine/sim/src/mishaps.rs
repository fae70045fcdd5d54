//! How things go wrong, and how they heal.

use raft_core::{NodeId, Role};

use crate::NANOS_PER_MS;
use crate::cluster::Cluster;
use crate::disk::Disk;
use crate::faults::{Ending, Fault, STEPS};
use crate::network::Link;
use crate::node::Node;
use crate::plant::Plant;
use crate::queue::Event;
use crate::rng::Rng;

/// How long everything may take after the faults have ended, until the clients are served.
pub(crate) const RECOVERY_MS: u64 = 8000;
/// How long the clients go on after that.
const SERVE_MS: u64 = 2000;
/// How long the replicas may take after the last client to become equal.
const SETTLE_MS: u64 = 5000;

impl Node {
    pub(crate) fn new(place: usize, rng: &mut Rng) -> Self {
        Self {
            place,
            disk: std::rc::Rc::new(std::cell::RefCell::new(Disk::default())),
            shelf: std::rc::Rc::default(),
            log: None,
            host: None,
            life: 0,
            rate: rng.between(950_000, 1_050_000),
            wall_skew_ms: rng.below(2000),
            paused_until: 0,
            turn_at: None,
            dies: None,
            disk_slowness: 1,
            disk_full: false,
            was_full: false,
            write_fails: false,
        }
    }
}

impl Cluster {
    /// The next fault, and when the one after it comes.
    pub(crate) fn go_wrong(&mut self) {
        if self.healed.is_some() {
            return;
        }
        let fault = self.plan.faults[self.rng.place(self.plan.faults.len())];
        let place = self.victim();
        *self.faults.entry(fault).or_default() += 1;
        self.trace.note(self.now, &[5, fault as u64, place as u64], || {
            format!("FAULT {fault:?} at node {}", place + 1)
        });
        self.inflict(fault, place);
        let pause = self.rng.between(1, 2 * self.plan.pause_ms) * NANOS_PER_MS;
        self.queue.push(self.now + pause, Event::Fault);
    }

    /// Leaders are hit more often than their number would have it.
    fn victim(&mut self) -> usize {
        let group = raft_core::GroupId(1 + self.rng.below(self.plan.groups));
        let leads = |n: &Node| {
            let raft = n.host.as_ref().and_then(|h| h.shard.raft().replica(group));
            raft.is_some_and(|r| r.role() == Role::Leader)
        };
        let any = self.rng.place(self.plan.nodes);
        match self.nodes.iter().position(leads) {
            Some(leader) if self.rng.one_in(2) => leader,
            _ => any,
        }
    }

    fn inflict(&mut self, fault: Fault, place: usize) {
        let lasts = self.rng.between(10, 3000) * NANOS_PER_MS;
        let nodes = self.plan.nodes;
        let other = (place + 1 + self.rng.place(nodes.max(2) - 1)) % nodes;
        match fault {
            Fault::Kill => self.kill(place, false),
            Fault::Power => self.kill(place, true),
            Fault::KillAtStep => {
                let step = STEPS[self.rng.place(STEPS.len())];
                self.nodes[place].dies = Some((step, self.rng.below(20)));
            }
            Fault::Blackout => (0..nodes).for_each(|node| self.kill(node, true)),
            Fault::Pause => {
                self.nodes[place].paused_until = self.now + lasts;
                self.wake(place, self.now + lasts);
            }
            Fault::CutWay => self.cut(place, other, lasts),
            Fault::Isolate => {
                for node in (0..nodes).filter(|n| *n != place) {
                    self.cut(place, node, lasts);
                    self.cut(node, place, lasts);
                }
            }
            Fault::Split => {
                let side = self.rng.next() | 1 << place;
                for (a, b) in pairs(nodes).filter(|(a, b)| side >> a & 1 != side >> b & 1) {
                    self.cut(a, b, lasts);
                }
            }
            Fault::Bridge => {
                self.cut(place, other, lasts);
                self.cut(other, place, lasts);
            }
            Fault::Deafen => {
                (0..nodes).filter(|n| *n != place).for_each(|n| self.cut(n, place, lasts));
            }
            Fault::Reset => {
                let open: Vec<u64> = self.network.conns.keys().copied().collect();
                if !open.is_empty() {
                    let conn = open[self.rng.place(open.len())];
                    self.network.reset(self.now, conn, &mut self.queue);
                }
            }
            Fault::BadWay => {
                let delay = self.rng.between(1, 60) * NANOS_PER_MS;
                let jitter = self.rng.between(0, 60) * NANOS_PER_MS;
                let (loss, bandwidth) = (self.rng.below(200), self.rng.between(10, 10_000));
                let cut = self.network.link(place, other).cut;
                *self.network.link(place, other) = Link { cut, delay, jitter, loss, bandwidth };
                self.mend_later(lasts, Ending::Way { from: place, to: other });
            }
            Fault::SlowDisk => {
                self.nodes[place].disk_slowness = self.rng.between(10, 200);
                self.mend_later(lasts, Ending::Disk { node: place });
            }
            Fault::FullDisk => {
                self.nodes[place].disk_full = true;
                self.nodes[place].was_full = true;
                self.mend_later(lasts, Ending::Disk { node: place });
            }
            Fault::WriteError => self.nodes[place].write_fails = true,
            Fault::Transfer | Fault::Campaign => self.push_around(fault, place, other),
            Fault::ClockJump => self.nodes[place].wall_skew_ms = self.rng.below(10_000),
        }
    }

    /// A transfer or a campaign in each group where the node can.
    fn push_around(&mut self, fault: Fault, place: usize, other: usize) {
        let groups: Vec<_> = self.groups().collect();
        let Some(host) = &mut self.nodes[place].host else { return };
        for group in groups {
            let raft = host.shard.raft_mut();
            let leads = raft.replica(group).is_some_and(|r| r.role() == Role::Leader);
            // A refusal is an answer like any other.
            if fault == Fault::Transfer && leads && other != place {
                let _ = raft.transfer_leader(group, NodeId(other as u64 + 1));
            } else if fault == Fault::Campaign && !leads {
                let _ = raft.campaign(group);
            }
        }
        self.wake(place, self.now);
    }

    fn mend_later(&mut self, lasts: u64, ending: Ending) {
        self.queue.push(self.now + lasts, Event::Mend(ending));
    }

    fn cut(&mut self, from: usize, to: usize, lasts: u64) {
        if from != to {
            self.network.link(from, to).cut = true;
            self.mend_later(lasts, Ending::Way { from, to });
        }
    }

    pub(crate) fn mend(&mut self, ending: Ending) {
        match ending {
            Ending::Way { from, to } => {
                *self.network.link(from, to) =
                    Link { cut: self.network.link(from, to).cut, ..Link::default() };
                self.network.uncut(self.now, from, to, &mut self.queue);
            }
            Ending::Disk { node } => {
                self.nodes[node].disk_slowness = 1;
                self.nodes[node].disk_full = false;
            }
        }
    }

    /// A node dies. Writes under way may be torn; connections end, unless nobody is told.
    pub(crate) fn kill(&mut self, place: usize, silent: bool) {
        let Some(host) = self.nodes[place].host.take() else { return };
        self.trace.note(self.now, &[6, place as u64], || {
            format!("node {} dies{}", place + 1, if silent { " in silence" } else { "" })
        });
        let node = &mut self.nodes[place];
        (node.dies, node.turn_at, node.paused_until, node.write_fails) = (None, None, 0, false);
        for flying in &host.flying {
            node.disk.borrow_mut().tear(flying, &mut self.rng);
        }
        drop(host);
        let law = node.inspect(&self.plan);
        self.hold(law);
        for group in self.groups() {
            let law = self.durable(group);
            self.hold(law);
        }
        let conns: Vec<(u64, usize)> = self
            .network
            .conns
            .iter()
            .flat_map(|(id, c)| {
                (0..2).filter(|side| c.nodes[*side] == place).map(|side| (*id, side))
            })
            .collect();
        for (conn, side) in conns {
            self.network.close(self.now, conn, side, silent, &mut self.queue);
        }
        let pending: Vec<(usize, u64)> =
            self.clients.iter().enumerate().map(|(n, c)| (n, c.ticket)).collect();
        for (client, ticket) in pending {
            let group = self.clients[client].group.0 as usize;
            if !silent && ticket != 0 && self.clients[client].hints[group] == place {
                let at = self.now + NANOS_PER_MS;
                self.queue.push(at, Event::Reply { client, ticket, outcome: None });
            }
        }
        let longest = [40, 3000][self.rng.place(2)];
        let down = if self.healed.is_some() { 100 } else { self.rng.between(1, longest) };
        self.queue.push(self.now + down * NANOS_PER_MS, Event::Start { node: place });
    }

    /// The faults end: everything works, everybody is up.
    pub(crate) fn heal(&mut self) {
        self.healed = Some(self.now);
        self.trace.note(self.now, &[7], || "everything heals".to_owned());
        let never_again = self.plant == Some(Plant::NeverRedial);
        for node in 0..self.plan.nodes {
            self.mend(Ending::Disk { node });
            self.nodes[node].dies = None;
            self.nodes[node].write_fails = false;
            self.nodes[node].paused_until = 0;
            for to in (0..self.plan.nodes).filter(|to| *to != node) {
                self.mend(Ending::Way { from: node, to });
            }
            if let Some(host) = &mut self.nodes[node].host {
                host.lanes.never_again = never_again;
            }
            self.queue.push(self.now, Event::Start { node });
            self.wake(node, self.now);
        }
        let served = self.now + (RECOVERY_MS + SERVE_MS) * NANOS_PER_MS;
        self.queue.push(served, Event::Quiet);
        self.queue.push(served + SETTLE_MS * NANOS_PER_MS, Event::Judge);
    }
}

/// All ordered pairs of different nodes.
fn pairs(nodes: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..nodes).flat_map(move |a| (0..nodes).filter(move |b| *b != a).map(move |b| (a, b)))
}
