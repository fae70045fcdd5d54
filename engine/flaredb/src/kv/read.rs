//! Queries answered from the state, at a stamp.

use super::answer::{ArrayWriter, behind, bulk, bulk_or_nil, error, integer, status};
use super::glob::matches;
use super::query::{LifeUnit, Query};
use super::record::Record;
use super::{Kv, PLACE_BITS};

const UNKNOWN_QUERY: &str = "ERR the query is of a kind this version does not know";

/// The group clock is behind the query's stamp, and the answer depends on what happened in between.
struct Behind;

impl Kv {
    pub(super) fn answer(&self, data: &[u8], reply: &mut Vec<u8>) {
        let Some((stamp, query)) = Query::decode(data) else {
            return error(reply, UNKNOWN_QUERY);
        };
        let start = reply.len();
        if self.answer_at(stamp, query, reply).is_err() {
            reply.truncate(start);
            behind(reply, data);
        }
    }

    fn answer_at(&self, stamp: u64, query: Query<'_>, reply: &mut Vec<u8>) -> Result<(), Behind> {
        match query {
            Query::Get(key) => {
                bulk_or_nil(reply, self.live_at(stamp, key)?.map(Record::value));
            }
            Query::Many(keys) => {
                let mut array = ArrayWriter::array(reply);
                for key in keys.iter() {
                    array.item(self.live_at(stamp, key)?.map(Record::value));
                }
                array.finish_array();
            }
            Query::Count(keys) => {
                let mut count = 0;
                for key in keys.iter() {
                    count += i64::from(self.live_at(stamp, key)?.is_some());
                }
                integer(reply, count);
            }
            Query::Length(key) => {
                let record = self.live_at(stamp, key)?;
                integer(reply, record.map_or(0, |r| r.value().len() as i64));
            }
            Query::Life { key, unit } => {
                let record = self.live_at(stamp, key)?;
                integer(reply, life_left(record, unit, stamp.max(self.clock)));
            }
            Query::Kind(key) => {
                let there = self.live_at(stamp, key)?.is_some();
                status(reply, if there { "string" } else { "none" });
            }
            Query::Range { key, start, end } => {
                let value = self.live_at(stamp, key)?.map_or(&b""[..], Record::value);
                bulk(reply, part(value, start, end));
            }
            Query::Size => {
                self.check_clock(stamp)?;
                let dead = self.deadlines.iter().take_while(|(d, _)| *d < self.clock).count();
                integer(reply, self.table.len().saturating_sub(dead) as i64);
            }
            Query::Scan { from, count, pattern } => {
                self.check_clock(stamp)?;
                self.scan(from, count, pattern, reply);
            }
            Query::Keys(pattern) => {
                self.check_clock(stamp)?;
                let mut array = ArrayWriter::array(reply);
                for record in self.table.iter() {
                    if self.is_live(record) && matches(pattern, record.key()) {
                        array.item(Some(record.key()));
                    }
                }
                array.finish_array();
            }
            Query::SlotSize(slot) => {
                let place = slot.checked_sub(self.range.first);
                let size = place.and_then(|p| self.slot_sizes.get(usize::from(p)));
                integer(reply, i64::from(size.copied().unwrap_or(0)));
            }
        }
        Ok(())
    }

    fn is_live(&self, record: &Record) -> bool {
        record.deadline().is_none_or(|deadline| deadline >= self.clock)
    }

    /// The record of a key that is alive by both clocks.
    fn live_at(&self, stamp: u64, key: &[u8]) -> Result<Option<&Record>, Behind> {
        let Some(record) = self.table.find(self.table.place(key), key) else {
            return Ok(None);
        };
        match record.deadline() {
            Some(deadline) if deadline < self.clock => Ok(None),
            Some(deadline) if deadline < stamp => Err(Behind),
            _ => Ok(Some(record)),
        }
    }

    /// Whether no key dies between the group clock and the stamp.
    fn check_clock(&self, stamp: u64) -> Result<(), Behind> {
        match self.deadlines.range((self.clock, 0)..).next() {
            Some((deadline, _)) if *deadline < stamp => Err(Behind),
            _ => Ok(()),
        }
    }

    fn scan(&self, from: u64, count: u64, pattern: &[u8], reply: &mut Vec<u8>) {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let all = pattern == b"*";
        let mut page = ArrayWriter::page(reply);
        let next = if from >> PLACE_BITS == 0 {
            self.table.page(from, count, |record| {
                if self.is_live(record) && (all || matches(pattern, record.key())) {
                    page.item(Some(record.key()));
                }
            })
        } else {
            None
        };
        page.finish_page(next);
    }
}

fn life_left(record: Option<&Record>, unit: LifeUnit, now: u64) -> i64 {
    let Some(record) = record else { return -2 };
    let Some(deadline) = record.deadline() else {
        return -1;
    };
    let millis = if unit.absolute { deadline } else { deadline.saturating_sub(now) };
    let shown = if unit.millis { millis } else { millis.saturating_add(500) / 1000 };
    i64::try_from(shown).unwrap_or(i64::MAX)
}

/// The part of a value between two places, both included; negative ones count from the end.
fn part(value: &[u8], start: i64, end: i64) -> &[u8] {
    let length = value.len() as i64;
    if start < 0 && end < 0 && start > end {
        return b"";
    }
    let place = |at: i64| {
        if at < 0 { length.saturating_add(at).max(0) } else { at }
    };
    let (start, end) = (place(start), place(end).min(length - 1));
    if start > end || length == 0 {
        return b"";
    }
    &value[start as usize..=end as usize]
}
