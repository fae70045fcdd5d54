//! Answers of the state machine: typed, so that the door can render them for RESP2 and RESP3 alike.

use super::codec::{Reader, put_bytes, put_varint};

const STATUS: u8 = b'+';
const ERROR: u8 = b'-';
const INTEGER: u8 = b':';
const BULK: u8 = b'$';
const NIL: u8 = b'_';
const ARRAY: u8 = b'*';
const PAGE: u8 = b'~';
const BEHIND: u8 = b'!';

/// No item of an array may be this long; it stands for nil.
const NIL_LENGTH: u64 = u32::MAX as u64;

/// An answer, borrowed from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// A word such as `OK`.
    Status(&'a [u8]),
    /// An error with its code.
    Error(&'a [u8]),
    /// A number.
    Integer(i64),
    /// A byte string.
    Bulk(&'a [u8]),
    /// Nothing.
    Nil,
    /// Byte strings and nils.
    Array(Items<'a>),
    /// A page of a scan and the place to go on from; none at the end.
    Page {
        /// The place to go on from.
        next: Option<u64>,
        /// The keys.
        items: Items<'a>,
    },
    /// The group clock is behind the query's stamp, and that matters: advance it and ask this query
    /// again.
    Behind {
        /// The query.
        query: &'a [u8],
        /// What its answer would be now if the clock were not behind.
        then: &'a [u8],
    },
}

/// The items of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Items<'a> {
    len: usize,
    bytes: &'a [u8],
}

impl<'a> Items<'a> {
    /// How many items there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The items in order; none is nil.
    pub fn iter(&self) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a> {
        let mut reader = Reader(self.bytes);
        (0..self.len).map(move |_| item(&mut reader).flatten())
    }
}

fn item<'a>(reader: &mut Reader<'a>) -> Option<Option<&'a [u8]>> {
    let mut ahead = *reader;
    if ahead.varint()? == NIL_LENGTH {
        *reader = ahead;
        return Some(None);
    }
    reader.bytes().map(Some)
}

impl<'a> Answer<'a> {
    /// The answer in these bytes; none if they are no answer.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        Some(match reader.u8()? {
            STATUS => Self::Status(reader.rest()),
            ERROR => Self::Error(reader.rest()),
            INTEGER => Self::Integer(reader.i64()?),
            BULK => Self::Bulk(reader.rest()),
            NIL => Self::Nil,
            ARRAY => Self::Array(items(&mut reader)?),
            PAGE => {
                let next = reader.u64()?;
                let next = (next != u64::MAX).then_some(next);
                Self::Page { next, items: items(&mut reader)? }
            }
            BEHIND => Self::Behind { query: reader.bytes()?, then: reader.rest() },
            _ => return None,
        })
    }
}

fn items<'a>(reader: &mut Reader<'a>) -> Option<Items<'a>> {
    let len = usize::try_from(reader.u64()?).ok()?;
    let bytes = reader.rest();
    (len <= bytes.len()).then_some(Items { len, bytes })
}

pub(super) fn status(out: &mut Vec<u8>, word: &str) {
    out.push(STATUS);
    out.extend_from_slice(word.as_bytes());
}

pub(super) fn error(out: &mut Vec<u8>, text: &str) {
    out.push(ERROR);
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn integer(out: &mut Vec<u8>, n: i64) {
    out.push(INTEGER);
    out.extend_from_slice(&n.to_le_bytes());
}

pub(super) fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(BULK);
    out.extend_from_slice(bytes);
}

pub(super) fn nil(out: &mut Vec<u8>) {
    out.push(NIL);
}

pub(super) fn bulk_or_nil(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => bulk(out, bytes),
        None => nil(out),
    }
}

/// The start of an answer to a query that is ahead of the clock; what it would be follows.
pub(super) fn behind(out: &mut Vec<u8>, query: &[u8]) {
    out.push(BEHIND);
    put_bytes(out, query);
}

/// An array or page under construction at the end of a reply.
pub(super) struct ArrayWriter<'a> {
    out: &'a mut Vec<u8>,
    head: usize,
    len: u64,
}

impl<'a> ArrayWriter<'a> {
    pub(super) fn array(out: &'a mut Vec<u8>) -> Self {
        out.push(ARRAY);
        let head = out.len();
        out.extend_from_slice(&[0; 8]);
        Self { out, head, len: 0 }
    }

    pub(super) fn page(out: &'a mut Vec<u8>) -> Self {
        out.push(PAGE);
        let head = out.len();
        out.extend_from_slice(&[0; 16]);
        Self { out, head, len: 0 }
    }

    pub(super) fn item(&mut self, item: Option<&[u8]>) {
        match item {
            Some(bytes) => put_bytes(self.out, bytes),
            None => put_varint(self.out, NIL_LENGTH),
        }
        self.len += 1;
    }

    /// How long it is by now.
    pub(super) fn bytes(&self) -> usize {
        self.out.len() - self.head
    }

    pub(super) fn finish_array(self) {
        self.out[self.head..self.head + 8].copy_from_slice(&self.len.to_le_bytes());
    }

    pub(super) fn finish_page(self, next: Option<u64>) {
        let next = next.unwrap_or(u64::MAX).to_le_bytes();
        self.out[self.head..self.head + 8].copy_from_slice(&next);
        self.out[self.head + 8..self.head + 16].copy_from_slice(&self.len.to_le_bytes());
    }
}
