//! A node: a disk that outlives it, a clock of its own, and while it lives a host around the real
//! shard.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use engine::bare::{BareShard, Persisted, SnapshotJob, SnapshotNews, Surroundings};
use engine::{EngineConfig, GroupSpec, NodeSpec, NodeView, Outcome, RequestError};
use flaredb::kv::Kv;
use flaredb::slots::SlotRange;
use net::{Hello, PROTOCOL_VERSION};
use raft_core::{
    ConfState, Entry, GroupId, HardState, Index, LogId, Message, NodeId, SnapshotMeta,
    SnapshotStatus, Term,
};
use wal::AppendError;
use wal::log::Log;
use wal::op::SegmentId;
use wal::recover::{Survey, recover};
use wal::writer::Setup;

use crate::disk::{Disk, Flying, GroupStorage, NodeLog};
use crate::faults::{Plan, Step};
use crate::lanes::Lanes;
use crate::machine::{AppliedList, Machine};
use crate::oracle::{Note, digest_of, note_of};
use crate::plant::Plant;
use crate::snapshots::{Desk, Newest, Shelf, pieces_of};
use crate::workload::Action;
use crate::{NANOS_PER_MS, Nanos};

const STORE: u128 = 0xF1A2E;
const CLUSTER: u128 = 0xC1;
/// A tick of a node, in nanoseconds of its own clock.
pub(crate) const TICK: Nanos = 10 * NANOS_PER_MS;
/// While no segment is ready more than this is not taken.
const STARVED_BYTES_MAX: usize = 32 << 10;
/// The wall clock at the start of a run, in milliseconds since 1970.
const WALL_START_MS: u64 = 1_700_000_000_000;

/// What waits for a node's next turn.
#[derive(Debug)]
pub(crate) enum Input {
    Done { op: wal::op::OpId, failed: bool },
    Segment { id: SegmentId, recycled: bool },
    Knock { conn: u64 },
    Connected { conn: u64 },
    Bytes { conn: u64, bytes: Vec<u8> },
    Closed { conn: u64 },
    News(SnapshotNews),
    Request { ticket: u64, group: GroupId, action: Action },
}

/// A node, alive or not.
pub(crate) struct Node {
    pub(crate) place: usize,
    pub(crate) disk: Rc<RefCell<Disk>>,
    pub(crate) shelf: Rc<RefCell<Shelf>>,
    /// What is durable: of a node that lives, or as recovery finds it.
    pub(crate) log: Option<Rc<NodeLog>>,
    pub(crate) host: Option<Host>,
    pub(crate) life: u64,
    /// How fast its clock runs, in millionths.
    pub(crate) rate: u64,
    pub(crate) wall_skew_ms: u64,
    pub(crate) paused_until: Nanos,
    pub(crate) turn_at: Option<Nanos>,
    /// Where it will die, after passing there so many times.
    pub(crate) dies: Option<(Step, u64)>,
    pub(crate) disk_slowness: u64,
    pub(crate) disk_full: bool,
    pub(crate) was_full: bool,
    pub(crate) write_fails: bool,
}

/// What runs while a node lives.
pub(crate) struct Host {
    pub(crate) shard: BareShard<GroupStorage>,
    pub(crate) log: Rc<NodeLog>,
    pub(crate) lanes: Lanes,
    pub(crate) view: Arc<NodeView>,
    pub(crate) shelf: Rc<RefCell<Shelf>>,
    pub(crate) newest: Newest,
    pub(crate) desk: Desk,
    pub(crate) jobs: Vec<SnapshotJob>,
    /// Snapshots on their way, as far as this node knows.
    pub(crate) sending: BTreeSet<(NodeId, GroupId)>,
    pub(crate) applied: AppliedList,
    pub(crate) clock_ms: Rc<Cell<u64>>,
    pub(crate) flying: Vec<Flying>,
    pub(crate) ordered: usize,
    pub(crate) next_segment: u64,
    /// Files of segments that were freed, to serve again.
    pub(crate) freed: VecDeque<SegmentId>,
    pub(crate) beacon_at: Option<Nanos>,
    pub(crate) ticked: Nanos,
    pub(crate) inputs: Vec<Input>,
    /// Requests that are not answered yet.
    pub(crate) asked: BTreeMap<u64, bool>,
    /// The terms of each log, as appended.
    pub(crate) terms: BTreeMap<GroupId, BTreeMap<Index, Term>>,
}

impl Host {
    /// What was on its way over a lane is lost; the cores that sent snapshots are told so.
    pub(crate) fn lane_lost(&mut self, peer: NodeId) {
        let lost = |(to, _): &(NodeId, GroupId)| *to == peer;
        let (lost, kept) = std::mem::take(&mut self.sending).into_iter().partition(lost);
        self.sending = kept;
        let lost: BTreeSet<(NodeId, GroupId)> = lost;
        for (to, group) in lost {
            let raft = self.shard.raft_mut();
            // The group is of this shard; it cannot be unknown.
            let _ = raft.snapshot_status(group, to, SnapshotStatus::Failed);
        }
    }
}

impl Node {
    pub(crate) fn id(&self) -> NodeId {
        NodeId(self.place as u64 + 1)
    }

    /// The node's own clock.
    pub(crate) fn clock(&self, now: Nanos) -> Nanos {
        (u128::from(now) * u128::from(self.rate) / 1_000_000) as Nanos
    }

    /// When the node's own clock will show this.
    pub(crate) fn when(&self, clock: Nanos) -> Nanos {
        (u128::from(clock) * 1_000_000).div_ceil(u128::from(self.rate)) as Nanos
    }

    pub(crate) fn wall_ms(&self, now: Nanos) -> u64 {
        WALL_START_MS + self.wall_skew_ms + self.clock(now) / NANOS_PER_MS
    }

    /// What recovery finds on the disk as it is.
    fn survey(&self) -> Result<Survey, String> {
        let found = recover(&mut *self.disk.borrow_mut(), STORE, 0);
        found.map_err(|error| format!("node {} does not start: {error}", self.place + 1))
    }

    /// Looks at the disk of a dead node.
    pub(crate) fn inspect(&mut self, plan: &Plan) -> Result<(), String> {
        let log = RefCell::new(Log::new(setup(plan, 0), self.survey()?));
        self.log = Some(Rc::new(NodeLog { log, disk: Rc::clone(&self.disk) }));
        Ok(())
    }

    /// Starts the node from its disk.
    pub(crate) fn boot(
        &mut self,
        now: Nanos,
        plan: &Plan,
        plant: Option<Plant>,
    ) -> Result<(), String> {
        if plant == Some(Plant::CutTail) {
            cut_tail(&mut self.disk.borrow_mut());
        }
        let survey = self.survey()?;
        self.life += 1;
        let next = self.disk.borrow().files.keys().next_back().map_or(1, |id| id.0 + 1);
        for leftover in &survey.leftovers {
            self.disk.borrow_mut().files.remove(&leftover.segment);
        }
        let epoch = survey.epoch + 1;
        let log = RefCell::new(Log::new(setup(plan, epoch), survey));
        let log = Rc::new(NodeLog { log, disk: Rc::clone(&self.disk) });
        let config = config(self.id(), plan);
        let view = Arc::new(NodeView::new(
            self.id(),
            CLUSTER,
            config.nodes.clone(),
            config.groups.clone(),
            1,
            std::time::Duration::ZERO,
        ));
        let mut shard = BareShard::new(0, &config, Arc::clone(&view));
        let (applied, clock_ms) = (AppliedList::default(), Rc::new(Cell::new(self.wall_ms(now))));
        let mut terms = BTreeMap::new();
        let (place, newest) = (self.place, Newest::default());
        let make = {
            let (applied, clock_ms) = (Rc::clone(&applied), Rc::clone(&clock_ms));
            move |group: GroupId| {
                let kv = Kv::new(SlotRange::ALL, group.0, Arc::default());
                let (applied, clock_ms) = (Rc::clone(&applied), Rc::clone(&clock_ms));
                Machine { kv, group, node: place, applied, clock_ms, plant }
            }
        };
        for group in &config.groups {
            let mut machine = make(group.id);
            if let Some(kept) = self.shelf.borrow().newest(group.id) {
                for piece in &kept.pieces {
                    let restored = engine::StateMachine::restore_piece(&mut machine, piece);
                    restored.map_err(|error| format!("node {}: {error}", place + 1))?;
                }
                let mut meta = kept.meta.clone();
                if plant == Some(Plant::RepeatAfterSnapshot) {
                    meta.last.index = meta.last.index.prev();
                }
                newest.borrow_mut().insert(group.id, meta);
            }
            let storage = self.storage(&log, group, &newest, plant);
            let (first, last) = (log.first(group.id).prev().0, log.last(group.id).0);
            let known = (first..=last).map(Index);
            let known = known.filter_map(|i| Some((i, log.term(group.id, i)?))).collect();
            terms.insert(group.id, known);
            shard
                .create(group, &config, storage, Box::new(machine))
                .map_err(|error| format!("node {} does not start: {error}", self.place + 1))?;
        }
        shard.set_machines(Rc::new(move |group| Box::new(make(group))));
        let clock = self.clock(now);
        let hello = Hello {
            protocol_version: PROTOCOL_VERSION,
            cluster_id: CLUSTER,
            node: self.id(),
            incarnation: self.life,
            shard: 0,
            shards: 1,
            features: net::FEATURE_SNAPSHOTS,
        };
        let lanes = Lanes::new(hello, plan.nodes, clock);
        shard.campaign_where_preferred(|node| node == self.id());
        self.log = Some(Rc::clone(&log));
        self.host = Some(Host {
            shard,
            log,
            lanes,
            view,
            shelf: Rc::clone(&self.shelf),
            newest,
            desk: Desk::default(),
            jobs: Vec::new(),
            sending: BTreeSet::new(),
            applied,
            clock_ms,
            flying: Vec::new(),
            ordered: 0,
            next_segment: next,
            freed: VecDeque::new(),
            beacon_at: None,
            ticked: clock,
            inputs: Vec::new(),
            asked: BTreeMap::new(),
            terms,
        });
        Ok(())
    }

    fn storage(
        &self,
        log: &Rc<NodeLog>,
        group: &GroupSpec,
        newest: &Newest,
        plant: Option<Plant>,
    ) -> GroupStorage {
        let index = log.log.borrow();
        let mut hard = index.index().group(group.id).map(|g| g.hard_state()).unwrap_or_default();
        match plant {
            Some(Plant::ForgetVote) => hard.vote = None,
            Some(Plant::ForgetHardState) => hard = HardState::default(),
            _ => {}
        }
        let lone = plant == Some(Plant::LoneVoter) && self.place == 0 && group.id.0 == 1;
        let voters = if lone { vec![self.id()] } else { group.replicas.clone() };
        let conf = ConfState::of_voters(voters);
        let newest = Rc::clone(newest);
        GroupStorage { log: Rc::clone(log), group: group.id, hard, conf, newest }
    }
}

fn setup(plan: &Plan, epoch: u64) -> Setup {
    Setup {
        store: STORE,
        core: 0,
        epoch,
        segment_bytes: plan.segment_bytes,
        batch_bytes_max: plan.batch_bytes_max,
        depth: plan.depth,
        tail_cache_bytes_max: 16 << 10,
    }
}

fn config(node: NodeId, plan: &Plan) -> EngineConfig {
    let ids: Vec<NodeId> = (1..=plan.nodes as u64).map(NodeId).collect();
    let peer_addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let spec = |id: &NodeId| NodeSpec { id: *id, peer_addr, client_addr: None };
    let mut config = EngineConfig::new(node, ids.iter().map(spec).collect(), "");
    config.segment_bytes = plan.segment_bytes;
    config.snapshot_log_bytes = plan.snapshot_log_bytes;
    config.groups = (1..=plan.groups)
        .map(|group| {
            let mut replicas = ids.clone();
            replicas.rotate_left(group as usize % plan.nodes);
            GroupSpec { id: GroupId(group), replicas }
        })
        .collect();
    config
}

/// A planted fault: the last block of the log is gone.
fn cut_tail(disk: &mut Disk) {
    let Some(file) = disk.files.values_mut().rev().find(|f| f[4096..].iter().any(|b| *b != 0))
    else {
        return;
    };
    let last = file.chunks_mut(4096).rev().find(|block| block.iter().any(|b| *b != 0));
    if let Some(block) = last {
        block.fill(0);
    }
}

/// Where the effects of a shard's turn go.
pub(crate) struct Effects<'a> {
    pub(crate) own: NodeId,
    pub(crate) log: &'a NodeLog,
    pub(crate) lanes: &'a mut Lanes,
    pub(crate) asked: &'a mut BTreeMap<u64, bool>,
    pub(crate) terms: &'a mut BTreeMap<GroupId, BTreeMap<Index, Term>>,
    pub(crate) shelf: &'a Rc<RefCell<Shelf>>,
    pub(crate) newest: &'a Newest,
    pub(crate) jobs: &'a mut Vec<SnapshotJob>,
    pub(crate) sending: &'a mut BTreeSet<(NodeId, GroupId)>,
    pub(crate) replies: &'a mut Vec<(u64, Outcome)>,
    pub(crate) notes: &'a mut Vec<Note>,
    pub(crate) plant: Option<Plant>,
    /// Requests that a planted fault answers once more.
    pub(crate) twice: BTreeSet<u64>,
}

impl Surroundings for Effects<'_> {
    fn send(&mut self, to: NodeId, group: GroupId, message: &Message) {
        let durable = || self.log.last(group);
        self.notes.extend(note_of(self.own, to, group, message, durable));
        if let Message::InstallSnapshot(install) = message {
            let index = install.snapshot.last.index;
            // One that was replaced meanwhile is as good as lost; the core asks again.
            let shelf = self.shelf.borrow();
            self.sending.insert((to, group));
            if let Some(kept) = shelf.find(group, index) {
                for piece in pieces_of(group, install.term, kept) {
                    self.lanes.push_bulk(to, &piece);
                }
            }
            return;
        }
        self.lanes.push(to, group, message);
    }

    fn persist(
        &mut self,
        group: GroupId,
        restart: Option<LogId>,
        hard_state: Option<HardState>,
        entries: &[Entry],
    ) -> Persisted {
        let mut log = self.log.log.borrow_mut();
        let writer = log.writer();
        if writer.is_starved() && writer.pending_bytes() > STARVED_BYTES_MAX {
            return Persisted::Later;
        }
        let hard_state = match self.plant {
            Some(Plant::SplitUnit) if !entries.is_empty() => None,
            Some(Plant::SkipVoteWrite) if entries.is_empty() => None,
            _ => hard_state,
        };
        let appended = match restart {
            Some(snapshot) => log.restart(group, snapshot, hard_state, entries),
            None => log.append(group, hard_state, entries),
        };
        let mark = match appended {
            Ok(mark) => mark,
            Err(error) => {
                self.notes.push(Note::Wrong(format!("the log refuses an append: {error}")));
                return Persisted::Failed;
            }
        };
        if let Some(last) = restart {
            self.terms.insert(group, BTreeMap::from([(last.index, last.term)]));
            self.notes.push(Note::Installed { group, last });
        }
        if let Some(first) = entries.first() {
            let terms = self.terms.entry(group).or_default();
            terms.split_off(&first.id.index);
            let prev = terms.last_key_value().map(|(_, term)| *term).unwrap_or_default();
            terms.extend(entries.iter().map(|e| (e.id.index, e.id.term)));
            self.notes.push(Note::Appended { group, prev, entries: digest_of(entries) });
        }
        Persisted::At(mark.0)
    }

    fn snapshot(&mut self, job: SnapshotJob) {
        self.jobs.push(job);
    }

    fn keep_snapshot(&mut self, group: GroupId, meta: &SnapshotMeta) {
        self.newest.borrow_mut().insert(group, meta.clone());
    }

    fn compact(&mut self, group: GroupId, through: Index) {
        let far = Index(through.0 + 1_000_000);
        let through = if self.plant == Some(Plant::CutTooFar) { far } else { through };
        match self.log.log.borrow_mut().purge(group, through) {
            // A log that has stopped frees nothing any more.
            Ok(_) | Err(AppendError::Poisoned(_)) => {}
            Err(error) => {
                self.notes.push(Note::Wrong(format!("the log refuses a purge: {error}")));
            }
        }
    }

    fn reply(&mut self, ticket: u64, outcome: Outcome) {
        let outcome = match (self.plant, outcome) {
            (Some(Plant::UncertainMeansNo), Err(RequestError::Uncertain { .. })) => {
                Err(RequestError::NoLeader)
            }
            (_, outcome) => outcome,
        };
        let planted = |plant| self.plant == Some(plant) && ticket % 64 == 17;
        if planted(Plant::LoseAnswer) {
            return;
        }
        match self.asked.remove(&ticket) {
            // A planted fault has answered already.
            Some(true) => return,
            Some(false) => {}
            None => self.notes.push(Note::Wrong(format!("request {ticket} is answered twice"))),
        }
        self.replies.push((ticket, outcome.clone()));
        if planted(Plant::AnswerTwice) && self.twice.insert(ticket) {
            self.reply(ticket, outcome);
        }
    }
}

/// An answer that a planted fault makes up.
pub(crate) fn done() -> Bytes {
    Bytes::from_static(b"+OK")
}
