//! What makes a script go on: outputs are taken, messages arrive, batches become durable.

use raft_core::Ready;

use super::arguments::Outcome;
use super::interpreter::Interpreter;
use super::network::{Envelope, Filter};
use super::notation;
use super::output::Level;

/// After so many polls in one turn, or rounds of one command, something goes round in circles.
const ROUNDS_MAX: usize = 10_000;

impl Interpreter {
    /// Takes the outputs of a node: once, or until there are no more if it persists and applies
    /// within its turn.
    pub(crate) fn turn(&mut self, at: usize) -> Outcome {
        for _ in 0..ROUNDS_MAX {
            if !self.nodes[at].core.has_ready() {
                return Ok(());
            }
            self.poll(at);
            if self.nodes[at].is_async {
                return Ok(());
            }
            while self.nodes[at].persist()? {}
            while self.nodes[at].apply() {}
        }
        Err("the node never comes to rest".into())
    }

    fn poll(&mut self, at: usize) {
        let mut ready = Ready::default();
        self.nodes[at].input(|core| core.poll_ready(&mut ready));
        let node = &self.nodes[at];
        for event in &ready.events {
            let text = notation::event(node, event);
            let level = if text.starts_with("fault") { Level::Silent } else { Level::Full };
            self.out.line(level, &text);
        }
        let broken = self.laws.observe(node, &ready);
        self.broken(broken);
        self.print_outputs(&ready);
        let from = self.nodes[at].id;
        for (to, message) in ready.messages.drain(..) {
            let envelope = Envelope { from, to: to.0, message };
            let text = envelope.text();
            let lost = if self.network.send(envelope) { "" } else { "lost: " };
            self.out.line(Level::Plain, &format!("{lost}{text}"));
        }
        self.nodes[at].keep(ready);
    }

    fn print_outputs(&mut self, ready: &Ready) {
        if let Some(receipt) = &ready.receipt {
            let (hard, snapshot) = (ready.hard_state.as_ref(), ready.snapshot.as_ref());
            let batch = notation::batch(hard, snapshot, &ready.entries_to_persist.to_vec());
            self.out.line(Level::Plain, &format!("persist #{}: {batch}", receipt.seq().0));
        }
        if !ready.committed_entries.is_empty() {
            let text = notation::entries(&ready.committed_entries.to_vec());
            self.out.line(Level::Plain, &format!("apply: {text}"));
        }
        for (id, outcome) in &ready.reads {
            self.out.line(Level::Plain, &notation::read(id.0, outcome));
        }
    }

    /// Notes broken laws.
    pub(crate) fn broken(&mut self, laws: Vec<String>) {
        for law in laws {
            self.refused += 1;
            self.out.line(Level::Silent, &format!("LAW BROKEN: {law}"));
        }
    }

    /// Lets the messages meant arrive at a node. Returns how many there were.
    pub(crate) fn deliver(&mut self, at: usize, filter: &Filter) -> usize {
        let to = self.nodes[at].id;
        let taken = self.network.take(to, filter);
        let count = taken.len();
        for Envelope { from, message, .. } in taken {
            self.out.line(Level::Plain, &notation::message(from, to, &message));
            let sender = raft_core::NodeId(from);
            let result = self.nodes[at].input(|core| core.handle_message(sender, message));
            if let Err(error) = result {
                self.out.line(Level::Plain, &format!("refused by {to}: {error}"));
            }
        }
        count
    }

    /// Loses the messages meant. Returns how many there were.
    pub(crate) fn drop_messages(&mut self, to: u64, filter: &Filter) -> usize {
        let taken = self.network.take(to, filter);
        for envelope in &taken {
            self.out.line(Level::Plain, &format!("dropped: {}", envelope.text()));
        }
        taken.len()
    }

    /// The oldest batch becomes durable. Returns whether there was one.
    pub(crate) fn persist(&mut self, at: usize) -> Outcome<bool> {
        if let Some((receipt, write)) = self.nodes[at].writes.front() {
            let (hard, snapshot) = (write.hard.as_ref(), write.snapshot.as_ref());
            let batch = notation::batch(hard, snapshot, &write.entries);
            self.out.line(Level::Plain, &format!("durable #{}: {batch}", receipt.seq().0));
        }
        self.nodes[at].persist()
    }

    /// The oldest entries handed out are applied. Returns whether there were any.
    pub(crate) fn apply(&mut self, at: usize) -> bool {
        if let Some(entries) = self.nodes[at].to_apply.front() {
            let text = notation::entries(entries);
            self.out.line(Level::Plain, &format!("applied: {text}"));
        }
        self.nodes[at].apply()
    }

    /// Goes on until nothing is left to do among these nodes. Time does not pass.
    pub(crate) fn stabilize(&mut self, among: &[usize]) -> Outcome {
        for _ in 0..ROUNDS_MAX {
            let mut rests = true;
            for at in among.iter().copied() {
                if self.nodes[at].core.has_ready() {
                    rests = false;
                    self.headed(at, "ready", |this| this.turn(at))?;
                }
            }
            for at in among.iter().copied() {
                if self.network.has(self.nodes[at].id) {
                    rests = false;
                    self.headed(at, "receives", |this| {
                        this.deliver(at, &Filter::default());
                        Ok(())
                    })?;
                }
            }
            for at in among.iter().copied() {
                if !self.nodes[at].writes.is_empty() {
                    rests = false;
                    self.headed(at, "persists", |this| {
                        while this.persist(at)? {}
                        Ok(())
                    })?;
                }
                if !self.nodes[at].to_apply.is_empty() {
                    rests = false;
                    self.headed(at, "applies", |this| {
                        while this.apply(at) {}
                        Ok(())
                    })?;
                }
            }
            if rests {
                return Ok(());
            }
        }
        Err("the nodes never come to rest".into())
    }

    /// Does something for a node under a heading.
    pub(crate) fn headed(
        &mut self,
        at: usize,
        what: &str,
        act: impl FnOnce(&mut Self) -> Outcome,
    ) -> Outcome {
        let heading = format!("> {} {what}", self.nodes[at].id);
        self.out.group(Some(&heading));
        let outcome = act(self);
        self.out.group(None);
        outcome
    }
}
