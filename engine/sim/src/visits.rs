//! What events do: turns, connections, disks, and clients with their requests and answers.

use engine::bare::SnapshotJob;
use engine::{GroupId, Outcome, RequestError};

use crate::cluster::Cluster;
use crate::faults::Step;
use crate::node::Input;
use crate::plant::Plant;
use crate::queue::Event;
use crate::workload::{Action, Client, Deed, Operation, said};
use crate::{NANOS_PER_MS, Nanos};
use wal::record::BLOCK_BYTES;

/// How long a key is used; then its clients go on to the next, so that histories stay short.
const KEY_LIFE: Nanos = 4000 * NANOS_PER_MS;

impl Cluster {
    pub(crate) fn happen(&mut self, event: Event) {
        match event {
            Event::Turn { node } => self.turn_if_due(node),
            Event::Knock { conn } => self.knock(conn),
            Event::Connected { conn } => self.deliver(conn, 0, Input::Connected { conn }),
            Event::Arrive { conn, to, bytes } => {
                let words = [1, conn, to as u64, crate::hash(&bytes)];
                self.trace.note(self.now, &words, || {
                    format!("connection {conn} side {to}: {} bytes", bytes.len())
                });
                self.deliver(conn, to, Input::Bytes { conn, bytes });
            }
            Event::Closed { conn, side } => {
                self.deliver(conn, side, Input::Closed { conn });
                self.network.close(self.now, conn, side, true, &mut self.queue);
            }
            Event::DiskDone { node, life, op } => self.disk_done(node, life, op),
            Event::Segment { node, life } => self.segment(node, life),
            Event::Work { node, life } => self.work(node, life),
            Event::Request { node, client, ticket, group, action } => {
                self.request(node, client, ticket, group, action);
            }
            Event::Reply { client, ticket, outcome } => self.replied(client, ticket, outcome),
            Event::GiveUp { client, ticket } => self.give_up(client, ticket),
            Event::Think { client } => self.think(client),
            Event::Fault => self.go_wrong(),
            Event::Mend(ending) => self.mend(ending),
            Event::Start { node } => self.start(node),
            Event::Heal => self.heal(),
            Event::Quiet => self.quiet = true,
            Event::Judge => self.judge(),
        }
    }

    fn turn_if_due(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        if node.turn_at != Some(self.now) {
            return;
        }
        node.turn_at = None;
        if node.paused_until > self.now {
            let at = node.paused_until;
            return self.wake(place, at);
        }
        self.trace.note(self.now, &[0, place as u64], || format!("node {} turns", place + 1));
        self.turn(place);
    }

    fn knock(&mut self, conn: u64) {
        let Some(nodes) = self.network.conns.get(&conn).map(|c| c.nodes) else { return };
        if self.nodes[nodes[1]].host.is_some() {
            self.network.accepted(self.now, conn, &mut self.queue);
            self.give(nodes[1], Input::Knock { conn });
        } else {
            self.network.close(self.now, conn, 1, false, &mut self.queue);
        }
    }

    fn deliver(&mut self, conn: u64, side: usize, input: Input) {
        let Some(nodes) = self.network.conns.get(&conn).map(|c| c.nodes) else { return };
        let place = nodes[side];
        if self.network.is_open(conn, side) {
            self.give(place, input);
        } else if self.nodes[place].host.is_some() {
            // A machine that came back knows nothing of this connection and says so.
            self.network.close(self.now, conn, side, false, &mut self.queue);
        }
    }

    fn disk_done(&mut self, place: usize, life: u64, op: wal::op::OpId) {
        let node = &mut self.nodes[place];
        if node.life != life || node.host.is_none() {
            return;
        }
        let failed = std::mem::take(&mut node.write_fails);
        let lies = self.plant == Some(Plant::LyingDisk) && op.0 % 8 == 5;
        if let Some(host) = &node.host {
            let flying = host.flying.iter().find(|f| f.op.id == op);
            if let Some(flying) = flying.filter(|_| !failed && !lies) {
                node.disk.borrow_mut().write(flying);
            }
        }
        if !self.passes(place, Step::WriteDone) {
            self.give(place, Input::Done { op, failed });
        }
    }

    fn segment(&mut self, place: usize, life: u64) {
        let node = &mut self.nodes[place];
        let never = self.plant == Some(Plant::NoRoomForEver) && node.was_full;
        if node.life != life || node.host.is_none() {
            return;
        }
        if node.disk_full || never {
            let at = self.now + 50 * NANOS_PER_MS;
            return self.queue.push(at, Event::Segment { node: place, life });
        }
        let Some(host) = &mut node.host else { return };
        let id = wal::op::SegmentId(host.next_segment);
        host.next_segment += 1;
        let old = host.freed.pop_front();
        let mut disk = node.disk.borrow_mut();
        let file = old.and_then(|old| disk.files.remove(&old));
        let recycled = file.is_some();
        let mut file = file.unwrap_or_else(|| vec![0; self.plan.segment_bytes as usize]);
        // Of a segment that was freed everything is still there but its header.
        file[..BLOCK_BYTES].fill(0);
        disk.files.insert(id, file);
        drop(disk);
        if !self.passes(place, Step::SegmentMade) {
            self.give(place, Input::Segment { id, recycled });
        }
    }

    /// Work on snapshots is done, or lost with the life it was for.
    fn work(&mut self, place: usize, life: u64) {
        let node = &mut self.nodes[place];
        let Some(host) = node.host.as_mut().filter(|_| node.life == life) else { return };
        let Some(job) = host.desk.queued.pop_front() else { return };
        let publishes = matches!(job, SnapshotJob::End | SnapshotJob::Keep { .. });
        let news = host.desk.work(job, &mut host.shelf.borrow_mut(), self.plant);
        if publishes && self.passes(place, Step::SnapshotMade) {
            return;
        }
        news.into_iter().for_each(|news| self.give(place, Input::News(news)));
    }

    fn start(&mut self, place: usize) {
        let (now, plan, plant) = (self.now, self.plan.clone(), self.plant);
        if self.nodes[place].host.is_some() {
            return;
        }
        self.trace.note(now, &[2, place as u64], || format!("node {} starts", place + 1));
        self.oracle.restarted(place, &self.nodes[place].shelf.borrow());
        match self.nodes[place].boot(now, &plan, plant) {
            Ok(()) => {
                let healed = self.healed.is_some();
                if let Some(host) = &mut self.nodes[place].host {
                    host.lanes.never_again = plant == Some(Plant::NeverRedial) && healed;
                }
                self.wake(place, now);
            }
            Err(what) => self.fail(what),
        }
    }

    fn client_delay(&mut self) -> Nanos {
        self.now + self.rng.between(50_000, 400_000)
    }

    fn request(
        &mut self,
        place: usize,
        client: usize,
        ticket: u64,
        group: GroupId,
        action: Action,
    ) {
        if self.nodes[place].host.is_none() {
            let at = self.client_delay();
            let outcome = Some(Err(RequestError::Stopped));
            return self.queue.push(at, Event::Reply { client, ticket, outcome });
        }
        self.give(place, Input::Request { ticket, group, action });
    }

    /// A node has answered a request.
    pub(crate) fn answer(&mut self, ticket: u64, outcome: Outcome) {
        let client = (ticket % self.plan.clients as u64) as usize;
        let at = self.client_delay();
        self.queue.push(at, Event::Reply { client, ticket, outcome: Some(outcome) });
    }

    fn replied(&mut self, client: usize, ticket: u64, outcome: Option<Outcome>) {
        if self.clients[client].ticket != ticket {
            return;
        }
        let words = [3, ticket, outcome.as_ref().map_or(2, |o| u64::from(o.is_ok()))];
        self.trace.note(self.now, &words, || {
            let action = self.clients[client].current.as_ref().map(|(action, _)| action);
            format!("client {client}: {action:?} -> {outcome:?}")
        });
        match outcome {
            Some(Ok(bytes)) => self.finish(client, Some((self.now, said(&bytes)))),
            Some(Err(RequestError::NotLeader { leader })) => {
                let group = self.clients[client].group.0 as usize;
                self.clients[client].hints[group] = leader.0 as usize - 1;
                self.try_again(client, 0);
            }
            None | Some(Err(RequestError::Uncertain { .. })) => self.forget(client),
            Some(Err(_)) => {
                let group = self.clients[client].group.0 as usize;
                self.clients[client].hints[group] = self.rng.place(self.plan.nodes);
                let wait = self.rng.between(1, 50);
                self.try_again(client, wait);
            }
        }
    }

    fn try_again(&mut self, client: usize, wait_ms: u64) {
        self.clients[client].tries += 1;
        if self.clients[client].tries > 8 {
            // Certainly not applied, each time: as if it had never been.
            self.clients[client].current = None;
            return self.pause(client);
        }
        self.send(client, wait_ms * NANOS_PER_MS);
    }

    /// The fate of the operation is unknown. Sometimes the client does it once more, as a new one.
    fn forget(&mut self, client: usize) {
        if let Some((action, _)) = self.clients[client].current.clone() {
            let again = !action.is_read() && self.rng.one_in(3);
            self.clients[client].again = again.then(|| (action, self.clients[client].group));
        }
        let group = self.clients[client].group.0 as usize;
        self.clients[client].hints[group] = self.rng.place(self.plan.nodes);
        self.finish(client, None);
    }

    fn give_up(&mut self, client: usize, ticket: u64) {
        if self.clients[client].ticket == ticket {
            self.forget(client);
        }
    }

    fn finish(&mut self, client: usize, answer: Option<(Nanos, crate::workload::Said)>) {
        let Some((action, started)) = self.clients[client].current.take() else { return };
        if answer.is_some() {
            self.answered += 1;
            self.served.insert(self.clients[client].group, started);
        }
        let silent = action.is_read() || self.plant == Some(Plant::UnknownMeansNo);
        let timed = matches!(action.deed, Deed::SetFor(..));
        if !(timed || answer.is_none() && silent) {
            let history = self.history.entry(action.key.clone()).or_default();
            history.push(Operation { client, action, started, answer });
        }
        self.pause(client);
    }

    fn pause(&mut self, client: usize) {
        self.clients[client].ticket = 0;
        let at = self.now + self.rng.between(0, 2 * self.plan.think_ms) * NANOS_PER_MS;
        self.queue.push(at, Event::Think { client });
    }

    fn think(&mut self, client: usize) {
        if self.quiet {
            return;
        }
        let (action, group) = match self.clients[client].again.take() {
            Some(again) => again,
            None => self.choose(),
        };
        self.operations += 1;
        let hints = std::mem::take(&mut self.clients[client].hints);
        let again = None;
        let current = Some((action, self.now));
        self.clients[client] = Client { ticket: 0, current, group, tries: 0, hints, again };
        self.send(client, 0);
    }

    fn choose(&mut self) -> (Action, GroupId) {
        let number = self.rng.below(self.plan.keys);
        let group = GroupId(1 + number % self.plan.groups);
        let kind = number % 4;
        let epoch = self.now / KEY_LIFE;
        let mut value = format!("{:x}", self.operations).into_bytes();
        if kind != 1 && self.rng.one_in(20) {
            value.resize(self.plan.value_bytes_max.max(8) as usize, b'.');
        }
        let deed = match (kind, self.rng.below(10)) {
            (_, 0..=2) => Deed::Get,
            (0, 3..=6) => Deed::Set(value),
            (0, 7) => Deed::Take,
            (0, _) => Deed::SetFor(value, 200),
            (1, 3..=8) => Deed::Add(1),
            (1, _) => Deed::Take,
            (2, 3..=8) => Deed::Append([&value[..], b","].concat()),
            (2, _) => Deed::Take,
            (3, 3..=5) => Deed::SetAbsent(value),
            (3, 6..=7) => Deed::Swap(value),
            _ => Deed::Take,
        };
        let timed = if matches!(deed, Deed::SetFor(..)) { "-timed" } else { "" };
        (Action { key: format!("k{number}-{epoch}{timed}"), deed }, group)
    }

    fn send(&mut self, client: usize, wait: Nanos) {
        self.next_ticket += 1;
        let ticket = self.next_ticket * self.plan.clients as u64 + client as u64;
        let patience = self.rng.between(1500, 4000) * NANOS_PER_MS;
        let at = self.client_delay() + wait;
        let (lost, anyone) = (self.rng.one_in(16), self.rng.place(self.plan.nodes));
        let c = &mut self.clients[client];
        c.ticket = ticket;
        let Some((action, _)) = c.current.clone() else { return };
        let group = c.group;
        // Now and then a client asks whoever comes to its mind.
        let node = if lost { anyone } else { c.hints[group.0 as usize] };
        self.queue.push(at, Event::Request { node, client, ticket, group, action });
        self.queue.push(at + patience, Event::GiveUp { client, ticket });
    }
}
