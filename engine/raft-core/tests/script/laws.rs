//! The laws that no replica can check alone (thesis figure 3.2).

use std::collections::{BTreeMap, BTreeSet};

use raft_core::{Entry, Event, Index, Ready, Role, Term};

use super::disk::Platter;
use super::node::Node;

/// What was seen so far.
#[derive(Debug, Default)]
pub(crate) struct Laws {
    leaders: BTreeMap<Term, u64>,
    /// With the lowest term in which it was seen to be committed.
    applied: BTreeMap<Index, (Entry, Term)>,
    told: BTreeSet<String>,
}

impl Laws {
    /// Looks at an output. Returns what is broken.
    pub(crate) fn observe(&mut self, node: &Node, ready: &Ready) -> Vec<String> {
        let mut broken = Vec::new();
        for event in &ready.events {
            if let Event::Changed { role: Role::Leader, term, .. } = event {
                let other = *self.leaders.entry(*term).or_insert(node.id);
                if other != node.id {
                    broken
                        .push(format!("Election Safety: {other} and {} lead term {term}", node.id));
                }
                broken.extend(self.incomplete(node, *term));
            }
        }
        for entry in &ready.committed_entries {
            let now = node.core.term();
            let applied = self.applied.entry(entry.id.index);
            let (first, term) = applied.or_insert_with(|| (entry.clone(), now));
            *term = now.min(*term);
            if first != entry {
                broken.push(format!(
                    "State Machine Safety: {} was applied, {} applies {}",
                    first.id, node.id, entry.id
                ));
            }
        }
        self.new_ones(broken)
    }

    /// Which entry, committed in an earlier term, the new leader of this term lacks.
    fn incomplete(&self, node: &Node, term: Term) -> Option<String> {
        let base = node.disk.0.borrow().machine.last.index;
        let earlier = self.applied.values().filter(|(_, seen)| *seen < term);
        let mut committed = earlier.map(|(e, _)| e.id).filter(|id| id.index > base);
        let lacking = committed.find(|id| node.core.term_at(id.index) != Some(id.term))?;
        Some(format!("Leader Completeness: {} leads without {lacking}", node.id))
    }

    /// Compares all logs. Returns what is broken.
    pub(crate) fn compare(&mut self, nodes: &[Node]) -> Vec<String> {
        let views: Vec<_> = nodes.iter().map(|n| (n.id, n.view())).collect();
        let mut broken = Vec::new();
        for (at, (one, log)) in views.iter().enumerate() {
            for (other, log_of_other) in &views[at + 1..] {
                if let Some(index) = mismatch(log, log_of_other) {
                    broken.push(format!("Log Matching: {one} and {other} differ at {index}"));
                }
            }
        }
        self.new_ones(broken)
    }

    fn new_ones(&mut self, mut broken: Vec<String>) -> Vec<String> {
        broken.retain(|law| self.told.insert(law.clone()));
        broken
    }
}

/// Where two logs differ before an entry that they share.
fn mismatch(one: &Platter, other: &Platter) -> Option<Index> {
    let first = one.base.index.max(other.base.index).next().0;
    let last = one.last().index.min(other.last().index).0;
    let entry = |log: &Platter, index: u64| {
        log.entries.get((index - log.base.index.0 - 1) as usize).cloned()
    };
    let mut shared = false;
    for index in (first..=last).rev() {
        let (here, there) = (entry(one, index), entry(other, index));
        if here.as_ref().map(|e| e.id) == there.as_ref().map(|e| e.id) {
            shared = true;
        }
        if shared && here != there {
            return Some(Index(index));
        }
    }
    None
}
