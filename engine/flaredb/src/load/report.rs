//! The tables at the end of a load: what all did together, each node, each core.

use std::time::Duration;

use engine::NodeId;
use hdrhistogram::Histogram;

use super::{PIPELINE, histogram};
use crate::node::Node;

/// What a core has done so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub(super) node: u64,
    pub(super) core: usize,
    pub(super) led: u64,
    pub(super) commands: u64,
    pub(super) proposals: u64,
    pub(super) reads: u64,
    pub(super) applied: u64,
    pub(super) wal_writes: u64,
    pub(super) wal_entries: u64,
}

impl Figures {
    /// The figures of every core of these nodes.
    pub(super) fn of(nodes: &[Node]) -> Vec<Self> {
        let mut all = Vec::new();
        for node in nodes {
            let view = node.view();
            for (core, shard) in view.shards().iter().enumerate() {
                all.push(Self {
                    node: view.node().0,
                    core,
                    led: shard.groups_led.read(),
                    commands: node.server().door(core).commands.read(),
                    proposals: shard.proposals.read(),
                    reads: shard.reads.read(),
                    applied: shard.entries_applied.read(),
                    wal_writes: shard.wal_writes.read(),
                    wal_entries: shard.wal_entries.read(),
                });
            }
        }
        all
    }
}

/// The latencies of one connection in microseconds, with its node.
pub(super) type Latencies = (NodeId, Option<Histogram<u64>>);

/// Prints the tables. `before` is what the cores had done when the load began.
pub(super) fn print(
    nodes: &[Node],
    before: &[Figures],
    latencies: &[Latencies],
    elapsed: Duration,
) {
    let seconds = elapsed.as_secs_f64().max(1e-9);
    let rate = |count: u64| count as f64 / seconds;
    println!();
    println!("{:>5} {:>10} {:>9} {:>9}", "node", "ops/s", "p50 ms", "p99 ms");
    let line = |name: &str, of: Option<NodeId>| {
        let all = sum(latencies.iter().filter(|(node, _)| of.is_none_or(|only| only == *node)));
        let quantile = |q| all.as_ref().map_or(0, |h| h.value_at_quantile(q)) as f64 / 1000.0;
        let rate = rate(all.as_ref().map_or(0, Histogram::len));
        println!("{name:>5} {rate:>10.0} {:>9.2} {:>9.2}", quantile(0.5), quantile(0.99));
    };
    for node in nodes {
        let id = node.view().node();
        line(&id.to_string(), Some(id));
    }
    line("all", None);
    println!(
        "(times are of a command in a pipeline of {PIPELINE}: from its sending to the last reply)"
    );
    println!();
    println!(
        "{:>5} {:>4} {:>5} {:>10} {:>10} {:>10} {:>10} {:>10} {:>9}",
        "node",
        "core",
        "leads",
        "commands/s",
        "writes/s",
        "reads/s",
        "applied/s",
        "log wr/s",
        "per write"
    );
    for (now, then) in Figures::of(nodes).iter().zip(before) {
        let writes = now.wal_writes - then.wal_writes;
        let entries = now.wal_entries - then.wal_entries;
        println!(
            "{:>5} {:>4} {:>5} {:>10.0} {:>10.0} {:>10.0} {:>10.0} {:>10.0} {:>9.1}",
            now.node,
            now.core,
            now.led,
            rate(now.commands - then.commands),
            rate(now.proposals - then.proposals),
            rate(now.reads - then.reads),
            rate(now.applied - then.applied),
            rate(writes),
            entries as f64 / writes.max(1) as f64,
        );
    }
    println!();
}

fn sum<'a>(latencies: impl Iterator<Item = &'a Latencies>) -> Option<Histogram<u64>> {
    let mut all = histogram()?;
    for one in latencies.filter_map(|(_, one)| one.as_ref()) {
        // Histograms of the same bounds can always be added.
        let _ = all.add(one);
    }
    Some(all)
}
