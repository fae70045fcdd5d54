//! Connections between nodes. Each direction delivers its bytes in order or breaks, as TCP does:
//! a lost packet is a pause, a cut holds everything back until it heals or the connection ends, a
//! connection that is reset may end in the middle of a frame. Nothing within a connection is ever
//! reordered or duplicated.

use std::collections::BTreeMap;

use crate::queue::{Event, Queue};
use crate::rng::Rng;
use crate::{NANOS_PER_MS, Nanos};

/// What a packet that had to be sent again waits for.
const RESEND: Nanos = 200 * NANOS_PER_MS;

/// One end of a connection: 0 dialled, 1 accepted.
pub(crate) type Side = usize;

/// How the way from one node to another is at the moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) cut: bool,
    pub(crate) delay: Nanos,
    pub(crate) jitter: Nanos,
    /// Packets in a thousand that have to be sent again.
    pub(crate) loss: u64,
    /// Bytes per millisecond.
    pub(crate) bandwidth: u64,
}

impl Default for Link {
    fn default() -> Self {
        let (delay, jitter) = (NANOS_PER_MS / 10, NANOS_PER_MS / 10);
        Self { cut: false, delay, jitter, loss: 0, bandwidth: 100_000 }
    }
}

#[derive(Debug, Default)]
struct Way {
    held: Vec<Vec<u8>>,
    last_arrival: Nanos,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) nodes: [usize; 2],
    pub(crate) open: [bool; 2],
    ways: [Way; 2],
}

/// All connections and the ways below them.
#[derive(Debug)]
pub(crate) struct Network {
    nodes: usize,
    links: Vec<Link>,
    pub(crate) conns: BTreeMap<u64, Conn>,
    next: u64,
    pub(crate) rng: Rng,
    pub(crate) bytes: u64,
    pub(crate) resent: u64,
    pub(crate) broken: u64,
}

impl Network {
    pub(crate) fn new(nodes: usize, rng: Rng) -> Self {
        let links = vec![Link::default(); nodes * nodes];
        let conns = BTreeMap::new();
        Self { nodes, links, conns, next: 0, rng, bytes: 0, resent: 0, broken: 0 }
    }

    pub(crate) fn link(&mut self, from: usize, to: usize) -> &mut Link {
        &mut self.links[from * self.nodes + to]
    }

    /// A node dials another.
    pub(crate) fn dial(&mut self, now: Nanos, from: usize, to: usize, queue: &mut Queue) -> u64 {
        self.next += 1;
        let conn = self.next;
        let ways = [Way::default(), Way::default()];
        self.conns.insert(conn, Conn { nodes: [from, to], open: [true, false], ways });
        if !self.link(from, to).cut && !self.link(to, from).cut {
            let there = now + self.flight(from, to);
            queue.push(there, Event::Knock { conn });
        }
        conn
    }

    /// The other side has taken the connection.
    pub(crate) fn accepted(&mut self, now: Nanos, conn: u64, queue: &mut Queue) {
        let Some(nodes) = self.conns.get(&conn).map(|c| c.nodes) else { return };
        let back = now + self.flight(nodes[1], nodes[0]);
        if let Some(c) = self.conns.get_mut(&conn) {
            c.open[1] = true;
            c.ways[1].last_arrival = back;
        }
        queue.push(back, Event::Connected { conn });
    }

    fn flight(&mut self, from: usize, to: usize) -> Nanos {
        let link = *self.link(from, to);
        link.delay + self.rng.below(link.jitter + 1)
    }

    /// Sends bytes from one side; they arrive in pieces.
    pub(crate) fn send(
        &mut self,
        now: Nanos,
        conn: u64,
        side: Side,
        bytes: Vec<u8>,
        queue: &mut Queue,
    ) {
        let Some(nodes) = self.conns.get(&conn).filter(|c| c.open[side]).map(|c| c.nodes) else {
            return;
        };
        self.bytes += bytes.len() as u64;
        let (from, to) = (nodes[side], nodes[1 - side]);
        if self.link(from, to).cut {
            if let Some(c) = self.conns.get_mut(&conn) {
                c.ways[side].held.push(bytes);
            }
            return;
        }
        let link = *self.link(from, to);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let whole = self.rng.one_in(2);
            let piece = if whole { rest.len() } else { 1 + self.rng.place(rest.len()) };
            let lost = self.rng.per_mille(link.loss);
            self.resent += u64::from(lost);
            let mut at = now + self.flight(from, to) + if lost { RESEND } else { 0 };
            at += piece as u64 * NANOS_PER_MS / link.bandwidth.max(1);
            let Some(c) = self.conns.get_mut(&conn) else { return };
            let arrival = at.max(c.ways[side].last_arrival + 1);
            c.ways[side].last_arrival = arrival;
            let (front, back) = rest.split_at(piece);
            queue.push(arrival, Event::Arrive { conn, to: 1 - side, bytes: front.to_vec() });
            rest = back;
        }
    }

    /// A way works again: what was held back is sent again.
    pub(crate) fn uncut(&mut self, now: Nanos, from: usize, to: usize, queue: &mut Queue) {
        self.link(from, to).cut = false;
        let wait = self.rng.between(1, RESEND);
        let mut resend = Vec::new();
        for (id, conn) in &mut self.conns {
            for side in 0..2 {
                if conn.nodes[side] == from && conn.nodes[1 - side] == to {
                    let held = std::mem::take(&mut conn.ways[side].held);
                    if !held.is_empty() {
                        resend.push((*id, side, held.concat()));
                    }
                }
            }
        }
        for (conn, side, bytes) in resend {
            self.send(now + wait, conn, side, bytes, queue);
        }
    }

    /// One side ends the connection; the other hears of it, unless it cannot.
    pub(crate) fn close(
        &mut self,
        now: Nanos,
        conn: u64,
        side: Side,
        silent: bool,
        queue: &mut Queue,
    ) {
        let Some(c) = self.conns.get_mut(&conn) else { return };
        c.open[side] = false;
        let (from, to, other_open) = (c.nodes[side], c.nodes[1 - side], c.open[1 - side]);
        if !other_open {
            self.conns.remove(&conn);
        } else if !silent && !self.link(from, to).cut {
            let at = now + self.flight(from, to);
            queue.push(at, Event::Closed { conn, side: 1 - side });
        }
    }

    /// The connection breaks in the middle, for both sides at times of their own.
    pub(crate) fn reset(&mut self, now: Nanos, conn: u64, queue: &mut Queue) {
        let Some(nodes) = self.conns.get(&conn).map(|c| c.nodes) else { return };
        self.broken += 1;
        for side in 0..2 {
            let at = now + self.flight(nodes[1 - side], nodes[side]);
            queue.push(at, Event::Closed { conn, side });
        }
    }

    /// Whether this side still listens.
    pub(crate) fn is_open(&self, conn: u64, side: Side) -> bool {
        self.conns.get(&conn).is_some_and(|c| c.open[side])
    }
}
