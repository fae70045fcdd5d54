//! When which group waits for the clock.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use raft_core::Tick;

const NEVER: Tick = Tick(u64::MAX);

/// The deadlines of all slots. A deadline that moves later, as a follower's does with every
/// heartbeat, costs nothing: the slot is looked at when its old deadline comes, and put back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Tick, u32)>>,
    /// The one valid heap entry of each slot; others are leftovers.
    scheduled: Vec<Tick>,
}

impl Timers {
    /// One more slot exists.
    pub(crate) fn grow(&mut self) {
        self.scheduled.push(NEVER);
    }

    /// The slot must be looked at no later than `deadline`.
    pub(crate) fn schedule(&mut self, slot: u32, deadline: Option<Tick>) {
        let scheduled = &mut self.scheduled[slot as usize];
        if let Some(deadline) = deadline.filter(|d| *d < *scheduled) {
            *scheduled = deadline;
            self.heap.push(Reverse((deadline, slot)));
        }
    }

    /// A slot whose deadline has passed; it is no longer scheduled.
    pub(crate) fn pop_expired(&mut self, now: Tick) -> Option<u32> {
        while let Some(Reverse((deadline, slot))) = self.heap.peek().copied() {
            let valid = self.scheduled[slot as usize] == deadline;
            if valid && deadline > now {
                return None;
            }
            self.heap.pop();
            if valid {
                self.scheduled[slot as usize] = NEVER;
                return Some(slot);
            }
        }
        None
    }

    /// No slot has to be looked at before this tick.
    pub(crate) fn next(&self) -> Option<Tick> {
        self.heap.peek().map(|Reverse((deadline, _))| *deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::Timers;
    use raft_core::Tick;

    #[test]
    fn a_slot_expires_once_at_its_earliest_deadline() {
        let mut timers = Timers::default();
        timers.grow();
        timers.grow();
        assert_eq!(timers.next(), None);
        timers.schedule(0, Some(Tick(9)));
        timers.schedule(0, Some(Tick(5)));
        timers.schedule(0, Some(Tick(7)));
        timers.schedule(1, None);
        timers.schedule(1, Some(Tick(9)));
        assert_eq!(timers.next(), Some(Tick(5)));
        assert_eq!(timers.pop_expired(Tick(4)), None);
        assert_eq!(timers.pop_expired(Tick(5)), Some(0));
        assert_eq!(timers.pop_expired(Tick(20)), Some(1));
        assert_eq!(timers.pop_expired(Tick(20)), None);
        assert_eq!(timers.next(), None);
    }
}
