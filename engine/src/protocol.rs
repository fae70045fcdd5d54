//! Client protocols as pure transformations: bytes in, requests and bytes out.
//!
//! The engine owns the sockets; a protocol never sees one. It is called on the shard that holds the
//! connection, parses, submits requests to groups (which may live on other shards) and writes
//! answers.

use bytes::BytesMut;
use raft_core::GroupId;

use crate::request::{Op, Outcome};
use crate::view::NodeView;

/// The protocol's own name of a request, given back with its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// One client connection's protocol.
pub trait Protocol: 'static {
    /// Bytes came in. Consumes what it can from the front of `input` and leaves an unfinished rest
    /// there.
    ///
    /// Called again with more bytes; also with none, after outcomes have made room, if it stopped
    /// early because [`Door::is_full`].
    fn on_bytes(&mut self, input: &mut BytesMut, door: &mut Door<'_>);

    /// A submitted request has its outcome: exactly one per [`Door::submit`], in any order.
    fn on_outcome(&mut self, ticket: Ticket, outcome: Outcome, door: &mut Door<'_>);
}

/// Makes the protocol of a new client connection; called on the shard that will hold it.
pub type ProtocolFactory = dyn Fn(ConnectionInfo) -> Box<dyn Protocol> + Send + Sync;

/// What is known of a connection when it is accepted.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionInfo {
    /// A number unique in this process.
    pub id: u64,
    /// The client's address.
    pub peer: std::net::SocketAddr,
    /// The shard that holds the connection.
    pub shard: usize,
}

/// What a protocol may do with the engine.
#[derive(Debug)]
pub struct Door<'a> {
    pub(crate) output: &'a mut Vec<u8>,
    pub(crate) requests: &'a mut Vec<(GroupId, Op, Ticket)>,
    pub(crate) outstanding: usize,
    pub(crate) outstanding_max: usize,
    pub(crate) closing: &'a mut bool,
    pub(crate) held: bool,
    pub(crate) view: &'a NodeView,
    pub(crate) unix_ms: u64,
}

impl<'a> Door<'a> {
    /// A door for a protocol under test: what is submitted and written lands in the given places.
    pub fn new(
        output: &'a mut Vec<u8>,
        requests: &'a mut Vec<(GroupId, Op, Ticket)>,
        closing: &'a mut bool,
        view: &'a NodeView,
        unix_ms: u64,
    ) -> Self {
        Self {
            output,
            requests,
            outstanding: 0,
            outstanding_max: 1024,
            closing,
            held: false,
            view,
            unix_ms,
        }
    }

    /// Sends a request to a group. Its outcome comes through [`Protocol::on_outcome`], never from
    /// inside this call.
    pub fn submit(&mut self, group: GroupId, op: Op, ticket: Ticket) {
        self.requests.push((group, op, ticket));
    }

    /// The bytes for the client; append to it.
    pub fn output(&mut self) -> &mut Vec<u8> {
        self.output
    }

    /// Takes no more from the client for now, for reasons of the protocol's own: nothing is
    /// received until [`Protocol::on_bytes`] was called again, after an outcome or when output was
    /// sent. To be said in each call for which it holds.
    pub fn hold(&mut self) {
        self.held = true;
    }

    /// Whether the protocol said [`Door::hold`].
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held
    }

    /// Closes the connection once the output has been sent.
    pub fn close(&mut self) {
        *self.closing = true;
    }

    /// Whether this connection has as many requests under way as it may have; stop parsing until
    /// [`Protocol::on_bytes`] is called again.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.outstanding + self.requests.len() >= self.outstanding_max
    }

    /// What this node knows of itself, of the cluster and of the leaders.
    #[must_use]
    pub fn view(&self) -> &'a NodeView {
        self.view
    }

    /// The wall clock in milliseconds since 1970, read once per turn.
    #[must_use]
    pub fn unix_ms(&self) -> u64 {
        self.unix_ms
    }
}
