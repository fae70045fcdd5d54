//! Outcomes as replies.

use engine::{GroupId, NodeView, Outcome, RequestError};

use crate::command::{Merge, cursor, next_group, split_cursor};
use crate::gather::Gather;
use crate::kv::number::Decimal;
use crate::kv::{Answer, Items};
use crate::resp::Writer;
use crate::server::DoorCounters;
use crate::slots::SlotMap;
use crate::topology::{client_addr, elsewhere};

const NOT_AN_ANSWER: &str = "ERR the group's answer was not understood";
const NOT_SERVED: &str = "CLUSTERDOWN Hash slot not served: its group has no leader at the moment";
const STOPPED: &str = "CLUSTERDOWN Hash slot not served: this replica of its group has stopped";
const TOO_LARGE: &str = "ERR the command is larger than a log entry may be";

/// The reply to a request for one group.
pub(super) fn outcome(
    outcome: &Outcome,
    slot: u16,
    view: &NodeView,
    writer: &mut Writer<'_>,
    counters: &DoorCounters,
) {
    match outcome {
        Ok(bytes) => answer(bytes, writer, counters),
        Err(failure) => error(failure, slot, view, writer, counters),
    }
}

fn answer(bytes: &[u8], writer: &mut Writer<'_>, counters: &DoorCounters) {
    match Answer::decode(bytes) {
        Some(Answer::Bulk(bytes)) => writer.bulk(bytes),
        Some(Answer::Status(word)) => writer.status_bytes(word),
        Some(Answer::Integer(n)) => writer.integer(n),
        Some(Answer::Nil) => writer.nil(),
        Some(Answer::Array(all)) => {
            writer.array(all.len());
            items(all, writer);
        }
        Some(Answer::Error(text)) => {
            counters.errors.add(1);
            writer.error_bytes(text);
        }
        Some(Answer::Page { .. } | Answer::Behind { .. }) | None => {
            counters.errors.add(1);
            writer.error(NOT_AN_ANSWER);
        }
    }
}

fn items(items: Items<'_>, writer: &mut Writer<'_>) {
    items.iter().for_each(|item| writer.bulk_or_nil(item));
}

/// The reply to a request that failed: what a client may conclude from it is in the table of the
/// design.
pub(super) fn error(
    error: &RequestError,
    slot: u16,
    view: &NodeView,
    writer: &mut Writer<'_>,
    counters: &DoorCounters,
) {
    let moved_to = match *error {
        // Clients give up on a node that is gone sooner than on a group without a leader.
        RequestError::NotLeader { leader } => Some(leader).filter(|node| view.is_connected(*node)),
        RequestError::UnknownGroup(group) => elsewhere(view, group),
        _ => None,
    };
    if let Some(addr) = moved_to.and_then(|node| client_addr(view, node)) {
        counters.redirects.add(1);
        return writer.error(&format!("MOVED {slot} {}:{}", addr.ip(), addr.port()));
    }
    counters.errors.add(1);
    match *error {
        RequestError::NotLeader { .. } | RequestError::UnknownGroup(_) | RequestError::NoLeader => {
            writer.error(NOT_SERVED)
        }
        RequestError::Stopped => writer.error(STOPPED),
        RequestError::TooLarge => writer.error(TOO_LARGE),
        RequestError::Busy { retry_after } => {
            let millis = retry_after.as_millis();
            writer.error(&format!("OVERLOADED retry_after_ms={millis} reason=requests"));
        }
        RequestError::Uncertain { id } => {
            writer.error(&format!("UNCERTAIN {} {}", id.term, id.index));
        }
    }
}

/// The reply to a request for many groups. A group that is not led here any more counts for
/// nothing; any other failure is the reply.
pub(super) fn gathered(
    gather: &Gather,
    view: &NodeView,
    slots: SlotMap,
    writer: &mut Writer<'_>,
    counters: &DoorCounters,
) {
    if let Some((group, failure)) = gather.failure() {
        let done = gather.answers().count();
        if gather.merge() == Merge::All && done > 0 {
            // Part of the write is in a log: nothing may be said that makes clients send it again
            // unasked.
            counters.errors.add(1);
            let all = gather.expected();
            return writer
                .error(&format!("UNCERTAIN only {done} of {all} groups did it: {failure}"));
        }
        let (slot, failure) = match failure {
            // There is no one node to send the whole command to.
            RequestError::NotLeader { .. } | RequestError::UnknownGroup(_) => {
                (0, RequestError::NoLeader)
            }
            failure => (slots.range_of(group).map_or(0, |range| range.first), failure),
        };
        return error(&failure, slot, view, writer, counters);
    }
    let refused = gather.answers().find(|(_, a)| matches!(a, Answer::Error(_)));
    if let Some((_, Answer::Error(text))) = refused {
        counters.errors.add(1);
        return writer.error_bytes(text);
    }
    match gather.merge() {
        Merge::Sum => {
            let sum = gather.answers().map(|(_, a)| if let Answer::Integer(n) = a { n } else { 0 });
            writer.integer(sum.sum());
        }
        Merge::All => writer.status("OK"),
        Merge::Join => {
            let arrays = || {
                gather.answers().filter_map(|(_, a)| match a {
                    Answer::Array(all) => Some(all),
                    _ => None,
                })
            };
            writer.array(arrays().map(|all| all.len()).sum());
            arrays().for_each(|all| items(all, writer));
        }
        Merge::Page { cursor } => page(cursor, gather, view, writer),
    }
}

/// A page of one group's keys, and the cursor: a place in that group, or the next group led here.
fn page(asked: u64, gather: &Gather, view: &NodeView, writer: &mut Writer<'_>) {
    let Some(group) = gather.last_group() else {
        return writer.error(NOT_AN_ANSWER);
    };
    let page = gather.answers().next();
    let place = match &page {
        Some((_, Answer::Page { next: Some(place), .. })) => cursor(group, *place),
        // In the midst of a group that is led elsewhere now: the next call finds out what that
        // means.
        None if split_cursor(asked).1 > 0 => asked,
        _ => next_group(view, GroupId(group.0 + 1)).map_or(0, |group| cursor(group, 0)),
    };
    writer.array(2);
    writer.bulk(Decimal::unsigned(place).as_bytes());
    match page {
        Some((_, Answer::Page { items: keys, .. })) => {
            writer.array(keys.len());
            items(keys, writer);
        }
        _ => writer.array(0),
    }
}
