//! What will happen, in order of time, then of order of entry.

use std::collections::BTreeMap;

use engine::{GroupId, Outcome};
use wal::op::OpId;

use crate::Nanos;
use crate::faults::Ending;
use crate::network::Side;
use crate::workload::Action;

/// Something that happens.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A node may have something to do.
    Turn { node: usize },
    /// A connection is asked for.
    Knock { conn: u64 },
    /// A dialled connection stands.
    Connected { conn: u64 },
    /// Bytes come in on one side of a connection.
    Arrive { conn: u64, to: Side, bytes: Vec<u8> },
    /// One side of a connection learns that it has ended.
    Closed { conn: u64, side: Side },
    /// The disk has ended a write of a life of a node.
    DiskDone { node: usize, life: u64, op: OpId },
    /// A new segment file is ready, if there is room.
    Segment { node: usize, life: u64 },
    /// A node has done the first of its work on snapshots.
    Work { node: usize, life: u64 },
    /// A client's request reaches a node.
    Request { node: usize, client: usize, ticket: u64, group: GroupId, action: Action },
    /// An answer reaches a client; none if its connection broke.
    Reply { client: usize, ticket: u64, outcome: Option<Outcome> },
    /// A client has waited long enough.
    GiveUp { client: usize, ticket: u64 },
    /// A client does the next thing.
    Think { client: usize },
    /// Something goes wrong.
    Fault,
    /// What went wrong ends.
    Mend(Ending),
    /// A node starts.
    Start { node: usize },
    /// The faults end.
    Heal,
    /// The clients end.
    Quiet,
    /// Everything must have come to rest.
    Judge,
}

/// The events to come.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    events: BTreeMap<(Nanos, u64), Event>,
    next: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, at: Nanos, event: Event) {
        self.events.insert((at, self.next), event);
        self.next += 1;
    }

    pub(crate) fn pop(&mut self) -> Option<(Nanos, Event)> {
        self.events.pop_first().map(|((at, _), event)| (at, event))
    }
}
