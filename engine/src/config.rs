//! The settings of a node.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use raft_core::{GroupId, NodeId};

use crate::error::StartError;
use crate::view::{GroupSpec, NodeSpec};

/// The settings of a node. Make one with [`EngineConfig::new`] and change what differs.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// This node; it must be among `nodes`.
    pub node: NodeId,
    /// The identity of the cluster: nodes of another cluster are refused.
    pub cluster_id: u128,
    /// All nodes of the cluster.
    pub nodes: Vec<NodeSpec>,
    /// All groups of the cluster, numbered from 1 without gaps.
    pub groups: Vec<GroupSpec>,
    /// The folder that holds everything this node must not forget.
    pub data: PathBuf,
    /// Shards of this node, one thread each; the same number on every node, for ever.
    pub shards: usize,
    /// Pin each shard to a processor of its own, as far as there are enough.
    pub pin: bool,
    /// Size of a WAL segment file, in bytes; a multiple of 4096.
    pub segment_bytes: u64,
    /// A group takes a snapshot when so many bytes of its log were applied since the last one; its
    /// log is then kept back to the snapshot before. The WAL holds up to about three times this for
    /// a busy group.
    pub snapshot_log_bytes: u64,
    /// Snapshots leave for followers no faster than this, from each shard.
    pub snapshot_bytes_per_second: u64,
    /// The unit of Raft's time.
    pub tick: Duration,
    /// Ticks without a leader before a replica campaigns; the real timeout is drawn from `n..2n`.
    pub election_timeout_ticks: u64,
    /// Ticks between heartbeats.
    pub heartbeat_interval_ticks: u64,
    /// How long a request may wait for a leader to be elected.
    pub leaderless_wait: Duration,
    /// The largest command, in bytes; at most 4 MiB, and never more than a quarter of a segment.
    pub entry_bytes_max: usize,
    /// Client connections per node; more are closed at once.
    pub connections_max: usize,
    /// Requests under way per client connection; more are not parsed until some are answered.
    pub requests_per_connection_max: usize,
    /// Requests under way per shard; more are refused as busy.
    pub requests_per_shard_max: usize,
}

impl EngineConfig {
    /// The usual settings: one shard, no groups yet.
    #[must_use]
    pub fn new(node: NodeId, nodes: Vec<NodeSpec>, data: impl Into<PathBuf>) -> Self {
        Self {
            node,
            cluster_id: 0,
            nodes,
            groups: Vec::new(),
            data: data.into(),
            shards: 1,
            pin: true,
            segment_bytes: 64 << 20,
            snapshot_log_bytes: 64 << 20,
            snapshot_bytes_per_second: 256 << 20,
            tick: Duration::from_millis(10),
            election_timeout_ticks: 80,
            heartbeat_interval_ticks: 12,
            leaderless_wait: Duration::from_millis(700),
            entry_bytes_max: 4 << 20,
            connections_max: 10_000,
            requests_per_connection_max: 1024,
            requests_per_shard_max: 65_536,
        }
    }

    /// A cluster of one node that talks to nobody, with this many groups: for embedding and for
    /// trying things.
    #[must_use]
    pub fn single(data: impl Into<PathBuf>, groups: u64) -> Self {
        let node = NodeId(1);
        let peer_addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let nodes = vec![NodeSpec { id: node, peer_addr, client_addr: None }];
        Self {
            groups: (1..=groups)
                .map(|id| GroupSpec { id: GroupId(id), replicas: vec![node] })
                .collect(),
            ..Self::new(node, nodes, data)
        }
    }

    pub(crate) fn validate(&self) -> Result<(), StartError> {
        let bad = |what| Err(StartError::Config(what));
        if self.node == NodeId(0) || self.nodes.iter().all(|n| n.id != self.node) {
            return bad("the node's own id must be among the nodes, and not zero");
        }
        if self.nodes.windows(2).any(|pair| pair[0].id >= pair[1].id) {
            return bad("the nodes must be listed in ascending order of id, each once");
        }
        if self.shards == 0 || self.shards > 1024 {
            return bad("shards must be between 1 and 1024");
        }
        if self.entry_bytes_max > 4 << 20 {
            return bad("entry_bytes_max must be at most 4 MiB");
        }
        if self.requests_per_connection_max == 0 {
            return bad("requests_per_connection_max must be at least 1");
        }
        if self.snapshot_log_bytes == 0 || self.snapshot_bytes_per_second == 0 {
            return bad("snapshot_log_bytes and snapshot_bytes_per_second must be at least 1");
        }
        if self.tick < Duration::from_millis(1) {
            return bad("a tick must be at least one millisecond");
        }
        for (place, group) in self.groups.iter().enumerate() {
            if group.id != GroupId(place as u64 + 1) {
                return bad("groups must be numbered from 1 without gaps");
            }
            if group.replicas.is_empty() {
                return bad("every group needs at least one replica");
            }
            let mut sorted = group.replicas.clone();
            sorted.sort_unstable();
            sorted.dedup();
            if sorted.len() != group.replicas.len() {
                return bad("a group has two replicas on one node");
            }
            let known = |id: &NodeId| self.nodes.iter().any(|n| n.id == *id);
            if !group.replicas.iter().all(known) {
                return bad("a group has a replica on a node that is not in the cluster");
            }
        }
        Ok(())
    }
}
