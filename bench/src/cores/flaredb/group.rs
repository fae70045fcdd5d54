//! One group of three replicas.

use std::mem;

use raft_core::{Config, EntryKind, Message, NodeId, RaftCore, Ready, Tick};

use super::{Arena, NODES};
use crate::cores::{Corpus, Ledger, PATIENCE, Pass, Timed, Trio, part, unexpected};
use crate::error::BenchError;
use crate::heap::Part;

/// Messages on their way to each replica, with their sender.
type Inboxes = [Vec<(NodeId, Message)>; 3];

/// A replica and what its host keeps for it.
#[derive(Debug)]
struct Replica {
    core: RaftCore<Arena>,
    ready: Ready,
    ledger: Ledger,
}

/// See [`Trio`].
#[derive(Debug)]
pub(crate) struct Group {
    replicas: Vec<Replica>,
    inboxes: Inboxes,
}

impl Replica {
    fn new(node: NodeId, entries_max: usize) -> Result<Self, BenchError> {
        // One more entry opens the term.
        let arena = Arena::new(entries_max + 1);
        let core = RaftCore::new(Config::new(node), arena).map_err(unexpected)?;
        Ok(Self { core, ready: Ready::default(), ledger: Ledger::default() })
    }

    /// Takes what has arrived, then does everything that follows from it.
    #[inline]
    fn turn<P: Pass>(&mut self, at: usize, inboxes: &mut Inboxes) -> Result<(), BenchError> {
        let mut inbox = mem::take(&mut inboxes[at]);
        P::enter(part(at));
        for (from, message) in inbox.drain(..) {
            self.core.handle_message(from, message).map_err(unexpected)?;
        }
        inboxes[at] = inbox;
        while self.core.handle_done(&mut self.ready) {
            P::enter(Part::Harness);
            for (to, message) in self.ready.messages.drain(..) {
                inboxes[to.0 as usize - 1].push((NODES[at], message));
            }
            for part in self.ready.entries_to_persist.parts() {
                self.core.storage().append(part);
            }
            P::enter(part(at));
            for part in self.ready.committed_entries.parts() {
                for entry in part.iter().filter(|entry| entry.kind == EntryKind::Normal) {
                    self.ledger.note::<P>(&entry.data);
                }
            }
        }
        Ok(())
    }
}

impl Trio for Group {
    fn new(_batch: usize, entries_max: usize) -> Result<Self, BenchError> {
        let replicas = NODES.into_iter().map(|node| Replica::new(node, entries_max));
        let mut group =
            Self { replicas: replicas.collect::<Result<_, _>>()?, inboxes: Inboxes::default() };
        group.replicas[0].core.handle_campaign();
        for _ in 0..PATIENCE {
            group.turn::<Timed>(&Corpus::new(), 0, 0)?;
            if group.replicas[0].core.status().established {
                return Ok(group);
            }
        }
        Err(unexpected("nobody was elected"))
    }

    #[inline]
    fn turn<P: Pass>(
        &mut self,
        corpus: &Corpus,
        from: u64,
        count: usize,
    ) -> Result<(), BenchError> {
        let commands = (from..from + count as u64).map(|number| {
            P::enter(Part::Payload);
            let payload = corpus.payload(number);
            P::enter(Part::Leader);
            payload
        });
        if let Some((_, error)) = self.replicas[0].core.handle_proposals(commands).refused {
            return Err(unexpected(error));
        }
        for (at, replica) in self.replicas.iter_mut().enumerate() {
            replica.turn::<P>(at, &mut self.inboxes)?;
        }
        Ok(())
    }

    fn nudge(&mut self) -> Result<(), BenchError> {
        let leader = &mut self.replicas[0].core;
        leader.handle_time(Tick(leader.now().0 + 1));
        Ok(())
    }

    fn ledgers(&self) -> [Ledger; 3] {
        [0, 1, 2].map(|at: usize| self.replicas[at].ledger)
    }
}
