//! Persist before send: batches on their way to the disk, and what waits for them.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::ids::{Index, NodeId, Term, Tick};
use crate::message::Message;
use crate::ready::PersistSeq;
use crate::state::HardState;

/// How many messages wait for the disk at most. While a disk hangs the peers go on asking; answers
/// beyond this are lost like any other message may be.
const GATES_MAX: usize = 1024;

/// What becomes possible when a batch is durable.
#[derive(Clone, Debug)]
pub(crate) enum Gated {
    /// A message may leave.
    Message(NodeId, Message),
    /// This replica's own vote in this term counts (thesis 3.4, 3.8).
    OwnVote(Term),
}

/// A batch handed out and not yet confirmed.
#[derive(Clone, Copy, Debug)]
struct Batch {
    seq: PersistSeq,
    /// The last index that is durable once this batch is. Lowered when the log is truncated below
    /// it: a later entry at the same index, even an equal one, is durable with its own batch only.
    last: Index,
    /// When it was handed out.
    since: Tick,
}

/// Batches in flight, and gates.
#[derive(Clone, Debug)]
pub(crate) struct Persist {
    /// Oldest first; hardly ever more than a few.
    batches: Vec<Batch>,
    gates: VecDeque<(PersistSeq, Gated)>,
    issued: PersistSeq,
    durable: PersistSeq,
    /// The batch that holds the newest term and vote.
    hard: PersistSeq,
    handed: HardState,
}

impl Persist {
    pub(crate) fn new(handed: HardState) -> Self {
        Self {
            batches: Vec::new(),
            gates: VecDeque::new(),
            issued: PersistSeq(0),
            durable: PersistSeq(0),
            hard: PersistSeq(0),
            handed,
        }
    }

    /// The number the next batch will have.
    #[inline]
    fn coming(&self) -> PersistSeq {
        PersistSeq(self.issued.0 + 1)
    }

    /// The newest batch handed out.
    pub(crate) fn issued(&self) -> PersistSeq {
        self.issued
    }

    /// The term or the vote changed: promises about them wait for the coming batch.
    pub(crate) fn hard_changed(&mut self) {
        self.hard = self.coming();
    }

    /// Whether the term or the vote changed since the last batch. The commit index alone never
    /// counts: losing it costs nothing, and a batch of its own would cost a flush.
    #[inline]
    pub(crate) fn is_hard_due(&self) -> bool {
        self.hard > self.issued
    }

    /// Whether the newest term and vote are durable.
    pub(crate) fn is_hard_durable(&self) -> bool {
        self.hard <= self.durable
    }

    /// Since when the oldest batch has been on its way to the disk.
    pub(crate) fn waiting_since(&self) -> Option<Tick> {
        self.batches.first().map(|batch| batch.since)
    }

    /// The batch that makes the log durable up to `index`, which is beyond what is durable.
    #[inline]
    pub(crate) fn batch_of(&self, index: Index) -> PersistSeq {
        self.batches.iter().find(|b| b.last >= index).map_or(self.coming(), |b| b.seq)
    }

    /// Whether what waits for the term, the vote and the batch `log` may happen now.
    #[inline]
    pub(crate) fn is_open(&self, log: PersistSeq) -> bool {
        self.hard.max(log) <= self.durable
    }

    /// Lets `gated` wait for the term, the vote and the batch `log`, of which something is not
    /// durable. Messages beyond a limit are dropped.
    #[inline]
    pub(crate) fn close(&mut self, log: PersistSeq, gated: Gated) {
        let seq = self.hard.max(log);
        if self.gates.is_empty() {
            self.gates.push_back((seq, gated));
        } else {
            self.close_among(seq, gated);
        }
    }

    fn close_among(&mut self, seq: PersistSeq, gated: Gated) {
        if self.gates.len() >= GATES_MAX && matches!(gated, Gated::Message(..)) {
            return;
        }
        // Sorted, oldest batch first; gates of one batch open in the order they were closed.
        let at = self.gates.iter().rposition(|(s, _)| *s <= seq).map_or(0, |i| i + 1);
        self.gates.insert(at, (seq, gated));
    }

    /// Promises made in a term that is over are not kept waiting: nobody needs them.
    pub(crate) fn drop_gates(&mut self) {
        self.gates.clear();
    }

    /// The log was truncated: batches in flight no longer vouch for `from` and beyond.
    pub(crate) fn truncate(&mut self, from: Index) {
        for batch in &mut self.batches {
            batch.last = batch.last.min(from.prev());
        }
    }

    /// Hands out a batch that ends the log at `last`. Returns its number, and the hard state if it
    /// differs from the last one handed out.
    #[inline]
    pub(crate) fn hand_out(
        &mut self,
        hard: HardState,
        last: Index,
        now: Tick,
    ) -> (PersistSeq, Option<HardState>) {
        self.issued = self.coming();
        self.batches.push(Batch { seq: self.issued, last, since: now });
        let changed = hard != self.handed;
        self.handed = hard;
        (self.issued, changed.then_some(hard))
    }

    /// Everything up to `seq` is durable. Returns how far the log is durable by that.
    #[inline]
    pub(crate) fn confirm(&mut self, seq: PersistSeq) -> Index {
        self.durable = self.durable.max(seq);
        match self.batches[..] {
            [] => Index(0),
            [batch] if batch.seq <= seq => {
                self.batches.clear();
                batch.last
            }
            _ => self.confirm_some(seq),
        }
    }

    fn confirm_some(&mut self, seq: PersistSeq) -> Index {
        let count = self.batches.iter().take_while(|b| b.seq <= seq).count();
        self.batches.drain(..count).map(|b| b.last).max().unwrap_or(Index(0))
    }

    /// The next gate that is open.
    #[inline]
    pub(crate) fn open_gate(&mut self) -> Option<Gated> {
        let open = self.gates.front().is_some_and(|(seq, _)| *seq <= self.durable);
        if open { self.gates.pop_front().map(|(_, gated)| gated) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::{GATES_MAX, Gated, Persist};
    use crate::ids::{Index, NodeId, Term, Tick};
    use crate::message::{HeartbeatReply, Message};
    use crate::ready::PersistSeq;
    use crate::state::HardState;

    fn own_vote(term: u64) -> Gated {
        Gated::OwnVote(Term(term))
    }

    #[test]
    fn a_batch_vouches_only_for_what_was_not_truncated_since() {
        let mut p = Persist::new(HardState::default());
        p.hand_out(HardState::default(), Index(5), Tick(0));
        p.truncate(Index(5));
        p.hand_out(HardState::default(), Index(5), Tick(0));
        p.truncate(Index(5));
        p.hand_out(HardState::default(), Index(5), Tick(0));
        assert_eq!(p.batch_of(Index(5)), PersistSeq(3));
        assert_eq!(p.confirm(PersistSeq(1)), Index(4));
        assert_eq!(p.confirm(PersistSeq(2)), Index(4));
        assert_eq!(p.confirm(PersistSeq(3)), Index(5));
    }

    #[test]
    fn gates_open_in_the_order_of_their_batches() {
        let mut p = Persist::new(HardState::default());
        p.hand_out(HardState::default(), Index(1), Tick(0));
        p.hand_out(HardState::default(), Index(2), Tick(0));
        for batch in [2, 1] {
            assert!(!p.is_open(PersistSeq(batch)));
            p.close(PersistSeq(batch), own_vote(batch));
        }
        assert!(p.is_open(PersistSeq(0)), "already durable");
        assert!(p.open_gate().is_none());
        p.confirm(PersistSeq(1));
        assert!(matches!(p.open_gate(), Some(Gated::OwnVote(Term(1)))));
        assert!(p.open_gate().is_none());
        p.confirm(PersistSeq(2));
        assert!(matches!(p.open_gate(), Some(Gated::OwnVote(Term(2)))));
    }

    #[test]
    fn a_hanging_disk_does_not_fill_the_memory() {
        let mut p = Persist::new(HardState::default());
        p.hard_changed();
        let reply = HeartbeatReply { term: Term(1), round: 0 };
        for _ in 0..2 * GATES_MAX {
            let gated = Gated::Message(NodeId(2), Message::HeartbeatReply(reply));
            p.close(PersistSeq(0), gated);
        }
        p.close(PersistSeq(0), own_vote(1));
        p.hand_out(HardState::default(), Index(0), Tick(0));
        p.confirm(PersistSeq(1));
        let opened = core::iter::from_fn(|| p.open_gate()).count();
        assert_eq!(opened, GATES_MAX + 1, "the own vote is never lost");
    }

    #[test]
    fn the_commit_index_alone_is_no_reason_for_a_batch() {
        let mut p = Persist::new(HardState::default());
        assert!(!p.is_hard_due());
        p.hard_changed();
        assert!(p.is_hard_due());
        let hard = HardState { term: Term(1), vote: None, commit: Index(0) };
        assert_eq!(p.hand_out(hard, Index(0), Tick(0)).1, Some(hard));
        assert!(!p.is_hard_due());
        assert_eq!(p.hand_out(hard, Index(1), Tick(0)).1, None);
        let later = HardState { commit: Index(1), ..hard };
        assert_eq!(p.hand_out(later, Index(2), Tick(0)).1, Some(later));
    }
}
