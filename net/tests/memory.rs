//! What connections cost in memory. The allocator counts, per thread.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use bytes::BytesMut;
use net::{Inbox, Outbox, OutboxLimits, SocketEvent, SocketId};
use raft_core::{GroupId, Heartbeat, Index, Message, Term};

use common::Driver;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: Everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        BYTES.set(BYTES.get() + layout.size() as isize);
        // SAFETY: The caller's promise is the one needed.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        BYTES.set(BYTES.get() - layout.size() as isize);
        // SAFETY: The caller's promise is the one needed.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const WAIT: Duration = Duration::from_millis(100);

/// One message goes from `from` to `to`, as a shard would send it.
struct Lane {
    from: SocketId,
    to: SocketId,
    outbox: Outbox,
    inbox: Inbox,
    events: Vec<SocketEvent>,
}

impl Lane {
    fn carry(&mut self, driver: &mut Driver, round: u64) {
        let message = Message::Heartbeat(Heartbeat { term: Term(1), commit: Index(1), round });
        for group in 0..100 {
            assert!(self.outbox.push(GroupId(group), &message));
        }
        self.outbox.seal_into(driver.sockets.output(self.from).unwrap());
        let mut carried = 0;
        while carried < 100 {
            driver.turn_into(WAIT, &mut self.events);
            for event in self.events.drain(..) {
                if let SocketEvent::Received { id } = event {
                    assert_eq!(id, self.to);
                    self.inbox.feed_from(driver.sockets.input(id).unwrap());
                }
            }
            while let Some((_, received)) = self.inbox.next().unwrap() {
                assert_eq!(received, message);
                carried += 1;
            }
        }
    }
}

#[test]
fn a_lane_in_motion_does_not_allocate() {
    let mut driver = Driver::new();
    let (from, there) = driver.pair();
    let to = driver.sockets.adopt(there.into());
    let outbox = Outbox::new(OutboxLimits::default());
    let mut lane = Lane { from, to, outbox, inbox: Inbox::new(), events: Vec::new() };
    for round in 0..100 {
        lane.carry(&mut driver, round);
    }
    let before = ALLOCATIONS.get();
    for round in 0..1000 {
        lane.carry(&mut driver, round);
    }
    let allocations = ALLOCATIONS.get() - before;
    assert!(allocations <= 10, "{allocations} allocations for 1000 frames");
    driver.finish(&[from, to]);
}

#[test]
fn a_client_in_motion_does_not_allocate() {
    let mut driver = Driver::new();
    let (server, there) = driver.pair();
    let client = driver.sockets.adopt(there.into());
    let mut events = Vec::new();
    let mut before = 0;
    for round in 0..2000 {
        if round == 1000 {
            before = ALLOCATIONS.get();
        }
        driver.sockets.output(client).unwrap().extend_from_slice(b"*1\r\n$4\r\nPING\r\n");
        let mut answered = false;
        while !answered {
            driver.turn_into(WAIT, &mut events);
            for event in events.drain(..) {
                if let SocketEvent::Received { id } = event {
                    driver.sockets.input(id).unwrap().clear();
                    answered |= id == client;
                    if id == server {
                        driver.sockets.output(id).unwrap().extend_from_slice(b"+PONG\r\n");
                    }
                }
            }
        }
    }
    let allocations = ALLOCATIONS.get() - before;
    assert!(allocations <= 10, "{allocations} allocations for 1000 requests");
    driver.finish(&[server, client]);
}

#[test]
fn an_idle_connection_costs_little_even_after_a_large_exchange() {
    const CONNECTIONS: usize = 100;
    const ANSWER_BYTES: usize = 1 << 20;
    let mut driver = Driver::new();
    let before = BYTES.get();
    let mut peers = Vec::new();
    for _ in 0..CONNECTIONS {
        let (id, there) = driver.pair();
        let peer = driver.sockets.adopt(there.into());
        driver.sockets.output(id).unwrap().resize(ANSWER_BYTES, 7);
        let mut got = 0;
        driver.until(|sockets, event| {
            if let SocketEvent::Received { id } = event {
                let input: &mut BytesMut = sockets.input(id).unwrap();
                got += input.len();
                input.clear();
            }
            got == ANSWER_BYTES
        });
        driver.turn(Duration::ZERO);
        peers.extend([id, peer]);
    }
    // Spare buffers are shared by all and bounded; the rest is the connections'.
    let spare = 9 << 20;
    let each = (BYTES.get() - before - spare).max(0) as usize / peers.len();
    assert!(each <= 20 << 10, "{each} bytes each");
    driver.finish(&peers);
}
