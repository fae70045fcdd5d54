//! What a node knows of the cluster: members, groups, leaders. Read by anyone, written by the
//! owning shard.
//!
//! Leaders are hints: one atomic word per group, stored by the shard that owns the replica. A stale
//! hint costs a redirect, never a wrong answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use raft_core::{GroupId, NodeId};

use crate::metrics::ShardMetrics;

/// A node of the cluster and where it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSpec {
    /// The node.
    pub id: NodeId,
    /// Where its peers reach it.
    pub peer_addr: SocketAddr,
    /// Where its clients reach it, if it serves any.
    pub client_addr: Option<SocketAddr>,
}

/// A group and its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSpec {
    /// The group; groups are numbered from 1 without gaps.
    pub id: GroupId,
    /// The nodes that hold a replica. The first one campaigns first when the cluster starts.
    pub replicas: Vec<NodeId>,
}

/// What a node knows of itself and of the cluster.
#[derive(Debug)]
pub struct NodeView {
    node: NodeId,
    cluster_id: u128,
    nodes: Vec<NodeSpec>,
    groups: Vec<GroupSpec>,
    leaders: Vec<AtomicU64>,
    connected: Vec<AtomicBool>,
    shards: Vec<Arc<ShardMetrics>>,
    fsync: Duration,
    started: Instant,
}

impl NodeView {
    /// A view in which no leader is known yet. `fsync` is the measured time of one durable 4 KiB
    /// write.
    #[must_use]
    pub fn new(
        node: NodeId,
        cluster_id: u128,
        nodes: Vec<NodeSpec>,
        groups: Vec<GroupSpec>,
        shards: usize,
        fsync: Duration,
    ) -> Self {
        Self {
            node,
            cluster_id,
            leaders: groups.iter().map(|_| AtomicU64::new(0)).collect(),
            connected: nodes.iter().map(|n| AtomicBool::new(n.id == node)).collect(),
            nodes,
            groups,
            shards: (0..shards).map(|_| Arc::new(ShardMetrics::default())).collect(),
            fsync,
            started: Instant::now(),
        }
    }

    /// This node.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// The identity of the cluster.
    #[must_use]
    pub fn cluster_id(&self) -> u128 {
        self.cluster_id
    }

    /// All nodes, in ascending order of id.
    #[must_use]
    pub fn nodes(&self) -> &[NodeSpec] {
        &self.nodes
    }

    /// All groups, in ascending order of id.
    #[must_use]
    pub fn groups(&self) -> &[GroupSpec] {
        &self.groups
    }

    /// The node with this id.
    #[must_use]
    pub fn node_spec(&self, id: NodeId) -> Option<&NodeSpec> {
        self.nodes.iter().find(|n| n.id == id)
    }

    /// The leader of a group, as far as this node knows.
    #[must_use]
    pub fn leader(&self, group: GroupId) -> Option<NodeId> {
        let word = self.leaders.get(place(group)?)?.load(Ordering::Relaxed);
        (word != 0).then_some(NodeId(word))
    }

    /// Notes the leader of a group. Called by the shard that owns the replica (and by tests).
    pub fn note_leader(&self, group: GroupId, leader: Option<NodeId>) {
        if let Some(word) = place(group).and_then(|p| self.leaders.get(p)) {
            word.store(leader.map_or(0, |n| n.0), Ordering::Relaxed);
        }
    }

    /// Whether a lane to the node is up; true for this node itself.
    #[must_use]
    pub fn is_connected(&self, id: NodeId) -> bool {
        self.nodes
            .iter()
            .position(|n| n.id == id)
            .is_some_and(|p| self.connected[p].load(Ordering::Relaxed))
    }

    /// Notes whether a lane to the node is up (called by shard 0, whose lane stands for the node,
    /// and by tests).
    pub fn note_connected(&self, id: NodeId, up: bool) {
        if let Some(p) = self.nodes.iter().position(|n| n.id == id) {
            self.connected[p].store(up || id == self.node, Ordering::Relaxed);
        }
    }

    /// The counters of each shard.
    #[must_use]
    pub fn shards(&self) -> &[Arc<ShardMetrics>] {
        &self.shards
    }

    /// The shard of this node that owns a group.
    #[must_use]
    pub fn shard_of(&self, group: GroupId) -> usize {
        shard_of(group, self.shards.len())
    }

    /// The measured time of one durable 4 KiB write to the data folder.
    #[must_use]
    pub fn fsync(&self) -> Duration {
        self.fsync
    }

    /// How long the node has been up.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}

/// The shard that owns a group on a node with this many shards: the same on every node, so that
/// lane `i` joins shard `i` with shard `i`.
#[must_use]
pub fn shard_of(group: GroupId, shards: usize) -> usize {
    (group.0 % shards.max(1) as u64) as usize
}

fn place(group: GroupId) -> Option<usize> {
    usize::try_from(group.0.checked_sub(1)?).ok()
}
