//! Linearizable reads: all reads of a group that come in one turn share one confirmation (thesis
//! 6.4).
//!
//! A read also keeps its place among the writes of its leadership: it is answered after what was
//! proposed before it and before what was proposed after it. So a caller that sends a write and a
//! read without waiting sees its own write, and the other way round does not. When an entry
//! proposed after a read is committed, a quorum has followed this leader since the read came: that
//! confirms the read as well.

use std::collections::VecDeque;

use bytes::Bytes;
use multi_raft::MultiReady;
use raft_core::{GroupId, Index, LogId, ReadId, ReadOutcome, Storage};

use crate::request::{Op, RequestError};
use crate::shard::{Outlet, ReadBatch, Shard, WaitingRead};

impl<S: Storage> Shard<S> {
    /// Asks for one confirmation per group with reads that came in this turn.
    pub(crate) fn ask_for_reads(&mut self, io: &mut impl Outlet) {
        for group in std::mem::take(&mut self.reads_open) {
            let id = ReadId(self.next_read);
            self.next_read += 1;
            let Some(replica) = self.replica(group) else { continue };
            let reads = std::mem::take(&mut replica.reads_open);
            if reads.is_empty() {
                continue;
            }
            if self.raft.read_index(group, id).is_err() {
                self.reroute(group, reads, io);
            } else if let Some(replica) = self.replica(group) {
                replica.reads_asked.push_back(ReadBatch { id, confirmed: false, reads });
            }
        }
    }

    /// Leadership was lost before these reads could be answered: nothing was read, they start over.
    pub(crate) fn reroute(
        &mut self,
        group: GroupId,
        reads: impl IntoIterator<Item = WaitingRead>,
        io: &mut impl Outlet,
    ) {
        let leader = self.raft.leader(group).filter(|leader| *leader != self.node);
        for WaitingRead { query, reply_to, .. } in reads {
            match leader {
                Some(leader) => self.answer(reply_to, Err(RequestError::NotLeader { leader }), io),
                // The event that says who leads, or that nobody does, is on its way.
                None => self.park(group, Op::Read(query), reply_to, None, io),
            }
        }
    }

    /// Answers the reads that became safe, and starts those over that lost their leader.
    pub(crate) fn settle_reads(&mut self, ready: &mut MultiReady, io: &mut impl Outlet) {
        for (group, id, outcome) in ready.reads.drain(..) {
            let Some(replica) = self.replica(group) else { continue };
            // A batch that is not there was answered when a later entry was committed.
            let Some(place) = replica.reads_asked.iter().position(|b| b.id == id) else { continue };
            match outcome {
                ReadOutcome::Ready { .. } => {
                    replica.reads_asked[place].confirmed = true;
                    let applied = replica.applied.index;
                    self.serve_reads(group, applied, None, io);
                }
                ReadOutcome::Lost => {
                    let lost = replica.reads_asked.remove(place);
                    self.reroute(group, lost.into_iter().flat_map(|b| b.reads), io);
                }
            }
        }
    }

    /// Leadership is lost: reads that were confirmed and wait for an entry may wait in vain.
    pub(crate) fn reroute_confirmed(&mut self, group: GroupId, io: &mut impl Outlet) {
        let Some(replica) = self.replica(group) else { return };
        let asked = std::mem::take(&mut replica.reads_asked);
        let (confirmed, kept): (VecDeque<_>, _) = asked.into_iter().partition(|b| b.confirmed);
        replica.reads_asked = kept;
        self.reroute(group, confirmed.into_iter().flat_map(|b| b.reads), io);
    }

    /// Answers the reads whose place in the log is reached, in order: `applied` is, and `next`, if
    /// given, is about to be.
    pub(crate) fn serve_reads(
        &mut self,
        group: GroupId,
        applied: Index,
        next: Option<LogId>,
        io: &mut impl Outlet,
    ) {
        let mut answer = Vec::new();
        while let Some(replica) = self.replica(group) {
            let Some(batch) = replica.reads_asked.front_mut() else { return };
            let Some(read) = batch.reads.front() else {
                replica.reads_asked.pop_front();
                continue;
            };
            let passed = next.is_some_and(|next| is_behind(read.floor, next));
            if !(batch.confirmed && read.floor.index <= applied || passed) {
                return;
            }
            let Some(read) = batch.reads.pop_front() else { return };
            answer.clear();
            replica.machine.read(&read.query, &mut answer);
            self.metrics.reads.add(1);
            self.answer(read.reply_to, Ok(Bytes::copy_from_slice(&answer)), io);
        }
    }

    /// How many of these entries may be applied before a read has its turn.
    pub(crate) fn entries_before_reads(
        &mut self,
        group: GroupId,
        entries: &[(LogId, Bytes)],
    ) -> usize {
        let waiting = self.replica(group).and_then(|replica| {
            let reads = replica.reads_asked.iter().flat_map(|b| b.reads.front());
            reads.map(|read| read.floor).next()
        });
        let Some(floor) = waiting else { return entries.len() };
        entries.iter().position(|(id, _)| is_behind(floor, *id)).unwrap_or(entries.len())
    }
}

/// Whether an entry was proposed by the same leadership after everything up to `floor`.
fn is_behind(floor: LogId, entry: LogId) -> bool {
    entry.term == floor.term && entry.index > floor.index
}
