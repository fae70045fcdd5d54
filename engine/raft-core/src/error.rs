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
    /// The configuration names no voter.
    NoVoters,
    /// A setting contradicts another; the text names them.
    Config(&'static str),
}

/// Why a message was refused. State unchanged in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepError {
    /// The sender is not a member. State unchanged.
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
    /// Too many bytes are proposed and not yet committed. Certainly not applied.
    Busy,
    /// The command is larger than an entry may be. Certainly not applied.
    TooLarge,
    /// The replica has stopped. Certainly not applied.
    Stopped,
}

/// Why a read was refused. Nothing was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// Another replica leads, or nobody. State unchanged.
    NotLeader {
        /// The leader, if known.
        leader: Option<NodeId>,
    },
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
            Self::NoVoters => f.write_str("the configuration names no voter"),
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
            Self::TooLarge => f.write_str("the command is larger than an entry may be"),
            Self::Stopped => f.write_str("the replica has stopped"),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
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
