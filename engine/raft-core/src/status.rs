//! What can be asked of a replica.

use crate::conf_change::ConfState;
use crate::config::Config;
use crate::ids::{Index, NodeId, Term, Tick};
use crate::progress::ProgressState;
use crate::raft::RaftCore;
use crate::state::{HardState, PeerState, PeerStatus, Role, SoftState, Status};
use crate::storage::Storage;

impl<S: Storage> RaftCore<S> {
    /// The next tick at which time alone changes something; `None` when nothing waits for time.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        self.timers.next()
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The members: the newest configuration in the log, which is in force.
    #[must_use]
    pub fn conf(&self) -> &ConfState {
        self.conf.newest()
    }

    /// The entry that holds [`RaftCore::conf`]; beyond the commit index it may still fall.
    #[must_use]
    pub fn conf_index(&self) -> Index {
        self.conf.newest_index()
    }

    /// The term of an entry that is in the log; `None` elsewhere.
    #[must_use]
    pub fn term_at(&self, index: Index) -> Option<Term> {
        self.log.term_at(index)
    }

    /// What this leader knows about the other members, in ascending order. Empty elsewhere.
    pub fn peers(&self) -> impl Iterator<Item = PeerStatus> + '_ {
        let timeout = self.config.election_timeout_ticks;
        let others = self.lead.progress.iter().enumerate();
        others.filter(|(p, _)| Some(*p) != self.position).map(move |(position, progress)| {
            PeerStatus {
                id: self.members.id(position),
                voter: self.members.is_voter(position),
                state: match progress.state {
                    ProgressState::Probe { .. } => PeerState::Probe,
                    ProgressState::Replicate => PeerState::Replicate,
                    ProgressState::Snapshot { .. } => PeerState::Snapshot,
                },
                matched: progress.matched,
                next: progress.next,
                inflight_messages: progress.inflights().messages(),
                inflight_bytes: progress.inflights().bytes(),
                active: progress.is_active(self.now(), timeout),
            }
        })
    }

    /// The storage.
    #[must_use]
    pub fn storage(&self) -> &S {
        &self.storage
    }

    /// The clock.
    #[must_use]
    pub fn now(&self) -> Tick {
        self.timers.now()
    }

    /// The role.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The term.
    #[must_use]
    pub fn term(&self) -> Term {
        self.term
    }

    /// The leader of the term, if known.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    /// The highest index known to be committed.
    #[must_use]
    pub fn commit(&self) -> Index {
        self.log.commit
    }

    /// Whether the replica has stopped for good; see [`crate::Event::Fault`].
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// A summary.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            id: self.config.id,
            soft: SoftState { role: self.role, leader: self.leader },
            hard: HardState { term: self.term, vote: self.vote, commit: self.log.commit },
            last: self.log.last(),
            durable: self.log.durable,
            applied: self.log.applied,
            established: self.is_established(),
            transfer: self.lead.transfer_to(),
        }
    }
}
