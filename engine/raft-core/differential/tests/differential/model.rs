//! What both implementations have in common: a replica, what it stores, what can be seen of it.

use std::cell::RefCell;
use std::fmt::Debug;
use std::rc::Rc;

use raft_core::{ConfChange, ConfState, HardState, LogId, PeerState, Role, SnapshotMeta};

/// Ticks after which a leader that is not heard is given up. Nobody campaigns by itself: the
/// implementations draw their timeouts from different generators.
pub(crate) const ELECTION_TICKS: u64 = 10;
/// Ticks between heartbeats.
pub(crate) const HEARTBEAT_TICKS: u64 = 2;
/// So late that it never comes.
pub(crate) const NEVER: u64 = 1 << 30;

/// The settings of a replica.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) id: u64,
    pub(crate) pre_vote: bool,
    pub(crate) check_quorum: bool,
}

/// What a replica starts from; everything committed is applied.
#[derive(Clone, Debug, Default)]
pub(crate) struct Start {
    pub(crate) hard: HardState,
    pub(crate) base: LogId,
    /// After the base.
    pub(crate) entries: Vec<LogId>,
    pub(crate) conf: ConfState,
}

impl Start {
    /// The snapshot that the log goes on from, if it does not begin at the beginning.
    pub(crate) fn snapshot(&self) -> SnapshotMeta {
        if self.base == LogId::default() {
            return SnapshotMeta::default();
        }
        SnapshotMeta { last: self.base, conf: self.conf.clone() }
    }
}

/// A member as its leader sees it: matched, next, how entries are sent.
pub(crate) type Peer = (u64, u64, u64, PeerState);

/// What can be seen of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) term: u64,
    pub(crate) vote: Option<u64>,
    pub(crate) role: Role,
    pub(crate) leader: Option<u64>,
    pub(crate) commit: u64,
    /// From the base to the end.
    pub(crate) log: Vec<LogId>,
    pub(crate) conf: ConfState,
    /// Empty unless it leads.
    pub(crate) peers: Vec<Peer>,
    /// To whom leadership is being handed over.
    pub(crate) transfer: Option<u64>,
    pub(crate) stopped: bool,
}

impl View {
    pub(crate) fn last(&self) -> LogId {
        self.log.last().copied().unwrap_or_default()
    }

    pub(crate) fn leads(&self) -> bool {
        self.role == Role::Leader
    }
}

/// A place of the replicated history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) id: LogId,
    /// The command there, if it is one.
    pub(crate) command: Option<u64>,
}

/// What any replica of a cluster has applied; the content of every snapshot.
#[derive(Debug, Default)]
pub(crate) struct History(Vec<Option<Record>>);

impl History {
    /// Notes what a replica has applied: nobody ever applies anything else in that place.
    pub(crate) fn note(&mut self, record: Record) {
        let place = record.id.index.0 as usize - 1;
        if self.0.len() <= place {
            self.0.resize(place + 1, None);
        }
        let known = *self.0[place].get_or_insert(record);
        assert_eq!(known, record, "State Machine Safety (thesis figure 3.2)");
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    pub(crate) fn at(&self, index: u64) -> Option<Record> {
        self.0.get(index.checked_sub(1)? as usize).copied().flatten()
    }

    /// The content of a snapshot; places that nobody has applied, as where a replica is alone, are
    /// blank.
    pub(crate) fn prefix(&self, last: LogId) -> Vec<Record> {
        let blank = Record { id: LogId::default(), command: None };
        let at = |index| self.at(index).unwrap_or(blank);
        (1..=last.index.0).map(at).collect()
    }
}

pub(crate) type SharedHistory = Rc<RefCell<History>>;

/// A replica of either implementation with its disk and its state machine, which is durable.
///
/// Every input also takes the outputs: messages to [`Replica::take_sent`], what is to be persisted
/// to the disk, what is committed to the queue of [`Replica::apply`].
pub(crate) trait Replica: Sized {
    type Message: Clone + Debug;

    fn boot(setup: Setup, start: &Start, history: SharedHistory) -> Self;
    fn handle(&mut self, from: u64, message: Self::Message);
    fn tick(&mut self);
    /// Campaigns, if it may lead.
    fn campaign(&mut self);
    /// Where the command went, if this replica leads and takes it.
    fn propose(&mut self, command: u64) -> Option<LogId>;
    /// Whether the read was taken; see [`Replica::take_reads`].
    fn read(&mut self, read: u64) -> bool;
    /// Whether the change was taken.
    fn change(&mut self, change: &ConfChange) -> bool;
    fn transfer(&mut self, to: u64);
    /// A message to this member was lost, and the host knows.
    fn report_lost(&mut self, to: u64, snapshot: bool);
    fn sync(&mut self, count: usize);
    fn writes(&self) -> usize;
    fn apply(&mut self, count: usize);
    fn pending(&self) -> usize;
    /// Drops the log up to what is applied.
    fn compact(&mut self);
    /// Dies with all but the oldest `kept` writes, and comes back.
    fn crash(&mut self, kept: usize);
    fn take_sent(&mut self) -> Vec<(u64, Self::Message)>;
    /// Reads that were answered, each with the index it reflects.
    fn take_reads(&mut self) -> Vec<(u64, u64)>;
    /// Proposals that certainly are committed nowhere.
    fn take_lost(&mut self) -> Vec<LogId>;
    fn is_snapshot(message: &Self::Message) -> bool;
    fn view(&self) -> View;
    /// The term it leads, if it does.
    fn leads(&self) -> Option<u64>;
    fn machine(&self) -> &[Record];
}
