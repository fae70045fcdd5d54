//! The crate `raft` (raft-rs), as TiKV uses it: see [`config`] for what is tuned.

mod group;
mod idle;

use raft::eraftpb::{ConfState, Entry, HardState, Message, Snapshot};
use raft::storage::{GetEntriesContext, RaftState, Storage};
use raft::{Config, RawNode, StorageError};
use slog::{Discard, Logger, o};

use crate::cores::{ELECTION_TICKS, HEARTBEAT_TICKS, mapped, unexpected};
use crate::error::BenchError;
pub(crate) use group::Group;
pub(crate) use idle::Idle;

pub(crate) const NAME: &str = "raft-rs";

/// The nodes of every group.
const NODES: [u64; 3] = [1, 2, 3];

/// A log in memory without the locks of the crate's own.
struct Arena {
    entries: Vec<Entry>,
    hard: HardState,
}

impl Arena {
    /// An empty log with memory for so many entries.
    fn new(entries: usize) -> Self {
        Self { entries: mapped(&Entry::default(), entries), hard: HardState::default() }
    }

    /// Appends entries; what the log holds at the index of the first and beyond is gone.
    fn append(&mut self, entries: Vec<Entry>) {
        if let Some(first) = entries.first() {
            self.entries.truncate(first.index as usize - 1);
        }
        self.entries.extend(entries);
    }
}

impl Storage for Arena {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let conf_state = ConfState { voters: NODES.to_vec(), ..ConfState::default() };
        Ok(RaftState { hard_state: self.hard.clone(), conf_state })
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        let wanted = (low as usize - 1)..(high as usize - 1);
        let found = self.entries.get(wanted).ok_or(StorageError::Unavailable)?;
        let mut entries = found.to_vec();
        raft::util::limit_size(&mut entries, max_size.into());
        Ok(entries)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        match index.checked_sub(1) {
            None => Ok(0),
            Some(at) => {
                let entry = self.entries.get(at as usize).ok_or(StorageError::Unavailable)?;
                Ok(entry.term)
            }
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.entries.len() as u64)
    }

    fn snapshot(&self, _request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        Err(StorageError::SnapshotTemporarilyUnavailable.into())
    }
}

/// The settings. Messages of one turn are merged, the commit index travels with the next entries,
/// and no message is limited in size, which spares the crate the adding up.
fn config(id: u64) -> Config {
    Config {
        id,
        election_tick: ELECTION_TICKS,
        heartbeat_tick: HEARTBEAT_TICKS,
        max_size_per_msg: raft::NO_LIMIT,
        check_quorum: true,
        pre_vote: true,
        skip_bcast_commit: true,
        batch_append: true,
        ..Config::default()
    }
}

fn replica(id: u64, entries: usize, logger: &Logger) -> Result<RawNode<Arena>, BenchError> {
    RawNode::new(&config(id), Arena::new(entries), logger).map_err(unexpected)
}

fn silent() -> Logger {
    Logger::root(Discard, o!())
}

/// What leaves a replica and what it has committed, one piece of a `Ready` at a time.
trait Outlet {
    fn send(&mut self, messages: Vec<Message>);
    fn apply(&mut self, entries: Vec<Entry>);
}

/// Handles a `Ready`. By `advance_append`, which hands over what became committed at once: here a
/// write is over before it returns, and the asynchronous form would cost one more `Ready`.
fn handle_ready(node: &mut RawNode<Arena>, out: &mut impl Outlet) {
    let mut ready = node.ready();
    out.send(ready.take_messages());
    out.apply(ready.take_committed_entries());
    let entries = ready.take_entries();
    if !entries.is_empty() {
        node.mut_store().append(entries);
    }
    if let Some(hard) = ready.hs() {
        node.mut_store().hard = hard.clone();
    }
    out.send(ready.take_persisted_messages());
    let mut light = node.advance_append(ready);
    out.send(light.take_messages());
    out.apply(light.take_committed_entries());
    node.advance_apply();
}
