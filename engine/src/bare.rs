//! A shard without a ring: the real turn, for whoever makes up the world around it.
//!
//! The host gives a shard a ring, a log and sockets. A simulator gives it [`Surroundings`] instead
//! and drives the same code: the same requests, proposals, reads, persistence and apply.

use std::rc::Rc;
use std::sync::Arc;

use multi_raft::MultiRaft;
use raft_core::{
    Entry, GroupId, HardState, Index, LogId, Message, NodeId, SnapshotMeta, Storage, Tick,
};

use crate::builder::{core_config, limits};
use crate::config::EngineConfig;
use crate::error::StartError;
use crate::mesh::{Caller, ReplyTo, Request};
use crate::request::{Op, Outcome};
use crate::shard::{Outlet, Shard};
use crate::state_machine::StateMachine;
use crate::view::{GroupSpec, NodeView};

pub use crate::persist::Persisted;
pub use crate::snapshots::{Arrived, SnapshotJob, SnapshotNews};

/// Where the effects of a turn of a [`BareShard`] go.
pub trait Surroundings {
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

    /// Answers the request with this ticket, exactly once.
    fn reply(&mut self, ticket: u64, outcome: Outcome);

    /// Takes over work on snapshot files.
    fn snapshot(&mut self, job: SnapshotJob);

    /// This durable snapshot is now a group's newest: its core is to be told so when it asks.
    fn keep_snapshot(&mut self, group: GroupId, meta: &SnapshotMeta);

    /// The log of a group is wanted no more up to this index.
    fn compact(&mut self, group: GroupId, through: Index);
}

/// The groups of one core without the core: one call per thing that can happen to them.
pub struct BareShard<S: Storage> {
    shard: Shard<S>,
}

impl<S: Storage> BareShard<S> {
    /// The shard of this number, with the limits of these settings and no groups yet.
    #[must_use]
    pub fn new(index: usize, config: &EngineConfig, view: Arc<NodeView>) -> Self {
        Self { shard: Shard::new(index, limits(config), view) }
    }

    /// Adds this node's replica of a group, with the settings a node would give it.
    ///
    /// # Errors
    /// [`StartError::Group`] when its log contradicts itself. State unchanged.
    pub fn create(
        &mut self,
        group: &GroupSpec,
        config: &EngineConfig,
        storage: S,
        machine: Box<dyn StateMachine>,
    ) -> Result<(), StartError> {
        let core = core_config(config, group.id);
        self.shard.create(group.id, group.replicas.clone(), core, storage, machine)
    }

    /// Moves time on; deadlines that passed fire.
    pub fn advance_to(&mut self, now: Tick) {
        self.shard.advance_to(now);
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Tick {
        self.shard.now
    }

    /// When something is due next, if nothing else happens.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        self.shard.next_deadline()
    }

    /// A message from the same group on another node.
    pub fn step(&mut self, group: GroupId, from: NodeId, message: Message) {
        self.shard.step(group, from, message);
    }

    /// A request; its outcome comes with this ticket.
    pub fn request(&mut self, group: GroupId, op: Op, ticket: u64, io: &mut impl Surroundings) {
        let caller = Caller::Handle { key: ticket };
        let reply_to = ReplyTo::Shard { shard: 0, caller };
        self.shard.request(Request { group, op, reply_to }, &mut Bridge(io));
    }

    /// Everything up to this mark of the log is durable.
    pub fn durable(&mut self, mark: u64) {
        self.shard.durable(mark);
    }

    /// What became of work on snapshot files.
    pub fn snapshot_news(&mut self, news: SnapshotNews, io: &mut impl Surroundings) {
        self.shard.snapshot_news(news, &mut Bridge(io));
    }

    /// Makes the state machines of snapshots that arrive with this; without it none is installed.
    pub fn set_machines(&mut self, machines: Rc<dyn Fn(GroupId) -> Box<dyn StateMachine>>) {
        self.shard.snapshots.machines = Some(machines);
    }

    /// One turn: writes all that is due to `io`. True if more is due at once.
    pub fn turn(&mut self, io: &mut impl Surroundings) -> bool {
        self.shard.turn(&mut Bridge(io))
    }

    /// The log has failed for good: whoever waits learns what can be known.
    pub fn fail(&mut self, io: &mut impl Surroundings) {
        self.shard.fail(&mut Bridge(io));
    }

    /// Whether the log has failed: nothing is promised any more.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.shard.failed
    }

    /// Campaigns for the groups that this node should lead at first and that have no leader.
    pub fn campaign_where_preferred(&mut self, connected: impl Fn(NodeId) -> bool) {
        self.shard.campaign_where_preferred(connected);
    }

    /// The replicas underneath, to look at.
    #[must_use]
    pub fn raft(&self) -> &MultiRaft<S> {
        &self.shard.raft
    }

    /// The replicas underneath, to force elections and transfers.
    pub fn raft_mut(&mut self) -> &mut MultiRaft<S> {
        &mut self.shard.raft
    }

    /// The state machine of a group, to look at.
    pub fn machine(&mut self, group: GroupId) -> Option<&mut dyn StateMachine> {
        self.shard.replica(group).map(|replica| &mut *replica.machine)
    }

    /// Whether this node's replica of a group has stopped for good.
    #[must_use]
    pub fn has_stopped(&self, group: GroupId) -> bool {
        self.shard.replicas().any(|replica| replica.id == group && replica.stopped)
    }
}

impl<S: Storage> std::fmt::Debug for BareShard<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BareShard").field("raft", &self.shard.raft).finish_non_exhaustive()
    }
}

struct Bridge<'a, W>(&'a mut W);

impl<W: Surroundings> Outlet for Bridge<'_, W> {
    fn send(&mut self, to: NodeId, group: GroupId, message: &Message) {
        self.0.send(to, group, message);
    }

    fn persist(
        &mut self,
        group: GroupId,
        restart: Option<LogId>,
        hard_state: Option<HardState>,
        entries: &[Entry],
    ) -> Persisted {
        self.0.persist(group, restart, hard_state, entries)
    }

    fn snapshot(&mut self, job: SnapshotJob) {
        self.0.snapshot(job);
    }

    fn keep_snapshot(&mut self, group: GroupId, meta: &SnapshotMeta) {
        self.0.keep_snapshot(group, meta);
    }

    fn compact(&mut self, group: GroupId, through: Index) {
        self.0.compact(group, through);
    }

    fn reply(&mut self, to: ReplyTo, outcome: Outcome) {
        match to {
            ReplyTo::Shard { caller: Caller::Handle { key }, .. } => self.0.reply(key, outcome),
            // No other caller is ever made here.
            ReplyTo::Shard { .. } => {}
            ReplyTo::Client(reply) => reply.send(outcome),
        }
    }
}
