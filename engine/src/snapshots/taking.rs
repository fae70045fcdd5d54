//! Taking snapshots: when one is due, and piece by piece out of the state machine.

use raft_core::{GroupId, Index, LogId, PeerState, RaftCore, SnapshotMeta, Storage};

use super::{PIECE_BYTES, SnapshotJob};
use crate::shard::{Outlet, Shard};

/// Pieces on their way to the file at most.
const PIECES_MAX: u32 = 2;

/// A snapshot being taken.
pub(super) struct Taking {
    group: GroupId,
    /// Its last index.
    index: Index,
    /// Pieces on their way to the file.
    pieces: u32,
    /// The state machine has given all.
    over: bool,
}

impl<S: Storage> Shard<S> {
    /// A group has applied its log up to this entry, so many more bytes of it.
    pub(crate) fn note_applied(&mut self, group: GroupId, last: LogId, bytes: u64) {
        let log_bytes_max = self.snapshots.log_bytes_max;
        if let Some(replica) = self.replica(group) {
            replica.applied = last;
            let before = replica.log_bytes;
            replica.log_bytes = before.saturating_add(bytes);
            if before < log_bytes_max && replica.log_bytes >= log_bytes_max {
                self.snapshots.due.push_back(group);
            }
        }
    }

    /// Goes on with the snapshot being taken, or begins one that is due. One at a time: a shard has
    /// one disk. True if there is more to be done at once.
    pub(crate) fn take_snapshots(&mut self, io: &mut impl Outlet) -> bool {
        while self.snapshots.taking.is_none() {
            let Some(group) = self.snapshots.due.pop_front() else {
                return false;
            };
            self.begin_snapshot(group, io);
        }
        let Some(taking) = &mut self.snapshots.taking else {
            return false;
        };
        if taking.over || taking.pieces >= PIECES_MAX {
            return false;
        }
        taking.pieces += 1;
        let group = taking.group;
        let Some(replica) = self.replica(group).filter(|r| !r.stopped) else {
            self.abort_snapshot(group, io);
            return false;
        };
        let mut piece = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 8);
        let more = replica.machine.snapshot_piece(PIECE_BYTES, &mut piece);
        io.snapshot(SnapshotJob::Piece(piece));
        if let Some(taking) = self.snapshots.taking.as_mut().filter(|_| !more) {
            taking.over = true;
            io.snapshot(SnapshotJob::End);
        }
        more
    }

    fn begin_snapshot(&mut self, group: GroupId, io: &mut impl Outlet) {
        let Some(replica) = self.replica(group).filter(|r| !r.stopped) else {
            return;
        };
        let last = replica.applied;
        if last.index <= replica.snapshot {
            return;
        }
        // From here on the log grows anew: what is counted goes into the next one.
        replica.log_bytes = 0;
        if !replica.machine.begin_snapshot() {
            replica.log_bytes = u64::MAX;
            return;
        }
        let core = self.raft.replica(group);
        let Some(conf) = core.and_then(|core| core.conf_at(last.index)).cloned() else {
            tracing::error!(%group, %last, "the members at an applied entry are not known");
            return;
        };
        tracing::debug!(%group, %last, "a snapshot is taken");
        io.snapshot(SnapshotJob::Begin { group, meta: SnapshotMeta { last, conf } });
        self.snapshots.taking = Some(Taking { group, index: last.index, pieces: 0, over: false });
    }

    /// Gives up the snapshot being taken, if it is this group's.
    pub(crate) fn abort_snapshot(&mut self, group: GroupId, io: &mut impl Outlet) {
        if self.snapshots.taking.take_if(|taking| taking.group == group).is_some() {
            io.snapshot(SnapshotJob::Abort);
        }
    }

    /// Whether this is the snapshot being taken, which is over now. News of one that was given up
    /// may still come: another snapshot took its place, and another may be in the works.
    fn ends_taking(&mut self, group: GroupId, index: Index) -> bool {
        let ends = |taking: &mut Taking| (taking.group, taking.index) == (group, index);
        self.snapshots.taking.take_if(ends).is_some()
    }

    /// A piece is in the file.
    pub(super) fn snapshot_wrote(&mut self) {
        if let Some(taking) = &mut self.snapshots.taking {
            taking.pieces = taking.pieces.saturating_sub(1);
        }
    }

    /// The snapshot is durable: the log need go back no further than to the one before it. So the
    /// newest may turn out to be damaged, and a follower that is only a little behind needs none.
    pub(super) fn snapshot_taken(
        &mut self,
        group: GroupId,
        meta: &SnapshotMeta,
        io: &mut impl Outlet,
    ) {
        if !self.ends_taking(group, meta.last.index) {
            return;
        }
        self.metrics.snapshots_taken.add(1);
        let Some(replica) = self.replica(group).filter(|r| !r.stopped) else {
            return;
        };
        let older = replica.snapshot;
        replica.snapshot = meta.last.index;
        let through = self.needed_by_nobody(group, older);
        io.keep_snapshot(group, meta);
        tracing::debug!(%group, last = %meta.last, %through, "a snapshot is durable");
        if through > Index(0) {
            io.compact(group, through);
            // The group was just found here; it cannot be unknown.
            let _ = self.raft.compacted(group, through);
        }
    }

    /// The last index up to which nobody needs the log, and not beyond `older`. Who is being sent a
    /// snapshot goes on behind it: without those entries it would need the next one, and then the
    /// next. The core bounds how long: it gives up on a snapshot that takes too long.
    fn needed_by_nobody(&self, group: GroupId, older: Index) -> Index {
        let peers = self.raft.replica(group).into_iter().flat_map(RaftCore::peers);
        let sent = peers.filter(|peer| peer.state == PeerState::Snapshot);
        sent.map(|peer| peer.next.prev()).fold(older, Index::min)
    }

    /// The snapshot could not be written; another is tried when the log has grown as much again.
    pub(super) fn snapshot_not_taken(&mut self, group: GroupId, index: Index) {
        if self.ends_taking(group, index) {
            tracing::warn!(%group, "no snapshot could be written: the log goes on growing");
        }
    }
}
