//! Connections to the peer port that have not yet said who they are.
//!
//! They may send one hello within five seconds and nothing else. Then they are a lane of this
//! shard, or are handed to the shard that the hello names, or are refused.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use net::{HANDSHAKE_TIMEOUT, Hello, Peers, SocketId, Sockets};

/// How many may be unknown at a time; more are closed at once.
const STRANGERS_MAX: usize = 256;

struct Stranger {
    peer: SocketAddr,
    until: Instant,
    /// Set when the connection is on its way to another shard.
    leaving: Option<(usize, Hello)>,
}

/// The connections that have not yet said who they are.
pub(crate) struct Strangers {
    by_socket: BTreeMap<SocketId, Stranger>,
}

/// What became of a stranger's bytes.
pub(crate) enum StrangerNews {
    /// Nothing yet, or it is on its way to another shard.
    None,
    /// It was refused and its connection is being closed.
    Refused,
    /// It is a lane of this shard.
    Ours(Hello),
}

impl Strangers {
    /// Nobody yet.
    pub(crate) fn new() -> Self {
        Self { by_socket: BTreeMap::new() }
    }

    /// A connection was accepted.
    pub(crate) fn add(&mut self, id: SocketId, peer: SocketAddr, now: Instant) {
        self.by_socket.insert(id, Stranger { peer, until: now + HANDSHAKE_TIMEOUT, leaving: None });
    }

    /// Bytes came in.
    pub(crate) fn received(
        &mut self,
        id: SocketId,
        own: &Hello,
        peers: &Peers,
        sockets: &mut Sockets,
    ) -> StrangerNews {
        let Some(stranger) = self.by_socket.get_mut(&id) else {
            return StrangerNews::None;
        };
        if stranger.leaving.is_some() {
            return StrangerNews::None;
        }
        let Some(input) = sockets.input(id) else {
            return StrangerNews::None;
        };
        let hello = match net::read_hello(input) {
            Ok(None) => return StrangerNews::None,
            Ok(Some(hello)) => net::validate(&hello, own, peers).map(|()| hello),
            Err(refusal) => Err(refusal),
        };
        match hello {
            Ok(hello) if hello.shard == own.shard => {
                self.by_socket.remove(&id);
                StrangerNews::Ours(hello)
            }
            Ok(hello) => {
                stranger.leaving = Some((hello.shard as usize, hello));
                sockets.release(id);
                StrangerNews::None
            }
            Err(refusal) => {
                tracing::warn!(from = %stranger.peer, "a stranger is refused: {refusal}");
                self.by_socket.remove(&id);
                sockets.close(id, false);
                StrangerNews::Refused
            }
        }
    }

    /// A connection left the ring; to which shard it goes, with its hello.
    pub(crate) fn released(&mut self, id: SocketId) -> Option<(usize, Hello)> {
        self.by_socket.remove(&id)?.leaving
    }

    /// A connection ended.
    pub(crate) fn closed(&mut self, id: SocketId) {
        self.by_socket.remove(&id);
    }

    /// Closes those that took too long, and the oldest where there are too many.
    pub(crate) fn advance_to(&mut self, now: Instant, sockets: &mut Sockets) {
        while self.by_socket.len() > STRANGERS_MAX
            || self.next_deadline().is_some_and(|at| at <= now)
        {
            let oldest = self.by_socket.iter().min_by_key(|(_, s)| s.until).map(|(id, _)| *id);
            let Some(id) = oldest else { return };
            self.by_socket.remove(&id);
            sockets.close(id, false);
        }
    }

    /// When the next one has taken too long.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.by_socket.values().map(|s| s.until).min()
    }
}
