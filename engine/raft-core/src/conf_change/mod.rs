//! Who the members are, and how that changes (thesis chapter 4).
//!
//! An entry of kind [`EntryKind::ConfChange`] holds a whole configuration, not a difference: what
//! is in force is always the newest one in the log, committed or not, and when the entry goes the
//! one before it is in force again. Nothing has to be applied, and nothing can be applied twice.

mod changer;
mod conf_state;
mod history;

use alloc::vec::Vec;

pub use conf_state::ConfState;
pub(crate) use history::ConfHistory;

use crate::entry::EntryKind;
use crate::error::ConfChangeError;
use crate::event::Event;
use crate::ids::{Index, LogId, NodeId};
use crate::message::{Message, TimeoutNow};
use crate::progress::Progress;
use crate::quorum::Members;
use crate::raft::RaftCore;
use crate::state::Role;
use crate::storage::Storage;
use crate::timer::Timer;

/// What a change does to one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfStep {
    /// It votes from now on; a learner is promoted.
    AddVoter(NodeId),
    /// It receives the log and does not count (thesis 4.2.1); a voter is demoted.
    AddLearner(NodeId),
    /// It is no member any more.
    Remove(NodeId),
}

impl ConfStep {
    /// The member.
    #[must_use]
    pub const fn node(self) -> NodeId {
        match self {
            Self::AddVoter(id) | Self::AddLearner(id) | Self::Remove(id) => id,
        }
    }
}

/// How a group goes from one configuration to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transition {
    /// In one step if at most one voter comes or goes (thesis 4.1), else as `JointAuto`.
    #[default]
    Auto,
    /// Through a joint configuration (thesis 4.3), which the leader of the day leaves by itself.
    JointAuto,
    /// Through a joint configuration, which stays until [`ConfChange::Leave`].
    JointExplicit,
}

/// A change of the members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfChange {
    /// These steps, all at once.
    Steps {
        /// One per member concerned.
        steps: Vec<ConfStep>,
        /// How.
        transition: Transition,
    },
    /// Leaves a joint configuration.
    Leave,
}

impl ConfChange {
    /// These steps, by the shortest safe way.
    #[must_use]
    pub fn new(steps: impl IntoIterator<Item = ConfStep>) -> Self {
        Self::Steps { steps: steps.into_iter().collect(), transition: Transition::Auto }
    }
}

impl<S: Storage> RaftCore<S> {
    /// Changes the members. The change is in force at once and stands when its entry is committed;
    /// until then it may be undone by another leader ([`Event::Lost`]).
    ///
    /// # Errors
    /// The log is untouched; see [`ConfChangeError`].
    pub fn handle_conf_change(&mut self, change: &ConfChange) -> Result<LogId, ConfChangeError> {
        if self.stopped {
            return Err(ConfChangeError::Stopped);
        }
        if self.role != Role::Leader {
            return Err(ConfChangeError::NotLeader { leader: self.leader });
        }
        if let Some(to) = self.lead.transfer_to() {
            return Err(ConfChangeError::Transferring { to });
        }
        if !self.is_established() {
            return Err(ConfChangeError::NotEstablished);
        }
        let index = self.conf.newest_index();
        if index > self.log.commit {
            return Err(ConfChangeError::InProgress { index });
        }
        let next = self.conf.newest().changed(change)?;
        let id = self.append_conf(next);
        self.proposed.note(id);
        self.settle();
        Ok(id)
    }

    fn append_conf(&mut self, conf: ConfState) -> LogId {
        let id = self.append_own(EntryKind::ConfChange, conf.encode());
        self.conf.push(id.index, conf);
        self.activate_conf();
        id
    }

    /// The newest configuration changed: everything that is kept per member follows.
    pub(crate) fn activate_conf(&mut self) {
        let members = Members::new(self.conf.newest());
        if self.role == Role::Leader {
            let (before, now) = (self.log.last_index().prev(), self.timers.now());
            let mut known: Vec<_> =
                core::mem::take(&mut self.lead.progress).into_iter().map(Some).collect();
            let mut keep = |id| self.members.position(id).and_then(|p| known.get_mut(p)?.take());
            let progress = members.ids().map(|id| keep(id).unwrap_or(Progress::new(before, now)));
            self.lead.progress = progress.collect();
            self.lead.sends_due = true;
        }
        self.members = members;
        self.position = self.members.position(self.config.id);
        self.events.push(Event::ConfChanged { index: self.conf.newest_index() });
        if self.role == Role::Leader {
            self.watch_peers();
            self.keep_transfer_to_voters();
            // Whoever has not answered yet may not be needed any more.
            self.confirm_round();
        } else if self.is_electable() != self.timers.is_set(Timer::Election) {
            self.reset_election_timer();
        }
    }

    /// Whether this replica counts in the newest configuration.
    pub(crate) fn is_voter(&self) -> bool {
        self.position.is_some_and(|p| self.members.is_voter(p))
    }

    /// Whether this replica may be needed as a leader: it votes, or the entry that says it does not
    /// may not be committed. Without the others having that entry nobody else could be elected, so
    /// it campaigns, and does not count itself (thesis 4.2.2).
    pub(crate) fn is_electable(&self) -> bool {
        self.is_voter() || self.conf.since(self.log.commit).any(|c| c.is_voter(self.config.id))
    }

    /// What every leader owes once a configuration is committed, whoever proposed it: a joint one
    /// is left, and who is no voter any more makes room (thesis 4.2.2, 4.3).
    pub(crate) fn finish_conf_change(&mut self) {
        if self.conf.newest_index() > self.log.commit || !self.is_established() {
            return;
        }
        let conf = self.conf.newest();
        if conf.is_joint() {
            if conf.auto_leave {
                let left = conf.left();
                self.append_conf(left);
            }
        } else if !self.is_voter() {
            self.nudge_successor();
            // What is committed is still handed out here; of the rest it will not hear.
            self.abandon_proposals(self.log.commit);
            self.become_follower(self.term, None);
        }
    }

    /// Who knows most is asked to lead at once: nobody has to wait for an election timeout.
    pub(crate) fn nudge_successor(&mut self) {
        let progress = &self.lead.progress;
        let others = (0..progress.len()).filter(|p| Some(*p) != self.position);
        let voters = others.filter(|p| self.members.is_voter(*p));
        let best = voters.max_by_key(|p| progress[*p].matched);
        if let Some(position) = best {
            let to = self.members.id(position);
            self.outbox.push((to, Message::TimeoutNow(TimeoutNow { term: self.term })));
        }
    }

    /// The configuration as of an entry: what belongs into a snapshot that ends there.
    ///
    /// `None` where it is not known, and no snapshot may end: beyond the end of the log, before
    /// what was compacted, in a log that a snapshot on its way to the disk is about to replace,
    /// and, on a replica that joined, before the first entry that names the members.
    #[must_use]
    pub fn conf_at(&self, index: Index) -> Option<&ConfState> {
        let known = self.conf.at(index).filter(|_| index <= self.log.last_index());
        known.filter(|conf| !conf.voters.is_empty())
    }
}
