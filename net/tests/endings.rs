//! How sockets end: closed, reset, refused, half-closed, dropped.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use net::{SocketEvent, SocketLimits, Sockets};

use common::{Driver, pattern};

fn reset(stream: TcpStream) {
    let socket = socket2::Socket::from(stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn one_huge_output_is_sent_whole() {
    const BYTES: usize = 100 << 20;
    let mut driver = Driver::new();
    let (id, mut there) = driver.pair();
    let data = pattern(BYTES);
    driver.sockets.output(id).unwrap().extend_from_slice(&data);
    driver.sockets.close(id, true);
    assert!(driver.sockets.output(id).is_none(), "an ending socket takes no output");
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
    driver.sockets.output(id).unwrap().extend_from_slice(&pattern(64 << 20));
    driver.turn(Duration::from_millis(20));
    let mut some = [0; 1000];
    there.read_exact(&mut some).unwrap();
    driver.turn(Duration::from_millis(20));
    assert!(driver.sockets.pending_output(id) > 0);
    reset(there);
    let error = driver.until_closed(id).unwrap();
    assert!(
        matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
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
    driver.sockets.output(id).unwrap().extend_from_slice(&pattern(64 << 20));
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
        let SocketEvent::Closed { id, error: None } = event else { panic!("{event:?}") };
        open.retain(|other| *other != id);
        open.is_empty()
    });
    driver.expect_silence(Duration::from_millis(20));
    driver.finish(&[]);
}

#[test]
fn a_refused_connect_is_reported() {
    let mut driver = Driver::new();
    let addr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let id = driver.sockets.connect(addr);
    driver.sockets.output(id).unwrap().extend_from_slice(b"never sent");
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
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
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
    driver.sockets.output(id).unwrap().extend_from_slice(b"early");
    driver.sockets.close(id, true);
    assert!(driver.until_closed(id).is_none());
    let mut got = String::new();
    listener.accept().unwrap().0.read_to_string(&mut got).unwrap();
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
    driver.sockets.output(id).unwrap().extend_from_slice(b"late reply");
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
    for bits in [0, u64::MAX, 0xA5 << 56, 0xA5 << 56 | 2 << 48 | 7 << 32, 0xA5 << 56 | 0xFFFF] {
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
