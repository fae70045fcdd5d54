//! What a follower does with entries and heartbeats (thesis 3.5).

use crate::conf_change::ConfState;
use crate::entry::{Entry, EntryKind};
use crate::event::Fault;
use crate::ids::{Index, NodeId};
use crate::log::Entries;
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
        }
        self.quiet_until = self.timers.after(self.config.election_timeout_ticks);
        true
    }

    #[inline]
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
        if !self.take_entries(prev.index, m.entries) {
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
    fn take_entries(&mut self, prev: Index, entries: Entries) -> bool {
        let lacking = if prev == self.log.last_index() { Some(0) } else { self.compare(&entries) };
        let Some(from) = lacking else {
            return false;
        };
        let lacking = if from == 0 { entries } else { entries.part(from, entries.len()) };
        let Some(first) = lacking.first().map(|e| e.id.index) else {
            return true;
        };
        let mut conf_changed = false;
        if first <= self.log.last_index() {
            assert!(self.role != Role::Leader, "Leader Append-Only (thesis figure 3.2)");
            self.log.truncate(first);
            self.persist.truncate(first);
            conf_changed = self.conf.truncate(first);
        }
        if lacking.may_have_conf() {
            for entry in lacking.iter().filter(|e| e.kind == EntryKind::ConfChange) {
                // What cannot be read was refused before anything changed.
                let conf = ConfState::decode(&entry.data).unwrap_or_default();
                self.conf.push(entry.id.index, conf);
                conf_changed = true;
            }
        }
        self.log.append_all(lacking);
        if conf_changed {
            self.activate_conf();
        }
        true
    }

    /// How many of the entries the log has already. `None` if they contradict what is committed
    /// here: then the replica has stopped.
    fn compare(&mut self, entries: &[Entry]) -> Option<usize> {
        for (place, entry) in entries.iter().enumerate() {
            let index = entry.id.index;
            let here = self.log.term_at(index);
            if here == Some(entry.id.term) {
                continue;
            }
            // Below the base nothing is left to compare: it is committed, and equal.
            if index <= self.log.commit && here.is_none() {
                continue;
            }
            if index <= self.log.commit {
                self.stop(Fault::CommittedConflict { index });
                return None;
            }
            return Some(place);
        }
        Some(entries.len())
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
