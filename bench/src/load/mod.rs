//! The load: many clients in a closed loop, few threads, latency of every operation.
//!
//! A client sends a batch of `depth` operations, waits for all their answers and sends the next. An
//! operation's latency runs from the moment its batch was handed to the sockets.

mod client;
mod grpc;
mod resp;
mod slots;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::error::{BenchError, Tried};
use crate::machine;

pub(crate) use resp::{Reply, ask};
pub(crate) use slots::SLOTS;
pub(crate) use wire::{Dialect, Op};

/// How long nothing may be answered before a run is given up.
const STALL: Duration = Duration::from_secs(10);

/// Which endpoint gets an operation.
#[derive(Clone, Debug)]
pub(crate) enum Routing {
    /// Every client stays with one endpoint; clients are dealt out evenly.
    PerClient,
    /// The endpoint, by place in the list, that leads each slot.
    Slots(Arc<Vec<u8>>),
}

/// Whom to load.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Where clients connect.
    pub(crate) endpoints: Vec<SocketAddr>,
    /// Which of them gets an operation.
    pub(crate) routing: Routing,
    /// What they speak.
    pub(crate) dialect: Dialect,
}

/// What to send, and how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// The operation.
    pub(crate) op: Op,
    /// Clients.
    pub(crate) clients: usize,
    /// Operations that each client has under way.
    pub(crate) depth: usize,
    /// Bytes of a value.
    pub(crate) value_bytes: usize,
    /// How many different keys there are.
    pub(crate) keys: u64,
    /// Threads of the load generator.
    pub(crate) threads: usize,
    /// Time before counting starts.
    pub(crate) warmup: Duration,
    /// Time that counts.
    pub(crate) measured: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Measured {
    /// Operations answered in the time that counts.
    pub(crate) ops: u64,
    /// Their latencies in nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// The time that counted.
    pub(crate) elapsed: Duration,
    /// Processor seconds of the servers in that time.
    pub(crate) server_cpu: f64,
    /// Processor seconds of this process in that time.
    pub(crate) client_cpu: f64,
    /// Processor seconds of everything else on the machine in that time.
    pub(crate) other_cpu: f64,
    /// Seconds taken away by the hypervisor in that time.
    pub(crate) steal: f64,
}

/// When a load thread starts to count and when it ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) from: Instant,
    pub(crate) until: Instant,
}

/// An empty histogram of nanoseconds up to a minute, three digits.
pub(crate) fn histogram() -> Result<Histogram<u64>, BenchError> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3)
        .map_err(|error| BenchError::Usage(error.to_string()))
}

/// Puts the load on the target; `server_cpu` says how many processor seconds the servers have used.
///
/// # Errors
/// Any connection that breaks, any error answer, any stall: such a run has no figure.
pub(crate) fn run(
    target: &Target,
    plan: &Plan,
    server_cpu: impl Fn() -> f64,
) -> Result<Measured, BenchError> {
    let from = Instant::now() + plan.warmup;
    let window = Window { from, until: from + plan.measured };
    let threads = plan.threads.clamp(1, plan.clients.max(1));
    let workers: Result<Vec<_>, BenchError> = (0..threads)
        .map(|thread| {
            let (target, plan) = (target.clone(), *plan);
            thread::Builder::new()
                .name(format!("load-{thread}"))
                .spawn(move || client::drive(&target, &plan, thread, threads, window))
                .tried("starting a load thread")
        })
        .collect();
    let workers = workers?;
    thread::sleep(window.from.saturating_duration_since(Instant::now()));
    let before = usage(&server_cpu);
    thread::sleep(window.until.saturating_duration_since(Instant::now()));
    let after = usage(&server_cpu);
    let mut latency = histogram()?;
    for worker in workers {
        let part =
            worker.join().map_err(|_| BenchError::Usage("a load thread panicked".to_owned()))??;
        latency.add(&part).map_err(|error| BenchError::Usage(error.to_string()))?;
    }
    let server_cpu = after.servers - before.servers;
    let client_cpu = after.own - before.own;
    Ok(Measured {
        ops: latency.len(),
        latency,
        elapsed: plan.measured,
        server_cpu,
        client_cpu,
        other_cpu: (after.busy - before.busy - server_cpu - client_cpu).max(0.0),
        steal: after.steal - before.steal,
    })
}

/// Processor seconds used so far.
struct Usage {
    servers: f64,
    own: f64,
    busy: f64,
    steal: f64,
}

fn usage(server_cpu: &impl Fn() -> f64) -> Usage {
    Usage {
        servers: server_cpu(),
        own: machine::cpu_seconds(std::process::id()),
        busy: machine::busy_seconds(),
        steal: machine::steal_seconds(),
    }
}
