//! Points of synchronisation: a cluster comes to rest, with a leader and members of choice.

use std::collections::BTreeSet;

use raft_core::{ConfChange, ConfState, ConfStep, NodeId, PeerState, Transition};

use super::{Action, Cluster};
use crate::model::{ELECTION_TICKS, HEARTBEAT_TICKS, Replica, View};

/// Rounds of anything after which there is no hope.
const PATIENCE: u64 = 40;

impl<R: Replica> Cluster<R> {
    pub(super) fn size(&self) -> u64 {
        self.nodes.len() as u64
    }

    /// The leader of the highest term of all, if it still leads.
    pub(super) fn leader(&self) -> Option<(u64, View)> {
        let leading = (1..=self.size()).filter(|id| self.nodes[*id as usize - 1].leads().is_some());
        let newest = leading.max_by_key(|id| self.nodes[*id as usize - 1].leads())?;
        Some((newest, self.nodes[newest as usize - 1].view()))
    }

    /// Delivers, syncs and applies until nothing is left to do without time.
    fn drain(&mut self) {
        for _ in 0..PATIENCE {
            let mut busy = false;
            for id in 1..=self.size() {
                let node = self.node(id);
                busy |= node.writes() + node.pending() > 0;
                self.act(&Action::Sync(id, u64::MAX));
                self.act(&Action::Apply(id, u64::MAX));
                for to in 1..=self.size() {
                    for _ in 0..self.links[id as usize - 1][to as usize - 1].len() {
                        busy = true;
                        self.act(&Action::Deliver { from: id, to, place: 0 });
                    }
                }
            }
            if !busy {
                return;
            }
        }
        panic!("the messages never end");
    }

    /// Heals everything and lets the leader, if there is one, bring everybody up to date. Returns
    /// the leader.
    pub(super) fn settle(&mut self) -> Option<u64> {
        self.act(&Action::Heal);
        for round in 0..PATIENCE {
            self.drain();
            if let Some((leader, view)) = self.leader() {
                if self.is_settled(&view) {
                    return Some(leader);
                }
                if round >= PATIENCE / 2 && round % 4 == 0 {
                    self.wake_stranded(leader, view.term);
                    continue;
                }
                for (peer, _, _, state) in view.peers {
                    // It may have died with the snapshot.
                    if state == PeerState::Snapshot {
                        self.node(leader).report_lost(peer, true);
                        self.observe(leader);
                    }
                }
            }
            (0..HEARTBEAT_TICKS).for_each(|_| self.tick());
        }
        let all: Vec<_> = self.nodes.iter().map(Replica::view).collect();
        let stuck = self.leader().map(|_| all);
        assert!(stuck.is_none(), "the cluster does not come to rest: {stuck:?}");
        None
    }

    /// Who is ahead in terms and is not heard by the leader of the day asks for votes in the end;
    /// the leader starts again if that does not help.
    fn wake_stranded(&mut self, leader: u64, term: u64) {
        let ahead = (1..=self.size()).find(|id| self.nodes[*id as usize - 1].view().term > term);
        let Some(ahead) = ahead else {
            return;
        };
        self.stranded += 1;
        self.act(&Action::Campaign(ahead));
        self.drain();
        if self.node(leader).leads() == Some(term) {
            self.act(&Action::Crash(leader, 0));
            self.campaign(leader);
        }
    }

    /// Campaigns more than once if need be: who does not know the term has to learn it first.
    fn campaign(&mut self, candidate: u64) {
        for _ in 0..3 {
            self.act(&Action::Campaign(candidate));
            self.drain();
        }
    }

    /// Whether all members follow the leader and have applied all that it has.
    fn is_settled(&self, leader: &View) -> bool {
        let last = leader.last().index.0;
        let behind = |id: u64| {
            let node = &self.nodes[id as usize - 1];
            let equal = node.machine().len() as u64 == last && node.view().term == leader.term;
            leader.conf.contains(NodeId(id)) && !equal
        };
        leader.commit == last && leader.transfer.is_none() && !(1..=self.size()).any(behind)
    }

    /// Time passes everywhere.
    fn tick(&mut self) {
        for id in 1..=self.size() {
            self.act(&Action::Tick(id));
        }
    }

    /// Nothing is heard for so long that nobody counts on a leader any more.
    fn silence(&mut self) {
        for _ in 0..=2 * ELECTION_TICKS {
            self.tick();
            self.links.iter_mut().flatten().for_each(|link| link.clear());
        }
    }

    /// Makes this voter the leader of a cluster at rest.
    pub(super) fn lead(&mut self, target: u64) {
        for attempt in 0..PATIENCE {
            match self.settle() {
                Some(leader) if leader == target => return,
                Some(from) => {
                    self.act(&Action::Transfer { from, to: target });
                }
                None => {
                    self.silence();
                    self.campaign(1 + (target - 1 + attempt) % self.size());
                }
            }
        }
        let views: Vec<_> = self.nodes.iter().map(Replica::view).collect();
        panic!("node {target} does not come to lead: {views:?}");
    }

    /// Makes these the members, and the first of them the leader.
    pub(super) fn align(&mut self, target: &ConfState, leader: u64) {
        for attempt in 0..PATIENCE {
            let Some(current) = self.settle() else {
                self.lead_anybody(attempt);
                continue;
            };
            let conf = self.node(current).view().conf;
            if conf == *target {
                return self.lead(leader);
            }
            let change = if conf.is_joint() { ConfChange::Leave } else { change(&conf, target) };
            self.act(&Action::Change(current, change));
        }
        let views: Vec<_> = self.nodes.iter().map(Replica::view).collect();
        panic!("the members do not become {target:?}: {views:?}");
    }

    fn lead_anybody(&mut self, attempt: u64) {
        self.silence();
        self.campaign(1 + attempt % self.size());
    }

    /// The commands that all members have applied after `mark` entries.
    pub(super) fn commands(&self, conf: &ConfState, mark: usize) -> Vec<u64> {
        let members = (1..=self.size()).filter(|id| conf.contains(NodeId(*id)));
        let machines: BTreeSet<Vec<_>> = members
            .map(|id| {
                let machine = &self.nodes[id as usize - 1].machine()[mark..];
                machine.iter().filter_map(|record| record.command).collect()
            })
            .collect();
        assert_eq!(machines.len(), 1, "all replicas hold the same: {machines:?}");
        machines.into_iter().next().unwrap_or_default()
    }

    pub(super) fn applied(&self) -> usize {
        self.history.borrow().len() as usize
    }
}

/// The change that leads from one configuration to another.
fn change(from: &ConfState, to: &ConfState) -> ConfChange {
    let mut steps = Vec::new();
    for id in (1..=9).map(NodeId) {
        let (voter, learner) = (to.voters.contains(&id), to.learners.contains(&id));
        if voter && !from.voters.contains(&id) {
            steps.push(ConfStep::AddVoter(id));
        } else if learner && !from.learners.contains(&id) {
            steps.push(ConfStep::AddLearner(id));
        } else if !voter && !learner && from.contains(id) {
            steps.push(ConfStep::Remove(id));
        }
    }
    ConfChange::Steps { steps, transition: Transition::JointAuto }
}
