//! A request to a group and what can become of it.

use std::time::Duration;

use bytes::Bytes;
use raft_core::{GroupId, LogId, NodeId};

/// What a client wants of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Replicate this command and answer with the state machine's reply.
    Write(Bytes),
    /// Answer this query linearizably.
    Read(Bytes),
}

impl Op {
    /// The size of the command or query, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Write(bytes) | Self::Read(bytes) => bytes.len(),
        }
    }
}

/// The answer to a request.
pub type Outcome = Result<Bytes, RequestError>;

/// Why a request got no answer, and whether it can have had an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Another node leads the group. Certainly not applied.
    #[error("node {leader} leads this group; ask there")]
    NotLeader {
        /// The leader.
        leader: NodeId,
    },
    /// The group had no leader for as long as a request may wait. Certainly not applied.
    #[error("the group has no leader at the moment; try again")]
    NoLeader,
    /// This node has no replica of the group. Certainly not applied.
    #[error("this node has no replica of group {0}")]
    UnknownGroup(GroupId),
    /// Too much is under way. Certainly not applied.
    #[error("overloaded; try again in {} ms", retry_after.as_millis())]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// The command is larger than an entry may be. Certainly not applied.
    #[error("the command is larger than an entry may be")]
    TooLarge,
    /// The replica or the node has stopped. Certainly not applied.
    #[error("the replica has stopped; see the log of the node")]
    Stopped,
    /// The command entered the log, but its fate could not be learned. **May have been applied.**
    #[error("the fate of entry {id} could not be learned; it may have been applied")]
    Uncertain {
        /// The entry.
        id: LogId,
    },
}
