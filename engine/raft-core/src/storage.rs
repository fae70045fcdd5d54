//! What the core reads of the past. Writing is the caller's, from what [`crate::Ready`] hands out.

use alloc::vec::Vec;
use core::fmt;

use crate::conf_change::ConfState;
use crate::entry::{Entry, EntryKind};
use crate::ids::{Index, LogId, Term};
use crate::log::INDEX_END;
use crate::state::HardState;
use crate::step::TERM_END;

/// A read-only view of one group's durable log and state.
pub trait Storage {
    /// What was durable when the replica started. Read once.
    ///
    /// # Errors
    /// Any [`StorageError`] stops the boot of this group.
    fn initial_state(&self) -> Result<InitialState, StorageError>;

    /// Appends to `out` the entries `from..to`, at least one, and as many as fit into `bytes_max`
    /// of payload.
    ///
    /// # Errors
    /// [`StorageError::Compacted`] below the first index, [`StorageError::Pending`] when the
    /// entries must first be fetched from disk.
    fn entries(
        &self,
        from: Index,
        to: Index,
        bytes_max: usize,
        out: &mut Vec<Entry>,
    ) -> Result<(), StorageError>;

    /// Appends to `out` every [`EntryKind::ConfChange`] from `from` to the end of the log. Read
    /// once, at the start.
    ///
    /// This reads the whole log, some of it at a time; a storage that knows where they are does
    /// better.
    ///
    /// # Errors
    /// As [`Storage::entries`]; never [`StorageError::Pending`].
    fn conf_entries(&self, from: Index, out: &mut Vec<Entry>) -> Result<(), StorageError> {
        let (mut next, end) = (from, self.last_index().next());
        let mut chunk = Vec::new();
        while next < end {
            chunk.clear();
            self.entries(next, end, 1 << 20, &mut chunk)?;
            let last = chunk.last().ok_or(StorageError::Corrupt)?;
            if last.id.index < next || last.id.index >= end {
                return Err(StorageError::Corrupt);
            }
            next = last.id.index.next();
            out.extend(chunk.drain(..).filter(|e| e.kind == EntryKind::ConfChange));
        }
        Ok(())
    }

    /// The term of the entry at `index`, also of the one just before the first.
    ///
    /// # Errors
    /// As [`Storage::entries`].
    fn term_at(&self, index: Index) -> Result<Term, StorageError>;

    /// The first index present; one past the last when the log is empty.
    fn first_index(&self) -> Index;

    /// The last index durable; `first_index - 1` when the log is empty.
    fn last_index(&self) -> Index;

    /// What the newest snapshot holds; index zero when there is none. The log goes on from its last
    /// entry, or begins before it.
    fn snapshot_meta(&self) -> SnapshotMeta;
}

/// What a replica starts from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InitialState {
    /// Term, vote and commit.
    pub hard: HardState,
    /// The members the group began with; not looked at once there is a snapshot, which has its own.
    /// Empty on a replica that is to join: it learns from the log or from a snapshot who they are.
    pub conf: ConfState,
}

/// What a snapshot stands for (thesis 5.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotMeta {
    /// The last entry it includes.
    pub last: LogId,
    /// The members as of that entry.
    pub conf: ConfState,
}

impl SnapshotMeta {
    /// Whether there can be such a snapshot: it includes an entry, and members a group can have.
    /// What comes from elsewhere is asked this before it is believed.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let LogId { term, index } = self.last;
        (1..INDEX_END).contains(&index.0)
            && (1..TERM_END.0).contains(&term.0)
            && self.conf.is_sound()
            && !self.conf.voters.is_empty()
    }
}

/// Why entries cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageError {
    /// The entry was compacted into a snapshot. State unchanged.
    Compacted,
    /// The entry lies beyond the last index. State unchanged.
    Unavailable,
    /// The entry is on disk and must be fetched first. State unchanged.
    Pending,
    /// The entry is there but damaged. The replica stops.
    Corrupt,
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Compacted => "the entry was compacted into a snapshot",
            Self::Unavailable => "the entry lies beyond the end of the log",
            Self::Pending => "the entry must first be fetched from disk",
            Self::Corrupt => "the entry is damaged on disk",
        })
    }
}

impl core::error::Error for StorageError {}
