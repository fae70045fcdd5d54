//! Replies as a client reads them: for the load generator and the tests.

use crate::kv::number::parse_i64;

/// Replies nested deeper than this are refused.
const DEPTH_MAX: usize = 8;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A word.
    Status(Vec<u8>),
    /// An error.
    Error(Vec<u8>),
    /// A number.
    Integer(i64),
    /// A byte string, verbatim text included.
    Bulk(Vec<u8>),
    /// Nothing.
    Nil,
    /// An array or a set.
    Array(Vec<Reply>),
    /// A map.
    Map(Vec<(Reply, Reply)>),
}

/// The bytes are no reply. The connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what the server sent is not RESP")]
pub struct BadReply;

impl Reply {
    /// The reply at the front of `input` and its length; none if it is unfinished.
    ///
    /// # Errors
    /// The bytes are no reply.
    pub fn parse(input: &[u8]) -> Result<Option<(Self, usize)>, BadReply> {
        let mut at = 0;
        match parse(input, &mut at, 0) {
            Ok(reply) => Ok(Some((reply, at))),
            Err(Stop::Unfinished) => Ok(None),
            Err(Stop::Bad) => Err(BadReply),
        }
    }

    /// The text of a byte string or a word.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Status(bytes) | Self::Bulk(bytes) => Some(bytes),
            _ => None,
        }
    }
}

enum Stop {
    Unfinished,
    Bad,
}

fn parse(input: &[u8], at: &mut usize, depth: usize) -> Result<Reply, Stop> {
    let rest = input.get(*at..).unwrap_or_default();
    let end = rest.windows(2).position(|pair| pair == b"\r\n").ok_or(Stop::Unfinished)?;
    let (kind, line) = rest[..end].split_first().ok_or(Stop::Bad)?;
    *at += end + 2;
    let length = || parse_i64(line).ok_or(Stop::Bad);
    Ok(match kind {
        b'+' => Reply::Status(line.to_vec()),
        b'-' => Reply::Error(line.to_vec()),
        b':' => Reply::Integer(length()?),
        b'_' => Reply::Nil,
        b'$' | b'=' => {
            let length = length()?;
            let Ok(length) = usize::try_from(length) else {
                return Ok(Reply::Nil);
            };
            let whole = input.get(*at..*at + length + 2).ok_or(Stop::Unfinished)?;
            *at += length + 2;
            let text = &whole[..length];
            Reply::Bulk(if *kind == b'=' { text.get(4..).unwrap_or(text) } else { text }.to_vec())
        }
        b'*' | b'~' | b'%' if depth >= DEPTH_MAX => return Err(Stop::Bad),
        b'*' | b'~' => {
            let length = length()?;
            if length < 0 {
                return Ok(Reply::Nil);
            }
            let items: Result<_, _> = (0..length).map(|_| parse(input, at, depth + 1)).collect();
            Reply::Array(items?)
        }
        b'%' => {
            let mut pairs = Vec::new();
            for _ in 0..length()? {
                pairs.push((parse(input, at, depth + 1)?, parse(input, at, depth + 1)?));
            }
            Reply::Map(pairs)
        }
        _ => return Err(Stop::Bad),
    })
}

/// Appends a command as a client sends it.
pub fn put_command(out: &mut Vec<u8>, args: &[&[u8]]) {
    let mut writer = super::Writer::new(out, super::Version::Two);
    writer.array(args.len());
    for arg in args {
        writer.bulk(arg);
    }
}
