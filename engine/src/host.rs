//! The host of a shard: its ring, log, sockets, lanes and clients, and the loop that turns them.
//!
//! One turn, in order: reap completions, release what became durable, take in frames, parcels and
//! clients, move time on, turn the shard, then log before sends, and one entry into the kernel.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use net::{SocketEvent, SocketId, SocketLimits, Sockets};
use raft_core::Tick;
use wal::Wal;

use crate::connections::{Connections, Surroundings};
use crate::handle::ShardHandle;
use crate::lanes::Lanes;
use crate::mesh::{Caller, Inlet, Mesh, Parcel, Request};
use crate::metrics::ShardMetrics;
use crate::outlet::{HostOutlet, Outgoing};
use crate::protocol::ProtocolFactory;
use crate::request::{Outcome, RequestError};
use crate::ring::{Completion, Ring, TAG_NET, TAG_WAL};
use crate::shard::{Outlet, Shard};
use crate::snapshots::SnapshotTable;
use crate::snapshots::transfers::Transfers;
use crate::snapshots::worker::Worker;
use crate::storage::GroupLog;
use crate::strangers::Strangers;
use crate::view::NodeView;

/// Parcels taken per turn, so that a busy mesh does not starve the rest.
const PARCELS_PER_TURN: usize = 1024;
/// Rounds of outcomes that cause requests that cause outcomes, per turn.
const ROUNDS_PER_TURN: usize = 4;
/// Time that passes for Raft in one turn at most, in ticks: after a stall the frames that wait are
/// read before their senders are found dead.
const TICKS_PER_TURN_MAX: u64 = 20;
/// How long requests under way may take to finish at shutdown.
const DRAIN_WAIT: Duration = Duration::from_millis(500);

/// Everything a shard's thread owns.
pub(crate) struct Host {
    pub(crate) index: usize,
    pub(crate) shard: Shard<GroupLog>,
    pub(crate) ring: Ring,
    pub(crate) wal: Wal,
    pub(crate) sockets: Sockets,
    pub(crate) lanes: Lanes,
    pub(crate) strangers: Strangers,
    pub(crate) worker: Worker,
    pub(crate) transfers: Transfers,
    pub(crate) snapshots: SnapshotTable,
    pub(crate) connections: Connections,
    pub(crate) protocol: Option<Arc<ProtocolFactory>>,
    pub(crate) handle: ShardHandle,
    pub(crate) mesh: Mesh,
    pub(crate) inlet: Inlet,
    pub(crate) view: Arc<NodeView>,
    pub(crate) metrics: Arc<ShardMetrics>,
    pub(crate) tick: Duration,
    pub(crate) connections_max: usize,
    pub(crate) work: Work,
}

/// The lists and clocks of the loop, kept between turns.
pub(crate) struct Work {
    pub(crate) completions: Vec<Completion>,
    pub(crate) events: Vec<SocketEvent>,
    pub(crate) requests: Vec<Request>,
    pub(crate) outcomes: Vec<(Caller, Outcome)>,
    pub(crate) outgoing: Vec<Outgoing>,
    pub(crate) ticked: Instant,
    /// When the turn began.
    pub(crate) now: Instant,
    /// The wall clock, read once per turn.
    pub(crate) unix_ms: u64,
    pub(crate) next_client_shard: usize,
    pub(crate) draining: Option<Instant>,
    pub(crate) drained: bool,
    pub(crate) client_listener: Option<SocketId>,
}

impl Work {
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            completions: Vec::new(),
            events: Vec::new(),
            requests: Vec::new(),
            outcomes: Vec::new(),
            outgoing: (0..shards).map(|_| Outgoing::default()).collect(),
            ticked: Instant::now(),
            now: Instant::now(),
            unix_ms: unix_ms(),
            next_client_shard: 0,
            draining: None,
            drained: false,
            client_listener: None,
        }
    }
}

impl Host {
    /// The sockets of a shard.
    pub(crate) fn sockets() -> Sockets {
        Sockets::new(TAG_NET, SocketLimits::default())
    }

    /// Accepts peers and clients here: shard 0 does, for all.
    pub(crate) fn listen(&mut self, peers: TcpListener, clients: Option<TcpListener>) {
        self.sockets.listen(peers);
        self.work.client_listener = clients.map(|clients| self.sockets.listen(clients));
    }

    /// Turns until shut down.
    pub(crate) fn run(&mut self) {
        self.work.ticked = Instant::now();
        self.shard.campaign_where_preferred(|node| node == self.view.node());
        loop {
            let now = Instant::now();
            let busy = self.turn(now);
            if self.is_over(now) {
                break;
            }
            let wait = if busy { Some(Duration::ZERO) } else { self.time_to_sleep(now) };
            let asleep = wait != Some(Duration::ZERO) && self.inlet.prepare_sleep();
            let wait = if asleep { wait } else { Some(Duration::ZERO) };
            if let Err(error) = self.ring.enter(wait) {
                tracing::error!(%error, "the ring of this shard has failed");
                break;
            }
            if asleep {
                self.inlet.woke();
            }
        }
        self.close();
    }

    /// Whether the loop ended because it was asked to.
    pub(crate) fn was_shut_down(&self) -> bool {
        self.work.draining.is_some()
    }

    /// One turn. True if there is more to do at once.
    fn turn(&mut self, now: Instant) -> bool {
        self.work.unix_ms = unix_ms();
        self.work.now = now;
        self.reap(now);
        let mut busy = self.take_parcels(now);
        self.move_time(now);
        self.connections_resume();
        let mut more = false;
        for _ in 0..ROUNDS_PER_TURN {
            more = self.turn_shard();
            if self.work.outcomes.is_empty() && self.work.requests.is_empty() {
                break;
            }
            self.deliver();
        }
        busy |= more || !self.work.outcomes.is_empty() || !self.work.requests.is_empty();
        busy |= self.connections.has_resumable() || self.handle.has_requests();
        self.move_snapshots(now);
        self.lanes.flush(now, &mut self.sockets, &self.metrics);
        busy |= self.flush_mesh();
        self.submit(now);
        self.count();
        busy | self.ring.is_full()
    }

    /// Submits what is due: the log before the sends.
    fn submit(&mut self, now: Instant) {
        let (wal, sockets) = (&mut self.wal, &mut self.sockets);
        self.ring.fill(|sq| {
            wal.submit(now, sq);
            sockets.submit(sq);
        });
    }

    fn digest_completions(&mut self) {
        let mut completions = std::mem::take(&mut self.work.completions);
        self.ring.reap(&mut completions);
        for done in completions.drain(..) {
            match done.tag() {
                TAG_WAL => self.wal.complete(done.user_data, done.result),
                TAG_NET => self.sockets.complete(
                    done.user_data,
                    done.result,
                    done.flags,
                    &mut self.work.events,
                ),
                _ => {}
            }
        }
        self.work.completions = completions;
    }

    fn reap(&mut self, now: Instant) {
        self.digest_completions();
        self.shard.durable(self.wal.durable().0);
        if let Some(error) = self.wal.poisoned().filter(|_| !self.shard.failed) {
            tracing::error!(%error, "a write to the log failed; it is never tried again");
            self.with_shard(|shard, io| shard.fail(io));
        }
        let mut events = std::mem::take(&mut self.work.events);
        for event in events.drain(..) {
            self.socket_event(event, now);
        }
        self.work.events = events;
    }

    /// Lets `act` work with the shard and the outlet of this host.
    pub(crate) fn with_shard<R>(
        &mut self,
        act: impl FnOnce(&mut Shard<GroupLog>, &mut HostOutlet<'_>) -> R,
    ) -> R {
        let mut io = HostOutlet {
            index: self.index,
            wal: &mut self.wal,
            lanes: &mut self.lanes,
            outcomes: &mut self.work.outcomes,
            outgoing: &mut self.work.outgoing,
            metrics: &self.metrics,
            worker: &self.worker,
            transfers: &mut self.transfers,
            snapshots: &self.snapshots,
            now: self.work.now,
        };
        act(&mut self.shard, &mut io)
    }

    /// Lets `act` work with the client connections and what they need of this host.
    pub(crate) fn with_connections(
        &mut self,
        act: impl FnOnce(&mut Connections, &mut Surroundings<'_>),
    ) {
        let mut around = Surroundings {
            sockets: &mut self.sockets,
            view: &self.view,
            unix_ms: self.work.unix_ms,
            requests: &mut self.work.requests,
        };
        act(&mut self.connections, &mut around);
    }

    fn turn_shard(&mut self) -> bool {
        let mut requests = std::mem::take(&mut self.work.requests);
        requests.append(&mut self.handle.take_requests());
        for request in requests.drain(..) {
            self.dispatch(request);
        }
        self.work.requests = requests;
        self.with_shard(|shard, io| shard.turn(io))
    }

    /// Brings a request to the shard that owns its group.
    fn dispatch(&mut self, request: Request) {
        let owner = self.view.shard_of(request.group);
        if self.work.draining.is_some() {
            self.with_shard(|_, io| io.reply(request.reply_to, Err(RequestError::Stopped)));
        } else if owner == self.index {
            self.with_shard(|shard, io| shard.request(request, io));
        } else {
            self.metrics.mesh_requests.add(1);
            self.work.outgoing[owner].requests.push(request);
        }
    }

    /// Hands outcomes to the callers that live here. They may make new requests.
    fn deliver(&mut self) {
        let mut outcomes = std::mem::take(&mut self.work.outcomes);
        for (caller, outcome) in outcomes.drain(..) {
            match caller {
                Caller::Connection { key, ticket } => {
                    self.with_connections(|c, around| c.complete(key, ticket, outcome, around));
                }
                Caller::Handle { key } => self.handle.complete(key, outcome),
            }
        }
        self.work.outcomes = outcomes;
    }

    fn connections_resume(&mut self) {
        if self.connections.has_resumable() {
            self.with_connections(|c, around| c.resume(around));
        }
    }

    fn take_parcels(&mut self, now: Instant) -> bool {
        for _ in 0..PARCELS_PER_TURN {
            let Some(parcel) = self.inlet.take() else {
                return false;
            };
            match parcel {
                Parcel::Requests(mut requests) => self.work.requests.append(&mut requests),
                Parcel::Request(request) => self.work.requests.push(request),
                Parcel::Replies(mut replies) => self.work.outcomes.append(&mut replies),
                Parcel::Lane { fd, hello, input } => {
                    let socket = self.sockets.adopt(fd);
                    self.adopt_lane(socket, &hello, &input);
                }
                Parcel::Connection { fd, peer } => self.adopt_client(fd, peer),
                Parcel::Snapshot(news) => self.snapshot_news(*news),
                Parcel::Task(task) => (task.0)(&self.handle),
                Parcel::Shutdown => self.work.draining = Some(now + DRAIN_WAIT),
            }
        }
        true
    }

    /// Raft's time follows the clock, but after a stall only in steps.
    fn move_time(&mut self, now: Instant) {
        let nanos = self.tick.as_nanos().max(1);
        let passed = now.saturating_duration_since(self.work.ticked).as_nanos() / nanos;
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        let step = passed.min(TICKS_PER_TURN_MAX);
        self.work.ticked = if passed > step {
            now
        } else {
            self.work.ticked + self.tick * u32::try_from(step).unwrap_or(u32::MAX)
        };
        self.shard.advance_to(Tick(self.shard.now.0 + step));
        self.lanes.advance_to(now, &mut self.sockets);
        self.strangers.advance_to(now, &mut self.sockets);
    }

    fn time_to_sleep(&self, now: Instant) -> Option<Duration> {
        let raft = self.shard.next_deadline().map(|at| {
            let ticks = at.0.saturating_sub(self.shard.now.0).min(1_000_000);
            self.work.ticked + self.tick * u32::try_from(ticks).unwrap_or(u32::MAX)
        });
        let deadlines = [
            raft,
            self.wal.next_deadline(),
            self.lanes.next_deadline(),
            self.strangers.next_deadline(),
            self.transfers.next_deadline(),
        ];
        // While the node ends its shards look at each other often.
        let draining = self.work.draining.map(|_| now + Duration::from_millis(2));
        let due = deadlines.into_iter().chain([draining]).flatten().min()?;
        Some(due.saturating_duration_since(now))
    }

    fn count(&self) {
        let stats = self.wal.stats();
        self.metrics.wal_writes.set(stats.writes);
        self.metrics.wal_bytes.set(stats.bytes);
        self.metrics.wal_entries.set(stats.entries);
        self.metrics.connections.set(self.connections.len() as u64);
    }

    /// Nothing is under way here: no request of a caller that lives here, nothing for others.
    fn is_quiet(&self) -> bool {
        let answered = self.connections.outstanding() == 0 && self.handle.outstanding() == 0;
        let sent =
            self.work.outgoing.iter().all(Outgoing::is_empty) && self.work.outcomes.is_empty();
        self.shard.requests == 0 && answered && sent && self.wal.in_flight() == 0
    }

    /// Whether the end has come: of this shard, because its log failed, or of the node.
    fn is_over(&mut self, now: Instant) -> bool {
        if self.shard.failed {
            return true;
        }
        let Some(until) = self.work.draining else { return false };
        if !self.work.drained && (self.is_quiet() || now >= until) {
            self.work.drained = true;
            // What is still open is answered with what is known.
            self.with_shard(|shard, io| shard.end(io));
            self.deliver();
            self.mesh.note_drained();
        }
        // The answers of other shards are awaited: their callers live here.
        let late = now >= until + DRAIN_WAIT;
        self.work.drained && (self.is_quiet() && self.mesh.all_drained() || late)
    }

    /// Ends: tells who still waits, closes the log and every socket, and leaves nothing to the
    /// kernel.
    fn close(&mut self) {
        self.with_shard(|shard, io| shard.end(io));
        self.deliver();
        self.flush_mesh();
        self.close_sockets(true);
        self.wal.close();
        self.finish();
    }

    fn close_sockets(&mut self, flush: bool) {
        for id in self.sockets.ids() {
            self.sockets.hold(id, false);
            self.sockets.close(id, flush);
        }
    }

    /// Enters the kernel until the log and the sockets need it no more.
    fn finish(&mut self) {
        let started = Instant::now();
        let mut flushing = true;
        while started.elapsed() < Duration::from_secs(2) {
            // Whoever does not take its last answers by now will not.
            if flushing && started.elapsed() > Duration::from_millis(500) {
                flushing = false;
                self.close_sockets(false);
            }
            self.submit(Instant::now());
            if self.wal.is_closed() && self.sockets.in_flight() == 0 {
                break;
            }
            if self.ring.enter(Some(Duration::from_millis(20))).is_err() {
                break;
            }
            self.digest_completions();
        }
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
