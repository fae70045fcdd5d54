//! One replica and its host.

use std::collections::VecDeque;

use raft_core::{Applied, BootError, Config, Entry, Index, RaftCore, Ready, Receipt, Role, Tick};

use super::disk::{Disk, Platter, Write};

/// A replica, its disk, and what its host has still to do.
pub(crate) struct Node {
    pub(crate) id: u64,
    pub(crate) core: RaftCore<Disk>,
    pub(crate) disk: Disk,
    /// Persisting and applying are steps of their own.
    pub(crate) is_async: bool,
    /// Batches on their way to the disk.
    pub(crate) writes: VecDeque<(Receipt, Write)>,
    /// Committed entries handed out and not yet applied.
    pub(crate) to_apply: VecDeque<Vec<Entry>>,
    /// The election timeout the script wants, in ticks.
    timeout: Option<u64>,
    /// The deadline that follows from it.
    deadline: Option<Tick>,
}

impl Node {
    pub(crate) fn new(config: Config, disk: Disk, is_async: bool) -> Result<Self, BootError> {
        let id = config.id.0;
        let core = RaftCore::new(config, disk.clone())?;
        Ok(Self {
            id,
            core,
            disk,
            is_async,
            writes: VecDeque::new(),
            to_apply: VecDeque::new(),
            timeout: None,
            deadline: None,
        })
    }

    /// Starts the core again from what is durable. Of the batches on their way the oldest `kept`
    /// reached the disk, and of the one after them the snapshot if `torn`.
    pub(crate) fn restart(&mut self, kept: usize, torn: bool) -> Result<(), String> {
        for _ in 0..kept.min(self.writes.len()) {
            self.sync()?;
        }
        if let Some((_, write)) = self.writes.front().filter(|_| torn) {
            if let Some(snapshot) = write.snapshot.clone() {
                self.disk.0.borrow_mut().machine = snapshot;
            }
        }
        self.writes.clear();
        self.to_apply.clear();
        let (config, now) = (self.core.config().clone(), self.core.now());
        self.core = RaftCore::new_at(config, self.disk.clone(), now)
            .map_err(|e| format!("node {} does not start: {e}", self.id))?;
        self.deadline = None;
        self.hold_timeout();
        Ok(())
    }

    /// Hands an input to the core.
    pub(crate) fn input<R>(&mut self, act: impl FnOnce(&mut RaftCore<Disk>) -> R) -> R {
        let result = act(&mut self.core);
        self.hold_timeout();
        result
    }

    /// From now on every election timeout of this node is so many ticks.
    pub(crate) fn set_timeout(&mut self, ticks: Option<u64>) {
        self.timeout = ticks;
        self.deadline = None;
        self.hold_timeout();
    }

    /// The core drew a new timeout: give it the one that is wanted. The only deadline of a replica
    /// that does not lead is its next campaign.
    fn hold_timeout(&mut self) {
        let Some(ticks) = self.timeout.filter(|_| self.core.role() != Role::Leader) else {
            return;
        };
        let deadline = self.core.next_deadline();
        if deadline.is_some() && deadline != self.deadline {
            let now = self.core.now();
            self.core.handle_campaign_at(Tick(now.0.saturating_add(ticks)));
            self.deadline = self.core.next_deadline();
        }
    }

    /// Keeps the part of an output that takes time.
    pub(crate) fn keep(&mut self, ready: Ready) {
        if let Some(receipt) = ready.receipt {
            let (hard, snapshot) = (ready.hard_state, ready.snapshot);
            let entries = ready.entries_to_persist.to_vec();
            self.writes.push_back((receipt, Write { hard, snapshot, entries }));
        }
        if !ready.committed_entries.is_empty() {
            self.to_apply.push_back(ready.committed_entries.to_vec());
        }
    }

    fn sync(&mut self) -> Result<Option<Receipt>, String> {
        let Some((receipt, write)) = self.writes.pop_front() else {
            return Ok(None);
        };
        let written = self.disk.0.borrow_mut().write(&write);
        written.map_err(|what| format!("LAW BROKEN: node {}: {what}", self.id))?;
        Ok(Some(receipt))
    }

    /// The oldest batch becomes durable and its receipt goes back. Returns whether there was one.
    pub(crate) fn persist(&mut self) -> Result<bool, String> {
        let receipt = self.sync()?;
        let was = receipt.is_some();
        if let Some(receipt) = receipt {
            self.input(|core| core.handle_persisted(receipt));
        }
        Ok(was)
    }

    /// The oldest entries handed out are applied. Returns whether there were any.
    pub(crate) fn apply(&mut self) -> bool {
        let last = self.to_apply.pop_front().and_then(|list| list.last().map(|e| e.id.index));
        if let Some(last) = last {
            self.disk.0.borrow_mut().apply(last);
            self.input(|core| core.handle_applied(Applied(last)));
        }
        last.is_some()
    }

    /// Drops the log up to this index. Returns whether that can be.
    pub(crate) fn compact(&mut self, through: Index) -> bool {
        let done = self.disk.0.borrow_mut().compact(through);
        if done {
            self.input(|core| core.handle_compacted(through));
        }
        done
    }

    /// The disk as it will be once everything on its way is there.
    pub(crate) fn view(&self) -> Platter {
        let mut view = self.disk.0.borrow().clone();
        for (_, write) in &self.writes {
            if view.write(write).is_err() {
                break;
            }
        }
        view
    }
}
