//! The settings of one replica.

use crate::error::BootError;
use crate::ids::NodeId;

/// The settings of one replica. Ticks are the caller's unit of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This replica's node.
    pub id: NodeId,
    /// Ticks without a leader before a campaign; the real timeout is drawn from `n..2n` (thesis
    /// 3.4).
    pub election_timeout_ticks: u64,
    /// Ticks between heartbeats of a leader.
    pub heartbeat_interval_ticks: u64,
    /// Ask before campaigning (thesis 9.6).
    pub pre_vote: bool,
    /// Seeds the randomised election timeouts: same seed, same inputs, same outputs.
    pub seed: u64,
    /// The largest command, in bytes.
    pub entry_bytes_max: usize,
    /// Payload per AppendEntries, in bytes; one larger entry still goes alone.
    pub message_bytes_max: usize,
    /// AppendEntries in flight to one follower.
    pub inflight_messages_max: usize,
    /// Payload proposed and not yet committed, in bytes; beyond it proposals are refused as busy.
    pub uncommitted_bytes_max: usize,
    /// Payload of committed entries per poll, in bytes.
    pub committed_bytes_max: usize,
    /// Payload of applied entries kept in memory for followers that lag, in bytes.
    pub log_cache_bytes_max: usize,
}

impl Config {
    /// Settings that suit a tick of 10 ms on a local network.
    #[must_use]
    pub const fn new(id: NodeId) -> Self {
        Self {
            id,
            election_timeout_ticks: 100,
            heartbeat_interval_ticks: 10,
            pre_vote: true,
            seed: 0,
            entry_bytes_max: 4 << 20,
            message_bytes_max: 256 << 10,
            inflight_messages_max: 64,
            uncommitted_bytes_max: 4 << 20,
            committed_bytes_max: 4 << 20,
            log_cache_bytes_max: 1 << 20,
        }
    }

    pub(crate) fn validate(&self) -> Result<(), BootError> {
        if self.id == NodeId(0) {
            return Err(BootError::Config("the node id must not be zero"));
        }
        if self.heartbeat_interval_ticks == 0 {
            return Err(BootError::Config("heartbeat_interval_ticks must be at least 1"));
        }
        if self.election_timeout_ticks <= 2 * self.heartbeat_interval_ticks {
            return Err(BootError::Config(
                "election_timeout_ticks must be more than twice heartbeat_interval_ticks",
            ));
        }
        if self.inflight_messages_max == 0 {
            return Err(BootError::Config("inflight_messages_max must be at least 1"));
        }
        Ok(())
    }
}
