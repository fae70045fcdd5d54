//! A segment of the key table: a small open-addressed hash table with linear probing.

use super::hash::PLACE_BITS;
use super::record::Record;

const SLOTS_MIN: usize = 8;
const SLOTS_MAX: usize = 1024;

#[derive(Debug, Default)]
struct Slot {
    place: u64,
    record: Option<Record>,
}

/// The records whose places share their first `depth` bits.
#[derive(Debug)]
pub(crate) struct Segment {
    /// How many leading bits of the place all records share.
    pub(crate) depth: u32,
    slots: Box<[Slot]>,
    len: usize,
}

impl Segment {
    /// An empty segment.
    pub(crate) fn new(depth: u32) -> Self {
        Self { depth, slots: empty(SLOTS_MIN), len: 0 }
    }

    /// Whether the segment must split before it takes another record.
    pub(crate) fn is_full(&self) -> bool {
        self.slots.len() >= SLOTS_MAX && self.is_crowded()
    }

    fn is_crowded(&self) -> bool {
        self.len >= self.slots.len() / 8 * 7
    }

    /// The record of this key.
    pub(crate) fn find(&self, place: u64, key: &[u8]) -> Option<&Record> {
        self.slots[self.locate(place, key)?].record.as_ref()
    }

    /// The record of this key, to be changed without changing its key.
    pub(crate) fn find_mut(&mut self, place: u64, key: &[u8]) -> Option<&mut Record> {
        let at = self.locate(place, key)?;
        self.slots[at].record.as_mut()
    }

    /// Adds a record whose key is not here.
    pub(crate) fn insert(&mut self, place: u64, record: Record) {
        if self.is_crowded() {
            self.resize(self.slots.len() * 2);
        }
        self.seat(place, record);
    }

    /// Takes out the record of this key.
    pub(crate) fn remove(&mut self, place: u64, key: &[u8]) -> Option<Record> {
        let mut hole = self.locate(place, key)?;
        let removed = self.slots[hole].record.take();
        self.len -= 1;
        // Close the gap: move back whatever may stand nearer to its home.
        let mask = self.slots.len() - 1;
        let mut at = (hole + 1) & mask;
        while self.slots[at].record.is_some() {
            let home = self.slots[at].place as usize & mask;
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.slots.swap(hole, at);
                hole = at;
            }
            at = (at + 1) & mask;
        }
        if self.slots.len() > SLOTS_MIN && self.len < self.slots.len() / 8 {
            self.resize(self.slots.len() / 2);
        }
        removed
    }

    /// The records at this very place.
    pub(crate) fn at(&self, place: u64) -> impl Iterator<Item = &Record> {
        let mask = self.slots.len() - 1;
        let home = place as usize & mask;
        (0..self.slots.len())
            .map(move |step| &self.slots[(home + step) & mask])
            .map_while(|slot| slot.record.as_ref().map(|record| (slot.place, record)))
            .filter(move |(at, _)| *at == place)
            .map(|(_, record)| record)
    }

    /// Every record with its place.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Record)> {
        self.slots.iter().filter_map(|slot| Some((slot.place, slot.record.as_ref()?)))
    }

    /// Doubles the segment: for records that no split can part.
    pub(crate) fn grow(&mut self) {
        self.resize(self.slots.len() * 2);
    }

    /// Keeps the records whose next bit is 0 and gives a segment of those whose next bit is 1.
    pub(crate) fn split(&mut self) -> Self {
        self.depth += 1;
        let bit = PLACE_BITS - self.depth;
        let mut upper = Self::new(self.depth);
        let slots = std::mem::replace(&mut self.slots, empty(SLOTS_MIN));
        self.len = 0;
        for Slot { place, record } in slots.into_vec() {
            let Some(record) = record else { continue };
            let side = if place >> bit & 1 == 1 { &mut upper } else { &mut *self };
            side.insert(place, record);
        }
        upper
    }

    fn locate(&self, place: u64, key: &[u8]) -> Option<usize> {
        let mask = self.slots.len() - 1;
        let mut at = place as usize & mask;
        loop {
            let slot = &self.slots[at];
            let record = slot.record.as_ref()?;
            if slot.place == place && record.key() == key {
                return Some(at);
            }
            at = (at + 1) & mask;
        }
    }

    fn resize(&mut self, slots: usize) {
        let old = std::mem::replace(&mut self.slots, empty(slots));
        self.len = 0;
        for Slot { place, record } in old.into_vec() {
            if let Some(record) = record {
                self.seat(place, record);
            }
        }
    }

    fn seat(&mut self, place: u64, record: Record) {
        let mask = self.slots.len() - 1;
        let mut at = place as usize & mask;
        while self.slots[at].record.is_some() {
            at = (at + 1) & mask;
        }
        self.slots[at] = Slot { place, record: Some(record) };
        self.len += 1;
    }
}

fn empty(slots: usize) -> Box<[Slot]> {
    let mut fresh = Vec::with_capacity(slots);
    fresh.resize_with(slots, Slot::default);
    fresh.into_boxed_slice()
}
