//! Counters of a shard. A metric exists once and feeds INFO, scrapes and tests alike.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that its shard writes and anyone reads.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the owning shard calls it, so a plain load and store is enough.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Sets the number: for gauges.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The number now.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! metrics {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// The counters and gauges of one shard.
        #[derive(Debug, Default)]
        pub struct ShardMetrics {
            $($(#[$doc])* pub $name: Counter,)+
        }

        impl ShardMetrics {
            /// Every metric with its name, in the order of declaration.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
                [$((stringify!($name), self.$name.read()),)+].into_iter()
            }
        }
    };
}

metrics! {
    /// Turns of the loop.
    turns,
    /// Requests that came in, reads and writes, from connections and from the library.
    requests,
    /// Writes proposed to a group led here.
    proposals,
    /// Linearizable reads answered here.
    reads,
    /// Entries applied to state machines, as leader or follower.
    entries_applied,
    /// Durable writes of the WAL: one may carry the entries of many groups and requests.
    wal_writes,
    /// Bytes of those writes, padding included.
    wal_bytes,
    /// Log entries in those writes.
    wal_entries,
    /// Raft messages sent to peers.
    messages_sent,
    /// Raft messages received from peers.
    messages_received,
    /// Frames sent to peers.
    frames_sent,
    /// Raft messages dropped because the lane was down or full; Raft repeats what matters.
    messages_dropped,
    /// Connections and frames refused because they were not what they should be.
    peers_refused,
    /// Requests handed to another shard of this node.
    mesh_requests,
    /// Requests refused because too much was under way.
    requests_refused,
    /// Client connections now. A gauge.
    connections,
    /// Client connections since the start.
    connections_total,
    /// Groups with a replica here. A gauge.
    groups,
    /// Groups led here. A gauge.
    groups_led,
    /// Elections won here.
    elections_won,
    /// Snapshots taken here.
    snapshots_taken,
    /// Snapshots of other nodes installed here.
    snapshots_installed,
    /// Bytes of snapshots sent to peers.
    snapshot_bytes_sent,
    /// Bytes received from clients.
    client_bytes_in,
    /// Bytes sent to clients.
    client_bytes_out,
    /// 1 once the shard has ended by itself: its log or its ring has failed. A gauge.
    failed,
}
