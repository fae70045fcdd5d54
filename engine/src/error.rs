//! Why a node does not start: each variant one sentence that says what is wrong and what to do.

use std::io;
use std::path::PathBuf;

/// Why a node does not start. Nothing was served; what was already durable is untouched.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings contradict each other.
    #[error("configuration: {0}")]
    Config(&'static str),
    /// The data folder cannot be used.
    #[error(
        "the data folder {path} cannot be used: {error}; choose a folder this user can write to"
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The data folder belongs to another node, cluster or layout.
    #[error(
        "the data folder {path} belongs to {found}, but this is {expected}; \
         start with the right folder or an empty one"
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who asked.
        expected: String,
    },
    /// A port cannot be had.
    #[error(transparent)]
    Bind(#[from] net::BindError),
    /// Too little memory may be locked for the rings.
    #[error(
        "only {have_kib} KiB of memory may be locked but {shards} shards need {need_kib} KiB; \
         raise it with `ulimit -l {need_kib}` or LimitMEMLOCK= in the unit file"
    )]
    Memlock {
        /// What the limit allows, in KiB.
        have_kib: u64,
        /// What is needed, in KiB.
        need_kib: u64,
        /// How many shards want it.
        shards: usize,
    },
    /// The kernel refuses io_uring.
    #[error(
        "io_uring is not available ({0}); Linux 6.1 or later is needed, with \
         kernel.io_uring_disabled = 0 and no seccomp filter against it"
    )]
    Uring(io::Error),
    /// A thread of the engine could not be made.
    #[error("the thread of a shard could not be started: {0}")]
    Thread(String),
    /// The write-ahead log of a shard cannot be opened.
    #[error("the log of shard {shard} cannot be opened: {error}")]
    Wal {
        /// The shard.
        shard: usize,
        /// Why.
        error: wal::OpenError,
    },
    /// The data folder's disk cannot be measured.
    #[error("the disk under {path} cannot be used: {error}")]
    Disk {
        /// The folder.
        path: PathBuf,
        /// Why.
        error: wal::ProbeError,
    },
    /// The log of a group contradicts itself.
    #[error("group {group} cannot start from its log: {error}")]
    Group {
        /// The group.
        group: raft_core::GroupId,
        /// Why.
        error: raft_core::BootError,
    },
}
