//! The groups of one shard.

use std::fmt;

use raft_core::{Config, GroupId, NodeId, RaftCore, Ready, Status, Storage, Tick};

use crate::dirty::Dirty;
use crate::error::{CreateError, UnknownGroup, Untouched};
use crate::ready::MultiReady;
use crate::receipts::{Receipt, Receipts};
use crate::router::Router;
use crate::timers::Timers;

/// One replica and its name.
struct Slot<S: Storage> {
    group: GroupId,
    core: RaftCore<S>,
    /// By the host; a replica that stopped by itself knows.
    stopped: bool,
}

/// The replicas of one shard.
///
/// A group's clock stands still while nothing concerns it, and is brought to the present before
/// anything else whenever the group is touched.
pub struct MultiRaft<S: Storage> {
    node: NodeId,
    now: Tick,
    slots: Vec<Slot<S>>,
    router: Router,
    dirty: Dirty,
    timers: Timers,
    receipts: Receipts,
    ready: Ready,
    visits: Vec<u32>,
    touched: u64,
}

impl<S: Storage> MultiRaft<S> {
    /// A shard of this node, without groups, at tick zero.
    #[must_use]
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            now: Tick(0),
            slots: Vec::new(),
            router: Router::new(),
            dirty: Dirty::default(),
            timers: Timers::default(),
            receipts: Receipts::default(),
            ready: Ready::default(),
            visits: Vec::new(),
            touched: 0,
        }
    }

    /// Starts this node's replica of a group. `config.id` is set to this node, and the group's
    /// number goes into `config.seed`: groups with equal seeds would all campaign at once.
    ///
    /// # Errors
    /// State unchanged; see [`CreateError`].
    pub fn create(
        &mut self,
        group: GroupId,
        config: Config,
        storage: S,
    ) -> Result<(), CreateError> {
        if self.router.slot(group).is_some() {
            return Err(CreateError::Exists);
        }
        let seed = config.seed ^ group.0.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        let config = Config { id: self.node, seed, ..config };
        let core = RaftCore::new_at(config, storage, self.now).map_err(CreateError::Boot)?;
        let slot = self.slots.len() as u32;
        self.router.insert(group, slot);
        self.slots.push(Slot { group, core, stopped: false });
        self.dirty.grow();
        self.timers.grow();
        self.settle(slot);
        Ok(())
    }

    /// One tick passes.
    pub fn tick(&mut self) {
        self.advance_to(Tick(self.now.0 + 1));
    }

    /// The time is `now`. Touches only the groups whose deadline has passed.
    pub fn advance_to(&mut self, now: Tick) {
        self.now = self.now.max(now);
        while let Some(slot) = self.timers.pop_expired(self.now) {
            self.touch_slot(slot, |_| ());
        }
    }

    /// Before this tick no group changes by time alone. May be too early, never too late; `None`
    /// when nothing waits for time.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        self.timers.next()
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Tick {
        self.now
    }

    /// Stops this node's replica of a group for good: it takes nothing and says nothing any more,
    /// and no receipt reaches it, also not one for what it has handed out. For a host that cannot
    /// do what the replica asks for, such as install a snapshot.
    ///
    /// # Errors
    /// The group has no replica here.
    pub fn stop(&mut self, group: GroupId) -> Result<(), UnknownGroup> {
        let slot = self.router.slot(group).ok_or(UnknownGroup)?;
        self.slots[slot as usize].stopped = true;
        Ok(())
    }

    /// The batch of this receipt and every earlier one is durable: whatever waited for that, in any
    /// group, comes with the next poll.
    pub fn persisted(&mut self, receipt: Receipt) {
        while let Some(mut batch) = self.receipts.next_durable(&receipt) {
            for (slot, receipt) in batch.drain(..) {
                self.touch_slot(slot, |core| core.handle_persisted(receipt));
            }
            self.receipts.recycle(batch);
        }
    }

    /// Whether a poll has anything to hand out.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Takes everything that is to be done, from the groups that have anything. `out` is cleared
    /// first and keeps its memory. Returns whether there is any output.
    pub fn poll_ready(&mut self, out: &mut MultiReady) -> bool {
        out.clear();
        let mut visits = std::mem::take(&mut self.visits);
        self.dirty.take(&mut visits);
        // In ascending order of group, so that whoever merges the lists can tell who has no
        // entries.
        visits.sort_unstable_by_key(|slot| self.slots[*slot as usize].group);
        for slot in visits.drain(..) {
            self.touched += 1;
            let Slot { group, core, stopped } = &mut self.slots[slot as usize];
            if *stopped {
                continue;
            }
            core.handle_time(self.now);
            core.poll_ready(&mut self.ready);
            if let Some(receipt) = self.ready.receipt.take() {
                self.receipts.add(slot, receipt);
            }
            out.gather(*group, &mut self.ready);
            self.settle(slot);
        }
        self.visits = visits;
        out.receipt = self.receipts.issue();
        !out.is_empty()
    }

    /// A summary of a group.
    #[must_use]
    pub fn status(&self, group: GroupId) -> Option<Status> {
        self.replica(group).map(RaftCore::status)
    }

    /// The leader of a group, if known.
    #[must_use]
    pub fn leader(&self, group: GroupId) -> Option<NodeId> {
        self.replica(group).and_then(RaftCore::leader)
    }

    /// A group's replica, to look at.
    #[must_use]
    pub fn replica(&self, group: GroupId) -> Option<&RaftCore<S>> {
        self.router.slot(group).map(|slot| &self.slots[slot as usize].core)
    }

    /// The groups, in ascending order.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = GroupId> + '_ {
        self.router.groups()
    }

    /// How many groups there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How often a group was touched so far: what cost is measured by.
    #[must_use]
    pub fn touches(&self) -> u64 {
        self.touched
    }

    /// Gives a group's replica an input.
    pub(crate) fn touch<R>(
        &mut self,
        group: GroupId,
        input: impl FnOnce(&mut RaftCore<S>) -> R,
    ) -> Result<R, Untouched> {
        let slot = self.router.slot(group).ok_or(Untouched::Unknown)?;
        self.touch_slot(slot, input).ok_or(Untouched::Stopped)
    }

    /// Gives a replica an input, once its clock is brought to the present. `None` if the host has
    /// stopped it.
    fn touch_slot<R>(&mut self, slot: u32, input: impl FnOnce(&mut RaftCore<S>) -> R) -> Option<R> {
        self.touched += 1;
        let Slot { core, stopped, .. } = &mut self.slots[slot as usize];
        if *stopped {
            return None;
        }
        core.handle_time(self.now);
        let result = input(core);
        self.settle(slot);
        Some(result)
    }

    /// The end of every touch: note what the group waits for and whether it has output.
    fn settle(&mut self, slot: u32) {
        let core = &self.slots[slot as usize].core;
        self.timers.schedule(slot, core.next_deadline());
        if core.has_ready() {
            self.dirty.mark(slot);
        }
    }
}

impl<S: Storage> fmt::Debug for MultiRaft<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultiRaft")
            .field("node", &self.node)
            .field("now", &self.now)
            .field("groups", &self.slots.len())
            .finish_non_exhaustive()
    }
}
