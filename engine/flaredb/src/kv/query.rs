//! Queries: what a read command is once the door has understood it. The same layout as an entry's.

use bytes::Bytes;

use super::codec::{List, Reader, bytes_size, put_bytes, put_varint};

const VERSION: u8 = 1;

const GET: u8 = 0;
const MANY: u8 = 1;
const COUNT: u8 = 2;
const LENGTH: u8 = 3;
const LIFE: u8 = 4;
const KIND: u8 = 5;
const RANGE: u8 = 6;
const SIZE: u8 = 7;
const SCAN: u8 = 8;
const KEYS: u8 = 9;
const SLOT_SIZE: u8 = 10;

/// How a remaining life is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LifeUnit {
    /// In milliseconds, else in seconds, rounded.
    pub millis: bool,
    /// As a point in time, else as time left.
    pub absolute: bool,
}

/// A read, borrowed from the query's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query<'a> {
    /// A value or nil.
    Get(&'a [u8]),
    /// Values or nils.
    Many(List<'a>),
    /// How many of the keys are there, counting repeated ones again.
    Count(List<'a>),
    /// The length of a value.
    Length(&'a [u8]),
    /// When a key dies; -1 if never, -2 if it is not there.
    Life {
        /// The key.
        key: &'a [u8],
        /// In which unit.
        unit: LifeUnit,
    },
    /// The type's name.
    Kind(&'a [u8]),
    /// A part of a value, both ends included, negative ones counted from the end.
    Range {
        /// The key.
        key: &'a [u8],
        /// The first byte.
        start: i64,
        /// The last byte.
        end: i64,
    },
    /// How many keys the group has.
    Size,
    /// A page of keys.
    Scan {
        /// The place to go on from.
        from: u64,
        /// About how many keys to look at.
        count: u64,
        /// Which of them to give.
        pattern: &'a [u8],
    },
    /// All keys that match.
    Keys(&'a [u8]),
    /// How many keys a slot has.
    SlotSize(u16),
}

fn start(operation: u8, stamp: u64, operands: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(10 + operands);
    out.push(VERSION);
    out.push(operation);
    out.extend_from_slice(&stamp.to_le_bytes());
    out
}

fn over_keys<'k>(operation: u8, stamp: u64, keys: impl Iterator<Item = &'k [u8]> + Clone) -> Bytes {
    let mut out = start(operation, stamp, keys.clone().map(bytes_size).sum());
    keys.for_each(|key| put_bytes(&mut out, key));
    out.into()
}

/// A query for the values of these keys.
pub fn many<'k>(stamp: u64, keys: impl Iterator<Item = &'k [u8]> + Clone) -> Bytes {
    over_keys(MANY, stamp, keys)
}

/// A query for how many of these keys are there.
pub fn count<'k>(stamp: u64, keys: impl Iterator<Item = &'k [u8]> + Clone) -> Bytes {
    over_keys(COUNT, stamp, keys)
}

impl<'a> Query<'a> {
    /// The query's bytes, stamped with the clock of the node that asks.
    #[must_use]
    pub fn encode(&self, stamp: u64) -> Bytes {
        let of_key = |operation, key: &[u8]| {
            let mut out = start(operation, stamp, key.len());
            out.extend_from_slice(key);
            out
        };
        match *self {
            Self::Get(key) => of_key(GET, key),
            Self::Length(key) => of_key(LENGTH, key),
            Self::Kind(key) => of_key(KIND, key),
            Self::Keys(pattern) => of_key(KEYS, pattern),
            Self::Many(keys) => return many(stamp, keys.iter().collect::<Vec<_>>().into_iter()),
            Self::Count(keys) => return count(stamp, keys.iter().collect::<Vec<_>>().into_iter()),
            Self::Life { key, unit } => {
                let mut out = start(LIFE, stamp, 1 + key.len());
                out.push(u8::from(unit.millis) | u8::from(unit.absolute) << 1);
                out.extend_from_slice(key);
                out
            }
            Self::Range { key, start: first, end } => {
                let mut out = start(RANGE, stamp, 16 + key.len());
                out.extend_from_slice(&first.to_le_bytes());
                out.extend_from_slice(&end.to_le_bytes());
                out.extend_from_slice(key);
                out
            }
            Self::Size => start(SIZE, stamp, 0),
            Self::Scan { from, count, pattern } => {
                let mut out = start(SCAN, stamp, 20 + pattern.len());
                put_varint(&mut out, from);
                put_varint(&mut out, count);
                out.extend_from_slice(pattern);
                out
            }
            Self::SlotSize(slot) => {
                let mut out = start(SLOT_SIZE, stamp, 3);
                put_varint(&mut out, u64::from(slot));
                out
            }
        }
        .into()
    }

    /// The stamp and the query in these bytes; none if they are not a query.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<(u64, Self)> {
        let mut reader = Reader(bytes);
        if reader.u8()? != VERSION {
            return None;
        }
        let operation = reader.u8()?;
        let stamp = reader.u64()?;
        let query = match operation {
            GET => Self::Get(reader.rest()),
            LENGTH => Self::Length(reader.rest()),
            KIND => Self::Kind(reader.rest()),
            KEYS => Self::Keys(reader.rest()),
            MANY => Self::Many(reader.list()?),
            COUNT => Self::Count(reader.list()?),
            LIFE => {
                let flags = reader.u8()?;
                let unit = LifeUnit { millis: flags & 1 != 0, absolute: flags & 2 != 0 };
                (flags < 4).then_some(Self::Life { key: reader.rest(), unit })?
            }
            RANGE => {
                let (start, end) = (reader.i64()?, reader.i64()?);
                Self::Range { key: reader.rest(), start, end }
            }
            SIZE => Self::Size,
            SCAN => {
                let (from, count) = (reader.varint()?, reader.varint()?);
                Self::Scan { from, count, pattern: reader.rest() }
            }
            SLOT_SIZE => Self::SlotSize(u16::try_from(reader.varint()?).ok()?),
            _ => return None,
        };
        reader.is_empty().then_some((stamp, query))
    }
}

/// The stamp of a query.
pub(crate) fn stamp(bytes: &[u8]) -> Option<u64> {
    Query::decode(bytes).map(|(stamp, _)| stamp)
}
