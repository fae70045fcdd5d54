//! One core. Its peers say what they like, its disk answers with errors, its host does all a host
//! may do, in any order. It may refuse and it may stop; it never panics, and what it wrote boots.

use raft_core::{
    AppendEntriesReply, AppendOutcome, Applied, Bytes, Config, HardState, Index, LogId, Message,
    NodeId, PersistSeq, RaftCore, ReadId, Ready, RequestVoteReply, Role, SnapshotStatus,
    StorageError, Term, Tick,
};

use super::reader::Reader;
use super::tally::Tally;
use super::words::NODES;
use crate::common::disk::Disk;
use crate::common::solo::entry;

/// More polls in a row than any output may need: beyond this the core has lost its way.
const POLLS_MAX: usize = 10_000;

struct Alone<'a> {
    bytes: Reader<'a>,
    config: Config,
    core: RaftCore<Disk>,
    disk: Disk,
    ready: Ready,
    /// The numbers of the batches that are durable.
    durable: Vec<PersistSeq>,
    /// What the state machine has.
    machine: Index,
    names: u64,
    tally: Tally,
}

/// One run.
pub(super) fn alone(bytes: &[u8]) -> Tally {
    let mut alone = Alone::new(Reader::new(bytes));
    while !alone.bytes.is_empty() {
        alone.input();
    }
    alone.settle();
    alone.tally
}

fn config(bytes: &mut Reader<'_>) -> Config {
    let leases = bytes.below(4) == 0;
    let size = |bytes: &mut Reader<'_>| bytes.pick(&[1 << 20, 0, 1, 50]);
    Config {
        election_timeout_ticks: 10,
        heartbeat_interval_ticks: 2,
        pre_vote: bytes.flag(),
        check_quorum: bytes.flag() || leases,
        lease_ticks: if leases { 1 + bytes.below(9) as u64 } else { 0 },
        seed: u64::from(bytes.byte()),
        snapshot_timeout_ticks: 1 + bytes.below(30) as u64,
        inflight_messages_max: bytes.pick(&[64, 1, 2]),
        entry_bytes_max: 60,
        message_bytes_max: size(bytes),
        inflight_bytes_max: size(bytes),
        uncommitted_bytes_max: size(bytes),
        committed_bytes_max: size(bytes),
        log_cache_bytes_max: size(bytes),
        ..Config::new(NodeId(1))
    }
}

/// A disk as a past left it: a log, a configuration, maybe a snapshot.
fn disk(bytes: &mut Reader<'_>) -> Disk {
    let conf = match bytes.below(4) {
        0 => bytes.conf(),
        1 => Default::default(),
        _ => raft_core::ConfState::of_voters((1..=3).map(NodeId)),
    };
    let disk = Disk::with_conf(if conf.is_sound() { conf } else { Default::default() });
    let len = bytes.below(8) as u64;
    let mut term = 1;
    for index in 1..=len {
        term += bytes.below(3) as u64 / 2;
        disk.platter.borrow_mut().entries.push(entry(term, index));
    }
    let commit = Index(bytes.below(len as usize + 1) as u64);
    let term = if len == 0 { 0 } else { term } + bytes.below(2) as u64;
    disk.platter.borrow_mut().hard = HardState { term: Term(term), vote: None, commit };
    let named = !disk.platter.borrow().conf.voters.is_empty();
    if commit.0 > 0 && named && bytes.flag() {
        let base = Index(bytes.below(commit.0 as usize + 1) as u64);
        disk.compact(commit, base);
    }
    disk
}

impl<'a> Alone<'a> {
    fn new(mut bytes: Reader<'a>) -> Self {
        let (config, disk) = (config(&mut bytes), disk(&mut bytes));
        let core = RaftCore::new(config.clone(), disk.clone()).expect("boots");
        let machine = disk.platter.borrow().snapshot.last.index;
        Self {
            bytes,
            config,
            core,
            disk,
            ready: Ready::default(),
            durable: Vec::new(),
            machine,
            names: 0,
            tally: Tally::default(),
        }
    }

    fn input(&mut self) {
        let input = self.bytes.below(40);
        if self.core.is_stopped() && input % 2 == 0 {
            return self.crash();
        }
        match input {
            0..12 => self.message(),
            12..17 => self.poll(),
            17..21 => self.sync(),
            21..23 => self.pass_time(),
            23..25 => self.propose(),
            25 => self.read(),
            26 => self.apply(),
            27 | 28 => self.elect(),
            29 | 30 => self.answer_all(),
            31 => self.change_members(),
            32 => self.transfer(),
            33 => self.tell_of_loss(),
            34 => self.compact(),
            35 => self.core.handle_fetched(),
            36 => self.break_disk(),
            37 => self.crash(),
            38 => self.campaign(),
            _ => self.receipt_again(),
        }
    }

    fn message(&mut self) {
        let (from, message) = self.bytes.message(&self.core);
        let before = self.core.status();
        let taken = self.core.handle_message(from, message);
        if taken.is_err() {
            assert_eq!(self.core.status(), before, "a refusal changes nothing");
        }
        self.tally.note_step(taken);
    }

    fn poll(&mut self) {
        let machine = self.machine;
        self.core.poll_ready(&mut self.ready);
        self.tally.note_ready(&self.ready);
        self.disk.write(&mut self.ready);
        for (to, message) in &self.ready.messages {
            check_promise(*to, message, &self.disk);
        }
        for (entry, index) in self.ready.committed_entries.iter().zip(machine.0 + 1..) {
            assert_eq!(entry.id.index, Index(index), "applied in order, each once");
            assert!(self.disk.holds(entry.id), "applied only what is durable here");
            self.machine = entry.id.index;
        }
    }

    fn sync(&mut self) {
        let count = 1 + self.bytes.below(3);
        self.sync_count(count);
    }

    fn sync_count(&mut self, count: usize) {
        if let Some(receipt) = self.disk.sync(count) {
            self.durable.push(receipt.seq());
            self.restore();
            self.core.handle_persisted(receipt);
        }
    }

    /// Receipts come twice, and late.
    fn receipt_again(&mut self) {
        if !self.durable.is_empty() {
            let seq = self.bytes.pick(&self.durable);
            self.core.handle_persisted_through(seq);
        }
    }

    /// The state machine takes what a durable snapshot holds.
    fn restore(&mut self) {
        self.machine = self.machine.max(self.disk.platter.borrow().snapshot.last.index);
    }

    fn pass_time(&mut self) {
        let ticks = self.bytes.pick(&[1, 1, 2, 3, 9, 10, 20, 1000]);
        let now = self.core.now().0;
        // A clock that is set back is no clock.
        self.core.handle_time(Tick(now.saturating_sub(ticks)));
        assert_eq!(self.core.now(), Tick(now));
        self.core.handle_time(Tick(now + ticks));
    }

    fn propose(&mut self) {
        let data = Bytes::from(vec![1; self.bytes.below(64)]);
        let _ = self.core.handle_proposal(data);
    }

    fn read(&mut self) {
        self.names += 1;
        let _ = self.core.handle_read(ReadId(self.names));
    }

    /// The state machine says how far it is, maybe once more.
    fn apply(&mut self) {
        let behind = self.bytes.below(3) as u64;
        self.core.handle_applied(Applied(Index(self.machine.0.saturating_sub(behind))));
    }

    /// An election with everybody's vote.
    fn elect(&mut self) {
        self.core.handle_campaign();
        for _ in 0..2 {
            self.poll();
            self.sync_count(usize::MAX);
            let term = self.core.term();
            for from in (2..=NODES as u64).map(NodeId) {
                let message = match self.core.role() {
                    Role::PreCandidate => {
                        let (asked, granted) = (term.next(), true);
                        Message::PreVoteReply(raft_core::PreVoteReply { term, asked, granted })
                    }
                    Role::Candidate => {
                        Message::RequestVoteReply(RequestVoteReply { term, granted: true })
                    }
                    _ => break,
                };
                if self.core.conf().contains(from) && self.core.term() == term {
                    self.tally.note_step(self.core.handle_message(from, message));
                }
            }
        }
    }

    /// Members answer what they were sent: they have it all, or lack what goes before.
    fn answer_all(&mut self) {
        if self.core.role() != Role::Leader {
            return;
        }
        let (term, matched) = (self.core.term(), self.core.status().last.index);
        let (lacks, silent) = (self.bytes.byte(), self.bytes.byte());
        for peer in self.core.peers().collect::<Vec<_>>() {
            let bit = 1 << (peer.id.0 % 8);
            let prev = peer.next.prev();
            let outcome = if lacks & silent & bit != 0 {
                let hint = LogId::default();
                AppendOutcome::Rejected { prev, hint, last: Index(0) }
            } else {
                AppendOutcome::Accepted { matched }
            };
            if silent & !lacks & bit == 0 {
                let reply = AppendEntriesReply { term, outcome };
                let taken = self.core.handle_message(peer.id, Message::AppendEntriesReply(reply));
                self.tally.note_step(taken);
            }
        }
    }

    fn change_members(&mut self) {
        let change = self.bytes.conf_change(NODES);
        let before = self.core.status();
        match self.core.handle_conf_change(&change) {
            Ok(_) => self.tally.note("change of members"),
            Err(_) => assert_eq!(self.core.status(), before, "a refusal changes nothing"),
        }
    }

    fn transfer(&mut self) {
        let to = self.bytes.node();
        if self.core.handle_transfer(to).is_ok() {
            self.tally.note("transfer");
        }
    }

    fn tell_of_loss(&mut self) {
        let to = self.bytes.node();
        match self.bytes.below(3) {
            0 => self.core.handle_unreachable(to),
            1 => self.core.handle_snapshot_status(to, SnapshotStatus::Moving),
            _ => self.core.handle_snapshot_status(to, SnapshotStatus::Failed),
        }
    }

    /// A snapshot of what is applied; the log before it goes, and maybe the core is told.
    fn compact(&mut self) {
        let (index, told) = (self.core.status().applied, self.bytes.below(4));
        let base = Index(index.0.saturating_sub(self.bytes.below(3) as u64));
        let known = {
            let platter = self.disk.platter.borrow();
            platter.id_at(index).is_some() && platter.snapshot.last.index < index
        };
        if !known || base < self.disk.platter.borrow().base.index {
            return;
        }
        let Some(conf) = self.core.conf_at(index).cloned() else {
            return;
        };
        self.disk.compact(index, base);
        let stored = self.disk.platter.borrow().snapshot.conf.clone();
        assert_eq!(stored, conf, "a snapshot carries the configuration of its index");
        self.tally.note("compacted");
        if told > 0 {
            self.core.handle_compacted(base);
        }
    }

    /// From here on reads of the log answer with an error, or again do not.
    fn break_disk(&mut self) {
        let fault = match self.bytes.below(12) {
            0 => Some(StorageError::Compacted),
            1 => Some(StorageError::Unavailable),
            2 => Some(StorageError::Corrupt),
            3 | 4 => Some(StorageError::Pending),
            _ => None,
        };
        self.disk.fault.set(fault);
        self.disk.pending_every.set(self.bytes.below(4) as u32);
    }

    /// The replica dies, with some of its writes made and one maybe torn, and comes back.
    fn crash(&mut self) {
        let (kept, torn) = (self.bytes.below(4), self.bytes.flag());
        self.disk.crash(kept, torn);
        self.disk.fault.set(None);
        self.durable.clear();
        let was = self.core.is_stopped();
        let now = self.core.now();
        let core = RaftCore::new_at(self.config.clone(), self.disk.clone(), now);
        self.core = core.expect("what it wrote boots");
        self.restore();
        if self.bytes.flag() {
            self.core.handle_applied(Applied(self.machine));
            assert!(!self.core.is_stopped(), "what was applied is durable");
        } else {
            self.machine = self.disk.platter.borrow().snapshot.last.index;
        }
        self.tally.note(if was { "restart of a stopped replica" } else { "restart" });
    }

    fn campaign(&mut self) {
        let at = Tick(self.core.now().0 + self.bytes.below(16) as u64);
        match self.bytes.below(3) {
            0 => self.core.handle_campaign_at(at),
            _ => self.core.handle_campaign(),
        }
    }

    /// Without new inputs the outputs end.
    fn settle(&mut self) {
        self.disk.fault.set(None);
        self.disk.pending_every.set(0);
        self.core.handle_fetched();
        for _ in 0..POLLS_MAX {
            if !self.core.has_ready() && self.disk.writes() == 0 {
                return;
            }
            self.poll();
            self.sync_count(usize::MAX);
            self.core.handle_applied(Applied(self.machine));
        }
        panic!("no end of outputs: {:?}", self.core.status());
    }
}

/// The vote that a message speaks of is on the disk. What acknowledgements promise is looked at
/// among honest nodes only: here a leader may have replaced, in one term, what it sent.
fn check_promise(to: NodeId, message: &Message, disk: &Disk) {
    let hard = disk.platter.borrow().hard;
    match message {
        Message::RequestVoteReply(m) if m.granted => {
            let voted = hard.term > m.term || (hard.term, hard.vote) == (m.term, Some(to));
            assert!(voted, "a vote is durable: {m:?}, {hard:?}");
        }
        Message::RequestVote(m) => {
            let own = (hard.term, hard.vote) == (m.term, Some(NodeId(1)));
            assert!(hard.term > m.term || own, "the own vote is durable: {m:?}, {hard:?}");
        }
        _ => {}
    }
}
