//! One load thread: its clients, their connections, one epoll.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use super::slots::slot;
use super::wire::{Wire, wire};
use super::{Plan, Routing, STALL, Target, Window, histogram};
use crate::error::{BenchError, Tried};

const CHUNK_BYTES: usize = 64 << 10;

/// A connection of a client to one endpoint.
struct Connection {
    stream: TcpStream,
    wire: Box<dyn Wire>,
    input: Vec<u8>,
    output: Vec<u8>,
    watched: EventFlags,
}

/// A client: a connection to each endpoint it may need.
struct Client {
    connections: Vec<Connection>,
    waiting: usize,
    sent: Instant,
}

/// A load thread's state.
struct Driver<'a> {
    target: &'a Target,
    plan: &'a Plan,
    window: Window,
    epoll: OwnedFd,
    clients: Vec<Client>,
    per_client: usize,
    random: u64,
    value: Vec<u8>,
    chunk: Vec<u8>,
    latency: Histogram<u64>,
}

/// Runs every `threads`-th client until the window ends; gives the latencies inside the window.
pub(super) fn drive(
    target: &Target,
    plan: &Plan,
    thread: usize,
    threads: usize,
    window: Window,
) -> Result<Histogram<u64>, BenchError> {
    let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(io::Error::from).tried("an epoll")?;
    let per_client = match target.routing {
        Routing::PerClient => 1,
        Routing::Slots(_) => target.endpoints.len(),
    };
    let mut driver = Driver {
        target,
        plan,
        window,
        epoll,
        clients: Vec::new(),
        per_client,
        random: 0x9e37_79b9_7f4a_7c15 ^ (thread as u64 + 1),
        value: vec![b'x'; plan.value_bytes],
        chunk: vec![0; CHUNK_BYTES],
        latency: histogram()?,
    };
    for number in (thread..plan.clients).step_by(threads) {
        driver.connect(number)?;
    }
    driver.run()?;
    Ok(driver.latency)
}

impl Driver<'_> {
    fn connect(&mut self, number: usize) -> Result<(), BenchError> {
        let endpoints = &self.target.endpoints;
        let mut connections = Vec::new();
        for place in 0..self.per_client {
            let endpoint = if self.per_client == 1 { number % endpoints.len() } else { place };
            let address = endpoints[endpoint];
            let id = self.clients.len() * self.per_client + place;
            connections.push(open(address, self.target, &self.epoll, id as u64)?);
        }
        self.clients.push(Client { connections, waiting: 0, sent: Instant::now() });
        Ok(())
    }

    fn run(&mut self) -> Result<(), BenchError> {
        for client in 0..self.clients.len() {
            self.send_batch(client)?;
        }
        let mut events: Vec<Event> = Vec::with_capacity(self.clients.len() * self.per_client + 1);
        let patience = Timespec { tv_sec: 1, tv_nsec: 0 };
        let mut heard = Instant::now();
        while Instant::now() < self.window.until {
            events.clear();
            let spare = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, spare, Some(&patience)) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other.map_err(io::Error::from).tried("waiting for answers")?,
            };
            if !events.is_empty() {
                heard = Instant::now();
            } else if heard.elapsed() > STALL {
                let waiting = self.clients.iter().map(|c| c.waiting).sum();
                let seconds = STALL.as_secs();
                return Err(BenchError::Stalled { seconds, waiting });
            }
            for event in &events {
                self.serve(event.data.u64() as usize)?;
            }
        }
        Ok(())
    }

    /// Something happened on a connection: read what there is, send what is left.
    fn serve(&mut self, id: usize) -> Result<(), BenchError> {
        let (client_place, place) = (id / self.per_client, id % self.per_client);
        let client = &mut self.clients[client_place];
        let connection = &mut client.connections[place];
        let answers = connection.receive(&mut self.chunk)?;
        connection.flush(&self.epoll, id as u64)?;
        if answers == 0 {
            return Ok(());
        }
        let now = Instant::now();
        if answers > client.waiting {
            return Err(BenchError::Answer("more answers than questions".to_owned()));
        }
        client.waiting -= answers;
        if now >= self.window.from && now < self.window.until {
            let nanos = (now - client.sent).as_nanos() as u64;
            self.latency
                .record_n(nanos, answers as u64)
                .map_err(|error| BenchError::Usage(error.to_string()))?;
        }
        if client.waiting == 0 {
            self.send_batch(client_place)?;
        }
        Ok(())
    }

    fn send_batch(&mut self, client_place: usize) -> Result<(), BenchError> {
        let client = &mut self.clients[client_place];
        client.sent = Instant::now();
        client.waiting = self.plan.depth;
        let mut key = *b"key:000000000000";
        for _ in 0..self.plan.depth {
            self.random = next_random(self.random);
            write_digits(self.random % self.plan.keys.max(1), &mut key[4..]);
            let place = match &self.target.routing {
                Routing::PerClient => 0,
                Routing::Slots(leaders) => usize::from(leaders[slot(&key)]),
            };
            let Connection { wire, output, .. } = &mut client.connections[place];
            wire.encode(self.plan.op, &key, &self.value, output);
        }
        for (place, connection) in client.connections.iter_mut().enumerate() {
            let id = client_place * self.per_client + place;
            connection.flush(&self.epoll, id as u64)?;
        }
        Ok(())
    }
}

fn open(
    address: SocketAddr,
    target: &Target,
    epoll: &OwnedFd,
    id: u64,
) -> Result<Connection, BenchError> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))
        .tried(format!("connecting to {address}"))?;
    stream.set_nodelay(true).tried("TCP_NODELAY")?;
    stream.set_nonblocking(true).tried("O_NONBLOCK")?;
    epoll::add(epoll, &stream, EventData::new_u64(id), EventFlags::IN)
        .map_err(io::Error::from)
        .tried("watching a connection")?;
    let mut connection = Connection {
        stream,
        wire: wire(target.dialect),
        input: Vec::new(),
        output: Vec::new(),
        watched: EventFlags::IN,
    };
    connection.wire.greet(&mut connection.output);
    Ok(connection)
}

impl Connection {
    /// Reads what has come in; how many operations it answers.
    fn receive(&mut self, chunk: &mut [u8]) -> Result<usize, BenchError> {
        match self.stream.read(chunk) {
            Ok(0) => return Err(BenchError::Answer("the connection was closed".to_owned())),
            Ok(read) => self.input.extend_from_slice(&chunk[..read]),
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error).tried("reading an answer"),
        }
        let decoded = self.wire.decode(&self.input, &mut self.output)?;
        self.input.drain(..decoded.consumed);
        Ok(decoded.answers)
    }

    /// Sends as much as the socket takes, and watches for room if something is left.
    fn flush(&mut self, epoll: &OwnedFd, id: u64) -> Result<(), BenchError> {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(written) => drop(self.output.drain(..written)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).tried("sending operations"),
            }
        }
        let wanted =
            if self.output.is_empty() { EventFlags::IN } else { EventFlags::IN | EventFlags::OUT };
        if wanted != self.watched {
            epoll::modify(epoll, &self.stream, EventData::new_u64(id), wanted)
                .map_err(io::Error::from)
                .tried("watching a connection")?;
            self.watched = wanted;
        }
        Ok(())
    }
}

/// The next number of a xorshift generator: the load need not be unpredictable, only spread.
fn next_random(mut x: u64) -> u64 {
    x ^= x << 13;
    x ^= x >> 7;
    x ^ (x << 17)
}

fn write_digits(mut number: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_fill_the_key() {
        let mut key = *b"key:999999999999";
        write_digits(1203, &mut key[4..]);
        assert_eq!(&key, b"key:000000001203");
    }

    #[test]
    fn random_numbers_spread_over_the_keys() {
        let mut seen = [0u32; 10];
        let mut x = 1;
        for _ in 0..10_000 {
            x = next_random(x);
            seen[(x % 10) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| n > 800), "{seen:?}");
    }
}
