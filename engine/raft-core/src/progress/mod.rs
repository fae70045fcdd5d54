//! What a leader knows about one other member (thesis 3.5, 5.1, 10.2.2).

mod inflights;

use crate::config::Config;
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
    /// What it needs was compacted: a snapshot is on its way, and nothing else until it answers.
    Snapshot {
        /// Where it ends.
        last: Index,
        /// When to stop waiting.
        until: Tick,
    },
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
    /// It has not been suspected of losses since the last regular heartbeat.
    pub(crate) trusted: bool,
    /// What it needs next is being fetched from the disk.
    pub(crate) fetching: bool,
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
            trusted: true,
            fetching: false,
            inflights: Inflights::default(),
        }
    }

    pub(crate) fn inflights(&self) -> &Inflights {
        &self.inflights
    }

    /// Whether it was heard within so many ticks.
    pub(crate) fn is_active(&self, now: Tick, timeout: u64) -> bool {
        self.heard.0.saturating_add(timeout) > now.0
    }

    /// Whether an ordinary message may leave now.
    pub(crate) fn may_send(&self, config: &Config) -> bool {
        match self.state {
            ProgressState::Probe { sent } => !sent,
            ProgressState::Replicate => !self.inflights.is_full(config),
            ProgressState::Snapshot { .. } => false,
        }
    }

    /// A message whose last entry is `last` (or which has none) has left, with so much payload.
    pub(crate) fn sent(&mut self, last: Option<Index>, bytes: usize) {
        match &mut self.state {
            ProgressState::Probe { sent } => *sent = true,
            ProgressState::Replicate => {
                if let Some(last) = last {
                    self.next = last.next();
                    self.inflights.push(last, bytes);
                }
            }
            ProgressState::Snapshot { .. } => {}
        }
    }

    /// A snapshot that ends at `last` has left.
    pub(crate) fn sent_snapshot(&mut self, last: Index, until: Tick) {
        self.state = ProgressState::Snapshot { last, until };
        self.next = self.next.max(last.next());
        self.inflights.clear();
    }

    /// The follower is to be probed from what is known to match: a snapshot was lost, or the way to
    /// it broke. With `wait` only after it has answered a heartbeat.
    pub(crate) fn probe(&mut self, wait: bool) {
        self.state = ProgressState::Probe { sent: wait };
        self.next = self.matched.next();
        self.poke = false;
        self.trusted = true;
        self.inflights.clear();
    }

    /// An acceptance arrived; the log goes back to `base`. Returns whether the match index rose.
    #[inline]
    pub(crate) fn accepted(&mut self, matched: Index, base: Index) -> bool {
        let rose = matched > self.matched;
        if rose {
            self.matched = matched;
            self.next = self.next.max(matched.next());
        }
        self.inflights.free_to(matched);
        // A probe is over when it was answered, not when some older message was. A snapshot is no
        // longer needed once the log can go on from what matches, wherever the follower had it
        // from.
        let over = match self.state {
            ProgressState::Probe { .. } => {
                matched >= self.matched && (rose || matched.next() == self.next)
            }
            ProgressState::Replicate => false,
            ProgressState::Snapshot { last, .. } if self.matched < base => {
                // It arrived, and what comes after it is gone as well: the next one.
                if self.matched >= last {
                    self.probe(false);
                }
                false
            }
            ProgressState::Snapshot { .. } => true,
        };
        if over {
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
            ProgressState::Snapshot { .. } => return false,
        }
        self.state = ProgressState::Probe { sent: false };
        true
    }

    /// The follower answered a heartbeat while it lacks entries: whatever is out may be lost. Once
    /// per heartbeat interval: reads send heartbeats at any rate, and a slow disk is no loss.
    pub(crate) fn suspect_loss(&mut self) {
        if !core::mem::take(&mut self.trusted) {
            return;
        }
        match &mut self.state {
            ProgressState::Probe { sent } => *sent = false,
            ProgressState::Replicate => self.poke = true,
            ProgressState::Snapshot { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests;
