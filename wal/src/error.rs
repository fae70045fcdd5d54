//! What can go wrong, one enum per operation. Each message says what happened, what it means and
//! what to do.

use core::fmt;
use std::io;
use std::path::PathBuf;

use raft_core::{GroupId, Index};

use crate::op::SegmentId;

/// Why a log does not open. Nothing on disk was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A setting is out of range; the text names it. State unchanged.
    #[error("the log cannot be opened: {0}; correct the configuration")]
    Config(&'static str),
    /// A call to the operating system failed. State unchanged.
    #[error(
        "cannot {action} {}: {source}; check that the folder exists, is writable and its disk \
         is healthy",
        path.display()
    )]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// How it failed.
        source: io::Error,
    },
    /// Another process, or another log of this process, has the folder open. State unchanged.
    #[error(
        "{} is in use by another process: two writers would destroy the log; stop the other \
         process or choose another folder",
        dir.display()
    )]
    Locked {
        /// The folder.
        dir: PathBuf,
    },
    /// The file system cannot write past the page cache. State unchanged.
    #[error(
        "the file system of {} does not support direct I/O (O_DIRECT), without which a write \
         cannot be durable at a known cost; put the folder on ext4 or xfs on a local disk",
        dir.display()
    )]
    NoDirectIo {
        /// The folder.
        dir: PathBuf,
    },
    /// A segment was written by a later version. State unchanged.
    #[error(
        "segment {segment} has format version {major}, this program reads version {}: it was \
         written by a newer program; run that one",
        crate::segment::FORMAT_MAJOR
    )]
    Version {
        /// The segment.
        segment: SegmentId,
        /// Its major version.
        major: u16,
    },
    /// A segment needs features this version does not have. State unchanged.
    #[error(
        "segment {segment} uses features {bits:#x} that this program does not know: it was \
         written by a newer program; run that one"
    )]
    Features {
        /// The segment.
        segment: SegmentId,
        /// The unknown bits.
        bits: u64,
    },
    /// A record is of a kind this version does not know. State unchanged.
    #[error(
        "segment {segment} has at offset {offset} a record of kind {kind} that this program \
         does not know: it was written by a newer program; run that one"
    )]
    UnknownRecord {
        /// The segment.
        segment: SegmentId,
        /// Offset of the record, in bytes.
        offset: u64,
        /// The kind.
        kind: u8,
    },
    /// The log belongs to another store. State unchanged.
    #[error(
        "segment {segment} belongs to store {found:032x}, not {expected:032x}: this is the data \
         of another node; correct the data folder"
    )]
    WrongStore {
        /// The segment.
        segment: SegmentId,
        /// The store it names.
        found: u128,
        /// The store of the configuration.
        expected: u128,
    },
    /// The log belongs to another core. State unchanged.
    #[error(
        "segment {segment} belongs to core {found}, not {expected}: folders were swapped; put \
         them back"
    )]
    WrongCore {
        /// The segment.
        segment: SegmentId,
        /// The core it names.
        found: u32,
        /// The core of the configuration.
        expected: u32,
    },
    /// A segment in the middle of the log is gone. State unchanged.
    #[error(
        "segment {missing} is missing though {needed_by} follows it: acknowledged data may be \
         lost; restore the file or remove this node's data and let it re-replicate"
    )]
    MissingSegment {
        /// The segment that is not there.
        missing: SegmentId,
        /// The one that names it as its predecessor.
        needed_by: SegmentId,
    },
    /// A segment is there that no other leads to. State unchanged.
    #[error(
        "segment {segment} does not belong to the log that ends in {newest}: files of two logs \
         were mixed; restore the folder or remove this node's data and let it re-replicate"
    )]
    StraySegment {
        /// The segment.
        segment: SegmentId,
        /// The newest segment.
        newest: SegmentId,
    },
    /// The header of a segment that was in use cannot be trusted. State unchanged.
    #[error(
        "the header of segment {segment} is damaged: acknowledged data may be lost; restore the \
         folder or remove this node's data and let it re-replicate"
    )]
    DamagedHeader {
        /// The segment.
        segment: SegmentId,
    },
    /// A segment file is shorter than its header says. State unchanged.
    #[error(
        "segment {segment} has {bytes} of its {expected} bytes: the file was cut short outside \
         this program and acknowledged data may be lost; restore the file or remove this node's \
         data and let it re-replicate"
    )]
    Truncated {
        /// The segment.
        segment: SegmentId,
        /// Length of the file.
        bytes: u64,
        /// Length its header states.
        expected: u64,
    },
    /// Data that was acknowledged is damaged. State unchanged.
    #[error(
        "{0}: acknowledged data may be lost; restore the folder or remove this node's data and \
         let it re-replicate"
    )]
    Corrupt(Damage),
    /// The records of a group do not follow each other. State unchanged.
    #[error(
        "segment {segment} at offset {offset} continues group {group} at index {found} where \
         {expected} was due: entries are missing; restore the folder or remove this node's data \
         and let it re-replicate"
    )]
    Hole {
        /// The segment.
        segment: SegmentId,
        /// Offset of the record, in bytes.
        offset: u64,
        /// The group.
        group: GroupId,
        /// The index that was due.
        expected: Index,
        /// The index found.
        found: Index,
    },
    /// An entry that a checkpoint counts is in none of the segments. State unchanged.
    #[error(
        "index {index} of group {group} is nowhere though the newest checkpoint counts it: \
         acknowledged data is lost; restore the folder or remove this node's data and let it \
         re-replicate"
    )]
    LostEntry {
        /// The group.
        group: GroupId,
        /// The index.
        index: Index,
    },
    /// A checkpoint that was durable is not there or contradicts itself. State unchanged.
    #[error(
        "the checkpoint that begins in segment {segment} is not whole though it had been durable: \
         acknowledged data may be lost; restore the folder or remove this node's data and let it \
         re-replicate"
    )]
    Checkpoint {
        /// The segment.
        segment: SegmentId,
    },
    /// The log has as many segments as the index can name. State unchanged.
    #[error(
        "the log has {segments} segments, more than this program can index; use larger segments"
    )]
    TooManySegments {
        /// How many.
        segments: usize,
    },
}

/// Where a log is damaged, and what is lost if it can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub segment: SegmentId,
    /// Offset in bytes: of the record when its identity is known, else of the batch.
    pub offset: u64,
    /// The batch that should be there.
    pub batch_seq: u64,
    /// The group and the index of the damaged record, when its header is readable.
    pub identity: Option<(GroupId, Index)>,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} is damaged at offset {}", self.segment, self.offset)?;
        match self.identity {
            Some((group, index)) => write!(f, " (group {group} index {index})"),
            None => write!(f, " (batch {}, contents unreadable)", self.batch_seq),
        }
    }
}

/// Why entries were not appended. State unchanged in every case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// A write failed before. State unchanged.
    #[error("the log has stopped: {0}")]
    Poisoned(WalError),
    /// The log was closed. State unchanged.
    #[error("the log is closed; nothing can be appended any more")]
    Closed,
    /// The unit does not fit into a segment. State unchanged.
    #[error(
        "a unit of {bytes} bytes does not fit into a segment, which holds {bytes_max}; use \
         larger segments or smaller commands"
    )]
    TooLarge {
        /// Length of the unit with its headers, in bytes.
        bytes: usize,
        /// What fits.
        bytes_max: usize,
    },
    /// The entries do not continue the group's log. State unchanged.
    #[error(
        "group {group} was given index {found} where {expected} at most was due: entries would \
         be missing"
    )]
    Gap {
        /// The group.
        group: GroupId,
        /// The highest index that would have been right.
        expected: Index,
        /// The index given.
        found: Index,
    },
    /// The disk is full and too much waits already. State unchanged; appends resume by
    /// themselves.
    #[error(
        "the disk is full and {pending} bytes wait for space; free some, appends then resume by \
         themselves"
    )]
    StorageFull {
        /// Bytes waiting.
        pending: usize,
    },
    /// The next segment is not ready and too much waits already. State unchanged; appends resume by
    /// themselves.
    #[error(
        "no new segment is ready (error {os_error}) and {pending} bytes wait; check the data \
         folder and its disk, appends then resume by themselves"
    )]
    NoSegment {
        /// Bytes waiting.
        pending: usize,
        /// The error number of the last attempt to make one; `EAGAIN` while the first is under way.
        os_error: i32,
    },
}

/// Why a log has stopped for good. What was not yet durable may or may not be on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WalError {
    /// The device refused a write. The log has stopped.
    #[error(
        "a write to segment {segment} at offset {offset} failed with error {os_error}: the disk \
         cannot be trusted; check it, then restart the node"
    )]
    Write {
        /// The segment.
        segment: SegmentId,
        /// Offset in bytes.
        offset: u64,
        /// The error number.
        os_error: i32,
    },
    /// The device wrote less than it was given. The log has stopped.
    #[error(
        "a write to segment {segment} at offset {offset} ended after {written} of {expected} \
         bytes: the disk cannot be trusted; check it, then restart the node"
    )]
    Short {
        /// The segment.
        segment: SegmentId,
        /// Offset in bytes.
        offset: u64,
        /// Bytes written.
        written: u32,
        /// Bytes given.
        expected: u32,
    },
    /// The log has as many segments as its index can name. The log has stopped.
    #[error(
        "the log has used up its {segments} segment numbers; use larger segments and let this \
         node re-replicate"
    )]
    TooManySegments {
        /// How many.
        segments: usize,
    },
    /// The submission queue refused an entry it had room for. The log has stopped.
    #[error("the submission queue refused a write; restart the node")]
    Ring,
}

/// Why the speed of the disk could not be measured. A file may be left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The file system cannot write past the page cache. State unchanged.
    #[error(
        "the file system of {} does not support direct I/O (O_DIRECT), without which a write \
         cannot be durable at a known cost; put the folder on ext4 or xfs on a local disk",
        dir.display()
    )]
    NoDirectIo {
        /// The folder.
        dir: PathBuf,
    },
    /// A call to the operating system failed. State unchanged.
    #[error(
        "cannot measure durable writes in {}: {source}; check that the folder exists, is \
         writable and has space",
        dir.display()
    )]
    Io {
        /// The folder.
        dir: PathBuf,
        /// How it failed.
        source: io::Error,
    },
}
