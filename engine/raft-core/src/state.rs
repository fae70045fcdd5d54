//! What a replica knows about itself: the durable part, the volatile part, and summaries of both.

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
    /// To whom this leader is handing over, if it is (thesis 3.10).
    pub transfer: Option<NodeId>,
}

/// How a leader sends entries to a follower (thesis 3.5, 5.1, 10.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// Looking for where the logs depart: one message at a time.
    Probe,
    /// Entries leave without waiting.
    Replicate,
    /// A snapshot is on its way.
    Snapshot,
}

/// What a leader knows about another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// The member.
    pub id: NodeId,
    /// Whether it counts; a learner does not.
    pub voter: bool,
    /// How entries are sent to it.
    pub state: PeerState,
    /// The highest index known to be durable there and equal to the leader's.
    pub matched: Index,
    /// The next index to send.
    pub next: Index,
    /// Messages with entries on their way.
    pub inflight_messages: usize,
    /// Payload on its way, in bytes.
    pub inflight_bytes: usize,
    /// Whether it was heard within an election timeout.
    pub active: bool,
}
