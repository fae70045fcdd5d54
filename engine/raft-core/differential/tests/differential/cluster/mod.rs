//! A cluster of either implementation: replicas, links, and the laws that hold between them.

mod schedule;
mod sync;
mod twins;

use std::collections::{BTreeMap, VecDeque};

use raft_core::{ConfChange, ConfState, LogId};

use super::model::{Replica, Setup, SharedHistory, Start};
pub(crate) use twins::run;

/// Something that happens to a cluster, in words that mean the same for either implementation:
/// messages are named by their link and their place on it.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Tick(u64),
    Campaign(u64),
    Deliver {
        from: u64,
        to: u64,
        place: u64,
    },
    Duplicate {
        from: u64,
        to: u64,
        place: u64,
    },
    Drop {
        from: u64,
        to: u64,
        place: u64,
    },
    /// The sender hears that the last message was lost.
    ReportLost {
        from: u64,
        to: u64,
    },
    Sync(u64, u64),
    Apply(u64, u64),
    Propose(u64, u64),
    Read(u64, u64),
    Change(u64, ConfChange),
    Transfer {
        from: u64,
        to: u64,
    },
    Compact(u64),
    /// All but so many of its writes are lost.
    Crash(u64, u64),
    Cut {
        from: u64,
        to: u64,
    },
    Heal,
}

/// See the module.
pub(crate) struct Cluster<R: Replica> {
    /// Node `n` is at `n - 1`.
    nodes: Vec<R>,
    links: Vec<Vec<VecDeque<R::Message>>>,
    cut: Vec<Vec<bool>>,
    history: SharedHistory,
    leaders: BTreeMap<u64, u64>,
    /// Commands taken, and where they went.
    proposed: BTreeMap<LogId, u64>,
    lost: Vec<LogId>,
    /// How much was applied somewhere when a read was asked for.
    reads: BTreeMap<u64, u64>,
    /// How often only a campaign could bring back who was ahead in terms.
    stranded: u64,
}

impl<R: Replica> Cluster<R> {
    pub(crate) fn new(setup: Setup, size: u64, conf: &ConfState) -> Self {
        let history = SharedHistory::default();
        // Who is not among the first members begins like them, and is added later.
        let start = Start { conf: conf.clone(), ..Start::default() };
        let node = |id| R::boot(Setup { id, ..setup }, &start, history.clone());
        let nodes: Vec<_> = (1..=size).map(node).collect();
        let links = nodes.iter().map(|_| nodes.iter().map(|_| VecDeque::new()).collect());
        Self {
            links: links.collect(),
            cut: vec![vec![false; nodes.len()]; nodes.len()],
            nodes,
            history,
            leaders: BTreeMap::new(),
            proposed: BTreeMap::new(),
            lost: Vec::new(),
            reads: BTreeMap::new(),
            stranded: 0,
        }
    }

    pub(super) fn node(&mut self, id: u64) -> &mut R {
        &mut self.nodes[id as usize - 1]
    }

    /// Does it. Returns whether it was taken, where it can be refused.
    pub(crate) fn act(&mut self, action: &Action) -> bool {
        let mut taken = true;
        let node = match *action {
            Action::Deliver { from, to, place } => {
                if let Some(message) = self.take(from, to, place) {
                    self.node(to).handle(from, message);
                }
                to
            }
            Action::Duplicate { from, to, place } => {
                if let Some(message) = self.take(from, to, place) {
                    self.links[from as usize - 1][to as usize - 1].push_back(message.clone());
                    self.node(to).handle(from, message);
                }
                to
            }
            Action::Drop { from, to, place } => {
                drop(self.take(from, to, place));
                to
            }
            Action::Cut { from, to } => {
                self.cut[from as usize - 1][to as usize - 1] = true;
                from
            }
            Action::Heal => {
                self.cut.iter_mut().flatten().for_each(|cut| *cut = false);
                1
            }
            Action::Propose(id, command) => {
                taken = self.propose(id, command);
                id
            }
            Action::Read(id, read) => {
                let applied = self.history.borrow().len();
                taken = self.node(id).read(read);
                if taken {
                    self.reads.insert(read, applied);
                }
                id
            }
            Action::Change(id, ref change) => {
                taken = self.node(id).change(change);
                id
            }
            _ => self.act_on_node(action),
        };
        self.observe(node);
        taken
    }

    /// Does what concerns one node and is never refused. Returns the node.
    fn act_on_node(&mut self, action: &Action) -> u64 {
        let (Action::Tick(id)
        | Action::Campaign(id)
        | Action::Sync(id, _)
        | Action::Apply(id, _)
        | Action::Compact(id)
        | Action::Crash(id, _)
        | Action::ReportLost { from: id, .. }
        | Action::Transfer { from: id, .. }) = *action
        else {
            unreachable!("{action:?} concerns more than one node");
        };
        let node = self.node(id);
        match *action {
            Action::Tick(_) => node.tick(),
            Action::Campaign(_) => node.campaign(),
            Action::Sync(_, count) => node.sync(count as usize),
            Action::Apply(_, count) => node.apply(count as usize),
            Action::Compact(_) => node.compact(),
            Action::Crash(_, kept) => node.crash(kept as usize % (node.writes() + 1)),
            Action::ReportLost { to, .. } => node.report_lost(to, false),
            Action::Transfer { to, .. } => node.transfer(to),
            _ => {}
        }
        id
    }

    fn propose(&mut self, id: u64, command: u64) -> bool {
        let Some(at) = self.node(id).propose(command) else {
            return false;
        };
        let before = self.proposed.insert(at, command);
        assert_eq!(before, None, "one command per place (thesis 3.5, Log Matching)");
        true
    }

    fn take(&mut self, from: u64, to: u64, place: u64) -> Option<R::Message> {
        let link = &mut self.links[from as usize - 1][to as usize - 1];
        let place = place.checked_rem(link.len() as u64)?;
        let message = link.remove(place as usize)?;
        // A host learns of a snapshot that does not arrive; of other messages it need not.
        if self.cut[from as usize - 1][to as usize - 1] {
            if R::is_snapshot(&message) {
                self.node(from).report_lost(to, true);
                self.observe(from);
            }
            return None;
        }
        Some(message)
    }

    /// Takes what a replica has put out, and holds it against the laws.
    fn observe(&mut self, id: u64) {
        let node = &mut self.nodes[id as usize - 1];
        for (to, message) in node.take_sent() {
            self.links[id as usize - 1][to as usize - 1].push_back(message);
        }
        for (read, index) in node.take_reads() {
            let applied = self.reads.remove(&read).expect("a read that was asked for");
            assert!(index >= applied, "a read that began after {applied} reflects {index}");
        }
        self.lost.extend(node.take_lost());
        if let Some(term) = node.leads() {
            let leader = *self.leaders.entry(term).or_insert(id);
            assert_eq!(leader, id, "Election Safety (thesis figure 3.2) in term {term}");
        }
    }

    /// The laws that look at everything that has happened.
    pub(crate) fn check(&self) {
        let history = self.history.borrow();
        for id in &self.lost {
            let there = history.at(id.index.0).map(|record| record.id);
            assert!(there != Some(*id), "{id} was reported lost and is committed");
        }
        for (id, command) in &self.proposed {
            if let Some(record) = history.at(id.index.0).filter(|record| record.id == *id) {
                assert_eq!(record.command, Some(*command), "{id} holds what was proposed");
            }
        }
    }
}
