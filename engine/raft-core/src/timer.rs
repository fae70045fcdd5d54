//! The clock and the deadlines. Time moves only when the host says so.

use crate::ids::Tick;

/// Everything a replica waits for, closed: a deadline that is not here does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Without a leader until then, campaign (thesis 3.4).
    Election,
    /// The leader's next heartbeat.
    Heartbeat,
    /// The leader hears from a quorum until then, or steps down (thesis 6.2).
    CheckQuorum,
    /// Followers learn the commit index by then, if no entry carried it before.
    CommitNotice,
    /// A snapshot on its way counts as lost by then.
    Snapshot,
    /// Leadership is handed over until then, or kept (thesis 3.10).
    Transfer,
}

const TIMERS: usize = Timer::Transfer as usize + 1;
const NEVER: Tick = Tick(u64::MAX);

/// The clock of a replica and its deadlines.
#[derive(Clone, Debug)]
pub(crate) struct Timers {
    now: Tick,
    deadlines: [Tick; TIMERS],
}

impl Timers {
    pub(crate) const fn new(now: Tick) -> Self {
        Self { now, deadlines: [NEVER; TIMERS] }
    }

    pub(crate) const fn now(&self) -> Tick {
        self.now
    }

    /// The point `ticks` from now.
    pub(crate) const fn after(&self, ticks: u64) -> Tick {
        Tick(self.now.0.saturating_add(ticks))
    }

    /// Moves the clock; never backwards.
    pub(crate) fn advance(&mut self, now: Tick) {
        self.now = self.now.max(now);
    }

    pub(crate) fn set(&mut self, timer: Timer, at: Tick) {
        // The last tick of all is never, and would not be waited for.
        self.deadlines[timer as usize] = at.min(Tick(NEVER.0 - 1));
    }

    /// Sets the deadline unless an earlier one stands.
    pub(crate) fn set_earlier(&mut self, timer: Timer, at: Tick) {
        let deadline = &mut self.deadlines[timer as usize];
        *deadline = (*deadline).min(at);
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        self.deadlines[timer as usize] = NEVER;
    }

    pub(crate) fn stop_all(&mut self) {
        self.deadlines = [NEVER; TIMERS];
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.deadlines[timer as usize] != NEVER
    }

    /// Whether the deadline has passed; if so it is used up.
    pub(crate) fn fire(&mut self, timer: Timer) -> bool {
        let fired = self.deadlines[timer as usize] <= self.now;
        if fired {
            self.stop(timer);
        }
        fired
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Tick> {
        self.deadlines.iter().copied().min().filter(|t| *t != NEVER)
    }
}
