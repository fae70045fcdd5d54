//! The messages between the replicas of one group, named as in the Raft thesis.
//!
//! A message does not say from whom or to whom: the transport knows, and the host passes the sender
//! to [`crate::RaftCore::handle_message`].

use alloc::boxed::Box;

use crate::ids::{Index, LogId, Term};
use crate::log::Entries;
use crate::storage::SnapshotMeta;

/// Every message of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Would you vote for me? (thesis 9.6)
    PreVote(PreVote),
    /// The answer to a [`PreVote`].
    PreVoteReply(PreVoteReply),
    /// Vote for me (thesis 3.4).
    RequestVote(RequestVote),
    /// The answer to a [`RequestVote`].
    RequestVoteReply(RequestVoteReply),
    /// Append these entries (thesis 3.5).
    AppendEntries(AppendEntries),
    /// The answer to an [`AppendEntries`].
    AppendEntriesReply(AppendEntriesReply),
    /// I still lead (thesis 3.4), and: do I? (thesis 6.4).
    Heartbeat(Heartbeat),
    /// The answer to a [`Heartbeat`].
    HeartbeatReply(HeartbeatReply),
    /// Campaign at once (thesis 3.10).
    TimeoutNow(TimeoutNow),
    /// Replace your log by this snapshot (thesis 5.1).
    InstallSnapshot(InstallSnapshot),
}

/// Asks whether an election would be won, without disturbing anyone (thesis 9.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreVote {
    /// The term the sender would campaign in: its own plus one.
    pub term: Term,
    /// The last entry of the sender's log.
    pub last: LogId,
}

/// The answer to a [`PreVote`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreVoteReply {
    /// The voter's current term: a refused candidate that is behind learns it here.
    pub term: Term,
    /// The term asked about, so that late answers to an older question do not count.
    pub asked: Term,
    /// Whether the voter would grant its vote.
    pub granted: bool,
}

/// Asks for a vote (thesis 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestVote {
    /// The candidate's term.
    pub term: Term,
    /// The last entry of the candidate's log.
    pub last: LogId,
    /// The current leader asked for this election, so a voter that still hears that leader does not
    /// refuse (thesis 3.10).
    pub transfer: bool,
}

/// The answer to a [`RequestVote`]. Leaves only after the voter's term and vote are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestVoteReply {
    /// The voter's current term.
    pub term: Term,
    /// Whether the vote was granted in that term.
    pub granted: bool,
}

/// Replicates entries (thesis 3.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendEntries {
    /// The leader's term.
    pub term: Term,
    /// The entry just before the first of `entries`.
    pub prev: LogId,
    /// The leader's commit index.
    pub commit: Index,
    /// Consecutive entries from `prev.index + 1`; empty for a probe.
    pub entries: Entries,
}

/// The answer to an [`AppendEntries`]. An acceptance leaves only after the entries are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendEntriesReply {
    /// The follower's current term.
    pub term: Term,
    /// What became of the entries.
    pub outcome: AppendOutcome,
}

/// What became of an [`AppendEntries`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    /// The follower's log equals the leader's up to `matched`, durably.
    Accepted {
        /// The highest index known to match.
        matched: Index,
    },
    /// The follower has no entry `prev`.
    Rejected {
        /// `prev.index` of the refused message, so that a stale refusal is recognised.
        prev: Index,
        /// The follower's last entry at or before `prev` whose term is not above `prev.term`: the
        /// leader goes on from there (thesis 3.5).
        hint: LogId,
        /// The follower's last index.
        last: Index,
    },
    /// The term of the message was over: the sender learns the newer term from the answer.
    Stale,
}

/// Tells a follower that the leader lives, and asks it to confirm that it still follows (thesis
/// 3.4, 6.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The leader's term.
    pub term: Term,
    /// The smaller of the leader's commit index and the follower's match index.
    pub commit: Index,
    /// The newest round of reads that an answer confirms; never a client's number.
    pub round: u64,
}

/// The answer to a [`Heartbeat`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatReply {
    /// The follower's current term.
    pub term: Term,
    /// The round of the heartbeat answered; zero, which confirms nothing, if its term was over.
    pub round: u64,
}

/// Asks a follower that has everything to take over the leadership (thesis 3.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeoutNow {
    /// The leader's term.
    pub term: Term,
}

/// Tells a follower that its log starts too late to be continued (thesis 5.1).
///
/// The core knows what a snapshot stands for, not what is in it: the hosts move the content, and
/// the receiving host hands this message to its core when the content is there, whole and durable.
/// The answer is an [`AppendEntriesReply`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallSnapshot {
    /// The leader's term.
    pub term: Term,
    /// What the snapshot stands for.
    pub snapshot: Box<SnapshotMeta>,
}

impl Message {
    /// Whether it answers another message.
    #[must_use]
    pub const fn is_reply(&self) -> bool {
        matches!(
            self,
            Self::PreVoteReply(_)
                | Self::RequestVoteReply(_)
                | Self::AppendEntriesReply(_)
                | Self::HeartbeatReply(_)
        )
    }

    /// The sender's term; for a [`PreVote`] the term it would campaign in.
    #[must_use]
    pub const fn term(&self) -> Term {
        match self {
            Self::PreVote(m) => m.term,
            Self::PreVoteReply(m) => m.term,
            Self::RequestVote(m) => m.term,
            Self::RequestVoteReply(m) => m.term,
            Self::AppendEntries(m) => m.term,
            Self::AppendEntriesReply(m) => m.term,
            Self::Heartbeat(m) => m.term,
            Self::HeartbeatReply(m) => m.term,
            Self::TimeoutNow(m) => m.term,
            Self::InstallSnapshot(m) => m.term,
        }
    }
}
