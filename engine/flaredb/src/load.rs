//! A load on a running cluster, through real connections: what `flaredb dev --load` shows.

use std::io::{self, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

mod report;

use crate::node::Node;
use crate::resp::reply::{Reply, put_command};
use crate::slots::slot_of;

/// Connections to each node.
const CONNECTIONS_PER_NODE: usize = 4;
/// Commands sent on a connection before their replies are read.
const PIPELINE: usize = 64;
/// Keys the commands are spread over.
const KEYS: u64 = 100_000;
const VALUE: [u8; 64] = [b'v'; 64];
/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether to stop.
const LOOK: Duration = Duration::from_millis(50);

/// Why the load could not be driven. The cluster goes on.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A connection failed. What was sent may have been applied.
    #[error("the load on {addr} failed: {error}")]
    Connection {
        /// The node.
        addr: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
}

/// Reads a duration such as `500ms`, `10s` or `2m`.
///
/// # Errors
/// It has another form.
pub fn duration(text: &str) -> Result<Duration, &'static str> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let number: u64 = digits.parse().map_err(|_| "a duration is a number and ms, s or m")?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "" | "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        _ => Err("a duration is a number and ms, s or m"),
    }
}

/// What all connections count together.
#[derive(Debug, Default)]
struct Tally {
    replies: AtomicU64,
    errors: AtomicU64,
}

/// Drives the cluster for so long or until told to stop; prints a line each second and a table at
/// the end.
///
/// # Errors
/// A connection failed.
pub fn drive(nodes: &[Node], duration: Duration, stop: &AtomicBool) -> Result<(), LoadError> {
    let tally = Tally::default();
    let ended = AtomicBool::new(false);
    let before = report::Figures::of(nodes);
    let started = Instant::now();
    let mut latencies = Vec::new();
    let mut failed = None;
    std::thread::scope(|scope| {
        let mut workers = Vec::new();
        for node in nodes {
            for number in 0..CONNECTIONS_PER_NODE {
                let (tally, ended) = (&tally, &ended);
                let worker = scope.spawn(move || work(node, number, tally, ended));
                workers.push((node.view().node(), worker));
            }
        }
        watch(nodes, duration, stop, &tally);
        ended.store(true, Ordering::Relaxed);
        for (node, worker) in workers {
            match worker.join() {
                Ok(Ok(histogram)) => latencies.push((node, histogram)),
                Ok(Err(error)) => failed = Some(error),
                Err(_) => {}
            }
        }
    });
    let elapsed = started.elapsed();
    report::print(nodes, &before, &latencies, elapsed);
    println!("errors        {}", tally.errors.load(Ordering::Relaxed));
    failed.map_or(Ok(()), Err)
}

/// Prints a line each second until the time is over, somebody asks to stop or a node has failed.
fn watch(nodes: &[Node], duration: Duration, stop: &AtomicBool, tally: &Tally) {
    let started = Instant::now();
    let totals = || {
        let writes = report::Figures::of(nodes).iter().map(|f| f.wal_writes).sum::<u64>();
        (Instant::now(), tally.replies.load(Ordering::Relaxed), writes)
    };
    let mut before = totals();
    let mut second = 1;
    while started.elapsed() < duration {
        if stop.load(Ordering::Relaxed) || nodes.iter().any(|node| !node.is_running()) {
            return;
        }
        let next = Duration::from_secs(second).min(duration);
        let left = next.saturating_sub(started.elapsed());
        if left > LOOK {
            std::thread::sleep(LOOK);
            continue;
        }
        std::thread::sleep(left);
        let now = totals();
        let errors = tally.errors.load(Ordering::Relaxed);
        let seconds = (now.0 - before.0).as_secs_f64().max(1e-9);
        let rate = |now: u64, before: u64| (now - before) as f64 / seconds;
        println!(
            "{:>6.1} s  {:>9.0} ops/s  {:>7.0} wal writes/s  {errors} errors",
            started.elapsed().as_secs_f64(),
            rate(now.1, before.1),
            rate(now.2, before.2),
        );
        before = now;
        second += 1;
    }
}

/// One connection: half the commands write, half read, each to a key that the node leads now.
fn work(
    node: &Node,
    number: usize,
    tally: &Tally,
    ended: &AtomicBool,
) -> Result<Option<Histogram<u64>>, LoadError> {
    let view = node.view();
    let Some(addr) = view.node_spec(view.node()).and_then(|spec| spec.client_addr) else {
        return Ok(None);
    };
    let failed = |error| LoadError::Connection { addr, error };
    let mut stream = TcpStream::connect(addr).map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let mut histogram = histogram();
    let mut random = (view.node().0 << 32) | (number as u64 + 1);
    let (mut output, mut input) = (Vec::new(), Vec::new());
    let slots = node.server().slots();
    while !ended.load(Ordering::Relaxed) {
        output.clear();
        let mut sent = 0;
        let mut tries = 0;
        while sent < PIPELINE && tries < PIPELINE * 64 {
            tries += 1;
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(0x9e37_79b9);
            let key = format!("load:{}", (random >> 33) % KEYS);
            let group = slots.group_of(slot_of(key.as_bytes()));
            if view.leader(group) != Some(view.node()) {
                continue;
            }
            match sent % 2 {
                0 => put_command(&mut output, &[b"SET", key.as_bytes(), &VALUE]),
                _ => put_command(&mut output, &[b"GET", key.as_bytes()]),
            }
            sent += 1;
        }
        if sent == 0 {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        }
        let started = Instant::now();
        stream.write_all(&output).map_err(failed)?;
        let errors = read_replies(&mut stream, &mut input, sent).map_err(failed)?;
        let micros = started.elapsed().as_micros() as u64;
        if let Some(histogram) = &mut histogram {
            histogram.saturating_record_n(micros, sent as u64);
        }
        tally.replies.fetch_add(sent as u64, Ordering::Relaxed);
        tally.errors.fetch_add(errors, Ordering::Relaxed);
    }
    Ok(histogram)
}

/// Microseconds up to the longest a reply may take; none only if these constants were wrong.
fn histogram() -> Option<Histogram<u64>> {
    Histogram::new_with_bounds(1, PATIENCE.as_micros() as u64, 3).ok()
}

/// Reads so many replies; gives how many were errors.
fn read_replies(stream: &mut TcpStream, input: &mut Vec<u8>, expected: usize) -> io::Result<u64> {
    let (mut seen, mut errors, mut used) = (0, 0, 0);
    let mut chunk = [0; 16 * 1024];
    loop {
        while seen < expected {
            let parsed = Reply::parse(&input[used..]).map_err(io::Error::other)?;
            let Some((reply, length)) = parsed else { break };
            errors += u64::from(matches!(reply, Reply::Error(_)));
            used += length;
            seen += 1;
        }
        if seen == expected {
            input.drain(..used);
            return Ok(errors);
        }
        let length = stream.read(&mut chunk)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        input.extend_from_slice(&chunk[..length]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        assert!(duration("soon").is_err() && duration("3h").is_err());
    }
}
