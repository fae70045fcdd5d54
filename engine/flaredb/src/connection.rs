//! A client's connection: commands in, requests to groups, replies out in the order asked.
//!
//! A reply that is ready while nothing before it is outstanding goes straight to the output.
//! Otherwise it takes its place in a queue, whose front is always a request still outstanding.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use engine::{ConnectionInfo, Door, GroupId, Op, Outcome, Protocol, RequestError, Ticket};

use crate::command::{self, Action, Call, Merge, Refusal};
use crate::gather::Gather;
use crate::resp::{Limits, Parser, ProtocolError, Version, Writer};
use crate::server::{DoorCounters, Server};
use crate::session::{Session, is_local};
use crate::slots::SlotMap;
use crate::topology::{elsewhere, may_answer};
use budget::Budget;
use clock::Advance;

mod budget;
mod clock;
mod render;

/// Parsing pauses while this many bytes of replies wait for an earlier one, or in the output.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// A ticket is the number of the request in its connection, then the group's place in so many bits.
const GROUP_BITS: u32 = 16;

/// The protocol of one connection.
#[derive(Debug)]
pub struct Connection {
    server: Arc<Server>,
    session: Session,
    parser: Parser,
    shard: usize,
    /// Replies that cannot be sent yet.
    queue: VecDeque<Pending>,
    /// The number of the request at the front of the queue.
    front: u64,
    /// Reads that wait for the group clock to be advanced.
    advancing: Vec<Advance>,
    /// The latest clock that a request was stamped with: a clock set back must not reorder
    /// requests.
    now: u64,
    budget: Budget,
    /// Bytes of finished replies in the queue.
    waiting_bytes: usize,
    scratch: Vec<u8>,
    /// Whether the client may not connect from where it is.
    denied: bool,
    closing: bool,
}

#[derive(Debug)]
struct Pending {
    slot: u16,
    version: Version,
    /// Keys it asks about.
    keys: u32,
    /// Whether it may change what later requests read.
    writes: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// A group has not answered yet.
    Outstanding,
    /// Not all groups have answered yet.
    Gathering(Box<Gather>),
    /// The outcome is known, but an earlier one is not.
    Known(Outcome),
    /// The reply itself is known, but an earlier one is not.
    Written(Vec<u8>),
}

impl Connection {
    /// The protocol of a new connection: what the engine's builder asks for.
    #[must_use]
    pub fn new(info: ConnectionInfo, server: Arc<Server>) -> Self {
        let denied = server.settings().password.is_none() && !is_local(info.peer);
        Self {
            session: Session::new(info.id, info.peer, Arc::clone(&server)),
            server,
            parser: Parser::default(),
            shard: info.shard,
            queue: VecDeque::new(),
            front: 0,
            advancing: Vec::new(),
            now: 0,
            budget: Budget::default(),
            waiting_bytes: 0,
            scratch: Vec::new(),
            denied,
            closing: false,
        }
    }

    /// Executes the command that the parser has found.
    fn execute(&mut self, input: &[u8], door: &mut Door<'_>) {
        let args = self.parser.args(input);
        if args.is_empty() {
            return;
        }
        self.now = self.now.max(door.unix_ms());
        let (view, now) = (door.view(), self.now);
        let Some(spec) = command::find(args.at(0)) else {
            let refusal = Refusal::unknown_command(args.at(0), args.from(1));
            // What a browser sends first: somebody is made to talk to us who does not know it.
            self.closing |=
                [&b"post"[..], b"host:"].iter().any(|word| args.at(0).eq_ignore_ascii_case(word));
            return self.refuse(&refusal, door);
        };
        if !spec.allows(args.len()) {
            return self.refuse(&Refusal::arity(spec.name), door);
        }
        if !self.session.authenticated && spec.flags & command::NO_AUTH == 0 {
            return self.refuse(&Refusal::NO_AUTH, door);
        }
        let slot = match command::slot(spec, &args) {
            Ok(slot) => slot,
            Err(refusal) => return self.refuse(&refusal, door),
        };
        let group = self.server.slots().group_of(slot.unwrap_or(0));
        if let Some(slot) = slot {
            if let Some(leader) = elsewhere(view, group) {
                let error = RequestError::NotLeader { leader };
                return self.reply(door, |writer, counters, _| {
                    render::error(&error, slot, view, writer, counters);
                });
            }
        }
        let direct = self.queue.is_empty();
        let out = if direct { door.output() } else { &mut self.scratch };
        let mut call = Call { args, spec, now, view, session: &mut self.session, out };
        match (spec.run)(&mut call) {
            Ok(Action::Keyed(op)) => {
                let keys = if matches!(op, Op::Read(_)) { spec.keys(args.len()) } else { 0 };
                self.ask(slot.unwrap_or(0), group, keys, op, door);
            }
            Ok(Action::Slot(slot, op)) => {
                let group = self.server.slots().group_of(slot);
                self.ask(slot, group, 0, op, door);
            }
            Ok(Action::Page { cursor, group, op }) => {
                self.submit_all(Merge::Page { cursor }, &[group], &op, door);
            }
            Ok(Action::Gather(merge, op)) => {
                let view = door.view();
                let groups: Vec<GroupId> =
                    view.groups().iter().filter(|g| may_answer(view, g)).map(|g| g.id).collect();
                self.submit_all(merge, &groups, &op, door);
            }
            Ok(Action::Replied) => self.queue_scratch(direct),
            Ok(Action::Close) => {
                self.queue_scratch(direct);
                self.closing = true;
            }
            Err(refusal) => self.refuse(&refusal, door),
        }
    }

    /// Asks the group of a slot.
    fn ask(&mut self, slot: u16, group: GroupId, keys: usize, op: Op, door: &mut Door<'_>) {
        let ticket = self.ticket(group);
        let writes = matches!(op, Op::Write(_));
        self.push(slot, keys, writes, State::Outstanding);
        door.submit(group, op, ticket);
    }

    /// Asks groups for what becomes one reply.
    fn submit_all(&mut self, merge: Merge, groups: &[GroupId], op: &Op, door: &mut Door<'_>) {
        let gather = Gather::new(merge, groups.len());
        if groups.is_empty() {
            let view = door.view();
            return self.reply(door, |writer, counters, slots| {
                render::gathered(&gather, view, slots, writer, counters);
            });
        }
        for group in groups {
            door.submit(*group, op.clone(), self.ticket(*group));
        }
        let writes = matches!(op, Op::Write(_));
        self.push(0, 0, writes, State::Gathering(Box::new(gather)));
    }

    /// The ticket of the next request, to this group.
    fn ticket(&self, group: GroupId) -> Ticket {
        let number = self.front + self.queue.len() as u64;
        Ticket(number << GROUP_BITS | group.0.saturating_sub(1))
    }

    /// Where in the queue the request with this ticket is.
    fn place_of(&self, ticket: Ticket) -> usize {
        let number = (ticket.0 >> GROUP_BITS).wrapping_sub(self.front);
        usize::try_from(number).unwrap_or(usize::MAX)
    }

    fn push(&mut self, slot: u16, keys: usize, writes: bool, state: State) {
        let (version, keys) = (self.session.version, u32::try_from(keys).unwrap_or(u32::MAX));
        self.budget.add(keys);
        self.queue.push_back(Pending { slot, version, keys, writes, state });
    }

    /// Writes a reply in its turn.
    fn reply(
        &mut self,
        door: &mut Door<'_>,
        write: impl FnOnce(&mut Writer<'_>, &DoorCounters, SlotMap),
    ) {
        let direct = self.queue.is_empty();
        let out = if direct { door.output() } else { &mut self.scratch };
        let mut writer = Writer::new(out, self.session.version);
        write(&mut writer, self.server.door(self.shard), self.server.slots());
        self.queue_scratch(direct);
    }

    /// Queues what was written to the scratch buffer, unless it was written to the output.
    fn queue_scratch(&mut self, direct: bool) {
        if direct || self.scratch.is_empty() {
            return;
        }
        self.waiting_bytes += self.scratch.len();
        if let Some(Pending { state: State::Written(bytes), .. }) = self.queue.back_mut() {
            bytes.append(&mut self.scratch);
            return;
        }
        let bytes = std::mem::take(&mut self.scratch);
        self.push(0, 0, false, State::Written(bytes));
    }

    fn refuse(&mut self, refusal: &Refusal, door: &mut Door<'_>) {
        self.reply(door, |writer, counters, _| {
            counters.errors.add(1);
            writer.error_bytes(refusal.text());
        });
    }

    fn fail(&mut self, error: ProtocolError, door: &mut Door<'_>) {
        self.reply(door, |writer, counters, _| {
            counters.protocol_errors.add(1);
            writer.error(&format!("ERR Protocol error: {error}"));
        });
        self.closing = true;
    }

    fn limits(&self) -> &Limits {
        if self.session.authenticated { self.server.limits() } else { &Limits::STRANGER }
    }

    /// Whether no more commands may be taken for now.
    fn is_full(&self, door: &mut Door<'_>) -> bool {
        door.is_full()
            || self.waiting_bytes > WAITING_BYTES_MAX
            || self.budget.is_spent()
            || door.output().len() > WAITING_BYTES_MAX
    }

    /// Sends the replies at the front of the queue that are known.
    fn flush(&mut self, door: &mut Door<'_>) {
        let view = door.view();
        while let Some(pending) = self.queue.front() {
            let counters = self.server.door(self.shard);
            let mut writer = Writer::new(door.output(), pending.version);
            match &pending.state {
                State::Outstanding => break,
                State::Gathering(gather) if !gather.is_complete() => break,
                State::Gathering(gather) => {
                    render::gathered(gather, view, self.server.slots(), &mut writer, counters);
                }
                State::Known(outcome) => {
                    self.waiting_bytes -= outcome.as_ref().map_or(0, Bytes::len);
                    render::outcome(outcome, pending.slot, view, &mut writer, counters);
                }
                State::Written(bytes) => {
                    self.waiting_bytes -= bytes.len();
                    writer.out.extend_from_slice(bytes);
                }
            }
            self.queue.pop_front();
            self.front += 1;
        }
        if self.closing && self.queue.is_empty() {
            door.close();
        }
    }
}

fn group_of(ticket: Ticket) -> GroupId {
    GroupId((ticket.0 & ((1 << GROUP_BITS) - 1)) + 1)
}

impl Protocol for Connection {
    fn on_bytes(&mut self, input: &mut BytesMut, door: &mut Door<'_>) {
        if self.denied && !self.closing {
            self.refuse(&Refusal::DENIED, door);
            self.closing = true;
        }
        let mut taken = 0;
        let mut commands = 0;
        while !self.closing && !self.is_full(door) {
            let limits = *self.limits();
            match self.parser.next(&input[taken..], &limits) {
                Ok(Some(length)) => {
                    commands += 1;
                    self.execute(&input[taken..], door);
                    taken += length;
                }
                Ok(None) => break,
                Err(error) => self.fail(error, door),
            }
        }
        self.server.door(self.shard).commands.add(commands);
        self.server.sample(door.view(), door.unix_ms());
        if self.closing {
            input.clear();
            self.flush(door);
        } else {
            input.advance(taken);
            if !input.is_empty() && self.is_full(door) {
                door.hold();
            }
        }
    }

    fn on_outcome(&mut self, ticket: Ticket, outcome: Outcome, door: &mut Door<'_>) {
        let Some(outcome) = self.settle_clock(ticket, outcome, door) else {
            return;
        };
        let number = self.place_of(ticket);
        let Some(pending) = self.queue.get_mut(number) else {
            return;
        };
        if let State::Gathering(gather) = &mut pending.state {
            gather.add(group_of(ticket), outcome);
            if gather.is_complete() {
                self.budget.done(pending.keys, 0);
            }
            return self.flush(door);
        }
        let length = outcome.as_ref().map_or(0, Bytes::len);
        self.budget.done(pending.keys, length);
        if number == 0 {
            // The fast path: nothing waits before it.
            let counters = self.server.door(self.shard);
            let view = door.view();
            let mut writer = Writer::new(door.output(), pending.version);
            render::outcome(&outcome, pending.slot, view, &mut writer, counters);
            self.queue.pop_front();
            self.front += 1;
        } else {
            self.waiting_bytes += length;
            pending.state = State::Known(outcome);
        }
        self.flush(door);
    }
}
