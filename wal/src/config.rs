//! What a log is opened with, and what is found.

use std::collections::BTreeMap;
use std::path::PathBuf;

use raft_core::{GroupId, HardState, Index, LogId};

use crate::error::OpenError;
use crate::record::BLOCK_BYTES;
use crate::recover::TornTail;
use crate::segment::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};
use crate::writer::IN_FLIGHT_MAX;

/// The settings of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalConfig {
    /// The folder, for instance `data/core-000/wal`. Made when it is not there.
    pub dir: PathBuf,
    /// The core the log belongs to; the same at every opening.
    pub core: u32,
    /// The store the log belongs to, a UUID; the same at every opening.
    pub store: u128,
    /// Length of new segments in bytes, a multiple of 4096 from 64 KiB to 128 MiB.
    pub segment_bytes: u64,
    /// A batch grows no further than this many bytes, unless a single unit is larger.
    pub batch_bytes_max: usize,
    /// The most batches in flight, 1 to 64.
    pub depth: usize,
    /// The top byte of `user_data` of every submission.
    pub tag: u8,
    /// Bytes of written batches to keep in memory for readers. At least one batch is always kept.
    pub tail_cache_bytes_max: usize,
}

impl WalConfig {
    /// The defaults for a folder: segments of 64 MiB, batches of 1 MiB, two in flight, a cache of
    /// 4 MiB.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            core: 0,
            store: 0,
            segment_bytes: 64 << 20,
            batch_bytes_max: 1 << 20,
            depth: 2,
            tag: 0,
            tail_cache_bytes_max: 4 << 20,
        }
    }

    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let whole = self.segment_bytes % BLOCK_BYTES as u64 == 0;
        if !whole || !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            let what = "segment_bytes must be a multiple of 4096 from 64 KiB to 128 MiB";
            return Err(OpenError::Config(what));
        }
        if self.batch_bytes_max < BLOCK_BYTES {
            return Err(OpenError::Config("batch_bytes_max must be at least 4096"));
        }
        if !(1..=IN_FLIGHT_MAX).contains(&self.depth) {
            return Err(OpenError::Config("depth must be from 1 to 64"));
        }
        Ok(())
    }
}

/// What was found of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveredGroup {
    /// Term, vote and commit; all zero when none was ever written.
    pub hard_state: HardState,
    /// The first index; one past the last when the log is empty.
    pub first_index: Index,
    /// The last entry. When the log is empty the one before its first, with term zero when nothing
    /// is known of it.
    pub last: LogId,
}

/// What was found when a log was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// All groups.
    pub groups: BTreeMap<GroupId, RecoveredGroup>,
    /// Bytes of all batches.
    pub bytes: u64,
    /// Number of batches.
    pub batches: u64,
    /// Number of segments.
    pub segments: u64,
    /// What a crash cut short, if it did; nothing of it was ever acknowledged.
    pub torn_tail: Option<TornTail>,
}
