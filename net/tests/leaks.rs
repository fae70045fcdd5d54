//! Nothing remains of sockets that are gone, whatever happened to them. One test only: it counts
//! the descriptors of the process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use net::{SocketEvent, SocketId, SocketLimits};

use common::{Driver, descriptors};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

/// The sockets that must still be reported, and the other ends of some.
#[derive(Default)]
struct World {
    open: BTreeMap<SocketId, Option<TcpStream>>,
    ended: usize,
}

impl World {
    fn pick(&self, random: &mut Random) -> Option<SocketId> {
        let at = random.below(self.open.len().max(1));
        self.open.keys().nth(at).copied()
    }

    fn digest(&mut self, driver: &mut Driver, wait: Duration) {
        for event in driver.turn(wait) {
            match event {
                SocketEvent::Accepted { fd, .. } => {
                    self.open.insert(driver.sockets.adopt(fd), None);
                }
                SocketEvent::Closed { id, .. } => self.forget(id),
                SocketEvent::Released { id, fd, .. } => {
                    self.forget(id);
                    drop(fd);
                }
                SocketEvent::Received { id } => {
                    if let Some(input) = driver.sockets.input(id) {
                        input.clear();
                    }
                }
                SocketEvent::Connected { .. } | SocketEvent::Sent { .. } => {}
            }
        }
    }

    fn forget(&mut self, id: SocketId) {
        assert!(self.open.remove(&id).is_some(), "an end is reported once");
        self.ended += 1;
    }
}

fn act(world: &mut World, driver: &mut Driver, random: &mut Random, addr: std::net::SocketAddr) {
    let action = random.below(11);
    if action < 3 {
        let (id, there) = driver.pair();
        world.open.insert(id, Some(there));
        return;
    }
    if action == 3 {
        let refused = ([127, 0, 0, 1], 1).into();
        let target = if random.below(4) == 0 { refused } else { addr };
        world.open.insert(driver.sockets.connect(target), None);
        return;
    }
    let Some(id) = world.pick(random) else { return };
    match action {
        4 => {
            if let Some(output) = driver.sockets.output(id) {
                output.resize(output.len() + (1 << random.below(23)), 7);
            }
        }
        5 => driver.sockets.close(id, false),
        6 => {
            driver.sockets.close(id, true);
            // A peer that never reads would keep it for ever.
            world.open.insert(id, None);
        }
        7 => {
            driver.sockets.release(id);
        }
        8 => driver.sockets.pause(id, random.below(2) == 0),
        9 => {
            if let Some(Some(there)) = world.open.insert(id, None) {
                if random.below(2) == 0 {
                    socket2::SockRef::from(&there).set_linger(Some(Duration::ZERO)).unwrap();
                }
            }
        }
        _ => {
            if let Some(Some(there)) = world.open.get_mut(&id) {
                there.set_nonblocking(true).unwrap();
                let _ = there.write(&vec![7; 1 << random.below(18)]);
            }
        }
    }
}

fn live(seed: u64) -> usize {
    let mut random = Random(seed);
    let mut driver = Driver::with(SocketLimits::default(), 16);
    let (listener, addr) = driver.listen();
    let mut world = World::default();
    for _ in 0..1500 {
        act(&mut world, &mut driver, &mut random, addr);
        if random.below(3) == 0 {
            let wait = Duration::from_micros(random.below(200) as u64);
            world.digest(&mut driver, wait);
        }
    }
    world.open.insert(listener, None);
    while !driver.sockets.is_empty() {
        let ids = driver.sockets.ids();
        assert_eq!(ids.len(), world.open.len());
        for id in ids {
            assert!(world.open.contains_key(&id), "what is open is known");
            driver.sockets.close(id, false);
        }
        world.digest(&mut driver, Duration::from_millis(10));
    }
    assert!(world.open.is_empty(), "every end is reported");
    assert_eq!((driver.sockets.in_flight(), driver.sockets.len()), (0, 0));
    world.ended
}

#[test]
fn random_lives_leave_nothing_behind() {
    live(0);
    let before = descriptors();
    let mut ended = 0;
    for seed in 1..=20 {
        ended += live(seed);
    }
    assert!(ended > 5000, "{ended} sockets lived");
    assert_eq!(descriptors(), before);
}
