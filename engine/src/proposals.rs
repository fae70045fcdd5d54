//! Requests on their way into a group, and the fate of writes (who leads, who waits, who gave up).
//!
//! A write whose entry is in a log is answered with the truth when its fate is learned: its own
//! entry was applied, or **another entry was committed at its place**. That its entry was cut off
//! here proves nothing: another replica may still hold it and be elected. What cannot be learned in
//! time is `Uncertain`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use raft_core::{GroupId, LogId, ProposeError, Storage, Tick};

use crate::mesh::ReplyTo;
use crate::request::{Op, RequestError};
use crate::shard::{Outlet, Parked, Shard, WaitingRead, WaitingWrite};

/// Until when a proposer that was refused for too many uncommitted bytes should wait.
const BUSY_RETRY: Duration = Duration::from_millis(5);
/// The same while the disk is full.
const LOG_RETRY: Duration = Duration::from_millis(100);
/// Bytes of requests that wait for a leader, per shard.
const PARKED_BYTES_MAX: usize = 64 << 20;

impl<S: Storage> Shard<S> {
    /// Brings a request to the leader, if that is here; refuses it if it is elsewhere; lets it wait
    /// if there is none, at most until `until` if it has waited before.
    pub(crate) fn route(
        &mut self,
        group: GroupId,
        op: Op,
        to: ReplyTo,
        until: Option<Tick>,
        io: &mut impl Outlet,
    ) {
        let (node, view) = (self.node, Arc::clone(&self.view));
        let Some(replica) = self.replica(group) else {
            return self.answer(to, Err(RequestError::UnknownGroup(group)), io);
        };
        if replica.stopped {
            return self.answer(to, Err(RequestError::Stopped), io);
        }
        match (replica.leading, replica.leader) {
            (true, _) => self.submit(group, op, to, until, io),
            // A leader that cannot be reached is about to be replaced: better to wait than to send
            // the client to a dead node.
            (false, Some(leader)) if leader != node && view.is_connected(leader) => {
                self.answer(to, Err(RequestError::NotLeader { leader }), io);
            }
            (false, _) => self.park(group, op, to, until, io),
        }
    }

    fn submit(
        &mut self,
        group: GroupId,
        op: Op,
        to: ReplyTo,
        until: Option<Tick>,
        io: &mut impl Outlet,
    ) {
        match op {
            Op::Read(query) => {
                let Some(replica) = self.replica(group) else { return };
                let floor = replica.newest;
                replica.reads_open.push_back(WaitingRead { query, reply_to: to, floor });
                if replica.reads_open.len() == 1 {
                    self.reads_open.push(group);
                }
            }
            Op::Write(_) if self.persistence.is_stuck() => self.refuse(to, LOG_RETRY, io),
            Op::Write(data) => match self.raft.propose(group, data.clone()) {
                Ok(id) => self.await_fate(group, id, to),
                Err(multi_raft::ProposeError::UnknownGroup) => {
                    self.answer(to, Err(RequestError::UnknownGroup(group)), io);
                }
                Err(multi_raft::ProposeError::Refused(refused)) => match refused {
                    // Leadership was lost in this very turn: the event that says so is on its way.
                    ProposeError::NotLeader { leader: Some(leader) } if leader != self.node => {
                        self.answer(to, Err(RequestError::NotLeader { leader }), io);
                    }
                    ProposeError::NotLeader { .. } => {
                        self.park(group, Op::Write(data), to, until, io);
                    }
                    // A transfer ends soon, one way or the other.
                    ProposeError::Busy | ProposeError::Transferring { .. } => {
                        self.refuse(to, BUSY_RETRY, io);
                    }
                    ProposeError::TooLarge => self.answer(to, Err(RequestError::TooLarge), io),
                    ProposeError::Stopped => self.answer(to, Err(RequestError::Stopped), io),
                },
            },
        }
    }

    fn refuse(&mut self, to: ReplyTo, retry_after: Duration, io: &mut impl Outlet) {
        self.metrics.requests_refused.add(1);
        self.answer(to, Err(RequestError::Busy { retry_after }), io);
    }

    /// The write is in the log: its caller waits for what becomes of it.
    fn await_fate(&mut self, group: GroupId, id: LogId, reply_to: ReplyTo) {
        self.metrics.proposals.add(1);
        let Some(replica) = self.replica(group) else { return };
        replica.newest = id;
        // Nearly always the last place; not after leading, losing leadership with a shortened log,
        // and leading again.
        let key = |id: LogId| (id.index, id.term);
        let place = replica.writes.partition_point(|w| key(w.id) < key(id));
        replica.writes.insert(place, WaitingWrite { id, reply_to });
    }

    /// Lets a request wait for a leader.
    pub(crate) fn park(
        &mut self,
        group: GroupId,
        op: Op,
        reply_to: ReplyTo,
        until: Option<Tick>,
        io: &mut impl Outlet,
    ) {
        if self.parked_bytes > PARKED_BYTES_MAX {
            return self.refuse(reply_to, BUSY_RETRY, io);
        }
        let until = until.unwrap_or(Tick(self.now.0 + self.limits.leaderless_wait_ticks));
        let bytes = op.bytes();
        let Some(replica) = self.replica(group) else { return };
        replica.parked.push_back(Parked { until, op, reply_to });
        self.parked_bytes += bytes;
        self.parked.insert((until, group));
    }

    /// A leader is known: the requests that waited for one go on.
    pub(crate) fn unpark(&mut self, group: GroupId, io: &mut impl Outlet) {
        let Some(replica) = self.replica(group) else { return };
        for parked in std::mem::take(&mut replica.parked) {
            self.parked_bytes -= parked.op.bytes();
            self.route(group, parked.op, parked.reply_to, Some(parked.until), io);
        }
    }

    /// Answers what has waited long enough.
    pub(crate) fn expire(&mut self, io: &mut impl Outlet) {
        while let Some((at, group)) = self.parked.first().copied() {
            if at > self.now {
                break;
            }
            self.parked.pop_first();
            self.expire_parked(group, io);
        }
        while let Some((at, group, term)) = self.fates.front().copied() {
            if at > self.now {
                break;
            }
            self.fates.pop_front();
            self.give_up(group, term, io);
        }
    }

    fn expire_parked(&mut self, group: GroupId, io: &mut impl Outlet) {
        let now = self.now;
        while let Some(replica) = self.replica(group) {
            if replica.parked.front().is_none_or(|p| p.until > now) {
                return;
            }
            let Some(parked) = replica.parked.pop_front() else { return };
            self.parked_bytes -= parked.op.bytes();
            self.answer(parked.reply_to, Err(RequestError::NoLeader), io);
        }
    }

    /// The fate of the writes up to `term` could not be learned in time.
    fn give_up(&mut self, group: GroupId, term: raft_core::Term, io: &mut impl Outlet) {
        let Some(replica) = self.replica(group) else { return };
        let writes = std::mem::take(&mut replica.writes);
        let (given_up, kept): (VecDeque<_>, _) =
            writes.into_iter().partition(|w| w.id.term <= term);
        replica.writes = kept;
        for WaitingWrite { id, reply_to } in given_up {
            self.answer(reply_to, Err(RequestError::Uncertain { id }), io);
        }
    }

    /// Whether the entry of this write was committed cannot be told any more.
    pub(crate) fn lose_track(&mut self, group: GroupId, id: LogId, io: &mut impl Outlet) {
        let Some(replica) = self.replica(group) else { return };
        let place = replica.writes.iter().position(|w| w.id == id);
        if let Some(write) = place.and_then(|place| replica.writes.remove(place)) {
            self.answer(write.reply_to, Err(RequestError::Uncertain { id }), io);
        }
    }

    /// The caller of the entry that was just applied, if one waits; callers of entries that lost
    /// their place to it are told so: theirs is certainly not applied, now or later.
    pub(crate) fn claim(
        &mut self,
        group: GroupId,
        applied: LogId,
        io: &mut impl Outlet,
    ) -> Option<ReplyTo> {
        loop {
            let replica = self.replica(group)?;
            if replica.writes.front()?.id.index > applied.index {
                return None;
            }
            let write = replica.writes.pop_front()?;
            if write.id == applied {
                return Some(write.reply_to);
            }
            let lost = match replica.leader {
                Some(leader) if !replica.leading => RequestError::NotLeader { leader },
                _ => RequestError::NoLeader,
            };
            self.answer(write.reply_to, Err(lost), io);
        }
    }
}
