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

macro_rules! display {
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
    )*};
}

display!(StepError, ProposeError, ReadError);

impl std::error::Error for UnknownGroup {}
impl std::error::Error for CreateError {}
