//! What the connections of a node share: its settings, its counters, the list of its clients.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use engine::Counter;
use engine::{GroupId, NodeId, NodeView};

use crate::kv::{Kv, KvGauges};
use crate::resp::Limits;
use crate::slots::SlotMap;

/// Rates are taken over at least this long.
const RATE_WINDOW_MIN: Duration = Duration::from_millis(500);
/// While commands come, totals are noted this often, for rates.
const SAMPLE_EVERY_MS: u64 = 1000;

/// How the front door is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The password clients must give; none means that only this machine may connect.
    pub password: Option<String>,
    /// The longest value, in bytes.
    pub value_bytes_max: usize,
    /// How many groups there are.
    pub groups: usize,
    /// How many replicas a group has.
    pub replicas: usize,
    /// How many shards the node has.
    pub shards: usize,
}

/// What each shard counts about its connections. Written by the shard's thread only.
#[derive(Debug, Default)]
pub struct DoorCounters {
    /// Commands taken from clients.
    pub commands: Counter,
    /// Error replies given.
    pub errors: Counter,
    /// Commands redirected to another node.
    pub redirects: Counter,
    /// Connections closed because what they sent was not RESP.
    pub protocol_errors: Counter,
}

/// A client in the list of clients.
#[derive(Clone, Debug)]
pub(crate) struct ClientEntry {
    pub(crate) addr: std::net::SocketAddr,
    pub(crate) name: String,
    pub(crate) lib_name: String,
    pub(crate) lib_ver: String,
    pub(crate) resp: i64,
    pub(crate) since: Instant,
}

/// What the connections of a node share.
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    slots: SlotMap,
    limits: Limits,
    doors: Vec<DoorCounters>,
    gauges: Vec<Arc<KvGauges>>,
    clients: Mutex<BTreeMap<u64, ClientEntry>>,
    rates: Mutex<Rates>,
    /// When totals were noted last, in milliseconds since 1970.
    sampled: AtomicU64,
}

impl Server {
    /// The shared part of a node with these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Arc<Self> {
        let slots = SlotMap::new(settings.groups);
        Arc::new(Self {
            slots,
            limits: Limits::for_values(settings.value_bytes_max),
            doors: (0..settings.shards.max(1)).map(|_| DoorCounters::default()).collect(),
            gauges: (0..slots.groups()).map(|_| Arc::default()).collect(),
            clients: Mutex::default(),
            rates: Mutex::new(Rates::new(Instant::now())),
            sampled: AtomicU64::new(0),
            settings,
        })
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Which group has which slot.
    #[must_use]
    pub fn slots(&self) -> SlotMap {
        self.slots
    }

    /// What an authenticated client may send.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The counters of a shard's connections.
    #[must_use]
    pub fn door(&self, shard: usize) -> &DoorCounters {
        &self.doors[shard % self.doors.len()]
    }

    /// The counters of all shards' connections.
    #[must_use]
    pub fn doors(&self) -> &[DoorCounters] {
        &self.doors
    }

    /// What a group's state machine tells about itself; none if there is no such group.
    #[must_use]
    pub fn gauges(&self, group: GroupId) -> Option<&Arc<KvGauges>> {
        self.gauges.get(usize::try_from(group.0.checked_sub(1)?).ok()?)
    }

    /// The state machine of a group: what the engine's builder asks for.
    #[must_use]
    pub fn state_machine(&self, group: GroupId, cluster_id: u128) -> Kv {
        let range = self.slots.range_of(group).unwrap_or(crate::slots::SlotRange::ALL);
        let seed = crate::kv::hash(group.0, &cluster_id.to_le_bytes());
        let gauges = self.gauges(group).cloned().unwrap_or_default();
        Kv::new(range, seed, gauges)
    }

    /// The groups that this node leads, as far as it knows, in ascending order.
    pub(crate) fn led<'v>(&self, view: &'v NodeView) -> impl Iterator<Item = GroupId> + 'v {
        let node: NodeId = view.node();
        view.groups().iter().map(|g| g.id).filter(move |g| view.leader(*g) == Some(node))
    }

    /// The list of clients.
    pub(crate) fn clients(&self) -> MutexGuard<'_, BTreeMap<u64, ClientEntry>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The totals of all shards.
    pub(crate) fn totals(&self, view: &NodeView) -> Totals {
        let commands = self.doors.iter().map(|door| door.commands.read()).sum();
        let mut totals = Totals { commands, ..Totals::default() };
        for shard in view.shards() {
            totals.wal_writes += shard.wal_writes.read();
            totals.wal_entries += shard.wal_entries.read();
            totals.bytes_in += shard.client_bytes_in.read();
            totals.bytes_out += shard.client_bytes_out.read();
        }
        totals
    }

    /// Notes the totals if that has not been done for a while. Called as commands come.
    pub(crate) fn sample(&self, view: &NodeView, unix_ms: u64) {
        let last = self.sampled.load(Ordering::Relaxed);
        let due = unix_ms.abs_diff(last) >= SAMPLE_EVERY_MS;
        let (order, failed) = (Ordering::Relaxed, Ordering::Relaxed);
        if due && self.sampled.compare_exchange(last, unix_ms, order, failed).is_ok() {
            let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
            rates.note(self.totals(view), Instant::now());
        }
    }

    /// How much these totals grew per second of late.
    pub(crate) fn rates(&self, totals: Totals) -> Totals {
        let rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates.until(totals, Instant::now())
    }
}

/// Totals whose growth is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) commands: u64,
    pub(crate) wal_writes: u64,
    pub(crate) wal_entries: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

impl Totals {
    fn map(self, other: Self, f: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            commands: f(self.commands, other.commands),
            wal_writes: f(self.wal_writes, other.wal_writes),
            wal_entries: f(self.wal_entries, other.wal_entries),
            bytes_in: f(self.bytes_in, other.bytes_in),
            bytes_out: f(self.bytes_out, other.bytes_out),
        }
    }
}

/// The totals of two moments gone by.
#[derive(Debug)]
struct Rates {
    earlier: (Instant, Totals),
    last: (Instant, Totals),
}

impl Rates {
    fn new(start: Instant) -> Self {
        Self { earlier: (start, Totals::default()), last: (start, Totals::default()) }
    }

    fn note(&mut self, totals: Totals, now: Instant) {
        self.earlier = self.last;
        self.last = (now, totals);
    }

    /// The growth per second since the last moment that is long enough ago.
    fn until(&self, totals: Totals, now: Instant) -> Totals {
        let since = |at: Instant| now.saturating_duration_since(at);
        let recent = since(self.last.0) < RATE_WINDOW_MIN;
        let (at, before) = if recent { self.earlier } else { self.last };
        let millis = since(at).max(RATE_WINDOW_MIN).as_millis() as u64;
        totals.map(before, |now, then| now.saturating_sub(then) * 1000 / millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_growth_over_time() {
        let start = Instant::now();
        let mut rates = Rates::new(start);
        let of = |commands| Totals { commands, ..Totals::default() };
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(rates.until(of(100), at(0)).commands, 200);
        assert_eq!(rates.until(of(1000), at(2000)).commands, 500);
        rates.note(of(1000), at(2000));
        // Too soon after the last note: since the one before.
        assert_eq!(rates.until(of(2100), at(2100)).commands, 1000);
        assert_eq!(rates.until(of(4000), at(5000)).commands, 1000);
    }
}
