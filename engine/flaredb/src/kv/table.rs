//! The key table: extendible hashing over the top bits of a key's place.
//!
//! A directory of `2^depth` words names the segment of each prefix of the place; a segment is a
//! small open-addressed table that splits in two when it is full. So no operation ever moves more
//! than one segment, and the order of places, which is the order of a scan, does not depend on the
//! table's size.

use super::cursor::Cursor;
use super::hash::{PLACE_BITS, place};
use super::record::Record;
use super::segment::Segment;

/// The directory may have this many words per segment; beyond, a full segment grows instead of
/// splitting. Evenly spread keys need about two; only keys whose places collide get there.
const WORDS_PER_SEGMENT_MAX: usize = 64;

/// A page of a scan looks at no more segments than this beyond those that held keys.
const EMPTY_SEGMENTS_PER_PAGE: usize = 256;

/// A set of records by key, ordered by place.
#[derive(Debug)]
pub(crate) struct Table {
    seed: u64,
    depth: u32,
    directory: Vec<u32>,
    segments: Vec<Segment>,
    len: usize,
    /// What a snapshot has still to draw of the table as it was.
    cursor: Option<Box<Cursor>>,
}

impl Table {
    /// An empty table whose places are keyed by `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        let segments = vec![Segment::new(0)];
        Self { seed, depth: 0, directory: vec![0], segments, len: 0, cursor: None }
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The place of a key.
    pub(crate) fn place(&self, key: &[u8]) -> u64 {
        place(self.seed, key)
    }

    /// The record of this key.
    pub(crate) fn find(&self, place: u64, key: &[u8]) -> Option<&Record> {
        self.segments[self.segment_of(place)].find(place, key)
    }

    /// The record of this key, to be changed without changing its key.
    pub(crate) fn find_mut(&mut self, place: u64, key: &[u8]) -> Option<&mut Record> {
        let segment = self.change(place);
        self.segments[segment].find_mut(place, key)
    }

    /// Adds a record whose key is not in the table.
    pub(crate) fn insert(&mut self, place: u64, record: Record) {
        let mut segment = self.change(place);
        while self.segments[segment].is_full() {
            if self.may_split(segment) {
                self.split(segment, place);
                segment = self.segment_of(place);
            } else {
                self.segments[segment].grow();
            }
        }
        self.segments[segment].insert(place, record);
        self.len += 1;
    }

    /// Takes out the record of this key.
    pub(crate) fn remove(&mut self, place: u64, key: &[u8]) -> Option<Record> {
        let segment = self.change(place);
        let removed = self.segments[segment].remove(place, key)?;
        self.len -= 1;
        Some(removed)
    }

    /// The records at this very place: more than one only if keys collide.
    pub(crate) fn at(&self, place: u64) -> impl Iterator<Item = &Record> {
        self.segments[self.segment_of(place)].at(place)
    }

    /// Every record, in no order worth relying on.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.segments.iter().flat_map(Segment::iter).map(|(_, record)| record)
    }

    /// Visits about `count` records from place `from` on, in order of places, never only some of
    /// those at one place. Gives the place to go on from, or none at the end.
    pub(crate) fn page(
        &self,
        from: u64,
        count: usize,
        mut visit: impl FnMut(&Record),
    ) -> Option<u64> {
        let mut from = from;
        let mut visited = 0;
        let mut sorted = Vec::new();
        for _ in 0..count.saturating_add(EMPTY_SEGMENTS_PER_PAGE) {
            if from >> PLACE_BITS != 0 {
                return None;
            }
            let segment = &self.segments[self.segment_of(from)];
            sorted.clear();
            sorted.extend(segment.iter().filter(|(place, _)| *place >= from));
            sorted.sort_unstable_by_key(|(place, _)| *place);
            let mut last = None;
            for (place, record) in &sorted {
                if visited >= count && last != Some(*place) {
                    return Some(*place);
                }
                visit(record);
                visited += 1;
                last = Some(*place);
            }
            let shift = PLACE_BITS - segment.depth;
            from = ((from >> shift) + 1) << shift;
            if visited >= count {
                break;
            }
        }
        (from >> PLACE_BITS == 0).then_some(from)
    }

    /// Takes all segments, for the caller to free at leisure, and leaves the table empty.
    pub(crate) fn take(&mut self) -> Vec<Segment> {
        let mut cursor = self.cursor.take();
        let empty = Self::new(self.seed);
        let segments = std::mem::replace(self, empty).segments;
        let free = match &mut cursor {
            Some(cursor) => cursor.detach(segments),
            None => segments,
        };
        self.cursor = cursor;
        free
    }

    /// Begins to draw the table as it is now; see [`Table::draw`].
    pub(crate) fn begin_cursor(&mut self) {
        self.cursor = Some(Box::new(Cursor::new(self.segments.len())));
    }

    /// Appends the next records to `out`, about so many bytes. Whether there are more.
    pub(crate) fn draw(&mut self, bytes: usize, out: &mut Vec<u8>) -> bool {
        match &mut self.cursor {
            Some(cursor) => cursor.draw(&self.segments, bytes, out),
            None => false,
        }
    }

    /// Everything was drawn: gives the sum of what was.
    pub(crate) fn end_cursor(&mut self) -> u64 {
        self.cursor.take().map_or(0, |cursor| cursor.sum())
    }

    /// The segment of a place, which is about to change.
    fn change(&mut self, place: u64) -> usize {
        let segment = self.segment_of(place);
        if let Some(cursor) = &mut self.cursor {
            cursor.before_change(segment, &self.segments[segment]);
        }
        segment
    }

    /// Bytes the table itself takes, without the records.
    pub(crate) fn overhead_bytes(&self) -> usize {
        self.directory.len() * 4 + self.segments.len() * size_of::<Segment>()
    }

    fn segment_of(&self, place: u64) -> usize {
        self.directory[(place >> (PLACE_BITS - self.depth)) as usize] as usize
    }

    fn may_split(&self, segment: usize) -> bool {
        self.segments[segment].depth < self.depth
            || self.directory.len() < self.segments.len() * WORDS_PER_SEGMENT_MAX
    }

    /// Splits the segment that holds `place` by the next bit of the places in it.
    fn split(&mut self, segment: usize, place: u64) {
        let depth = self.segments[segment].depth;
        if depth == self.depth {
            self.directory = self.directory.iter().flat_map(|s| [*s, *s]).collect();
            self.depth += 1;
        }
        let upper = self.segments[segment].split();
        let number = self.segments.len() as u32;
        self.segments.push(upper);
        let prefix = place >> (PLACE_BITS - depth);
        let width = 1usize << (self.depth - depth - 1);
        let first = ((prefix as usize) * 2 + 1) * width;
        self.directory[first..first + width].fill(number);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn key(i: usize) -> Vec<u8> {
        format!("key-{i}").into_bytes()
    }

    fn add(table: &mut Table, key: &[u8]) {
        let place = table.place(key);
        table.insert(place, Record::new(key, b"v", b"", None));
    }

    #[test]
    fn holds_what_was_inserted_and_not_removed() {
        let mut table = Table::new(3);
        for i in 0..20_000 {
            add(&mut table, &key(i));
        }
        for i in (0..20_000).step_by(3) {
            let place = table.place(&key(i));
            assert!(table.remove(place, &key(i)).is_some());
            assert!(table.remove(place, &key(i)).is_none());
        }
        for i in 0..20_000 {
            let found = table.find(table.place(&key(i)), &key(i));
            assert_eq!(found.is_some(), i % 3 != 0, "key {i}");
        }
        assert_eq!(table.len(), table.iter().count());
        assert_eq!(table.len(), 20_000 - 6667);
    }

    #[test]
    fn a_scan_sees_every_key_that_stays_while_others_come_and_go() {
        let mut table = Table::new(9);
        for i in 0..5_000 {
            add(&mut table, &key(i));
        }
        let mut seen = BTreeSet::new();
        let mut from = Some(0);
        let mut round = 0;
        while let Some(place) = from {
            let mut times = 0;
            from = table.page(place, 10, |r| {
                times += 1;
                assert!(seen.insert(r.key().to_vec()), "seen twice");
            });
            assert!(times <= 11, "{times} keys in a page of ten");
            for i in 0..40 {
                add(&mut table, &key(100_000 + round * 40 + i));
            }
            round += 1;
        }
        for i in 0..5_000 {
            assert!(seen.contains(&key(i)), "key {i} was missed");
        }
    }

    #[test]
    fn survives_keys_at_one_place() {
        let mut table = Table::new(0);
        for i in 0..3_000 {
            table.insert(42, Record::new(&key(i), b"", b"", None));
        }
        assert_eq!(table.at(42).count(), 3_000);
        let mut seen = 0;
        assert!(table.page(0, 1, |_| seen += 1).is_some());
        assert!(table.directory.len() < 100_000);
        assert_eq!(seen, 3_000);
        for i in 0..3_000 {
            assert!(table.remove(42, &key(i)).is_some());
        }
        assert_eq!(table.len(), 0);
    }
}
