//! Queries answered from the state, at a stamp.

use super::answer::{ArrayWriter, behind, bulk, bulk_or_nil, error, integer, status};
use super::glob::matches;
use super::query::{LifeUnit, Query};
use super::record::Record;
use super::{Kv, PLACE_BITS};

const UNKNOWN_QUERY: &str = "ERR the query is of a kind this version does not know";

/// An array may have so many bytes: what does not fit would hold up everybody else on the core.
pub(crate) const ARRAY_BYTES_MAX: usize = 32 << 20;

/// A page of a scan looks at so many keys, whatever is asked for: COUNT is a hint.
const SCAN_COUNT_MAX: usize = 10_000;

const TOO_LONG: &str = "ERR the reply would be longer than 32 MiB; ask for less at once";

/// Why a query has no plain answer.
enum Stop {
    /// The group clock is behind the query's stamp, and the answer depends on what happened in
    /// between.
    Behind,
    /// The answer would be too long.
    TooLong,
}

/// What time it is for an answer.
#[derive(Clone, Copy)]
struct Times {
    /// By the group's clock.
    clock: u64,
    /// By the clock of the node that asks.
    stamp: u64,
}

impl Kv {
    pub(super) fn answer(&self, data: &[u8], reply: &mut Vec<u8>) {
        let Some((stamp, query)) = Query::decode(data) else {
            return error(reply, UNKNOWN_QUERY);
        };
        let start = reply.len();
        let asked = Times { clock: self.clock, stamp };
        let mut answered = self.answer_at(asked, query, reply);
        let mut head = start;
        if matches!(answered, Err(Stop::Behind)) {
            reply.truncate(start);
            behind(reply, data);
            head = reply.len();
            answered = self.answer_at(Times { clock: stamp, stamp }, query, reply);
        }
        if answered.is_err() {
            reply.truncate(head);
            error(reply, TOO_LONG);
        }
    }

    fn answer_at(&self, times: Times, query: Query<'_>, reply: &mut Vec<u8>) -> Result<(), Stop> {
        match query {
            Query::Get(key) => {
                bulk_or_nil(reply, self.live_at(times, key)?.map(Record::value));
            }
            Query::Many(keys) => {
                let mut array = ArrayWriter::array(reply);
                for key in keys.iter() {
                    array.item(self.live_at(times, key)?.map(Record::value));
                    check_length(&array)?;
                }
                array.finish_array();
            }
            Query::Count(keys) => {
                let mut count = 0;
                for key in keys.iter() {
                    count += i64::from(self.live_at(times, key)?.is_some());
                }
                integer(reply, count);
            }
            Query::Length(key) => {
                let record = self.live_at(times, key)?;
                integer(reply, record.map_or(0, |r| r.value().len() as i64));
            }
            Query::Life { key, unit } => {
                let record = self.live_at(times, key)?;
                integer(reply, life_left(record, unit, times.stamp.max(times.clock)));
            }
            Query::Kind(key) => {
                let there = self.live_at(times, key)?.is_some();
                status(reply, if there { "string" } else { "none" });
            }
            Query::Range { key, start, end } => {
                let value = self.live_at(times, key)?.map_or(&b""[..], Record::value);
                bulk(reply, part(value, start, end));
            }
            Query::Size => {
                self.check_clock(times)?;
                let dead = self.deadlines.iter().take_while(|(d, _)| *d < times.clock).count();
                integer(reply, self.table.len().saturating_sub(dead) as i64);
            }
            Query::Scan { from, count, pattern } => {
                self.check_clock(times)?;
                self.scan(times.clock, from, count, pattern, reply);
            }
            Query::Keys(pattern) => {
                self.check_clock(times)?;
                let mut array = ArrayWriter::array(reply);
                for record in self.table.iter() {
                    if is_live(record, times.clock) && matches(pattern, record.key()) {
                        array.item(Some(record.key()));
                        check_length(&array)?;
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

    /// The record of a key that is alive by both clocks.
    fn live_at(&self, times: Times, key: &[u8]) -> Result<Option<&Record>, Stop> {
        let Some(record) = self.table.find(self.table.place(key), key) else {
            return Ok(None);
        };
        match record.deadline() {
            Some(deadline) if deadline < times.clock => Ok(None),
            Some(deadline) if deadline < times.stamp => Err(Stop::Behind),
            _ => Ok(Some(record)),
        }
    }

    /// Whether no key dies between the group clock and the stamp.
    fn check_clock(&self, times: Times) -> Result<(), Stop> {
        match self.deadlines.range((times.clock, 0)..).next() {
            Some((deadline, _)) if *deadline < times.stamp => Err(Stop::Behind),
            _ => Ok(()),
        }
    }

    fn scan(&self, clock: u64, from: u64, count: u64, pattern: &[u8], reply: &mut Vec<u8>) {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(SCAN_COUNT_MAX);
        let all = pattern == b"*";
        let mut page = ArrayWriter::page(reply);
        let next = if from >> PLACE_BITS == 0 {
            self.table.page(from, count, |record| {
                if is_live(record, clock) && (all || matches(pattern, record.key())) {
                    page.item(Some(record.key()));
                }
            })
        } else {
            None
        };
        page.finish_page(next);
    }
}

fn is_live(record: &Record, clock: u64) -> bool {
    record.deadline().is_none_or(|deadline| deadline >= clock)
}

fn check_length(array: &ArrayWriter<'_>) -> Result<(), Stop> {
    if array.bytes() > ARRAY_BYTES_MAX { Err(Stop::TooLong) } else { Ok(()) }
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
