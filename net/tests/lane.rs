//! A whole lane over real connections: two nodes, the second with two shards on rings of their own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::thread;

use bytes::{Bytes, BytesMut};
use net::{
    Hello, Inbox, Outbox, OutboxLimits, PROTOCOL_VERSION, Peers, Refusal, Session, SessionEvent,
    SocketEvent, SocketId, encode_hello, read_hello, validate,
};
use raft_core::{AppendEntries, Entry, EntryKind, GroupId, Index, LogId, Message, NodeId, Term};

use common::Driver;

const SHARDS: u32 = 2;
const MESSAGES: u64 = 500;

fn hello(node: u64, shard: u32) -> Hello {
    Hello {
        protocol_version: PROTOCOL_VERSION,
        cluster_id: 7,
        node: NodeId(node),
        incarnation: 1,
        shard,
        shards: SHARDS,
        features: 0,
    }
}

/// Messages from almost nothing to most of a frame.
fn message(number: u64) -> Message {
    let data_bytes = if number % 100 == 99 { 5 << 20 } else { number as usize * 31 };
    let prev = LogId::new(Term(1), Index(number));
    Message::AppendEntries(AppendEntries {
        term: Term(2),
        prev,
        commit: Index(0),
        entries: vec![Entry {
            id: LogId::new(Term(2), prev.index.next()),
            kind: EntryKind::Normal,
            data: Bytes::from(vec![number as u8; data_bytes]),
        }]
        .into(),
    })
}

/// Sends all messages and receives as many, each side at its own pace.
fn converse(driver: &mut Driver, id: SocketId, mut inbox: Inbox) {
    let mut outbox = Outbox::new(OutboxLimits::default());
    let (mut pushed, mut got) = (0, 0);
    loop {
        if driver.sockets.pending_output(id) == 0 {
            while pushed < MESSAGES && outbox.push(GroupId(pushed), &message(pushed)) {
                pushed += 1;
            }
            outbox.seal_into(driver.sockets.output(id).unwrap());
        }
        while let Some((group, received)) = inbox.next().unwrap() {
            assert_eq!((group, received), (GroupId(got), message(got)));
            got += 1;
        }
        if got == MESSAGES && pushed == MESSAGES && driver.sockets.pending_output(id) == 0 {
            return;
        }
        driver.until(|sockets, event| {
            match event {
                SocketEvent::Received { .. } => inbox.feed_from(sockets.input(id).unwrap()),
                SocketEvent::Sent { .. } => {}
                other => panic!("{other:?}"),
            }
            true
        });
    }
}

/// The shard of node 2 that listens: it reads one hello and hands the connection on.
fn listening_shard(addr: mpsc::Sender<SocketAddr>, lanes: mpsc::Sender<(OwnedFd, Hello)>) {
    let mut driver = Driver::new();
    let (listener, bound) = driver.listen();
    addr.send(bound).unwrap();
    let peers = Peers::new([NodeId(1), NodeId(2)]);
    let mut greeted = None;
    driver.until(|sockets, event| {
        match event {
            SocketEvent::Accepted { fd, .. } => {
                sockets.adopt(fd);
            }
            SocketEvent::Received { id } => {
                if let Some(hello) = read_hello(sockets.input(id).unwrap()).unwrap() {
                    validate(&hello, &self::hello(2, 0), &peers).unwrap();
                    greeted = Some(hello);
                    assert!(sockets.release(id));
                }
            }
            SocketEvent::Released { fd, input, .. } => {
                assert!(input.is_empty());
                lanes.send((fd, greeted.take().unwrap())).unwrap();
                return true;
            }
            other => panic!("{other:?}"),
        }
        false
    });
    driver.finish(&[listener]);
}

/// The shard of node 2 that the lane joins: it answers.
fn joined_shard(lanes: &mpsc::Receiver<(OwnedFd, Hello)>) {
    let (fd, theirs) = lanes.recv().unwrap();
    let own = hello(2, 1);
    assert_eq!(theirs, hello(1, 1));
    let mut driver = Driver::new();
    let id = driver.sockets.adopt(fd);
    encode_hello(&own.answer_to(&theirs), driver.sockets.output(id).unwrap());
    converse(&mut driver, id, Inbox::new());
    driver.sockets.close(id, true);
    assert!(driver.until_closed(id).is_none());
    driver.finish(&[]);
}

#[test]
fn a_lane_joins_two_shards_through_the_one_that_listens() {
    let (addr_to, addr) = mpsc::channel();
    let (lanes_to, lanes) = mpsc::channel();
    let listening = thread::spawn(move || listening_shard(addr_to, lanes_to));
    let joined = thread::spawn(move || joined_shard(&lanes));

    let mut driver = Driver::new();
    let id = driver.sockets.connect(addr.recv().unwrap());
    let mut session = Session::dial(hello(1, 1), NodeId(2));
    let output = driver.sockets.output(id).unwrap();
    assert_eq!(session.on_bytes(&mut BytesMut::new(), output), Ok(SessionEvent::Waiting));
    let mut inbox = Inbox::new();
    driver.until(|sockets, event| {
        let SocketEvent::Received { id } = event else {
            return false;
        };
        let input = sockets.input(id).unwrap();
        let event = session.on_bytes(input, &mut Vec::new()).unwrap();
        if event != SessionEvent::Waiting {
            assert_eq!(event, SessionEvent::Established(hello(2, 1)));
            inbox.feed_from(input);
        }
        event != SessionEvent::Waiting
    });
    converse(&mut driver, id, inbox);
    driver.until_closed(id);
    driver.finish(&[]);
    listening.join().unwrap();
    joined.join().unwrap();
}

#[test]
fn a_stranger_is_refused_before_it_has_said_much() {
    let mut driver = Driver::new();
    let (id, mut there) = driver.pair();
    std::io::Write::write_all(&mut there, b"GET / HTTP/1.1\r\n\r\n").unwrap();
    driver.until(|sockets, event| {
        assert!(matches!(event, SocketEvent::Received { .. }));
        let refusal = read_hello(sockets.input(id).unwrap()).unwrap_err();
        assert_eq!(refusal, Refusal::NotOurs);
        true
    });
    driver.sockets.close(id, false);
    assert!(driver.until_closed(id).is_none());
    driver.finish(&[]);
}
