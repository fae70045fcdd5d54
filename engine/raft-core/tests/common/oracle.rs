//! What must be true of a cluster, checked after every output of every replica.

use std::collections::{BTreeMap, BTreeSet};

use raft_core::{
    AppendOutcome, Entry, Event, HardState, Index, LogId, Message, NodeId, RaftCore, ReadOutcome,
    Ready, Role, Term,
};

use super::disk::Disk;

/// The history of a run.
#[derive(Default)]
pub(crate) struct Oracle {
    leaders: BTreeMap<Term, usize>,
    /// Every entry ever seen, with its predecessor and its content (Log Matching, by induction).
    entries: BTreeMap<LogId, (LogId, Entry)>,
    /// The committed log, and the term of the replica that knew first.
    committed: Vec<(LogId, Term)>,
    lost: BTreeSet<LogId>,
    /// Reads asked and not yet answered: node, and what their index must reach.
    reads: BTreeMap<u64, (usize, Index)>,
    pub(crate) reads_ready: u64,
    pub(crate) reads_lost: u64,
    pub(crate) elections: u64,
}

impl Oracle {
    pub(crate) fn committed(&self) -> Index {
        Index(self.committed.len() as u64)
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
                Event::Lost { id } => assert!(self.lost.insert(*id), "{id} is lost once"),
                Event::Changed { .. } | Event::Established { .. } => {}
            }
        }
        for (read, outcome) in &ready.reads {
            let (asked, needed) = self.reads.remove(&read.0).expect("one outcome per read");
            assert_eq!(asked, node);
            match outcome {
                ReadOutcome::Ready { index } => {
                    assert!(*index >= needed, "read {read:?} misses acknowledged entries");
                    assert!(*index <= core.status().applied, "read before apply");
                    self.reads_ready += 1;
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
        let commit = core.commit().0 as usize;
        for index in 0..commit {
            let id = view.get(index).expect("committed entries are in the log").id;
            match self.committed.get(index) {
                Some((known, _)) => assert_eq!(*known, id, "State Machine Safety"),
                None => self.commit(id, core.term(), disks),
            }
        }
    }

    fn commit(&mut self, id: LogId, term: Term, disks: &[Disk]) {
        let durable = disks.iter().filter(|d| d.holds(id)).count();
        assert!(durable > disks.len() / 2, "{id} committed but durable on {durable} only");
        assert!(!self.lost.contains(&id), "{id} was declared lost");
        self.committed.push((id, term));
    }

    fn check_matching(&mut self, view: &[Entry]) {
        let mut prev = LogId::default();
        for entry in view {
            assert_eq!(entry.id.index, prev.index.next(), "a log has no holes");
            let (known_prev, known) =
                self.entries.entry(entry.id).or_insert_with(|| (prev, entry.clone()));
            assert_eq!((*known_prev, &*known), (prev, entry), "Log Matching");
            prev = entry.id;
        }
    }

    fn check_leader(&mut self, node: usize, term: Term, view: &[Entry]) {
        let known = self.leaders.get(&term).copied();
        if let Some(known) = known {
            return assert_eq!(known, node, "Election Safety in term {term}");
        }
        self.leaders.insert(term, node);
        self.elections += 1;
        for (id, by) in self.committed.iter().filter(|(_, by)| *by < term) {
            let here = view.get(id.index.0 as usize - 1).map(|e| e.id);
            assert_eq!(here, Some(*id), "Leader Completeness: {id} of {by} in {term}");
        }
    }

    /// Looks at what a node hands to its state machine; `applied` is what it had.
    pub(crate) fn applied(&self, applied: Index, entries: &[Entry], disk: &Disk) {
        let mut next = applied;
        for entry in entries {
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
    let due = due || !ready.entries_to_persist.is_empty();
    assert_eq!(due, ready.receipt.is_some(), "a batch for a reason");
    assert!(hard.is_none() || due, "no batch for the commit index alone");
}

/// Persist before send: what a message promises is on the sender's disk.
fn check_durable(to: NodeId, message: &Message, me: NodeId, disk: &Disk) {
    let hard = disk.platter.borrow().hard;
    let last = Index(disk.platter.borrow().entries.len() as u64);
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
        Message::PreVote(_) => {}
        Message::PreVoteReply(m) => assert!(hard.term >= m.term, "an answer's term is durable"),
    }
}
