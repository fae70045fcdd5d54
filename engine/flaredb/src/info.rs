//! INFO: how the node is, for people and for tools that know Redis's fields.

use std::fmt::{Display, Write as _};

use engine::Counter;
use engine::{NodeView, ShardMetrics};

use crate::server::{DoorCounters, Server};
use crate::topology::{Health, node_name};

/// The version of Redis whose semantics and error texts the door has.
pub(crate) const REDIS_VERSION: &str = "7.0.15";

const SECTIONS: [&str; 11] = [
    "server",
    "clients",
    "memory",
    "persistence",
    "stats",
    "replication",
    "raft",
    "groups",
    "cores",
    "cluster",
    "keyspace",
];

/// The sections asked for, or all: each a heading and lines of `field:value`.
pub(crate) fn text(server: &Server, view: &NodeView, sections: &[Vec<u8>]) -> String {
    let everything = sections.is_empty()
        || sections.iter().any(|s| matches!(s.as_slice(), b"all" | b"default" | b"everything"));
    let mut page = Page { text: String::new(), server, view };
    for name in SECTIONS {
        if everything || sections.iter().any(|wanted| wanted == name.as_bytes()) {
            page.section(name);
        }
    }
    page.text
}

struct Page<'a> {
    text: String,
    server: &'a Server,
    view: &'a NodeView,
}

impl Page<'_> {
    fn section(&mut self, name: &str) {
        if !self.text.is_empty() {
            self.text.push_str("\r\n");
        }
        let (first, rest) = name.split_at(1);
        let _ = write!(self.text, "# {}{rest}\r\n", first.to_ascii_uppercase());
        match name {
            "server" => self.server(),
            "clients" => self.clients(),
            "memory" => self.memory(),
            "persistence" => self.persistence(),
            "replication" => self.replication(),
            "stats" => self.stats(),
            "raft" => self.raft(),
            "groups" => self.groups(),
            "cores" => self.cores(),
            "cluster" => self.cluster(),
            _ => self.keyspace(),
        }
    }

    fn line(&mut self, name: &str, value: impl Display) {
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{name}:{value}\r\n");
    }

    fn sum(&self, counter: impl Fn(&ShardMetrics) -> &Counter) -> u64 {
        self.view.shards().iter().map(|shard| counter(shard).read()).sum()
    }

    fn door_sum(&self, counter: impl Fn(&DoorCounters) -> &Counter) -> u64 {
        self.server.doors().iter().map(|door| counter(door).read()).sum()
    }

    /// Keys, keys with a deadline, bytes and buried keys: of groups led here, or of all replicas
    /// here.
    fn kv_sum(&self, led_only: bool) -> [u64; 4] {
        let node = self.view.node();
        let mut sums = [0; 4];
        for group in self.view.groups() {
            if led_only && self.view.leader(group.id) != Some(node) {
                continue;
            }
            let Some(gauges) = self.server.gauges(group.id) else {
                continue;
            };
            let each =
                [&gauges.keys, &gauges.keys_with_deadline, &gauges.bytes, &gauges.keys_expired];
            for (sum, gauge) in sums.iter_mut().zip(each) {
                *sum += gauge.read();
            }
        }
        sums
    }

    fn server(&mut self) {
        let uptime = self.view.uptime().as_secs();
        let port = self
            .view
            .node_spec(self.view.node())
            .and_then(|node| node.client_addr)
            .map_or(0, |addr| addr.port());
        self.line("redis_version", REDIS_VERSION);
        self.line("flaredb_version", env!("CARGO_PKG_VERSION"));
        self.line("redis_mode", "cluster");
        self.line("os", std::env::consts::OS);
        self.line("arch_bits", usize::BITS);
        self.line("process_id", std::process::id());
        self.line("run_id", node_name(self.view, self.view.node()));
        self.line("node_id", self.view.node());
        self.line("tcp_port", port);
        self.line("uptime_in_seconds", uptime);
        self.line("uptime_in_days", uptime / 86_400);
        self.line("fsync_micros", self.view.fsync().as_micros());
    }

    fn clients(&mut self) {
        let connected = self.server.clients().len();
        let total = self.sum(|m| &m.connections_total);
        self.line("connected_clients", connected);
        self.line("total_connections_received", total);
        self.line("cluster_connections", 0);
        self.line("blocked_clients", 0);
    }

    fn memory(&mut self) {
        let [_, _, bytes, _] = self.kv_sum(false);
        self.line("used_memory", bytes);
        self.line("used_memory_rss", resident_bytes());
        self.line("maxmemory", 0);
        self.line("maxmemory_policy", "noeviction");
    }

    /// What clients look at before they send anything.
    fn persistence(&mut self) {
        self.line("loading", 0);
        self.line("aof_enabled", 1);
    }

    /// Nobody is called a replica: every node leads some groups and follows in others.
    fn replication(&mut self) {
        self.line("role", "master");
        self.line("connected_slaves", 0);
        self.line("master_replid", node_name(self.view, self.view.node()));
    }

    fn stats(&mut self) {
        let totals = self.server.totals(self.view);
        let rates = self.server.rates(totals);
        let [_, _, _, expired] = self.kv_sum(true);
        let (errors, redirects) = (self.door_sum(|d| &d.errors), self.door_sum(|d| &d.redirects));
        let protocol_errors = self.door_sum(|d| &d.protocol_errors);
        self.line("total_commands_processed", totals.commands);
        self.line("instantaneous_ops_per_sec", rates.commands);
        self.line("total_net_input_bytes", totals.bytes_in);
        self.line("total_net_output_bytes", totals.bytes_out);
        self.line("total_error_replies", errors);
        self.line("redirects", redirects);
        self.line("protocol_errors", protocol_errors);
        self.line("expired_keys", expired);
        self.line("wal_writes", totals.wal_writes);
        self.line("wal_writes_per_sec", rates.wal_writes);
        self.line("wal_entries", totals.wal_entries);
        self.line("wal_entries_per_sec", rates.wal_entries);
        let mean = totals.wal_entries as f64 / totals.wal_writes.max(1) as f64;
        self.line("wal_entries_per_write", format_args!("{mean:.2}"));
        self.line("wal_bytes", self.sum(|m| &m.wal_bytes));
    }

    fn raft(&mut self) {
        self.line("proposals", self.sum(|m| &m.proposals));
        self.line("reads", self.sum(|m| &m.reads));
        self.line("entries_applied", self.sum(|m| &m.entries_applied));
        self.line("elections_won", self.sum(|m| &m.elections_won));
        self.line("messages_sent", self.sum(|m| &m.messages_sent));
        self.line("messages_received", self.sum(|m| &m.messages_received));
        self.line("messages_dropped", self.sum(|m| &m.messages_dropped));
        self.line("frames_sent", self.sum(|m| &m.frames_sent));
        self.line("snapshots_taken", self.sum(|m| &m.snapshots_taken));
        self.line("snapshots_installed", self.sum(|m| &m.snapshots_installed));
        self.line("snapshot_bytes_sent", self.sum(|m| &m.snapshot_bytes_sent));
        self.line("requests_refused", self.sum(|m| &m.requests_refused));
    }

    fn groups(&mut self) {
        let led = self.server.led(self.view).count();
        self.line("groups", self.view.groups().len());
        self.line("groups_led", led);
        for group in self.view.groups() {
            let leader = self.view.leader(group.id).map_or(0, |node| node.0);
            let Some(range) = self.server.slots().range_of(group.id) else {
                continue;
            };
            let keys = self.server.gauges(group.id).map_or(0, |gauges| gauges.keys.read());
            let shard = self.view.shard_of(group.id);
            self.line(
                &format!("group{}", group.id),
                format_args!(
                    "slots={}-{},leader={leader},core={shard},keys={keys}",
                    range.first, range.last
                ),
            );
        }
    }

    fn cores(&mut self) {
        self.line("cores", self.view.shards().len());
        for (number, shard) in self.view.shards().iter().enumerate() {
            let fields: Vec<String> = [("commands", self.server.door(number).commands.read())]
                .into_iter()
                .chain(shard.each())
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            self.line(&format!("core{number}"), fields.join(","));
        }
    }

    fn cluster(&mut self) {
        let health = Health::of(self.view, self.server.slots());
        self.line("cluster_enabled", 1);
        self.line("cluster_state", if health.is_ok() { "ok" } else { "fail" });
        self.line("cluster_slots_ok", health.reachable);
    }

    fn keyspace(&mut self) {
        let [keys, mortal, _, _] = self.kv_sum(true);
        if keys > 0 {
            self.line("db0", format_args!("keys={keys},expires={mortal},avg_ttl=0"));
        }
    }
}

/// Memory of this process that is resident, as the kernel says.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
    pages * 4096
}
