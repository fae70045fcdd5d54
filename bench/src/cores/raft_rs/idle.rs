//! Many idle groups.

use std::mem;

use raft::RawNode;
use raft::eraftpb::{Entry, Message};

use super::{Arena, NODES, Outlet, handle_ready, replica, silent};
use crate::cores::{Crowd, HEARTBEAT_TICKS, PATIENCE, unexpected};
use crate::error::BenchError;

/// Messages on their way to each node, with their group.
type Inboxes = [Vec<(usize, Message)>; 3];

/// See [`Crowd`].
pub(crate) struct Idle {
    /// The replicas of each node, by group.
    nodes: Vec<Vec<RawNode<Arena>>>,
    inboxes: Inboxes,
}

/// The outside of one replica.
struct Outside<'a> {
    group: usize,
    inboxes: &'a mut Inboxes,
}

impl Outlet for Outside<'_> {
    fn send(&mut self, messages: Vec<Message>) {
        for message in messages {
            self.inboxes[message.to as usize - 1].push((self.group, message));
        }
    }

    fn apply(&mut self, _entries: Vec<Entry>) {}
}

impl Idle {
    /// So many groups, each led by the node that its number says.
    pub(crate) fn new(groups: usize) -> Result<Self, BenchError> {
        let logger = silent();
        let node = |id| (0..groups).map(|_| replica(id, 1, &logger)).collect::<Result<_, _>>();
        let nodes = NODES.into_iter().map(node).collect::<Result<Vec<Vec<_>>, _>>()?;
        let mut idle = Self { nodes, inboxes: Inboxes::default() };
        for group in 0..groups {
            let at = leader_of(group);
            idle.nodes[at][group].campaign().map_err(unexpected)?;
            let mut out = Outside { group, inboxes: &mut idle.inboxes };
            handle_ready(&mut idle.nodes[at][group], &mut out);
            idle.deliver()?;
        }
        for _ in 0..2 * HEARTBEAT_TICKS {
            idle.tick()?;
        }
        idle.check()?;
        Ok(idle)
    }

    /// Delivers until no message is left.
    fn deliver(&mut self) -> Result<(), BenchError> {
        for _ in 0..PATIENCE {
            if self.inboxes.iter().all(Vec::is_empty) {
                return Ok(());
            }
            for at in 0..NODES.len() {
                let mut inbox = mem::take(&mut self.inboxes[at]);
                for (group, message) in inbox.drain(..) {
                    let node = &mut self.nodes[at][group];
                    node.step(message).map_err(unexpected)?;
                    while node.has_ready() {
                        handle_ready(node, &mut Outside { group, inboxes: &mut self.inboxes });
                    }
                }
                // Nobody sends to itself.
                self.inboxes[at] = inbox;
            }
        }
        Err(unexpected("the groups never come to rest"))
    }
}

impl Crowd for Idle {
    fn tick(&mut self) -> Result<(), BenchError> {
        for groups in &mut self.nodes {
            for (group, node) in groups.iter_mut().enumerate() {
                // Only a tick that says so can have made anything ready.
                if node.tick() && node.has_ready() {
                    handle_ready(node, &mut Outside { group, inboxes: &mut self.inboxes });
                }
            }
        }
        self.deliver()
    }

    fn trim(&mut self) {
        self.inboxes = Inboxes::default();
    }

    fn check(&self) -> Result<(), BenchError> {
        for group in 0..self.nodes[0].len() {
            let leader = NODES[leader_of(group)];
            if self.nodes.iter().any(|node| node[group].raft.leader_id != leader) {
                return Err(BenchError::Core(format!("group {group} is not led by {leader}")));
            }
        }
        Ok(())
    }
}

fn leader_of(group: usize) -> usize {
    group % NODES.len()
}
