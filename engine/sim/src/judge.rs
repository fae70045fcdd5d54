//! The end of a run: everybody serves, everybody agrees, every history is one a single copy could
//! have had.

use raft_core::Role;

use crate::NANOS_PER_MS;
use crate::cluster::Cluster;
use crate::linearizability::{Verdict, check};
use crate::mishaps::RECOVERY_MS;
use crate::workload::Operation;

/// How far the search goes for one key.
const PLACES_MAX: usize = 100_000;

impl Cluster {
    pub(crate) fn judge(&mut self) {
        let mut broken = Vec::new();
        let due = self.healed.unwrap_or_default() + RECOVERY_MS * NANOS_PER_MS;
        for group in self.groups().filter(|g| g.0 <= self.plan.keys) {
            if self.served.get(&group).is_none_or(|at| *at < due) {
                broken.push(format!("Recovery: group {group} serves nobody after the faults"));
            }
        }
        broken.extend(self.disagreements());
        for node in &self.nodes {
            let open = node.host.as_ref().and_then(|h| h.asked.keys().next());
            if let Some(ticket) = open {
                broken.push(format!(
                    "One Answer: request {ticket} at node {} was never answered",
                    node.place + 1
                ));
            }
        }
        for (key, history) in &self.history {
            match check(history, PLACES_MAX) {
                Verdict::Linearizable => {}
                Verdict::Undecided => self.undecided += 1,
                Verdict::Violation => broken.push(told(key, history)),
            }
        }
        broken.into_iter().for_each(|what| self.fail(what));
        self.end();
    }

    /// Groups whose replicas are not equal, or that nobody leads.
    fn disagreements(&mut self) -> Vec<String> {
        let mut broken = Vec::new();
        for group in self.groups() {
            let mut states = Vec::new();
            let mut leaders = 0;
            for node in &mut self.nodes {
                let Some(host) = &mut node.host else {
                    broken.push(format!("Recovery: node {} does not run", node.place + 1));
                    continue;
                };
                let Some(replica) = host.shard.raft().replica(group) else { continue };
                leaders += u32::from(replica.role() == Role::Leader);
                let applied = replica.status().applied;
                let digest = host.shard.machine(group).map(|machine| machine.digest());
                states.push((applied, digest));
            }
            if leaders != 1 {
                broken.push(format!("Recovery: group {group} has {leaders} leaders"));
            }
            if states.windows(2).any(|pair| pair[0] != pair[1]) {
                broken.push(format!("Equal States: group {group} ends as {states:?}"));
            }
        }
        broken
    }
}

/// A history that no single copy could have had, for people.
fn told(key: &str, history: &[Operation]) -> String {
    let mut text = format!("Linearizability: no order of these explains key {key}:");
    let mut history: Vec<&Operation> = history.iter().collect();
    history.sort_by_key(|operation| operation.started);
    for operation in history {
        let started = operation.started / 1000;
        let (ended, said) = match &operation.answer {
            Some((at, said)) => ((at / 1000).to_string(), format!("{said:?}")),
            None => ("?".to_owned(), "unknown".to_owned()),
        };
        let (client, deed) = (operation.client, &operation.action.deed);
        text += &format!("\n  {started:>10}..{ended:>10} us client {client}: {deed:?} -> {said}");
    }
    text
}
