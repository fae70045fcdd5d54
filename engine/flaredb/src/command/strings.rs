//! Commands on string values.

use super::{Action, Call, Executed, Refusal};
use crate::kv::entry::{Life, Presence, SetAnswer, set_many};
use crate::kv::query::many;
use crate::kv::{Query, Write};

pub(super) fn get(call: &mut Call<'_>) -> Executed {
    call.read(&Query::Get(call.args.at(1)))
}

pub(super) fn strlen(call: &mut Call<'_>) -> Executed {
    call.read(&Query::Length(call.args.at(1)))
}

pub(super) fn getrange(call: &mut Call<'_>) -> Executed {
    let (start, end) = (call.integer(2)?, call.integer(3)?);
    call.read(&Query::Range { key: call.args.at(1), start, end })
}

pub(super) fn mget(call: &mut Call<'_>) -> Executed {
    call.asked(many(call.now, call.args.from(1)))
}

/// The options of SET and GETEX.
#[derive(Clone, Copy)]
struct Options {
    life: Option<Life>,
    /// The option that gives a time, and where its argument is.
    timing: Option<(Timing, usize)>,
    presence: Presence,
    old: bool,
}

/// Reads options from argument `from` on; `SET` has more of them than `GETEX`.
fn options(call: &Call<'_>, from: usize, is_set: bool) -> Result<Options, Refusal> {
    let mut options = Options { life: None, timing: None, presence: Presence::Any, old: false };
    let mut number = from;
    while number < call.args.len() {
        let word = call.args.at(number);
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        let unset = options.timing.is_none();
        let may_time = unset && options.life.is_none();
        let has_next = number + 1 < call.args.len();
        if is_set && is("nx") && options.presence != Presence::Present {
            options.presence = Presence::Absent;
        } else if is_set && is("xx") && options.presence != Presence::Absent {
            options.presence = Presence::Present;
        } else if is_set && is("get") {
            options.old = true;
        } else if is_set && is("keepttl") && unset {
            options.life = Some(Life::Keep);
        } else if !is_set && is("persist") && unset {
            options.life = Some(Life::Forever);
        } else if let (Some(kind), true, true) = (Timing::of(word), may_time, has_next) {
            // Read only when all options are known to be well-formed, as Redis does.
            options.timing = Some((kind, number + 1));
            number += 1;
        } else {
            return Err(Refusal::SYNTAX);
        }
        number += 1;
    }
    if let Some((timing, argument)) = options.timing {
        options.life = Some(timing.life(call, argument)?);
    }
    Ok(options)
}

/// The ways to say when a key dies.
#[derive(Clone, Copy)]
enum Timing {
    InSeconds,
    InMillis,
    AtSecond,
    AtMilli,
}

impl Timing {
    fn of(word: &[u8]) -> Option<Self> {
        let all = [
            ("ex", Self::InSeconds),
            ("px", Self::InMillis),
            ("exat", Self::AtSecond),
            ("pxat", Self::AtMilli),
        ];
        let found = all.into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, timing)| timing)
    }

    /// The life that an argument gives; it must be positive and must not overflow.
    fn life(self, call: &Call<'_>, number: usize) -> Result<Life, Refusal> {
        let bad = || Refusal::bad_expire(call.spec.name);
        let given = call.integer(number)?;
        let millis = match self {
            Self::InSeconds | Self::AtSecond => given.checked_mul(1000).ok_or_else(bad)?,
            Self::InMillis | Self::AtMilli => given,
        };
        if millis <= 0 {
            return Err(bad());
        }
        if matches!(self, Self::AtSecond | Self::AtMilli) {
            return Ok(Life::At(millis));
        }
        millis.checked_add_unsigned(call.now).ok_or_else(bad)?;
        Ok(Life::In(millis))
    }
}

pub(super) fn set(call: &mut Call<'_>) -> Executed {
    let (key, value) = (call.args.at(1), call.args.at(2));
    let (mut life, mut presence, mut answer) = (Life::Forever, Presence::Any, SetAnswer::Status);
    if call.args.len() > 3 {
        let options = options(call, 3, true)?;
        life = options.life.unwrap_or(Life::Forever);
        presence = options.presence;
        answer = if options.old { SetAnswer::Old } else { SetAnswer::Status };
    }
    call.write(&Write::Set { key, value, life, presence, answer })
}

pub(super) fn setnx(call: &mut Call<'_>) -> Executed {
    call.write(&Write::Set {
        key: call.args.at(1),
        value: call.args.at(2),
        life: Life::Forever,
        presence: Presence::Absent,
        answer: SetAnswer::Flag,
    })
}

pub(super) fn setex(call: &mut Call<'_>) -> Executed {
    set_for(call, Timing::InSeconds)
}

pub(super) fn psetex(call: &mut Call<'_>) -> Executed {
    set_for(call, Timing::InMillis)
}

fn set_for(call: &mut Call<'_>, timing: Timing) -> Executed {
    call.write(&Write::Set {
        key: call.args.at(1),
        value: call.args.at(3),
        life: timing.life(call, 2)?,
        presence: Presence::Any,
        answer: SetAnswer::Status,
    })
}

pub(super) fn getset(call: &mut Call<'_>) -> Executed {
    call.write(&Write::Set {
        key: call.args.at(1),
        value: call.args.at(2),
        life: Life::Forever,
        presence: Presence::Any,
        answer: SetAnswer::Old,
    })
}

pub(super) fn getdel(call: &mut Call<'_>) -> Executed {
    call.write(&Write::Take(call.args.at(1)))
}

pub(super) fn getex(call: &mut Call<'_>) -> Executed {
    let key = call.args.at(1);
    match options(call, 2, false)?.life {
        None => call.read(&Query::Get(key)),
        Some(life) => call.write(&Write::GetExpire { key, life }),
    }
}

pub(super) fn append(call: &mut Call<'_>) -> Executed {
    let bytes_max = call.server().settings().value_bytes_max as u64;
    call.write(&Write::Append { key: call.args.at(1), tail: call.args.at(2), bytes_max })
}

pub(super) fn setrange(call: &mut Call<'_>) -> Executed {
    let offset = u64::try_from(call.integer(2)?).map_err(|_| Refusal::BAD_OFFSET)?;
    let (key, part) = (call.args.at(1), call.args.at(3));
    let bytes_max = call.server().settings().value_bytes_max as u64;
    if !part.is_empty() && offset.saturating_add(part.len() as u64) > bytes_max {
        return Err(Refusal::TOO_LONG);
    }
    call.write(&Write::SetRange { key, offset, part, bytes_max })
}

fn add(call: &mut Call<'_>, delta: i64) -> Executed {
    call.write(&Write::Add { key: call.args.at(1), delta })
}

pub(super) fn incr(call: &mut Call<'_>) -> Executed {
    add(call, 1)
}

pub(super) fn decr(call: &mut Call<'_>) -> Executed {
    add(call, -1)
}

pub(super) fn incrby(call: &mut Call<'_>) -> Executed {
    let delta = call.integer(2)?;
    add(call, delta)
}

pub(super) fn decrby(call: &mut Call<'_>) -> Executed {
    let delta = call.integer(2)?.checked_neg().ok_or(Refusal::DECREMENT)?;
    add(call, delta)
}

pub(super) fn mset(call: &mut Call<'_>) -> Executed {
    set_pairs(call, false)
}

pub(super) fn msetnx(call: &mut Call<'_>) -> Executed {
    set_pairs(call, true)
}

fn set_pairs(call: &mut Call<'_>, only_if_none: bool) -> Result<Action, Refusal> {
    if call.args.len() % 2 == 0 {
        return Err(Refusal::arity(call.spec.name));
    }
    call.written(set_many(call.now, call.args.from(1), only_if_none))
}
