//! What each write does to the state.

use super::answer::{bulk_or_nil, error, integer, nil, status};
use super::entry::{ExpireIf, Life, Presence, SetAnswer, Write};
use super::number::{Decimal, parse_i64};
use super::record::Record;
use super::{BURIED_PER_ADVANCE, BURIED_PER_ENTRY, Kv, List};

/// Deadlines of a cleared table freed with each entry.
const DEADLINES_FREED_PER_ENTRY: usize = 256;

const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
const OVERFLOW: &str = "ERR increment or decrement would overflow";
const TOO_LONG: &str = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
const UNKNOWN_ENTRY: &str = "ERR the log entry is of a kind this version does not know";

impl Kv {
    /// Applies one entry. Bytes that are no entry change nothing and get the same error on every
    /// replica.
    pub(super) fn apply_entry(&mut self, data: &[u8], reply: &mut Vec<u8>) {
        let Some((stamp, write)) = Write::decode(data) else {
            error(reply, UNKNOWN_ENTRY);
            return;
        };
        self.clock = self.clock.max(stamp);
        let advance = matches!(write, Write::AdvanceClock);
        self.bury(if advance { BURIED_PER_ADVANCE } else { BURIED_PER_ENTRY });
        self.free_garbage();
        match write {
            Write::AdvanceClock => status(reply, "OK"),
            Write::Set { key, value, life, presence, answer } => {
                self.set(key, value, life, presence, answer, reply);
            }
            Write::Delete(keys) => {
                let gone = keys.iter().filter(|key| self.remove_live(key).is_some()).count();
                integer(reply, gone as i64);
            }
            Write::Take(key) => {
                let record = self.remove_live(key);
                bulk_or_nil(reply, record.as_ref().map(Record::value));
            }
            Write::Add { key, delta } => self.add_to(key, delta, reply),
            Write::Append { key, tail, bytes_max } => self.append(key, tail, bytes_max, reply),
            Write::SetRange { key, offset, part, bytes_max } => {
                self.set_range(key, offset, part, bytes_max, reply);
            }
            Write::SetMany { pairs, only_if_none } => self.set_many(pairs, only_if_none, reply),
            Write::Expire { key, life, when } => self.expire(key, life, when, reply),
            Write::GetExpire { key, life } => self.get_expire(key, life, reply),
            Write::Persist(key) => self.persist(key, reply),
            Write::Clear => self.clear(reply),
        }
    }

    /// Removes the key if it is dead; says whether it is there and alive, and when it dies.
    fn live(&mut self, place: u64, key: &[u8]) -> Option<Option<u64>> {
        let deadline = self.table.find(place, key)?.deadline();
        if deadline.is_some_and(|d| d < self.clock) {
            self.take(place, key);
            self.expired += 1;
            return None;
        }
        Some(deadline)
    }

    fn remove_live(&mut self, key: &[u8]) -> Option<Record> {
        let place = self.table.place(key);
        self.live(place, key)?;
        self.take(place, key)
    }

    /// The deadline that a life means now.
    fn deadline(&self, life: Life, before: Option<u64>) -> Option<u64> {
        match life {
            Life::Forever => None,
            Life::Keep => before,
            Life::In(ms) => Some(self.clock.saturating_add_signed(ms)),
            Life::At(ms) => Some(u64::try_from(ms).unwrap_or(0)),
        }
    }

    fn set(
        &mut self,
        key: &[u8],
        value: &[u8],
        life: Life,
        presence: Presence,
        answer: SetAnswer,
        reply: &mut Vec<u8>,
    ) {
        let place = self.table.place(key);
        let found = self.live(place, key);
        if answer == SetAnswer::Old {
            let old = self.table.find(place, key);
            bulk_or_nil(reply, old.map(Record::value));
        }
        let may = match presence {
            Presence::Any => true,
            Presence::Absent => found.is_none(),
            Presence::Present => found.is_some(),
        };
        if may {
            let deadline = self.deadline(life, found.flatten());
            self.put(place, key, value, deadline);
        }
        match answer {
            SetAnswer::Old => {}
            SetAnswer::Flag => integer(reply, i64::from(may)),
            SetAnswer::Status if may => status(reply, "OK"),
            SetAnswer::Status => nil(reply),
        }
    }

    fn add_to(&mut self, key: &[u8], delta: i64, reply: &mut Vec<u8>) {
        let place = self.table.place(key);
        let deadline = self.live(place, key).flatten();
        let present = match self.table.find(place, key) {
            None => 0,
            Some(record) => match parse_i64(record.value()) {
                Some(n) => n,
                None => return error(reply, NOT_AN_INTEGER),
            },
        };
        match present.checked_add(delta) {
            Some(sum) => {
                self.put(place, key, Decimal::new(sum).as_bytes(), deadline);
                integer(reply, sum);
            }
            None => error(reply, OVERFLOW),
        }
    }

    fn append(&mut self, key: &[u8], tail: &[u8], bytes_max: u64, reply: &mut Vec<u8>) {
        let place = self.table.place(key);
        let deadline = self.live(place, key).flatten();
        let old = self.table.find(place, key).map_or(&b""[..], Record::value);
        let length = old.len() + tail.len();
        if length as u64 > bytes_max {
            return error(reply, TOO_LONG);
        }
        let record = Record::new(key, old, tail, deadline);
        self.replace(place, key, record);
        integer(reply, length as i64);
    }

    fn set_range(
        &mut self,
        key: &[u8],
        offset: u64,
        part: &[u8],
        bytes_max: u64,
        reply: &mut Vec<u8>,
    ) {
        let place = self.table.place(key);
        let deadline = self.live(place, key).flatten();
        let old = self.table.find(place, key).map_or(&b""[..], Record::value);
        if part.is_empty() {
            return integer(reply, old.len() as i64);
        }
        let end = offset.saturating_add(part.len() as u64);
        let (Ok(start), true) = (usize::try_from(offset), end <= bytes_max) else {
            return error(reply, TOO_LONG);
        };
        let mut value = old.to_vec();
        if value.len() < start + part.len() {
            value.resize(start + part.len(), 0);
        }
        value[start..start + part.len()].copy_from_slice(part);
        self.put(place, key, &value, deadline);
        integer(reply, value.len() as i64);
    }

    fn set_many(&mut self, pairs: List<'_>, only_if_none: bool, reply: &mut Vec<u8>) {
        if only_if_none {
            let mut keys = pairs.iter().step_by(2);
            if keys.any(|key| self.live(self.table.place(key), key).is_some()) {
                return integer(reply, 0);
            }
        }
        let mut each = pairs.iter();
        while let (Some(key), Some(value)) = (each.next(), each.next()) {
            self.put(self.table.place(key), key, value, None);
        }
        if only_if_none {
            integer(reply, 1);
        } else {
            status(reply, "OK");
        }
    }

    fn expire(&mut self, key: &[u8], life: Life, when: ExpireIf, reply: &mut Vec<u8>) {
        let place = self.table.place(key);
        let Some(before) = self.live(place, key) else {
            return integer(reply, 0);
        };
        let after = self.deadline(life, before);
        let latest = |deadline: Option<u64>| deadline.unwrap_or(u64::MAX);
        let forbidden = (when.has(ExpireIf::NX) && before.is_some())
            || (when.has(ExpireIf::XX) && before.is_none())
            || (when.has(ExpireIf::GT) && (before.is_none() || latest(after) <= latest(before)))
            || (when.has(ExpireIf::LT) && before.is_some() && latest(after) >= latest(before));
        if forbidden {
            return integer(reply, 0);
        }
        self.set_deadline(place, key, after);
        integer(reply, 1);
    }

    fn get_expire(&mut self, key: &[u8], life: Life, reply: &mut Vec<u8>) {
        let place = self.table.place(key);
        let Some(before) = self.live(place, key) else {
            return nil(reply);
        };
        bulk_or_nil(reply, self.table.find(place, key).map(Record::value));
        let after = self.deadline(life, before);
        if after != before {
            self.set_deadline(place, key, after);
        }
    }

    fn persist(&mut self, key: &[u8], reply: &mut Vec<u8>) {
        let place = self.table.place(key);
        let mortal = self.live(place, key).flatten().is_some();
        if mortal {
            self.set_deadline(place, key, None);
        }
        integer(reply, i64::from(mortal));
    }

    /// Gives a live key another deadline; one that is not ahead of the clock removes the key.
    fn set_deadline(&mut self, place: u64, key: &[u8], deadline: Option<u64>) {
        if deadline.is_some_and(|d| d <= self.clock) {
            self.take(place, key);
            return;
        }
        if let Some(record) = self.table.find(place, key) {
            let record = Record::new(key, record.value(), b"", deadline);
            self.replace(place, key, record);
        }
    }

    /// Puts a record in place of the one its key has, if it has one.
    fn replace(&mut self, place: u64, key: &[u8], record: Record) {
        let Some(old) = self.table.find_mut(place, key) else {
            return self.add(place, record);
        };
        let (before, after) = (old.deadline(), record.deadline());
        self.record_bytes = self.record_bytes - old.packed().len() + record.packed().len();
        *old = record;
        self.index_deadline(place, before, after);
    }

    fn clear(&mut self, reply: &mut Vec<u8>) {
        self.garbage.extend(self.table.take());
        self.old_deadlines.append(&mut self.deadlines);
        self.slot_sizes.fill(0);
        self.record_bytes = 0;
        status(reply, "OK");
    }

    fn free_garbage(&mut self) {
        if self.garbage.pop().is_none() && self.old_deadlines.is_empty() {
            return;
        }
        for _ in 0..DEADLINES_FREED_PER_ENTRY {
            if self.old_deadlines.pop_first().is_none() {
                return;
            }
        }
    }
}
