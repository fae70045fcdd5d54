//! Messages and configurations out of bytes, such as no correct member would send among them.

use raft_core::{
    AppendEntries, AppendEntriesReply, AppendOutcome, Bytes, ConfChange, ConfState, ConfStep,
    Entry, EntryKind, Heartbeat, HeartbeatReply, Index, InstallSnapshot, LogId, Message, NodeId,
    PreVote, PreVoteReply, RaftCore, RequestVote, RequestVoteReply, Role, SnapshotMeta, Term,
    TimeoutNow, Transition,
};

use super::reader::Reader;
use crate::common::disk::Disk;

/// Nodes have numbers from 1 to this.
pub(super) const NODES: usize = 5;

impl Reader<'_> {
    pub(super) fn node(&mut self) -> NodeId {
        NodeId(1 + self.below(NODES) as u64)
    }

    /// A message for this core, and from whom. Mostly one that its state allows: a leader gets
    /// answers, and a follower hears the leader it knows.
    pub(super) fn message(&mut self, core: &RaftCore<Disk>) -> (NodeId, Message) {
        let (any, likely) = (self.below(NODES + 2) as u64, self.byte() < 200);
        let leader = core.leader().filter(|_| likely && core.role() == Role::Follower);
        let kind = if likely && core.role() == Role::Leader {
            self.pick(&[8, 9, 9, 11, 2, 1])
        } else {
            self.below(14)
        };
        (leader.unwrap_or(NodeId(any)), self.message_of(kind, core))
    }

    fn message_of(&mut self, kind: usize, core: &RaftCore<Disk>) -> Message {
        let term = Term(self.near(core.term().0));
        let (last, commit) = (core.status().last, core.commit());
        match kind {
            0 => Message::PreVote(PreVote { term, last: self.place(core, last.index) }),
            1 => {
                let asked = Term(self.near(core.term().0 + 1));
                Message::PreVoteReply(PreVoteReply { term, asked, granted: self.flag() })
            }
            2 => {
                let last = self.place(core, last.index);
                Message::RequestVote(RequestVote { term, last, transfer: self.flag() })
            }
            3 => Message::RequestVoteReply(RequestVoteReply { term, granted: self.flag() }),
            4..8 => {
                let near = if self.flag() { last.index } else { commit };
                let prev = self.place(core, near);
                let entries = self.entries(prev, term).into();
                let commit = Index(self.near(commit.0));
                Message::AppendEntries(AppendEntries { term, prev, commit, entries })
            }
            8 | 9 => {
                let outcome = self.outcome(core);
                Message::AppendEntriesReply(AppendEntriesReply { term, outcome })
            }
            10 => {
                let commit = Index(self.near(commit.0));
                Message::Heartbeat(Heartbeat { term, commit, round: self.number() })
            }
            11 => {
                let round = self.number() % 16;
                Message::HeartbeatReply(HeartbeatReply { term, round })
            }
            12 => Message::TimeoutNow(TimeoutNow { term }),
            _ => {
                let near = if self.flag() { last.index } else { commit };
                let (last, conf) = (self.place(core, near), self.conf());
                let snapshot = Box::new(SnapshotMeta { last, conf });
                Message::InstallSnapshot(InstallSnapshot { term, snapshot })
            }
        }
    }

    fn place(&mut self, core: &RaftCore<Disk>, near: Index) -> LogId {
        self.log_id(near.0, core.term(), |i| core.term_at(i))
    }

    fn outcome(&mut self, core: &RaftCore<Disk>) -> AppendOutcome {
        let last = core.status().last.index;
        match self.below(8) {
            0 => AppendOutcome::Stale,
            1..5 => {
                let matched = self.near(last.0).min(last.0 + u64::from(self.byte() == 0));
                AppendOutcome::Accepted { matched: Index(matched) }
            }
            _ => {
                let peer = self.below(NODES) + 1;
                let known = core.peers().find(|p| p.id.0 == peer as u64);
                let prev = known.map_or(last, |p| p.next.prev());
                AppendOutcome::Rejected {
                    prev: Index(self.near(prev.0)),
                    hint: self.place(core, prev),
                    last: Index(self.near(last.0)),
                }
            }
        }
    }

    /// Entries after `prev`, mostly such as could be.
    fn entries(&mut self, prev: LogId, end: Term) -> Vec<Entry> {
        let count = self.below(5);
        let mut last = prev;
        let next = |_| {
            let id = match self.byte() {
                0..160 => LogId::new(last.term.max(Term(1)), last.index.next()),
                160..220 => LogId::new(end, last.index.next()),
                220..250 => LogId::new(last.term.next(), last.index.next()),
                _ => LogId::new(Term(self.number()), Index(self.number())),
            };
            last = id;
            let (kind, data) = self.content();
            Entry { id, kind, data }
        };
        (0..count).map(next).collect()
    }

    fn content(&mut self) -> (EntryKind, Bytes) {
        match self.byte() {
            0..150 => (EntryKind::Normal, Bytes::from(vec![7; self.below(40)])),
            150..180 => (EntryKind::NoOp, Bytes::new()),
            180..250 => {
                let conf = self.conf();
                let sound = conf.is_sound();
                (EntryKind::ConfChange, if sound { conf.encode() } else { Bytes::new() })
            }
            _ => {
                let bytes: Vec<u8> = (0..self.below(48)).map(|_| self.byte()).collect();
                (EntryKind::ConfChange, bytes.into())
            }
        }
    }

    /// A configuration: plain, joint, with learners, and now and then one that cannot be.
    pub(super) fn conf(&mut self) -> ConfState {
        let nodes = |mask: u8| (0..NODES as u64).filter(move |n| mask >> n & 1 == 1);
        let list = |mask| nodes(mask).map(|n| NodeId(n + 1)).collect::<Vec<_>>();
        let kind = self.byte();
        let (voters, others) = (self.byte(), self.byte());
        let outgoing = if kind % 3 == 0 { self.byte() } else { 0 };
        let sound = kind < 240;
        let taken = if sound { voters | outgoing } else { 0 };
        let next = if sound { others & outgoing & !voters } else { others >> 3 };
        ConfState {
            voters: list(voters),
            voters_outgoing: list(outgoing),
            learners: list(others & !taken),
            learners_next: list(next),
            auto_leave: kind % 2 == 0 && (outgoing & 31 != 0 || !sound),
        }
    }

    /// A change of the members among the first `nodes` nodes.
    pub(super) fn conf_change(&mut self, nodes: usize) -> ConfChange {
        let transition =
            self.pick(&[Transition::Auto, Transition::JointAuto, Transition::JointExplicit]);
        let count = self.below(4);
        if count == 0 {
            return ConfChange::Leave;
        }
        let step = |_| {
            let node = NodeId(1 + self.below(nodes) as u64);
            match self.below(4) {
                0 | 1 => ConfStep::AddVoter(node),
                2 => ConfStep::AddLearner(node),
                _ => ConfStep::Remove(node),
            }
        };
        ConfChange::Steps { steps: (0..count).map(step).collect(), transition }
    }
}
