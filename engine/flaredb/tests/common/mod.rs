//! A cluster of one node in memory: groups with their state machines, and connections to them.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "shared by tests that use parts of it"
)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use engine::{
    ApplyBatch, ConnectionInfo, Door, GroupId, LogId, NodeId, NodeSpec, NodeView, Op, Outcome,
    Protocol, Replies, RequestError, StateMachine, Ticket,
};
use flaredb::kv::Kv;
use flaredb::resp::reply::{Reply, put_command};
use flaredb::slots::placement;
use flaredb::{Connection, Server, Settings};

pub const NODE: NodeId = NodeId(1);
pub const OTHER: NodeId = NodeId(2);

/// One node that leads all groups, unless the test says otherwise.
pub struct Host {
    pub view: NodeView,
    pub server: Arc<Server>,
    pub groups: Vec<Kv>,
    pub logs: Vec<Vec<(LogId, Bytes)>>,
    pub unix_ms: u64,
    connections: u64,
}

pub fn settings(groups: usize) -> Settings {
    Settings { password: None, value_bytes_max: 1 << 20, groups, replicas: 3, shards: 1 }
}

impl Host {
    pub fn new(groups: usize) -> Self {
        Self::with(settings(groups))
    }

    pub fn with(settings: Settings) -> Self {
        let spec = |id: NodeId| NodeSpec {
            id,
            peer_addr: SocketAddr::from(([127, 0, 0, 1], 17_000 + id.0 as u16)),
            client_addr: Some(SocketAddr::from(([127, 0, 0, 1], 7000 + id.0 as u16))),
        };
        let groups = settings.groups;
        let view = NodeView::new(
            NODE,
            0xf1a2,
            vec![spec(NODE), spec(OTHER)],
            placement(&[NODE, OTHER], 1, groups, 2),
            1,
            Duration::from_micros(100),
        );
        for group in view.groups() {
            view.note_leader(group.id, Some(NODE));
        }
        view.note_connected(OTHER, true);
        let server = Server::new(settings);
        let machines = view.groups().iter().map(|g| server.state_machine(g.id, 7)).collect();
        Self {
            logs: vec![Vec::new(); groups],
            groups: machines,
            view,
            server,
            unix_ms: 1_700_000_000_000,
            connections: 0,
        }
    }

    pub fn connect(&mut self) -> Client {
        self.connect_from("127.0.0.1:5000".parse().unwrap())
    }

    pub fn connect_from(&mut self, peer: SocketAddr) -> Client {
        self.connections += 1;
        let info = ConnectionInfo { id: self.connections, peer, shard: 0 };
        Client {
            protocol: Connection::new(info, Arc::clone(&self.server)),
            input: BytesMut::new(),
            output: Vec::new(),
            requests: VecDeque::new(),
            closed: false,
        }
    }

    /// What the group makes of a request.
    pub fn perform(&mut self, group: GroupId, op: &Op) -> Outcome {
        let place = group.0 as usize - 1;
        let machine = self.groups.get_mut(place).ok_or(RequestError::UnknownGroup(group))?;
        match op {
            Op::Read(query) => {
                let mut reply = Vec::new();
                machine.read(query, &mut reply);
                Ok(reply.into())
            }
            Op::Write(entry) => {
                let index = engine::Index(self.logs[place].len() as u64 + 1);
                let entries = [(LogId::new(engine::Term(1), index), entry.clone())];
                let mut replies = Replies::default();
                machine.apply(&mut ApplyBatch::new(&entries, &mut replies));
                // The reply of the last entry ends when the batch is asked for one more.
                self.logs[place].extend(entries);
                Ok(Bytes::copy_from_slice(replies.reply(0)))
            }
        }
    }
}

/// A client's connection and what is under way on it.
pub struct Client {
    pub protocol: Connection,
    pub input: BytesMut,
    pub output: Vec<u8>,
    pub requests: VecDeque<(GroupId, Op, Ticket)>,
    pub closed: bool,
}

impl Client {
    /// Bytes from the client; requests are left under way.
    pub fn feed(&mut self, host: &Host, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        let mut requests = Vec::new();
        let (output, closed) = (&mut self.output, &mut self.closed);
        let mut door = Door::new(output, &mut requests, closed, &host.view, host.unix_ms);
        self.protocol.on_bytes(&mut self.input, &mut door);
        self.requests.extend(requests);
    }

    /// The outcome of one request.
    pub fn settle(&mut self, host: &Host, ticket: Ticket, outcome: Outcome) {
        let mut requests = Vec::new();
        let (output, closed) = (&mut self.output, &mut self.closed);
        let mut door = Door::new(output, &mut requests, closed, &host.view, host.unix_ms);
        self.protocol.on_outcome(ticket, outcome, &mut door);
        self.requests.extend(requests);
    }

    /// Performs the request that was made first.
    pub fn step(&mut self, host: &mut Host) -> bool {
        let Some((group, op, ticket)) = self.requests.pop_front() else {
            return false;
        };
        let outcome = host.perform(group, &op);
        self.settle(host, ticket, outcome);
        true
    }

    /// Performs all requests, and all commands that did not fit before.
    pub fn run(&mut self, host: &mut Host) {
        loop {
            while self.step(host) {}
            let before = self.input.len();
            self.feed(host, b"");
            if self.requests.is_empty() && self.input.len() == before {
                return;
            }
        }
    }

    /// The raw reply to a command.
    pub fn raw(&mut self, host: &mut Host, args: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_command(&mut bytes, args);
        self.send(host, &bytes)
    }

    /// The raw replies to these bytes.
    pub fn send(&mut self, host: &mut Host, bytes: &[u8]) -> Vec<u8> {
        self.feed(host, bytes);
        self.run(host);
        std::mem::take(&mut self.output)
    }

    /// The reply to a command given as words.
    pub fn ask(&mut self, host: &mut Host, words: &str) -> Reply {
        let args: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        let raw = self.raw(host, &args);
        let (reply, length) = Reply::parse(&raw).unwrap().expect("a whole reply");
        assert_eq!(length, raw.len(), "more than one reply: {}", raw.escape_ascii());
        reply
    }

    /// The reply to a command as text that is easy to compare.
    pub fn text(&mut self, host: &mut Host, words: &str) -> String {
        show(&self.ask(host, words))
    }
}

/// A reply as redis-cli would show it, on one line.
pub fn show(reply: &Reply) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match reply {
        Reply::Status(word) => text(word),
        Reply::Error(error) => format!("-{}", text(error)),
        Reply::Integer(n) => format!(":{n}"),
        Reply::Bulk(bytes) => format!("'{}'", text(bytes)),
        Reply::Nil => "nil".into(),
        Reply::Array(items) => {
            format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" "))
        }
        Reply::Map(pairs) => {
            let pairs = pairs.iter().map(|(k, v)| format!("{}={}", show(k), show(v)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(" "))
        }
    }
}
