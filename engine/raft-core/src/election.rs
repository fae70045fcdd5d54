//! Pre-vote, votes and roles (thesis 3.4, 3.6.1, 9.6).

use alloc::vec::Vec;

use crate::ids::{NodeId, Term, Tick};
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
        if !self.is_electable() {
            return self.timers.stop(Timer::Election);
        }
        let base = self.config.election_timeout_ticks;
        self.patience = base + self.rng.below(base);
        self.timers.set(Timer::Election, self.timers.after(self.patience));
    }

    /// Whether the time of the election has come too early: the leader was heard since it was set
    /// (a message of the leader does not touch the timer, so that it costs nothing), or the last
    /// election has not begun yet. Then it is set anew.
    pub(crate) fn waits_on(&mut self) -> bool {
        let until = Tick(self.leader_heard.0.saturating_add(self.patience));
        let heard = self.summoned.take() != Some(self.leader_heard);
        if heard && self.leader.is_some() && until > self.timers.now() {
            self.timers.set(Timer::Election, until);
            return true;
        }
        // No other term is begun while the disk has not even seen the last one.
        let asking = self.role == Role::Candidate && !self.persist.is_hard_durable();
        if asking {
            self.reset_election_timer();
        }
        asking
    }

    /// Whether a leader was heard within the shortest election timeout: then no vote is given
    /// against it (thesis 4.2.3). A leader counts as heard until it steps down.
    pub(crate) fn is_leader_alive(&self) -> bool {
        let heard = self.leader_heard.0.saturating_add(self.config.election_timeout_ticks);
        self.role == Role::Leader || self.leader.is_some() && self.timers.now().0 < heard
    }

    /// Starts an election now, as if the leader had been silent too long.
    ///
    /// Does nothing on a leader, on a replica that may not lead, while a snapshot is being
    /// installed, and, where leases are on, while a leader may hold one with this replica's help.
    pub fn handle_campaign(&mut self) {
        if !self.stopped && self.role != Role::Leader && !self.is_bound() {
            self.start_election();
            self.settle();
        }
    }

    /// Sets the time of the next election, should no leader be heard until then: a host that knows
    /// that a node is dead brings the elections of its groups forward, and spreads them.
    ///
    /// Does nothing on a leader and on a replica that may not lead.
    pub fn handle_campaign_at(&mut self, at: Tick) {
        if !self.stopped && self.role != Role::Leader && self.is_electable() {
            self.summoned = Some(self.leader_heard);
            self.timers.set(Timer::Election, at.max(self.timers.after(1)));
            self.settle();
        }
    }

    /// The leader has been silent too long, or the host asks for an election.
    pub(crate) fn start_election(&mut self) {
        self.reset_election_timer();
        if self.is_bound() {
            // A leader's lease may rest on this replica, whatever its own timer says.
            return self.timers.set(Timer::Election, self.quiet_until);
        }
        if !self.may_campaign() {
            return;
        }
        self.leader = None;
        if self.config.pre_vote { self.ask_pre_votes() } else { self.ask_votes(false) }
    }

    /// Whether this replica may ask for votes: it counts, and its log is whole.
    pub(crate) fn may_campaign(&self) -> bool {
        self.is_electable() && !self.is_installing()
    }

    fn ask_pre_votes(&mut self) {
        self.abandon_candidacy();
        self.role = Role::PreCandidate;
        let ask = PreVote { term: self.term.next(), last: self.log.last() };
        self.votes.start(self.members.len());
        // A pre-vote promises nothing, so nothing need be durable: neither ours nor theirs.
        if let Some(position) = self.position {
            self.votes.record(position, true);
        }
        for to in self.other_voters() {
            self.outbox.push((to, Message::PreVote(ask)));
        }
        self.count_votes();
    }

    /// Asks for votes; with `transfer` because the leader wants it so.
    pub(crate) fn ask_votes(&mut self, transfer: bool) {
        self.abandon_candidacy();
        self.role = Role::Candidate;
        self.enter_term(self.term.next());
        self.vote = Some(self.config.id);
        self.votes.start(self.members.len());
        // Both the own vote and the question wait for the disk. Were the question to leave at once,
        // a crash could bring this replica back with a shorter log and no memory of the term, and
        // votes given to the longer log would elect the shorter one.
        let ask = RequestVote { term: self.term, last: self.log.last(), transfer };
        self.persist.close(PersistSeq(0), Gated::OwnVote(self.term));
        for to in self.other_voters() {
            self.send(to, Message::RequestVote(ask));
        }
    }

    /// Who else votes.
    fn other_voters(&self) -> impl Iterator<Item = NodeId> + use<S> {
        let others = (0..self.members.len())
            .filter(|p| Some(*p) != self.position && self.members.is_voter(*p))
            .map(|p| self.members.id(p));
        others.collect::<Vec<_>>().into_iter()
    }

    /// The own vote is durable: now it counts (thesis 3.8).
    pub(crate) fn own_vote_durable(&mut self, term: Term) {
        if self.role == Role::Candidate && self.term == term {
            if let Some(position) = self.position {
                self.votes.record(position, true);
            }
            self.count_votes();
        }
    }

    fn count_votes(&mut self) {
        match (self.votes.tally(&self.members), self.role) {
            (Tally::Won, Role::PreCandidate) => self.ask_votes(false),
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
            self.timers.stop_all();
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
        let quiet = self.is_leader_alive() || self.is_bound();
        let granted = free && !quiet && m.last >= self.log.last();
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
        let bound = self.is_bound() && !m.transfer;
        let granted = free && !bound && m.last >= self.log.last();
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
            // Nobody leads before the own term and vote are durable, whoever votes unasked.
            if self.persist.is_hard_durable() {
                self.count_votes();
            }
        }
    }
}
