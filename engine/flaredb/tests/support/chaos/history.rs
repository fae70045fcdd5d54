//! What clients did to keys, when, and what a single copy of the key would have said.

use std::fmt;

use crate::support::resp::Reply;

/// When a SET takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Always,
    Absent,
    Present,
}

/// What is done to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Get,
    Set { value: String, when: Condition, get: bool },
    Delete,
    Append(String),
    Increment,
}

impl Action {
    /// An unconditional SET.
    pub(crate) fn set(value: &str) -> Self {
        Self::Set { value: value.to_owned(), when: Condition::Always, get: false }
    }

    /// The command.
    pub(crate) fn words<'a>(&'a self, key: &'a str) -> Vec<&'a str> {
        match self {
            Self::Get => vec!["GET", key],
            Self::Delete => vec!["DEL", key],
            Self::Append(token) => vec!["APPEND", key, token],
            Self::Increment => vec!["INCR", key],
            Self::Set { value, when, get } => {
                let mut words = vec!["SET", key, value];
                match when {
                    Condition::Always => {}
                    Condition::Absent => words.push("NX"),
                    Condition::Present => words.push("XX"),
                }
                if *get {
                    words.push("GET");
                }
                words
            }
        }
    }

    /// What a single copy of the key would hold afterwards, and what it would reply.
    pub(crate) fn apply(&self, state: &Option<String>) -> (Option<String>, Reply) {
        let text = |value: &Option<String>| value.clone().map_or(Reply::Nil, Reply::Text);
        match self {
            Self::Get => (state.clone(), text(state)),
            Self::Delete => (None, Reply::Integer(i64::from(state.is_some()))),
            Self::Append(token) => {
                let value = state.clone().unwrap_or_default() + token;
                let length = value.len() as i64;
                (Some(value), Reply::Integer(length))
            }
            Self::Increment => match state.as_deref().unwrap_or("0").parse::<i64>() {
                Ok(number) => (Some((number + 1).to_string()), Reply::Integer(number + 1)),
                Err(_) => (state.clone(), Reply::Error("not an integer".to_owned())),
            },
            Self::Set { value, when, get } => {
                let does = match when {
                    Condition::Always => true,
                    Condition::Absent => state.is_none(),
                    Condition::Present => state.is_some(),
                };
                let after = if does { Some(value.clone()) } else { state.clone() };
                let reply = match (get, does) {
                    (true, _) => text(state),
                    (false, true) => Reply::Text("OK".to_owned()),
                    (false, false) => Reply::Nil,
                };
                (after, reply)
            }
        }
    }
}

/// How an operation ended, for all that its client knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It took effect before this time and was answered so.
    Known { ended: u64, reply: Reply },
    /// It takes effect at any time after its start, or never.
    Unknown(String),
}

/// One operation of one client; times are nanoseconds since the start of the test.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) client: usize,
    pub(crate) started: u64,
    pub(crate) action: Action,
    pub(crate) outcome: Outcome,
}

impl Operation {
    /// When it was answered; never, if its fate is unknown.
    pub(crate) fn ended(&self) -> u64 {
        match self.outcome {
            Outcome::Known { ended, .. } => ended,
            Outcome::Unknown(_) => u64::MAX,
        }
    }

    pub(crate) fn is_known(&self) -> bool {
        matches!(self.outcome, Outcome::Known { .. })
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |nanos: u64| format!("{:11.6}", nanos as f64 / 1e9);
        let ended = if self.is_known() { seconds(self.ended()) } else { "          ?".to_owned() };
        let words = self.action.words("_").join(" ");
        write!(f, "{} ..{ended}  client {}: {words}", seconds(self.started), self.client)?;
        match &self.outcome {
            Outcome::Known { reply: Reply::Text(text), .. } => write!(f, " -> {text:?}"),
            Outcome::Known { reply, .. } => write!(f, " -> {reply:?}"),
            Outcome::Unknown(why) => write!(f, " -> ? ({why})"),
        }
    }
}
