//! What clients do to keys, what one copy of a key would answer, and what they know afterwards.

use bytes::Bytes;
use flaredb::kv::entry::{Life, Presence, SetAnswer};
use flaredb::kv::{Answer, Query, Write};

use engine::{GroupId, Op};

use crate::Nanos;

/// How long a value of these tests may get, in bytes.
const VALUE_BYTES_MAX: u64 = 1 << 20;

/// A thing done to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Get,
    Set(Vec<u8>),
    /// Sets if the key is absent; answers 1 or 0.
    SetAbsent(Vec<u8>),
    /// Sets if the key is present; answers the old value.
    Swap(Vec<u8>),
    /// Removes the key; answers its value.
    Take,
    Append(Vec<u8>),
    Add(i64),
    /// Sets with a life; never judged by value, only by the digests of replicas.
    SetFor(Vec<u8>, i64),
}

/// A deed and the key it is done to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Action {
    pub(crate) key: String,
    pub(crate) deed: Deed,
}

/// What a key answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Done,
    Number(i64),
    Text(Vec<u8>),
    Nil,
    Wrong,
}

/// What a key holds.
pub(crate) type Value = Option<Vec<u8>>;

impl Action {
    pub(crate) fn is_read(&self) -> bool {
        self.deed == Deed::Get
    }

    /// The request, stamped with the clock of the node it came to.
    pub(crate) fn op(&self, stamp_ms: u64) -> Op {
        let key = self.key.as_bytes();
        let (forever, always, status) = (Life::Forever, Presence::Any, SetAnswer::Status);
        let set = |value, life, presence, answer| Write::Set { key, value, life, presence, answer };
        let write = match &self.deed {
            Deed::Get => return Op::Read(Query::Get(key).encode(stamp_ms)),
            Deed::Set(value) => set(value, forever, always, status),
            Deed::SetAbsent(value) => set(value, forever, Presence::Absent, SetAnswer::Flag),
            Deed::Swap(value) => set(value, forever, Presence::Present, SetAnswer::Old),
            Deed::SetFor(value, ms) => set(value, Life::In(*ms), always, status),
            Deed::Take => Write::Take(key),
            Deed::Append(tail) => Write::Append { key, tail, bytes_max: VALUE_BYTES_MAX },
            Deed::Add(delta) => Write::Add { key, delta: *delta },
        };
        Op::Write(write.encode(stamp_ms))
    }

    /// What one copy of the key would hold afterwards, and what it would say.
    pub(crate) fn apply(&self, value: &Value) -> (Value, Said) {
        let text = |value: &Value| value.clone().map_or(Said::Nil, Said::Text);
        match &self.deed {
            Deed::Get => (value.clone(), text(value)),
            Deed::Set(new) | Deed::SetFor(new, _) => (Some(new.clone()), Said::Done),
            Deed::SetAbsent(new) => match value {
                None => (Some(new.clone()), Said::Number(1)),
                Some(_) => (value.clone(), Said::Number(0)),
            },
            Deed::Swap(new) => match value {
                None => (None, Said::Nil),
                Some(_) => (Some(new.clone()), text(value)),
            },
            Deed::Take => (None, text(value)),
            Deed::Append(tail) => {
                let mut new = value.clone().unwrap_or_default();
                new.extend_from_slice(tail);
                let len = new.len() as i64;
                (Some(new), Said::Number(len))
            }
            Deed::Add(delta) => {
                let digits = value.as_deref().map_or(Some("0"), |v| std::str::from_utf8(v).ok());
                match digits.and_then(|d| d.parse::<i64>().ok()) {
                    Some(n) => {
                        let sum = n + delta;
                        (Some(sum.to_string().into_bytes()), Said::Number(sum))
                    }
                    None => (value.clone(), Said::Wrong),
                }
            }
        }
    }
}

/// What the bytes of an answer say.
pub(crate) fn said(bytes: &Bytes) -> Said {
    match Answer::decode(bytes) {
        Some(Answer::Status(_)) => Said::Done,
        Some(Answer::Integer(n)) => Said::Number(n),
        Some(Answer::Bulk(text)) => Said::Text(text.to_vec()),
        Some(Answer::Nil) => Said::Nil,
        _ => Said::Wrong,
    }
}

/// One operation of one client.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) client: usize,
    pub(crate) action: Action,
    pub(crate) started: Nanos,
    /// When it was answered and how; nothing if that is not known.
    pub(crate) answer: Option<(Nanos, Said)>,
}

impl Operation {
    /// When it was answered; never, if its fate is unknown.
    pub(crate) fn ended(&self) -> Nanos {
        self.answer.as_ref().map_or(Nanos::MAX, |(at, _)| *at)
    }
}

/// A client under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Client {
    /// The request that is waited for; zero if none.
    pub(crate) ticket: u64,
    pub(crate) current: Option<(Action, Nanos)>,
    pub(crate) group: GroupId,
    pub(crate) tries: u32,
    /// Where the leader of each group was last.
    pub(crate) hints: Vec<usize>,
    /// An action whose fate is unknown, to be done once more as a new one.
    pub(crate) again: Option<(Action, GroupId)>,
}
