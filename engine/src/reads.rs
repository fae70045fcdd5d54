//! Linearizable reads: all reads of a group that come in one turn share one confirmation (thesis 6.4).

use multi_raft::MultiReady;
use raft_core::{GroupId, ReadId, ReadOutcome, Storage};

use bytes::Bytes;

use crate::request::{Op, RequestError};
use crate::shard::{Outlet, Shard, WaitingRead};

impl<S: Storage> Shard<S> {
    /// Asks for one confirmation per group with reads that came in this turn.
    pub(crate) fn ask_for_reads(&mut self, io: &mut impl Outlet) {
        let mut groups = std::mem::take(&mut self.reads_open);
        for group in groups.drain(..) {
            let id = ReadId(self.next_read);
            self.next_read += 1;
            let Some(replica) = self.replica(group) else {
                continue;
            };
            let reads = std::mem::take(&mut replica.reads_open);
            if reads.is_empty() {
                continue;
            }
            match self.raft.read_index(group, id) {
                Ok(()) => {
                    if let Some(replica) = self.replica(group) {
                        replica.reads_asked.push_back((id, reads));
                    }
                }
                Err(_) => self.reroute(group, reads, io),
            }
        }
        self.reads_open = groups;
    }

    /// Leadership went elsewhere before these reads were confirmed: nothing was read, they start over.
    fn reroute(&mut self, group: GroupId, reads: Vec<WaitingRead>, io: &mut impl Outlet) {
        let leading = self.raft.leader(group) == Some(self.node);
        for read in reads {
            let Some(replica) = self.replica(group) else {
                return;
            };
            if replica.leading && !leading {
                // The event that leadership is lost is still on its way: do not ask here again.
                self.answer(read.reply_to, Err(RequestError::NoLeader), io);
            } else {
                self.route(group, Op::Read(read.query), read.reply_to, io);
            }
        }
    }

    /// Answers the reads that became safe, and starts those over that lost their leader.
    pub(crate) fn settle_reads(&mut self, ready: &mut MultiReady, io: &mut impl Outlet) {
        for (group, id, outcome) in ready.reads.drain(..) {
            let Some(replica) = self.replica(group) else {
                continue;
            };
            let Some(place) = replica
                .reads_asked
                .iter()
                .position(|(asked, _)| *asked == id)
            else {
                continue;
            };
            let Some((_, reads)) = replica.reads_asked.remove(place) else {
                continue;
            };
            match outcome {
                ReadOutcome::Ready { .. } => self.read_now(group, reads, io),
                ReadOutcome::Lost => self.reroute(group, reads, io),
            }
        }
    }

    fn read_now(&mut self, group: GroupId, reads: Vec<WaitingRead>, io: &mut impl Outlet) {
        self.metrics.reads.add(reads.len() as u64);
        let mut buffer = Vec::new();
        for read in reads {
            let Some(replica) = self.replica(group) else {
                return;
            };
            buffer.clear();
            replica.machine.read(&read.query, &mut buffer);
            self.answer(read.reply_to, Ok(Bytes::copy_from_slice(&buffer)), io);
        }
    }
}
