//! Many idle groups.

use std::mem;

use omnipaxos::messages::Message;

use super::{Command, NODES, Replica, replica};
use crate::cores::{Crowd, ELECTION_TICKS, PATIENCE, unexpected};
use crate::error::BenchError;

/// Rounds of heartbeats until every group has the leader that it should have.
const ROUNDS: usize = 6;

/// See [`Crowd`]. Here heartbeats are sent once per election timeout, by everyone to everyone, so a
/// silent leader is noticed about as late as with the others and for less.
pub(crate) struct Idle {
    /// The replicas of each node, by group.
    nodes: Vec<Vec<Replica>>,
    /// Messages on their way to each node, with their group.
    inboxes: [Vec<(usize, Message<Command>)>; 3],
    outgoing: Vec<Message<Command>>,
}

impl Idle {
    /// So many groups, each led by the node that its number says.
    pub(crate) fn new(groups: usize) -> Result<Self, BenchError> {
        let ticks = ELECTION_TICKS as u64;
        let node = |pid| {
            let group = |group| replica(pid, NODES[leader_of(group)], 1, ticks, 0);
            (0..groups).map(group).collect::<Result<_, _>>()
        };
        let nodes = NODES.into_iter().map(node).collect::<Result<_, _>>()?;
        let mut idle = Self { nodes, inboxes: Default::default(), outgoing: Vec::new() };
        for _ in 0..ROUNDS * ELECTION_TICKS {
            idle.tick()?;
        }
        idle.check()?;
        Ok(idle)
    }

    /// Sends what a replica has to send.
    fn send(&mut self, at: usize, group: usize) {
        self.nodes[at][group].take_outgoing_messages(&mut self.outgoing);
        for message in self.outgoing.drain(..) {
            self.inboxes[message.get_receiver() as usize - 1].push((group, message));
        }
    }
}

impl Crowd for Idle {
    fn tick(&mut self) -> Result<(), BenchError> {
        for at in 0..NODES.len() {
            for group in 0..self.nodes[at].len() {
                self.nodes[at][group].tick();
                self.send(at, group);
            }
        }
        for _ in 0..PATIENCE {
            if self.inboxes.iter().all(Vec::is_empty) {
                return Ok(());
            }
            for at in 0..NODES.len() {
                let mut inbox = mem::take(&mut self.inboxes[at]);
                for (group, message) in inbox.drain(..) {
                    self.nodes[at][group].handle_incoming(message);
                    self.send(at, group);
                }
                // Nobody sends to itself.
                self.inboxes[at] = inbox;
            }
        }
        Err(unexpected("the groups never come to rest"))
    }

    fn trim(&mut self) {
        self.inboxes = Default::default();
        self.outgoing = Vec::new();
    }

    fn check(&self) -> Result<(), BenchError> {
        for group in 0..self.nodes[0].len() {
            let leader = Some((NODES[leader_of(group)], true));
            if self.nodes.iter().any(|node| node[group].get_current_leader() != leader) {
                let what = format!("group {group} is not led by {leader:?}");
                return Err(BenchError::Core(what));
            }
        }
        Ok(())
    }
}

fn leader_of(group: usize) -> usize {
    group % NODES.len()
}
