//! One shard: the groups of one core, their state machines and the requests that wait for them.
//!
//! Pure: it is told the time, fed with messages, requests and durability, and writes its effects to
//! an [`Outlet`]. The host gives it a ring; the simulator gives it a made-up world.
//!
//! A turn: ask for reads, then until nothing moves: send, persist, apply, look at events, answer
//! reads.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use multi_raft::{MultiRaft, MultiReady};
use raft_core::{
    Config, Entry, GroupId, HardState, Index, LogId, Message, NodeId, ReadId, SnapshotMeta,
    Storage, Term, Tick,
};

use crate::error::StartError;
use crate::mesh::{ReplyTo, Request};
use crate::metrics::ShardMetrics;
use crate::persist::{Persisted, Persistence};
use crate::request::{Op, Outcome, RequestError};
use crate::snapshots::{SnapshotJob, Snapshots};
use crate::state_machine::{Replies, StateMachine};
use crate::view::NodeView;

/// Polls of the raft per turn: applying releases reads, reads may come from applying; no more than
/// this.
const POLLS_PER_TURN: usize = 4;

/// Where the effects of a turn go.
pub(crate) trait Outlet {
    /// Sends a message to the same group on another node. May be lost.
    fn send(&mut self, to: NodeId, group: GroupId, message: &Message);

    /// Adds one atomic unit to the log. With `restart` the group's log first becomes the empty one
    /// after that entry, which a snapshot includes.
    fn persist(
        &mut self,
        group: GroupId,
        restart: Option<LogId>,
        hard_state: Option<HardState>,
        entries: &[Entry],
    ) -> Persisted;

    /// Answers a request, exactly once.
    fn reply(&mut self, to: ReplyTo, outcome: Outcome);

    /// Hands over work on snapshot files.
    fn snapshot(&mut self, job: SnapshotJob);

    /// This durable snapshot is now a group's newest: its core is to be told so when it asks.
    fn keep_snapshot(&mut self, group: GroupId, meta: &SnapshotMeta);

    /// The log of a group is wanted no more up to this index.
    fn compact(&mut self, group: GroupId, through: Index);
}

/// The limits of a shard, in ticks and numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShardLimits {
    /// How long a request waits for a leader.
    pub(crate) leaderless_wait_ticks: u64,
    /// How long the fate of a proposal is looked for after leadership was lost.
    pub(crate) fate_wait_ticks: u64,
    /// Requests under way.
    pub(crate) requests_max: usize,
    /// One unit of the log, in bytes.
    pub(crate) unit_bytes_max: usize,
    /// A log longer than this since the last snapshot is due for the next, in bytes.
    pub(crate) snapshot_log_bytes: u64,
}

/// A write in the log whose outcome somebody waits for.
#[derive(Debug)]
pub(crate) struct WaitingWrite {
    pub(crate) id: LogId,
    pub(crate) reply_to: ReplyTo,
}

/// A read that somebody waits for.
#[derive(Debug)]
pub(crate) struct WaitingRead {
    pub(crate) query: Bytes,
    pub(crate) reply_to: ReplyTo,
    /// The newest entry of this leadership when the read came: the read is answered when that is
    /// applied and nothing proposed later is, so that a caller's requests to a group keep their
    /// order.
    pub(crate) floor: LogId,
}

/// The reads that share one confirmation.
#[derive(Debug)]
pub(crate) struct ReadBatch {
    pub(crate) id: ReadId,
    pub(crate) confirmed: bool,
    pub(crate) reads: VecDeque<WaitingRead>,
}

/// A request that waits for a leader.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) until: Tick,
    pub(crate) op: Op,
    pub(crate) reply_to: ReplyTo,
}

/// This node's replica of a group.
pub(crate) struct Replica {
    pub(crate) id: GroupId,
    pub(crate) machine: Box<dyn StateMachine>,
    pub(crate) leader: Option<NodeId>,
    pub(crate) leading: bool,
    pub(crate) stopped: bool,
    /// Campaigns first when the cluster starts.
    pub(crate) preferred: bool,
    pub(crate) members: Vec<NodeId>,
    /// The newest entry of this leadership.
    pub(crate) newest: LogId,
    pub(crate) applied: LogId,
    /// The last index of the newest snapshot.
    pub(crate) snapshot: Index,
    /// Payload applied since that was begun, in bytes.
    pub(crate) log_bytes: u64,
    /// In order of index, then term: several leaderships of this node may wait at one place.
    pub(crate) writes: VecDeque<WaitingWrite>,
    /// Reads that came in this turn: they share one confirmation.
    pub(crate) reads_open: VecDeque<WaitingRead>,
    pub(crate) reads_asked: VecDeque<ReadBatch>,
    pub(crate) parked: VecDeque<Parked>,
}

/// The groups of one core.
pub(crate) struct Shard<S: Storage> {
    pub(crate) node: NodeId,
    pub(crate) raft: MultiRaft<S>,
    ready: MultiReady,
    /// By group number divided by the number of shards.
    replicas: Vec<Option<Replica>>,
    shards: u64,
    pub(crate) limits: ShardLimits,
    pub(crate) now: Tick,
    pub(crate) requests: usize,
    pub(crate) next_read: u64,
    /// Groups with reads that came in this turn.
    pub(crate) reads_open: Vec<GroupId>,
    /// Until when requests of a group are parked.
    pub(crate) parked: BTreeSet<(Tick, GroupId)>,
    /// Bytes of all parked requests.
    pub(crate) parked_bytes: usize,
    /// Until when the fate of a group's writes up to a term is looked for, in order of time.
    pub(crate) fates: VecDeque<(Tick, GroupId, raft_core::Term)>,
    pub(crate) persistence: Persistence,
    pub(crate) snapshots: Snapshots,
    /// Groups led here.
    led: u64,
    pub(crate) view: Arc<NodeView>,
    pub(crate) metrics: Arc<ShardMetrics>,
    pub(crate) replies: Replies,
    pub(crate) apply_scratch: Vec<(LogId, Bytes)>,
    /// The log has failed: nothing is promised any more.
    pub(crate) failed: bool,
}

impl<S: Storage> Shard<S> {
    pub(crate) fn new(index: usize, limits: ShardLimits, view: Arc<NodeView>) -> Self {
        let shards = view.shards().len();
        let metrics = Arc::clone(&view.shards()[index]);
        Self {
            node: view.node(),
            raft: MultiRaft::new(view.node()),
            ready: MultiReady::default(),
            replicas: Vec::new(),
            shards: shards as u64,
            limits,
            now: Tick(0),
            requests: 0,
            next_read: 0,
            reads_open: Vec::new(),
            parked: BTreeSet::new(),
            parked_bytes: 0,
            fates: VecDeque::new(),
            persistence: Persistence::default(),
            snapshots: Snapshots::new(limits.snapshot_log_bytes),
            led: 0,
            view,
            metrics,
            replies: Replies::default(),
            apply_scratch: Vec::new(),
            failed: false,
        }
    }

    /// Adds this node's replica of a group, with a state machine that has applied the log up to the
    /// storage's newest snapshot.
    pub(crate) fn create(
        &mut self,
        group: GroupId,
        members: Vec<NodeId>,
        config: Config,
        storage: S,
        machine: Box<dyn StateMachine>,
    ) -> Result<(), StartError> {
        let applied = storage.snapshot_meta().last;
        self.raft.create(group, config, storage).map_err(|error| match error {
            multi_raft::CreateError::Boot(error) => StartError::Group { group, error },
            multi_raft::CreateError::Exists => StartError::Config("a group is listed twice"),
        })?;
        let place = (group.0 / self.shards) as usize;
        if self.replicas.len() <= place {
            self.replicas.resize_with(place + 1, || None);
        }
        self.replicas[place] = Some(Replica {
            id: group,
            machine,
            leader: None,
            leading: false,
            stopped: false,
            preferred: members.first() == Some(&self.node),
            members,
            newest: LogId::default(),
            applied,
            snapshot: applied.index,
            log_bytes: 0,
            writes: VecDeque::new(),
            reads_open: VecDeque::new(),
            reads_asked: VecDeque::new(),
            parked: VecDeque::new(),
        });
        self.metrics.groups.add(1);
        Ok(())
    }

    /// This node's replica of a group, if it lives on this shard.
    pub(crate) fn replica(&mut self, group: GroupId) -> Option<&mut Replica> {
        let place = usize::try_from(group.0 / self.shards).ok()?;
        self.replicas.get_mut(place)?.as_mut().filter(|r| r.id == group)
    }

    /// All replicas of this shard, in ascending order of group.
    pub(crate) fn replicas(&self) -> impl Iterator<Item = &Replica> {
        self.replicas.iter().flatten()
    }

    /// Moves time on; deadlines that passed fire.
    pub(crate) fn advance_to(&mut self, now: Tick) {
        if now > self.now {
            self.now = now;
            self.raft.advance_to(now);
        }
    }

    /// When something is due next, if nothing else happens.
    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        let parked = self.parked.first().map(|(at, _)| *at);
        let fates = self.fates.front().map(|(at, _, _)| *at);
        let log = self.persistence.next_try(self.now);
        [self.raft.next_deadline(), parked, fates, log].into_iter().flatten().min()
    }

    /// Whether a node has a replica of a group that has one here too.
    pub(crate) fn takes_from(&mut self, group: GroupId, from: NodeId) -> bool {
        self.replica(group).is_some_and(|r| !r.stopped && r.members.contains(&from))
    }

    /// Whether a term of a group is over, as far as this node knows: then its leader is none.
    pub(crate) fn is_over(&self, group: GroupId, term: Term) -> bool {
        self.raft.status(group).is_some_and(|status| status.hard.term > term)
    }

    /// A message from the same group on another node.
    pub(crate) fn step(&mut self, group: GroupId, from: NodeId, message: Message) {
        self.metrics.messages_received.add(1);
        // The core takes requests of nodes it does not know, as they may have become members; here
        // the members stay those of the start.
        if self.replica(group).is_some_and(|r| !r.members.contains(&from)) {
            self.metrics.peers_refused.add(1);
            return tracing::debug!(%group, %from, "message of a node without a replica refused");
        }
        if matches!(message, Message::InstallSnapshot(_)) {
            // Only with its content, which comes another way and makes the message itself.
            self.metrics.peers_refused.add(1);
            return tracing::debug!(%group, %from, "a snapshot without its content is refused");
        }
        if let Err(error) = self.raft.step(group, from, message) {
            self.metrics.peers_refused.add(1);
            tracing::debug!(%group, %from, %error, "message refused");
        }
    }

    /// Installs the snapshots that the cores want. A replica whose snapshot is not here stops: what
    /// belongs to it is not persisted without it, and the core never hears that it was.
    fn install_snapshots(&mut self, ready: &mut MultiReady, io: &mut impl Outlet) {
        for (group, snapshot) in ready.snapshots.drain(..) {
            if self.install_snapshot(group, &snapshot, io) {
                self.persistence.restart(group, snapshot.last);
                continue;
            }
            let last = snapshot.last;
            tracing::error!(%group, %last, "the replica stops: a snapshot is not here");
            if self.raft.stop(group).is_err() {
                tracing::error!(%group, "a snapshot for a group that is not here");
            }
            self.stop_replica(group, io);
            ready.hard_states.retain(|(of, _)| *of != group);
            ready.entries_to_persist.retain(|(of, _)| *of != group);
        }
    }

    /// Campaigns for the groups that this node should lead at first and that have no leader, now
    /// that a quorum of each can be reached. Nobody who hears a leader grants a pre-vote: it cannot
    /// disturb.
    pub(crate) fn campaign_where_preferred(&mut self, connected: impl Fn(NodeId) -> bool) {
        let quorum_up =
            |r: &Replica| 2 * r.members.iter().filter(|m| connected(**m)).count() > r.members.len();
        let wanted: Vec<GroupId> = self
            .replicas()
            .filter(|r| r.preferred && r.leader.is_none() && !r.stopped && quorum_up(r))
            .map(|r| r.id)
            .collect();
        for group in wanted {
            // The group was just found here; it cannot be unknown.
            let _ = self.raft.campaign(group);
        }
    }

    /// One turn: writes all that is due to `io`. True if more is due at once.
    pub(crate) fn turn(&mut self, io: &mut impl Outlet) -> bool {
        if self.failed {
            return false;
        }
        self.metrics.turns.add(1);
        if !self.persist_backlog(io) {
            self.fail(io);
            return false;
        }
        self.ask_for_reads(io);
        let mut ready = std::mem::take(&mut self.ready);
        let mut more = true;
        for _ in 0..POLLS_PER_TURN {
            more = self.raft.poll_ready(&mut ready);
            if !more {
                break;
            }
            self.send(&mut ready, io);
            self.install_snapshots(&mut ready, io);
            if !self.persist(&mut ready, io) {
                self.fail(io);
                more = false;
                break;
            }
            self.apply(&mut ready, io);
            self.observe(&mut ready, io);
            self.settle_reads(&mut ready, io);
        }
        self.ready = ready;
        self.drop_unwanted(io);
        more |= self.take_snapshots(io);
        self.expire(io);
        more || !self.reads_open.is_empty()
    }

    fn send(&mut self, ready: &mut MultiReady, io: &mut impl Outlet) {
        for batch in &ready.messages {
            self.metrics.messages_sent.add(batch.messages.len() as u64);
            for (group, message) in &batch.messages {
                io.send(batch.to, *group, message);
            }
        }
    }

    /// The log has failed for good: whoever waits learns what can be known.
    pub(crate) fn fail(&mut self, io: &mut impl Outlet) {
        self.failed = true;
        tracing::error!("the log of this shard has failed; its groups stop here");
        self.end(io);
    }

    /// The node ends: whoever still waits learns what can be known.
    pub(crate) fn end(&mut self, io: &mut impl Outlet) {
        let groups: Vec<GroupId> = self.replicas().map(|r| r.id).collect();
        for group in groups {
            self.stop_replica(group, io);
        }
        self.parked.clear();
        self.parked_bytes = 0;
        self.fates.clear();
        self.reads_open.clear();
    }

    /// Stops one replica: nothing is read or promised any more, and every caller is told.
    pub(crate) fn stop_replica(&mut self, group: GroupId, io: &mut impl Outlet) {
        let Some(replica) = self.replica(group) else {
            return;
        };
        replica.stopped = true;
        replica.leader = None;
        let led = std::mem::take(&mut replica.leading);
        let writes = std::mem::take(&mut replica.writes);
        let asked = std::mem::take(&mut replica.reads_asked).into_iter().flat_map(|b| b.reads);
        let open = std::mem::take(&mut replica.reads_open);
        let parked = std::mem::take(&mut replica.parked);
        for write in writes {
            self.answer(write.reply_to, Err(RequestError::Uncertain { id: write.id }), io);
        }
        let waiting =
            asked.chain(open).map(|r| r.reply_to).chain(parked.into_iter().map(|p| p.reply_to));
        for reply_to in waiting.collect::<Vec<_>>() {
            self.answer(reply_to, Err(RequestError::Stopped), io);
        }
        self.view.note_leader(group, None);
        self.count_led(led, false);
    }

    /// This node led a group, or did not, and leads it now, or does not.
    pub(crate) fn count_led(&mut self, before: bool, now: bool) {
        self.led = self.led + u64::from(now) - u64::from(before);
        self.metrics.groups_led.set(self.led);
    }

    /// Gives a request its outcome.
    pub(crate) fn answer(&mut self, to: ReplyTo, outcome: Outcome, io: &mut impl Outlet) {
        self.requests = self.requests.saturating_sub(1);
        io.reply(to, outcome);
    }

    /// A request for a group of this shard.
    pub(crate) fn request(&mut self, request: Request, io: &mut impl Outlet) {
        self.metrics.requests.add(1);
        self.requests += 1;
        if self.requests > self.limits.requests_max {
            self.metrics.requests_refused.add(1);
            let retry_after = std::time::Duration::from_millis(10);
            return self.answer(request.reply_to, Err(RequestError::Busy { retry_after }), io);
        }
        self.route(request.group, request.op, request.reply_to, None, io);
    }
}

#[cfg(test)]
mod tests;
