//! Followers whose log starts too late (thesis chapter 5): what is sent, what is installed.

use alloc::boxed::Box;

use crate::conf_change::ConfHistory;
use crate::event::Fault;
use crate::ids::{Index, NodeId, Tick};
use crate::message::{AppendEntriesReply, AppendOutcome, InstallSnapshot, Message};
use crate::progress::ProgressState;
use crate::raft::RaftCore;
use crate::ready::PersistSeq;
#[cfg(debug_assertions)]
use crate::state::Role;
use crate::storage::{SnapshotMeta, Storage};
use crate::timer::Timer;

/// A snapshot on its way into this replica. Until it is durable nothing is applied, no entry is
/// persisted, and this replica does not campaign.
#[derive(Clone, Debug)]
pub(crate) struct Installing {
    pub(crate) snapshot: SnapshotMeta,
    /// The batch that holds it, once that was handed out.
    pub(crate) batch: Option<PersistSeq>,
}

/// What the host has to say about a snapshot on its way to a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotStatus {
    /// It is still moving: wait for it as long again.
    Moving,
    /// It will not arrive, or could not be installed. A new one is sent when the follower next
    /// shows that it is alive.
    Failed,
}

impl<S: Storage> RaftCore<S> {
    /// How the snapshot for this member is doing. That it arrived the member says itself. Does
    /// nothing unless one is on its way there.
    pub fn handle_snapshot_status(&mut self, to: NodeId, status: SnapshotStatus) {
        let until = self.timers.after(self.config.snapshot_timeout_ticks);
        let Some(progress) = self.progress_of(to) else {
            return;
        };
        if let ProgressState::Snapshot { last, .. } = progress.state {
            match status {
                SnapshotStatus::Moving => progress.state = ProgressState::Snapshot { last, until },
                SnapshotStatus::Failed => progress.probe(true),
            }
        }
        self.settle();
    }

    /// What was sent to this member lately is probably lost, as when a connection breaks: find out
    /// before sending much more. Does nothing unless this replica leads.
    pub fn handle_unreachable(&mut self, to: NodeId) {
        if let Some(progress) = self.progress_of(to) {
            if progress.state == ProgressState::Replicate {
                progress.probe(false);
                self.lead.sends_due = true;
            }
        }
        self.settle();
    }

    /// The storage has dropped the entries up to this index: they are applied, and in a snapshot.
    /// What was not applied is never dropped; an index beyond is cut.
    pub fn handle_compacted(&mut self, through: Index) {
        if self.stopped {
            return;
        }
        let base = through.min(self.log.applied);
        self.log.compact(base);
        self.conf.compact(base);
        self.settle();
    }

    /// Queues the newest snapshot for a follower whose next entry is gone. Returns whether there is
    /// one that helps.
    pub(crate) fn send_snapshot(&mut self, position: usize) -> bool {
        let (now, timeout) = (self.timers.now(), self.config.election_timeout_ticks);
        let progress = &mut self.lead.progress[position];
        // A snapshot is large: nobody gets one who may be dead.
        if !progress.is_active(now, timeout) {
            return false;
        }
        let snapshot = self.storage.snapshot_meta();
        let last = snapshot.last.index;
        if last < self.log.base().index || last <= progress.matched || last > self.log.commit {
            return false;
        }
        let until = self.timers.after(self.config.snapshot_timeout_ticks);
        progress.sent_snapshot(last, until);
        self.timers.set_earlier(Timer::Snapshot, until);
        let message = InstallSnapshot { term: self.term, snapshot: Box::new(snapshot) };
        self.outbox.push((self.members.id(position), Message::InstallSnapshot(message)));
        true
    }

    /// Gives up on snapshots that took too long; who needs one is probed, and gets another. An
    /// acknowledgement that comes later still counts.
    pub(crate) fn expire_snapshots(&mut self) {
        let now = self.timers.now();
        let mut next: Option<Tick> = None;
        for progress in &mut self.lead.progress {
            if let ProgressState::Snapshot { until, .. } = progress.state {
                if until <= now {
                    progress.probe(false);
                    self.lead.sends_due = true;
                } else {
                    next = Some(next.map_or(until, |n| n.min(until)));
                }
            }
        }
        if let Some(next) = next {
            self.timers.set(Timer::Snapshot, next);
        }
    }

    pub(crate) fn on_install_snapshot(&mut self, from: NodeId, m: InstallSnapshot) {
        let (last, commit) = (m.snapshot.last, self.log.commit);
        // One at a time: a newer one is asked for again if it is still needed.
        if !self.follow(from) || self.is_installing() && last.index > commit {
            return;
        }
        if last.index > commit {
            if self.log.term_at(last.index) == Some(last.term) {
                // The log has it all: nothing to install, and entries beyond it stay.
                self.advance_commit(last.index);
            } else {
                self.install(*m.snapshot);
            }
        } else if self.log.term_at(last.index).is_some_and(|term| term != last.term) {
            return self.stop(Fault::CommittedConflict { index: last.index });
        }
        let matched = last.index.max(commit);
        let outcome = AppendOutcome::Accepted { matched };
        let reply = AppendEntriesReply { term: self.term, outcome };
        self.send_when_durable(matched, from, Message::AppendEntriesReply(reply));
    }

    /// The log gives way to the snapshot: it becomes the empty log after it.
    fn install(&mut self, snapshot: SnapshotMeta) {
        let last = snapshot.last.index;
        let (log, events) = (&self.log, &mut self.events);
        let (delivered, commit) = (log.delivered, log.commit);
        let term_at = |i| log.term_at(i);
        self.proposed.covered(delivered, commit, snapshot.last, term_at, |e| events.push(e));
        self.log.install(snapshot.last);
        // Batches on their way vouch for nothing beyond what both logs share.
        self.persist.truncate(self.log.durable.next());
        self.conf = ConfHistory::new(last, snapshot.conf.clone());
        self.activate_conf();
        self.fetching = false;
        self.installing = Some(Installing { snapshot, batch: None });
    }

    /// A batch is durable: if it held the snapshot, the replica goes on from there.
    pub(crate) fn finish_install(&mut self, durable: PersistSeq) {
        let done = |i: &mut Installing| i.batch.is_some_and(|batch| batch <= durable);
        if let Some(Installing { snapshot, .. }) = self.installing.take_if(done) {
            self.log.installed(snapshot.last.index);
            self.reset_election_timer();
        }
    }

    /// The snapshot that goes into this batch, if one is due.
    pub(crate) fn hand_out_snapshot(&mut self, batch: PersistSeq) -> Option<SnapshotMeta> {
        let installing = self.installing.as_mut().filter(|i| i.batch.is_none())?;
        installing.batch = Some(batch);
        Some(installing.snapshot.clone())
    }

    /// Whether a snapshot is to be handed out: one that arrived, or one that a crash separated from
    /// its log.
    pub(crate) fn is_snapshot_due(&self) -> bool {
        self.installing.as_ref().is_some_and(|i| i.batch.is_none())
    }

    /// Whether entries and applying wait for a snapshot.
    pub(crate) fn is_installing(&self) -> bool {
        self.installing.is_some()
    }

    #[cfg(debug_assertions)]
    pub(crate) fn check_installing(&self) {
        let Some(installing) = &self.installing else {
            return;
        };
        let last = installing.snapshot.last.index;
        assert!(self.role == Role::Follower, "no campaign on a log that is not there yet");
        assert!(self.log.last_index() == last, "nothing goes past a snapshot that is pending");
        assert!(self.log.delivered <= last, "nothing is applied past it");
    }
}
