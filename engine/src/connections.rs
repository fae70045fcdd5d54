//! Client connections: bytes to the protocol, requests from it, outcomes back to it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use net::{SocketId, Sockets};
use raft_core::GroupId;

use crate::mesh::{Caller, ReplyTo, Request};
use crate::metrics::ShardMetrics;
use crate::protocol::{ConnectionInfo, Door, Protocol, ProtocolFactory, Ticket};
use crate::request::{Op, Outcome};
use crate::view::NodeView;

/// Unsent bytes for one client beyond which nothing more is read from it.
const UNSENT_BYTES_MAX: usize = 1 << 20;
/// Unread bytes of one client beyond which it is cut off: nothing a protocol waits for is that
/// long.
const INPUT_BYTES_MAX: usize = 8 << 20;

struct Connection {
    socket: SocketId,
    protocol: Box<dyn Protocol>,
    outstanding: usize,
    /// The protocol stopped early, or may not be fed, until outcomes or sends make room.
    held: bool,
    /// The protocol said that it takes no more when it was last fed.
    asked_hold: bool,
    /// The protocol left bytes unread: it waits for the rest of them, or for room that only it
    /// knows of.
    stalled: bool,
    /// Fed again at the end of the turn.
    resuming: bool,
    closing: bool,
}

/// The client connections of one shard, by a key that is never used again.
pub(crate) struct Connections {
    shard: usize,
    metrics: Arc<ShardMetrics>,
    next: u64,
    by_key: BTreeMap<u64, Connection>,
    keys: BTreeMap<SocketId, u64>,
    requests_max: usize,
    /// Requests under way of all connections that are still there.
    outstanding: usize,
    submitted: Vec<(GroupId, Op, Ticket)>,
    /// Connections to look at again at the end of the turn: they were held and may go on.
    resume: Vec<u64>,
}

/// What a protocol call needs of the shard around it.
pub(crate) struct Surroundings<'a> {
    pub(crate) sockets: &'a mut Sockets,
    pub(crate) view: &'a NodeView,
    pub(crate) unix_ms: u64,
    /// Where the requests go that the protocol submits.
    pub(crate) requests: &'a mut Vec<Request>,
}

impl Connections {
    pub(crate) fn new(shard: usize, requests_max: usize, metrics: Arc<ShardMetrics>) -> Self {
        Self {
            shard,
            metrics,
            next: 0,
            by_key: BTreeMap::new(),
            keys: BTreeMap::new(),
            requests_max,
            outstanding: 0,
            submitted: Vec::new(),
            resume: Vec::new(),
        }
    }

    /// The connection that a socket belongs to.
    pub(crate) fn key_of(&self, socket: SocketId) -> Option<u64> {
        self.keys.get(&socket).copied()
    }

    /// Requests under way of all connections.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Takes in a connection; answers with its key.
    pub(crate) fn add(
        &mut self,
        socket: SocketId,
        peer: SocketAddr,
        make: &ProtocolFactory,
    ) -> u64 {
        self.next += 1;
        let key = self.next;
        let id = key << 10 | self.shard as u64;
        let protocol = make(ConnectionInfo { id, peer, shard: self.shard });
        let connection = Connection {
            socket,
            protocol,
            outstanding: 0,
            held: false,
            asked_hold: false,
            stalled: false,
            resuming: false,
            closing: false,
        };
        self.by_key.insert(key, connection);
        self.keys.insert(socket, key);
        key
    }

    /// The connection is gone. Outcomes that still come for it are dropped.
    pub(crate) fn remove(&mut self, key: u64) {
        if let Some(connection) = self.by_key.remove(&key) {
            self.keys.remove(&connection.socket);
            self.outstanding -= connection.outstanding;
        }
    }

    /// Bytes came in.
    pub(crate) fn received(&mut self, key: u64, around: &mut Surroundings<'_>) {
        self.call(key, around, None);
    }

    /// A request has its outcome.
    pub(crate) fn complete(
        &mut self,
        key: u64,
        ticket: Ticket,
        outcome: Outcome,
        around: &mut Surroundings<'_>,
    ) {
        self.call(key, around, Some((ticket, outcome)));
    }

    /// Output was sent: a connection that waits for room may go on.
    pub(crate) fn sent(&mut self, key: u64) {
        let Some(connection) = self.by_key.get_mut(&key) else { return };
        if (connection.held || connection.stalled) && !connection.resuming {
            connection.resuming = true;
            self.resume.push(key);
        }
    }

    /// Feeds the connections that have room again.
    pub(crate) fn resume(&mut self, around: &mut Surroundings<'_>) {
        for key in std::mem::take(&mut self.resume) {
            if let Some(connection) = self.by_key.get_mut(&key) {
                connection.resuming = false;
            }
            self.call(key, around, None);
        }
    }

    /// Whether a connection waits to be fed again.
    pub(crate) fn has_resumable(&self) -> bool {
        !self.resume.is_empty()
    }

    fn call(
        &mut self,
        key: u64,
        around: &mut Surroundings<'_>,
        outcome: Option<(Ticket, Outcome)>,
    ) {
        let Some(connection) = self.by_key.get_mut(&key) else {
            return;
        };
        let socket = connection.socket;
        let Some(input) = around.sockets.input(socket) else {
            return;
        };
        let mut input: BytesMut = std::mem::take(input);
        let unsent = around.sockets.pending_output(socket);
        let Some(output) = around.sockets.output(socket) else {
            return;
        };
        let mut closing = connection.closing;
        let output_before = output.len();
        let mut door = Door {
            output,
            requests: &mut self.submitted,
            outstanding: connection.outstanding,
            outstanding_max: self.requests_max,
            closing: &mut closing,
            held: false,
            view: around.view,
            unix_ms: around.unix_ms,
        };
        let feeding = outcome.is_none();
        match outcome {
            Some((ticket, outcome)) => {
                connection.outstanding -= 1;
                self.outstanding -= 1;
                door.outstanding = connection.outstanding;
                connection.protocol.on_outcome(ticket, outcome, &mut door);
            }
            None if !connection.closing && unsent <= UNSENT_BYTES_MAX => {
                connection.protocol.on_bytes(&mut input, &mut door);
            }
            None => {}
        }
        let full = door.is_full();
        if feeding {
            connection.asked_hold = door.held;
        }
        let written = door.output.len() - output_before;
        connection.outstanding += self.submitted.len();
        self.outstanding += self.submitted.len();
        for (group, op, ticket) in self.submitted.drain(..) {
            let caller = Caller::Connection { key, ticket };
            let reply_to = ReplyTo::Shard { shard: self.shard, caller };
            around.requests.push(Request { group, op, reply_to });
        }
        // What a protocol leaves unread it waits for the rest of; more than the ring keeps never
        // comes.
        let endless = feeding && !full && !connection.asked_hold && input.len() >= INPUT_BYTES_MAX;
        let closing = closing || endless;
        if closing {
            input.clear();
        }
        let stalled = !input.is_empty();
        self.metrics.client_bytes_out.add(written as u64);
        if let Some(place) = around.sockets.input(socket) {
            *place = input;
        }
        let full = full || around.sockets.pending_output(socket) > UNSENT_BYTES_MAX;
        connection.held = full || connection.asked_hold;
        connection.stalled = stalled;
        if !feeding && stalled && !full && !connection.resuming {
            connection.resuming = true;
            self.resume.push(key);
        }
        around.sockets.pause(socket, connection.held);
        // A client that has said all it wants and closed its half still gets all its answers.
        let owed = connection.held || connection.resuming || connection.outstanding > 0;
        around.sockets.hold(socket, owed && !closing);
        if closing && !connection.closing {
            connection.closing = true;
            around.sockets.close(socket, true);
        }
    }
}
