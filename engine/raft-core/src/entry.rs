//! Log entries (thesis 3.5).

use bytes::Bytes;

use crate::ids::LogId;

/// What an entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EntryKind {
    /// A command for the state machine.
    Normal = 0,
    /// The empty entry with which a leader opens its term (thesis 6.4). The state machine never
    /// sees it.
    NoOp = 1,
    /// A configuration, whole, as [`crate::ConfState::encode`] writes it. It is in force from the
    /// moment the entry is in the log (thesis 4.1). The state machine may look at it, and need not.
    ConfChange = 2,
}

impl EntryKind {
    /// The kind a stored or received byte stands for, if any.
    #[must_use]
    pub const fn from_u8(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Normal),
            1 => Some(Self::NoOp),
            2 => Some(Self::ConfChange),
            _ => None,
        }
    }
}

/// One entry of a group's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its identity.
    pub id: LogId,
    /// What it is for.
    pub kind: EntryKind,
    /// The command; empty for a [`EntryKind::NoOp`]. Cloning shares the bytes.
    pub data: Bytes,
}
