//! One replica: its state, and the inputs that change it.

use alloc::vec::Vec;

use crate::conf_change::ConfHistory;
use crate::config::Config;
use crate::error::{ReadError, StepError};
use crate::event::{Event, Fault};
use crate::ids::{Index, NodeId, Term, Tick};
use crate::leader::Leadership;
use crate::log::Log;
use crate::message::Message;
use crate::persist::{Gated, Persist};
use crate::proposed::Proposed;
use crate::quorum::{Members, Votes};
use crate::read_index::Reads;
use crate::ready::{PersistSeq, ReadId};
use crate::rng::Rng;
use crate::snapshot::Installing;
use crate::state::Role;
use crate::step::is_append_sound;
use crate::storage::Storage;
use crate::timer::{Timer, Timers};

/// One replica of one group.
///
/// Inputs (`handle_*`) change the state and queue outputs; [`RaftCore::poll_ready`] hands the
/// outputs out. The short forms ([`RaftCore::tick`] and its neighbours) do both.
#[derive(Debug)]
pub struct RaftCore<S: Storage> {
    pub(crate) config: Config,
    pub(crate) storage: S,
    /// The configurations of the log; the newest is in force.
    pub(crate) conf: ConfHistory,
    pub(crate) members: Members,
    /// This replica's place among the members.
    pub(crate) position: Option<usize>,
    pub(crate) term: Term,
    pub(crate) vote: Option<NodeId>,
    pub(crate) role: Role,
    pub(crate) leader: Option<NodeId>,
    /// When the leader was heard last; meaningless without one.
    pub(crate) leader_heard: Tick,
    /// The host wants an election unless a leader is heard after this.
    pub(crate) summoned: Option<Tick>,
    /// For how long it may be silent: drawn anew for every wait.
    pub(crate) patience: u64,
    /// Until when a leader's lease may rest on this replica, if leases are on.
    pub(crate) quiet_until: Tick,
    pub(crate) log: Log,
    pub(crate) persist: Persist,
    pub(crate) timers: Timers,
    pub(crate) rng: Rng,
    pub(crate) votes: Votes,
    pub(crate) lead: Leadership,
    pub(crate) reads: Reads,
    pub(crate) proposed: Proposed,
    pub(crate) outbox: Vec<(NodeId, Message)>,
    pub(crate) events: Vec<Event>,
    /// What the log may hold in memory before commands are refused, in bytes.
    pub(crate) backlog_bytes_max: usize,
    /// Committed entries wait for the storage to fetch them.
    pub(crate) fetching: bool,
    pub(crate) installing: Option<Installing>,
    pub(crate) stopped: bool,
    /// Something was handed out: from then on the core knows what is applied.
    pub(crate) polled: bool,
    pub(crate) noted: (Role, Term, Option<NodeId>),
    #[cfg(debug_assertions)]
    pub(crate) watch: crate::invariants::Watch,
}

impl<S: Storage> RaftCore<S> {
    /// Sets the clock, which never runs backwards, and fires what is due.
    ///
    /// After a pause the host passes the real time: a leader that was asleep too long steps down
    /// before it does anything else (thesis 6.2).
    pub fn handle_time(&mut self, now: Tick) {
        if self.stopped || now <= self.timers.now() {
            return;
        }
        self.timers.advance(now);
        if self.role == Role::Leader {
            self.lead_on();
        } else if self.timers.fire(Timer::Election) && !self.waits_on() {
            self.start_election();
        }
        self.settle();
    }

    /// What the storage had to fetch ([`Event::Fetch`]) is there: read it.
    pub fn handle_fetched(&mut self) {
        self.fetching = false;
        self.lead.progress.iter_mut().for_each(|p| p.fetching = false);
        self.lead.sends_due = self.role == Role::Leader;
    }

    /// Takes a message of another node of the group. Requests are taken of nodes that are not
    /// members as well: they may be, in a configuration this replica has not seen yet.
    ///
    /// # Errors
    /// The message is refused and the state unchanged; see [`StepError`].
    pub fn handle_message(&mut self, from: NodeId, message: Message) -> Result<(), StepError> {
        if self.stopped {
            return Err(StepError::Stopped);
        }
        let position = self.members.position(from);
        if from == self.config.id || from == NodeId(0) || position.is_none() && message.is_reply() {
            return Err(StepError::UnknownPeer(from));
        }
        let position = position.unwrap_or(usize::MAX);
        // The two that make up nearly all of the traffic, in the term that everybody is in.
        match message {
            Message::AppendEntries(m) if m.term == self.term => {
                if !is_append_sound(&m) {
                    return Err(StepError::Malformed);
                }
                self.on_append_entries(from, m);
            }
            Message::AppendEntriesReply(m) if m.term == self.term => {
                if !self.is_append_reply_sound(&m) {
                    return Err(StepError::Malformed);
                }
                self.on_append_reply(position, m);
            }
            message => {
                self.validate(&message)?;
                self.dispatch(from, position, message);
            }
        }
        self.settle();
        Ok(())
    }

    /// Asks for a linearizable read: the answer comes as a [`crate::ReadOutcome`] (thesis 6.4).
    ///
    /// # Errors
    /// Nothing was read; see [`ReadError`].
    pub fn handle_read(&mut self, id: ReadId) -> Result<(), ReadError> {
        if self.stopped {
            return Err(ReadError::Stopped);
        }
        if self.role != Role::Leader {
            return Err(ReadError::NotLeader { leader: self.leader });
        }
        if self.reads.is_full() {
            return Err(ReadError::Busy);
        }
        self.reads.ask(id);
        self.settle();
        Ok(())
    }

    /// Raises the commit index and settles what became of proposals made here.
    #[inline]
    pub(crate) fn advance_commit(&mut self, commit: Index) {
        if commit > self.log.commit {
            self.raise_commit(commit);
        }
    }

    fn raise_commit(&mut self, commit: Index) {
        let old = self.log.commit;
        assert!(commit <= self.log.last_index(), "only what is in the log can be committed");
        self.log.commit = commit;
        if self.conf.newest_index() > old && !self.is_electable() {
            self.timers.stop(Timer::Election);
        }
        if self.proposed.is_empty() {
            return;
        }
        let (log, events) = (&self.log, &mut self.events);
        self.proposed.committed(
            old,
            commit,
            log.delivered,
            |i| log.term_at(i),
            |id| events.push(Event::Lost { id }),
        );
    }

    /// Sends a message once the term and the vote are durable.
    pub(crate) fn send(&mut self, to: NodeId, message: Message) {
        self.send_after(PersistSeq(0), to, message);
    }

    /// Sends a message once the term, the vote and the log up to `index` are durable.
    #[inline]
    pub(crate) fn send_when_durable(&mut self, index: Index, to: NodeId, message: Message) {
        let batch =
            if index <= self.log.durable { PersistSeq(0) } else { self.persist.batch_of(index) };
        self.send_after(batch, to, message);
    }

    #[inline]
    fn send_after(&mut self, batch: PersistSeq, to: NodeId, message: Message) {
        if self.persist.is_open(batch) {
            self.outbox.push((to, message));
        } else {
            self.persist.close(batch, Gated::Message(to, message));
        }
    }

    /// Of what was proposed here and lies beyond `known` nothing more will be learned.
    pub(crate) fn abandon_proposals(&mut self, known: Index) {
        let (log, events) = (&self.log, &mut self.events);
        let term_at = |i| log.term_at(i);
        let uncertain = |id| events.push(Event::Uncertain { id });
        self.proposed.abandon(known, log.commit, term_at, uncertain);
    }

    /// Stops for good: nothing is sent, persisted or applied from here on.
    pub(crate) fn stop(&mut self, fault: Fault) {
        self.stopped = true;
        self.role = Role::Follower;
        self.leader = None;
        self.timers.stop_all();
        self.installing = None;
        self.persist.drop_gates();
        self.reads.fail_all();
        self.abandon_proposals(self.log.delivered);
        self.lead = Leadership::default();
        self.outbox.clear();
        self.events.push(Event::Fault(fault));
    }

    #[cold]
    fn note_change(&mut self) {
        let (role, term, leader) = (self.role, self.term, self.leader);
        self.noted = (role, term, leader);
        self.events.push(Event::Changed { role, term, leader });
    }

    /// The end of every input: say what changed, and in debug builds check the laws.
    #[inline]
    pub(crate) fn settle(&mut self) {
        // Looked at after every input, and nearly always the same: no branch but one.
        let (role, term, leader) = self.noted;
        let same = (role == self.role) & (term == self.term) & (leader == self.leader);
        if !same {
            self.note_change();
        }
        #[cfg(debug_assertions)]
        self.check_laws();
    }
}
