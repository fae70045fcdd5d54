//! Which entries leave for which follower (thesis 3.5, 10.2.2).

use crate::event::{Event, Fault};
use crate::ids::{Index, LogId};
use crate::log::Entries;
use crate::message::{AppendEntries, Message};
use crate::progress::ProgressState;
use crate::raft::RaftCore;
use crate::state::Role;
use crate::storage::{Storage, StorageError};

impl<S: Storage> RaftCore<S> {
    /// Queues what every follower may be sent now. Called once per poll, so that any number of
    /// proposals between two polls leaves as one message per follower.
    pub(crate) fn send_appends(&mut self) {
        if self.role != Role::Leader || !core::mem::take(&mut self.lead.sends_due) {
            return;
        }
        let notice = core::mem::take(&mut self.lead.notice_due);
        for position in 0..self.lead.progress.len() {
            if Some(position) != self.position && !self.stopped {
                self.send_appends_to(position, notice);
            }
        }
    }

    fn send_appends_to(&mut self, position: usize, notice: bool) {
        let progress = &mut self.lead.progress[position];
        let follows = progress.state == ProgressState::Replicate;
        let mut wanted = core::mem::take(&mut progress.poke)
            || notice && follows && progress.told_commit < self.log.commit;
        loop {
            let progress = &self.lead.progress[position];
            let open = progress.may_send(&self.config) && !progress.fetching;
            let more = open && progress.next <= self.log.last_index();
            // An empty message finds out what was lost, or carries the commit index.
            if !more && !wanted || !open && !follows {
                return;
            }
            wanted = false;
            if !self.send_append(position, more) || !more {
                return;
            }
            if self.lead.progress[position].next > self.log.last_index() {
                return;
            }
        }
    }

    /// Queues one AppendEntries, with entries or empty. Returns whether it could.
    fn send_append(&mut self, position: usize, with_entries: bool) -> bool {
        let next = self.lead.progress[position].next;
        let prev = next.prev();
        if with_entries {
            if let Some(message) = self.same_again(prev) {
                self.queue_append(position, message);
                return true;
            }
        }
        // Without the term of the entry before there is nothing a follower could compare.
        let Some(prev_term) = self.log.term_at(prev) else {
            return self.send_snapshot(position);
        };
        let mut entries = Entries::default();
        if with_entries {
            let (last, bytes_max) = (self.log.last_index(), self.config.message_bytes_max);
            match self.log.read(&self.storage, next, last, bytes_max) {
                Ok(read) => entries = read,
                Err(StorageError::Pending) => {
                    self.lead.progress[position].fetching = true;
                    self.events.push(Event::Fetch { from: next, to: last });
                    return false;
                }
                // Dropped from the storage, and the core was not told.
                Err(StorageError::Compacted) if next <= self.log.applied => {
                    return self.send_snapshot(position);
                }
                Err(error) => {
                    self.stop(Fault::Storage { index: next, error });
                    return false;
                }
            }
        }
        let prev = LogId::new(prev_term, prev);
        let (term, commit) = (self.term, self.log.commit);
        self.queue_append(position, AppendEntries { term, prev, commit, entries });
        true
    }

    /// What the follower before was sent, if this one lacks the same: between two polls nothing
    /// waits here, so it was just made.
    #[inline]
    fn same_again(&self, prev: Index) -> Option<AppendEntries> {
        match self.outbox.last() {
            Some((_, Message::AppendEntries(m)))
                if m.prev.index == prev && !m.entries.is_empty() =>
            {
                Some(m.clone())
            }
            _ => None,
        }
    }

    #[inline]
    fn queue_append(&mut self, position: usize, message: AppendEntries) {
        let progress = &mut self.lead.progress[position];
        let last = Index(message.prev.index.0 + message.entries.len() as u64);
        let with_entries = !message.entries.is_empty();
        progress.sent(with_entries.then_some(last), message.entries.payload_bytes());
        progress.told_commit = message.commit;
        self.outbox.push((self.members.id(position), Message::AppendEntries(message)));
    }
}
