//! Commands on keys of whatever type, and on all keys.

use engine::{GroupId, NodeView, Op};

use super::{Action, Call, Executed, Merge, Refusal};
use crate::kv::entry::{ExpireIf, Life, delete};
use crate::kv::number::parse_u64;
use crate::kv::query::{LifeUnit, count};
use crate::kv::{PLACE_BITS, Query, Write};
use crate::topology::may_answer;

pub(super) fn del(call: &mut Call<'_>) -> Executed {
    call.written(delete(call.now, call.args.from(1)))
}

pub(super) fn exists(call: &mut Call<'_>) -> Executed {
    call.asked(count(call.now, call.args.from(1)))
}

pub(super) fn kind(call: &mut Call<'_>) -> Executed {
    call.read(&Query::Kind(call.args.at(1)))
}

fn life(call: &Call<'_>, millis: bool, absolute: bool) -> Executed {
    call.read(&Query::Life { key: call.args.at(1), unit: LifeUnit { millis, absolute } })
}

pub(super) fn ttl(call: &mut Call<'_>) -> Executed {
    life(call, false, false)
}

pub(super) fn pttl(call: &mut Call<'_>) -> Executed {
    life(call, true, false)
}

pub(super) fn expiretime(call: &mut Call<'_>) -> Executed {
    life(call, false, true)
}

pub(super) fn pexpiretime(call: &mut Call<'_>) -> Executed {
    life(call, true, true)
}

/// EXPIRE and its kin: `unit` milliseconds each, from now on or since 1970.
fn expire_in(call: &mut Call<'_>, unit: i64, absolute: bool) -> Executed {
    let when = expire_if(call)?;
    let given = call.integer(2)?;
    let bad = || Refusal::bad_expire(call.spec.name);
    let millis = given.checked_mul(unit).ok_or_else(bad)?;
    if !absolute {
        millis.checked_add_unsigned(call.now).ok_or_else(bad)?;
    }
    let life = if absolute { Life::At(millis) } else { Life::In(millis) };
    call.write(&Write::Expire { key: call.args.at(1), life, when })
}

fn expire_if(call: &Call<'_>) -> Result<ExpireIf, Refusal> {
    let mut flags = 0;
    for word in call.args.from(3) {
        flags |= match word.to_ascii_lowercase().as_slice() {
            b"nx" => ExpireIf::NX,
            b"xx" => ExpireIf::XX,
            b"gt" => ExpireIf::GT,
            b"lt" => ExpireIf::LT,
            _ => return Err(Refusal::unsupported_option(word)),
        };
    }
    let when = ExpireIf(flags);
    if when.has(ExpireIf::NX) && when.has(ExpireIf::XX | ExpireIf::GT | ExpireIf::LT) {
        return Err(Refusal::EXPIRE_NX);
    }
    if when.has(ExpireIf::GT) && when.has(ExpireIf::LT) {
        return Err(Refusal::EXPIRE_GT);
    }
    Ok(when)
}

pub(super) fn expire(call: &mut Call<'_>) -> Executed {
    expire_in(call, 1000, false)
}

pub(super) fn pexpire(call: &mut Call<'_>) -> Executed {
    expire_in(call, 1, false)
}

pub(super) fn expireat(call: &mut Call<'_>) -> Executed {
    expire_in(call, 1000, true)
}

pub(super) fn pexpireat(call: &mut Call<'_>) -> Executed {
    expire_in(call, 1, true)
}

pub(super) fn persist(call: &mut Call<'_>) -> Executed {
    call.write(&Write::Persist(call.args.at(1)))
}

pub(super) fn dbsize(call: &mut Call<'_>) -> Executed {
    Ok(Action::Gather(Merge::Sum, Op::Read(Query::Size.encode(call.now))))
}

pub(super) fn keys(call: &mut Call<'_>) -> Executed {
    let query = Query::Keys(call.args.at(1)).encode(call.now);
    Ok(Action::Gather(Merge::Join, Op::Read(query)))
}

pub(super) fn flush(call: &mut Call<'_>) -> Executed {
    let mode = call.args.len() == 1 || call.is(1, "async") || call.is(1, "sync");
    if call.args.len() > 2 || !mode {
        return Err(Refusal::SYNTAX);
    }
    Ok(Action::Gather(Merge::All, Op::Write(Write::Clear.encode(call.now))))
}

pub(super) fn scan(call: &mut Call<'_>) -> Executed {
    let cursor = parse_u64(call.args.at(1)).ok_or(Refusal::BAD_CURSOR)?;
    let (mut count, mut pattern, mut possible) = (10, &b"*"[..], true);
    let mut number = 2;
    while number < call.args.len() {
        let value = number + 1;
        if value == call.args.len() {
            return Err(Refusal::SYNTAX);
        }
        if call.is(number, "count") {
            let given = call.integer(value)?;
            count = u64::try_from(given).ok().filter(|n| *n > 0).ok_or(Refusal::SYNTAX)?;
        } else if call.is(number, "match") {
            pattern = call.args.at(value);
        } else if call.is(number, "type") {
            possible = call.is(value, "string");
        } else {
            return Err(Refusal::SYNTAX);
        }
        number += 2;
    }
    let (first, from) = split_cursor(cursor);
    let group = next_group(call.view, first).filter(|_| possible);
    if from > 0 && group != Some(first) && possible {
        // To go on with another group would pass over keys that were there all the time.
        return Err(Refusal::SCAN_MOVED);
    }
    let Some(group) = group else {
        let mut writer = call.writer();
        writer.array(2);
        writer.bulk(b"0");
        writer.array(0);
        return Ok(Action::Replied);
    };
    let query = Query::Scan { from, count, pattern }.encode(call.now);
    Ok(Action::Page { cursor, group, op: Op::Read(query) })
}

/// The first group from this one on that is scanned here.
pub(crate) fn next_group(view: &NodeView, from: GroupId) -> Option<GroupId> {
    view.groups().iter().filter(|g| g.id >= from).find(|g| may_answer(view, g)).map(|g| g.id)
}

/// The group and the place in it that a cursor names. The cursor 0 is the first place of the first
/// group.
pub(crate) fn split_cursor(cursor: u64) -> (GroupId, u64) {
    (GroupId((cursor >> PLACE_BITS) + 1), cursor & ((1 << PLACE_BITS) - 1))
}

/// The cursor of a place in a group.
pub(crate) fn cursor(group: GroupId, place: u64) -> u64 {
    (group.0.saturating_sub(1) << PLACE_BITS) | place
}
