//! What a replica knows about itself: the durable part, the volatile part, the configuration.

use alloc::vec::Vec;

use crate::ids::{Index, LogId, NodeId, Term};

/// The durable state of a replica (thesis figure 3.1), written before anything that promises it is
/// sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// The latest term this replica has seen.
    pub term: Term,
    /// Whom it voted for in that term.
    pub vote: Option<NodeId>,
    /// The highest index known to be committed. May lag behind what was applied.
    pub commit: Index,
}

/// The role of a replica (thesis 3.3, 9.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks whether it would win an election.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Replicates its log to the others.
    Leader,
}

/// The volatile state others like to know: who leads, and what this replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoftState {
    /// The role of this replica.
    pub role: Role,
    /// The leader of the current term, if known.
    pub leader: Option<NodeId>,
}

/// The members of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfState {
    /// The members that vote, in ascending order.
    pub voters: Vec<NodeId>,
}

/// A summary of a replica for people and for metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// This replica's node.
    pub id: NodeId,
    /// The role and the leader.
    pub soft: SoftState,
    /// Term, vote and commit.
    pub hard: HardState,
    /// The last entry of the log.
    pub last: LogId,
    /// The highest index durable here.
    pub durable: Index,
    /// The highest index applied.
    pub applied: Index,
    /// Whether this is a leader that has committed an entry of its own term (thesis 6.4).
    pub established: bool,
}
