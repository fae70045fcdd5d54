//! What the host has done: batches that are durable, entries that are applied.

use crate::event::Fault;
use crate::ids::Index;
use crate::persist::Gated;
use crate::raft::RaftCore;
use crate::ready::{Applied, PersistSeq, Ready, Receipt};
use crate::state::Role;
use crate::storage::Storage;

impl<S: Storage> RaftCore<S> {
    /// The batch of this receipt, and every earlier one, is durable.
    pub fn handle_persisted(&mut self, receipt: Receipt) {
        self.handle_persisted_through(receipt.seq());
    }

    /// Every batch up to this number is durable: [`RaftCore::handle_persisted`] for a host that
    /// keeps the receipts of many groups and knows them by their numbers.
    ///
    /// # Panics
    /// When no batch of this number was handed out: the host claims what it cannot know.
    pub fn handle_persisted_through(&mut self, seq: PersistSeq) {
        self.note_persisted(seq);
        self.evict();
        self.settle();
    }

    /// The state machine has applied everything up to this index.
    ///
    /// Before the first poll this may be the claim of a durable state machine after a restart: what
    /// it has applied was committed. Any other index beyond what was handed out, and any beyond the
    /// durable log, stops the replica: the state machine is not that of this log.
    pub fn handle_applied(&mut self, applied: Applied) {
        self.note_applied(applied.0);
        self.evict();
        self.settle();
    }

    /// Everything that the last poll asked for was done: its batch is durable, its entries are
    /// applied, its messages, reads and events were taken. Puts what follows from that into `ready`
    /// in its place, and says whether there is anything. The first time it is handed an empty one:
    /// `while core.handle_done(&mut ready)` is all of the loop.
    ///
    /// [`RaftCore::handle_persisted`], [`RaftCore::handle_applied`] and [`RaftCore::poll_ready`] in
    /// one, for a host whose disk and state machine are done by the time it comes back. A host that
    /// has given the receipt away says by this only that the entries are applied.
    #[inline(always)]
    pub fn handle_done(&mut self, ready: &mut Ready) -> bool {
        if ready.receipt.is_some() || !ready.committed_entries.is_empty() {
            self.finish(ready);
        } else {
            ready.clear();
        }
        self.take_ready(ready)
    }

    #[inline(never)]
    fn finish(&mut self, ready: &mut Ready) {
        let receipt = ready.receipt.take();
        let applied = ready.committed_entries.last().map(|e| e.id.index);
        // First, so that nobody else looks at entries that are dropped: their memory goes round.
        ready.clear();
        if let Some(receipt) = receipt {
            self.note_persisted(receipt.seq());
        }
        if let Some(applied) = applied {
            self.note_applied(applied);
        }
        self.evict();
        self.settle();
    }

    #[inline]
    fn note_persisted(&mut self, seq: PersistSeq) {
        assert!(seq <= self.persist.issued(), "a receipt is for a batch that was handed out");
        if self.stopped {
            return;
        }
        let durable = self.persist.confirm(seq);
        if self.is_installing() {
            self.finish_install(seq);
        }
        self.log.durable = self.log.durable.max(durable);
        while let Some(gated) = self.persist.open_gate() {
            match gated {
                Gated::Message(to, message) => self.outbox.push((to, message)),
                Gated::OwnVote(term) => self.own_vote_durable(term),
            }
        }
        if self.role == Role::Leader && self.log.durable > self.log.commit {
            self.count_commit();
        }
    }

    #[inline]
    fn note_applied(&mut self, index: Index) {
        if self.stopped || index <= self.log.applied {
            return;
        }
        let delivered = self.log.delivered;
        if index > self.log.durable {
            self.stop(Fault::CommitBeyondLog { commit: index, last: self.log.durable });
        } else if index > delivered && self.polled {
            self.stop(Fault::AppliedUnasked { applied: index, delivered });
        } else {
            self.advance_commit(index);
            self.log.delivered = delivered.max(index);
            self.log.applied = index;
        }
    }

    fn evict(&mut self) {
        self.log.evict(self.role == Role::Leader);
    }
}
