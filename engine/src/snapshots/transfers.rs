//! Sending snapshots to followers whose log starts too late: one at a time to each node, one piece
//! under way, paced so that everything else on the lane has its turn.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use net::{Answer, Bulk, Piece};
use raft_core::{GroupId, Index, InstallSnapshot, NodeId, SnapshotMeta, SnapshotStatus, Term};

use super::SnapshotJob;

/// How long the answer to a piece may take.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// Bytes per millisecond that a follower surely reads and flushes before it answers the last piece.
const VERIFIED_PER_MILLI: u64 = 64 << 10;

/// How far the snapshot that is first in line has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The next part is read when its time has come.
    Due { offset: u64, at: Instant },
    /// The next part is being read.
    Reading { offset: u64, until: Instant },
    /// A piece is on its way.
    Sent { until: Instant },
}

/// A snapshot for a follower.
#[derive(Debug)]
struct Transfer {
    group: GroupId,
    term: Term,
    snapshot: SnapshotMeta,
    file_bytes: u64,
    step: Step,
}

/// The snapshots for one node, the first of them on its way.
#[derive(Debug)]
struct Line {
    to: NodeId,
    transfers: VecDeque<Transfer>,
}

/// What is to be done for the transfers.
#[derive(Debug)]
pub(crate) enum Deed {
    /// Work on files.
    Job(SnapshotJob),
    /// Put this on the lane to a node.
    Send(NodeId, Bulk),
    /// The core is to know how a snapshot is doing.
    Tell(GroupId, NodeId, SnapshotStatus),
}

/// All snapshots on their way from a shard.
#[derive(Debug)]
pub(crate) struct Transfers {
    lines: Vec<Line>,
    bytes_per_second: u64,
    /// When the next byte may leave.
    free_at: Option<Instant>,
    deeds: Vec<Deed>,
}

impl Transfers {
    /// None yet; together they send no more than this.
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        let bytes_per_second = bytes_per_second.max(1);
        Self { lines: Vec::new(), bytes_per_second, free_at: None, deeds: Vec::new() }
    }

    /// The core wants a snapshot sent.
    pub(crate) fn begin(
        &mut self,
        to: NodeId,
        group: GroupId,
        message: &InstallSnapshot,
        now: Instant,
    ) {
        let place = match self.lines.iter().position(|line| line.to == to) {
            Some(place) => place,
            None => {
                self.lines.push(Line { to, transfers: VecDeque::new() });
                self.lines.len() - 1
            }
        };
        let transfers = &mut self.lines[place].transfers;
        let snapshot = (*message.snapshot).clone();
        // Asked for again after a time-out: the old one is as good as lost.
        transfers.retain(|t| t.group != group);
        let step = Step::Due { offset: 0, at: now };
        transfers.push_back(Transfer { group, term: message.term, snapshot, file_bytes: 0, step });
    }

    /// A part was read.
    pub(crate) fn read(
        &mut self,
        to: NodeId,
        (group, index): (GroupId, Index),
        file_bytes: u64,
        offset: u64,
        data: Option<Bytes>,
        now: Instant,
    ) {
        let Some(transfer) = self.first(to).filter(|t| {
            t.group == group
                && t.snapshot.last.index == index
                && matches!(t.step, Step::Reading { offset: o, .. } if o == offset)
        }) else {
            return;
        };
        let Some(data) = data else {
            return self.fail_first(to);
        };
        transfer.file_bytes = file_bytes;
        let is_last = offset + data.len() as u64 >= file_bytes;
        let to_verify = if is_last { file_bytes } else { 0 };
        let wait = ANSWER_WAIT + Duration::from_millis(to_verify / VERIFIED_PER_MILLI);
        transfer.step = Step::Sent { until: now + wait };
        let (term, snapshot) = (transfer.term, transfer.snapshot.clone());
        let nanos = data.len() as u64 * 1_000_000_000 / self.bytes_per_second;
        self.free_at = Some(self.free_at.unwrap_or(now).max(now) + Duration::from_nanos(nanos));
        let piece = Piece { group, term, snapshot, file_bytes, offset, data };
        self.deeds.push(Deed::Send(to, Bulk::Piece(piece)));
    }

    /// A follower has answered a piece.
    pub(crate) fn answered(&mut self, from: NodeId, answer: &Answer, now: Instant) {
        let free_at = self.free_at.unwrap_or(now);
        let fits = |t: &&mut Transfer| {
            t.group == answer.group
                && t.snapshot.last == answer.last
                && matches!(t.step, Step::Sent { .. })
        };
        let Some(transfer) = self.first(from).filter(fits) else {
            return;
        };
        let group = transfer.group;
        match answer.next {
            Some(offset) if offset < transfer.file_bytes => {
                transfer.step = Step::Due { offset, at: free_at };
                self.deeds.push(Deed::Tell(group, from, SnapshotStatus::Moving));
            }
            // That it was installed the follower's core says itself.
            Some(_) => {
                self.pop_first(from);
                self.deeds.push(Deed::Tell(group, from, SnapshotStatus::Moving));
            }
            None => self.fail_first(from),
        }
    }

    /// The lane to a node is gone, or never knew of snapshots.
    pub(crate) fn lost(&mut self, to: NodeId) {
        while self.first(to).is_some() {
            self.fail_first(to);
        }
    }

    /// Time goes on: begins what is due and gives up who does not answer.
    pub(crate) fn advance_to(&mut self, now: Instant) {
        for place in 0..self.lines.len() {
            let Line { to, transfers } = &mut self.lines[place];
            let (to, Some(first)) = (*to, transfers.front_mut()) else {
                continue;
            };
            match first.step {
                Step::Due { offset, at } if at <= now => {
                    first.step = Step::Reading { offset, until: now + ANSWER_WAIT };
                    let (group, index) = (first.group, first.snapshot.last.index);
                    self.deeds.push(Deed::Job(SnapshotJob::Read { to, group, index, offset }));
                }
                Step::Reading { until, .. } | Step::Sent { until } if until <= now => {
                    self.fail_first(to);
                }
                _ => {}
            }
        }
    }

    /// When something is due next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let firsts = self.lines.iter().filter_map(|line| line.transfers.front());
        let deadlines = firsts.map(|t| match t.step {
            Step::Due { at, .. } => at,
            Step::Reading { until, .. } | Step::Sent { until } => until,
        });
        deadlines.min()
    }

    /// What is to be done, in order.
    pub(crate) fn take_deeds(&mut self) -> Vec<Deed> {
        std::mem::take(&mut self.deeds)
    }

    fn first(&mut self, to: NodeId) -> Option<&mut Transfer> {
        self.lines.iter_mut().find(|line| line.to == to)?.transfers.front_mut()
    }

    fn pop_first(&mut self, to: NodeId) -> Option<Transfer> {
        self.lines.iter_mut().find(|line| line.to == to)?.transfers.pop_front()
    }

    fn fail_first(&mut self, to: NodeId) {
        if let Some(transfer) = self.pop_first(to) {
            tracing::warn!(group = %transfer.group, %to, "a snapshot does not arrive");
            self.deeds.push(Deed::Tell(transfer.group, to, SnapshotStatus::Failed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft_core::{ConfState, LogId};

    const TO: NodeId = NodeId(2);
    const GROUP: GroupId = GroupId(1);

    fn install(index: u64) -> InstallSnapshot {
        let last = LogId::new(Term(1), Index(index));
        let conf = ConfState::of_voters([NodeId(1), TO]);
        InstallSnapshot { term: Term(1), snapshot: Box::new(SnapshotMeta { last, conf }) }
    }

    fn read_offset(deeds: &[Deed]) -> Option<u64> {
        deeds.iter().find_map(|deed| match deed {
            Deed::Job(SnapshotJob::Read { offset, .. }) => Some(*offset),
            _ => None,
        })
    }

    fn answer(index: u64, next: Option<u64>) -> Answer {
        Answer { group: GROUP, last: LogId::new(Term(1), Index(index)), next }
    }

    #[test]
    fn it_goes_on_where_the_follower_says_and_no_faster_than_it_may() {
        let mut transfers = Transfers::new(100);
        let now = Instant::now();
        transfers.begin(TO, GROUP, &install(9), now);
        transfers.advance_to(now);
        assert_eq!(read_offset(&transfers.take_deeds()), Some(0));
        transfers.read(TO, (GROUP, Index(9)), 1000, 0, Some(Bytes::from(vec![0; 50])), now);
        assert!(matches!(&transfers.take_deeds()[..], [Deed::Send(TO, Bulk::Piece(_))]));
        transfers.answered(TO, &answer(9, Some(300)), now);
        transfers.advance_to(now + Duration::from_millis(499));
        assert_eq!(read_offset(&transfers.take_deeds()), None, "50 bytes take half a second");
        assert_eq!(transfers.next_deadline(), Some(now + Duration::from_millis(500)));
        transfers.advance_to(now + Duration::from_millis(500));
        assert_eq!(read_offset(&transfers.take_deeds()), Some(300));
        transfers.read(TO, (GROUP, Index(9)), 1000, 300, Some(Bytes::new()), now);
        transfers.answered(TO, &answer(9, Some(1000)), now);
        assert_eq!(transfers.next_deadline(), None, "it is over");
    }

    #[test]
    fn who_verifies_a_large_file_is_waited_for() {
        let (mut transfers, now, bytes) = (Transfers::new(1 << 40), Instant::now(), 4 << 30);
        transfers.begin(TO, GROUP, &install(9), now);
        transfers.advance_to(now);
        transfers.read(TO, (GROUP, Index(9)), bytes, 0, Some(Bytes::from_static(b"12345")), now);
        assert_eq!(transfers.next_deadline(), Some(now + ANSWER_WAIT));
        transfers.answered(TO, &answer(9, Some(bytes - 5)), now);
        let later = now + Duration::from_secs(1);
        transfers.advance_to(later);
        let data = Some(Bytes::from_static(b"12345"));
        transfers.read(TO, (GROUP, Index(9)), bytes, bytes - 5, data, later);
        let until = later + ANSWER_WAIT + Duration::from_secs(65);
        assert!(transfers.next_deadline().is_some_and(|at| at > until), "4 GiB take a while");
    }

    #[test]
    fn whoever_does_not_answer_is_given_up() {
        let mut transfers = Transfers::new(1 << 30);
        let now = Instant::now();
        transfers.begin(TO, GROUP, &install(9), now);
        transfers.begin(TO, GroupId(2), &install(5), now);
        transfers.advance_to(now);
        transfers.read(TO, (GROUP, Index(9)), 10, 0, Some(Bytes::from_static(b"12345")), now);
        transfers.take_deeds();
        transfers.answered(TO, &answer(8, Some(5)), now);
        assert!(transfers.take_deeds().is_empty(), "an answer to something else");
        transfers.advance_to(now + ANSWER_WAIT);
        let deeds = transfers.take_deeds();
        assert!(matches!(&deeds[..], [Deed::Tell(GROUP, TO, SnapshotStatus::Failed)]), "{deeds:?}");
        transfers.advance_to(now + ANSWER_WAIT);
        assert_eq!(read_offset(&transfers.take_deeds()), Some(0), "the next in line");
        transfers.lost(TO);
        assert!(matches!(
            &transfers.take_deeds()[..],
            [Deed::Tell(GroupId(2), TO, SnapshotStatus::Failed)]
        ));
    }
}
