//! Where the effects of a shard's turn go: the log, the lanes, callers here and on other shards.

use std::time::Instant;

use raft_core::{Entry, GroupId, HardState, Index, LogId, Message, NodeId, SnapshotMeta};
use wal::Wal;

use crate::host::Host;
use crate::lanes::Lanes;
use crate::mesh::{Caller, Parcel, ReplyTo, Request, SendRefused};
use crate::metrics::ShardMetrics;
use crate::persist::Persisted;
use crate::request::{Outcome, RequestError};
use crate::shard::Outlet;
use crate::snapshots::transfers::Transfers;
use crate::snapshots::worker::Worker;
use crate::snapshots::{SnapshotJob, SnapshotTable};

/// What goes to another shard at the end of the turn.
#[derive(Default)]
pub(crate) struct Outgoing {
    pub(crate) requests: Vec<Request>,
    pub(crate) replies: Vec<(Caller, Outcome)>,
}

impl Outgoing {
    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.replies.is_empty()
    }
}

/// Where the effects of the shard's turn go.
pub(crate) struct HostOutlet<'a> {
    pub(crate) index: usize,
    pub(crate) wal: &'a mut Wal,
    pub(crate) lanes: &'a mut Lanes,
    pub(crate) outcomes: &'a mut Vec<(Caller, Outcome)>,
    pub(crate) outgoing: &'a mut [Outgoing],
    pub(crate) metrics: &'a ShardMetrics,
    pub(crate) worker: &'a Worker,
    pub(crate) transfers: &'a mut Transfers,
    pub(crate) snapshots: &'a SnapshotTable,
    pub(crate) now: Instant,
}

impl Outlet for HostOutlet<'_> {
    fn send(&mut self, to: NodeId, group: GroupId, message: &Message) {
        if let Message::InstallSnapshot(message) = message {
            // It travels with its content, and is made anew from that over there.
            self.transfers.begin(to, group, message, self.now);
        } else if !self.lanes.push(to, group, message) {
            self.metrics.messages_dropped.add(1);
        }
    }

    fn persist(
        &mut self,
        group: GroupId,
        restart: Option<LogId>,
        hard_state: Option<HardState>,
        entries: &[Entry],
    ) -> Persisted {
        let appended = match restart {
            Some(snapshot) => self.wal.restart(group, snapshot, hard_state, entries),
            None => self.wal.append(group, hard_state, entries),
        };
        match appended {
            Ok(mark) => Persisted::At(mark.0),
            Err(wal::AppendError::StorageFull { .. } | wal::AppendError::NoSegment { .. }) => {
                Persisted::Later
            }
            Err(error) => {
                tracing::error!(%group, %error, "the log refuses an append");
                Persisted::Failed
            }
        }
    }

    fn snapshot(&mut self, job: SnapshotJob) {
        if !self.worker.send(job) {
            tracing::error!("the snapshot thread has ended: no snapshot is taken or sent any more");
        }
    }

    fn keep_snapshot(&mut self, group: GroupId, meta: &SnapshotMeta) {
        self.snapshots.borrow_mut().insert(group, meta.clone());
    }

    fn compact(&mut self, group: GroupId, through: Index) {
        // It is a saving, not a promise: a log that has failed says so where it matters.
        if let Err(error) = self.wal.purge(group, through) {
            tracing::warn!(%group, %through, %error, "the log keeps what is wanted no more");
        }
    }

    fn reply(&mut self, to: ReplyTo, outcome: Outcome) {
        match to {
            ReplyTo::Client(reply) => reply.send(outcome),
            ReplyTo::Shard { shard, caller } if shard == self.index => {
                self.outcomes.push((caller, outcome));
            }
            ReplyTo::Shard { shard, caller } => {
                if let Some(outgoing) = self.outgoing.get_mut(shard) {
                    outgoing.replies.push((caller, outcome));
                }
            }
        }
    }
}

impl Host {
    /// Sends what goes to other shards. True if some could not be sent yet.
    pub(crate) fn flush_mesh(&mut self) -> bool {
        let mut kept = false;
        for (shard, outgoing) in self.work.outgoing.iter_mut().enumerate() {
            if !outgoing.replies.is_empty() {
                let parcel = Parcel::Replies(std::mem::take(&mut outgoing.replies));
                if let Err(SendRefused::Full(Parcel::Replies(replies))) =
                    self.mesh.send(shard, parcel)
                {
                    outgoing.replies = replies;
                    kept = true;
                }
            }
            if !outgoing.requests.is_empty() {
                let parcel = Parcel::Requests(std::mem::take(&mut outgoing.requests));
                match self.mesh.send(shard, parcel) {
                    Err(SendRefused::Full(Parcel::Requests(requests))) => {
                        outgoing.requests = requests;
                        kept = true;
                    }
                    Err(SendRefused::Ended(Parcel::Requests(requests))) => {
                        for request in requests {
                            if let ReplyTo::Shard { caller, .. } = request.reply_to {
                                self.work.outcomes.push((caller, Err(RequestError::Stopped)));
                            }
                        }
                        kept = true;
                    }
                    _ => {}
                }
            }
        }
        kept
    }
}
