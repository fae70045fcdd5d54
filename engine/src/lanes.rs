//! The lanes of a shard: one connection to the same shard of every other node.
//!
//! The node with the lower id dials. Messages of a turn leave as one frame per lane. A lane that is
//! down drops messages (Raft repeats what matters) and comes back with a growing pause.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use net::{
    Backoff, Bulk, FEATURE_SNAPSHOTS, HANDSHAKE_TIMEOUT, Hello, Inbox, Outbox, OutboxLimits, Peers,
    Refusal, Session, SessionEvent, SocketId, Sockets,
};
use raft_core::{GroupId, Message, NodeId};

use crate::metrics::ShardMetrics;
use crate::view::NodeSpec;

/// How long a peer may take to accept a connection.
const DIAL_WAIT: Duration = Duration::from_secs(1);
/// How long a peer may leave what it was sent without any word before its lane is made anew: the
/// way there or back is lost, whatever TCP still hopes.
const SILENCE_MAX: Duration = Duration::from_secs(4);
/// Bytes for one peer that the kernel has not taken: beyond it messages wait in the outbox, then
/// drop.
const UNSENT_BYTES_MAX: usize = 4 << 20;

/// How far a lane has come.
enum State {
    /// Not connected; the dialling side tries again at this time.
    Down { again: Option<Instant> },
    /// The connection is being made.
    Dialing { socket: SocketId, until: Instant },
    /// Our hello is out, theirs is awaited.
    Greeting { socket: SocketId, session: Session, until: Instant },
    /// Frames flow.
    Up { socket: SocketId },
}

/// The connection to the same shard of one other node.
struct Lane {
    peer: NodeId,
    addr: SocketAddr,
    state: State,
    backoff: Backoff,
    outbox: Outbox,
    inbox: Inbox,
    /// Pieces of snapshots and answers to them: they leave behind the messages.
    bulk: Vec<u8>,
    /// The peer takes snapshots.
    takes_snapshots: bool,
    /// Something in the outbox wants an answer.
    asking: bool,
    /// When the first question left after which nothing was received.
    unheard_since: Option<Instant>,
    /// The last refusal that was logged, so that a stubborn peer does not fill the log.
    refused: Option<Refusal>,
}

/// The lanes of one shard.
pub(crate) struct Lanes {
    own: Hello,
    /// The nodes that may talk to us, with the newest run of each that was seen.
    peers: Peers,
    lanes: Vec<Lane>,
    hello: Vec<u8>,
}

/// What became of bytes from a lane.
pub(crate) enum LaneNews {
    /// Nothing that concerns anybody else.
    None,
    /// The lane is up now.
    Up(NodeId),
    /// Messages, from this node.
    Messages(NodeId),
}

impl Lanes {
    pub(crate) fn new(own: Hello, nodes: &[NodeSpec], now: Instant) -> Self {
        let lanes = nodes.iter().filter(|n| n.id != own.node).map(|node| Lane {
            peer: node.id,
            addr: node.peer_addr,
            state: State::Down { again: (own.node < node.id).then_some(now) },
            backoff: Backoff::new(own.node.0 << 32 | node.id.0 << 16 | u64::from(own.shard)),
            outbox: Outbox::new(OutboxLimits::default()),
            inbox: Inbox::new(),
            bulk: Vec::new(),
            takes_snapshots: false,
            asking: false,
            unheard_since: None,
            refused: None,
        });
        let lanes: Vec<Lane> = lanes.collect();
        let peers = Peers::new(lanes.iter().map(|l| l.peer));
        Self { own, peers, lanes, hello: Vec::new() }
    }

    /// Who we say we are.
    pub(crate) fn own(&self) -> &Hello {
        &self.own
    }

    /// The nodes that may talk to us.
    pub(crate) fn peers(&self) -> &Peers {
        &self.peers
    }

    /// Whether the lane to a node is up.
    pub(crate) fn is_up(&self, node: NodeId) -> bool {
        self.lanes.iter().any(|l| l.peer == node && matches!(l.state, State::Up { .. }))
    }

    fn lane_up(&mut self, to: NodeId) -> Option<&mut Lane> {
        let up = |l: &&mut Lane| l.peer == to && matches!(l.state, State::Up { .. });
        self.lanes.iter_mut().find(up)
    }

    /// Puts a message on its lane. False if it was dropped.
    pub(crate) fn push(&mut self, to: NodeId, group: GroupId, message: &Message) -> bool {
        let Some(lane) = self.lane_up(to) else { return false };
        lane.asking |= matches!(message, Message::AppendEntries(_) | Message::Heartbeat(_));
        lane.outbox.push(group, message)
    }

    /// Puts a piece of a snapshot, or the answer to one, on its lane. False if it cannot go there.
    pub(crate) fn push_bulk(&mut self, to: NodeId, bulk: &Bulk) -> bool {
        let Some(lane) = self.lane_up(to).filter(|l| l.takes_snapshots) else {
            return false;
        };
        bulk.seal_into(&mut lane.bulk);
        true
    }

    /// What bulk frames of a node have brought, behind its messages.
    pub(crate) fn next_bulk(&mut self, from: NodeId) -> Option<Bulk> {
        self.lanes.iter_mut().find(|l| l.peer == from)?.inbox.take_bulk()
    }

    /// Hands everything on the lanes to their sockets, one frame per lane.
    pub(crate) fn flush(&mut self, now: Instant, sockets: &mut Sockets, metrics: &ShardMetrics) {
        for lane in &mut self.lanes {
            let State::Up { socket } = lane.state else {
                continue;
            };
            let nothing = lane.outbox.is_empty() && lane.bulk.is_empty();
            if nothing || sockets.pending_output(socket) > UNSENT_BYTES_MAX {
                continue;
            }
            if let Some(output) = sockets.output(socket) {
                lane.outbox.seal_into(output);
                output.append(&mut lane.bulk);
                metrics.frames_sent.add(1);
                if std::mem::take(&mut lane.asking) {
                    lane.unheard_since.get_or_insert(now);
                }
            }
        }
    }

    /// Dials what is due, and gives up on who does not answer.
    pub(crate) fn advance_to(&mut self, now: Instant, sockets: &mut Sockets) {
        for lane in &mut self.lanes {
            match &lane.state {
                State::Down { again: Some(at) } if *at <= now => {
                    let socket = sockets.connect(lane.addr);
                    lane.state = State::Dialing { socket, until: now + DIAL_WAIT };
                }
                State::Dialing { socket, until } | State::Greeting { socket, until, .. }
                    if *until <= now =>
                {
                    sockets.close(*socket, false);
                    lane.down(self.own.node, now);
                }
                State::Up { socket } if lane.is_silent(now) => {
                    tracing::warn!(peer = %lane.peer, "the lane is silent");
                    sockets.close(*socket, false);
                    lane.down(self.own.node, now);
                }
                _ => {}
            }
        }
    }

    /// When something is due next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let deadlines = self.lanes.iter().filter_map(|l| match &l.state {
            State::Down { again } => *again,
            State::Dialing { until, .. } | State::Greeting { until, .. } => Some(*until),
            State::Up { .. } => l.unheard_since.map(|since| since + SILENCE_MAX),
        });
        deadlines.min()
    }

    /// A dialled connection stands: say hello.
    pub(crate) fn connected(&mut self, id: SocketId, now: Instant, sockets: &mut Sockets) {
        let dialing =
            |l: &&mut Lane| matches!(l.state, State::Dialing { socket, .. } if socket == id);
        let Some(lane) = self.lanes.iter_mut().find(dialing) else {
            return;
        };
        let known = self.peers.incarnation(lane.peer).unwrap_or(0);
        let mut session = Session::dial(self.own, lane.peer).not_before(known);
        self.hello.clear();
        // Without input a dialling session has nothing to refuse: it writes its hello.
        let _ = session.on_bytes(&mut BytesMut::new(), &mut self.hello);
        if let Some(output) = sockets.output(id) {
            output.extend_from_slice(&self.hello);
        }
        lane.state = State::Greeting { socket: id, session, until: now + HANDSHAKE_TIMEOUT };
    }

    /// A peer dialled us and its hello was found good: answer, and the lane is up. An older
    /// connection of the same peer gives way.
    pub(crate) fn accept(
        &mut self,
        hello: &Hello,
        rest: &BytesMut,
        socket: SocketId,
        sockets: &mut Sockets,
    ) -> Result<NodeId, Refusal> {
        if !rest.is_empty() {
            // Who sends on before it is answered does not keep to the protocol.
            return Err(Refusal::NotOurs);
        }
        net::validate(hello, &self.own, &self.peers)?;
        let Some(lane) = self.lanes.iter_mut().find(|l| l.peer == hello.node) else {
            return Err(Refusal::UnknownNode { node: hello.node });
        };
        if let Some(old) = lane.socket() {
            sockets.close(old, false);
        }
        self.peers.observe(hello);
        if let Some(output) = sockets.output(socket) {
            net::encode_hello(&self.own.answer_to(hello), output);
        }
        lane.up(socket, hello);
        Ok(lane.peer)
    }

    /// Bytes came in on a lane. Messages are then taken with [`Lanes::next_message`].
    pub(crate) fn received(
        &mut self,
        id: SocketId,
        input: &mut BytesMut,
    ) -> Result<LaneNews, Refusal> {
        let Some(lane) = self.lanes.iter_mut().find(|l| l.socket() == Some(id)) else {
            return Ok(LaneNews::None);
        };
        lane.unheard_since = None;
        let mut news = LaneNews::None;
        if let State::Greeting { session, .. } = &mut lane.state {
            match session.on_bytes(input, &mut self.hello) {
                Ok(SessionEvent::Waiting) => return Ok(LaneNews::None),
                Ok(SessionEvent::Established(hello)) => {
                    self.peers.observe(&hello);
                    lane.up(id, &hello);
                    news = LaneNews::Up(lane.peer);
                }
                Err(refusal) => {
                    if lane.refused.as_ref() != Some(&refusal) {
                        tracing::warn!(peer = %lane.peer, addr = %lane.addr, "{refusal}");
                        lane.refused = Some(refusal);
                    }
                    return Err(refusal);
                }
            }
        }
        if !input.is_empty() {
            lane.inbox.feed_from(input);
            if matches!(news, LaneNews::None) {
                news = LaneNews::Messages(lane.peer);
            }
        }
        Ok(news)
    }

    /// The next message that came in on a lane.
    pub(crate) fn next_message(
        &mut self,
        from: NodeId,
    ) -> Result<Option<(GroupId, Message)>, net::FrameError> {
        match self.lanes.iter_mut().find(|l| l.peer == from) {
            Some(lane) => lane.inbox.next(),
            None => Ok(None),
        }
    }

    /// The connection of a lane has ended. The peer, if its lane was up.
    pub(crate) fn closed(&mut self, id: SocketId, now: Instant) -> Option<NodeId> {
        let own = self.own.node;
        let lane = self.lanes.iter_mut().find(|l| l.socket() == Some(id))?;
        let was_up = matches!(lane.state, State::Up { .. });
        lane.down(own, now);
        was_up.then_some(lane.peer)
    }

    /// Whether a socket is a lane's.
    pub(crate) fn owns(&self, id: SocketId) -> bool {
        self.lanes.iter().any(|l| l.socket() == Some(id))
    }
}

impl Lane {
    fn socket(&self) -> Option<SocketId> {
        match &self.state {
            State::Down { .. } => None,
            State::Dialing { socket, .. }
            | State::Greeting { socket, .. }
            | State::Up { socket } => Some(*socket),
        }
    }

    fn is_silent(&self, now: Instant) -> bool {
        self.unheard_since.is_some_and(|since| since + SILENCE_MAX <= now)
    }

    fn up(&mut self, socket: SocketId, hello: &Hello) {
        tracing::info!(peer = %self.peer, "lane is up");
        self.state = State::Up { socket };
        self.backoff.reset();
        self.outbox.clear();
        self.inbox = Inbox::new();
        self.bulk.clear();
        self.takes_snapshots = hello.features & FEATURE_SNAPSHOTS != 0;
        (self.asking, self.unheard_since) = (false, None);
        self.refused = None;
    }

    fn down(&mut self, own: NodeId, now: Instant) {
        if matches!(self.state, State::Up { .. }) {
            tracing::info!(peer = %self.peer, "lane is down");
        }
        self.outbox.clear();
        self.bulk.clear();
        let again = (own < self.peer).then(|| now + self.backoff.next_wait());
        self.state = State::Down { again };
    }
}
