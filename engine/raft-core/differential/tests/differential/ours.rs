//! A replica of `raft-core`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use raft_core::{
    Applied, ConfChange, ConfChangeError, Config, Entry, EntryKind, Event, Index, InitialState,
    LogId, Message, NodeId, PeerState, RaftCore, ReadId, ReadOutcome, Ready, Receipt, Role,
    SnapshotMeta, SnapshotStatus, Storage, StorageError, Term, Tick,
};

use super::disk::{Disk, Platter, Stored, Write};
use super::model::{
    ELECTION_TICKS, HEARTBEAT_TICKS, NEVER, Record, Replica, Setup, SharedHistory, Start, View,
};
use super::translate::{command_of, data_of};

impl Stored for Entry {
    fn id(&self) -> LogId {
        self.id
    }
}

#[derive(Clone)]
struct Store(Rc<RefCell<Disk<Entry, Receipt>>>);

impl Storage for Store {
    fn initial_state(&self) -> Result<InitialState, StorageError> {
        let disk = self.0.borrow();
        Ok(InitialState { hard: disk.durable.hard, conf: disk.durable.conf.clone() })
    }

    fn entries(
        &self,
        from: Index,
        to: Index,
        _bytes_max: usize,
        out: &mut Vec<Entry>,
    ) -> Result<(), StorageError> {
        let disk = self.0.borrow();
        if from <= disk.durable.base.index {
            return Err(StorageError::Compacted);
        }
        for index in (from.0..to.0).map(Index) {
            out.push(disk.durable.entry(index).ok_or(StorageError::Unavailable)?.clone());
        }
        Ok(())
    }

    fn term_at(&self, index: Index) -> Result<Term, StorageError> {
        let id = self.0.borrow().durable.id_at(index);
        id.map(|id| id.term).ok_or(StorageError::Unavailable)
    }

    fn first_index(&self) -> Index {
        self.0.borrow().durable.base.index.next()
    }

    fn last_index(&self) -> Index {
        self.0.borrow().durable.last().index
    }

    fn snapshot_meta(&self) -> SnapshotMeta {
        self.0.borrow().durable.snapshot.clone()
    }
}

/// See [`Replica`].
pub(crate) struct Ours {
    core: RaftCore<Store>,
    store: Store,
    ready: Ready,
    history: SharedHistory,
    machine: Vec<Record>,
    pending: VecDeque<Entry>,
    sent: Vec<(u64, Message)>,
    reads: Vec<(u64, u64)>,
    lost: Vec<LogId>,
    /// Why the last change of the members was refused.
    pub(crate) refusal: Option<ConfChangeError>,
}

fn config(setup: Setup) -> Config {
    Config {
        election_timeout_ticks: ELECTION_TICKS,
        heartbeat_interval_ticks: HEARTBEAT_TICKS,
        pre_vote: setup.pre_vote,
        check_quorum: setup.check_quorum,
        snapshot_timeout_ticks: NEVER,
        // What is applied is mostly read from the storage.
        log_cache_bytes_max: 200,
        ..Config::new(NodeId(setup.id))
    }
}

fn open(config: Config, store: &Store, applied: usize) -> RaftCore<Store> {
    let mut core = RaftCore::new(config, store.clone()).expect("boots");
    core.handle_applied(Applied(Index(applied as u64)));
    core
}

impl Ours {
    fn turn(&mut self) {
        self.core.handle_campaign_at(Tick(NEVER));
        while self.core.has_ready() {
            self.core.poll_ready(&mut self.ready);
            let ready = &mut self.ready;
            self.sent.extend(ready.messages.drain(..).map(|(to, m)| (to.0, m)));
            for (id, outcome) in ready.reads.drain(..) {
                if let ReadOutcome::Ready { index } = outcome {
                    self.reads.push((id.0, index.0));
                }
            }
            for event in ready.events.drain(..) {
                if let Event::Lost { id } = event {
                    self.lost.push(id);
                }
            }
            if ready.snapshot.is_some() {
                self.pending.clear();
            }
            self.pending.extend(ready.committed_entries.iter().cloned());
            if let Some(then) = ready.receipt.take() {
                let entries = ready.entries_to_persist.to_vec();
                let (hard, snapshot) = (ready.hard_state.take(), ready.snapshot.take());
                self.store.0.borrow_mut().write(Write { hard, snapshot, entries, then });
            }
        }
    }

    fn restore(&mut self) {
        let last = self.store.0.borrow().durable.snapshot.last;
        if last.index.0 > self.machine.len() as u64 {
            self.machine = self.history.borrow().prefix(last);
        }
    }
}

impl Replica for Ours {
    type Message = Message;

    fn boot(setup: Setup, start: &Start, history: SharedHistory) -> Self {
        let entry = |id: &LogId| {
            let data = data_of(id.index.0);
            Entry { id: *id, kind: EntryKind::Normal, data }
        };
        let store = Store(Rc::new(RefCell::new(Disk::new(Platter {
            hard: start.hard,
            base: start.base,
            entries: start.entries.iter().map(entry).collect(),
            snapshot: start.snapshot(),
            conf: start.conf.clone(),
        }))));
        let last = LogId::new(Term(0), start.hard.commit);
        let machine = history.borrow().prefix(last);
        let mut replica = Self {
            core: open(config(setup), &store, machine.len()),
            store,
            ready: Ready::default(),
            history,
            machine,
            pending: VecDeque::new(),
            sent: Vec::new(),
            reads: Vec::new(),
            lost: Vec::new(),
            refusal: None,
        };
        replica.turn();
        replica
    }

    fn handle(&mut self, from: u64, message: Message) {
        // Refused are answers of nodes that are no members any more.
        let _ = self.core.handle_message(NodeId(from), message);
        self.turn();
    }

    fn tick(&mut self) {
        self.core.handle_time(Tick(self.core.now().0 + 1));
        self.turn();
    }

    fn campaign(&mut self) {
        self.core.handle_campaign();
        self.turn();
    }

    fn propose(&mut self, command: u64) -> Option<LogId> {
        let id = self.core.handle_proposal(data_of(command)).ok();
        self.turn();
        id
    }

    fn read(&mut self, read: u64) -> bool {
        let taken = self.core.handle_read(ReadId(read)).is_ok();
        self.turn();
        taken
    }

    fn change(&mut self, change: &ConfChange) -> bool {
        self.refusal = self.core.handle_conf_change(change).err();
        self.turn();
        self.refusal.is_none()
    }

    fn transfer(&mut self, to: u64) {
        let _ = self.core.handle_transfer(NodeId(to));
        self.turn();
    }

    fn report_lost(&mut self, to: u64, snapshot: bool) {
        if snapshot {
            self.core.handle_snapshot_status(NodeId(to), SnapshotStatus::Failed);
        } else {
            self.core.handle_unreachable(NodeId(to));
        }
        self.turn();
    }

    fn sync(&mut self, count: usize) {
        let synced = self.store.0.borrow_mut().sync(count);
        let installed = synced.iter().any(|write| write.snapshot.is_some());
        if let Some(write) = synced.into_iter().last() {
            self.core.handle_persisted(write.then);
        }
        if installed {
            self.restore();
        }
        self.turn();
    }

    fn writes(&self) -> usize {
        self.store.0.borrow().writes()
    }

    fn apply(&mut self, count: usize) {
        for _ in 0..count {
            let Some(entry) = self.pending.pop_front() else {
                break;
            };
            assert_eq!(entry.id.index.0, self.machine.len() as u64 + 1, "applied in order");
            let command = (entry.kind == EntryKind::Normal).then(|| command_of(&entry.data));
            let record = Record { id: entry.id, command };
            self.history.borrow_mut().note(record);
            self.machine.push(record);
        }
        self.core.handle_applied(Applied(Index(self.machine.len() as u64)));
        self.turn();
    }

    fn pending(&self) -> usize {
        self.pending.len()
    }

    fn compact(&mut self) {
        let index = Index(self.machine.len() as u64);
        let (Some(term), Some(conf)) = (self.core.term_at(index), self.core.conf_at(index)) else {
            return;
        };
        let snapshot = SnapshotMeta { last: LogId::new(term, index), conf: conf.clone() };
        if self.store.0.borrow_mut().compact(&snapshot) {
            self.core.handle_compacted(index);
        }
        self.turn();
    }

    fn crash(&mut self, kept: usize) {
        self.store.0.borrow_mut().crash(kept);
        self.restore();
        self.pending.clear();
        self.core = open(self.core.config().clone(), &self.store, self.machine.len());
        self.turn();
    }

    fn take_sent(&mut self) -> Vec<(u64, Message)> {
        std::mem::take(&mut self.sent)
    }

    fn take_reads(&mut self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.reads)
    }

    fn take_lost(&mut self) -> Vec<LogId> {
        std::mem::take(&mut self.lost)
    }

    fn is_snapshot(message: &Message) -> bool {
        matches!(message, Message::InstallSnapshot(_))
    }

    fn view(&self) -> View {
        let status = self.core.status();
        let at = |i| self.core.term_at(i).map(|term| LogId::new(term, i));
        let mut log: Vec<_> = (0..=status.last.index.0).rev().map_while(|i| at(Index(i))).collect();
        log.reverse();
        let peer = |p: raft_core::PeerStatus| {
            // Where to go on after a snapshot is decided when it has arrived.
            let next = if p.state == PeerState::Snapshot { 0 } else { p.next.0 };
            (p.id.0, p.matched.0, next, p.state)
        };
        View {
            term: status.hard.term.0,
            vote: status.hard.vote.map(|id| id.0),
            role: status.soft.role,
            leader: status.soft.leader.map(|id| id.0),
            commit: status.hard.commit.0,
            log,
            conf: self.core.conf().clone(),
            peers: self.core.peers().map(peer).collect(),
            transfer: status.transfer.map(|id| id.0),
            stopped: self.core.is_stopped(),
        }
    }

    fn leads(&self) -> Option<u64> {
        (self.core.role() == Role::Leader).then(|| self.core.term().0)
    }

    fn machine(&self) -> &[Record] {
        &self.machine
    }
}
