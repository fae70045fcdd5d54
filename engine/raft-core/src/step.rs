//! Which rule a message meets: validation, terms, dispatch (thesis 3.3).

use crate::conf_change::ConfState;
use crate::entry::EntryKind;
use crate::error::StepError;
use crate::ids::{NodeId, Term};
use crate::log::INDEX_END;
use crate::message::{
    AppendEntries, AppendEntriesReply, AppendOutcome, HeartbeatReply, Message, RequestVoteReply,
};
use crate::raft::RaftCore;
use crate::state::Role;
use crate::storage::Storage;

/// Terms stay below this, so that the next term always exists whatever a peer claims.
pub(crate) const TERM_END: Term = Term(1 << 62);

impl<S: Storage> RaftCore<S> {
    /// Refuses what no correct member sends, before anything changes.
    #[inline(never)]
    pub(crate) fn validate(&self, message: &Message) -> Result<(), StepError> {
        let term = message.term();
        let zero_allowed = matches!(message, Message::PreVoteReply(_));
        let current = self.role == Role::Leader && term == self.term;
        let sound = match message {
            Message::AppendEntries(m) => is_append_sound(m),
            Message::InstallSnapshot(m) => m.snapshot.is_sound() && m.snapshot.last.term <= m.term,
            Message::AppendEntriesReply(m) => self.is_append_reply_sound(m),
            Message::HeartbeatReply(m) => !current || m.round <= self.lead.round,
            _ => true,
        };
        if sound && (is_term(term) || term == Term(0) && zero_allowed) {
            Ok(())
        } else {
            Err(StepError::Malformed)
        }
    }

    /// Whether a follower may say so: to its leader it speaks of what is in the leader's log.
    #[inline]
    pub(crate) fn is_append_reply_sound(&self, m: &AppendEntriesReply) -> bool {
        let index = match m.outcome {
            AppendOutcome::Accepted { matched } => matched,
            AppendOutcome::Rejected { prev, .. } => prev,
            AppendOutcome::Stale => return is_term(m.term),
        };
        let current = self.role == Role::Leader && m.term == self.term;
        is_term(m.term) && (!current || index <= self.log.last_index())
    }

    /// Compares terms, then hands the message to its rule. `position` is the sender's among the
    /// members; requests are taken of anybody, since the sender may know more of the members than
    /// this replica does (thesis 4.1).
    #[inline(never)]
    pub(crate) fn dispatch(&mut self, from: NodeId, position: usize, message: Message) {
        match message {
            // Pre-votes do not carry the sender's term: they must not disturb anyone (thesis 9.6).
            Message::PreVote(m) => return self.on_pre_vote(from, m),
            Message::PreVoteReply(m) => return self.on_pre_vote_reply(position, m),
            // While a leader is heard nobody helps to depose it (thesis 4.2.3, 9.6).
            Message::RequestVote(m)
                if m.term > self.term && !m.transfer && self.clings_to_leader() =>
            {
                return;
            }
            _ => {}
        }
        let term = message.term();
        if term < self.term {
            return self.answer_stale(from, &message);
        }
        if term > self.term {
            self.become_follower(term, is_of_leader(&message).then_some(from));
        }
        match message {
            Message::RequestVote(m) => self.on_request_vote(from, m),
            Message::RequestVoteReply(m) => self.on_request_vote_reply(position, m),
            Message::AppendEntries(m) => self.on_append_entries(from, m),
            Message::Heartbeat(m) => self.on_heartbeat(from, m),
            Message::InstallSnapshot(m) => self.on_install_snapshot(from, m),
            Message::TimeoutNow(_) => self.on_timeout_now(from),
            Message::AppendEntriesReply(m) => self.on_append_reply(position, m),
            Message::HeartbeatReply(m) => self.on_heartbeat_reply(position, m),
            Message::PreVote(_) | Message::PreVoteReply(_) => {}
        }
    }

    /// Whether nobody may be helped against the leader there is (thesis 4.2.3).
    fn clings_to_leader(&self) -> bool {
        self.config.check_quorum && self.is_leader_alive() || self.is_bound()
    }

    /// Answers a request of a term that is over. The sender learns the newer term; without that a
    /// replica that is ahead in terms but hears a leader that is not would be stuck (thesis 9.6).
    fn answer_stale(&mut self, from: NodeId, message: &Message) {
        let term = self.term;
        let answer = match message {
            Message::AppendEntries(_) | Message::InstallSnapshot(_) => {
                Message::AppendEntriesReply(AppendEntriesReply {
                    term,
                    outcome: AppendOutcome::Stale,
                })
            }
            // Round zero confirms nothing. The sender may come to lead the term of this answer, and
            // must not find a round of its former leadership confirmed in it.
            Message::Heartbeat(_) => Message::HeartbeatReply(HeartbeatReply { term, round: 0 }),
            Message::RequestVote(_) => {
                Message::RequestVoteReply(RequestVoteReply { term, granted: false })
            }
            _ => return,
        };
        self.send(from, answer);
    }
}

/// Whether anybody can be in this term.
#[inline]
fn is_term(term: Term) -> bool {
    term < TERM_END && term > Term(0)
}

/// Whether a leader may send this.
#[inline]
pub(crate) fn is_append_sound(m: &AppendEntries) -> bool {
    is_term(m.term) && is_consecutive(m) && (!m.entries.may_have_conf() || are_confs_sound(m))
}

/// Whether only the leader of its term sends such a message.
const fn is_of_leader(message: &Message) -> bool {
    matches!(
        message,
        Message::AppendEntries(_)
            | Message::Heartbeat(_)
            | Message::InstallSnapshot(_)
            | Message::TimeoutNow(_)
    )
}

/// Whether every configuration among the entries can be read.
fn are_confs_sound(m: &AppendEntries) -> bool {
    let mut confs = m.entries.iter().filter(|e| e.kind == EntryKind::ConfChange);
    confs.all(|e| ConfState::decode(&e.data).is_some_and(|conf| !conf.voters.is_empty()))
}

/// Whether the entries follow `prev` and each other, in terms that can be (thesis 3.5, Log
/// Matching).
fn is_consecutive(m: &AppendEntries) -> bool {
    let prev = m.prev;
    let bounded = prev.index.0 < INDEX_END && m.entries.len() as u64 + prev.index.0 < INDEX_END;
    let based = (prev.index.0 == 0) == (prev.term == Term(0));
    let follows = match (m.entries.first(), m.entries.last()) {
        (Some(first), Some(last)) => {
            let first = first.id;
            let begins = first.index == prev.index.next() && first.term >= prev.term;
            begins && first.term > Term(0) && last.id.term <= m.term
        }
        _ => true,
    };
    bounded && based && prev.term <= m.term && follows && m.entries.are_consecutive()
}
