//! The durable log of one group: where its entries lie, in chunks of eight bytes an entry.

use std::collections::{BTreeSet, VecDeque};

use raft_core::{EntryKind, HardState, Index, LogId, Term};

use super::Place;
use super::usage::Usage;
use crate::op::{Mark, NUMBER_END};
use crate::record::GroupState;

/// Entries of one chunk.
const CHUNK: usize = 256;

/// How far a group has been appended, with what is not durable yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Appended {
    pub(super) first: Index,
    pub(super) next: Index,
    /// Nothing was appended, or only what its deletion took away.
    pub(super) gone: bool,
}

/// What a checkpoint and the records before it say of a group. `places` and `terms` are those of
/// all its entries.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) state: GroupState,
    pub(crate) places: Vec<u64>,
    pub(crate) terms: Vec<u64>,
    pub(crate) confs: BTreeSet<u64>,
}

/// The durable log of one group, and how far it has been appended.
#[derive(Debug)]
pub struct GroupLog {
    pub(super) hard: HardState,
    first: u64,
    /// Full chunks but the first and the last.
    places: VecDeque<Vec<u64>>,
    /// Places at the start of the first chunk that are purged.
    skip: usize,
    len: usize,
    /// First index and term of each run of equal terms.
    terms: Vec<(u64, u64)>,
    /// The entries that are [`EntryKind::ConfChange`], in ascending order.
    confs: Vec<u64>,
    /// The term of the entry before the first; zero when nobody knows.
    purged_term: u64,
    pub(super) appended: Appended,
    /// The newest append that replaces entries or deletes the group. A purge does no harm to a copy
    /// behind it: what is below the first index stays there.
    pub(super) changed: Mark,
}

impl Default for GroupLog {
    /// An empty log that starts at index one.
    fn default() -> Self {
        Self {
            hard: HardState::default(),
            first: 1,
            places: VecDeque::new(),
            skip: 0,
            len: 0,
            terms: Vec::new(),
            confs: Vec::new(),
            purged_term: 0,
            appended: Appended { first: Index(1), next: Index(1), gone: true },
            changed: Mark(0),
        }
    }
}

impl GroupLog {
    /// The log that recovery has put together.
    pub(super) fn restored(found: &Restored, usage: &mut Usage) -> Self {
        let mut log = Self {
            hard: found.state.hard_state(),
            first: found.state.first_index,
            len: found.places.len(),
            confs: found.confs.iter().copied().collect(),
            purged_term: found.state.purged_term,
            ..Self::default()
        };
        log.places = found.places.chunks(CHUNK).map(<[u64]>::to_vec).collect();
        found.places.iter().for_each(|&place| usage.add(Place(place)));
        for (index, &term) in (log.first..).zip(&found.terms) {
            if log.terms.last().is_none_or(|&(_, last)| last != term) {
                log.terms.push((index, term));
            }
        }
        log
    }

    /// What a checkpoint says of this log.
    pub(crate) fn state(&self) -> GroupState {
        let state = GroupState::new(self.hard, self.first(), self.last());
        GroupState { purged_term: self.purged_term, ..state }
    }

    pub(super) fn is_blank(&self) -> bool {
        self.state() == Self::default().state()
    }

    /// Term, vote and commit.
    #[must_use]
    pub const fn hard_state(&self) -> HardState {
        self.hard
    }

    /// The first index; one past the last when the log is empty.
    #[must_use]
    pub const fn first(&self) -> Index {
        Index(self.first)
    }

    /// The last index; one before the first when the log is empty.
    #[must_use]
    pub const fn last(&self) -> Index {
        Index(self.first + self.len as u64 - 1)
    }

    /// The last entry. When the log is empty the one before its first: what a snapshot holds, or
    /// term zero when nothing is known of it.
    #[must_use]
    pub fn last_id(&self) -> LogId {
        let term = if self.len == 0 { self.purged_term() } else { self.term(self.last()) };
        LogId::new(term.unwrap_or_default(), self.last())
    }

    /// The term of the entry before the first; `None` when nothing is known of it.
    #[must_use]
    pub fn purged_term(&self) -> Option<Term> {
        (self.purged_term != 0).then_some(Term(self.purged_term))
    }

    /// Where the entry at `index` lies.
    #[must_use]
    pub fn place(&self, index: Index) -> Option<Place> {
        let i = self.skip + usize::try_from(index.0.checked_sub(self.first)?).ok()?;
        self.places.get(i / CHUNK)?.get(i % CHUNK).copied().map(Place)
    }

    /// The term of the entry at `index`.
    #[must_use]
    pub fn term(&self, index: Index) -> Option<Term> {
        if self.len == 0 || index < self.first() || index > self.last() {
            return None;
        }
        let run = self.terms.partition_point(|&(first, _)| first <= index.0).checked_sub(1)?;
        self.terms.get(run).map(|&(_, term)| Term(term))
    }

    /// The entries from `from` on that change the configuration, in ascending order.
    pub fn confs(&self, from: Index) -> impl ExactSizeIterator<Item = Index> + '_ {
        let before = self.confs.partition_point(|&index| index < from.0);
        self.confs[before..].iter().copied().map(Index)
    }

    /// Memory this log takes outside of itself, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        let places: usize = self.places.iter().map(Vec::capacity).sum();
        (places + self.confs.capacity()) * size_of::<u64>()
            + self.terms.capacity() * size_of::<(u64, u64)>()
            + self.places.capacity() * size_of::<Vec<u64>>()
    }

    /// Takes in an entry; it replaces what is there from its index on.
    pub(super) fn push(
        &mut self,
        id: LogId,
        kind: EntryKind,
        place: Place,
        usage: &mut Usage,
    ) -> Result<(), Index> {
        let index = id.index.0;
        let due = self.last().next();
        // Only a log of which nothing is known may begin anywhere.
        let unborn = self.len == 0 && self.first == 1;
        if !(1..NUMBER_END).contains(&index) || index > due.0 && !unborn {
            return Err(due);
        }
        if unborn || index < self.first {
            self.restart(index, 0, usage);
        } else {
            self.truncate((index - self.first) as usize, usage);
        }
        if (self.skip + self.len) % CHUNK == 0 {
            // Small groups grow as they go, large ones take a chunk at once.
            let room = if self.places.is_empty() { 0 } else { CHUNK };
            self.places.push_back(Vec::with_capacity(room));
        }
        if let Some(chunk) = self.places.back_mut() {
            chunk.push(place.0);
            usage.add(place);
        }
        self.len += 1;
        if self.terms.last().is_none_or(|&(_, term)| term != id.term.0) {
            self.terms.push((index, id.term.0));
        }
        if kind == EntryKind::ConfChange {
            self.confs.push(index);
        }
        Ok(())
    }

    /// Drops all but the first `len` entries.
    fn truncate(&mut self, len: usize, usage: &mut Usage) {
        while self.len > len {
            let Some(chunk) = self.places.back_mut() else { break };
            if let Some(place) = chunk.pop() {
                usage.remove(Place(place));
                self.len -= 1;
            }
            if chunk.is_empty() {
                self.places.pop_back();
            }
        }
        if self.len == 0 {
            // The run of the first entry may begin before it, and what comes next before the run.
            self.terms.clear();
            self.confs.clear();
            self.places.clear();
            self.skip = 0;
            return;
        }
        let end = self.first + self.len as u64;
        let runs = self.terms.partition_point(|&(first, _)| first < end);
        self.terms.truncate(runs);
        let confs = self.confs.partition_point(|&index| index < end);
        self.confs.truncate(confs);
    }

    /// An entry that is there now lies at another place; any other one is of no interest.
    pub(super) fn relocate(&mut self, id: LogId, place: Place, usage: &mut Usage) {
        if self.term(id.index) != Some(id.term) {
            return;
        }
        let i = self.skip + (id.index.0 - self.first) as usize;
        let slot = self.places.get_mut(i / CHUNK).and_then(|chunk| chunk.get_mut(i % CHUNK));
        if let Some(slot) = slot {
            usage.remove(Place(*slot));
            usage.add(place);
            *slot = place.0;
        }
    }

    /// Takes what is durable as what was appended.
    pub(super) fn settle(&mut self) {
        self.appended = Appended { first: self.first(), next: self.last().next(), gone: false };
    }

    /// Drops everything; the log now begins at `first`.
    pub(super) fn restart(&mut self, first: u64, purged_term: u64, usage: &mut Usage) {
        self.truncate(0, usage);
        (self.first, self.purged_term) = (first, purged_term);
    }

    /// Drops the entries up to `last`, which is one of them.
    pub(super) fn purge(&mut self, last: Index, usage: &mut Usage) {
        let term = self.term(last).unwrap_or_default().0;
        if last >= self.last() {
            return self.restart(last.0 + 1, term, usage);
        }
        while self.first <= last.0 {
            let Some(chunk) = self.places.front() else { break };
            usage.remove(Place(chunk[self.skip]));
            self.skip += 1;
            if self.skip == chunk.len() {
                self.places.pop_front();
                self.skip = 0;
            }
            (self.first, self.len) = (self.first + 1, self.len - 1);
        }
        self.purged_term = term;
        let runs = self.terms.partition_point(|&(first, _)| first <= self.first);
        self.terms.drain(..runs.saturating_sub(1));
        let confs = self.confs.partition_point(|&index| index < self.first);
        self.confs.drain(..confs);
    }
}
