//! From what the storage has to a replica: a follower without a leader.

use alloc::vec::Vec;

use crate::conf_change::{ConfHistory, ConfState};
use crate::config::Config;
use crate::entry::EntryKind;
use crate::error::BootError;
use crate::ids::{Index, Tick};
use crate::leader::Leadership;
use crate::log::Log;
use crate::persist::Persist;
use crate::proposed::Proposed;
use crate::quorum::{Members, Votes};
use crate::raft::RaftCore;
use crate::read_index::Reads;
use crate::rng::Rng;
use crate::snapshot::Installing;
use crate::state::{HardState, Role};
use crate::step::TERM_END;
use crate::storage::{InitialState, SnapshotMeta, Storage, StorageError};
use crate::timer::Timers;

/// Bookkeeping that the limits on payload do not count, in bytes.
const BACKLOG_SLACK: usize = 1 << 20;

impl<S: Storage> RaftCore<S> {
    /// A replica as the storage knows it: a follower without a leader, at tick zero.
    ///
    /// Entries beyond the storage's newest snapshot are handed out to be applied again once they
    /// are known to be committed. A host whose state machine is itself durable says how far it has
    /// come with [`RaftCore::handle_applied`] before anything else.
    ///
    /// # Errors
    /// A configuration that contradicts itself, or a storage that cannot be trusted.
    pub fn new(config: Config, storage: S) -> Result<Self, BootError> {
        Self::new_at(config, storage, Tick(0))
    }

    /// As [`RaftCore::new`], with the clock at `now`: a replica that joins a host already running
    /// waits for a leader from now on, not from tick zero.
    ///
    /// # Errors
    /// As [`RaftCore::new`].
    pub fn new_at(config: Config, storage: S, now: Tick) -> Result<Self, BootError> {
        config.validate()?;
        let InitialState { mut hard, conf } =
            storage.initial_state().map_err(BootError::Storage)?;
        // A liar may bring a replica to the last term a message can have, and it may campaign then.
        if hard.term.0 >= 2 * TERM_END.0 {
            return Err(BootError::Storage(StorageError::Corrupt));
        }
        let (log, torn) = Log::load(&storage, hard.commit, config.log_cache_bytes_max)?;
        let last = log.last().term;
        let snapshot = storage.snapshot_meta();
        if last > hard.term && log.last() == snapshot.last {
            // The snapshot is durable and the term it came with is not: no vote was given in it.
            hard = HardState { term: last, vote: None, ..hard };
        }
        if last > hard.term {
            return Err(BootError::TermBehindLog { term: hard.term, last });
        }
        let conf = load_confs(&storage, &log, &snapshot, conf, torn)?;
        let members = Members::new(conf.newest());
        let quiet_until = Tick(now.0.saturating_add(config.election_timeout_ticks));
        let installing = torn.then_some(Installing { snapshot, batch: None });
        let backlog = config.log_cache_bytes_max.saturating_add(config.uncommitted_bytes_max);
        let mut core = Self {
            backlog_bytes_max: backlog.saturating_add(BACKLOG_SLACK),
            position: members.position(config.id),
            conf,
            members,
            term: hard.term,
            vote: hard.vote,
            role: Role::Follower,
            leader: None,
            leader_heard: Tick(0),
            patience: 0,
            summoned: None,
            quiet_until,
            log,
            persist: Persist::new(hard),
            timers: Timers::new(now),
            rng: Rng::new(config.seed, config.id.0),
            votes: Votes::default(),
            lead: Leadership::default(),
            reads: Reads::default(),
            proposed: Proposed::default(),
            outbox: Vec::new(),
            events: Vec::new(),
            fetching: false,
            installing,
            stopped: false,
            polled: false,
            noted: (Role::Follower, hard.term, None),
            #[cfg(debug_assertions)]
            watch: crate::invariants::Watch::default(),
            config,
            storage,
        };
        core.reset_election_timer();
        core.settle();
        Ok(core)
    }
}

/// The configurations of a stored log: what it began with, and every change since.
fn load_confs<S: Storage>(
    storage: &S,
    log: &Log,
    snapshot: &SnapshotMeta,
    initial: ConfState,
    torn: bool,
) -> Result<ConfHistory, BootError> {
    let corrupt = BootError::Storage(StorageError::Corrupt);
    let base = snapshot.last.index;
    let first = if base > Index(0) { snapshot.conf.clone() } else { initial };
    if !first.is_sound() {
        return Err(corrupt);
    }
    let mut confs = ConfHistory::new(base, first);
    let mut entries = Vec::new();
    if !torn {
        let from = base.next().max(storage.first_index());
        storage.conf_entries(from, &mut entries).map_err(BootError::Storage)?;
    }
    for entry in entries {
        let conf = ConfState::decode(&entry.data).filter(|c| !c.voters.is_empty());
        let of_log = log.term_at(entry.id.index) == Some(entry.id.term);
        let follows = entry.id.index > confs.newest_index() && entry.kind == EntryKind::ConfChange;
        let Some(conf) = conf.filter(|_| of_log && follows) else {
            return Err(corrupt);
        };
        confs.push(entry.id.index, conf);
    }
    Ok(confs)
}
