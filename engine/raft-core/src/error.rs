//! Refusals. Every variant ends with its effect.

use core::fmt;

use crate::ids::{Index, NodeId, Term};
use crate::storage::StorageError;

/// Why a replica does not start. Nothing was sent, nothing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootError {
    /// The storage could not be read.
    Storage(StorageError),
    /// The durable commit index lies beyond the durable log: entries are missing.
    CommitBeyondLog {
        /// The commit index.
        commit: Index,
        /// The last index.
        last: Index,
    },
    /// The last entry is of a later term than the durable term.
    TermBehindLog {
        /// The durable term.
        term: Term,
        /// The term of the last entry.
        last: Term,
    },
    /// The log begins after the end of the snapshot: entries are missing.
    SnapshotGap {
        /// The last index of the snapshot.
        snapshot: Index,
        /// The first index of the log.
        first: Index,
    },
    /// A setting contradicts another; the text names them.
    Config(&'static str),
}

/// Why a message was refused. State unchanged in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepError {
    /// An answer of a node that is not a member, or a message of this node itself. State unchanged.
    UnknownPeer(NodeId),
    /// No correct member sends this: entries that do not follow each other, a term or an index out
    /// of range, an acknowledgement of what was never sent. State unchanged.
    Malformed,
    /// The replica has stopped. State unchanged.
    Stopped,
}

/// Why a proposal was refused. It is certainly not in any log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposeError {
    /// Another replica leads, or nobody. Certainly not applied.
    NotLeader {
        /// The leader, if known.
        leader: Option<NodeId>,
    },
    /// Too many bytes are proposed and not yet committed, or the own disk or the state machine is
    /// too far behind. Certainly not applied.
    Busy,
    /// Leadership is being handed over; ask again in a moment. Certainly not applied.
    Transferring {
        /// To whom.
        to: NodeId,
    },
    /// The command is larger than an entry may be. Certainly not applied.
    TooLarge,
    /// The replica has stopped. Certainly not applied.
    Stopped,
}

/// Why a read was refused. Nothing was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// Too many reads wait already. State unchanged.
    Busy,
    /// Another replica leads, or nobody. State unchanged.
    NotLeader {
        /// The leader, if known.
        leader: Option<NodeId>,
    },
    /// The replica has stopped. State unchanged.
    Stopped,
}

/// Why a change of the members was refused. The log is untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfChangeError {
    /// Another replica leads, or nobody. State unchanged.
    NotLeader {
        /// The leader, if known.
        leader: Option<NodeId>,
    },
    /// No entry of the leader's own term is committed yet: an unfinished change of a former leader
    /// might still come to light. State unchanged.
    NotEstablished,
    /// The newest change is not committed yet. State unchanged.
    InProgress {
        /// The entry that holds it.
        index: Index,
    },
    /// The group is between two configurations; it must leave the joint one first. State unchanged.
    Joint,
    /// There is no joint configuration to leave. State unchanged.
    NotJoint,
    /// No voter would be left. State unchanged.
    NoVoters,
    /// More than one step concerns this node, or it is node zero. State unchanged.
    Contradiction(NodeId),
    /// Nothing would change. State unchanged.
    Unchanged,
    /// The group would have more members than [`crate::ConfState::MEMBERS_MAX`]. State unchanged.
    TooManyMembers,
    /// Leadership is being handed over; ask again in a moment. State unchanged.
    Transferring {
        /// To whom.
        to: NodeId,
    },
    /// The replica has stopped. State unchanged.
    Stopped,
}

/// Why leadership is not handed over. State unchanged in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferError {
    /// Another replica leads, or nobody. State unchanged.
    NotLeader {
        /// The leader, if known.
        leader: Option<NodeId>,
    },
    /// The node is not a voter of the newest configuration, or it leads already. State unchanged.
    NotAVoter(NodeId),
    /// The replica has stopped. State unchanged.
    Stopped,
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(e) => write!(f, "the log cannot be read: {e}"),
            Self::CommitBeyondLog { commit, last } => write!(
                f,
                "index {commit} was committed but the log ends at {last}: entries are missing"
            ),
            Self::TermBehindLog { term, last } => {
                write!(f, "the log holds an entry of term {last} but the durable term is {term}")
            }
            Self::SnapshotGap { snapshot, first } => write!(
                f,
                "the snapshot ends at {snapshot} but the log begins at {first}: entries are missing"
            ),
            Self::Config(what) => f.write_str(what),
        }
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownPeer(id) => write!(f, "node {id} is not a member of this group"),
            Self::Malformed => f.write_str("no correct member sends such a message"),
            Self::Stopped => f.write_str("the replica has stopped"),
        }
    }
}

impl fmt::Display for ProposeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLeader { leader: Some(id) } => write!(f, "node {id} leads this group"),
            Self::NotLeader { leader: None } => f.write_str("no leader is known"),
            Self::Busy => f.write_str("too many bytes wait for commit"),
            Self::Transferring { to } => write!(f, "leadership is on its way to node {to}"),
            Self::TooLarge => f.write_str("the command is larger than an entry may be"),
            Self::Stopped => f.write_str("the replica has stopped"),
        }
    }
}

impl fmt::Display for ConfChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLeader { leader: Some(id) } => write!(f, "node {id} leads this group"),
            Self::NotLeader { leader: None } => f.write_str("no leader is known"),
            Self::NotEstablished => f.write_str("the leader has not committed in its term yet"),
            Self::InProgress { index } => write!(f, "the change at index {index} is not committed"),
            Self::Joint => f.write_str("the joint configuration must be left first"),
            Self::NotJoint => f.write_str("there is no joint configuration to leave"),
            Self::NoVoters => f.write_str("no voter would be left"),
            Self::Contradiction(id) => write!(f, "node {id} cannot be changed like this"),
            Self::Unchanged => f.write_str("nothing would change"),
            Self::TooManyMembers => f.write_str("the group would have too many members"),
            Self::Transferring { to } => write!(f, "leadership is on its way to node {to}"),
            Self::Stopped => f.write_str("the replica has stopped"),
        }
    }
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLeader { leader: Some(id) } => write!(f, "node {id} leads this group"),
            Self::NotLeader { leader: None } => f.write_str("no leader is known"),
            Self::NotAVoter(id) => write!(f, "node {id} is no other voter of this group"),
            Self::Stopped => f.write_str("the replica has stopped"),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("too many reads wait"),
            Self::NotLeader { leader: Some(id) } => write!(f, "node {id} leads this group"),
            Self::NotLeader { leader: None } => f.write_str("no leader is known"),
            Self::Stopped => f.write_str("the replica has stopped"),
        }
    }
}

impl core::error::Error for BootError {}
impl core::error::Error for StepError {}
impl core::error::Error for ProposeError {}
impl core::error::Error for ReadError {}
impl core::error::Error for ConfChangeError {}
impl core::error::Error for TransferError {}
