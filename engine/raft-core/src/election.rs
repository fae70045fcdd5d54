//! Pre-vote, votes and roles (thesis 3.4, 3.6.1, 9.6).

use crate::ids::{NodeId, Term};
use crate::leader::Leadership;
use crate::message::{Message, PreVote, PreVoteReply, RequestVote, RequestVoteReply};
use crate::persist::Gated;
use crate::quorum::Tally;
use crate::raft::RaftCore;
use crate::ready::PersistSeq;
use crate::state::Role;
use crate::storage::Storage;
use crate::timer::Timer;

impl<S: Storage> RaftCore<S> {
    /// Draws a new timeout from `n..2n`, so that candidates do not keep meeting (thesis 3.4).
    pub(crate) fn reset_election_timer(&mut self) {
        if self.position.is_none() {
            return self.timers.stop(Timer::Election);
        }
        let base = self.config.election_timeout_ticks;
        let ticks = base + self.rng.below(base);
        self.timers.set(Timer::Election, self.timers.after(ticks));
    }

    /// Whether a leader was heard within the shortest election timeout: then no vote is given
    /// against it (thesis 4.2.3). A leader counts as heard until it steps down.
    pub(crate) fn is_leader_alive(&self) -> bool {
        let heard = self.leader_heard.0.saturating_add(self.config.election_timeout_ticks);
        self.role == Role::Leader || self.leader.is_some() && self.timers.now().0 < heard
    }

    /// The leader has been silent too long, or the host asks for an election.
    pub(crate) fn start_election(&mut self) {
        if self.position.is_none() {
            return;
        }
        self.leader = None;
        self.reset_election_timer();
        if self.config.pre_vote { self.ask_pre_votes() } else { self.ask_votes() }
    }

    fn ask_pre_votes(&mut self) {
        self.abandon_candidacy();
        self.role = Role::PreCandidate;
        let ask = PreVote { term: self.term.next(), last: self.log.last() };
        self.votes.start(self.conf.voters.len());
        // A pre-vote promises nothing, so nothing need be durable: neither ours nor theirs.
        if let Some(position) = self.position {
            self.votes.record(position, true);
        }
        for to in others(&self.conf.voters, self.config.id) {
            self.outbox.push((to, Message::PreVote(ask)));
        }
        self.count_votes();
    }

    fn ask_votes(&mut self) {
        self.abandon_candidacy();
        self.role = Role::Candidate;
        self.enter_term(self.term.next());
        self.vote = Some(self.config.id);
        self.votes.start(self.conf.voters.len());
        // Both the own vote and the question wait for the disk. Were the question to leave at once,
        // a crash could bring this replica back with a shorter log and no memory of the term, and
        // votes given to the longer log would elect the shorter one.
        let ask = RequestVote { term: self.term, last: self.log.last(), transfer: false };
        let _ = self.persist.gate(PersistSeq(0), Gated::OwnVote(self.term));
        for index in 0..self.conf.voters.len() {
            let to = self.conf.voters[index];
            if to != self.config.id {
                self.send(to, Message::RequestVote(ask));
            }
        }
    }

    /// The own vote is durable: now it counts (thesis 3.8).
    pub(crate) fn own_vote_durable(&mut self, term: Term) {
        if let Some(position) =
            self.position.filter(|_| self.role == Role::Candidate && self.term == term)
        {
            self.votes.record(position, true);
            self.count_votes();
        }
    }

    fn count_votes(&mut self) {
        match (self.votes.tally(), self.role) {
            (Tally::Won, Role::PreCandidate) => self.ask_votes(),
            (Tally::Won, Role::Candidate) => self.become_leader(),
            (Tally::Lost, Role::PreCandidate | Role::Candidate) => {
                self.become_follower(self.term, None);
            }
            _ => {}
        }
    }

    /// Follows `leader`, or nobody yet, in `term`, which is not below the own one.
    pub(crate) fn become_follower(&mut self, term: Term, leader: Option<NodeId>) {
        assert!(term >= self.term, "terms never fall (thesis 3.3)");
        let was = self.role;
        if was == Role::Leader {
            self.reads.fail_unconfirmed();
            self.timers.stop_role();
            self.lead = Leadership::default();
        }
        self.abandon_candidacy();
        if term > self.term {
            self.enter_term(term);
        }
        self.role = Role::Follower;
        self.leader = leader;
        self.leader_heard = self.timers.now();
        // A higher term alone is no reason to wait longer for a leader.
        if was != Role::Follower || leader.is_some() || !self.timers.is_set(Timer::Election) {
            self.reset_election_timer();
        }
    }

    /// Questions of an abandoned candidacy that still wait for the disk are not asked any more.
    fn abandon_candidacy(&mut self) {
        if self.role == Role::Candidate {
            self.persist.drop_gates();
        }
    }

    fn enter_term(&mut self, term: Term) {
        self.term = term;
        self.vote = None;
        self.persist.drop_gates();
        self.persist.hard_changed();
    }

    pub(crate) fn on_pre_vote(&mut self, from: NodeId, m: PreVote) {
        let free = m.term > self.term
            || m.term == self.term
                && self.leader.is_none()
                && self.vote.is_none_or(|vote| vote == from);
        let granted = free && !self.is_leader_alive() && m.last >= self.log.last();
        let reply = PreVoteReply { term: self.term, asked: m.term, granted };
        self.send(from, Message::PreVoteReply(reply));
    }

    pub(crate) fn on_pre_vote_reply(&mut self, position: usize, m: PreVoteReply) {
        if !m.granted && m.term > self.term {
            // A refusal teaches the term: a candidate that is behind would ask in vain for ever.
            self.become_follower(m.term, None);
        } else if self.role == Role::PreCandidate && m.asked == self.term.next() {
            self.votes.record(position, m.granted);
            self.count_votes();
        }
    }

    pub(crate) fn on_request_vote(&mut self, from: NodeId, m: RequestVote) {
        // One vote per term (thesis 3.4), only for a log at least as complete (thesis 3.6.1), and
        // none once the term has a leader: nobody else can win it.
        let free = self.vote == Some(from) || self.vote.is_none() && self.leader.is_none();
        let granted = free && m.last >= self.log.last();
        if granted && self.vote.is_none() {
            self.vote = Some(from);
            self.persist.hard_changed();
            self.role = Role::Follower;
            self.reset_election_timer();
        }
        let reply = RequestVoteReply { term: self.term, granted };
        self.send(from, Message::RequestVoteReply(reply));
    }

    pub(crate) fn on_request_vote_reply(&mut self, position: usize, m: RequestVoteReply) {
        if self.role == Role::Candidate {
            self.votes.record(position, m.granted);
            self.count_votes();
        }
    }
}

/// The members other than `me`.
pub(crate) fn others(voters: &[NodeId], me: NodeId) -> impl Iterator<Item = NodeId> + '_ {
    voters.iter().copied().filter(move |v| *v != me)
}
