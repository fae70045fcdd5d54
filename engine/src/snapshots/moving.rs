//! Where snapshots meet the lanes and the worker of a host.

use std::time::Instant;

use net::{Answer, Bulk};
use raft_core::NodeId;

use super::transfers::Deed;
use super::{SnapshotJob, SnapshotNews};
use crate::host::Host;

impl Host {
    /// What became of work on snapshot files.
    pub(crate) fn snapshot_news(&mut self, news: SnapshotNews) {
        let now = self.work.now;
        match news {
            SnapshotNews::ToSend { to, group, index, file_bytes, offset, data } => {
                self.transfers.read(to, (group, index), file_bytes, offset, data, now);
            }
            SnapshotNews::Kept { from, group, last, next } => {
                // If the lane is gone the sender knows.
                self.lanes.push_bulk(from, &Bulk::Answer(Answer { group, last, next }));
            }
            news => self.with_shard(|shard, io| shard.snapshot_news(news, io)),
        }
    }

    /// What bulk frames of a node have brought.
    pub(crate) fn take_bulk(&mut self, from: NodeId) {
        while let Some(bulk) = self.lanes.next_bulk(from) {
            match bulk {
                Bulk::Answer(answer) => self.transfers.answered(from, &answer, self.work.now),
                Bulk::Piece(piece) => {
                    let group = piece.group;
                    if !self.shard.takes_from(group, from) {
                        self.metrics.peers_refused.add(1);
                        tracing::debug!(%group, %from, "a piece of a snapshot is refused");
                    } else if self.shard.is_over(group, piece.term) {
                        // Two who send at once would each undo what the other one did.
                        let last = piece.snapshot.last;
                        let answer = Bulk::Answer(Answer { group, last, next: None });
                        self.lanes.push_bulk(from, &answer);
                    } else if !self.worker.send(SnapshotJob::Keep { from, piece }) {
                        // The sender waits for the answer in vain and begins again.
                        tracing::warn!(%group, %from, "a piece of a snapshot is dropped");
                    }
                }
            }
        }
    }

    /// Moves the snapshots on that are on their way to others.
    pub(crate) fn move_snapshots(&mut self, now: Instant) {
        self.transfers.advance_to(now);
        for deed in self.transfers.take_deeds() {
            match deed {
                Deed::Job(job) => {
                    // What is not read now is given up when its time is over.
                    if !self.worker.send(job) {
                        tracing::error!("the snapshot thread has ended: nothing is sent");
                    }
                }
                Deed::Send(to, bulk) => {
                    if let Bulk::Piece(piece) = &bulk {
                        self.metrics.snapshot_bytes_sent.add(piece.data.len() as u64);
                    }
                    if !self.lanes.push_bulk(to, &bulk) {
                        self.transfers.lost(to);
                    }
                }
                Deed::Tell(group, to, status) => {
                    // A group that is not here any more needs no word.
                    let _ = self.shard.raft.snapshot_status(group, to, status);
                }
            }
        }
    }
}
