//! Why a log cannot be looked at or taken apart.

use std::path::PathBuf;

use raft_core::GroupId;

use crate::error::OpenError;

/// Why an inspection came to no result. Nothing on disk was changed, but where it says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// The log does not open, or its files cannot be read. State unchanged.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is no segment in the folder. State unchanged.
    #[error(
        "{} holds no log: there is no segment file in it; give the folder of one core, for \
         instance data/core-000/wal",
        dir.display()
    )]
    NoLog {
        /// The folder.
        dir: PathBuf,
    },
    /// Nothing was ever written for the group. State unchanged.
    #[error("the log holds nothing of group {group}; `stat` lists the groups it holds")]
    NoGroup {
        /// The group.
        group: GroupId,
    },
    /// Files of several stores or cores lie in the folder, and which are the right ones nobody here
    /// can know. State unchanged.
    #[error("{0}; a quarantine cannot tell which files are the right ones")]
    Mixed(OpenError),
    /// A file could not be moved. What was moved before stays moved, the log is not shorter than
    /// planned, and the same command may be repeated.
    #[error(
        "cannot {action} {}: {source}; the log still holds all that was to stay: correct the \
         cause and repeat the command",
        path.display()
    )]
    Move {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// How it failed.
        source: std::io::Error,
    },
}
