//! What an embedder replicates: the state machine contract.

use bytes::Bytes;
use raft_core::LogId;

/// A replicated state machine: one instance per group and node, living on one shard for its whole
/// life.
///
/// It need not be `Send`: the shard's thread makes it, calls it and drops it.
///
/// # Determinism
/// `apply` sees the same entries in the same order on every replica and must come to the same state
/// and the same replies everywhere. It reads no clock and no random source; what it needs of the
/// outside world must be in the entry. `read` must not change what later `apply` calls do.
pub trait StateMachine: 'static {
    /// Applies committed entries in order and gives one reply each, by calling `batch.next_entry()`
    /// until it is exhausted.
    fn apply(&mut self, batch: &mut ApplyBatch<'_>);

    /// Answers a query from the current state by appending to `reply`. Called when the answer is
    /// linearizable: leadership was confirmed after the query came in.
    fn read(&mut self, query: &[u8], reply: &mut Vec<u8>);

    /// A checksum of the whole state: equal on all replicas at equal log positions.
    fn digest(&self) -> u64;

    /// Begins a snapshot of the state as it is now; one that was begun before is given up. What is
    /// applied from here on must not show in it. False if this state machine takes none: then its
    /// log is kept from the first entry on, and replayed at every start.
    ///
    /// Must be quick: pin the state, or copy a part of it before that part is changed.
    fn begin_snapshot(&mut self) -> bool {
        false
    }

    /// Appends the next piece of the snapshot begun last, about so many bytes of it and at most 64
    /// MiB. Whether there is more. Called once per turn, with other calls in between, until there
    /// is no more.
    fn snapshot_piece(&mut self, bytes: usize, piece: &mut Vec<u8>) -> bool {
        let _ = (bytes, piece);
        false
    }

    /// Takes in the next piece of a snapshot, on a state machine that was just made: pieces come as
    /// they were given, all of them, in order, before anything else. One that fails is dropped, so
    /// the state that was there before is never half replaced.
    ///
    /// # Errors
    /// [`RestoreError`] when the piece is not one of this state machine's.
    fn restore_piece(&mut self, piece: &[u8]) -> Result<(), RestoreError> {
        let _ = piece;
        Err(RestoreError("this state machine takes no snapshots"))
    }
}

/// Why a snapshot cannot be restored. The state machine is of no further use; the state that was
/// there before is untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the snapshot cannot be restored: {0}")]
pub struct RestoreError(pub &'static str);

/// The entries of one `apply` call, and the place for their replies.
#[derive(Debug)]
pub struct ApplyBatch<'a> {
    entries: &'a [(LogId, Bytes)],
    next: usize,
    replies: &'a mut Replies,
}

/// The replies of one `apply` call, back to back in one buffer that is used again.
#[derive(Debug, Default)]
pub struct Replies {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Replies {
    /// Forgets the content and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// The reply to the entry at this place in the batch; empty if the state machine gave none.
    #[must_use]
    pub fn reply(&self, place: usize) -> &[u8] {
        let start = match place.checked_sub(1) {
            Some(before) => self.ends.get(before).copied().unwrap_or(self.bytes.len()),
            None => 0,
        };
        let end = self.ends.get(place).copied().unwrap_or(self.bytes.len());
        self.bytes.get(start..end).unwrap_or_default()
    }
}

impl<'a> ApplyBatch<'a> {
    /// A batch over these entries, whose replies go to `replies` (cleared first).
    pub fn new(entries: &'a [(LogId, Bytes)], replies: &'a mut Replies) -> Self {
        replies.clear();
        Self { entries, next: 0, replies }
    }

    /// How many entries are left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.entries.len() - self.next
    }

    /// The next entry, and the buffer to append its reply to. The reply ends when `next_entry` is
    /// called again.
    pub fn next_entry(&mut self) -> Option<(LogId, &'a Bytes, &mut Vec<u8>)> {
        if self.next > 0 && self.replies.ends.len() < self.next {
            self.replies.ends.push(self.replies.bytes.len());
        }
        let (id, data) = self.entries.get(self.next)?;
        self.next += 1;
        Some((*id, data, &mut self.replies.bytes))
    }
}
