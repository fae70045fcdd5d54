//! Requests on their way into a group, and the fate of writes (who leads, who waits, who gave up).
//!
//! A write whose entry is in a log is answered with the truth when its fate is learned: its own entry
//! was applied, or **another entry was committed at its place**. That its entry was cut off here proves
//! nothing: another replica may still hold it and be elected. What cannot be learned in time is
//! `Uncertain`.

use raft_core::{GroupId, LogId, ProposeError, Storage, Tick};

use crate::mesh::ReplyTo;
use crate::request::{Op, RequestError};
use crate::shard::{Outlet, Parked, Shard, WaitingRead, WaitingWrite};

/// Until when a proposer that was refused for too many uncommitted bytes should wait.
const BUSY_RETRY: std::time::Duration = std::time::Duration::from_millis(5);

impl<S: Storage> Shard<S> {
    /// Brings a request to the leader, if that is here; refuses it if it is elsewhere; lets it wait if
    /// there is none.
    pub(crate) fn route(&mut self, group: GroupId, op: Op, to: ReplyTo, io: &mut impl Outlet) {
        let node = self.node;
        let Some(replica) = self.replica(group) else {
            return self.answer(to, Err(RequestError::UnknownGroup(group)), io);
        };
        if replica.stopped {
            return self.answer(to, Err(RequestError::Stopped), io);
        }
        match (replica.leading, replica.leader) {
            (true, _) => self.submit(group, op, to, io),
            (false, Some(leader)) if leader != node => {
                self.answer(to, Err(RequestError::NotLeader { leader }), io);
            }
            (false, _) => self.park(group, op, to),
        }
    }

    fn submit(&mut self, group: GroupId, op: Op, to: ReplyTo, io: &mut impl Outlet) {
        match op {
            Op::Read(query) => {
                let Some(replica) = self.replica(group) else {
                    return;
                };
                replica.reads_open.push(WaitingRead {
                    query,
                    reply_to: to,
                });
                if replica.reads_open.len() == 1 {
                    self.reads_open.push(group);
                }
            }
            Op::Write(data) => match self.raft.propose(group, data.clone()) {
                Ok(id) => {
                    self.metrics.proposals.add(1);
                    let Some(replica) = self.replica(group) else {
                        return;
                    };
                    replica.writes.push_back(WaitingWrite { id, reply_to: to });
                }
                Err(multi_raft::ProposeError::UnknownGroup) => {
                    self.answer(to, Err(RequestError::UnknownGroup(group)), io);
                }
                Err(multi_raft::ProposeError::Refused(refused)) => match refused {
                    // Leadership was lost in this very turn: the event that says so is on its way.
                    ProposeError::NotLeader {
                        leader: Some(leader),
                    } if leader != self.node => {
                        self.answer(to, Err(RequestError::NotLeader { leader }), io);
                    }
                    ProposeError::NotLeader { .. } => self.park(group, Op::Write(data), to),
                    ProposeError::Busy => {
                        self.metrics.requests_refused.add(1);
                        let busy = RequestError::Busy {
                            retry_after: BUSY_RETRY,
                        };
                        self.answer(to, Err(busy), io);
                    }
                    ProposeError::TooLarge => self.answer(to, Err(RequestError::TooLarge), io),
                    ProposeError::Stopped => self.answer(to, Err(RequestError::Stopped), io),
                },
            },
        }
    }

    fn park(&mut self, group: GroupId, op: Op, reply_to: ReplyTo) {
        let until = Tick(self.now.0 + self.limits.leaderless_wait_ticks);
        let Some(replica) = self.replica(group) else {
            return;
        };
        replica.parked.push_back(Parked {
            until,
            op,
            reply_to,
        });
        if replica.parked.len() == 1 {
            self.parked.push_back((until, group));
        }
    }

    /// A leader is known: the requests that waited for one go on.
    pub(crate) fn unpark(&mut self, group: GroupId, io: &mut impl Outlet) {
        let Some(replica) = self.replica(group) else {
            return;
        };
        for parked in std::mem::take(&mut replica.parked) {
            self.route(group, parked.op, parked.reply_to, io);
        }
    }

    /// Answers what has waited long enough.
    pub(crate) fn expire(&mut self, io: &mut impl Outlet) {
        while let Some((at, group)) = self.parked.front().copied() {
            if at > self.now {
                break;
            }
            self.parked.pop_front();
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
        loop {
            let Some(replica) = self.replica(group) else {
                return;
            };
            match replica.parked.front().map(|p| p.until) {
                None => return,
                Some(until) if until > now => {
                    // In order of time, as every group's wait is equally long.
                    let place = self.parked.partition_point(|(at, _)| *at <= until);
                    self.parked.insert(place, (until, group));
                    return;
                }
                Some(_) => {}
            }
            if let Some(parked) = replica.parked.pop_front() {
                self.answer(parked.reply_to, Err(RequestError::NoLeader), io);
            }
        }
    }

    /// The fate of the writes up to `term` could not be learned in time.
    fn give_up(&mut self, group: GroupId, term: raft_core::Term, io: &mut impl Outlet) {
        loop {
            let Some(replica) = self.replica(group) else {
                return;
            };
            if replica.writes.front().is_none_or(|w| w.id.term > term) {
                return;
            }
            if let Some(WaitingWrite { id, reply_to }) = replica.writes.pop_front() {
                self.answer(reply_to, Err(RequestError::Uncertain { id }), io);
            }
        }
    }

    /// The caller of the entry that was just applied, if one waits; callers of entries that lost their
    /// place to it are told so: theirs is certainly not applied, now or later.
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
