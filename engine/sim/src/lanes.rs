//! The lanes of a simulated node: the real hellos, outboxes, inboxes and pauses over made-up
//! connections. The lower node dials, as the host does.

use bytes::BytesMut;
use net::{
    Backoff, Bulk, HANDSHAKE_TIMEOUT, Hello, Inbox, Outbox, OutboxLimits, Peers, Session,
    SessionEvent,
};
use raft_core::{GroupId, Message, NodeId};

use crate::network::{Network, Side};
use crate::queue::Queue;
use crate::{NANOS_PER_MS, Nanos};

const DIAL_WAIT: Nanos = 1000 * NANOS_PER_MS;
const SILENCE_MAX: Nanos = 4000 * NANOS_PER_MS;

/// The network at a moment of true time.
pub(crate) struct Wire<'a> {
    pub(crate) now: Nanos,
    pub(crate) network: &'a mut Network,
    pub(crate) queue: &'a mut Queue,
}

impl Wire<'_> {
    fn send(&mut self, conn: u64, side: Side, bytes: Vec<u8>) {
        self.network.send(self.now, conn, side, bytes, self.queue);
    }

    fn close(&mut self, conn: u64, side: Side) {
        self.network.close(self.now, conn, side, false, self.queue);
    }
}

enum State {
    Down { again: Option<Nanos> },
    Dialing { conn: u64, until: Nanos },
    Greeting { conn: u64, session: Box<Session>, until: Nanos },
    Up { conn: u64, side: Side },
}

struct Lane {
    peer: NodeId,
    state: State,
    backoff: Backoff,
    outbox: Outbox,
    inbox: Inbox,
    bulk: Vec<u8>,
    asking: bool,
    unheard_since: Option<Nanos>,
}

/// The lanes of one node. Times are of the node's own clock.
pub(crate) struct Lanes {
    own: Hello,
    peers: Peers,
    lanes: Vec<Lane>,
    strangers: Vec<(u64, BytesMut)>,
    /// A planted fault: who is down stays down.
    pub(crate) never_again: bool,
}

impl Lane {
    fn conn(&self) -> Option<(u64, Side)> {
        match &self.state {
            State::Down { .. } => None,
            State::Dialing { conn, .. } | State::Greeting { conn, .. } => Some((*conn, 0)),
            State::Up { conn, side } => Some((*conn, *side)),
        }
    }

    fn up(&mut self, conn: u64, side: Side) {
        self.state = State::Up { conn, side };
        self.backoff.reset();
        self.outbox.clear();
        self.inbox = Inbox::new();
        self.bulk.clear();
        (self.asking, self.unheard_since) = (false, None);
    }

    fn down(&mut self, own: NodeId, now: Nanos) {
        self.outbox.clear();
        self.bulk.clear();
        let wait = |lane: &mut Self| now + lane.backoff.next_wait().as_nanos() as u64;
        let again = (own < self.peer).then(|| wait(self));
        self.state = State::Down { again };
    }
}

impl Lanes {
    pub(crate) fn new(own: Hello, nodes: usize, now: Nanos) -> Self {
        let others = (1..=nodes as u64).map(NodeId).filter(|n| *n != own.node);
        let lanes: Vec<Lane> = others
            .map(|peer| Lane {
                peer,
                state: State::Down { again: (own.node < peer).then_some(now) },
                backoff: Backoff::new(own.node.0 << 32 | peer.0 << 16),
                outbox: Outbox::new(OutboxLimits::default()),
                inbox: Inbox::new(),
                bulk: Vec::new(),
                asking: false,
                unheard_since: None,
            })
            .collect();
        let peers = Peers::new(lanes.iter().map(|l| l.peer));
        Self { own, peers, lanes, strangers: Vec::new(), never_again: false }
    }

    pub(crate) fn is_up(&self, node: NodeId) -> bool {
        self.lanes.iter().any(|l| l.peer == node && matches!(l.state, State::Up { .. }))
    }

    fn lane_up(&mut self, to: NodeId) -> Option<&mut Lane> {
        let up = |l: &&mut Lane| l.peer == to && matches!(l.state, State::Up { .. });
        self.lanes.iter_mut().find(up)
    }

    pub(crate) fn push(&mut self, to: NodeId, group: GroupId, message: &Message) {
        if let Some(lane) = self.lane_up(to) {
            lane.asking |= matches!(message, Message::AppendEntries(_) | Message::Heartbeat(_));
            lane.outbox.push(group, message);
        }
    }

    /// Puts a snapshot on its lane.
    pub(crate) fn push_bulk(&mut self, to: NodeId, bulk: &Bulk) {
        if let Some(lane) = self.lane_up(to) {
            bulk.seal_into(&mut lane.bulk);
        }
    }

    /// The next snapshot that came in on a lane.
    pub(crate) fn next_bulk(&mut self, from: NodeId) -> Option<Bulk> {
        self.lanes.iter_mut().find(|l| l.peer == from)?.inbox.take_bulk()
    }

    pub(crate) fn flush(&mut self, now: Nanos, wire: &mut Wire<'_>) {
        for lane in &mut self.lanes {
            let State::Up { conn, side } = lane.state else { continue };
            if !lane.outbox.is_empty() || !lane.bulk.is_empty() {
                let mut bytes = Vec::new();
                lane.outbox.seal_into(&mut bytes);
                bytes.append(&mut lane.bulk);
                wire.send(conn, side, bytes);
                if std::mem::take(&mut lane.asking) {
                    lane.unheard_since.get_or_insert(now);
                }
            }
        }
    }

    /// Dials what is due, and gives up on who does not answer. The peers whose lane went down.
    pub(crate) fn advance_to(&mut self, now: Nanos, wire: &mut Wire<'_>) -> Vec<NodeId> {
        let (own, mut down) = (self.own.node, Vec::new());
        let never_again = self.never_again;
        for lane in &mut self.lanes {
            match &lane.state {
                State::Down { again: Some(at) } if *at <= now && !never_again => {
                    let (from, to) = (own.0 as usize - 1, lane.peer.0 as usize - 1);
                    let conn = wire.network.dial(wire.now, from, to, wire.queue);
                    lane.state = State::Dialing { conn, until: now + DIAL_WAIT };
                }
                State::Dialing { conn, until } | State::Greeting { conn, until, .. }
                    if *until <= now =>
                {
                    wire.close(*conn, 0);
                    lane.down(own, now);
                }
                State::Up { conn, side }
                    if lane.unheard_since.is_some_and(|at| at + SILENCE_MAX <= now) =>
                {
                    wire.close(*conn, *side);
                    lane.down(own, now);
                    down.push(lane.peer);
                }
                _ => {}
            }
        }
        down
    }

    pub(crate) fn next_deadline(&self) -> Option<Nanos> {
        let deadlines = self.lanes.iter().filter_map(|l| match &l.state {
            State::Down { again } => again.filter(|_| !self.never_again),
            State::Dialing { until, .. } | State::Greeting { until, .. } => Some(*until),
            State::Up { .. } => l.unheard_since.map(|since| since + SILENCE_MAX),
        });
        deadlines.min()
    }

    /// A dialled connection stands: say hello.
    pub(crate) fn connected(&mut self, conn: u64, now: Nanos, wire: &mut Wire<'_>) {
        let dialing =
            |l: &&mut Lane| matches!(l.state, State::Dialing { conn: c, .. } if c == conn);
        let Some(lane) = self.lanes.iter_mut().find(dialing) else { return };
        let known = self.peers.incarnation(lane.peer).unwrap_or(0);
        let mut session = Box::new(Session::dial(self.own, lane.peer).not_before(known));
        let mut hello = Vec::new();
        // Without input a dialling session has nothing to refuse: it writes its hello.
        let _ = session.on_bytes(&mut BytesMut::new(), &mut hello);
        wire.send(conn, 0, hello);
        let until = now + HANDSHAKE_TIMEOUT.as_nanos() as u64;
        lane.state = State::Greeting { conn, session, until };
    }

    /// Somebody dialled.
    pub(crate) fn knocked(&mut self, conn: u64) {
        self.strangers.push((conn, BytesMut::new()));
    }

    /// Bytes came in. The peer whose messages can be taken, and whether its lane just came up.
    pub(crate) fn received(
        &mut self,
        conn: u64,
        bytes: &[u8],
        now: Nanos,
        wire: &mut Wire<'_>,
    ) -> Option<(NodeId, bool)> {
        if let Some(place) = self.strangers.iter().position(|(c, _)| *c == conn) {
            self.strangers[place].1.extend_from_slice(bytes);
            return self.greeted(place, wire).map(|peer| (peer, true));
        }
        let own = self.own.node;
        let lane = self.lanes.iter_mut().find(|l| l.conn().is_some_and(|(c, _)| c == conn))?;
        lane.unheard_since = None;
        let mut input = BytesMut::from(bytes);
        let mut came_up = false;
        if let State::Greeting { session, .. } = &mut lane.state {
            match session.on_bytes(&mut input, &mut Vec::new()) {
                Ok(SessionEvent::Waiting) => return None,
                Ok(SessionEvent::Established(hello)) => {
                    self.peers.observe(&hello);
                    lane.up(conn, 0);
                    came_up = true;
                }
                Err(_) => {
                    wire.close(conn, 0);
                    lane.down(own, now);
                    return None;
                }
            }
        }
        lane.inbox.feed_from(&mut input);
        Some((lane.peer, came_up))
    }

    /// A stranger may have said hello.
    fn greeted(&mut self, place: usize, wire: &mut Wire<'_>) -> Option<NodeId> {
        let conn = self.strangers[place].0;
        let hello = match net::read_hello(&mut self.strangers[place].1) {
            Ok(None) => return None,
            Ok(Some(hello)) => net::validate(&hello, &self.own, &self.peers).ok().map(|()| hello),
            Err(_) => None,
        };
        self.strangers.remove(place);
        let lane = hello.and_then(|h| self.lanes.iter_mut().find(|l| l.peer == h.node));
        let (Some(hello), Some(lane)) = (hello, lane) else {
            wire.close(conn, 1);
            return None;
        };
        if let Some((old, side)) = lane.conn() {
            wire.close(old, side);
        }
        self.peers.observe(&hello);
        let mut answer = Vec::new();
        net::encode_hello(&self.own.answer_to(&hello), &mut answer);
        wire.send(conn, 1, answer);
        lane.up(conn, 1);
        Some(lane.peer)
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

    /// A connection has ended. The peer, if its lane was up.
    pub(crate) fn closed(&mut self, conn: u64, now: Nanos) -> Option<NodeId> {
        self.strangers.retain(|(c, _)| *c != conn);
        let own = self.own.node;
        let lane = self.lanes.iter_mut().find(|l| l.conn().is_some_and(|(c, _)| c == conn))?;
        let was_up = matches!(lane.state, State::Up { .. });
        lane.down(own, now);
        was_up.then_some(lane.peer)
    }
}
