//! A replica of raft-rs, with what its documentation asks of a host: the configuration changes when
//! its entry is applied, and who is removed by it stops.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use raft::eraftpb::{ConfState as TheirConf, Entry, EntryType, Message, MessageType, Snapshot};
use raft::prelude::HardState as TheirHard;
use raft::storage::{GetEntriesContext, RaftState, Storage};
use raft::{Config, ProgressState, RawNode, SnapshotStatus, StateRole, StorageError};
use raft_core::{
    ConfChange, ConfState, EntryKind, HardState, Index, LogId, NodeId, PeerState, Role,
    SnapshotMeta, Term,
};
use slog::{Discard, Logger, o};

use super::disk::{Disk, Platter, Stored, Write};
use super::model::{
    ELECTION_TICKS, HEARTBEAT_TICKS, NEVER, Record, Replica, Setup, SharedHistory, Start, View,
};
use super::translate::{
    change_bytes, change_of, command_of, data_of, our_conf, our_snapshot, their_change, their_conf,
    their_entry, their_snapshot,
};

impl Stored for Entry {
    fn id(&self) -> LogId {
        LogId::new(Term(self.term), Index(self.index))
    }
}

/// What a persisted batch allows.
struct Then {
    number: u64,
    messages: Vec<Message>,
}

struct Inside {
    disk: Disk<Entry, Then>,
    /// What the state machine has applied, and the configuration by it: durable at once.
    machine: SnapshotMeta,
}

#[derive(Clone)]
struct Store(Rc<RefCell<Inside>>);

impl Storage for Store {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let inside = self.0.borrow();
        let hard = inside.disk.durable.hard;
        let hard_state = TheirHard {
            term: hard.term.0,
            vote: hard.vote.map_or(0, |id| id.0),
            commit: hard.commit.max(inside.machine.last.index).0,
            ..TheirHard::default()
        };
        Ok(RaftState { hard_state, conf_state: their_conf(&inside.machine.conf) })
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        _max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        let inside = self.0.borrow();
        let view = &inside.disk.view;
        if low <= view.base.index.0 {
            return Err(StorageError::Compacted.into());
        }
        let entry = |i| view.entry(Index(i)).cloned().ok_or(StorageError::Unavailable.into());
        (low..high).map(entry).collect()
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        let inside = self.0.borrow();
        let view = &inside.disk.view;
        if index < view.base.index.0 {
            return Err(StorageError::Compacted.into());
        }
        let id = view.id_at(Index(index)).ok_or(StorageError::Unavailable)?;
        Ok(id.term.0)
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.0.borrow().disk.view.base.index.0 + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.0.borrow().disk.view.last().index.0)
    }

    fn snapshot(&self, _request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        Ok(their_snapshot(&self.0.borrow().machine))
    }
}

/// See [`Replica`].
pub(crate) struct Theirs {
    node: RawNode<Store>,
    setup: Setup,
    store: Store,
    history: SharedHistory,
    machine: Vec<Record>,
    pending: VecDeque<Entry>,
    sent: Vec<(u64, Message)>,
    reads: Vec<(u64, u64)>,
    /// How often it was no voter any more and led on, until its host stopped it.
    pub(crate) overstayed: u64,
    /// How often it led, alone, before its vote was durable.
    pub(crate) rash: u64,
}

fn open(setup: Setup, store: &Store) -> RawNode<Store> {
    let config = Config {
        id: setup.id,
        election_tick: ELECTION_TICKS as usize,
        heartbeat_tick: HEARTBEAT_TICKS as usize,
        min_election_tick: NEVER as usize,
        max_election_tick: NEVER as usize + 1,
        applied: store.0.borrow().machine.last.index.0,
        max_size_per_msg: raft::NO_LIMIT,
        check_quorum: setup.check_quorum,
        pre_vote: setup.pre_vote,
        ..Config::default()
    };
    let silent = Logger::root(Discard, o!());
    RawNode::new(&config, store.clone(), &silent).expect("boots")
}

impl Theirs {
    fn turn(&mut self) {
        while self.node.has_ready() {
            let mut ready = self.node.ready();
            let messages = ready.take_messages();
            for read in ready.take_read_states() {
                self.reads.push((command_of(&read.request_ctx), read.index));
            }
            let snapshot = Some(our_snapshot(ready.snapshot())).filter(|s| s.last.index.0 > 0);
            if snapshot.is_some() {
                self.pending.clear();
            }
            self.pending.extend(ready.take_committed_entries());
            let hard = ready.hs().map(|hs| HardState {
                term: Term(hs.term),
                vote: Some(NodeId(hs.vote)).filter(|id| id.0 > 0),
                commit: Index(hs.commit),
            });
            let then = Then { number: ready.number(), messages: ready.take_persisted_messages() };
            let entries = ready.take_entries();
            let leads = self.node.raft.state == StateRole::Leader;
            // Who is alone leads before its vote is durable, and would lead the same term again
            // after a crash: nothing may leave before.
            let rash = leads && hard.is_some_and(|h| h.term > self.durable_term());
            let waits = !rash && (ready.must_sync() || self.writes() > 0);
            self.store.0.borrow_mut().disk.write(Write { hard, snapshot, entries, then });
            self.node.advance_append_async(ready);
            if !waits {
                self.confirm(self.writes());
            }
            self.rash += u64::from(rash);
            self.send(messages);
        }
    }

    fn durable_term(&self) -> Term {
        self.store.0.borrow().disk.durable.hard.term
    }

    /// A single voter that is elected with entries still on their way to the disk panics.
    fn sync_if_alone(&mut self) {
        if self.node.raft.prs().conf().voters().ids().len() == 1 {
            self.confirm(self.writes());
            self.turn();
        }
    }

    fn send(&mut self, messages: Vec<Message>) {
        self.sent.extend(messages.into_iter().map(|m| (m.to, m)));
    }

    fn confirm(&mut self, count: usize) {
        let synced = self.store.0.borrow_mut().disk.sync(count);
        let mut installed = None;
        for write in synced {
            self.node.on_persist_ready(write.then.number);
            self.send(write.then.messages);
            installed = write.snapshot.map(|s| s.last.index.0).or(installed);
        }
        if let Some(index) = installed {
            self.restore();
            self.node.advance_apply_to(index);
        }
    }

    /// The state machine takes what a durable snapshot holds, if that is more than it has.
    fn restore(&mut self) {
        let snapshot = self.store.0.borrow().disk.durable.snapshot.clone();
        if snapshot.last.index.0 > self.machine.len() as u64 {
            self.machine = self.history.borrow().prefix(snapshot.last);
            self.store.0.borrow_mut().machine = snapshot;
        }
    }

    fn apply_one(&mut self, entry: &Entry) {
        let id = entry.id();
        assert_eq!(id.index.0, self.machine.len() as u64 + 1, "applied in order");
        let mut command = None;
        let mut conf = self.store.0.borrow().machine.conf.clone();
        match entry.get_entry_type() {
            EntryType::EntryNormal if entry.data.is_empty() => {}
            EntryType::EntryNormal => command = Some(command_of(&entry.data)),
            _ => {
                let change = their_change(&change_of(&entry.context));
                if let Ok(next) = self.node.apply_conf_change(&change) {
                    conf = our_conf(&next);
                }
            }
        }
        let record = Record { id, command };
        self.history.borrow_mut().note(record);
        self.machine.push(record);
        self.store.0.borrow_mut().machine = SnapshotMeta { last: id, conf };
        self.node.advance_apply_to(id.index.0);
        self.turn();
        self.stop_if_removed();
    }

    /// What a host does with a replica that the configuration no longer lets lead: it goes away,
    /// and comes back as a follower if at all.
    fn stop_if_removed(&mut self) {
        let raft = &self.node.raft;
        if raft.promotable() || raft.state == StateRole::Follower {
            return;
        }
        self.overstayed += u64::from(raft.state == StateRole::Leader);
        // It would panic at the next completion of its disk.
        self.crash(self.writes());
    }
}

impl Replica for Theirs {
    type Message = Message;

    fn boot(setup: Setup, start: &Start, history: SharedHistory) -> Self {
        let entry = |id: &LogId| {
            let (kind, data) = (EntryKind::Normal, data_of(id.index.0));
            their_entry(&raft_core::Entry { id: *id, kind, data })
        };
        let disk = Disk::new(Platter {
            hard: start.hard,
            base: start.base,
            entries: start.entries.iter().map(entry).collect(),
            snapshot: start.snapshot(),
            conf: start.conf.clone(),
        });
        let commit = start.hard.commit;
        let last = disk.view.id_at(commit).expect("what is committed is in the log");
        let machine = SnapshotMeta { last, conf: start.conf.clone() };
        let store = Store(Rc::new(RefCell::new(Inside { disk, machine })));
        let records = history.borrow().prefix(last);
        Self {
            node: open(setup, &store),
            setup,
            store,
            history,
            machine: records,
            pending: VecDeque::new(),
            sent: Vec::new(),
            reads: Vec::new(),
            overstayed: 0,
            rash: 0,
        }
    }

    fn handle(&mut self, _from: u64, message: Message) {
        if message.get_msg_type() == MessageType::MsgTimeoutNow && self.leads().is_none() {
            self.sync_if_alone();
        }
        // Refused are answers of nodes that are no members any more.
        let _ = self.node.step(message);
        self.turn();
    }

    fn tick(&mut self) {
        self.node.tick();
        self.turn();
    }

    fn campaign(&mut self) {
        // The crate asks this only when its own timer fires.
        if self.node.raft.promotable() && self.leads().is_none() {
            self.sync_if_alone();
            let _ = self.node.campaign();
        }
        self.turn();
    }

    fn propose(&mut self, command: u64) -> Option<LogId> {
        // A follower would pass it on.
        let leads = self.node.raft.state == StateRole::Leader;
        let taken = leads && self.node.propose(Vec::new(), data_of(command).to_vec()).is_ok();
        let raft = &self.node.raft;
        let id = LogId::new(Term(raft.term), Index(raft.raft_log.last_index()));
        self.turn();
        taken.then_some(id)
    }

    fn read(&mut self, read: u64) -> bool {
        let raft = &self.node.raft;
        // Asked too early it is dropped without a word.
        let taken = raft.state == StateRole::Leader && raft.commit_to_current_term();
        if taken {
            self.node.read_index(data_of(read).to_vec());
        }
        self.turn();
        taken
    }

    fn change(&mut self, change: &ConfChange) -> bool {
        let raft = &self.node.raft;
        if raft.state != StateRole::Leader {
            return false;
        }
        let before = raft.raft_log.last_index();
        let proposed =
            self.node.propose_conf_change(change_bytes(change), their_change(change)).is_ok();
        // One that is refused becomes an empty entry.
        let taken = proposed && self.node.raft.pending_conf_index > before;
        self.turn();
        taken
    }

    fn transfer(&mut self, to: u64) {
        if self.node.raft.state == StateRole::Leader {
            self.node.transfer_leader(to);
        }
        self.turn();
    }

    fn report_lost(&mut self, to: u64, snapshot: bool) {
        if snapshot {
            self.node.report_snapshot(to, SnapshotStatus::Failure);
        } else {
            self.node.report_unreachable(to);
        }
        self.turn();
    }

    fn sync(&mut self, count: usize) {
        self.confirm(count);
        self.turn();
    }

    fn writes(&self) -> usize {
        self.store.0.borrow().disk.writes()
    }

    fn apply(&mut self, count: usize) {
        for _ in 0..count {
            let Some(entry) = self.pending.pop_front() else {
                break;
            };
            self.apply_one(&entry);
        }
    }

    fn pending(&self) -> usize {
        self.pending.len()
    }

    fn compact(&mut self) {
        let inside = &mut *self.store.0.borrow_mut();
        inside.disk.compact(&inside.machine);
    }

    fn crash(&mut self, kept: usize) {
        self.store.0.borrow_mut().disk.crash(kept);
        self.restore();
        self.pending.clear();
        self.node = open(self.setup, &self.store);
        self.turn();
    }

    fn take_sent(&mut self) -> Vec<(u64, Message)> {
        std::mem::take(&mut self.sent)
    }

    fn take_reads(&mut self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.reads)
    }

    fn take_lost(&mut self) -> Vec<LogId> {
        Vec::new()
    }

    fn is_snapshot(message: &Message) -> bool {
        message.get_msg_type() == MessageType::MsgSnapshot
    }

    fn view(&self) -> View {
        let raft = &self.node.raft;
        let log = &raft.raft_log;
        let id = |i| LogId::new(Term(log.term(i).expect("in the log")), Index(i));
        let conf: TheirConf = raft.prs().conf().to_conf_state();
        let some = |id: u64| Some(id).filter(|id| *id > 0);
        View {
            term: raft.term,
            vote: some(raft.vote),
            role: match raft.state {
                StateRole::Follower => Role::Follower,
                StateRole::PreCandidate => Role::PreCandidate,
                StateRole::Candidate => Role::Candidate,
                StateRole::Leader => Role::Leader,
            },
            leader: some(raft.leader_id),
            commit: log.committed,
            log: (log.first_index() - 1..=log.last_index()).map(id).collect(),
            conf: our_conf(&conf),
            peers: self.peers(),
            transfer: raft.lead_transferee,
            stopped: false,
        }
    }

    fn leads(&self) -> Option<u64> {
        (self.node.raft.state == StateRole::Leader).then_some(self.node.raft.term)
    }

    fn machine(&self) -> &[Record] {
        &self.machine
    }
}

impl Theirs {
    /// The configuration after a change, which is applied at once; `None` if it cannot be.
    pub(crate) fn changed(&mut self, change: &ConfChange) -> Option<ConfState> {
        let conf = self.node.apply_conf_change(&their_change(change)).ok()?;
        Some(our_conf(&conf))
    }

    /// The last change of the members is committed, and keeps the next one from being taken.
    pub(crate) fn awaits_apply(&self) -> bool {
        let raft = &self.node.raft;
        (raft.raft_log.applied() + 1..=raft.raft_log.committed).contains(&raft.pending_conf_index)
    }

    fn peers(&self) -> Vec<super::model::Peer> {
        let raft = &self.node.raft;
        if raft.state != StateRole::Leader {
            return Vec::new();
        }
        let others = raft.prs().iter().filter(|(id, _)| **id != self.setup.id);
        let mut peers: Vec<_> = others
            .map(|(id, progress)| {
                let state = match progress.state {
                    ProgressState::Probe => PeerState::Probe,
                    ProgressState::Replicate => PeerState::Replicate,
                    ProgressState::Snapshot => PeerState::Snapshot,
                };
                let next = if state == PeerState::Snapshot { 0 } else { progress.next_idx };
                (*id, progress.matched, next, state)
            })
            .collect();
        peers.sort_unstable_by_key(|peer| peer.0);
        peers
    }
}
