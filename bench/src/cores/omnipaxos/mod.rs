//! The crate `omnipaxos`: a replicated log by Sequence Paxos instead of Raft.

mod arena;
mod group;
mod idle;

use omnipaxos::{ClusterConfig, OmniPaxos, OmniPaxosConfig, ServerConfig};

use crate::cores::unexpected;
use crate::error::BenchError;
use arena::{Arena, Command};
pub(crate) use group::Group;
pub(crate) use idle::Idle;

pub(crate) const NAME: &str = "omnipaxos";
/// The same, batches kept back until they are full.
pub(crate) const NAME_FULL: &str = "omnipaxos*";

/// The nodes of every group.
const NODES: [u64; 3] = [1, 2, 3];

type Replica = OmniPaxos<Command, Arena>;

/// A replica that collects `batch` commands before it does anything, has its heartbeats every
/// `election_ticks`, and lets a leader come first in the election.
fn replica(
    pid: u64,
    leader: u64,
    batch: usize,
    election_ticks: u64,
    entries: usize,
) -> Result<Replica, BenchError> {
    let cluster_config =
        ClusterConfig { configuration_id: 1, nodes: NODES.to_vec(), flexible_quorum: None };
    let server_config = ServerConfig {
        pid,
        election_tick_timeout: election_ticks,
        resend_message_tick_timeout: election_ticks,
        flush_batch_tick_timeout: election_ticks,
        // The list of messages grows when it has to; the default is megabytes.
        buffer_size: 4,
        batch_size: batch,
        leader_priority: u32::from(pid == leader),
    };
    let config = OmniPaxosConfig { cluster_config, server_config };
    config.build(Arena::new(entries)).map_err(unexpected)
}
