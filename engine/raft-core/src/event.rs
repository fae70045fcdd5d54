//! What the core has to say: typed, the host decides what becomes a log line or a counter.

use crate::ids::{Index, LogId, NodeId, Term};
use crate::state::Role;
use crate::storage::StorageError;

/// Something happened that a host, a person or a caller may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The role, the term or the known leader changed.
    Changed {
        /// The role now.
        role: Role,
        /// The term now.
        term: Term,
        /// The leader of that term, if known.
        leader: Option<NodeId>,
    },
    /// This leader has committed an entry of its own term: from here on it serves reads (thesis
    /// 6.4).
    Established {
        /// Its term.
        term: Term,
    },
    /// In the place of an entry that was proposed here another leader's was committed: this one was
    /// and will be applied nowhere. Being overwritten here alone proves nothing of the kind, so
    /// until the place is committed the fate of the proposal is open.
    Lost {
        /// The entry.
        id: LogId,
    },
    /// A snapshot was installed over the place of a proposal made here, or this leader was removed
    /// from the group before it knew: whether it was committed cannot be told any more. It may have
    /// been applied.
    Uncertain {
        /// The entry.
        id: LogId,
    },
    /// The configuration of the entry at this index is in force from now on; see
    /// [`crate::RaftCore::conf`]. It falls when an uncommitted one is replaced.
    ConfChanged {
        /// The entry; zero for the one the group began with.
        index: Index,
    },
    /// Leadership was not taken over in time: this replica goes on leading.
    TransferAborted {
        /// Who should have.
        to: NodeId,
    },
    /// The storage answered that entries must be fetched from the disk first: fetch these, then
    /// call [`crate::RaftCore::handle_fetched`]. Until then the core goes on with everything else.
    Fetch {
        /// The first entry wanted.
        from: Index,
        /// The last entry wanted; fetching fewer, from the first on, is as good.
        to: Index,
    },
    /// The replica stopped for good: its state can no longer be trusted.
    Fault(Fault),
}

/// Why a replica stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The leader knows entries as committed that this replica no longer has: its disk lost data.
    CommitBeyondLog {
        /// The leader's commit index.
        commit: Index,
        /// The last index here.
        last: Index,
    },
    /// The state machine says that it has applied entries that were never handed to it.
    AppliedUnasked {
        /// What it says.
        applied: Index,
        /// What was handed out.
        delivered: Index,
    },
    /// An entry that was committed here differs from the leader's: two histories exist.
    CommittedConflict {
        /// Where they differ.
        index: Index,
    },
    /// The log could not be read.
    Storage {
        /// At which index.
        index: Index,
        /// Why.
        error: StorageError,
    },
    /// Two leaders of one term: the cluster is broken or someone lies.
    TwoLeaders {
        /// The term.
        term: Term,
    },
}
