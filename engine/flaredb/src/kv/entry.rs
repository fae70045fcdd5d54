//! Log entries: what a write command is once the door has understood it.
//!
//! Layout: version (1), operation (1), the leader's clock in milliseconds (8, little endian),
//! operands. All that a replica needs to apply the entry is in it, limits and times included.

use bytes::Bytes;

use super::codec::{List, Reader, bytes_size, put_bytes, put_varint};

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 10;

const ADVANCE: u8 = 0;
const SET: u8 = 1;
const DELETE: u8 = 2;
const TAKE: u8 = 3;
const ADD: u8 = 4;
const APPEND: u8 = 5;
const SET_MANY: u8 = 6;
const EXPIRE: u8 = 7;
const PERSIST: u8 = 8;
const CLEAR: u8 = 9;
const SET_RANGE: u8 = 10;
const GET_EXPIRE: u8 = 11;

/// When a key is to die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Never.
    Forever,
    /// When it would have died anyway.
    Keep,
    /// So many milliseconds after the group clock at apply.
    In(i64),
    /// At this millisecond since 1970.
    At(i64),
}

/// Whether a key must or must not be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Either way.
    Any,
    /// Only if the key is absent (NX).
    Absent,
    /// Only if the key is present (XX).
    Present,
}

/// What SET and its kin answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetAnswer {
    /// `OK`, or nil if the presence forbade it.
    Status,
    /// The old value or nil.
    Old,
    /// 1 if the value was set, else 0.
    Flag,
}

/// Whether an expiry may replace the one there is: a set of flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpireIf(pub u8);

impl ExpireIf {
    /// Only if the key has no expiry.
    pub const NX: u8 = 1;
    /// Only if the key has an expiry.
    pub const XX: u8 = 2;
    /// Only if the new expiry is later; no expiry counts as the latest.
    pub const GT: u8 = 4;
    /// Only if the new expiry is earlier; no expiry counts as the latest.
    pub const LT: u8 = 8;

    /// Whether the flag is set.
    #[must_use]
    pub fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }
}

/// A write, borrowed from the entry's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write<'a> {
    /// Only moves the group clock on, and buries what that kills.
    AdvanceClock,
    /// Sets a value.
    Set {
        /// The key.
        key: &'a [u8],
        /// Its new value.
        value: &'a [u8],
        /// When it dies.
        life: Life,
        /// Under what condition it is set.
        presence: Presence,
        /// What is answered.
        answer: SetAnswer,
    },
    /// Removes keys; answers how many there were.
    Delete(List<'a>),
    /// Removes a key; answers its value.
    Take(&'a [u8]),
    /// Adds to an integer value; answers the sum.
    Add {
        /// The key.
        key: &'a [u8],
        /// What to add.
        delta: i64,
    },
    /// Appends to a value; answers the new length.
    Append {
        /// The key.
        key: &'a [u8],
        /// What to append.
        tail: &'a [u8],
        /// How many bytes the value may have.
        bytes_max: u64,
    },
    /// Overwrites a part of a value, with zero bytes up to it if need be; answers the new length.
    SetRange {
        /// The key.
        key: &'a [u8],
        /// Where the part starts.
        offset: u64,
        /// The part.
        part: &'a [u8],
        /// How many bytes the value may have.
        bytes_max: u64,
    },
    /// Sets many values: keys and values by turns.
    SetMany {
        /// Keys and values.
        pairs: List<'a>,
        /// Whether to do nothing and answer 0 if one of the keys is there (MSETNX).
        only_if_none: bool,
    },
    /// Sets when a key dies; answers 1 if it did.
    Expire {
        /// The key.
        key: &'a [u8],
        /// When it dies.
        life: Life,
        /// Under what condition.
        when: ExpireIf,
    },
    /// Answers a value and sets when the key dies.
    GetExpire {
        /// The key.
        key: &'a [u8],
        /// When it dies.
        life: Life,
    },
    /// Lets a key live for ever; answers 1 if it was to die.
    Persist(&'a [u8]),
    /// Removes all keys of the group.
    Clear,
}

fn start(operation: u8, stamp: u64, operands: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + operands);
    out.push(VERSION);
    out.push(operation);
    out.extend_from_slice(&stamp.to_le_bytes());
    out
}

fn put_life(out: &mut Vec<u8>, life: Life) {
    let (tag, at) = match life {
        Life::Forever => (0, None),
        Life::Keep => (1, None),
        Life::In(ms) => (2, Some(ms)),
        Life::At(ms) => (3, Some(ms)),
    };
    out.push(tag);
    if let Some(ms) = at {
        out.extend_from_slice(&ms.to_le_bytes());
    }
}

fn life(reader: &mut Reader<'_>) -> Option<Life> {
    Some(match reader.u8()? {
        0 => Life::Forever,
        1 => Life::Keep,
        2 => Life::In(reader.i64()?),
        3 => Life::At(reader.i64()?),
        _ => return None,
    })
}

/// An entry that removes these keys.
pub fn delete<'k>(stamp: u64, keys: impl Iterator<Item = &'k [u8]> + Clone) -> Bytes {
    let mut out = start(DELETE, stamp, keys.clone().map(bytes_size).sum());
    keys.for_each(|key| put_bytes(&mut out, key));
    out.into()
}

/// An entry that sets these keys and values, which come by turns.
pub fn set_many<'k>(
    stamp: u64,
    pairs: impl Iterator<Item = &'k [u8]> + Clone,
    only_if_none: bool,
) -> Bytes {
    let mut out = start(SET_MANY, stamp, 1 + pairs.clone().map(bytes_size).sum::<usize>());
    out.push(u8::from(only_if_none));
    pairs.for_each(|bytes| put_bytes(&mut out, bytes));
    out.into()
}

impl<'a> Write<'a> {
    /// The entry of this write, stamped with the leader's clock.
    #[must_use]
    pub fn encode(&self, stamp: u64) -> Bytes {
        let mut out;
        match *self {
            Self::AdvanceClock => out = start(ADVANCE, stamp, 0),
            Self::Clear => out = start(CLEAR, stamp, 0),
            Self::Set { key, value, life, presence, answer } => {
                let timed = if matches!(life, Life::In(_) | Life::At(_)) { 9 } else { 1 };
                out = start(SET, stamp, 1 + timed + bytes_size(key) + value.len());
                out.push((presence as u8) << 4 | answer as u8);
                put_life(&mut out, life);
                put_bytes(&mut out, key);
                out.extend_from_slice(value);
            }
            Self::Delete(keys) => {
                return delete(stamp, keys.iter().collect::<Vec<_>>().into_iter());
            }
            Self::SetMany { pairs, only_if_none } => {
                return set_many(stamp, pairs.iter().collect::<Vec<_>>().into_iter(), only_if_none);
            }
            Self::Take(key) | Self::Persist(key) => {
                let operation = if matches!(self, Self::Take(_)) { TAKE } else { PERSIST };
                out = start(operation, stamp, key.len());
                out.extend_from_slice(key);
            }
            Self::Add { key, delta } => {
                out = start(ADD, stamp, 8 + key.len());
                out.extend_from_slice(&delta.to_le_bytes());
                out.extend_from_slice(key);
            }
            Self::Append { key, tail, bytes_max } => {
                out = start(APPEND, stamp, 10 + bytes_size(key) + tail.len());
                put_varint(&mut out, bytes_max);
                put_bytes(&mut out, key);
                out.extend_from_slice(tail);
            }
            Self::SetRange { key, offset, part, bytes_max } => {
                out = start(SET_RANGE, stamp, 20 + bytes_size(key) + part.len());
                put_varint(&mut out, bytes_max);
                put_varint(&mut out, offset);
                put_bytes(&mut out, key);
                out.extend_from_slice(part);
            }
            Self::Expire { key, life, when } => {
                out = start(EXPIRE, stamp, 10 + key.len());
                out.push(when.0);
                put_life(&mut out, life);
                out.extend_from_slice(key);
            }
            Self::GetExpire { key, life } => {
                out = start(GET_EXPIRE, stamp, 9 + key.len());
                put_life(&mut out, life);
                out.extend_from_slice(key);
            }
        }
        out.into()
    }

    /// The stamp and the write in these bytes; none if they are not an entry of a version this
    /// build knows.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<(u64, Self)> {
        let mut reader = Reader(bytes);
        if reader.u8()? != VERSION {
            return None;
        }
        let operation = reader.u8()?;
        let stamp = reader.u64()?;
        let write = Self::decode_operation(operation, &mut reader)?;
        reader.is_empty().then_some((stamp, write))
    }

    fn decode_operation(operation: u8, reader: &mut Reader<'a>) -> Option<Self> {
        Some(match operation {
            ADVANCE => Self::AdvanceClock,
            CLEAR => Self::Clear,
            SET => {
                let (presence, answer) = set_flags(reader.u8()?)?;
                let life = life(reader)?;
                let key = reader.bytes()?;
                Self::Set { key, value: reader.rest(), life, presence, answer }
            }
            DELETE => Self::Delete(reader.list()?),
            TAKE => Self::Take(reader.rest()),
            PERSIST => Self::Persist(reader.rest()),
            ADD => Self::Add { delta: reader.i64()?, key: reader.rest() },
            APPEND => {
                let bytes_max = reader.varint()?;
                Self::Append { bytes_max, key: reader.bytes()?, tail: reader.rest() }
            }
            SET_RANGE => {
                let (bytes_max, offset) = (reader.varint()?, reader.varint()?);
                Self::SetRange { bytes_max, offset, key: reader.bytes()?, part: reader.rest() }
            }
            SET_MANY => {
                let only_if_none = match reader.u8()? {
                    0 => false,
                    1 => true,
                    _ => return None,
                };
                let pairs = reader.list()?;
                (pairs.len() % 2 == 0).then_some(Self::SetMany { pairs, only_if_none })?
            }
            EXPIRE => {
                let when = ExpireIf(reader.u8()?);
                Self::Expire { when, life: life(reader)?, key: reader.rest() }
            }
            GET_EXPIRE => Self::GetExpire { life: life(reader)?, key: reader.rest() },
            _ => return None,
        })
    }
}

fn set_flags(flags: u8) -> Option<(Presence, SetAnswer)> {
    let presence = match flags >> 4 {
        0 => Presence::Any,
        1 => Presence::Absent,
        2 => Presence::Present,
        _ => return None,
    };
    let answer = match flags & 0xf {
        0 => SetAnswer::Status,
        1 => SetAnswer::Old,
        2 => SetAnswer::Flag,
        _ => return None,
    };
    Some((presence, answer))
}
