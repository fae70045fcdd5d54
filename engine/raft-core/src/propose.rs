//! Commands into the log of a leader.

use bytes::Bytes;

use crate::entry::{Entry, EntryKind};
use crate::error::ProposeError;
use crate::ids::LogId;
use crate::raft::RaftCore;
use crate::state::Role;
use crate::storage::Storage;

/// What became of commands that were proposed together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "commands may have been refused"]
pub struct Proposals {
    /// The first that was taken, if any was; the others follow it in the log.
    pub first: Option<LogId>,
    /// How many were taken.
    pub taken: usize,
    /// The one that was refused, and why: it is certainly in no log, and neither is any after it.
    pub refused: Option<(Bytes, ProposeError)>,
}

impl<S: Storage> RaftCore<S> {
    /// Appends a command to the log of this leader. It is committed later, or
    /// [`crate::Event::Lost`].
    ///
    /// # Errors
    /// The command is certainly in no log; see [`ProposeError`].
    pub fn handle_proposal(&mut self, data: Bytes) -> Result<LogId, ProposeError> {
        if let Some(error) = self.refusal().or_else(|| self.refusal_of(data.len())) {
            return Err(error);
        }
        let id = self.append_command(data);
        #[cfg(debug_assertions)]
        self.check_laws();
        Ok(id)
    }

    /// [`RaftCore::handle_proposal`] for one command after the other, until one is refused. Those
    /// behind it stay in the iterator: pass `&mut commands` to keep them.
    pub fn handle_proposals(&mut self, commands: impl IntoIterator<Item = Bytes>) -> Proposals {
        let before = self.log.last_index();
        let mut refused = None;
        if let Some(error) = self.refusal() {
            refused = commands.into_iter().next().map(|data| (data, error));
        } else {
            for data in commands {
                if let Some(error) = self.refusal_of(data.len()) {
                    refused = Some((data, error));
                    break;
                }
                self.append_command(data);
            }
        }
        #[cfg(debug_assertions)]
        self.check_laws();
        let taken = (self.log.last_index().0 - before.0) as usize;
        let first = (taken > 0).then(|| LogId::new(self.term, before.next()));
        Proposals { first, taken, refused }
    }

    #[inline(always)]
    fn append_command(&mut self, data: Bytes) -> LogId {
        let id = self.append_own(EntryKind::Normal, data);
        self.proposed.note(id);
        id
    }

    /// Why no command can be taken now, if none can.
    #[inline]
    fn refusal(&self) -> Option<ProposeError> {
        if self.role != Role::Leader {
            let error = ProposeError::NotLeader { leader: self.leader };
            return Some(if self.stopped { ProposeError::Stopped } else { error });
        }
        self.lead.transfer_to().map(|to| ProposeError::Transferring { to })
    }

    /// Why this leader cannot take a command of so many bytes now, if it cannot.
    #[inline(always)]
    fn refusal_of(&self, bytes: usize) -> Option<ProposeError> {
        let config = &self.config;
        if bytes > config.entry_bytes_max {
            return Some(ProposeError::TooLarge);
        }
        let uncommitted = self.lead.uncommitted_bytes;
        let full = uncommitted > 0 && uncommitted + bytes > config.uncommitted_bytes_max;
        // A quorum of others commits without the own disk, and without the own state machine: the
        // entries these have not seen to stay in memory.
        let behind = self.log.held_bytes() > self.backlog_bytes_max;
        (full || behind).then_some(ProposeError::Busy)
    }

    /// Appends an entry of the own term to the own log.
    #[inline(always)]
    pub(crate) fn append_own(&mut self, kind: EntryKind, data: Bytes) -> LogId {
        let id = LogId::new(self.term, self.log.last_index().next());
        self.lead.uncommitted_bytes += data.len();
        self.log.append(Entry { id, kind, data });
        self.lead.sends_due = true;
        id
    }
}
