//! One turn of a node, in the order of the real host: what was completed, what came in, time, the
//! shard, then the log before the sends.

use std::rc::Rc;

use raft_core::{Index, Message, NodeId, Role, Tick};
use wal::op::Completion;
use wal::uring::BEACON_AFTER;

use engine::bare::{BareShard, SnapshotJob};
use net::Bulk;

use crate::cluster::Cluster;
use crate::disk::{Flying, GroupStorage};
use crate::faults::Step;
use crate::lanes::Wire;
use crate::node::{Effects, Host, Input, TICK, done};
use crate::oracle::Note;
use crate::plant::Plant;
use crate::queue::Event;
use crate::workload::{Action, Deed};
use crate::{NANOS_PER_MS, Nanos};

/// Ticks per turn at most: after a stall the frames that wait are read first.
const TICKS_PER_TURN_MAX: u64 = 20;

/// What a turn left behind.
#[derive(Default)]
pub(crate) struct Effect {
    pub(crate) replies: Vec<(u64, engine::Outcome)>,
    pub(crate) notes: Vec<Note>,
}

impl Cluster {
    /// One turn of a node that lives and is not paused.
    pub(crate) fn turn(&mut self, place: usize) {
        let Some(mut host) = self.nodes[place].host.take() else { return };
        let clock = self.nodes[place].clock(self.now);
        host.clock_ms.set(self.nodes[place].wall_ms(self.now));
        let mut effect = Effect::default();
        let poisoned = self.take_in(place, &mut host, clock, &mut effect);
        move_time(&mut host, clock);
        let down = host.lanes.advance_to(clock, &mut self.wire());
        for peer in down {
            host.view.note_connected(peer, false);
            host.lane_lost(peer);
        }
        let own = self.nodes[place].id();
        let plant = self.plant;
        let busy = with_shard(&mut host, own, plant, &mut effect, |shard, io| {
            if poisoned {
                shard.fail(io);
            }
            shard.turn(io)
        });
        let stopped = host.shard.has_failed();
        self.nodes[place].host = Some(host);
        self.look(place, effect);
        if self.passes(place, Step::BeforeSubmit) {
            return;
        }
        self.submit(place, clock);
        if self.passes(place, Step::BeforeSend) {
            return;
        }
        let wire = &mut Wire { now: self.now, network: &mut self.network, queue: &mut self.queue };
        if let Some(host) = &mut self.nodes[place].host {
            host.lanes.flush(clock, wire);
        }
        if self.passes(place, Step::AfterSend) {
            return;
        }
        if stopped {
            return self.kill(place, false);
        }
        self.sleep(place, busy);
    }

    pub(crate) fn wire(&mut self) -> Wire<'_> {
        Wire { now: self.now, network: &mut self.network, queue: &mut self.queue }
    }

    /// Everything that waited for the turn. True if the log has failed.
    fn take_in(
        &mut self,
        place: usize,
        host: &mut Host,
        clock: Nanos,
        effect: &mut Effect,
    ) -> bool {
        let own = self.nodes[place].id();
        for input in std::mem::take(&mut host.inputs) {
            match input {
                Input::Done { op, failed } => {
                    if let Some(flying) = crate::disk::NodeLog::land(&mut host.flying, op) {
                        let result = if failed { -5 } else { flying.op.len as i32 };
                        let done = Completion { id: op, result };
                        host.log.log.borrow_mut().complete(done);
                    }
                }
                Input::Segment { id, recycled } => {
                    host.ordered -= 1;
                    let (salt, mut log) = (self.rng.next(), host.log.log.borrow_mut());
                    if recycled {
                        log.offer_recycled(id, salt, 0);
                    } else {
                        log.offer(id, salt, 0);
                    }
                }
                Input::Knock { conn } => host.lanes.knocked(conn),
                Input::Connected { conn } => host.lanes.connected(conn, clock, &mut self.wire()),
                Input::Closed { conn } => {
                    if let Some(peer) = host.lanes.closed(conn, clock) {
                        host.view.note_connected(peer, false);
                        host.lane_lost(peer);
                    }
                }
                Input::Bytes { conn, bytes } => {
                    self.lane_bytes(host, own, conn, &bytes, clock, effect);
                }
                Input::News(news) => {
                    with_shard(host, own, self.plant, effect, |shard, io| {
                        shard.snapshot_news(news, io);
                    });
                }
                Input::Request { ticket, group, action } => {
                    self.ask(place, host, ticket, group, &action, effect);
                }
            }
        }
        let log = host.log.log.borrow();
        let writer = log.writer();
        let early = self.plant == Some(Plant::AckBeforeDurable);
        let mark = if early { writer.appended() } else { writer.durable() };
        host.shard.durable(mark.0);
        writer.poisoned().is_some()
    }

    fn lane_bytes(
        &mut self,
        host: &mut Host,
        own: NodeId,
        conn: u64,
        bytes: &[u8],
        clock: Nanos,
        effect: &mut Effect,
    ) {
        let Some((peer, came_up)) = host.lanes.received(conn, bytes, clock, &mut self.wire())
        else {
            return;
        };
        if came_up {
            host.lane_lost(peer);
            host.view.note_connected(peer, true);
            let lanes = &host.lanes;
            host.shard.campaign_where_preferred(|node| node == own || lanes.is_up(node));
        }
        loop {
            match host.lanes.next_message(peer) {
                Ok(Some((group, message))) => self.step(host, own, peer, group, message),
                Ok(None) => break,
                Err(error) => {
                    effect.notes.push(Note::Wrong(format!("a lane was damaged: {error}")));
                    return;
                }
            }
        }
        while let Some(bulk) = host.lanes.next_bulk(peer) {
            if let Bulk::Piece(piece) = bulk {
                host.jobs.push(SnapshotJob::Keep { from: peer, piece });
            }
        }
    }

    fn step(
        &mut self,
        host: &mut Host,
        own: NodeId,
        from: NodeId,
        group: raft_core::GroupId,
        mut message: Message,
    ) {
        let others = (1..=self.plan.nodes as u64).map(NodeId);
        let other = others.clone().find(|n| *n != own && *n != from);
        let again = match (&message, self.plant) {
            (Message::RequestVoteReply(m), Some(Plant::CountVoteTwice)) => m.granted,
            (Message::PreVoteReply(m), Some(Plant::CountVoteTwice)) => m.granted,
            (Message::AppendEntriesReply(_), Some(Plant::CountAckTwice)) => true,
            _ => false,
        };
        if let (Message::AppendEntries(m), Some(Plant::IgnorePrevTerm)) = (&mut message, self.plant)
        {
            let replica = host.shard.raft().replica(group);
            let here = replica.and_then(|r| r.term_at(m.prev.index));
            m.prev.term = here.filter(|_| m.prev.index > Index(0)).unwrap_or(m.prev.term);
        }
        if let Some(other) = other.filter(|_| again) {
            host.shard.step(group, other, message.clone());
        }
        host.shard.step(group, from, message);
    }

    fn ask(
        &mut self,
        place: usize,
        host: &mut Host,
        ticket: u64,
        group: raft_core::GroupId,
        action: &Action,
        effect: &mut Effect,
    ) {
        let op = action.op(self.nodes[place].wall_ms(self.now));
        let leads = host.shard.raft().replica(group).is_some_and(|r| r.role() == Role::Leader);
        let at_once = match self.plant {
            Some(Plant::AnyReplicaReads) => action.is_read(),
            Some(Plant::LeaderReadsAtOnce) => action.is_read() && leads,
            Some(Plant::EarlyAnswer) => leads && matches!(action.deed, Deed::Set(_)),
            _ => false,
        };
        host.asked.insert(ticket, at_once);
        if at_once {
            let mut reply = done().to_vec();
            if let (engine::Op::Read(query), Some(machine)) = (&op, host.shard.machine(group)) {
                reply.clear();
                machine.read(query, &mut reply);
            }
            effect.replies.push((ticket, Ok(reply.into())));
            if action.is_read() {
                host.asked.remove(&ticket);
                return;
            }
        }
        let own = self.nodes[place].id();
        with_shard(host, own, self.plant, effect, |shard, io| {
            shard.request(group, op, ticket, io);
        });
    }

    /// Starts the writes that may start, and orders segments ahead of need.
    fn submit(&mut self, place: usize, clock: Nanos) {
        let node = &mut self.nodes[place];
        let (life, slowness) = (node.life, node.disk_slowness);
        let Some(host) = &mut node.host else { return };
        let shared = Rc::clone(&host.log);
        let mut log = shared.log.borrow_mut();
        while let Some(freed) = log.take_freed() {
            if freed.reusable {
                host.freed.push_back(freed.segment);
            } else {
                shared.disk.borrow_mut().files.remove(&freed.segment);
            }
        }
        let mut relocations = Vec::new();
        log.relocations(&mut relocations);
        for what in relocations {
            if let Ok(entry) = shared.entry(&log, what.group, what.id.index) {
                log.relocate(&what, &entry);
            }
        }
        let target = if log.writer().has_segment() { 2 } else { 1 };
        for _ in log.writer().spares() + host.ordered..target {
            host.ordered += 1;
            let at = self.now + self.rng.between(1, 20) * NANOS_PER_MS * slowness;
            self.queue.push(at, Event::Segment { node: place, life });
        }
        if !log.writer().wants_beacon() {
            host.beacon_at = None;
        } else {
            let due = *host.beacon_at.get_or_insert(clock + BEACON_AFTER.as_nanos() as u64);
            if clock >= due {
                log.writer_mut().beacon();
                host.beacon_at = None;
            }
        }
        let (now, rng) = (self.now, &mut self.rng);
        for job in host.jobs.drain(..) {
            // In order: work on files is done by one thread.
            let at = host.desk.free_at.max(now) + rng.between(20, 5_000) * 1000 * slowness;
            host.desk.free_at = at;
            host.desk.queued.push_back(job);
            self.queue.push(at, Event::Work { node: place, life });
        }
        while let Some(op) = log.next_op() {
            let bytes = log.writer().op_bytes(&op).to_vec();
            let words = [4, place as u64, op.segment.0, op.offset, crate::hash(&bytes)];
            self.trace.note(self.now, &words, || {
                format!("node {} writes {} bytes at {}", place + 1, bytes.len(), op.offset)
            });
            host.flying.push(Flying { op, bytes });
            let nanos = self.plan.write_nanos * slowness;
            let at = self.now + nanos / 2 + self.rng.below(nanos);
            self.queue.push(at, Event::DiskDone { node: place, life, op: op.id });
        }
    }

    /// When the node turns next, if nothing comes in.
    fn sleep(&mut self, place: usize, busy: bool) {
        let node = &self.nodes[place];
        let Some(host) = &node.host else { return };
        let log = host.log.log.borrow();
        let busy = busy || log.is_relocating() && log.writer().is_idle();
        drop(log);
        if busy {
            let at = self.now + 20_000;
            return self.wake(place, at);
        }
        let raft = host
            .shard
            .next_deadline()
            .map(|at| host.ticked + TICK * at.0.saturating_sub(host.shard.now().0).min(1_000_000));
        let due = [raft, host.lanes.next_deadline(), host.beacon_at].into_iter().flatten().min();
        if let Some(due) = due {
            let at = node.when(due).max(self.now + 1000);
            self.wake(place, at);
        }
    }
}

/// Lets `act` work with the shard and its surroundings.
pub(crate) fn with_shard<R>(
    host: &mut Host,
    own: NodeId,
    plant: Option<Plant>,
    effect: &mut Effect,
    act: impl FnOnce(&mut BareShard<GroupStorage>, &mut Effects<'_>) -> R,
) -> R {
    let mut io = Effects {
        own,
        log: &host.log,
        lanes: &mut host.lanes,
        asked: &mut host.asked,
        terms: &mut host.terms,
        shelf: &host.shelf,
        newest: &host.newest,
        jobs: &mut host.jobs,
        sending: &mut host.sending,
        replies: &mut effect.replies,
        notes: &mut effect.notes,
        plant,
        twice: std::collections::BTreeSet::new(),
    };
    act(&mut host.shard, &mut io)
}

/// Raft's time follows the node's clock, but after a stall only in steps.
fn move_time(host: &mut Host, clock: Nanos) {
    let passed = clock.saturating_sub(host.ticked) / TICK;
    let step = passed.min(TICKS_PER_TURN_MAX);
    host.ticked = if passed > step { clock } else { host.ticked + TICK * step };
    let now = Tick(host.shard.now().0 + step);
    host.shard.advance_to(now);
}
