//! What a follower does with entries and heartbeats (thesis 3.5).

use crate::conf_change::ConfState;
use crate::entry::EntryKind;
use crate::event::Fault;
use crate::ids::{Index, NodeId};
use crate::message::{
    AppendEntries, AppendEntriesReply, AppendOutcome, Heartbeat, HeartbeatReply, Message,
};
use crate::raft::RaftCore;
use crate::state::Role;
use crate::storage::Storage;

impl<S: Storage> RaftCore<S> {
    /// Notes a sign of life of the leader of the current term. Returns whether to go on.
    pub(crate) fn follow(&mut self, from: NodeId) -> bool {
        if self.role == Role::Leader || self.leader.is_some_and(|leader| leader != from) {
            self.stop(Fault::TwoLeaders { term: self.term });
            return false;
        }
        if self.role != Role::Follower || self.leader.is_none() {
            self.become_follower(self.term, Some(from));
        } else {
            self.leader_heard = self.timers.now();
            self.reset_election_timer();
        }
        self.quiet_until = self.timers.after(self.config.election_timeout_ticks);
        true
    }

    pub(crate) fn on_append_entries(&mut self, from: NodeId, m: AppendEntries) {
        // Nothing goes past a snapshot that is on its way to the disk: what the leader sent before
        // it knew of the need is as good as lost.
        if !self.follow(from) || self.is_installing() {
            return;
        }
        let commit = self.log.commit;
        let prev = m.prev;
        let here = self.log.term_at(prev.index);
        if here != Some(prev.term) {
            if prev.index > commit {
                return self.reject(from, &m);
            }
            // At or below commit the logs are equal, unless there are two histories. Below the base
            // nothing is left to compare.
            if here.is_some() {
                return self.stop(Fault::CommittedConflict { index: prev.index });
            }
        }
        let end = Index(prev.index.0 + m.entries.len() as u64);
        if !self.take_entries(m.entries) {
            return;
        }
        // A delayed message that ends below commit is answered with commit: equal up to there.
        let matched = end.max(commit);
        self.advance_commit(m.commit.min(matched));
        let outcome = AppendOutcome::Accepted { matched };
        let reply = AppendEntriesReply { term: self.term, outcome };
        self.send_when_durable(matched, from, Message::AppendEntriesReply(reply));
    }

    /// Appends what the log lacks; the first entry that differs replaces the rest of the log. What
    /// is already there stays: a delayed message never shortens a log. Returns whether to go on.
    fn take_entries(&mut self, entries: alloc::vec::Vec<crate::entry::Entry>) -> bool {
        let (mut appending, mut conf_changed) = (false, false);
        for entry in entries {
            let index = entry.id.index;
            if !appending {
                let here = self.log.term_at(index);
                if here == Some(entry.id.term) {
                    continue;
                }
                if index <= self.log.commit {
                    if here.is_none() {
                        continue;
                    }
                    self.stop(Fault::CommittedConflict { index });
                    return false;
                }
                if here.is_some() {
                    assert!(self.role != Role::Leader, "Leader Append-Only (thesis figure 3.2)");
                    self.log.truncate(index);
                    self.persist.truncate(index);
                    conf_changed |= self.conf.truncate(index);
                }
                appending = true;
            }
            if entry.kind == EntryKind::ConfChange {
                // What cannot be read was refused before anything changed.
                let conf = ConfState::decode(&entry.data).unwrap_or_default();
                self.conf.push(index, conf);
                conf_changed = true;
            }
            self.log.append(entry);
        }
        if conf_changed {
            self.activate_conf();
        }
        true
    }

    fn reject(&mut self, from: NodeId, m: &AppendEntries) {
        let prev = m.prev;
        let outcome = AppendOutcome::Rejected {
            prev: prev.index,
            hint: self.log.last_at_or_below(prev.index, prev.term),
            last: self.log.last_index(),
        };
        let reply = AppendEntriesReply { term: self.term, outcome };
        self.send(from, Message::AppendEntriesReply(reply));
    }

    pub(crate) fn on_heartbeat(&mut self, from: NodeId, m: Heartbeat) {
        if !self.follow(from) {
            return;
        }
        let last = self.log.last_index();
        if m.commit > last {
            // The leader sends no more than what this replica acknowledged as durable.
            return self.stop(Fault::CommitBeyondLog { commit: m.commit, last });
        }
        self.advance_commit(m.commit);
        let reply = HeartbeatReply { term: self.term, round: m.round };
        self.send(from, Message::HeartbeatReply(reply));
    }

    /// Whether the election timer runs: on every voter that does not lead.
    #[cfg(debug_assertions)]
    pub(crate) fn waits_for_leader(&self) -> bool {
        self.timers.is_set(crate::timer::Timer::Election)
    }
}
