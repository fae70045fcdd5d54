//! What people and hosts do to a group while it runs: members come and go, leaders are asked to
//! hand over, logs are compacted, losses are reported.

use raft_core::{ConfChange, ConfStep, Index, Message, NodeId, SnapshotStatus, Transition};

use super::cluster::Cluster;

impl Cluster {
    /// Maybe does one such thing to a node.
    pub(super) fn administer(&mut self, n: usize) {
        if self.random.permille(self.changes) {
            self.change_members();
        }
        if self.random.permille(self.compactions) {
            self.compact(n);
        }
        if self.random.permille(5) {
            self.transfer();
        }
        if self.random.permille(3) {
            let to = NodeId(1 + self.random.below(self.size()) as u64);
            self.input(n, |core| core.handle_unreachable(to));
        }
    }

    fn change_members(&mut self) {
        let Some(leader) = self.leader() else {
            return;
        };
        // What is committed so far was committed by the members so far.
        self.poll(leader);
        if let Some(core) = &self.nodes[leader].core {
            self.oracle.observe(leader, core, &self.disks);
        }
        let change = self.random_change(leader);
        let mut accepted = None;
        self.input(leader, |core| {
            let before = core.status();
            match core.handle_conf_change(&change) {
                Ok(id) => {
                    assert!(before.established && before.transfer.is_none(), "not yet, or no more");
                    accepted = Some(id);
                }
                Err(_) => assert_eq!(core.status(), before, "a refusal changes nothing"),
            }
        });
        if let Some(id) = accepted {
            self.changed += 1;
            self.oracle.proposed(leader, id);
        }
    }

    fn random_change(&mut self, leader: usize) -> ConfChange {
        let joint = self.nodes[leader].core.as_ref().is_some_and(|c| c.conf().is_joint());
        if joint && self.random.permille(800) {
            return ConfChange::Leave;
        }
        let transition = match self.random.below(3) {
            0 => Transition::Auto,
            1 => Transition::JointAuto,
            _ => Transition::JointExplicit,
        };
        let count = 1 + self.random.below(3);
        let mut step = || {
            let node = NodeId(1 + self.random.below(self.size()) as u64);
            match self.random.below(5) {
                0 | 1 => ConfStep::AddVoter(node),
                2 => ConfStep::AddLearner(node),
                _ => ConfStep::Remove(node),
            }
        };
        ConfChange::Steps { steps: (0..count).map(|_| step()).collect(), transition }
    }

    fn transfer(&mut self) {
        let to = NodeId(1 + self.random.below(self.size()) as u64);
        let Some(leader) = self.leader() else {
            return;
        };
        let mut accepted = false;
        self.input(leader, |core| accepted = core.handle_transfer(to).is_ok());
        self.transfers += u64::from(accepted);
    }

    /// Takes a snapshot somewhere below what is applied, and drops the log up to somewhere below
    /// that. The core is not always told at once.
    fn compact(&mut self, n: usize) {
        let Some(core) = &self.nodes[n].core else {
            return;
        };
        let newest = self.disks[n].platter.borrow().snapshot.last.index.0;
        let applied = core.status().applied.0;
        if applied <= newest {
            return;
        }
        let index = Index(newest + 1 + self.random.below((applied - newest) as usize) as u64);
        let Some(conf) = core.conf_at(index).cloned() else {
            return;
        };
        let base = self.disks[n].platter.borrow().base.index.0;
        let base = Index(base + self.random.below((index.0 - base) as usize + 1) as u64);
        self.disks[n].compact(index, base);
        let taken = self.disks[n].platter.borrow().snapshot.conf.clone();
        assert_eq!(conf, taken, "a snapshot carries the configuration of its index");
        if self.random.permille(700) {
            self.input(n, |core| core.handle_compacted(base));
        }
    }

    /// A host may notice that something did not arrive.
    pub(super) fn tell_of_loss(&mut self, from: usize, to: usize, message: &Message) {
        let to = NodeId(to as u64 + 1);
        if matches!(message, Message::InstallSnapshot(_)) {
            let status = match self.random.below(3) {
                0 => SnapshotStatus::Moving,
                1 => SnapshotStatus::Failed,
                _ => return,
            };
            self.input(from, |core| core.handle_snapshot_status(to, status));
        } else if self.random.permille(20) {
            self.input(from, |core| core.handle_unreachable(to));
        }
    }
}
