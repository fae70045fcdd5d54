//! One group of three replicas.

use omnipaxos::messages::Message;
use omnipaxos::util::LogEntry;

use super::{Command, NODES, Replica, replica};
use crate::cores::{Corpus, Ledger, PATIENCE, Pass, Timed, Trio, part, unexpected};
use crate::error::BenchError;
use crate::heap::Part;

/// See [`Trio`]. `FULL`: the crate holds commands back until a batch is full; otherwise, as with
/// the others, whatever was proposed in a turn leaves with it.
pub(crate) struct Group<const FULL: bool> {
    nodes: Vec<Replica>,
    /// How far each replica has applied.
    applied: [usize; 3],
    ledgers: [Ledger; 3],
    inboxes: [Vec<Message<Command>>; 3],
    outgoing: Vec<Message<Command>>,
}

impl<const FULL: bool> Group<FULL> {
    fn turn_of<P: Pass>(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        P::enter(part(at));
        for message in self.inboxes[at].drain(..) {
            node.handle_incoming(message);
        }
        // An empty list is swapped for the replica's own: its memory is used again.
        node.take_outgoing_messages(&mut self.outgoing);
        P::enter(Part::Harness);
        for message in self.outgoing.drain(..) {
            self.inboxes[message.get_receiver() as usize - 1].push(message);
        }
        P::enter(part(at));
        if node.get_decided_idx() > self.applied[at] {
            let decided = node.read_decided_suffix(self.applied[at]).unwrap_or_default();
            self.applied[at] += decided.len();
            for entry in decided {
                if let LogEntry::Decided(Command(payload)) = entry {
                    self.ledgers[at].note::<P>(&payload);
                }
            }
        }
    }
}

impl<const FULL: bool> Trio for Group<FULL> {
    fn new(batch: usize, entries_max: usize) -> Result<Self, BenchError> {
        let batch = if FULL { batch } else { 1 };
        let nodes = NODES.into_iter().map(|pid| replica(pid, NODES[0], batch, 1, entries_max));
        let mut group = Self {
            nodes: nodes.collect::<Result<_, _>>()?,
            applied: [0; 3],
            ledgers: Default::default(),
            inboxes: Default::default(),
            outgoing: Vec::new(),
        };
        for _ in 0..PATIENCE {
            // Heartbeats are over before the next ones leave.
            group.nodes.iter_mut().for_each(Replica::tick);
            group.turn::<Timed>(&Corpus::new(), 0, 0)?;
            while group.inboxes.iter().any(|inbox| !inbox.is_empty()) {
                group.turn::<Timed>(&Corpus::new(), 0, 0)?;
            }
            let led = |node: &Replica| node.get_current_leader() == Some((NODES[0], true));
            if group.nodes.iter().all(led) {
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
        for number in from..from + count as u64 {
            P::enter(Part::Payload);
            let command = Command(corpus.payload(number));
            P::enter(Part::Leader);
            if self.nodes[0].append(command).is_err() {
                return Err(unexpected("a command was refused"));
            }
        }
        for at in 0..NODES.len() {
            self.turn_of::<P>(at);
        }
        Ok(())
    }

    /// A leader without further commands says of itself what was decided.
    fn nudge(&mut self) -> Result<(), BenchError> {
        Ok(())
    }

    fn ledgers(&self) -> [Ledger; 3] {
        self.ledgers
    }
}
