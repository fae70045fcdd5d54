//! What the outside takes: polls, and the short forms that do one input and one poll.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::conf_change::ConfChange;
use crate::error::{ConfChangeError, ProposeError, ReadError, StepError, TransferError};
use crate::event::{Event, Fault};
use crate::ids::{LogId, NodeId};
use crate::message::Message;
use crate::raft::RaftCore;
use crate::ready::{Applied, ReadId, Ready, Receipt};
use crate::state::{HardState, Role};
use crate::storage::{Storage, StorageError};

impl<S: Storage> RaftCore<S> {
    /// Whether a poll has anything to hand out.
    #[must_use]
    #[inline]
    pub fn has_ready(&self) -> bool {
        !self.outbox.is_empty() || self.has_more_than_messages()
    }

    #[inline]
    fn has_more_than_messages(&self) -> bool {
        let queued = !self.events.is_empty() || self.reads.has_outcome(self.log.applied);
        queued
            || !self.stopped && (self.is_persist_due() || self.is_apply_due() || self.is_send_due())
    }

    #[inline]
    fn is_persist_due(&self) -> bool {
        let log_due = self.log.handed < self.log.last_index() || self.is_snapshot_due();
        self.persist.is_hard_due() || log_due
    }

    #[inline]
    fn is_apply_due(&self) -> bool {
        !self.fetching && !self.is_installing() && self.log.delivered < self.log.appliable()
    }

    #[inline]
    fn is_send_due(&self) -> bool {
        let lead = &self.lead;
        self.role == Role::Leader
            && (lead.sends_due
                || lead.heartbeat_due
                || self.reads.is_waiting() && self.is_established())
    }

    /// Takes everything that is to be done. `out` is cleared first and keeps its memory.
    pub fn poll_ready(&mut self, out: &mut Ready) {
        out.clear();
        self.fill_ready(out);
    }

    /// [`RaftCore::poll_ready`] into an output that is empty, if there is anything.
    #[inline(always)]
    pub(crate) fn take_ready(&mut self, out: &mut Ready) -> bool {
        if self.has_more_than_messages() {
            self.fill_ready(out);
            return true;
        }
        // All that follows from most batches of a follower is that it may say so.
        let has_messages = !self.outbox.is_empty();
        if has_messages {
            self.polled = true;
            hand_out(&mut self.outbox, &mut out.messages);
        }
        has_messages
    }

    /// Takes everything that is to be done into an output that is empty.
    fn fill_ready(&mut self, out: &mut Ready) {
        self.polled = true;
        if !self.stopped {
            if self.is_send_due() {
                self.start_read_round();
                self.send_heartbeats();
                self.send_appends();
            }
            // Reading the log may stop the replica: then nothing of it may be relied on.
            if self.is_apply_due() && !self.stopped {
                self.hand_out_committed(out);
            }
            if self.is_persist_due() && !self.stopped {
                self.hand_out_batch(out);
            }
        }
        if self.reads.has_outcome(self.log.applied) {
            self.reads.deliver(self.log.applied, &mut out.reads);
        }
        if !self.outbox.is_empty() {
            hand_out(&mut self.outbox, &mut out.messages);
        }
        if !self.events.is_empty() {
            hand_out(&mut self.events, &mut out.events);
        }
    }

    fn hand_out_committed(&mut self, out: &mut Ready) {
        let (from, to) = (self.log.delivered.next(), self.log.appliable());
        let bytes_max = self.config.committed_bytes_max;
        let entries = &mut out.committed_entries;
        match self.log.take_committed(&self.storage, from, to, bytes_max, entries) {
            Ok(()) => {
                if let Some(last) = entries.last() {
                    self.log.delivered = last.id.index;
                }
            }
            Err(StorageError::Pending) => {
                entries.clear();
                self.fetching = true;
                self.events.push(Event::Fetch { from, to });
            }
            Err(error) => {
                entries.clear();
                self.stop(Fault::Storage { index: from, error });
            }
        }
    }

    fn hand_out_batch(&mut self, out: &mut Ready) {
        self.log.take_unpersisted(&mut out.entries_to_persist);
        // Never beyond what is durable already: whatever of this batch survives a crash, the stored
        // commit index lies within the stored log.
        let commit = self.log.appliable();
        let hard = HardState { term: self.term, vote: self.vote, commit };
        let (seq, hard_state) = self.persist.hand_out(hard, self.log.handed, self.timers.now());
        if self.is_installing() {
            out.snapshot = self.hand_out_snapshot(seq);
        }
        out.hard_state = hard_state;
        out.receipt = Some(Receipt(seq));
    }

    fn polled(&mut self) -> Ready {
        let mut ready = Ready::default();
        self.poll_ready(&mut ready);
        ready
    }

    /// One tick passes.
    #[must_use]
    pub fn tick(&mut self) -> Ready {
        self.handle_time(self.timers.after(1));
        self.polled()
    }

    /// Takes a message of another member.
    ///
    /// # Errors
    /// As [`RaftCore::handle_message`].
    pub fn step(&mut self, from: NodeId, message: Message) -> Result<Ready, StepError> {
        self.handle_message(from, message)?;
        Ok(self.polled())
    }

    /// Proposes a command.
    ///
    /// # Errors
    /// As [`RaftCore::handle_proposal`].
    pub fn propose(&mut self, data: Bytes) -> Result<(LogId, Ready), ProposeError> {
        let id = self.handle_proposal(data)?;
        Ok((id, self.polled()))
    }

    /// Asks for a linearizable read.
    ///
    /// # Errors
    /// As [`RaftCore::handle_read`].
    pub fn read_index(&mut self, id: ReadId) -> Result<Ready, ReadError> {
        self.handle_read(id)?;
        Ok(self.polled())
    }

    /// Changes the members.
    ///
    /// # Errors
    /// As [`RaftCore::handle_conf_change`].
    pub fn propose_conf_change(
        &mut self,
        change: &ConfChange,
    ) -> Result<(LogId, Ready), ConfChangeError> {
        let id = self.handle_conf_change(change)?;
        Ok((id, self.polled()))
    }

    /// Hands leadership over.
    ///
    /// # Errors
    /// As [`RaftCore::handle_transfer`].
    pub fn transfer_leader(&mut self, to: NodeId) -> Result<Ready, TransferError> {
        self.handle_transfer(to)?;
        Ok(self.polled())
    }

    /// Starts an election.
    #[must_use]
    pub fn campaign(&mut self) -> Ready {
        self.handle_campaign();
        self.polled()
    }

    /// A batch is durable.
    #[must_use]
    pub fn persisted(&mut self, receipt: Receipt) -> Ready {
        self.handle_persisted(receipt);
        self.polled()
    }

    /// Entries are applied.
    #[must_use]
    pub fn advance(&mut self, applied: Applied) -> Ready {
        self.handle_applied(applied);
        self.polled()
    }
}

/// Moves a list into one that is empty. The lists themselves change hands, unless the other one is
/// larger: a host of many groups has one output for all of them, and what one group once needed
/// would stay with every other.
#[inline]
fn hand_out<T>(from: &mut Vec<T>, to: &mut Vec<T>) {
    if to.capacity() <= from.capacity() {
        core::mem::swap(from, to);
    } else {
        copy_out(from, to);
    }
}

#[inline(never)]
fn copy_out<T>(from: &mut Vec<T>, to: &mut Vec<T>) {
    to.append(from);
}

#[cfg(test)]
mod tests {
    use super::hand_out;
    use alloc::vec::Vec;

    #[test]
    fn who_hands_out_a_short_list_does_not_get_a_long_one() {
        let mut large = Vec::with_capacity(1000);
        for round in 0..3 {
            let mut small = Vec::with_capacity(4);
            small.push(round);
            hand_out(&mut small, &mut large);
            assert_eq!((&large[..], small.len()), (&[round][..], 0));
            assert!(small.capacity() < 1000 && large.capacity() >= 1000);
            large.clear();
        }
        let (mut from, mut to) = (alloc::vec![1, 2], Vec::new());
        hand_out(&mut from, &mut to);
        assert_eq!((from, to), (Vec::new(), alloc::vec![1, 2]));
    }
}
