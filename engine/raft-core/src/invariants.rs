//! The laws one replica can check on its own, after every input of a debug build.
//!
//! State laws look at one moment, change laws at two. The laws that need several replicas (Election
//! Safety, Log Matching, Leader Completeness, State Machine Safety) are checked by the tests.

use crate::ids::{Index, LogId, NodeId, Term};
use crate::raft::RaftCore;
use crate::state::Role;
use crate::storage::Storage;

/// The moment before.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Watch {
    term: Term,
    vote: Option<NodeId>,
    commit: Index,
    applied: Index,
    last: LogId,
    led: bool,
}

impl<S: Storage> RaftCore<S> {
    pub(crate) fn check_laws(&mut self) {
        if self.stopped {
            return;
        }
        self.check_log();
        self.check_role();
        self.check_change();
        self.check_installing();
        self.check_members();
    }

    fn check_log(&self) {
        let log = &self.log;
        assert!(log.applied <= log.delivered, "applied only what was handed out");
        assert!(log.delivered <= log.commit, "applied only what is committed");
        assert!(log.delivered <= log.durable, "applied only what is durable here");
        assert!(log.commit <= log.last_index(), "committed only what is in the log");
        assert!(log.durable <= log.handed, "durable only what was handed out");
        assert!(log.handed <= log.last_index(), "handed out only what is in the log");
        assert!(log.last().term <= self.term, "no entry of a term to come");
    }

    fn check_role(&self) {
        let leads = self.role == Role::Leader;
        assert!(leads == (self.leader == Some(self.config.id)), "who leads knows that it leads");
        assert!(leads || self.lead.progress.is_empty(), "only a leader has followers");
        if leads || self.role == Role::Candidate {
            assert!(self.vote == Some(self.config.id), "a candidate votes for itself");
        }
        if self.role == Role::PreCandidate {
            assert!(!self.is_bound(), "a lease may rest on who keeps still (thesis 6.4.1)");
        }
        if leads {
            assert!(!self.persist.is_hard_due(), "a leader's term and vote are handed out");
            for progress in &self.lead.progress {
                assert!(progress.matched < progress.next, "what matches is not sent again");
                assert!(progress.next <= self.log.last_index().next(), "nothing to send there");
            }
            let start = self.lead.start;
            let opened = self.log.term_at(start) == Some(self.term);
            assert!(
                opened || start < self.log.base().index,
                "a leader opens its term with an entry"
            );
        } else if self.is_electable() {
            assert!(self.waits_for_leader(), "a voter without a leader campaigns some day");
        }
    }

    fn check_members(&self) {
        let conf = self.conf.newest();
        assert!(conf.is_sound(), "a configuration makes sense");
        assert!(
            self.conf.newest_index() <= self.log.last_index(),
            "in force is what is in the log"
        );
        let known = |id| conf.contains(id);
        assert!(self.members.ids().all(known), "the members are those of the configuration");
        if self.role == Role::Leader {
            assert!(self.lead.progress.len() == self.members.len(), "each follower has a progress");
        }
    }

    fn check_change(&mut self) {
        let before = self.watch;
        assert!(self.term >= before.term, "terms never fall");
        if self.term == before.term && before.vote.is_some() {
            assert!(self.vote == before.vote, "one vote per term");
        }
        assert!(self.log.commit >= before.commit, "commit never falls");
        assert!(self.log.applied >= before.applied, "applied never falls");
        if before.led && self.role == Role::Leader && self.term == before.term {
            let last = before.last;
            let kept = self.log.term_at(last.index) == Some(last.term);
            assert!(
                kept || last.index < self.log.base().index,
                "Leader Append-Only (thesis figure 3.2)"
            );
        }
        self.watch = Watch {
            term: self.term,
            vote: self.vote,
            commit: self.log.commit,
            applied: self.log.applied,
            last: self.log.last(),
            led: self.role == Role::Leader,
        };
    }
}
