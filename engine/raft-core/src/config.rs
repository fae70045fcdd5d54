//! The settings of one replica.

use crate::error::BootError;
use crate::ids::NodeId;

/// Timeouts beyond this are no timeouts, and sums of them would overflow.
const TICKS_MAX: u64 = 1 << 48;

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
    /// A leader that does not hear from a quorum within an election timeout steps down, and nobody
    /// who hears a leader votes against it (thesis 4.2.3, 6.2).
    pub check_quorum: bool,
    /// For how long after a heartbeat was sent its acknowledgement by a quorum lets the leader
    /// serve reads without asking again (thesis 6.4.1); zero turns leases off.
    ///
    /// Safe only if no replica's clock runs so much faster than another's that
    /// `election_timeout_ticks` pass there while these pass here, if hosts set the clock before
    /// they hand in a read or a message, also after a pause, and if all replicas agree on it.
    pub lease_ticks: u64,
    /// Seeds the randomised election timeouts: same seed, same inputs, same outputs.
    pub seed: u64,
    /// The largest command, in bytes.
    pub entry_bytes_max: usize,
    /// Payload per AppendEntries, in bytes; one larger entry still goes alone.
    pub message_bytes_max: usize,
    /// AppendEntries in flight to one follower.
    pub inflight_messages_max: usize,
    /// Payload in flight to one follower, in bytes; one larger message still goes alone.
    pub inflight_bytes_max: usize,
    /// How long a snapshot may take to arrive before it counts as lost.
    pub snapshot_timeout_ticks: u64,
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
            check_quorum: true,
            lease_ticks: 0,
            seed: 0,
            entry_bytes_max: 4 << 20,
            message_bytes_max: 256 << 10,
            inflight_messages_max: 64,
            inflight_bytes_max: 4 << 20,
            snapshot_timeout_ticks: 6000,
            uncommitted_bytes_max: 4 << 20,
            committed_bytes_max: 4 << 20,
            log_cache_bytes_max: 256 << 10,
        }
    }

    pub(crate) fn validate(&self) -> Result<(), BootError> {
        if self.id == NodeId(0) {
            return Err(BootError::Config("the node id must not be zero"));
        }
        if self.heartbeat_interval_ticks == 0 {
            return Err(BootError::Config("heartbeat_interval_ticks must be at least 1"));
        }
        let longest = [self.election_timeout_ticks, self.heartbeat_interval_ticks];
        if longest.into_iter().max() > Some(TICKS_MAX) {
            return Err(BootError::Config("a timeout is longer than anybody waits"));
        }
        if self.election_timeout_ticks <= 2 * self.heartbeat_interval_ticks {
            return Err(BootError::Config(
                "election_timeout_ticks must be more than twice heartbeat_interval_ticks",
            ));
        }
        if self.lease_ticks >= self.election_timeout_ticks {
            return Err(BootError::Config("lease_ticks must be less than election_timeout_ticks"));
        }
        if self.lease_ticks > 0 && !self.check_quorum {
            return Err(BootError::Config("lease_ticks needs check_quorum"));
        }
        if self.snapshot_timeout_ticks == 0 {
            return Err(BootError::Config("snapshot_timeout_ticks must be at least 1"));
        }
        if self.inflight_messages_max == 0 {
            return Err(BootError::Config("inflight_messages_max must be at least 1"));
        }
        Ok(())
    }
}
