//! One group of three replicas.

use std::marker::PhantomData;
use std::mem;

use raft::eraftpb::{Entry, EntryType, Message, MessageType};
use raft::{RawNode, StateRole};

use super::{Arena, NODES, Outlet, handle_ready, replica, silent};
use crate::cores::{Corpus, Ledger, PATIENCE, Pass, Timed, Trio, part, unexpected};
use crate::error::BenchError;
use crate::heap::Part;

type Inboxes = [Vec<Message>; 3];

/// See [`Trio`].
pub(crate) struct Group {
    nodes: Vec<RawNode<Arena>>,
    ledgers: [Ledger; 3],
    inboxes: Inboxes,
}

/// The outside of one replica.
struct Outside<'a, P> {
    at: usize,
    ledger: &'a mut Ledger,
    inboxes: &'a mut Inboxes,
    pass: PhantomData<P>,
}

impl<P: Pass> Outlet for Outside<'_, P> {
    fn send(&mut self, messages: Vec<Message>) {
        P::enter(Part::Harness);
        for message in messages {
            self.inboxes[message.to as usize - 1].push(message);
        }
        P::enter(part(self.at));
    }

    fn apply(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            // The entry that opens a term is empty.
            if entry.get_entry_type() == EntryType::EntryNormal && !entry.data.is_empty() {
                self.ledger.note::<P>(&entry.data);
            }
        }
    }
}

impl Group {
    fn turn_of<P: Pass>(&mut self, at: usize) -> Result<(), BenchError> {
        let node = &mut self.nodes[at];
        let mut inbox = mem::take(&mut self.inboxes[at]);
        P::enter(part(at));
        for message in inbox.drain(..) {
            node.step(message).map_err(unexpected)?;
        }
        self.inboxes[at] = inbox;
        let ledger = &mut self.ledgers[at];
        let mut out = Outside { at, ledger, inboxes: &mut self.inboxes, pass: PhantomData::<P> };
        while node.has_ready() {
            handle_ready(node, &mut out);
        }
        Ok(())
    }
}

impl Trio for Group {
    fn new(_batch: usize, entries_max: usize) -> Result<Self, BenchError> {
        let logger = silent();
        // One more entry opens the term.
        let nodes = NODES.into_iter().map(|id| replica(id, entries_max + 1, &logger));
        let mut group = Self {
            nodes: nodes.collect::<Result<_, _>>()?,
            ledgers: Default::default(),
            inboxes: Inboxes::default(),
        };
        group.nodes[0].campaign().map_err(unexpected)?;
        for _ in 0..PATIENCE {
            group.turn::<Timed>(&Corpus::new(), 0, 0)?;
            let leader = &group.nodes[0].raft;
            if leader.state == StateRole::Leader && leader.commit_to_current_term() {
                return Ok(group);
            }
        }
        Err(unexpected("nobody was elected"))
    }

    fn turn<P: Pass>(
        &mut self,
        corpus: &Corpus,
        from: u64,
        count: usize,
    ) -> Result<(), BenchError> {
        if count > 0 {
            // One message with the whole batch: `propose` takes one command at a time, and copies.
            P::enter(Part::Leader);
            let mut proposal = Message::default();
            proposal.set_msg_type(MessageType::MsgPropose);
            proposal.from = NODES[0];
            let mut entries = Vec::with_capacity(count);
            for number in from..from + count as u64 {
                P::enter(Part::Payload);
                let data = corpus.payload(number);
                P::enter(Part::Leader);
                entries.push(Entry { data, ..Entry::default() });
            }
            proposal.set_entries(entries.into());
            self.nodes[0].step(proposal).map_err(unexpected)?;
        }
        for at in 0..NODES.len() {
            self.turn_of::<P>(at)?;
        }
        Ok(())
    }

    fn nudge(&mut self) -> Result<(), BenchError> {
        self.nodes[0].ping();
        Ok(())
    }

    fn ledgers(&self) -> [Ledger; 3] {
        self.ledgers
    }
}
