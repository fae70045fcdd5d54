//! Linearizable reads without log entries (thesis 6.4).

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::ids::Index;
use crate::raft::RaftCore;
use crate::ready::{ReadId, ReadOutcome};
use crate::storage::Storage;

/// How many reads wait at most: while no quorum answers, callers go on asking.
const READS_MAX: usize = 1 << 16;

/// Reads that were asked together. The number of the round is the leader's own; what the caller
/// calls a read never travels.
#[derive(Clone, Copy, Debug)]
struct Round {
    number: u64,
    index: Index,
    reads: usize,
}

/// The reads of one leader, in the order in which they were asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    /// Not yet part of a round.
    waiting: Vec<ReadId>,
    /// Rounds not yet confirmed, and their reads in the same order.
    rounds: VecDeque<Round>,
    asked: VecDeque<ReadId>,
    /// Confirmed; each waits until its index is applied.
    confirmed: VecDeque<(Index, ReadId)>,
    failed: Vec<ReadId>,
}

impl Reads {
    pub(crate) fn ask(&mut self, id: ReadId) {
        self.waiting.push(id);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() + self.asked.len() + self.confirmed.len() >= READS_MAX
    }

    #[inline]
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether something can be delivered when `applied` is.
    #[inline]
    pub(crate) fn has_outcome(&self, applied: Index) -> bool {
        !self.failed.is_empty() || self.confirmed.front().is_some_and(|(i, _)| *i <= applied)
    }

    fn start_round(&mut self, number: u64, index: Index) {
        self.rounds.push_back(Round { number, index, reads: self.waiting.len() });
        self.asked.extend(self.waiting.drain(..));
    }

    /// A quorum has confirmed every round up to `number`.
    fn confirm(&mut self, number: u64) {
        while let Some(round) = self.rounds.front().copied().filter(|r| r.number <= number) {
            let reads = self.asked.drain(..round.reads);
            self.confirmed.extend(reads.map(|id| (round.index, id)));
            self.rounds.pop_front();
        }
    }

    /// Leadership is lost: what was not confirmed before never will be. What was is still good.
    pub(crate) fn fail_unconfirmed(&mut self) {
        self.rounds.clear();
        self.failed.extend(self.asked.drain(..));
        self.failed.append(&mut self.waiting);
    }

    /// The replica has stopped: nothing will be applied any more.
    pub(crate) fn fail_all(&mut self) {
        self.failed.extend(self.confirmed.drain(..).map(|(_, id)| id));
        self.fail_unconfirmed();
    }

    /// Hands out reads whose index is applied, and those that failed.
    pub(crate) fn deliver(&mut self, applied: Index, out: &mut Vec<(ReadId, ReadOutcome)>) {
        while let Some((index, id)) = self.confirmed.front().copied().filter(|r| r.0 <= applied) {
            out.push((id, ReadOutcome::Ready { index }));
            self.confirmed.pop_front();
        }
        out.extend(self.failed.drain(..).map(|id| (id, ReadOutcome::Lost)));
    }
}

impl<S: Storage> RaftCore<S> {
    /// Begins one round for all reads that wait, however many. Before an entry of the own term is
    /// committed the commit index may be behind what clients have seen: then they go on waiting.
    pub(crate) fn start_read_round(&mut self) {
        if !self.reads.is_waiting() || !self.is_established() {
            return;
        }
        self.lead.round += 1;
        self.reads.start_round(self.lead.round, self.log.commit);
        if self.lease_until().is_some() {
            return self.reads.confirm(self.lead.round);
        }
        self.confirm_round();
        self.lead.heartbeat_due |= !self.reads.rounds.is_empty();
    }

    /// Confirms the rounds that a quorum, this leader included, has answered: at some moment after
    /// each began nobody else led.
    pub(crate) fn confirm_round(&mut self) {
        if self.reads.rounds.is_empty() && self.config.lease_ticks == 0 {
            return;
        }
        let number = self.reached(self.lead.round, |p| p.round);
        self.reads.confirm(number);
        self.lead.lease.confirmed(number);
    }
}
