//! What must come true once the faults end.

use raft_core::{ConfState, NodeId, Tick};

use super::cluster::Cluster;

impl Cluster {
    /// The weather clears: within a bounded time there is one leader, everything that was committed
    /// or accepted is settled, and all members are equal.
    pub(crate) fn recover(&mut self) {
        self.weather.clear();
        self.drops = 0;
        for n in 0..self.nodes.len() {
            if self.nodes[n].core.is_none() {
                self.start(n);
            }
        }
        for _ in 0..600 {
            for n in 0..self.nodes.len() {
                if let (0, Some(clock)) = (n, &mut self.common_clock) {
                    *clock += 1;
                }
                self.nodes[n].clock += 1;
                let now = Tick(self.nodes[n].clock);
                self.input(n, |core| core.handle_time(now));
                self.quiesce(n);
            }
            if self.is_settled() {
                let longest = self.nodes.iter().max_by_key(|n| n.machine.len());
                self.oracle.check_applied(&longest.expect("a node").machine);
                return assert_eq!(self.oracle.open_reads(), 0, "every read has an outcome");
            }
        }
        panic!("no progress: {:#?}", self.statuses());
    }

    fn quiesce(&mut self, n: usize) {
        loop {
            self.sync_count(n, self.disks[n].writes());
            self.apply(n);
            self.fetch(n);
            self.poll(n);
            let waiting = std::mem::take(&mut self.network);
            let idle = waiting.is_empty();
            for (from, to, message) in waiting {
                self.deliver(from, to, message);
                self.poll(to);
            }
            let core = self.nodes[n].core.as_ref().expect("it runs");
            if idle && self.disks[n].writes() == 0 && !core.has_ready() && !self.nodes[n].fetching {
                return;
            }
        }
    }

    fn is_settled(&self) -> bool {
        let cores = || self.nodes.iter().filter_map(|n| n.core.as_ref());
        let Some(leader) = cores().filter(|c| c.status().established).max_by_key(|c| c.term())
        else {
            return false;
        };
        let (last, conf) = (leader.status().last, leader.conf());
        let mut members = cores().filter(|c| conf.contains(c.config().id));
        members.all(|core| {
            let status = core.status();
            status.last == last
                && status.hard.commit == last.index
                && status.applied == last.index
                && status.durable == last.index
                && status.soft.leader == leader.leader()
                && status.hard.term == leader.term()
                && core.conf() == conf
        }) && !(conf.is_joint() && conf.auto_leave)
            && leader.status().transfer.is_none()
            && self.oracle.open_reads() == 0
            && self.oracle.open_proposals_of(&self.members_of(conf)) == 0
    }

    fn members_of(&self, conf: &ConfState) -> Vec<usize> {
        let member = |n: &usize| conf.contains(NodeId(*n as u64 + 1));
        (0..self.nodes.len()).filter(member).collect()
    }
}
