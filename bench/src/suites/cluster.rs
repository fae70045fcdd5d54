//! `bench cluster`: the same load on FlareDB and its peers, in alternating rounds on fresh data.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::error::BenchError;
use crate::limits::{self, DiskRate};
use crate::load::{self, Measured, Op, Plan};
use crate::machine::{self, Machine};
use crate::peers::{FlaredbOptions, Peer, Running};
use crate::process::Scratch;
use crate::report;
use crate::suites::limits::print_disk;

/// How often a run is repeated when it was disturbed; the last one counts, with what disturbed it.
const ATTEMPTS_MAX: usize = 8;

/// What to measure.
#[derive(Debug)]
pub(crate) struct ClusterPlan {
    pub(crate) peers: Vec<Peer>,
    pub(crate) flaredb: FlaredbOptions,
    pub(crate) op: Op,
    pub(crate) clients: usize,
    pub(crate) depths: Vec<usize>,
    pub(crate) value_bytes: usize,
    pub(crate) keys: u64,
    pub(crate) threads: usize,
    pub(crate) measured: Duration,
    pub(crate) rounds: usize,
    pub(crate) quiet: Option<Duration>,
    pub(crate) lost_max: Option<f64>,
    pub(crate) folder: PathBuf,
}

/// One run of one peer at one depth.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    /// Who was measured.
    pub(crate) peer: Peer,
    /// Operations that each client had under way.
    pub(crate) depth: usize,
    /// Which round, from 1.
    pub(crate) round: usize,
    /// Operations per second.
    pub(crate) per_second: f64,
    /// Median latency, in milliseconds.
    pub(crate) p50_millis: f64,
    /// 99th percentile of the latency, in milliseconds.
    pub(crate) p99_millis: f64,
    /// Processors that the servers kept busy on average.
    pub(crate) server_cores: f64,
    /// Operations per processor second of all servers together.
    pub(crate) per_cpu_second: f64,
    /// Processors that the load generator kept busy on average.
    pub(crate) client_cores: f64,
    /// Processors that everything else on the machine kept busy on average.
    pub(crate) other_cores: f64,
    /// Processors that the hypervisor took away on average.
    pub(crate) stolen_cores: f64,
}

/// Everything `bench cluster` found.
#[derive(Debug, Serialize)]
pub(crate) struct ClusterReport {
    machine: Machine,
    disk: Vec<DiskRate>,
    runs: Vec<Run>,
    invalid: Vec<String>,
}

impl ClusterReport {
    /// Whether every run that was asked for has a figure.
    pub(crate) fn is_valid(&self) -> bool {
        self.invalid.is_empty()
    }
}

/// Measures and prints.
pub(crate) fn run(plan: &ClusterPlan) -> Result<ClusterReport, BenchError> {
    let machine = Machine::look();
    machine.print();
    println!();
    let mut report =
        ClusterReport { machine, disk: Vec::new(), runs: Vec::new(), invalid: Vec::new() };
    for round in 1..=plan.rounds {
        let scratch = Scratch::new(&plan.folder, "disk")?;
        let rate = limits::disk(scratch.path(), 1, Duration::from_secs(2))?;
        print!("round {round}  ");
        print_disk(&rate);
        report.disk.push(rate);
        for &peer in &plan.peers {
            if let Err(error) = measure(plan, peer, round, &mut report.runs) {
                println!("round {round}  {:<26} INVALID: {error}", peer.title());
                report.invalid.push(format!("{}: {error}", peer.title()));
            }
        }
    }
    report::print(&report.runs, &report.disk);
    for invalid in &report.invalid {
        println!("no figure: {invalid}");
    }
    Ok(report)
}

/// One peer, started fresh, at every depth.
fn measure(
    plan: &ClusterPlan,
    peer: Peer,
    round: usize,
    runs: &mut Vec<Run>,
) -> Result<(), BenchError> {
    let scratch = Scratch::new(&plan.folder, "cluster")?;
    let running = peer.start(scratch.path(), &plan.flaredb)?;
    for &depth in &plan.depths {
        let run = undisturbed(plan, peer, depth, round, &running)?;
        println!(
            "round {round}  {:<26} depth {depth:<3} {:>9.0}/s  p50 {:>7.3} ms  p99 {:>7.3} ms",
            peer.title(),
            run.per_second,
            run.p50_millis,
            run.p99_millis
        );
        runs.push(run);
    }
    Ok(())
}

/// One run; again, if others took too much of the processors meanwhile.
fn undisturbed(
    plan: &ClusterPlan,
    peer: Peer,
    depth: usize,
    round: usize,
    running: &Running,
) -> Result<Run, BenchError> {
    let load = Plan {
        op: plan.op,
        clients: plan.clients,
        depth,
        value_bytes: plan.value_bytes,
        keys: plan.keys,
        threads: plan.threads,
        warmup: Duration::from_secs(1),
        measured: plan.measured,
    };
    let mut attempt = 1;
    loop {
        if plan.quiet.is_some_and(|patience| !machine::wait_until_quiet(patience)) {
            println!("round {round}  the machine is busy with something else");
        }
        let measured = load::run(&running.target, &load, || running.cpu_seconds())?;
        let run = figures(peer, depth, round, &measured);
        let lost = run.other_cores + run.stolen_cores;
        if plan.lost_max.is_none_or(|max| lost <= max) || attempt == ATTEMPTS_MAX {
            return Ok(run);
        }
        println!("round {round}  {:<26} disturbed: others took {lost:.2} cores", peer.title());
        attempt += 1;
    }
}

fn figures(peer: Peer, depth: usize, round: usize, measured: &Measured) -> Run {
    let seconds = measured.elapsed.as_secs_f64();
    let millis = |q| measured.latency.value_at_quantile(q) as f64 / 1e6;
    Run {
        peer,
        depth,
        round,
        per_second: measured.ops as f64 / seconds,
        p50_millis: millis(0.5),
        p99_millis: millis(0.99),
        server_cores: measured.server_cpu / seconds,
        per_cpu_second: measured.ops as f64 / measured.server_cpu.max(0.01),
        client_cores: measured.client_cpu / seconds,
        other_cores: measured.other_cpu / seconds,
        stolen_cores: measured.steal / seconds,
    }
}
