//! The socket adapter over real loopback connections.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
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

fn reset(stream: TcpStream) {
    let socket = socket2::Socket::from(stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn many_connections_are_echoed() {
    const CONNECTIONS: usize = 200;
    const ROUNDS: usize = 50;
    // The small queue fills up all the time.
    let mut driver = Driver::with(SocketLimits::default(), 16);
    let (listener, addr) = driver.listen();
    let clients = thread::spawn(move || {
        let mut streams: Vec<_> = (0..CONNECTIONS)
            .map(|_| TcpStream::connect(addr).unwrap())
            .collect();
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
                assert!(
                    input[..] == data[*at..*at + input.len()],
                    "bytes come as sent"
                );
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
            sockets
                .output(id)
                .unwrap()
                .extend_from_slice(&data[*at..*at + piece]);
            *at += piece;
        }
        got.len() == 2 && got.values().all(|bytes| *bytes == BYTES)
    });
    assert_eq!(driver.sockets.pending_output(dialer), 0);
    driver.finish(&[listener, dialer, acceptor.unwrap()]);
}

#[test]
fn one_huge_output_is_sent_whole() {
    const BYTES: usize = 100 << 20;
    let mut driver = Driver::new();
    let (id, mut there) = driver.pair();
    let data = pattern(BYTES);
    driver.sockets.output(id).unwrap().extend_from_slice(&data);
    driver.sockets.close(id, true);
    assert!(
        driver.sockets.output(id).is_none(),
        "an ending socket takes no output"
    );
    let reader = thread::spawn(move || {
        let mut got = Vec::new();
        there.read_to_end(&mut got).unwrap();
        got
    });
    assert!(driver.until_closed(id).is_none());
    assert!(reader.join().unwrap() == data, "bytes come as sent");
    driver.finish(&[]);
}

#[test]
fn a_reset_in_the_middle_of_a_send_is_reported_once() {
    let mut driver = Driver::new();
    let (id, mut there) = driver.pair();
    driver
        .sockets
        .output(id)
        .unwrap()
        .extend_from_slice(&pattern(64 << 20));
    driver.turn(Duration::from_millis(20));
    let mut some = [0; 1000];
    there.read_exact(&mut some).unwrap();
    driver.turn(Duration::from_millis(20));
    assert!(driver.sockets.pending_output(id) > 0);
    reset(there);
    let error = driver.until_closed(id).unwrap();
    assert!(
        matches!(
            error.kind(),
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        ),
        "{error:?}"
    );
    assert!(driver.sockets.input(id).is_none());
    assert!(driver.sockets.output(id).is_none());
    driver.expect_silence(Duration::from_millis(50));
    driver.finish(&[]);
}

#[test]
fn closing_without_flush_does_not_wait_for_a_peer_that_does_not_read() {
    let mut driver = Driver::new();
    let (id, there) = driver.pair();
    driver
        .sockets
        .output(id)
        .unwrap()
        .extend_from_slice(&pattern(64 << 20));
    driver.turn(Duration::from_millis(20));
    driver.sockets.close(id, true);
    driver.expect_silence(Duration::from_millis(50));
    driver.sockets.close(id, false);
    assert!(driver.until_closed(id).is_none());
    assert_eq!(driver.sockets.in_flight(), 0);
    drop(there);
    driver.finish(&[]);
}

#[test]
fn closing_an_idle_a_paused_and_an_unsubmitted_socket_is_reported() {
    let mut driver = Driver::new();
    let (idle, _idle_peer) = driver.pair();
    let (paused, _paused_peer) = driver.pair();
    driver.sockets.pause(paused, true);
    driver.turn(Duration::ZERO);
    let (fresh, _fresh_peer) = driver.pair();
    let mut open = vec![idle, paused, fresh];
    for id in &open {
        driver.sockets.close(*id, true);
        driver.sockets.close(*id, false);
    }
    driver.until(|_, event| {
        let SocketEvent::Closed { id, error: None } = event else {
            panic!("{event:?}")
        };
        open.retain(|other| *other != id);
        open.is_empty()
    });
    driver.expect_silence(Duration::from_millis(20));
    driver.finish(&[]);
}

#[test]
fn a_paused_socket_pushes_back_on_its_peer() {
    let mut driver = Driver::new();
    let (id, mut there) = driver.pair();
    driver.sockets.pause(id, true);
    there.set_nonblocking(true).unwrap();
    let piece = pattern(64 << 10);
    let mut written = 0;
    for _ in 0..20 {
        driver.expect_silence(Duration::from_millis(5));
        while let Ok(bytes) = there.write(&piece[written % piece.len()..]) {
            written += bytes;
        }
    }
    let full = written;
    driver.expect_silence(Duration::from_millis(50));
    assert!(
        there.write(&piece).is_err(),
        "the peer cannot write more than {full} bytes"
    );

    driver.sockets.pause(id, false);
    let mut got = 0;
    driver.until(|sockets, event| {
        let SocketEvent::Received { id } = event else {
            panic!("{event:?}")
        };
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
    let limits = SocketLimits {
        input_bytes_max: INPUT_BYTES_MAX,
        ..SocketLimits::default()
    };
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
    driver
        .sockets
        .output(id)
        .unwrap()
        .extend_from_slice(b"answer");
    driver.turn(Duration::ZERO);
    assert_eq!(driver.sockets.input(id).unwrap().split_to(2)[..], b"he"[..]);
    // The receive is armed again.
    assert!(driver.sockets.in_flight() > 0);
    assert!(driver.sockets.release(id));
    assert!(!driver.sockets.release(id));
    assert!(driver.sockets.output(id).is_none());
    let mut released = None;
    driver.until(|_, event| match event {
        SocketEvent::Released {
            id: gone,
            fd,
            input,
        } => {
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
        driver
            .sockets
            .output(id)
            .unwrap()
            .extend_from_slice(b" from here");
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
            SocketEvent::Released {
                fd: owned, input, ..
            } => {
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

#[test]
fn a_refused_connect_is_reported() {
    let mut driver = Driver::new();
    let addr = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let id = driver.sockets.connect(addr);
    driver
        .sockets
        .output(id)
        .unwrap()
        .extend_from_slice(b"never sent");
    assert!(!driver.sockets.release(id), "it is not connected");
    let error = driver.until_closed(id).unwrap();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    driver.finish(&[]);
}

#[test]
fn a_connect_that_hangs_is_closed_at_once() {
    let mut driver = Driver::new();
    // Connections beyond a full backlog wait for an answer that does not come.
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    listener.listen(0).unwrap();
    let addr = listener.local_addr().unwrap().as_socket().unwrap();
    let ids: Vec<_> = (0..4).map(|_| driver.sockets.connect(addr)).collect();
    let mut connected = 0;
    for _ in 0..10 {
        for event in driver.turn(Duration::from_millis(10)) {
            assert!(matches!(event, SocketEvent::Connected { .. }), "{event:?}");
            connected += 1;
        }
    }
    assert!(connected < ids.len());
    driver.finish(&ids);
}

#[test]
fn output_appended_before_the_connection_is_sent_after_it() {
    let mut driver = Driver::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let id = driver.sockets.connect(listener.local_addr().unwrap());
    driver
        .sockets
        .output(id)
        .unwrap()
        .extend_from_slice(b"early");
    driver.sockets.close(id, true);
    assert!(driver.until_closed(id).is_none());
    let mut got = String::new();
    listener
        .accept()
        .unwrap()
        .0
        .read_to_string(&mut got)
        .unwrap();
    assert_eq!(got, "early");
    driver.finish(&[]);
}

#[test]
fn a_half_closed_peer_still_gets_the_output_at_hand() {
    let mut driver = Driver::new();
    let (id, mut there) = driver.pair();
    let data = pattern(8 << 20);
    driver.sockets.output(id).unwrap().extend_from_slice(&data);
    there.shutdown(Shutdown::Write).unwrap();
    let reader = thread::spawn(move || {
        let mut got = Vec::new();
        there.read_to_end(&mut got).unwrap();
        got
    });
    assert!(driver.until_closed(id).is_none());
    assert!(reader.join().unwrap() == data, "bytes come as sent");
    driver.finish(&[]);
}

#[test]
fn a_held_socket_answers_after_the_end_of_stream() {
    let mut driver = Driver::new();
    let (id, mut there) = driver.pair();
    there.write_all(b"request").unwrap();
    there.shutdown(Shutdown::Write).unwrap();
    driver.sockets.hold(id, true);
    driver.until(|_, event| matches!(event, SocketEvent::Received { .. }));
    driver.expect_silence(Duration::from_millis(30));
    assert_eq!(driver.sockets.input(id).unwrap()[..], b"request"[..]);
    driver
        .sockets
        .output(id)
        .unwrap()
        .extend_from_slice(b"late reply");
    driver.sockets.hold(id, false);
    assert!(driver.until_closed(id).is_none());
    let mut got = String::new();
    there.read_to_string(&mut got).unwrap();
    assert_eq!(got, "late reply");
    driver.finish(&[]);
}

#[test]
fn an_end_of_stream_waits_for_a_paused_socket() {
    let mut driver = Driver::new();
    let (id, there) = driver.pair();
    driver.turn(Duration::ZERO);
    driver.sockets.pause(id, true);
    drop(there);
    driver.expect_silence(Duration::from_millis(30));
    driver.sockets.pause(id, false);
    assert!(driver.until_closed(id).is_none());
    driver.finish(&[]);
}

#[test]
fn the_ids_of_the_past_mean_nothing() {
    let mut driver = Driver::new();
    let (first, _peer) = driver.pair();
    driver.sockets.close(first, false);
    driver.until_closed(first);
    let (second, _peer) = driver.pair();
    assert_ne!(first, second);
    assert!(driver.sockets.input(first).is_none());
    assert!(!driver.sockets.release(first));
    driver.sockets.close(first, false);
    driver.sockets.pause(first, true);
    let mut events = Vec::new();
    for bits in [
        0,
        u64::MAX,
        0xA5 << 56,
        0xA5 << 56 | 2 << 48 | 7 << 32,
        0xA5 << 56 | 0xFFFF,
    ] {
        driver.sockets.complete(bits, 5, 0, &mut events);
    }
    assert!(events.is_empty());
    driver.expect_silence(Duration::from_millis(20));
    assert_eq!(driver.sockets.len(), 1);
    driver.finish(&[second]);
}

#[test]
fn dropping_sockets_in_use_leaks_rather_than_frees() {
    let mut driver = Driver::new();
    let (_, mut there) = driver.pair();
    driver.turn(Duration::ZERO);
    assert!(driver.sockets.in_flight() > 0);
    driver.sockets = Sockets::new(0, SocketLimits::default());
    // The kernel writes into the leaked buffer.
    there.write_all(&pattern(10_000)).unwrap();
    there.shutdown(Shutdown::Write).unwrap();
}
