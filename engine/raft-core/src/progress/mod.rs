//! What a leader knows about one other voter (thesis 3.5, 10.2.1).

mod inflights;

use crate::ids::{Index, Tick};
use inflights::Inflights;

/// How entries are sent to a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProgressState {
    /// Where its log departs from ours is unknown: one message, then wait for the answer.
    Probe {
        /// A message is out.
        sent: bool,
    },
    /// It follows: messages leave without waiting, up to the limit in flight.
    Replicate,
}

/// A leader's view of one follower. `matched < next` always.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    pub(crate) state: ProgressState,
    /// The highest index known to be durable there and equal to ours.
    pub(crate) matched: Index,
    /// The next index to send.
    pub(crate) next: Index,
    /// When it last answered in this term.
    pub(crate) heard: Tick,
    /// The newest round of reads it has confirmed.
    pub(crate) round: u64,
    /// The highest commit index sent to it.
    pub(crate) told_commit: Index,
    /// Send something at the next poll, whatever the window says: find out what was lost.
    pub(crate) poke: bool,
    inflights: Inflights,
}

impl Progress {
    /// A follower of which nothing is known but that it has had time to answer since `now`.
    pub(crate) fn new(last: Index, now: Tick) -> Self {
        Self {
            state: ProgressState::Probe { sent: false },
            matched: Index(0),
            next: last.next(),
            heard: now,
            round: 0,
            told_commit: Index(0),
            poke: false,
            inflights: Inflights::default(),
        }
    }

    pub(crate) fn is_probe(&self) -> bool {
        matches!(self.state, ProgressState::Probe { .. })
    }

    /// Whether an ordinary message may leave now.
    pub(crate) fn may_send(&self, inflight_messages_max: usize) -> bool {
        match self.state {
            ProgressState::Probe { sent } => !sent,
            ProgressState::Replicate => !self.inflights.is_full(inflight_messages_max),
        }
    }

    /// A message whose last entry is `last` (or which has none) has left.
    pub(crate) fn sent(&mut self, last: Option<Index>) {
        match &mut self.state {
            ProgressState::Probe { sent } => *sent = true,
            ProgressState::Replicate => {
                if let Some(last) = last {
                    self.next = last.next();
                    self.inflights.push(last);
                }
            }
        }
    }

    /// An acceptance arrived. Returns whether the match index rose.
    pub(crate) fn accepted(&mut self, matched: Index) -> bool {
        let rose = matched > self.matched;
        if rose {
            self.matched = matched;
            self.next = self.next.max(matched.next());
        }
        self.inflights.free_to(matched);
        // A probe is over when it was answered, not when some older message was.
        if self.is_probe() && matched >= self.matched && (rose || matched.next() == self.next) {
            self.state = ProgressState::Replicate;
            self.next = self.matched.next();
        }
        rose
    }

    /// A refusal of the message after `prev` arrived; `resume` is where our log may meet the
    /// follower's. Returns whether it was news: a stale refusal changes nothing.
    pub(crate) fn rejected(&mut self, prev: Index, resume: Index) -> bool {
        match self.state {
            ProgressState::Replicate => {
                if prev <= self.matched {
                    return false;
                }
                self.next = self.matched.next();
                self.inflights.clear();
            }
            ProgressState::Probe { .. } => {
                if prev.next() != self.next || prev <= self.matched {
                    return false;
                }
                // At least one step back, never into what is known to match.
                self.next = resume.next().min(prev).max(self.matched.next());
            }
        }
        self.state = ProgressState::Probe { sent: false };
        true
    }

    /// The follower answered a heartbeat while it lacks entries: whatever is out may be lost.
    pub(crate) fn suspect_loss(&mut self) {
        match &mut self.state {
            ProgressState::Probe { sent } => *sent = false,
            ProgressState::Replicate => self.poke = true,
        }
    }
}

#[cfg(test)]
mod tests;
