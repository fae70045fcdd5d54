//! Many idle groups.

use std::mem;

use multi_raft::{MultiRaft, MultiReady};
use raft_core::{Applied, Config, GroupId, Message, NodeId};

use super::{Arena, NODES};
use crate::cores::{Crowd, ELECTION_TICKS, HEARTBEAT_TICKS, PATIENCE, unexpected};
use crate::error::BenchError;

/// Groups that are elected together: more would leave the buffers large.
const WAVE: usize = 64;

/// See [`Crowd`].
#[derive(Debug)]
pub(crate) struct Idle {
    nodes: Vec<MultiRaft<Arena>>,
    groups: usize,
    ready: MultiReady,
    inboxes: [Vec<(NodeId, GroupId, Message)>; 3],
}

impl Idle {
    /// So many groups, each led by the node that its number says.
    pub(crate) fn new(groups: usize) -> Result<Self, BenchError> {
        let mut idle = Self {
            nodes: NODES.map(MultiRaft::new).into(),
            groups,
            ready: MultiReady::default(),
            inboxes: Default::default(),
        };
        for first in (0..groups).step_by(WAVE) {
            for group in first..groups.min(first + WAVE) {
                for (node, id) in idle.nodes.iter_mut().zip(NODES) {
                    let config = Config {
                        heartbeat_interval_ticks: HEARTBEAT_TICKS as u64,
                        election_timeout_ticks: ELECTION_TICKS as u64,
                        ..Config::new(id)
                    };
                    node.create(id_of(group), config, Arena::new(1)).map_err(unexpected)?;
                }
                idle.nodes[leader_of(group)].campaign(id_of(group)).map_err(unexpected)?;
            }
            idle.work()?;
        }
        // The followers learn of the first commit, and the first heartbeats leave.
        for _ in 0..2 * HEARTBEAT_TICKS {
            idle.tick()?;
        }
        idle.check()?;
        Ok(idle)
    }

    /// Everything that is to be done at this tick.
    fn work(&mut self) -> Result<(), BenchError> {
        for _ in 0..PATIENCE {
            let mut over = true;
            for at in 0..NODES.len() {
                over &= !self.turn(at)?;
            }
            if over {
                return Ok(());
            }
        }
        Err(unexpected("the groups never come to rest"))
    }

    /// One node takes what has arrived; whether there was anything to do.
    fn turn(&mut self, at: usize) -> Result<bool, BenchError> {
        let node = &mut self.nodes[at];
        let mut inbox = mem::take(&mut self.inboxes[at]);
        for (from, group, message) in inbox.drain(..) {
            node.step(group, from, message).map_err(unexpected)?;
        }
        self.inboxes[at] = inbox;
        if !node.has_ready() {
            return Ok(false);
        }
        node.poll_ready(&mut self.ready);
        for batch in &mut self.ready.messages {
            let inbox = &mut self.inboxes[batch.to.0 as usize - 1];
            inbox.extend(batch.messages.drain(..).map(|(group, m)| (NODES[at], group, m)));
        }
        for (group, entry) in self.ready.entries_to_persist.drain(..) {
            if let Some(replica) = node.replica(group) {
                replica.storage().append(&[entry]);
            }
        }
        if let Some(receipt) = self.ready.receipt.take() {
            node.persisted(receipt);
        }
        for (group, entry) in self.ready.committed_entries.drain(..) {
            node.applied(group, Applied(entry.id.index)).map_err(unexpected)?;
        }
        Ok(true)
    }
}

impl Crowd for Idle {
    fn tick(&mut self) -> Result<(), BenchError> {
        self.nodes.iter_mut().for_each(MultiRaft::tick);
        self.work()
    }

    fn trim(&mut self) {
        self.ready = MultiReady::default();
        self.inboxes = Default::default();
    }

    fn check(&self) -> Result<(), BenchError> {
        for group in 0..self.groups {
            let leader = NODES[leader_of(group)];
            let agreed = self.nodes.iter().all(|n| n.leader(id_of(group)) == Some(leader));
            if !agreed {
                return Err(BenchError::Core(format!("group {group} is not led by {leader}")));
            }
        }
        Ok(())
    }
}

fn id_of(group: usize) -> GroupId {
    GroupId(group as u64 + 1)
}

fn leader_of(group: usize) -> usize {
    group % NODES.len()
}
