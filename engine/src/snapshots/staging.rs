//! Installing snapshots: a state machine of its own is built aside, and takes the place of the old
//! one when the core says so. All of it or nothing.

use raft_core::{GroupId, Index, InstallSnapshot, Message, SnapshotMeta, Storage};

use super::{Arrived, SnapshotJob, SnapshotNews};
use crate::shard::{Outlet, Shard};
use crate::state_machine::StateMachine;

/// A state machine being built from a snapshot that arrived.
pub(super) struct Staging {
    arrived: Arrived,
    machine: Box<dyn StateMachine>,
    /// It has all pieces, and the core was told.
    whole: bool,
}

impl Staging {
    /// Whether it waits for a piece of this snapshot; news may come late, of one given up.
    fn waits_for(&self, group: GroupId, index: Index) -> bool {
        let Arrived { group: own, meta, .. } = &self.arrived;
        !self.whole && (*own, meta.last.index) == (group, index)
    }
}

impl<S: Storage> Shard<S> {
    /// What became of work on files.
    pub(crate) fn snapshot_news(&mut self, news: SnapshotNews, io: &mut impl Outlet) {
        match news {
            SnapshotNews::Wrote => self.snapshot_wrote(),
            SnapshotNews::Taken { group, meta } => self.snapshot_taken(group, &meta, io),
            SnapshotNews::NotTaken { group, index } => self.snapshot_not_taken(group, index),
            SnapshotNews::Loaded { group, index, piece } => {
                let staging = self.snapshots.staging.as_mut();
                let Some(staging) = staging.filter(|s| s.waits_for(group, index)) else {
                    return;
                };
                match piece {
                    Some(piece) => match staging.machine.restore_piece(&piece) {
                        Ok(()) => io.snapshot(SnapshotJob::Load { group, index, first: false }),
                        Err(error) => {
                            tracing::error!(%group, %index, %error, "a snapshot is of no use");
                            self.unstage(io);
                        }
                    },
                    None => self.staged(),
                }
            }
            SnapshotNews::NotLoaded { group, index } => {
                if self.snapshots.staging.as_ref().is_some_and(|s| s.waits_for(group, index)) {
                    self.unstage(io);
                }
            }
            SnapshotNews::Arrived(arrived) => {
                self.snapshots.arrived.push_back(arrived);
                self.stage_next(io);
            }
            // The host's own business.
            SnapshotNews::ToSend { .. } | SnapshotNews::Kept { .. } => {}
        }
    }

    /// Begins to build the state machine of the next snapshot that arrived.
    fn stage_next(&mut self, io: &mut impl Outlet) {
        while self.snapshots.staging.is_none() {
            let Some(arrived) = self.snapshots.arrived.pop_front() else {
                return;
            };
            let (group, index) = (arrived.group, arrived.meta.last.index);
            let Some(replica) = self.replica(group).filter(|r| !r.stopped) else {
                continue;
            };
            if index <= replica.applied.index {
                // Nothing to install, but the leader waits for the answer.
                self.tell(&arrived);
            } else if let Some(machines) = &self.snapshots.machines {
                let machine = machines(group);
                self.snapshots.staging = Some(Staging { arrived, machine, whole: false });
                io.snapshot(SnapshotJob::Load { group, index, first: true });
            }
        }
    }

    /// The state machine has all pieces: the core decides whether it is still wanted.
    fn staged(&mut self) {
        if let Some(mut staging) = self.snapshots.staging.take() {
            staging.whole = true;
            self.tell(&staging.arrived);
            self.snapshots.staging = Some(staging);
        }
    }

    fn tell(&mut self, arrived: &Arrived) {
        let Arrived { from, term, group, meta } = arrived;
        let message = InstallSnapshot { term: *term, snapshot: Box::new(meta.clone()) };
        if let Err(error) = self.raft.step(*group, *from, Message::InstallSnapshot(message)) {
            tracing::debug!(%group, %from, %error, "a snapshot is refused");
        }
    }

    /// Lets go of what is being built and goes on with the next.
    fn unstage(&mut self, io: &mut impl Outlet) {
        self.snapshots.staging = None;
        self.stage_next(io);
    }

    /// The end of a turn: a state machine that the core did not want is of no use any more, and the
    /// next can be built.
    pub(crate) fn drop_unwanted(&mut self, io: &mut impl Outlet) {
        self.snapshots.staging.take_if(|staging| staging.whole);
        self.stage_next(io);
    }

    /// Puts a snapshot in place of a group's state and log, as the core wants. False if there is no
    /// state machine of it here: then the replica must stop.
    pub(crate) fn install_snapshot(
        &mut self,
        group: GroupId,
        meta: &SnapshotMeta,
        io: &mut impl Outlet,
    ) -> bool {
        let fits = |s: &mut Staging| {
            s.whole && s.arrived.group == group && s.arrived.meta.last == meta.last
        };
        let staged = self.snapshots.staging.take_if(fits);
        let Some(replica) = self.replica(group) else {
            return false;
        };
        match staged {
            Some(staging) => replica.machine = staging.machine,
            // The state machine was made of this very snapshot at the start, and only the log is
            // still the old one.
            None if replica.applied == meta.last => {}
            None => return false,
        }
        replica.applied = meta.last;
        replica.snapshot = meta.last.index;
        replica.log_bytes = 0;
        self.metrics.snapshots_installed.add(1);
        tracing::info!(%group, last = %meta.last, "a snapshot is installed");
        self.abort_snapshot(group, io);
        io.keep_snapshot(group, meta);
        true
    }
}
