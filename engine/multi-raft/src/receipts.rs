//! One sequence of receipts for all groups of a shard.

use std::collections::VecDeque;

use raft_core::PersistSeq;

/// The claim check of one poll's batch. Only a poll makes one; it cannot be copied. Handing it back
/// says: the hard states, snapshots and entries of this batch **and of every earlier one** are
/// durable.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "messages that wait for this batch leave only after the receipt is handed back"]
pub struct Receipt(pub(crate) PersistSeq);

impl Receipt {
    /// The number of the batch, rising by one with each.
    #[must_use]
    pub const fn seq(&self) -> PersistSeq {
        self.0
    }
}

/// The groups' own receipts in one batch.
type Batch = Vec<(u32, raft_core::Receipt)>;

/// Batches in flight, oldest first, and memory for the next ones.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    issued: PersistSeq,
    in_flight: VecDeque<Batch>,
    open: Batch,
    spare: Vec<Batch>,
}

impl Receipts {
    /// Adds a group's receipt to the batch being gathered.
    pub(crate) fn add(&mut self, slot: u32, receipt: raft_core::Receipt) {
        self.open.push((slot, receipt));
    }

    /// Closes the batch being gathered, if there is anything in it.
    pub(crate) fn issue(&mut self) -> Option<Receipt> {
        if self.open.is_empty() {
            return None;
        }
        let next = self.spare.pop().unwrap_or_default();
        self.in_flight.push_back(std::mem::replace(&mut self.open, next));
        self.issued = PersistSeq(self.issued.0 + 1);
        Some(Receipt(self.issued))
    }

    /// The oldest batch that `receipt` vouches for.
    pub(crate) fn next_durable(&mut self, receipt: &Receipt) -> Option<Batch> {
        let oldest = self.issued.0 - self.in_flight.len() as u64 + 1;
        if oldest <= receipt.seq().0 { self.in_flight.pop_front() } else { None }
    }

    /// Keeps the memory of a batch.
    pub(crate) fn recycle(&mut self, mut batch: Batch) {
        batch.clear();
        self.spare.push(batch);
    }
}
