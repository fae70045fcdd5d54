//! Snapshots: the state of a group in a file, so that its log need not go back to the beginning.
//!
//! Who does what: [`taking`] decides when one is due and draws it from the state machine a piece
//! per turn; [`staging`] builds a state machine from one that arrived and swaps it in;
//! [`transfers`] sends them to followers whose log starts too late. All file work is done by the
//! [`worker`], a thread per shard: jobs go there, news come back as parcels of the mesh, and the
//! shard never waits for a disk.

pub(crate) mod file;
pub(crate) mod folder;
mod moving;
mod staging;
mod taking;
pub(crate) mod transfers;
pub(crate) mod worker;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use bytes::Bytes;
use net::Piece;
use raft_core::{GroupId, Index, LogId, NodeId, SnapshotMeta, Term};

use crate::state_machine::{RestoreError, StateMachine};
use folder::Folder;
use staging::Staging;
use taking::Taking;

/// What a state machine is asked for at once, in bytes.
pub(crate) const PIECE_BYTES: usize = 256 << 10;

/// Makes the state machine of a group; called on the shard that will own it.
pub(crate) type MachineFactory = dyn Fn(GroupId) -> Box<dyn StateMachine> + Send + Sync;

/// The same on the shard itself, which need not be shared with others.
pub(crate) type LocalFactory = dyn Fn(GroupId) -> Box<dyn StateMachine>;

/// The newest snapshot of every group of a shard; what a group's log tells its core.
pub(crate) type SnapshotTable = Rc<RefCell<BTreeMap<GroupId, SnapshotMeta>>>;

/// Work on files, done in order.
#[derive(Debug)]
pub enum SnapshotJob {
    /// Begin the file of a snapshot of this group. One at a time.
    Begin {
        /// The group.
        group: GroupId,
        /// What it stands for.
        meta: SnapshotMeta,
    },
    /// Its next piece; answered by [`SnapshotNews::Wrote`].
    Piece(Vec<u8>),
    /// It is whole: make it durable and give it its name.
    End,
    /// It is not wanted any more.
    Abort,
    /// Read the next piece of a snapshot for its state machine, from the first one on.
    Load {
        /// The group.
        group: GroupId,
        /// Its last index.
        index: Index,
        /// Begin with the first piece.
        first: bool,
    },
    /// Read a part of a snapshot's file to be sent.
    Read {
        /// For this node.
        to: NodeId,
        /// The group.
        group: GroupId,
        /// Its last index.
        index: Index,
        /// Where in the file.
        offset: u64,
    },
    /// Keep a part of a snapshot's file that came from this node.
    Keep {
        /// The sender.
        from: NodeId,
        /// The part.
        piece: Piece,
    },
}

/// What became of a job.
#[derive(Debug)]
pub enum SnapshotNews {
    /// A piece of the snapshot being taken is in its file.
    Wrote,
    /// The snapshot that was taken is durable.
    Taken {
        /// The group.
        group: GroupId,
        /// What it stands for.
        meta: SnapshotMeta,
    },
    /// It could not be written.
    NotTaken {
        /// The group.
        group: GroupId,
        /// Its last index.
        index: Index,
    },
    /// The next piece for a state machine; `None` after the last one.
    Loaded {
        /// The group.
        group: GroupId,
        /// The last index of the snapshot.
        index: Index,
        /// The piece.
        piece: Option<Vec<u8>>,
    },
    /// The snapshot cannot be read.
    NotLoaded {
        /// The group.
        group: GroupId,
        /// The last index of the snapshot.
        index: Index,
    },
    /// A part of a file to be sent.
    ToSend {
        /// To this node.
        to: NodeId,
        /// The group.
        group: GroupId,
        /// The last index of the snapshot.
        index: Index,
        /// The length of the whole file, in bytes.
        file_bytes: u64,
        /// Where in the file.
        offset: u64,
        /// The part; `None` if it cannot be read.
        data: Option<Bytes>,
    },
    /// A part from another node was kept: it may go on from `next`, or give up.
    Kept {
        /// The sender.
        from: NodeId,
        /// The group.
        group: GroupId,
        /// The last entry of the snapshot.
        last: LogId,
        /// From where in the file.
        next: Option<u64>,
    },
    /// A snapshot from another node is whole and durable.
    Arrived(Arrived),
}

/// A snapshot from another node, whole and durable here.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// The sender.
    pub from: NodeId,
    /// The sender's term.
    pub term: Term,
    /// The group.
    pub group: GroupId,
    /// What it stands for.
    pub meta: SnapshotMeta,
}

/// A state machine as the newest readable snapshot of its group says, and what that stands for.
/// `known` are the snapshots there are, newest first. For one that is of no use the log goes back
/// to the one before it. It is set aside if it is damaged; one that cannot be read just now, or by
/// this version, or with these settings, may yet be the only way to the state: it keeps its name.
pub(crate) fn restore(
    folder: &Folder,
    group: GroupId,
    known: &[Index],
    machines: &MachineFactory,
) -> Option<(Box<dyn StateMachine>, SnapshotMeta)> {
    for index in known {
        let error = match restore_one(folder, group, *index, machines) {
            Ok(restored) => return Some(restored),
            Err(error) => error,
        };
        if !matches!(error, RestoreFileError::File(file::FileError::Damaged(_))) {
            tracing::error!(%group, %index, %error, "a snapshot cannot be used now");
            continue;
        }
        tracing::error!(%group, %index, %error, "a snapshot cannot be used and is set aside");
        if let Err(error) = folder.set_aside(group, *index) {
            tracing::error!(%group, %index, %error, "it keeps its name");
        }
    }
    None
}

fn restore_one(
    folder: &Folder,
    group: GroupId,
    index: Index,
    machines: &MachineFactory,
) -> Result<(Box<dyn StateMachine>, SnapshotMeta), RestoreFileError> {
    let mut reader = folder.read(group, index)?;
    let (mut machine, mut piece) = (machines(group), Vec::new());
    while reader.next(&mut piece)? {
        machine.restore_piece(&piece)?;
    }
    Ok((machine, reader.meta().clone()))
}

/// Why a snapshot is of no use.
#[derive(Debug, thiserror::Error)]
enum RestoreFileError {
    #[error(transparent)]
    File(#[from] file::FileError),
    #[error(transparent)]
    Machine(#[from] RestoreError),
}

/// What a shard knows of its snapshots.
pub(crate) struct Snapshots {
    /// A log longer than this since the last snapshot is due for the next, in bytes.
    pub(crate) log_bytes_max: u64,
    /// Makes the state machines of snapshots that arrive; without it none is installed.
    pub(crate) machines: Option<Rc<LocalFactory>>,
    /// Groups whose log is due.
    due: VecDeque<GroupId>,
    taking: Option<Taking>,
    arrived: VecDeque<Arrived>,
    staging: Option<Staging>,
}

impl Snapshots {
    pub(crate) fn new(log_bytes_max: u64) -> Self {
        Self {
            log_bytes_max,
            machines: None,
            due: VecDeque::new(),
            taking: None,
            arrived: VecDeque::new(),
            staging: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::file::FileWriter;
    use super::folder::Unfinished;
    use super::*;
    use crate::state_machine::ApplyBatch;
    use raft_core::ConfState;

    const GROUP: GroupId = GroupId(1);

    /// Takes only pieces that are this.
    struct Picky(&'static [u8]);

    impl StateMachine for Picky {
        fn apply(&mut self, _: &mut ApplyBatch<'_>) {}
        fn read(&mut self, _: &[u8], _: &mut Vec<u8>) {}
        fn digest(&self) -> u64 {
            0
        }
        fn restore_piece(&mut self, piece: &[u8]) -> Result<(), RestoreError> {
            if piece == self.0 { Ok(()) } else { Err(RestoreError("it is another")) }
        }
    }

    fn take(folder: &Folder, index: Index, piece: &[u8]) {
        let file = folder.create(GROUP, index, Unfinished::Taking).unwrap();
        let conf = ConfState::of_voters([1, 2, 3].map(NodeId));
        let meta = SnapshotMeta { last: LogId::new(Term(1), index), conf };
        let mut writer = FileWriter::new(&file, GROUP, &meta).unwrap();
        writer.piece(piece).unwrap();
        writer.finish().unwrap();
        folder.publish(&file, GROUP, index, Unfinished::Taking).unwrap();
    }

    fn restored(folder: &Folder, machine: &'static [u8]) -> Option<Index> {
        let known = folder.list().unwrap().remove(&GROUP).unwrap_or_default();
        let restored = restore(folder, GROUP, &known, &move |_| Box::new(Picky(machine)));
        restored.map(|(_, meta)| meta.last.index)
    }

    #[test]
    fn only_damage_takes_the_name_of_a_snapshot() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::open(temp.path().to_owned()).unwrap();
        let newest = temp.path().join("0000000000000001-0000000000000009.snap");
        take(&folder, Index(5), b"old");
        take(&folder, Index(9), b"new");
        // Other settings: nothing fits, and nothing is lost.
        assert_eq!(restored(&folder, b"other"), None);
        assert_eq!(restored(&folder, b"old"), Some(Index(5)));
        assert_eq!(restored(&folder, b"new"), Some(Index(9)));
        // A later version wrote it.
        let good = fs::read(&newest).unwrap();
        let mut later = good.clone();
        later[8] += 1;
        fs::write(&newest, later).unwrap();
        assert_eq!(restored(&folder, b"old"), Some(Index(5)));
        fs::write(&newest, &good).unwrap();
        assert_eq!(restored(&folder, b"new"), Some(Index(9)));
        fs::write(&newest, &good[..20]).unwrap();
        assert_eq!(restored(&folder, b"old"), Some(Index(5)));
        assert!(!newest.exists() && newest.with_extension("damaged").exists());
    }
}
