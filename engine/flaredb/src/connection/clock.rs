//! Reads that find the group clock behind: it is advanced by an entry, then they are answered.
//!
//! A read whose answer depends on what died between the group clock and the read's stamp can be
//! answered only when the clock is there by the log. It is asked again then, unless this connection
//! has meanwhile written to the group: asked again it would see what was sent after it. What the
//! answer would have been at its place had the clock been there came with the first answer, and
//! holds: the later write has moved the clock at least as far.

use bytes::Bytes;
use engine::{Door, Op, Outcome, RequestError, Ticket};

use super::{Connection, State, group_of};
use crate::kv::{Answer, Write, query};

/// A read that waits for the group clock to be advanced.
#[derive(Debug)]
pub(super) struct Advance {
    ticket: Ticket,
    query: Bytes,
    /// What the answer was at the read's place in the log, had the clock been there.
    then: Bytes,
}

impl Connection {
    /// Handles what comes of a read because the group clock was behind. Gives the outcome back if
    /// it is the client's.
    pub(super) fn settle_clock(
        &mut self,
        ticket: Ticket,
        outcome: Outcome,
        door: &mut Door<'_>,
    ) -> Option<Outcome> {
        if let Some(place) = self.advancing.iter().position(|waiting| waiting.ticket == ticket) {
            let Advance { query, then, .. } = self.advancing.swap_remove(place);
            return match outcome {
                Ok(_) if self.wrote_after(ticket) => Some(Ok(then)),
                Ok(_) => {
                    door.submit(group_of(ticket), Op::Read(query), ticket);
                    None
                }
                // The client only reads: whether the clock was advanced makes no difference to it.
                Err(RequestError::Uncertain { .. }) => Some(Err(RequestError::NoLeader)),
                Err(error) => Some(Err(error)),
            };
        }
        let Ok(answer) = &outcome else {
            return Some(outcome);
        };
        let Some(Answer::Behind { query, then }) = Answer::decode(answer) else {
            return Some(outcome);
        };
        let stamp = query::stamp(query).unwrap_or(0).max(door.unix_ms());
        let (query, then) = (answer.slice_ref(query), answer.slice_ref(then));
        self.advancing.push(Advance { ticket, query, then });
        door.submit(group_of(ticket), Op::Write(Write::AdvanceClock.encode(stamp)), ticket);
        None
    }

    /// Whether something was sent to the group of this request after it that may have changed the
    /// answer.
    fn wrote_after(&self, ticket: Ticket) -> bool {
        let group = group_of(ticket);
        let after = self.place_of(ticket).saturating_add(1);
        self.queue.iter().skip(after).any(|pending| {
            let all_groups = matches!(pending.state, State::Gathering(_));
            pending.writes && (all_groups || self.server.slots().group_of(pending.slot) == group)
        })
    }
}
