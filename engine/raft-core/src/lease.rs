//! The leader's lease: for a while after a quorum has answered nobody else can lead, so reads need
//! not ask again (thesis 6.4.1).

use alloc::collections::VecDeque;

use crate::ids::Tick;
use crate::raft::RaftCore;
use crate::storage::Storage;

/// Rounds of heartbeats remembered at most. Older ones are forgotten: their answers are late, and
/// the lease they would give is shorter than that of a newer round.
const ROUNDS_MAX: usize = 64;

/// What a leader knows about its lease.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lease {
    /// Rounds sent and not yet confirmed, with the tick at which each left.
    rounds: VecDeque<(u64, Tick)>,
    /// When the newest confirmed round left.
    since: Option<Tick>,
    void: bool,
}

impl Lease {
    /// There will be no lease in this leadership any more.
    pub(crate) fn void(&mut self) {
        self.void = true;
        self.since = None;
        self.rounds.clear();
    }

    /// A round of heartbeats leaves. Its time is that of the sending, never of the answer: from
    /// then on a follower may have stopped refusing votes.
    pub(crate) fn sent(&mut self, round: u64, now: Tick) {
        if self.void {
            return;
        }
        if self.rounds.len() == ROUNDS_MAX {
            self.rounds.pop_front();
        }
        self.rounds.push_back((round, now));
    }

    /// A quorum has answered every round up to this one.
    pub(crate) fn confirmed(&mut self, round: u64) {
        while let Some((_, at)) = self.rounds.front().filter(|(number, _)| *number <= round) {
            self.since = Some(*at);
            self.rounds.pop_front();
        }
    }
}

impl<S: Storage> RaftCore<S> {
    /// Until when this leader may answer reads without asking; `None` without a lease. Exclusive:
    /// at that tick the lease is over.
    #[must_use]
    pub fn lease_until(&self) -> Option<Tick> {
        let ticks = self.config.lease_ticks;
        if ticks == 0 || !self.is_established() {
            return None;
        }
        let until = Tick(self.lead.lease.since?.0.saturating_add(ticks));
        (self.timers.now() < until).then_some(until)
    }

    /// Whether a leader's lease may rest on this replica's keeping still, whatever it has learned
    /// since about terms and leaders. One that was just started does not know whom it heard before,
    /// and keeps still for as long as it may have promised to.
    pub(crate) fn is_bound(&self) -> bool {
        self.config.lease_ticks > 0 && self.timers.now() < self.quiet_until
    }
}
