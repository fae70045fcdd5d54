//! The socket adapter over real loopback connections.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use bytes::Buf;
use net::{SocketEvent, SocketId, SocketLimits, Sockets};

use common::{Driver, pattern, tcp_pair};

/// Sends back what came.
fn echo(sockets: &mut Sockets, id: SocketId) {
    let input = std::mem::take(sockets.input(id).unwrap());
    sockets.output(id).unwrap().extend_from_slice(&input);
    let rest = sockets.input(id).unwrap();
    *rest = input;
    rest.clear();
}

#[test]
fn many_connections_are_echoed() {
    const CONNECTIONS: usize = 200;
    const ROUNDS: usize = 50;
    // The small queue fills up all the time.
    let mut driver = Driver::with(SocketLimits::default(), 16);
    let (listener, addr) = driver.listen();
    let clients = thread::spawn(move || {
        let mut streams: Vec<_> =
            (0..CONNECTIONS).map(|_| TcpStream::connect(addr).unwrap()).collect();
        for round in 0..ROUNDS {
            let message = |i: usize| pattern(1 + (i * 37 + round * 101) % 3000);
            for (i, stream) in streams.iter_mut().enumerate() {
                stream.write_all(&message(i)).unwrap();
            }
            for (i, stream) in streams.iter_mut().enumerate() {
                let mut answer = vec![0; message(i).len()];
                stream.read_exact(&mut answer).unwrap();
                assert_eq!(answer, message(i));
            }
        }
    });
    let mut closed = 0;
    driver.until(|sockets, event| {
        match event {
            SocketEvent::Accepted { fd, .. } => {
                sockets.adopt(fd);
            }
            SocketEvent::Received { id } => echo(sockets, id),
            SocketEvent::Closed { error, .. } => {
                assert!(error.is_none(), "{error:?}");
                closed += 1;
            }
            SocketEvent::Sent { .. } => {}
            other => panic!("{other:?}"),
        }
        closed == CONNECTIONS
    });
    clients.join().unwrap();
    driver.finish(&[listener]);
}

#[test]
fn a_hundred_mebibytes_pass_both_ways_at_once() {
    const BYTES: usize = 100 << 20;
    let mut driver = Driver::new();
    let (listener, addr) = driver.listen();
    let dialer = driver.sockets.connect(addr);
    let data = pattern(BYTES);
    let mut queued = BTreeMap::new();
    let mut got: BTreeMap<SocketId, usize> = BTreeMap::new();
    let mut acceptor = None;
    driver.until(|sockets, event| {
        let id = match event {
            SocketEvent::Accepted { fd, .. } => {
                let id = sockets.adopt(fd);
                acceptor = Some(id);
                id
            }
            SocketEvent::Connected { id } | SocketEvent::Sent { id } => id,
            SocketEvent::Received { id } => {
                let input = sockets.input(id).unwrap();
                let at = got.entry(id).or_default();
                assert!(input[..] == data[*at..*at + input.len()], "bytes come as sent");
                *at += input.len();
                input.clear();
                id
            }
            other => panic!("{other:?}"),
        };
        // About a mebibyte waits in each direction, as behind an outbox.
        let at = queued.entry(id).or_insert(0);
        while *at < BYTES && sockets.pending_output(id) < 1 << 20 {
            let piece = (BYTES - *at).min(300_001);
            sockets.output(id).unwrap().extend_from_slice(&data[*at..*at + piece]);
            *at += piece;
        }
        got.len() == 2 && got.values().all(|bytes| *bytes == BYTES)
    });
    assert_eq!(driver.sockets.pending_output(dialer), 0);
    driver.finish(&[listener, dialer, acceptor.unwrap()]);
}

#[test]
fn a_paused_socket_pushes_back_on_its_peer() {
    let mut driver = Driver::new();
    let (id, mut there) = driver.pair();
    driver.sockets.pause(id, true);
    there.set_nonblocking(true).unwrap();
    let piece = pattern(64 << 10);
    let (mut written, mut still) = (0, 0);
    // The kernels on both ends take what their buffers hold, which may grow as they fill.
    while still < 20 {
        driver.expect_silence(Duration::from_millis(5));
        still += 1;
        while let Ok(bytes) = there.write(&piece[written % piece.len()..]) {
            written += bytes;
            still = 0;
            assert!(written < 256 << 20, "the peer is not held back");
        }
    }

    driver.sockets.pause(id, false);
    let mut got = 0;
    driver.until(|sockets, event| {
        let SocketEvent::Received { id } = event else { panic!("{event:?}") };
        let input = sockets.input(id).unwrap();
        for byte in input.iter() {
            assert_eq!(*byte, piece[got % piece.len()]);
            got += 1;
        }
        input.clear();
        got == written
    });
    driver.finish(&[id]);
}

#[test]
fn unread_input_is_bounded() {
    const INPUT_BYTES_MAX: usize = 100_000;
    let limits = SocketLimits { input_bytes_max: INPUT_BYTES_MAX, ..SocketLimits::default() };
    let mut driver = Driver::with(limits, 64);
    let (id, mut there) = driver.pair();
    let data = pattern(4 << 20);
    let sent = data.clone();
    let writer = thread::spawn(move || {
        there.write_all(&sent).unwrap();
        there
    });
    let most = INPUT_BYTES_MAX + limits.recv_bytes;
    driver.until(|sockets, _| sockets.input(id).unwrap().len() >= INPUT_BYTES_MAX);
    driver.expect_silence(Duration::from_millis(50));
    assert!(driver.sockets.input(id).unwrap().len() <= most);
    // Consumed in small parts it goes on, without an event to start it.
    let mut got = Vec::new();
    while got.len() < data.len() {
        let input = driver.sockets.input(id).unwrap();
        let part = input.len().min(30_000);
        got.extend_from_slice(&input[..part]);
        input.advance(part);
        driver.turn(Duration::from_millis(10));
        assert!(driver.sockets.input(id).unwrap().len() <= most);
    }
    assert!(got == data, "bytes come as sent");
    let _peer = writer.join().unwrap();
    driver.finish(&[id]);
}

#[test]
fn a_socket_moves_to_another_ring_while_it_receives() {
    let mut driver = Driver::new();
    let (id, mut there) = driver.pair();
    there.write_all(b"hello").unwrap();
    driver.until(|_, event| matches!(event, SocketEvent::Received { .. }));
    driver.sockets.output(id).unwrap().extend_from_slice(b"answer");
    driver.turn(Duration::ZERO);
    assert_eq!(driver.sockets.input(id).unwrap().split_to(2)[..], b"he"[..]);
    // The receive is armed again.
    assert!(driver.sockets.in_flight() > 0);
    assert!(driver.sockets.release(id));
    assert!(!driver.sockets.release(id));
    assert!(driver.sockets.output(id).is_none());
    let mut released = None;
    driver.until(|_, event| match event {
        SocketEvent::Released { id: gone, fd, input } => {
            assert_eq!((gone, &input[..]), (id, &b"llo"[..]));
            released = Some(fd);
            true
        }
        SocketEvent::Sent { .. } => false,
        other => panic!("{other:?}"),
    });
    assert!(driver.sockets.is_empty());
    driver.finish(&[]);

    there.write_all(b" again").unwrap();
    let fd = released.unwrap();
    thread::spawn(move || {
        let mut driver = Driver::new();
        let id = driver.sockets.adopt(fd);
        driver.until(|sockets, _| &sockets.input(id).unwrap()[..] == b" again");
        driver.sockets.output(id).unwrap().extend_from_slice(b" from here");
        driver.sockets.close(id, true);
        driver.until_closed(id);
        driver.finish(&[]);
    })
    .join()
    .unwrap();
    let mut answer = String::new();
    there.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer from here");
}

/// A peer that writes without pause while its connection wanders from ring to ring.
#[test]
fn no_byte_is_lost_while_a_busy_socket_wanders() {
    let data = pattern(8 << 20);
    let (here, mut there) = tcp_pair();
    let sent = data.clone();
    let writer = thread::spawn(move || there.write_all(&sent).unwrap());
    let mut drivers = [Driver::new(), Driver::new()];
    let mut got = Vec::new();
    let mut fd = Some(here.into());
    let mut moves = 0;
    while let Some(owned) = fd.take() {
        let driver = &mut drivers[moves % 2];
        let id = driver.sockets.adopt(owned);
        let mut received = 0;
        driver.until(|sockets, event| match event {
            SocketEvent::Received { .. } => {
                got.append(&mut sockets.input(id).unwrap().split().to_vec());
                received += 1;
                if received == 3 {
                    sockets.release(id);
                }
                false
            }
            SocketEvent::Released { fd: owned, input, .. } => {
                got.extend_from_slice(&input);
                fd = Some(owned);
                true
            }
            SocketEvent::Closed { error: None, .. } => true,
            other => panic!("{other:?}"),
        });
        moves += 1;
    }
    writer.join().unwrap();
    assert!(got == data, "bytes come as sent");
    assert!(moves > 10, "it moved {moves} times");
    for driver in drivers {
        driver.finish(&[]);
    }
}

#[test]
fn a_paused_socket_is_released_without_a_completion_of_its_own() {
    let mut driver = Driver::new();
    let (id, _there) = driver.pair();
    driver.sockets.pause(id, true);
    driver.turn(Duration::ZERO);
    assert_eq!(driver.sockets.in_flight(), 0);
    assert!(driver.sockets.release(id));
    driver.until(|_, event| matches!(event, SocketEvent::Released { .. }));
    driver.finish(&[]);
}
