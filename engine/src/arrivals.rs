//! What arrives on the sockets of a shard: peers, clients, and those that have yet to say which.

use std::os::fd::OwnedFd;
use std::time::Instant;

use bytes::BytesMut;
use net::{Hello, SocketEvent, SocketId};
use raft_core::NodeId;

use crate::host::Host;
use crate::lanes::LaneNews;
use crate::mesh::Parcel;
use crate::strangers::StrangerNews;

impl Host {
    pub(crate) fn socket_event(&mut self, event: SocketEvent, now: Instant) {
        match event {
            SocketEvent::Accepted { listener, fd, peer } => {
                if self.work.client_listener == Some(listener) {
                    self.place_client(fd, peer);
                } else {
                    self.strangers.add(self.sockets.adopt(fd), peer, now);
                }
            }
            SocketEvent::Connected { id } => self.lanes.connected(id, now, &mut self.sockets),
            SocketEvent::Received { id } => self.received(id),
            SocketEvent::Sent { id } => {
                if let Some(key) = self.connections.key_of(id) {
                    self.connections.sent(key);
                }
            }
            SocketEvent::Released { id, fd, input } => {
                if let Some((shard, hello)) = self.strangers.released(id) {
                    // A full mesh drops the connection; the peer dials again.
                    let _ = self.mesh.send(shard, Parcel::Lane { fd, hello, input });
                }
            }
            SocketEvent::Closed { id, error } => self.closed(id, error.as_ref(), now),
        }
    }

    pub(crate) fn received(&mut self, id: SocketId) {
        if let Some(key) = self.connections.key_of(id) {
            let before = self.sockets.input(id).map_or(0, |i| i.len());
            self.metrics.client_bytes_in.add(before as u64);
            self.with_connections(|c, around| c.received(key, around));
        } else if self.lanes.owns(id) {
            self.lane_received(id);
        } else {
            let (own, peers) = (self.lanes.own(), self.lanes.peers());
            match self.strangers.received(id, own, peers, &mut self.sockets) {
                StrangerNews::None => {}
                StrangerNews::Refused => self.metrics.peers_refused.add(1),
                StrangerNews::Ours(hello) => {
                    let input = self.sockets.input(id).map(std::mem::take).unwrap_or_default();
                    self.adopt_lane(id, &hello, &input);
                }
            }
        }
    }

    pub(crate) fn lane_received(&mut self, id: SocketId) {
        let Some(mut input) = self.sockets.input(id).map(std::mem::take) else {
            return;
        };
        let news = self.lanes.received(id, &mut input);
        if let Some(place) = self.sockets.input(id) {
            *place = input;
        }
        match news {
            Ok(LaneNews::None) => {}
            Ok(LaneNews::Up(peer)) => {
                self.lane_is_up(peer);
                self.step_messages(id, peer);
            }
            Ok(LaneNews::Messages(peer)) => self.step_messages(id, peer),
            Err(_) => self.refuse(id),
        }
    }

    fn step_messages(&mut self, id: SocketId, from: NodeId) {
        loop {
            match self.lanes.next_message(from) {
                Ok(Some((group, message))) => self.shard.step(group, from, message),
                Ok(None) => return self.take_bulk(from),
                Err(error) => {
                    tracing::warn!(peer = %from, %error, "the lane is closed");
                    return self.refuse(id);
                }
            }
        }
    }

    fn refuse(&mut self, id: SocketId) {
        self.metrics.peers_refused.add(1);
        self.sockets.close(id, false);
    }

    pub(crate) fn adopt_lane(&mut self, socket: SocketId, hello: &Hello, rest: &BytesMut) {
        match self.lanes.accept(hello, rest, socket, &mut self.sockets) {
            Ok(peer) => self.lane_is_up(peer),
            Err(refusal) => {
                tracing::warn!(%refusal, "a peer is refused");
                self.refuse(socket);
            }
        }
    }

    fn lane_is_up(&mut self, peer: NodeId) {
        // It may have taken the place of one that nobody saw end.
        self.transfers.lost(peer);
        if self.index == 0 {
            self.view.note_connected(peer, true);
        }
        let (lanes, own) = (&self.lanes, self.view.node());
        self.shard.campaign_where_preferred(|node| node == own || lanes.is_up(node));
    }

    fn closed(&mut self, id: SocketId, error: Option<&std::io::Error>, now: Instant) {
        if let Some(error) = error {
            tracing::debug!(?id, %error, "a connection ended");
        }
        if let Some(key) = self.connections.key_of(id) {
            self.connections.remove(key);
        } else if let Some(peer) = self.lanes.closed(id, now) {
            if self.index == 0 {
                self.view.note_connected(peer, false);
            }
            self.transfers.lost(peer);
        } else {
            self.strangers.closed(id);
        }
    }

    /// A client came: the shards take turns.
    fn place_client(&mut self, fd: OwnedFd, peer: std::net::SocketAddr) {
        let total: u64 = self.view.shards().iter().map(|s| s.connections.read()).sum();
        if total >= self.connections_max as u64 {
            return;
        }
        let shard = self.work.next_client_shard % self.mesh.shards();
        self.work.next_client_shard += 1;
        if shard == self.index {
            self.adopt_client(fd, peer);
        } else {
            // A full mesh drops the connection: the shard has too much to do already.
            let _ = self.mesh.send(shard, Parcel::Connection { fd, peer });
        }
    }

    pub(crate) fn adopt_client(&mut self, fd: OwnedFd, peer: std::net::SocketAddr) {
        let Some(protocol) = self.protocol.clone() else {
            return;
        };
        if self.work.draining.is_some() {
            return;
        }
        let socket = self.sockets.adopt(fd);
        self.connections.add(socket, peer, &*protocol);
        self.metrics.connections_total.add(1);
    }
}
