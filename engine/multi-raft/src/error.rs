//! Refusals. Every variant ends with its effect.

use std::fmt;

/// The group has no replica here. State unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownGroup;

/// Why a group was not created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreateError {
    /// The group has a replica here already. State unchanged.
    Exists,
    /// The replica does not start from its storage. State unchanged.
    Boot(raft_core::BootError),
}

/// Why a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepError {
    /// The group has no replica here. State unchanged.
    UnknownGroup,
    /// The replica refused it. State unchanged.
    Refused(raft_core::StepError),
}

/// Why a proposal was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposeError {
    /// The group has no replica here. Certainly not applied.
    UnknownGroup,
    /// The replica refused it. Certainly not applied.
    Refused(raft_core::ProposeError),
}

/// Why a read was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The group has no replica here. State unchanged.
    UnknownGroup,
    /// The replica refused it. State unchanged.
    Refused(raft_core::ReadError),
}

/// Why a change of the members was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfChangeError {
    /// The group has no replica here. State unchanged.
    UnknownGroup,
    /// The replica refused it. State unchanged.
    Refused(raft_core::ConfChangeError),
}

/// Why leadership is not handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferError {
    /// The group has no replica here. State unchanged.
    UnknownGroup,
    /// The replica refused it. State unchanged.
    Refused(raft_core::TransferError),
}

/// Why an input does not reach a replica. State unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Untouched {
    /// There is none.
    Unknown,
    /// The host has stopped it.
    Stopped,
}

const UNKNOWN: &str = "the group has no replica here";

impl fmt::Display for UnknownGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(UNKNOWN)
    }
}

impl fmt::Display for CreateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists => f.write_str("the group has a replica here already"),
            Self::Boot(error) => error.fmt(f),
        }
    }
}

macro_rules! refusals {
    ($($error:ident),*) => {$(
        impl fmt::Display for $error {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    Self::UnknownGroup => f.write_str(UNKNOWN),
                    Self::Refused(error) => error.fmt(f),
                }
            }
        }

        impl std::error::Error for $error {}

        impl From<Untouched> for $error {
            fn from(why: Untouched) -> Self {
                match why {
                    Untouched::Unknown => Self::UnknownGroup,
                    Untouched::Stopped => Self::Refused(raft_core::$error::Stopped),
                }
            }
        }
    )*};
}

refusals!(StepError, ProposeError, ReadError, ConfChangeError, TransferError);

impl std::error::Error for UnknownGroup {}
impl std::error::Error for CreateError {}
