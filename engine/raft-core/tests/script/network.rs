//! Messages on their way.

use std::collections::BTreeSet;

use raft_core::Message;

use super::notation;

/// A message and its way.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) message: Message,
}

impl Envelope {
    pub(crate) fn text(&self) -> String {
        notation::message(self.from, self.to, &self.message)
    }
}

/// Which messages are meant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// One of [`notation::KINDS`]; any if empty.
    pub(crate) kind: &'static str,
    /// Any if empty.
    pub(crate) from: Vec<u64>,
    /// The oldest so many.
    pub(crate) count: Option<u64>,
    /// They arrive and stay on their way: they will arrive twice.
    pub(crate) keep: bool,
}

/// Messages on their way, in the order in which they were sent.
#[derive(Debug, Default)]
pub(crate) struct Network {
    pub(crate) messages: Vec<Envelope>,
    /// The nodes on the one side of a partition.
    pub(crate) cut: BTreeSet<u64>,
}

impl Network {
    /// Sends a message. Returns whether it left: none crosses a partition.
    pub(crate) fn send(&mut self, envelope: Envelope) -> bool {
        let crosses = self.cut.contains(&envelope.from) != self.cut.contains(&envelope.to);
        if !crosses {
            self.messages.push(envelope);
        }
        !crosses
    }

    /// Whether something is on its way to this node.
    pub(crate) fn has(&self, to: u64) -> bool {
        self.messages.iter().any(|m| m.to == to)
    }

    /// The messages meant, to this node.
    pub(crate) fn take(&mut self, to: u64, filter: &Filter) -> Vec<Envelope> {
        let mut left = filter.count.unwrap_or(u64::MAX);
        let mut taken = Vec::new();
        self.messages.retain(|m| {
            let meant = m.to == to
                && left > 0
                && (filter.kind.is_empty() || filter.kind == notation::kind(&m.message))
                && (filter.from.is_empty() || filter.from.contains(&m.from));
            if meant {
                left -= 1;
                taken.push(m.clone());
            }
            !meant || filter.keep
        });
        taken
    }
}
