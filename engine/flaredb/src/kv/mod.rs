//! The key-value state machine of a group: string values with deadlines, applied from the log.
//!
//! # Time
//! Every entry carries the clock of the leader that made it. The group clock is the largest stamp
//! applied, and a key is dead once its deadline is behind the group clock: so a key dies for
//! everybody at the same place of the log, and apply reads no clock. A query carries a clock too.
//! If a key's deadline lies between the group clock and the query's, the state machine neither
//! serves the value nor says it is gone: it answers [`Answer::Behind`], the door writes an entry
//! that advances the clock, and asks again.
//!
//! # Invariants
//! Every key in the table with a deadline is in the deadline index, and nothing else is. What apply
//! does depends on the entries alone, never on how they were batched.

mod answer;
mod apply;
mod codec;
mod cursor;
pub mod entry;
pub mod glob;
mod hash;
pub mod number;
pub mod query;
mod read;
mod record;
mod segment;
mod snapshot;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::Counter;
use engine::{ApplyBatch, RestoreError, StateMachine};

pub use answer::{Answer, Items};
pub use codec::List;
pub use entry::Write;
pub(crate) use hash::PLACE_BITS;
pub(crate) use hash::hash;
pub use query::Query;

use crate::slots::{SlotRange, slot_of};
use record::Record;
use segment::Segment;
use snapshot::{Drawing, Restoring};
use table::Table;

/// Dead keys buried with each entry.
const BURIED_PER_ENTRY: usize = 16;
/// Dead keys buried with an entry that only advances the clock.
const BURIED_PER_ADVANCE: usize = 1024;
/// What a record costs in the table, on average, beyond its own bytes.
const SLOT_BYTES: usize = 32;

/// What a group's state machine tells about itself, for INFO. Gauges, stored once per applied
/// batch.
#[derive(Debug, Default)]
pub struct KvGauges {
    /// Keys, dead ones included until they are buried.
    pub keys: Counter,
    /// Keys with a deadline.
    pub keys_with_deadline: Counter,
    /// Bytes of keys, values and the table.
    pub bytes: Counter,
    /// Keys that died and were buried since the start.
    pub keys_expired: Counter,
}

/// The state machine of one group.
#[derive(Debug)]
pub struct Kv {
    table: Table,
    deadlines: BTreeSet<(u64, u64)>,
    clock: u64,
    range: SlotRange,
    slot_sizes: Vec<u32>,
    record_bytes: usize,
    expired: u64,
    /// What CLEAR took out of the table, freed a segment per entry so that no entry takes long.
    garbage: Vec<Segment>,
    old_deadlines: BTreeSet<(u64, u64)>,
    drawing: Option<Drawing>,
    restoring: Restoring,
    gauges: Arc<KvGauges>,
}

impl Kv {
    /// An empty state machine for the keys of these slots. `seed` keys the hash and with it the
    /// order of a scan: give all replicas of a group the same, and do not let strangers know it.
    #[must_use]
    pub fn new(range: SlotRange, seed: u64, gauges: Arc<KvGauges>) -> Self {
        Self {
            table: Table::new(seed),
            deadlines: BTreeSet::new(),
            clock: 0,
            range,
            slot_sizes: vec![0; range.len()],
            record_bytes: 0,
            expired: 0,
            garbage: Vec::new(),
            old_deadlines: BTreeSet::new(),
            drawing: None,
            restoring: Restoring::default(),
            gauges,
        }
    }

    /// The group clock: the largest stamp applied, in milliseconds since 1970.
    #[must_use]
    pub fn clock(&self) -> u64 {
        self.clock
    }

    /// Puts a value in place of whatever the key had.
    fn put(&mut self, place: u64, key: &[u8], value: &[u8], deadline: Option<u64>) {
        let Some(record) = self.table.find_mut(place, key) else {
            self.add(place, Record::new(key, value, b"", deadline));
            return;
        };
        let before = record.deadline();
        let size = record.packed().len();
        if !record.overwrite(value, deadline) {
            *record = Record::new(key, value, b"", deadline);
        }
        self.record_bytes = self.record_bytes - size + record.packed().len();
        self.index_deadline(place, before, deadline);
    }

    /// Adds a record whose key is not in the table.
    fn add(&mut self, place: u64, record: Record) {
        if let Some(deadline) = record.deadline() {
            self.deadlines.insert((deadline, place));
        }
        self.record_bytes += record.packed().len();
        self.count_in_slot(record.key(), true);
        self.table.insert(place, record);
    }

    /// Takes a key out.
    fn take(&mut self, place: u64, key: &[u8]) -> Option<Record> {
        let record = self.table.remove(place, key)?;
        self.record_bytes -= record.packed().len();
        self.count_in_slot(key, false);
        self.index_deadline(place, record.deadline(), None);
        Some(record)
    }

    /// Notes that a record's deadline, if it had one, gave way to another, if it has one now.
    fn index_deadline(&mut self, place: u64, before: Option<u64>, after: Option<u64>) {
        if before == after {
            return;
        }
        if let Some(deadline) = before {
            // A key at the same place may have the same deadline: then the index entry stands for
            // it still.
            if !self.table.at(place).any(|r| r.deadline() == before) {
                self.deadlines.remove(&(deadline, place));
            }
        }
        if let Some(deadline) = after {
            self.deadlines.insert((deadline, place));
        }
    }

    fn count_in_slot(&mut self, key: &[u8], up: bool) {
        let place = slot_of(key).checked_sub(self.range.first);
        if let Some(size) = place.and_then(|p| self.slot_sizes.get_mut(usize::from(p))) {
            *size = if up { size.saturating_add(1) } else { size.saturating_sub(1) };
        }
    }

    /// Removes up to `limit` dead keys, in the order they died.
    fn bury(&mut self, limit: usize) {
        for _ in 0..limit {
            let Some(&(deadline, place)) = self.deadlines.first() else {
                return;
            };
            if deadline >= self.clock {
                return;
            }
            let key = self.table.at(place).find(|r| r.deadline() == Some(deadline));
            match key.map(|record| record.key().to_vec()) {
                Some(key) => {
                    self.take(place, &key);
                    self.expired += 1;
                }
                None => {
                    self.deadlines.remove(&(deadline, place));
                }
            }
        }
    }

    fn publish(&self) {
        let table = self.table.overhead_bytes() + self.table.len() * SLOT_BYTES;
        self.gauges.keys.set(self.table.len() as u64);
        self.gauges.keys_with_deadline.set(self.deadlines.len() as u64);
        self.gauges.bytes.set((self.record_bytes + table) as u64);
        self.gauges.keys_expired.set(self.expired);
    }
}

impl StateMachine for Kv {
    fn apply(&mut self, batch: &mut ApplyBatch<'_>) {
        while let Some((_, data, reply)) = batch.next_entry() {
            self.apply_entry(data, reply);
        }
        self.publish();
    }

    fn read(&mut self, query: &[u8], reply: &mut Vec<u8>) {
        self.answer(query, reply);
    }

    fn digest(&self) -> u64 {
        // A sum, because the order of records differs between tables that came to hold the same
        // ones.
        let records =
            self.table.iter().fold(0u64, |sum, record| sum.wrapping_add(hash(0, record.packed())));
        snapshot::digest(self.clock, records)
    }

    fn begin_snapshot(&mut self) -> bool {
        self.begin_drawing();
        true
    }

    fn snapshot_piece(&mut self, bytes: usize, piece: &mut Vec<u8>) -> bool {
        self.draw_piece(bytes, piece)
    }

    fn restore_piece(&mut self, piece: &[u8]) -> Result<(), RestoreError> {
        self.take_piece(piece)
    }
}
