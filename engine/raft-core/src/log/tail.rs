//! The end of the log in memory.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::entries::{Chunk, Entries, EntryParts};
use crate::entry::Entry;
use crate::ids::Index;

/// What an entry costs in memory beside its payload.
const OVERHEAD: usize = core::mem::size_of::<Entry>();

/// How many entries of memory are kept for the next chunk, in a log that needs none now.
const SPARE_ENTRIES_MAX: usize = 256;

/// Entries that came together, and what they take.
#[derive(Clone, Debug)]
struct Held {
    entries: Entries,
    first: Index,
    payload: usize,
}

impl Held {
    /// The index after its last entry.
    #[inline]
    const fn end(&self) -> u64 {
        self.first.0 + self.entries.len() as u64
    }

    fn bytes(&self) -> usize {
        self.payload + self.entries.len() * OVERHEAD
    }
}

/// The newest entries, consecutive, ending at the end of the log. In chunks that are shared with
/// messages, batches for the disk and the state machine: nobody copies an entry.
#[derive(Clone, Debug)]
pub(crate) struct Tail {
    /// The first index held, and the one after the last.
    first: Index,
    end: Index,
    held: VecDeque<Held>,
    /// The entries after those in `held`: not shared with anybody yet.
    open: Chunk,
    bytes: usize,
    /// The memory of a chunk that nobody needs any more, for the next one.
    spare: Option<Arc<Chunk>>,
}

impl Tail {
    /// An empty tail of a log whose next entry is `first`.
    pub(crate) fn new(first: Index) -> Self {
        Self {
            first,
            end: first,
            held: VecDeque::new(),
            open: Chunk::default(),
            bytes: 0,
            spare: None,
        }
    }

    /// The first index held; the next index of the log when nothing is.
    pub(crate) const fn first(&self) -> Index {
        self.first
    }

    /// What is held, in bytes, bookkeeping included.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, entry: Entry) {
        self.bytes += entry.data.len() + OVERHEAD;
        self.end = self.end.next();
        self.open.push(entry);
    }

    /// Appends entries that came together.
    pub(crate) fn push_all(&mut self, entries: Entries) {
        self.seal();
        self.hold(entries);
    }

    fn hold(&mut self, entries: Entries) {
        let (first, payload) = (self.end, entries.payload_bytes());
        self.bytes += payload + entries.len() * OVERHEAD;
        self.end = Index(first.0 + entries.len() as u64);
        self.held.push_back(Held { entries, first, payload });
    }

    /// Whatever is open becomes a chunk that can be shared.
    #[inline]
    pub(crate) fn seal(&mut self) {
        if self.open.len() > 0 {
            self.seal_some();
        }
    }

    fn seal_some(&mut self) {
        let (count, payload) = (self.open.len(), self.open.payload());
        let mut chunk = self.spare.take().unwrap_or_default();
        if let Some(inner) = Arc::get_mut(&mut chunk) {
            core::mem::swap(inner, &mut self.open);
        }
        let entries = Entries::of_chunk(chunk);
        let first = Index(self.end.0 - count as u64);
        self.held.push_back(Held { entries, first, payload });
    }

    pub(crate) fn truncate(&mut self, from: Index) {
        self.seal();
        while let Some(mut last) = self.held.pop_back() {
            self.bytes -= last.bytes();
            if last.first < from {
                last.entries.cut((from.0 - last.first.0) as usize);
                last.payload = last.entries.payload_bytes();
                self.bytes += last.bytes();
                self.held.push_back(last);
                break;
            }
            self.recycle(last.entries);
        }
        self.end = self.end.min(from);
        self.first = self.first.min(from);
    }

    /// Drops chunks up to `until` from the front while more than `bytes_max` are held.
    #[inline]
    pub(crate) fn evict(&mut self, until: Index, bytes_max: usize) {
        if self.bytes > bytes_max && self.first <= until {
            self.evict_some(until, bytes_max);
        }
    }

    fn evict_some(&mut self, until: Index, bytes_max: usize) {
        while self.bytes > bytes_max {
            let whole = self.held.front().is_some_and(|h| h.end() <= until.0 + 1);
            if let Some(held) = if whole { self.held.pop_front() } else { None } {
                self.bytes -= held.bytes();
                self.first = Index(held.end());
                self.recycle(held.entries);
            } else if self.open.len() > 0 && self.end <= until.next() {
                // What is needed last of all may still be open.
                self.seal();
            } else {
                return;
            }
        }
    }

    /// Keeps the memory of a chunk that nobody else looks at.
    fn recycle(&mut self, entries: Entries) {
        let Some(mut chunk) = entries.into_chunk() else {
            return;
        };
        // To ask is cheap, to make sure is not.
        if self.spare.is_some() || Arc::strong_count(&chunk) > 1 {
            return;
        }
        if let Some(inner) = Arc::get_mut(&mut chunk) {
            if inner.capacity() <= SPARE_ENTRIES_MAX {
                inner.clear();
                self.spare = Some(chunk);
            }
        }
    }

    /// Where in `held` the index is, which is held and not open.
    fn place(&self, index: Index) -> usize {
        self.held.partition_point(|h| h.first <= index).saturating_sub(1)
    }

    /// The chunk that holds just these, if it came last or last but one: most of what is asked for.
    #[inline]
    fn just(&self, from: Index, to: Index) -> Option<&Held> {
        let newest = self.held.back()?;
        if newest.first == from {
            return (newest.end() == to.0 + 1).then_some(newest);
        }
        let before = self.held.get(self.held.len().wrapping_sub(2))?;
        (before.first == from && before.end() == to.0 + 1).then_some(before)
    }

    /// The entries `from..=to`, all of them held, as many as come together and fit into `bytes_max`
    /// of payload; at least one. Small chunks are joined, at the price of a copy.
    #[inline]
    pub(crate) fn read(&mut self, from: Index, to: Index, bytes_max: usize) -> Entries {
        self.seal();
        match self.just(from, to) {
            Some(held) if held.payload <= bytes_max => held.entries.clone(),
            _ => self.read_some(from, to, bytes_max),
        }
    }

    fn read_some(&self, from: Index, to: Index, bytes_max: usize) -> Entries {
        let place = self.place(from);
        let held = &self.held[place];
        let end = held.end();
        let start = (from.0 - held.first.0) as usize;
        if end > to.0 || held.payload >= bytes_max / 2 {
            let stop = held.entries.len().min((to.0 + 1 - held.first.0) as usize);
            if held.payload <= bytes_max {
                return held.entries.part(start, stop);
            }
            return held
                .entries
                .part(start, start + fitting(&held.entries[start..stop], bytes_max));
        }
        let mut joined = Vec::new();
        let mut bytes = 0;
        for entry in self.held.range(place..).flat_map(|h| h.entries.iter()) {
            if entry.id.index < from {
                continue;
            }
            bytes += entry.data.len();
            if entry.id.index > to || !joined.is_empty() && bytes > bytes_max {
                break;
            }
            joined.push(entry.clone());
        }
        joined.into()
    }

    /// Appends to `out` the entries `from..=to`, all of them held, as many as fit into `bytes_max`
    /// of payload, and at least one.
    #[inline]
    pub(crate) fn share(&mut self, from: Index, to: Index, bytes_max: usize, out: &mut EntryParts) {
        self.seal();
        match self.just(from, to) {
            Some(held) if held.payload <= bytes_max => out.push(held.entries.clone()),
            _ => self.share_some(from, to, bytes_max, out),
        }
    }

    fn share_some(&self, from: Index, to: Index, bytes_max: usize, out: &mut EntryParts) {
        let place = self.place(from);
        let mut room = bytes_max;
        for held in self.held.range(place..) {
            if held.first > to {
                return;
            }
            let start = from.0.saturating_sub(held.first.0) as usize;
            let stop = held.entries.len().min((to.0 + 1 - held.first.0) as usize);
            if held.payload <= room {
                room -= held.payload;
                out.push(held.entries.part(start, stop));
                continue;
            }
            let fits = fitting(&held.entries[start..stop], room);
            let first = out.is_empty() || fits > 1 || held.entries[start].data.len() <= room;
            if first {
                out.push(held.entries.part(start, start + fits));
            }
            if start + fits < stop || !first {
                return;
            }
            room = room.saturating_sub(held.payload);
        }
    }

    /// The payload of the entries `from..=to` that are held.
    #[inline]
    pub(crate) fn payload(&mut self, from: Index, to: Index) -> usize {
        self.seal();
        match self.just(from, to) {
            Some(held) => held.payload,
            None => self.sum_payload(from, to),
        }
    }

    fn sum_payload(&self, from: Index, to: Index) -> usize {
        let place = self.place(from);
        let mut sum = 0;
        for held in self.held.range(place.min(self.held.len())..) {
            if held.first > to {
                return sum;
            }
            let start = from.0.saturating_sub(held.first.0) as usize;
            let stop = held.entries.len().min((to.0 + 1 - held.first.0) as usize);
            let whole = start == 0 && stop == held.entries.len();
            let part =
                |h: &Held| h.entries[start.min(stop)..stop].iter().map(|e| e.data.len()).sum();
            sum += if whole { held.payload } else { part(held) };
        }
        sum
    }
}

/// How many entries fit into `bytes_max` of payload; at least one.
fn fitting(entries: &[Entry], bytes_max: usize) -> usize {
    let mut bytes = 0;
    let fits = entries.iter().take_while(|e| {
        bytes += e.data.len();
        bytes <= bytes_max
    });
    fits.count().max(1)
}

#[cfg(test)]
mod tests;
