//! Which rule a message meets: validation, terms, dispatch (thesis 3.3).

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
const TERM_END: Term = Term(1 << 62);

impl<S: Storage> RaftCore<S> {
    /// Refuses what no correct member sends, before anything changes.
    pub(crate) fn validate(&self, message: &Message) -> Result<(), StepError> {
        let term = message.term();
        let zero_allowed = matches!(message, Message::PreVoteReply(_));
        let current = self.role == Role::Leader && term == self.term;
        let sound = match message {
            Message::AppendEntries(m) => is_consecutive(m),
            Message::AppendEntriesReply(AppendEntriesReply { outcome, .. }) => match outcome {
                AppendOutcome::Accepted { matched: index }
                | AppendOutcome::Rejected { prev: index, .. } => {
                    !current || *index <= self.log.last_index()
                }
                AppendOutcome::Stale => true,
            },
            Message::HeartbeatReply(m) => !current || m.round <= self.lead.round,
            _ => true,
        };
        if sound && term < TERM_END && (term > Term(0) || zero_allowed) {
            Ok(())
        } else {
            Err(StepError::Malformed)
        }
    }

    /// Compares terms, then hands the message to its rule. `position` is the sender's among voters.
    pub(crate) fn dispatch(&mut self, from: NodeId, position: usize, message: Message) {
        match message {
            // Pre-votes do not carry the sender's term: they must not disturb anyone (thesis 9.6).
            Message::PreVote(m) => return self.on_pre_vote(from, m),
            Message::PreVoteReply(m) => return self.on_pre_vote_reply(position, m),
            // While a leader is heard nobody helps to depose it (thesis 4.2.3, 9.6).
            Message::RequestVote(m)
                if m.term > self.term && !m.transfer && self.is_leader_alive() =>
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
            let leads = matches!(message, Message::AppendEntries(_) | Message::Heartbeat(_));
            self.become_follower(term, leads.then_some(from));
        }
        match message {
            Message::RequestVote(m) => self.on_request_vote(from, m),
            Message::RequestVoteReply(m) => self.on_request_vote_reply(position, m),
            Message::AppendEntries(m) => self.on_append_entries(from, m),
            Message::Heartbeat(m) => self.on_heartbeat(from, m),
            Message::AppendEntriesReply(m) => self.on_append_reply(position, m),
            Message::HeartbeatReply(m) => self.on_heartbeat_reply(position, m),
            Message::PreVote(_) | Message::PreVoteReply(_) => {}
        }
    }

    /// Answers a request of a term that is over. The sender learns the newer term; without that a
    /// replica that is ahead in terms but hears a leader that is not would be stuck (thesis 9.6).
    fn answer_stale(&mut self, from: NodeId, message: &Message) {
        let term = self.term;
        let answer = match message {
            Message::AppendEntries(_) => Message::AppendEntriesReply(AppendEntriesReply {
                term,
                outcome: AppendOutcome::Stale,
            }),
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

/// Whether the entries follow `prev` and each other, in terms that can be (thesis 3.5, Log
/// Matching).
fn is_consecutive(m: &AppendEntries) -> bool {
    let mut prev = m.prev;
    let bounded = prev.index.0 < INDEX_END && m.entries.len() as u64 + prev.index.0 < INDEX_END;
    let based = (prev.index.0 == 0) == (prev.term == Term(0));
    bounded
        && based
        && prev.term <= m.term
        && m.entries.iter().all(|e| {
            let follows = e.id.index == prev.index.next() && e.id.term >= prev.term;
            prev = e.id;
            follows && e.id.term > Term(0) && e.id.term <= m.term
        })
}
