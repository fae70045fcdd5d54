//! A ring of its own for sockets under test.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "each test binary compiles this file, uses a part of it and fails by panicking"
)]

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue};
use net::{SocketEvent, SocketId, SocketLimits, Sockets, bind_listener};

/// The tag of the sockets; the bits are arbitrary.
const TAG: u8 = 0xA5;
/// Nothing under test takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A shard reduced to its sockets.
pub struct Driver {
    pub sockets: Sockets,
    ring: IoUring,
    completions: Vec<(u64, i32, u32)>,
}

impl Driver {
    pub fn new() -> Self {
        Self::with(SocketLimits::default(), 256)
    }

    pub fn with(limits: SocketLimits, entries: u32) -> Self {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_cqsize(entries * 4)
            .build(entries)
            .unwrap();
        Self { sockets: Sockets::new(TAG, limits), ring, completions: Vec::new() }
    }

    /// Submits what is due, waits up to `wait` for a completion and returns the events.
    pub fn turn(&mut self, wait: Duration) -> Vec<SocketEvent> {
        let mut events = Vec::new();
        self.turn_into(wait, &mut events);
        events
    }

    /// [`Self::turn`] into a list that is used again.
    pub fn turn_into(&mut self, wait: Duration, events: &mut Vec<SocketEvent>) {
        while self.sockets.submit(&mut self.ring.submission()) > 0 {
            self.ring.submit().unwrap();
        }
        let timeout = Timespec::from(wait);
        let args = SubmitArgs::new().timespec(&timeout);
        match self.ring.submitter().submit_with_args(1, &args) {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::ETIME) => {}
            Err(error) => panic!("{error}"),
        }
        for cqe in self.ring.completion() {
            let cqe: cqueue::Entry = cqe;
            self.completions.push((cqe.user_data(), cqe.result(), cqe.flags()));
        }
        for (user_data, result, flags) in self.completions.drain(..) {
            assert_eq!((user_data >> 56) as u8, TAG);
            self.sockets.complete(user_data, result, flags, events);
        }
    }

    /// Turns until `done`, which sees every event once, says so.
    pub fn until(&mut self, mut done: impl FnMut(&mut Sockets, SocketEvent) -> bool) {
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < PATIENCE, "nothing happens any more");
            let mut over = false;
            for event in self.turn(Duration::from_millis(50)) {
                over |= done(&mut self.sockets, event);
            }
            if over {
                return;
            }
        }
    }

    /// Turns for `time`, in which no event may come.
    pub fn expect_silence(&mut self, time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            let events = self.turn(Duration::from_millis(10));
            assert!(events.is_empty(), "{events:?}");
        }
    }

    /// Turns until `id` is gone and returns why.
    pub fn until_closed(&mut self, id: SocketId) -> Option<std::io::Error> {
        let mut reason = None;
        self.until(|_, event| match event {
            SocketEvent::Closed { id: gone, error } if gone == id => {
                reason = error;
                true
            }
            _ => false,
        });
        reason
    }

    pub fn listen(&mut self) -> (SocketId, SocketAddr) {
        let listener = bind_listener(([127, 0, 0, 1], 0).into()).unwrap();
        let addr = listener.local_addr().unwrap();
        (self.sockets.listen(listener), addr)
    }

    /// A connection with one end here and the other in the test's hands.
    pub fn pair(&mut self) -> (SocketId, TcpStream) {
        let (here, there) = tcp_pair();
        (self.sockets.adopt(here.into()), there)
    }

    /// Closes `ids` and checks that nothing remains of them or of anything else.
    pub fn finish(mut self, ids: &[SocketId]) {
        for id in ids {
            self.sockets.close(*id, false);
        }
        let start = Instant::now();
        while !self.sockets.is_empty() {
            assert!(start.elapsed() < PATIENCE, "sockets remain: {:?}", self.sockets);
            self.turn(Duration::from_millis(10));
        }
        assert_eq!(self.sockets.in_flight(), 0);
    }
}

/// Two ends of a TCP connection.
pub fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let there = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (here, _) = listener.accept().unwrap();
    there.set_read_timeout(Some(PATIENCE)).unwrap();
    there.set_write_timeout(Some(PATIENCE)).unwrap();
    (here, there)
}

/// Bytes that differ by position.
pub fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes as u64).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

/// How many descriptors this process has open.
pub fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
