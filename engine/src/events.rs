//! What the cores have to say becomes log lines, counters, leader hints and decisions.

use multi_raft::MultiReady;
use raft_core::{Event, GroupId, Index, LogId, NodeId, Role, Storage, Term, Tick};

use crate::shard::{Outlet, Shard};

impl<S: Storage> Shard<S> {
    /// Looks at everything that happened since the last poll.
    pub(crate) fn observe(&mut self, ready: &mut MultiReady, io: &mut impl Outlet) {
        for (group, event) in ready.events.drain(..) {
            match event {
                Event::Changed { role, term, leader } => {
                    self.changed(group, role, term, leader, io)
                }
                Event::Established { term } => {
                    tracing::debug!(%group, %term, "leader is established");
                }
                Event::Fault(fault) => {
                    tracing::error!(%group, ?fault, "the replica stops: it cannot be trusted");
                    self.stop_replica(group, io);
                }
                // Cut off here is not lost for good: the fate of a write is decided at its place in
                // the log.
                Event::Lost { .. } => {}
                Event::Uncertain { id } => self.lose_track(group, id, io),
                Event::ConfChanged { index } => {
                    tracing::warn!(
                        %group, %index,
                        "the members of the group change, which this version does not follow: \
                         nodes that were no replicas at the start are refused"
                    );
                }
                Event::TransferAborted { to } => {
                    tracing::info!(%group, %to, "leads on: the other node did not take over");
                }
                Event::Fetch { from, to } => self.fetch(group, from, to),
            }
        }
    }

    /// The log is read at once and needs no fetching: should it ask for it, the core just tries
    /// again.
    fn fetch(&mut self, group: GroupId, from: Index, to: Index) {
        tracing::debug!(%group, %from, %to, "entries are read again");
        if self.raft.fetched(group).is_err() {
            tracing::error!(%group, "entries are wanted for a group that is not here");
        }
    }

    fn changed(
        &mut self,
        group: GroupId,
        role: Role,
        term: Term,
        leader: Option<NodeId>,
        io: &mut impl Outlet,
    ) {
        let fate_at = Tick(self.now.0 + self.limits.fate_wait_ticks);
        let last = self.raft.status(group).map(|status| status.last);
        let Some(replica) = self.replica(group).filter(|r| !r.stopped) else { return };
        let led = replica.leading;
        replica.leading = role == Role::Leader;
        replica.leader = leader;
        let leading = replica.leading;
        if leading {
            // Nothing was proposed yet: what is in the log is older than any read to come.
            replica.newest = LogId::new(term, last.unwrap_or_default().index);
        }
        let newest_write = replica.writes.iter().map(|w| w.id.term).max();
        if led && !leading {
            self.fates.extend(newest_write.map(|newest| (fate_at, group, newest)));
            self.reroute_confirmed(group, io);
        }
        self.view.note_leader(group, leader);
        self.count_led(led, leading);
        if leading && !led {
            self.metrics.elections_won.add(1);
            tracing::info!(%group, %term, "leads");
        }
        if leading || leader.is_some_and(|l| l != self.node) {
            self.unpark(group, io);
        }
    }
}
