//! A process out of descriptors. One test only: it changes the limit of the process.

mod common;

use std::fs::File;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use net::{BindError, SocketEvent, SocketLimits, bind_listener};

use common::Driver;

/// Lowers the limit of open files to `files`.
fn limit(files: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: Both calls get a valid pointer to a limit that outlives them.
    let done = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = files;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit)
    };
    assert_eq!(done, 0);
}

#[test]
fn a_listener_without_descriptors_waits_and_recovers() {
    let backoff = Duration::from_millis(50);
    let limits = SocketLimits { accept_backoff: backoff, ..SocketLimits::default() };
    let mut driver = Driver::with(limits, 64);
    let (listener, addr) = driver.listen();
    // Before the accept is armed: the kernel notes the limit then.
    limit(256);
    driver.turn(Duration::ZERO);
    let mut hoard = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }
    // The client's end takes the last one.
    hoard.pop();
    let mut client = TcpStream::connect(addr).unwrap();

    let start = Instant::now();
    let mut turns = 0;
    while start.elapsed() < 10 * backoff {
        let events = driver.turn(backoff);
        assert!(events.is_empty(), "no descriptor was left to accept with: {events:?}");
        turns += 1;
    }
    let stalls = driver.sockets.accept_stalls();
    assert!((2..=12).contains(&stalls), "{stalls} stalls");
    assert!(turns < 60, "it waits instead of spinning, but took {turns} turns");

    let error = bind_listener(([127, 0, 0, 1], 0).into()).unwrap_err();
    assert!(matches!(error, BindError::Descriptors { .. }), "{error}");
    let dialer = driver.sockets.connect(addr);
    let error = driver.until_closed(dialer).unwrap();
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));

    hoard.clear();
    client.write_all(b"still here").unwrap();
    let mut accepted = None;
    driver.until(|sockets, event| match event {
        SocketEvent::Accepted { fd, .. } => {
            accepted = Some(sockets.adopt(fd));
            false
        }
        SocketEvent::Received { id } => {
            assert_eq!(sockets.input(id).unwrap()[..], b"still here"[..]);
            true
        }
        other => panic!("{other:?}"),
    });
    // Closing ends a wait as well as an accept.
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }
    hoard.pop();
    let _client = TcpStream::connect(addr).unwrap();
    let stalls = driver.sockets.accept_stalls();
    while driver.sockets.accept_stalls() == stalls {
        driver.turn(Duration::from_millis(10));
    }
    driver.finish(&[listener, accepted.unwrap()]);
}
