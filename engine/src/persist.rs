//! What goes to the log, in order, and what happens when it is durable.
//!
//! A full disk is no failure: units wait here, in order, until the log takes them again. Their
//! receipts wait with them, so nothing that depends on them leaves; heartbeats and reads go on.

use std::collections::VecDeque;

use multi_raft::{MultiReady, Receipt};
use raft_core::{Entry, GroupId, HardState, LogId, Storage, Tick};

use crate::shard::{Outlet, Shard};

/// One unit of the log at most, in bytes. Larger runs of entries become several units: a prefix of
/// them is as good a log as any.
const UNIT_BYTES_MAX: usize = 1 << 20;
/// What an entry takes beside its payload, in bytes, rounded up.
pub(crate) const ENTRY_OVERHEAD: usize = 64;

/// One unit at most, in a log of such segments: it must fit into the room of any of them.
pub(crate) fn unit_bytes_max(segment_bytes: u64) -> usize {
    UNIT_BYTES_MAX.min(segment_bytes as usize / 2)
}
/// Ticks between tries while the log takes nothing.
const RETRY_TICKS: u64 = 10;

/// What the log says to a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persisted {
    /// It is durable when the log is durable up to this mark.
    At(u64),
    /// There is no room at the moment. State unchanged.
    Later,
    /// The log has failed for good.
    Failed,
}

/// A unit that waits for room, and how many batches are complete with it.
#[derive(Debug)]
struct Unit {
    group: GroupId,
    restart: Option<LogId>,
    hard_state: Option<HardState>,
    entries: Vec<Entry>,
    batches: u32,
}

/// Batches on their way to the log.
#[derive(Debug, Default)]
pub(crate) struct Persistence {
    /// The mark at which each batch is durable; none yet while a unit of it waits for room.
    in_flight: VecDeque<(Option<u64>, Receipt)>,
    backlog: VecDeque<Unit>,
    entries: Vec<Entry>,
    /// Logs that give way to a snapshot with the batch that comes next, in ascending order.
    restarts: VecDeque<(GroupId, LogId)>,
}

impl Persistence {
    /// The log of a group begins anew after this entry, with the batch that is persisted next.
    pub(crate) fn restart(&mut self, group: GroupId, after: LogId) {
        self.restarts.push_back((group, after));
    }

    /// After which entry the log of this group, which is next in order, begins anew, if it does.
    fn take_restart(&mut self, group: GroupId) -> Option<LogId> {
        let (_, after) = *self.restarts.front().filter(|(next, _)| *next == group)?;
        self.restarts.pop_front();
        Some(after)
    }

    /// Whether the log takes nothing at the moment: then no write is let in.
    pub(crate) fn is_stuck(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Whether nothing is on its way.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    pub(crate) fn next_try(&self, now: Tick) -> Option<Tick> {
        self.is_stuck().then_some(Tick(now.0 + RETRY_TICKS))
    }

    /// Adds the gathered entries as one unit. False if the log has failed.
    fn add(
        &mut self,
        group: GroupId,
        restart: Option<LogId>,
        hard_state: Option<HardState>,
        mark: &mut u64,
        io: &mut impl Outlet,
    ) -> bool {
        if !self.is_stuck() {
            match io.persist(group, restart, hard_state, &self.entries) {
                Persisted::At(at) => {
                    *mark = at;
                    self.entries.clear();
                    return true;
                }
                Persisted::Later => {}
                Persisted::Failed => return false,
            }
        }
        let entries = std::mem::take(&mut self.entries);
        self.backlog.push_back(Unit { group, restart, hard_state, entries, batches: 0 });
        true
    }

    /// All units of a batch were added; the last that the log took has this mark.
    fn seal(&mut self, mark: u64, receipt: Receipt) {
        let mark = match self.backlog.back_mut() {
            None => Some(mark),
            Some(unit) => {
                unit.batches += 1;
                None
            }
        };
        self.in_flight.push_back((mark, receipt));
    }
}

impl<S: Storage> Shard<S> {
    /// Everything up to this mark of the log is durable.
    pub(crate) fn durable(&mut self, mark: u64) {
        let in_flight = &mut self.persistence.in_flight;
        let mut newest = None;
        while in_flight.front().is_some_and(|(at, _)| at.is_some_and(|at| at <= mark)) {
            newest = in_flight.pop_front();
        }
        if let Some((_, receipt)) = newest {
            self.raft.persisted(receipt);
        }
    }

    /// Hands everything to persist to the log, as atomic units. False if the log has failed.
    pub(crate) fn persist(&mut self, ready: &mut MultiReady, io: &mut impl Outlet) -> bool {
        let Some(receipt) = ready.receipt.take() else { return true };
        let unit_bytes_max = self.limits.unit_bytes_max;
        let log = &mut self.persistence;
        let mut mark = log.in_flight.back().and_then(|(at, _)| *at).unwrap_or(0);
        let mut states = ready.hard_states.drain(..).peekable();
        let mut entries = ready.entries_to_persist.drain(..).peekable();
        loop {
            // All lists are in ascending order of group; any may skip a group.
            let next = [
                states.peek().map(|(group, _)| *group),
                entries.peek().map(|(group, _)| *group),
                log.restarts.front().map(|(group, _)| *group),
            ];
            let Some(group) = next.into_iter().flatten().min() else {
                break;
            };
            let mut restart = log.take_restart(group);
            let mut state = states.next_if(|(g, _)| *g == group).map(|(_, state)| state);
            let mut bytes = 0;
            log.entries.clear();
            while let Some((_, entry)) = entries.next_if(|(g, _)| *g == group) {
                let weight = entry.data.len() + ENTRY_OVERHEAD;
                if bytes > 0 && bytes + weight > unit_bytes_max {
                    if !log.add(group, restart.take(), state.take(), &mut mark, io) {
                        return false;
                    }
                    bytes = 0;
                }
                bytes += weight;
                log.entries.push(entry);
            }
            if !log.add(group, restart, state, &mut mark, io) {
                return false;
            }
        }
        log.seal(mark, receipt);
        true
    }

    /// Offers the log what it had no room for. False if it has failed.
    pub(crate) fn persist_backlog(&mut self, io: &mut impl Outlet) -> bool {
        let log = &mut self.persistence;
        while let Some(unit) = log.backlog.front() {
            let mark = match io.persist(unit.group, unit.restart, unit.hard_state, &unit.entries) {
                Persisted::At(mark) => mark,
                Persisted::Later => return true,
                Persisted::Failed => return false,
            };
            let complete = unit.batches as usize;
            for (at, _) in log.in_flight.iter_mut().filter(|(at, _)| at.is_none()).take(complete) {
                *at = Some(mark);
            }
            log.backlog.pop_front();
        }
        true
    }
}
