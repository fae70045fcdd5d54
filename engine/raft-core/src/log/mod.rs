//! The log of a replica: what is in memory, what is durable, what is committed, what is applied.

mod entries;
mod tail;
mod terms;

use alloc::vec::Vec;

use crate::entry::Entry;
use crate::error::BootError;
use crate::ids::{Index, LogId, Term};
use crate::storage::{Storage, StorageError};
pub use entries::{Entries, EntryParts};
use tail::Tail;
use terms::TermRuns;

/// Indices stay below this, so that sums of them cannot overflow whatever a peer claims.
pub(crate) const INDEX_END: u64 = 1 << 62;

/// The log. `applied <= delivered <= min(commit, durable)` and `commit, durable, handed <= last`.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    terms: TermRuns,
    tail: Tail,
    cache_bytes_max: usize,
    /// The last index handed out to be persisted.
    pub(crate) handed: Index,
    /// The last index known to be durable here.
    pub(crate) durable: Index,
    /// The last index known to be committed.
    pub(crate) commit: Index,
    /// The last index handed out to be applied.
    pub(crate) delivered: Index,
    /// The last index applied.
    pub(crate) applied: Index,
}

impl Log {
    /// Reads what the storage has. Says also whether a crash came between a snapshot and its log:
    /// the stored log is then another, and has to give way.
    pub(crate) fn load<S: Storage>(
        storage: &S,
        commit: Index,
        cache_bytes_max: usize,
    ) -> Result<(Self, bool), BootError> {
        let mut terms = TermRuns::load(storage)?;
        let snapshot = storage.snapshot_meta().last;
        let has_snapshot = snapshot.index > Index(0);
        if has_snapshot && !storage.snapshot_meta().is_sound() {
            return Err(BootError::Storage(StorageError::Corrupt));
        }
        if snapshot.index < terms.base().index {
            let first = terms.base().index.next();
            return Err(BootError::SnapshotGap { snapshot: snapshot.index, first });
        }
        let torn = has_snapshot && terms.term_at(snapshot.index) != Some(snapshot.term);
        if torn {
            terms = TermRuns::new(snapshot);
        }
        let last = terms.last().index;
        let applied = terms.base().index.max(snapshot.index);
        let commit = commit.max(applied);
        if commit > last {
            return Err(BootError::CommitBeyondLog { commit, last });
        }
        let log = Self {
            tail: Tail::new(last.next()),
            terms,
            cache_bytes_max,
            handed: last,
            durable: last,
            commit,
            delivered: applied,
            applied,
        };
        Ok((log, torn))
    }

    pub(crate) fn last(&self) -> LogId {
        self.terms.last()
    }

    #[inline]
    pub(crate) fn last_index(&self) -> Index {
        self.terms.last_index()
    }

    pub(crate) fn base(&self) -> LogId {
        self.terms.base()
    }

    /// The term at an index from the base to the end, `None` elsewhere. Never asks the storage.
    #[inline]
    pub(crate) fn term_at(&self, index: Index) -> Option<Term> {
        self.terms.term_at(index)
    }

    /// See [`TermRuns::last_at_or_below`].
    pub(crate) fn last_at_or_below(&self, index: Index, term: Term) -> LogId {
        self.terms.last_at_or_below(index, term)
    }

    #[inline(always)]
    pub(crate) fn append(&mut self, entry: Entry) {
        self.terms.push(entry.id);
        self.tail.push(entry);
    }

    /// Appends entries that came together.
    #[inline]
    pub(crate) fn append_all(&mut self, entries: Entries) {
        self.terms.push_all(&entries);
        self.tail.push_all(entries);
    }

    /// Drops `from` and everything after it. What was durable of it no longer counts: the bytes are
    /// on disk, but they are not this log's any more.
    pub(crate) fn truncate(&mut self, from: Index) {
        assert!(from > self.commit, "a committed entry is never truncated (State Machine Safety)");
        self.terms.truncate(from);
        self.tail.truncate(from);
        self.handed = self.handed.min(from.prev());
        self.durable = self.durable.min(from.prev());
    }

    /// Becomes the empty log after a snapshot. What is durable of it no longer counts, beyond what
    /// both share.
    pub(crate) fn install(&mut self, last: LogId) {
        assert!(last.index > self.commit, "a snapshot never takes back what is committed");
        self.terms = TermRuns::new(last);
        self.tail = Tail::new(last.index.next());
        self.durable = self.durable.min(self.commit);
        self.handed = self.durable;
        self.commit = last.index;
    }

    /// The snapshot that the log goes on from is durable.
    pub(crate) fn installed(&mut self, last: Index) {
        self.durable = self.durable.max(last);
        self.delivered = self.delivered.max(last);
        self.applied = self.applied.max(last);
    }

    /// Entries up to `base`, which are applied, are gone from the storage.
    pub(crate) fn compact(&mut self, base: Index) {
        self.terms.compact(base);
        self.tail.evict(base, 0);
    }

    /// What the entries in memory take, in bytes.
    pub(crate) const fn held_bytes(&self) -> usize {
        self.tail.bytes()
    }

    /// The payload of the entries `from..=to` that are in memory.
    pub(crate) fn payload(&mut self, from: Index, to: Index) -> usize {
        self.tail.payload(from, to)
    }

    /// Entries in memory that are durable and applied are dropped, beyond what is kept for
    /// followers that lag.
    pub(crate) fn evict(&mut self, leads: bool) {
        let kept = if leads { self.cache_bytes_max } else { 0 };
        self.tail.evict(self.applied.min(self.durable), kept);
    }

    /// The last index that may be applied: committed, and durable here.
    pub(crate) fn appliable(&self) -> Index {
        self.commit.min(self.durable)
    }

    /// Hands out what was not handed out to be persisted yet. It is always in memory.
    pub(crate) fn take_unpersisted(&mut self, out: &mut EntryParts) {
        let last = self.last_index();
        if self.handed < last && self.handed.next() >= self.tail.first() {
            self.tail.share(self.handed.next(), last, usize::MAX, out);
        }
        self.handed = last;
    }

    /// Hands out entries to apply from `from` on (to `to` at most, and at least one), as many as
    /// fit into `bytes_max`.
    ///
    /// # Errors
    /// As [`Log::read`].
    pub(crate) fn take_committed<S: Storage>(
        &mut self,
        storage: &S,
        from: Index,
        to: Index,
        bytes_max: usize,
        out: &mut EntryParts,
    ) -> Result<(), StorageError> {
        if from >= self.tail.first() {
            self.tail.share(from, to, bytes_max, out);
        } else {
            out.push(self.read(storage, from, to, bytes_max)?);
        }
        Ok(())
    }

    /// Entries from `from` (to `to` at most, and at least one), as many as come together and fit
    /// into `bytes_max`: from memory, or from the storage what is no longer there.
    ///
    /// # Errors
    /// What the storage says; `Corrupt` also when its entries are not those of this log.
    pub(crate) fn read<S: Storage>(
        &mut self,
        storage: &S,
        from: Index,
        to: Index,
        bytes_max: usize,
    ) -> Result<Entries, StorageError> {
        if from >= self.tail.first() {
            return Ok(self.tail.read(from, to, bytes_max));
        }
        self.fetch(storage, from, to, bytes_max)
    }

    fn fetch<S: Storage>(
        &self,
        storage: &S,
        from: Index,
        to: Index,
        bytes_max: usize,
    ) -> Result<Entries, StorageError> {
        if from <= self.base().index {
            return Err(StorageError::Compacted);
        }
        // What is durable is there to be read, and comes in one piece, though some of it may be
        // held.
        let end = to.next().min(self.tail.first().max(self.durable.next()));
        let mut entries = Vec::new();
        storage.entries(from, end, bytes_max, &mut entries)?;
        self.verify(from, end, &entries)?;
        Ok(entries.into())
    }

    fn verify(&self, from: Index, end: Index, entries: &[Entry]) -> Result<(), StorageError> {
        let fits = !entries.is_empty() && entries.len() as u64 <= end.0 - from.0;
        let same = entries.iter().zip(from.0..).all(|(entry, index)| {
            entry.id.index == Index(index) && self.term_at(Index(index)) == Some(entry.id.term)
        });
        if fits && same { Ok(()) } else { Err(StorageError::Corrupt) }
    }
}
