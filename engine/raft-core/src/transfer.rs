//! Handing leadership over (thesis 3.10).

use crate::error::TransferError;
use crate::event::Event;
use crate::ids::NodeId;
use crate::message::{Message, TimeoutNow};
use crate::raft::RaftCore;
use crate::state::Role;
use crate::storage::Storage;
use crate::timer::Timer;

/// A handing over that is going on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    to: NodeId,
    /// The successor has everything and was asked to campaign.
    asked: bool,
}

impl<S: Storage> RaftCore<S> {
    /// Hands leadership over to another voter: no new proposals, the successor gets what it lacks,
    /// and campaigns at once. After an election timeout without success this replica goes on
    /// leading ([`Event::TransferAborted`]). A second call replaces the first.
    ///
    /// # Errors
    /// State unchanged; see [`TransferError`].
    pub fn handle_transfer(&mut self, to: NodeId) -> Result<(), TransferError> {
        if self.stopped {
            return Err(TransferError::Stopped);
        }
        if self.role != Role::Leader {
            return Err(TransferError::NotLeader { leader: self.leader });
        }
        if !self.members.has_voter(to) || to == self.config.id {
            return Err(TransferError::NotAVoter(to));
        }
        if self.lead.transfer_to() != Some(to) {
            self.abort_transfer();
            self.lead.transfer = Some(Transfer { to, asked: false });
            let timeout = self.config.election_timeout_ticks;
            self.timers.set(Timer::Transfer, self.timers.after(timeout));
            self.lead.sends_due = true;
            self.hand_over();
        }
        self.settle();
        Ok(())
    }

    /// Asks the successor to campaign once it has the whole log: then nobody can refuse it.
    pub(crate) fn hand_over(&mut self) {
        let Some(Transfer { to, asked: false }) = self.lead.transfer else {
            return;
        };
        let matched = self.progress_of(to).map(|p| p.matched);
        if matched == Some(self.log.last_index()) {
            self.lead.transfer = Some(Transfer { to, asked: true });
            // From here on another may be elected at any time while this replica knows nothing of
            // it: the request may be late, so the lease never comes back in this term.
            self.lead.lease.void();
            self.outbox.push((to, Message::TimeoutNow(TimeoutNow { term: self.term })));
        }
    }

    pub(crate) fn abort_transfer(&mut self) {
        if let Some(Transfer { to, .. }) = self.lead.transfer.take() {
            self.timers.stop(Timer::Transfer);
            self.events.push(Event::TransferAborted { to });
        }
    }

    /// A successor that the newest configuration does not count cannot be elected.
    pub(crate) fn keep_transfer_to_voters(&mut self) {
        if self.lead.transfer_to().is_some_and(|to| !self.members.has_voter(to)) {
            self.abort_transfer();
        }
    }

    /// The leader wants this replica to lead: no pre-vote, and no waiting. The voters are told, or
    /// they would refuse while they hear the leader.
    pub(crate) fn on_timeout_now(&mut self, from: NodeId) {
        if !self.follow(from) || !self.may_campaign() {
            return;
        }
        self.leader = None;
        self.reset_election_timer();
        self.ask_votes(true);
    }
}

impl crate::leader::Leadership {
    /// To whom leadership is being handed over.
    pub(crate) fn transfer_to(&self) -> Option<NodeId> {
        self.transfer.map(|t| t.to)
    }
}
