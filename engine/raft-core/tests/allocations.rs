//! In steady state a leader takes nothing from the heap for an entry: lists and chunks go round.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use raft_core::{
    AppendEntriesReply, AppendOutcome, Applied, Bytes, ConfState, Config, Entry, Index,
    InitialState, Message, NodeId, RaftCore, Ready, RequestVoteReply, Role, SnapshotMeta, Storage,
    StorageError, Term,
};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting.
struct Counting;

// SAFETY: every call is handed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|n| n.set(n.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|n| n.set(n.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// An empty log whose entries nobody asks for.
#[derive(Debug)]
struct Nothing;

impl Storage for Nothing {
    fn initial_state(&self) -> Result<InitialState, StorageError> {
        let conf = ConfState::of_voters((1..=3).map(NodeId));
        Ok(InitialState { conf, ..InitialState::default() })
    }

    fn entries(
        &self,
        _: Index,
        _: Index,
        _: usize,
        _: &mut Vec<Entry>,
    ) -> Result<(), StorageError> {
        Err(StorageError::Unavailable)
    }

    fn term_at(&self, _: Index) -> Result<Term, StorageError> {
        Ok(Term(0))
    }

    fn first_index(&self) -> Index {
        Index(1)
    }

    fn last_index(&self) -> Index {
        Index(0)
    }

    fn snapshot_meta(&self) -> SnapshotMeta {
        SnapshotMeta::default()
    }
}

/// A leader and its host. The followers answer what they are sent.
struct Leader {
    core: RaftCore<Nothing>,
    ready: Ready,
    answers: Vec<(NodeId, Message)>,
    committed: u64,
}

impl Leader {
    fn elected() -> Self {
        let config = Config { pre_vote: false, ..Config::new(NodeId(1)) };
        let core = RaftCore::new(config, Nothing).unwrap();
        let (ready, answers) = (Ready::default(), Vec::new());
        let mut leader = Self { core, ready, answers, committed: 0 };
        leader.core.handle_campaign();
        leader.turn();
        let vote = RequestVoteReply { term: Term(1), granted: true };
        leader.core.handle_message(NodeId(2), Message::RequestVoteReply(vote)).unwrap();
        leader.turn();
        assert_eq!(leader.core.role(), Role::Leader);
        leader
    }

    fn turn(&mut self) {
        while self.core.has_ready() {
            self.core.poll_ready(&mut self.ready);
            for (to, message) in self.ready.messages.drain(..) {
                if let Message::AppendEntries(m) = message {
                    let matched = m.entries.last().map_or(m.prev.index, |e| e.id.index);
                    let outcome = AppendOutcome::Accepted { matched };
                    let reply = AppendEntriesReply { term: m.term, outcome };
                    self.answers.push((to, Message::AppendEntriesReply(reply)));
                }
            }
            if let Some(receipt) = self.ready.receipt.take() {
                self.core.handle_persisted(receipt);
            }
            self.committed += self.ready.committed_entries.len() as u64;
            if let Some(last) = self.ready.committed_entries.last() {
                let applied = Applied(last.id.index);
                self.ready.clear();
                self.core.handle_applied(applied);
            }
        }
        for (from, answer) in self.answers.drain(..) {
            self.core.handle_message(from, answer).unwrap();
        }
    }

    fn propose(&mut self, batch: usize, command: &Bytes) {
        for _ in 0..batch {
            self.core.handle_proposal(command.clone()).unwrap();
        }
        self.turn();
    }
}

#[test]
fn a_leader_allocates_nothing_per_entry() {
    let command = Bytes::from_static(&[7; 128]);
    for batch in [1, 8, 64] {
        let mut leader = Leader::elected();
        // Long enough for the cache to be full and every list to have its size.
        (0..40_960 / batch).for_each(|_| leader.propose(batch, &command));
        let (allocations, committed) = (ALLOCATIONS.with(Cell::get), leader.committed);
        (0..8_192 / batch).for_each(|_| leader.propose(batch, &command));
        let allocations = ALLOCATIONS.with(Cell::get) - allocations;
        assert_eq!(leader.committed - committed, 8_192, "they are committed");
        assert_eq!(allocations, 0, "with {batch} commands at a time");
    }
}
