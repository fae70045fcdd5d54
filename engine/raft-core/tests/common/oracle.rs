//! What must be true of a cluster, checked after every output of every replica.

use std::collections::{BTreeMap, BTreeSet};

use raft_core::{
    AppendOutcome, ConfState, Entry, EntryParts, Event, HardState, Index, LogId, Message, NodeId,
    RaftCore, ReadOutcome, Ready, Role, Term,
};

use super::disk::{Disk, Platter};

/// The history of a run.
#[derive(Default)]
pub(crate) struct Oracle {
    leaders: BTreeMap<Term, usize>,
    /// Every entry ever seen, with its predecessor and its content (Log Matching, by induction).
    entries: BTreeMap<LogId, (LogId, Entry)>,
    /// The committed log, and the term of the replica that knew first.
    committed: Vec<(LogId, Term)>,
    lost: BTreeSet<LogId>,
    /// Proposals accepted by a node that has not died since, without an outcome.
    proposals: BTreeSet<(usize, LogId)>,
    pub(crate) uncertain: u64,
    pub(crate) conf_changes: u64,
    pub(crate) snapshots: u64,
    pub(crate) transfers_aborted: u64,
    /// Reads asked and not yet answered: node, and what their index must reach.
    reads: BTreeMap<u64, (usize, Index)>,
    pub(crate) reads_ready: u64,
    pub(crate) reads_leased: u64,
    pub(crate) reads_lost: u64,
    pub(crate) elections: u64,
}

impl Oracle {
    pub(crate) fn committed(&self) -> Index {
        Index(self.committed.len() as u64)
    }

    /// The committed log up to an index: what a snapshot that ends there holds.
    pub(crate) fn prefix(&self, last: Index) -> Vec<LogId> {
        self.committed[..last.0 as usize].iter().map(|(id, _)| *id).collect()
    }

    pub(crate) fn proposed(&mut self, node: usize, id: LogId) {
        assert!(self.proposals.insert((node, id)), "{id} is proposed once");
    }

    fn ended(&mut self, node: usize, id: LogId) {
        assert!(self.proposals.remove(&(node, id)), "{id} has one outcome");
    }

    pub(crate) fn open_proposals_of(&self, nodes: &[usize]) -> usize {
        self.proposals.iter().filter(|(node, _)| nodes.contains(node)).count()
    }

    pub(crate) fn lost(&self) -> usize {
        self.lost.len()
    }

    pub(crate) fn read_asked(&mut self, read: u64, node: usize) {
        self.reads.insert(read, (node, self.committed()));
    }

    /// A node died; nobody answers its reads.
    pub(crate) fn crashed(&mut self, node: usize) {
        self.reads.retain(|_, (n, _)| *n != node);
        self.proposals.retain(|(n, _)| *n != node);
    }

    pub(crate) fn open_reads(&self) -> usize {
        self.reads.len()
    }

    /// Looks at one poll of `node`: `handed` is the hard state before it.
    pub(crate) fn polled(
        &mut self,
        node: usize,
        core: &RaftCore<Disk>,
        ready: &Ready,
        handed: HardState,
        disks: &[Disk],
    ) {
        check_batch(ready, handed);
        for (to, message) in &ready.messages {
            check_durable(*to, message, core.config().id, &disks[node]);
        }
        for event in &ready.events {
            match event {
                Event::Fault(fault) => panic!("node {node} stopped: {fault:?}"),
                Event::Lost { id } => {
                    assert!(self.lost.insert(*id), "{id} is lost once");
                    self.ended(node, *id);
                }
                Event::Uncertain { id } => {
                    self.uncertain += 1;
                    self.ended(node, *id);
                }
                Event::TransferAborted { .. } => self.transfers_aborted += 1,
                Event::ConfChanged { .. } => self.conf_changes += 1,
                Event::Changed { .. } | Event::Established { .. } | Event::Fetch { .. } => {}
            }
        }
        self.snapshots += u64::from(ready.snapshot.is_some());
        for entry in ready.committed_entries.iter() {
            self.proposals.remove(&(node, entry.id));
        }
        for (read, outcome) in &ready.reads {
            let (asked, needed) = self.reads.remove(&read.0).expect("one outcome per read");
            assert_eq!(asked, node);
            match outcome {
                ReadOutcome::Ready { index } => {
                    assert!(*index >= needed, "read {read:?} misses acknowledged entries");
                    assert!(*index <= core.status().applied, "read before apply");
                    self.reads_ready += 1;
                    self.reads_leased += u64::from(core.lease_until().is_some());
                }
                ReadOutcome::Lost => self.reads_lost += 1,
            }
        }
    }

    /// Looks at a node after its poll was written.
    pub(crate) fn observe(&mut self, node: usize, core: &RaftCore<Disk>, disks: &[Disk]) {
        let view = disks[node].view();
        self.check_matching(&view);
        if core.role() == Role::Leader {
            self.check_leader(node, core.term(), &view);
        }
        let newest = view.conf_at(view.last().index);
        assert_eq!(newest, *core.conf(), "in force is the newest in the log");
        for index in (view.base.index.0..=core.commit().0).filter(|i| *i > 0) {
            let id = view.id_at(Index(index)).expect("committed entries are in the log");
            match self.committed.get(index as usize - 1) {
                Some((known, _)) => assert_eq!(*known, id, "State Machine Safety"),
                None => self.commit(id, core.term(), core.conf(), disks),
            }
        }
    }

    fn commit(&mut self, id: LogId, term: Term, conf: &ConfState, disks: &[Disk]) {
        let holds = |n: &NodeId| disks[n.0 as usize - 1].holds(id);
        for half in [&conf.voters, &conf.voters_outgoing].into_iter().filter(|v| !v.is_empty()) {
            let durable = half.iter().filter(|n| holds(n)).count();
            assert!(
                durable > half.len() / 2,
                "{id} committed but durable on {durable} of {half:?}"
            );
        }
        assert_eq!(id.index, self.committed().next(), "committed without holes");
        assert!(!self.lost.contains(&id), "{id} was declared lost");
        self.committed.push((id, term));
    }

    fn check_matching(&mut self, view: &Platter) {
        let mut prev = view.base;
        for entry in &view.entries {
            assert_eq!(entry.id.index, prev.index.next(), "a log has no holes");
            let (known_prev, known) =
                self.entries.entry(entry.id).or_insert_with(|| (prev, entry.clone()));
            assert_eq!((*known_prev, &*known), (prev, entry), "Log Matching");
            prev = entry.id;
        }
    }

    fn check_leader(&mut self, node: usize, term: Term, view: &Platter) {
        let known = self.leaders.get(&term).copied();
        if let Some(known) = known {
            return assert_eq!(known, node, "Election Safety in term {term}");
        }
        self.leaders.insert(term, node);
        self.elections += 1;
        let earlier = self.committed.iter().filter(|(_, by)| *by < term);
        for (id, by) in earlier.filter(|(id, _)| id.index >= view.base.index) {
            let here = view.id_at(id.index);
            assert_eq!(here, Some(*id), "Leader Completeness: {id} of {by} in {term}");
        }
    }

    /// Looks at what a node hands to its state machine; `applied` is what it had.
    pub(crate) fn applied(&self, applied: Index, entries: &EntryParts, disk: &Disk) {
        let mut next = applied;
        for entry in entries.iter() {
            next = next.next();
            assert_eq!(entry.id.index, next, "applied in order, each once");
            assert!(disk.holds(entry.id), "applied only what is durable here");
        }
    }

    pub(crate) fn check_applied(&self, log: &[LogId]) {
        for (id, (known, _)) in log.iter().zip(&self.committed) {
            assert_eq!(id, known, "State Machine Safety");
        }
        assert!(log.len() <= self.committed.len(), "applied before commit");
    }
}

/// A batch has a reason, and the commit index alone is none.
fn check_batch(ready: &Ready, handed: HardState) {
    let hard = ready.hard_state;
    let due = hard.is_some_and(|h| (h.term, h.vote) != (handed.term, handed.vote));
    let due = due || !ready.entries_to_persist.is_empty() || ready.snapshot.is_some();
    assert_eq!(due, ready.receipt.is_some(), "a batch for a reason");
    assert!(hard.is_none() || due, "no batch for the commit index alone");
}

/// Persist before send: what a message promises is on the sender's disk.
fn check_durable(to: NodeId, message: &Message, me: NodeId, disk: &Disk) {
    let hard = disk.platter.borrow().hard;
    let last = disk.platter.borrow().last().index;
    match message {
        Message::RequestVote(m) => {
            assert!(hard.term > m.term || (hard.term, hard.vote) == (m.term, Some(me)));
            assert!(disk.holds(m.last), "a candidate's log is durable");
        }
        Message::RequestVoteReply(m) => {
            assert!(hard.term >= m.term);
            let voted = hard.term > m.term || hard.vote == Some(to);
            assert!(!m.granted || voted, "a vote is durable");
        }
        Message::AppendEntries(m) => assert!(hard.term >= m.term, "a leader's term is durable"),
        Message::Heartbeat(m) => assert!(hard.term >= m.term, "a leader's term is durable"),
        Message::AppendEntriesReply(m) => {
            assert!(hard.term >= m.term, "an answer's term is durable");
            if let AppendOutcome::Accepted { matched } = m.outcome {
                assert!(last >= matched, "acknowledged entries are durable");
            }
        }
        Message::HeartbeatReply(m) => assert!(hard.term >= m.term, "an answer's term is durable"),
        Message::TimeoutNow(m) => assert!(hard.term >= m.term, "a leader's term is durable"),
        Message::InstallSnapshot(m) => {
            assert!(hard.term >= m.term, "a leader's term is durable");
            assert!(disk.holds(m.snapshot.last), "a snapshot is of what is durable");
        }
        Message::PreVote(_) => {}
        Message::PreVoteReply(m) => assert!(hard.term >= m.term, "an answer's term is durable"),
    }
}
