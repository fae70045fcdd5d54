//! What goes into one group: each input finds its replica and brings it to the present.

use raft_core::{
    Applied, Bytes, ConfChange, GroupId, Index, LogId, Message, NodeId, RaftCore, ReadId,
    SnapshotStatus, Storage, Tick,
};

use crate::error::{
    ConfChangeError, ProposeError, ReadError, StepError, TransferError, UnknownGroup, Untouched,
};
use crate::multi::MultiRaft;

impl<S: Storage> MultiRaft<S> {
    /// Takes a message for a group.
    ///
    /// # Errors
    /// State unchanged; see [`StepError`].
    pub fn step(
        &mut self,
        group: GroupId,
        from: NodeId,
        message: Message,
    ) -> Result<(), StepError> {
        self.touch(group, |core| core.handle_message(from, message))?.map_err(StepError::Refused)
    }

    /// Proposes a command to a group led here.
    ///
    /// # Errors
    /// Certainly not applied; see [`ProposeError`].
    pub fn propose(&mut self, group: GroupId, data: Bytes) -> Result<LogId, ProposeError> {
        self.touch(group, |core| core.handle_proposal(data))?.map_err(ProposeError::Refused)
    }

    /// Asks a group led here for a linearizable read.
    ///
    /// # Errors
    /// Nothing was read; see [`ReadError`].
    pub fn read_index(&mut self, group: GroupId, id: ReadId) -> Result<(), ReadError> {
        self.touch(group, |core| core.handle_read(id))?.map_err(ReadError::Refused)
    }

    /// Changes the members of a group led here.
    ///
    /// # Errors
    /// The log is untouched; see [`ConfChangeError`].
    pub fn propose_conf_change(
        &mut self,
        group: GroupId,
        change: &ConfChange,
    ) -> Result<LogId, ConfChangeError> {
        self.touch(group, |core| core.handle_conf_change(change))?.map_err(ConfChangeError::Refused)
    }

    /// Hands the leadership of a group led here over to another voter.
    ///
    /// # Errors
    /// State unchanged; see [`TransferError`].
    pub fn transfer_leader(&mut self, group: GroupId, to: NodeId) -> Result<(), TransferError> {
        self.touch(group, |core| core.handle_transfer(to))?.map_err(TransferError::Refused)
    }

    /// Starts an election in a group.
    ///
    /// # Errors
    /// The group has no replica here.
    pub fn campaign(&mut self, group: GroupId) -> Result<(), UnknownGroup> {
        self.tell(group, RaftCore::handle_campaign)
    }

    /// Sets the time of the next election in a group, should no leader be heard until then. A time
    /// that has come already means the next tick.
    ///
    /// # Errors
    /// The group has no replica here.
    pub fn campaign_at(&mut self, group: GroupId, at: Tick) -> Result<(), UnknownGroup> {
        // Deadlines lie ahead: nothing would fire one that time has reached already.
        let at = at.max(Tick(self.now().0 + 1));
        self.tell(group, |core| core.handle_campaign_at(at))
    }

    /// A group's state machine has applied everything up to this index.
    ///
    /// # Errors
    /// The group has no replica here.
    pub fn applied(&mut self, group: GroupId, applied: Applied) -> Result<(), UnknownGroup> {
        self.tell(group, |core| core.handle_applied(applied))
    }

    /// What a group's storage had to fetch ([`raft_core::Event::Fetch`]) is there.
    ///
    /// # Errors
    /// The group has no replica here.
    pub fn fetched(&mut self, group: GroupId) -> Result<(), UnknownGroup> {
        self.tell(group, RaftCore::handle_fetched)
    }

    /// A group's storage has dropped the entries up to this index: they are applied, and in a
    /// snapshot.
    ///
    /// # Errors
    /// The group has no replica here.
    pub fn compacted(&mut self, group: GroupId, through: Index) -> Result<(), UnknownGroup> {
        self.tell(group, |core| core.handle_compacted(through))
    }

    /// How the snapshot of a group for this member is doing.
    ///
    /// # Errors
    /// The group has no replica here.
    pub fn snapshot_status(
        &mut self,
        group: GroupId,
        to: NodeId,
        status: SnapshotStatus,
    ) -> Result<(), UnknownGroup> {
        self.tell(group, |core| core.handle_snapshot_status(to, status))
    }

    /// What a group sent to this member lately is probably lost, as when a connection breaks.
    ///
    /// # Errors
    /// The group has no replica here.
    pub fn unreachable(&mut self, group: GroupId, to: NodeId) -> Result<(), UnknownGroup> {
        self.tell(group, |core| core.handle_unreachable(to))
    }

    /// Gives a group an input that a replica never refuses; one that has stopped ignores it.
    fn tell(
        &mut self,
        group: GroupId,
        input: impl FnOnce(&mut RaftCore<S>),
    ) -> Result<(), UnknownGroup> {
        match self.touch(group, input) {
            Ok(()) | Err(Untouched::Stopped) => Ok(()),
            Err(Untouched::Unknown) => Err(UnknownGroup),
        }
    }
}
