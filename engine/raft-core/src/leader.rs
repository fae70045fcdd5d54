//! What a leader does: it counts, it asks whether it still leads, it steps down (thesis 3.5, 3.6.2,
//! 6.2).

use alloc::vec::Vec;

use bytes::Bytes;

use crate::entry::EntryKind;
use crate::event::Event;
use crate::ids::{Index, NodeId, Tick};
use crate::lease::Lease;
use crate::message::{AppendEntriesReply, AppendOutcome, Heartbeat, HeartbeatReply, Message};
use crate::progress::Progress;
use crate::raft::RaftCore;
use crate::state::Role;
use crate::storage::Storage;
use crate::timer::Timer;
use crate::transfer::Transfer;

/// The state of one leadership; empty on everyone else.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leadership {
    /// One per member, in the order of the members. The own one is not used.
    pub(crate) progress: Vec<Progress>,
    /// The index of the entry that opened the term.
    pub(crate) start: Index,
    /// Payload proposed in this leadership and not yet committed.
    pub(crate) uncommitted_bytes: usize,
    /// The newest round of heartbeats that an answer confirms.
    pub(crate) round: u64,
    pub(crate) lease: Lease,
    pub(crate) transfer: Option<Transfer>,
    /// Something may have become sendable since the last poll.
    pub(crate) sends_due: bool,
    /// Heartbeats leave with the next poll.
    pub(crate) heartbeat_due: bool,
    /// Followers that do not know the commit index are told with the next poll.
    pub(crate) notice_due: bool,
}

impl<S: Storage> RaftCore<S> {
    pub(crate) fn become_leader(&mut self) {
        assert!(self.role == Role::Candidate, "only a candidate is elected (thesis 3.4)");
        let (last, now) = (self.log.last_index(), self.timers.now());
        self.role = Role::Leader;
        self.leader = Some(self.config.id);
        self.timers.stop_all();
        let progress = self.members.ids().map(|_| Progress::new(last, now)).collect();
        self.lead = Leadership { progress, start: last.next(), ..Leadership::default() };
        self.append_own(EntryKind::NoOp, Bytes::new());
        self.watch_peers();
    }

    /// Starts to watch over the others, if there are any.
    pub(crate) fn watch_peers(&mut self) {
        if !self.has_peers() {
            self.timers.stop(Timer::CheckQuorum);
            self.timers.stop(Timer::Heartbeat);
            return;
        }
        if self.config.check_quorum && !self.timers.is_set(Timer::CheckQuorum) {
            let timeout = self.config.election_timeout_ticks;
            self.timers.set(Timer::CheckQuorum, self.timers.after(timeout));
        }
        if !self.timers.is_set(Timer::Heartbeat) {
            let interval = self.config.heartbeat_interval_ticks;
            self.timers.set(Timer::Heartbeat, self.timers.after(interval));
        }
    }

    /// What this leader knows about a member.
    pub(crate) fn progress_of(&mut self, id: NodeId) -> Option<&mut Progress> {
        let position = self.members.position(id)?;
        self.lead.progress.get_mut(position)
    }

    /// Whether there is any member beside this replica.
    pub(crate) fn has_peers(&self) -> bool {
        self.members.len() > usize::from(self.position.is_some())
    }

    /// The largest value that a majority has reached, this replica's own being `own`.
    #[inline]
    pub(crate) fn reached(&self, own: u64, value: impl Fn(&Progress) -> u64) -> u64 {
        let (progress, me) = (&self.lead.progress, self.position);
        let value = |p: usize| if Some(p) == me { own } else { value(&progress[p]) };
        self.members.reached(value)
    }

    /// Whether this is a leader that has committed an entry of its own term: only then does its
    /// commit index cover everything committed before (thesis 6.4).
    pub(crate) fn is_established(&self) -> bool {
        self.role == Role::Leader && self.log.commit >= self.lead.start
    }

    /// Fires the timers of a leader.
    pub(crate) fn lead_on(&mut self) {
        if self.timers.fire(Timer::CheckQuorum) {
            if !self.hears_quorum() {
                return self.become_follower(self.term, None);
            }
            if self.has_hung_disk() {
                self.nudge_successor();
                return self.become_follower(self.term, None);
            }
        }
        if self.timers.fire(Timer::Transfer) {
            self.abort_transfer();
        }
        if self.timers.fire(Timer::Snapshot) {
            self.expire_snapshots();
        }
        if self.timers.fire(Timer::Heartbeat) {
            self.lead.heartbeat_due = true;
            self.lead.progress.iter_mut().for_each(|p| p.trusted = true);
            let interval = self.config.heartbeat_interval_ticks;
            self.timers.set(Timer::Heartbeat, self.timers.after(interval));
        }
        if self.timers.fire(Timer::CommitNotice) {
            self.lead.notice_due = true;
            self.lead.sends_due = true;
        }
    }

    /// Whether a quorum has answered within the election timeout. A leader that is cut off must not
    /// go on refusing clients and votes for ever (thesis 6.2).
    fn hears_quorum(&mut self) -> bool {
        let now = self.timers.now();
        let heard = self.reached(now.0, |p| p.heard.0);
        let until = heard.saturating_add(self.config.election_timeout_ticks);
        self.timers.set(Timer::CheckQuorum, Tick(until));
        until > now.0
    }

    /// Whether the own disk has been silent for two election timeouts. Others commit without it,
    /// but what it has not seen stays in memory and is not applied here: another leads better.
    fn has_hung_disk(&self) -> bool {
        let patience = 2 * self.config.election_timeout_ticks;
        let since = self.persist.waiting_since();
        since.is_some_and(|since| since.0.saturating_add(patience) <= self.timers.now().0)
    }

    pub(crate) fn on_append_reply(&mut self, position: usize, m: AppendEntriesReply) {
        if self.role != Role::Leader {
            return;
        }
        let now = self.timers.now();
        let progress = &mut self.lead.progress[position];
        progress.heard = now;
        match m.outcome {
            AppendOutcome::Accepted { matched } => {
                self.lead.sends_due = true;
                if progress.accepted(matched, self.log.base().index) {
                    self.hand_over();
                    if matched > self.log.commit {
                        self.count_commit();
                    }
                }
            }
            AppendOutcome::Rejected { prev, hint, .. } => {
                // Below the base nothing can be compared: there only a snapshot helps.
                let resume = if hint.index < self.log.base().index {
                    hint.index
                } else {
                    self.log.last_at_or_below(hint.index, hint.term).index
                };
                self.lead.sends_due |= progress.rejected(prev, resume);
            }
            AppendOutcome::Stale => {}
        }
    }

    pub(crate) fn on_heartbeat_reply(&mut self, position: usize, m: HeartbeatReply) {
        if self.role != Role::Leader {
            return;
        }
        let (now, last) = (self.timers.now(), self.log.last_index());
        let progress = &mut self.lead.progress[position];
        progress.heard = now;
        progress.round = progress.round.max(m.round);
        if progress.matched < last {
            progress.suspect_loss();
            self.lead.sends_due = true;
        }
        self.confirm_round();
    }

    /// Commits what a quorum has durably, if it is of the own term: an older entry on a quorum may
    /// still be replaced (thesis 3.6.2). The own disk is one voice among the others.
    #[inline]
    pub(crate) fn count_commit(&mut self) {
        let index = Index(self.reached(self.log.durable.0, |p| p.matched.0));
        if index > self.log.commit && self.log.term_at(index) == Some(self.term) {
            self.commit_own(index);
        }
    }

    /// Commits an entry of the own term that a quorum has.
    fn commit_own(&mut self, index: Index) {
        let old = self.log.commit;
        // An entry not yet committed is not yet applied, so it is still in memory.
        let first = old.next().max(self.lead.start);
        let freed = self.log.payload(first, index);
        self.lead.uncommitted_bytes = self.lead.uncommitted_bytes.saturating_sub(freed);
        self.advance_commit(index);
        if old < self.lead.start {
            self.events.push(Event::Established { term: self.term });
        }
        if self.has_peers() {
            // Entries carry the commit index to the followers; if none leaves, a message of its
            // own does, no earlier than the next tick so that a busy group pays nothing for it.
            self.timers.set_earlier(Timer::CommitNotice, self.timers.after(1));
        }
        self.finish_conf_change();
    }

    /// Queues one heartbeat per follower if it is time or a round of reads began.
    pub(crate) fn send_heartbeats(&mut self) {
        if self.role != Role::Leader || !core::mem::take(&mut self.lead.heartbeat_due) {
            return;
        }
        if self.config.lease_ticks > 0 {
            // Each round has its own number, so that an answer tells when its question left.
            self.lead.round += 1;
            self.lead.lease.sent(self.lead.round, self.timers.now());
        }
        for (position, to) in self.members.ids().enumerate() {
            if Some(position) == self.position {
                continue;
            }
            let progress = &mut self.lead.progress[position];
            // No more than the follower has: it could not tell what it lacks (thesis 3.5).
            let commit = progress.matched.min(self.log.commit);
            progress.told_commit = progress.told_commit.max(commit);
            let heartbeat = Heartbeat { term: self.term, commit, round: self.lead.round };
            self.outbox.push((to, Message::Heartbeat(heartbeat)));
        }
    }
}
