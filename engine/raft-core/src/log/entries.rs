//! Entries that several owners share: the log, messages, the disk and the state machine.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

use crate::entry::{Entry, EntryKind};

/// Entries that came together, in the memory of one list, and what is known of all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunk {
    entries: Vec<Entry>,
    payload: usize,
    has_conf: bool,
    /// Some entry does not follow the one before: the list is not a piece of any log.
    broken: bool,
}

impl Chunk {
    /// Adds the next entry of a log, which follows the last one.
    #[inline(always)]
    pub(super) fn push(&mut self, entry: Entry) {
        self.has_conf |= entry.kind == EntryKind::ConfChange;
        self.payload += entry.data.len();
        self.entries.push(entry);
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    pub(super) fn payload(&self) -> usize {
        self.payload
    }

    /// Becomes empty and keeps its memory.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.payload = 0;
        self.has_conf = false;
        self.broken = false;
    }
}

/// Consecutive entries that can be handed around without copying them: a clone shares the memory,
/// and a part is as good as the whole. Made of a `Vec<Entry>`, read as a `[Entry]`.
#[derive(Clone, Default)]
pub struct Entries {
    chunk: Option<Arc<Chunk>>,
    from: u32,
    to: u32,
}

impl Entries {
    /// How many entries there are.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        (self.to - self.from) as usize
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.to == self.from
    }

    pub(super) fn of_chunk(chunk: Arc<Chunk>) -> Self {
        let to = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
        Self { chunk: Some(chunk), from: 0, to }
    }

    pub(super) fn into_chunk(self) -> Option<Arc<Chunk>> {
        self.chunk
    }

    /// The part at these positions, which must be within this one.
    #[inline]
    pub(crate) fn part(&self, from: usize, to: usize) -> Self {
        assert!(from <= to && to <= self.len(), "a part is within the whole");
        let chunk = self.chunk.clone();
        Self { chunk, from: self.from + from as u32, to: self.from + to as u32 }
    }

    pub(super) fn cut(&mut self, len: usize) {
        assert!(len <= self.len(), "a part is within the whole");
        self.to = self.from + len as u32;
    }

    /// Whether each follows the one before, in terms that never fall. Looks only at the whole of
    /// what they were made with.
    #[inline]
    pub(crate) fn are_consecutive(&self) -> bool {
        self.chunk.as_ref().is_none_or(|chunk| !chunk.broken)
    }

    /// Whether there may be a [`EntryKind::ConfChange`] among them.
    #[inline]
    pub(crate) fn may_have_conf(&self) -> bool {
        self.chunk.as_ref().is_some_and(|chunk| chunk.has_conf)
    }

    /// The payload, in bytes.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        match &self.chunk {
            Some(chunk) if self.len() == chunk.entries.len() => chunk.payload,
            _ => self.iter().map(|e| e.data.len()).sum(),
        }
    }
}

impl Deref for Entries {
    type Target = [Entry];

    #[inline]
    fn deref(&self) -> &[Entry] {
        match &self.chunk {
            Some(chunk) => &chunk.entries[self.from as usize..self.to as usize],
            None => &[],
        }
    }
}

impl From<Vec<Entry>> for Entries {
    fn from(entries: Vec<Entry>) -> Self {
        if entries.is_empty() {
            return Self::default();
        }
        let follows = |pair: &[Entry]| {
            let (before, after) = (pair[0].id, pair[1].id);
            after.index == before.index.next() && after.term >= before.term
        };
        let chunk = Chunk {
            payload: entries.iter().map(|e| e.data.len()).sum(),
            has_conf: entries.iter().any(|e| e.kind == EntryKind::ConfChange),
            broken: !entries.windows(2).all(follows),
            entries,
        };
        Self::of_chunk(Arc::new(chunk))
    }
}

impl FromIterator<Entry> for Entries {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        entries.into_iter().collect::<Vec<_>>().into()
    }
}

impl<'a> IntoIterator for &'a Entries {
    type Item = &'a Entry;
    type IntoIter = core::slice::Iter<'a, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialEq for Entries {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Entries {}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Consecutive entries in shared parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryParts(Vec<Entries>);

impl EntryParts {
    /// The parts, none of them empty.
    #[must_use]
    pub fn parts(&self) -> &[Entries] {
        &self.0
    }

    /// The entries.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry> + Clone {
        self.into_iter()
    }

    /// The first entry.
    #[must_use]
    pub fn first(&self) -> Option<&Entry> {
        self.0.first()?.first()
    }

    /// The last entry.
    #[must_use]
    pub fn last(&self) -> Option<&Entry> {
        self.0.last()?.last()
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match (self.first(), self.last()) {
            (Some(first), Some(last)) => (last.id.index.0 - first.id.index.0) as usize + 1,
            _ => 0,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A copy of the list; the payload stays shared.
    #[must_use]
    pub fn to_vec(&self) -> Vec<Entry> {
        self.iter().cloned().collect()
    }

    /// Forgets them and keeps the memory of the list.
    #[inline(always)]
    pub fn clear(&mut self) {
        if !self.0.is_empty() {
            self.0.clear();
        }
    }

    #[inline]
    pub(super) fn push(&mut self, part: Entries) {
        if !part.is_empty() {
            self.0.push(part);
        }
    }
}

impl<'a> IntoIterator for &'a EntryParts {
    type Item = &'a Entry;
    type IntoIter = core::iter::Flatten<core::slice::Iter<'a, Entries>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().flatten()
    }
}
