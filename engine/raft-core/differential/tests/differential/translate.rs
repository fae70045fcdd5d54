//! Messages of `raft-core` as messages of raft-rs, and back.

use raft::eraftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState as TheirConf,
    Entry as TheirEntry, Message as Theirs, MessageType, Snapshot,
};
use raft_core::{
    AppendEntries, AppendEntriesReply, AppendOutcome, Bytes, ConfChange, ConfState, ConfStep,
    Entry, EntryKind, Heartbeat, HeartbeatReply, Index, InstallSnapshot, LogId, Message, NodeId,
    PreVote, PreVoteReply, RequestVote, RequestVoteReply, SnapshotMeta, Term, TimeoutNow,
    Transition,
};

/// What raft-rs writes into a vote request that its leader asked for.
const TRANSFER: &[u8] = b"CampaignTransfer";

/// The bytes of a command; never empty, since raft-rs opens a term with an empty one.
pub(crate) fn data_of(command: u64) -> Bytes {
    Bytes::copy_from_slice(&command.to_le_bytes())
}

/// The command of these bytes.
pub(crate) fn command_of(data: &[u8]) -> u64 {
    u64::from_le_bytes(data.try_into().expect("a command"))
}

pub(crate) fn their_entry(entry: &Entry) -> TheirEntry {
    let data = entry.data.clone();
    TheirEntry { term: entry.id.term.0, index: entry.id.index.0, data, ..TheirEntry::default() }
}

fn our_entry(entry: &TheirEntry) -> Entry {
    let id = LogId::new(Term(entry.term), Index(entry.index));
    let kind = if entry.data.is_empty() { EntryKind::NoOp } else { EntryKind::Normal };
    Entry { id, kind, data: entry.data.clone() }
}

fn numbers(nodes: &[NodeId]) -> Vec<u64> {
    nodes.iter().map(|id| id.0).collect()
}

pub(crate) fn their_conf(conf: &ConfState) -> TheirConf {
    TheirConf {
        voters: numbers(&conf.voters),
        learners: numbers(&conf.learners),
        voters_outgoing: numbers(&conf.voters_outgoing),
        learners_next: numbers(&conf.learners_next),
        auto_leave: conf.auto_leave,
        ..TheirConf::default()
    }
}

pub(crate) fn our_conf(conf: &TheirConf) -> ConfState {
    let nodes = |list: &[u64]| {
        let mut nodes: Vec<_> = list.iter().copied().map(NodeId).collect();
        nodes.sort_unstable();
        nodes
    };
    ConfState {
        voters: nodes(&conf.voters),
        learners: nodes(&conf.learners),
        voters_outgoing: nodes(&conf.voters_outgoing),
        learners_next: nodes(&conf.learners_next),
        auto_leave: conf.auto_leave,
    }
}

pub(crate) fn their_change(change: &ConfChange) -> ConfChangeV2 {
    let mut theirs = ConfChangeV2::default();
    let ConfChange::Steps { steps, transition } = change else {
        return theirs;
    };
    for step in steps {
        let mut single = ConfChangeSingle { node_id: step.node().0, ..Default::default() };
        single.set_change_type(match step {
            ConfStep::AddVoter(_) => ConfChangeType::AddNode,
            ConfStep::AddLearner(_) => ConfChangeType::AddLearnerNode,
            ConfStep::Remove(_) => ConfChangeType::RemoveNode,
        });
        theirs.mut_changes().push(single);
    }
    theirs.set_transition(match transition {
        Transition::Auto => ConfChangeTransition::Auto,
        Transition::JointAuto => ConfChangeTransition::Implicit,
        Transition::JointExplicit => ConfChangeTransition::Explicit,
    });
    theirs
}

/// A change as the context of its entry: raft-rs hides how it reads its own bytes. What a leader
/// appends by itself, to leave a joint configuration, has no context.
pub(crate) fn change_bytes(change: &ConfChange) -> Vec<u8> {
    let ConfChange::Steps { steps, transition } = change else {
        return Vec::new();
    };
    let mut bytes = vec![*transition as u8];
    for step in steps {
        let kind = match step {
            ConfStep::AddVoter(_) => 0,
            ConfStep::AddLearner(_) => 1,
            ConfStep::Remove(_) => 2,
        };
        bytes.extend([kind, step.node().0 as u8]);
    }
    bytes
}

/// The change of these bytes.
pub(crate) fn change_of(bytes: &[u8]) -> ConfChange {
    let Some((transition, steps)) = bytes.split_first() else {
        return ConfChange::Leave;
    };
    let transitions = [Transition::Auto, Transition::JointAuto, Transition::JointExplicit];
    let step = |pair: &[u8]| {
        let node = NodeId(u64::from(pair[1]));
        [ConfStep::AddVoter(node), ConfStep::AddLearner(node), ConfStep::Remove(node)]
            [usize::from(pair[0])]
    };
    let steps = steps.chunks(2).map(step).collect();
    ConfChange::Steps { steps, transition: transitions[usize::from(*transition)] }
}

pub(crate) fn their_snapshot(meta: &SnapshotMeta) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let metadata = snapshot.mut_metadata();
    metadata.index = meta.last.index.0;
    metadata.term = meta.last.term.0;
    metadata.set_conf_state(their_conf(&meta.conf));
    snapshot
}

pub(crate) fn our_snapshot(snapshot: &Snapshot) -> SnapshotMeta {
    let metadata = snapshot.get_metadata();
    let last = LogId::new(Term(metadata.term), Index(metadata.index));
    SnapshotMeta { last, conf: our_conf(metadata.get_conf_state()) }
}

fn set_last(m: &mut Theirs, last: LogId) {
    (m.index, m.log_term) = (last.index.0, last.term.0);
}

/// The message as raft-rs would send it.
pub(crate) fn to_theirs(from: u64, to: u64, message: &Message) -> Theirs {
    let mut m = Theirs { from, to, term: message.term().0, ..Theirs::default() };
    let kind = match message {
        Message::PreVote(ask) => {
            set_last(&mut m, ask.last);
            MessageType::MsgRequestPreVote
        }
        Message::PreVoteReply(reply) => {
            m.reject = !reply.granted;
            m.term = if reply.granted { reply.asked.0 } else { reply.term.0 };
            MessageType::MsgRequestPreVoteResponse
        }
        Message::RequestVote(ask) => {
            set_last(&mut m, ask.last);
            if ask.transfer {
                m.context = TRANSFER.into();
            }
            MessageType::MsgRequestVote
        }
        Message::RequestVoteReply(reply) => {
            m.reject = !reply.granted;
            MessageType::MsgRequestVoteResponse
        }
        Message::AppendEntries(ask) => {
            set_last(&mut m, ask.prev);
            m.commit = ask.commit.0;
            m.set_entries(ask.entries.iter().map(their_entry).collect::<Vec<_>>().into());
            MessageType::MsgAppend
        }
        Message::AppendEntriesReply(reply) => {
            match reply.outcome {
                AppendOutcome::Accepted { matched } => m.index = matched.0,
                AppendOutcome::Rejected { prev, hint, .. } => {
                    (m.reject, m.index) = (true, prev.0);
                    (m.reject_hint, m.log_term) = (hint.index.0, hint.term.0);
                }
                AppendOutcome::Stale => {}
            }
            MessageType::MsgAppendResponse
        }
        Message::Heartbeat(ask) => {
            m.commit = ask.commit.0;
            MessageType::MsgHeartbeat
        }
        Message::HeartbeatReply(_) => MessageType::MsgHeartbeatResponse,
        Message::TimeoutNow(_) => MessageType::MsgTimeoutNow,
        Message::InstallSnapshot(ask) => {
            m.set_snapshot(their_snapshot(&ask.snapshot));
            MessageType::MsgSnapshot
        }
    };
    m.set_msg_type(kind);
    m
}

/// The message as `raft-core` would send it, as far as raft-rs says as much: what it leaves out is
/// zero.
pub(crate) fn to_ours(m: &Theirs) -> Message {
    let term = Term(m.term);
    let last = LogId::new(Term(m.log_term), Index(m.index));
    let (granted, commit) = (!m.reject, Index(m.commit));
    match m.get_msg_type() {
        MessageType::MsgRequestPreVote => Message::PreVote(PreVote { term, last }),
        MessageType::MsgRequestPreVoteResponse => {
            Message::PreVoteReply(PreVoteReply { term, asked: Term(0), granted })
        }
        MessageType::MsgRequestVote => {
            let transfer = m.context == TRANSFER;
            Message::RequestVote(RequestVote { term, last, transfer })
        }
        MessageType::MsgRequestVoteResponse => {
            Message::RequestVoteReply(RequestVoteReply { term, granted })
        }
        MessageType::MsgAppend => {
            let entries = m.get_entries().iter().map(our_entry).collect();
            Message::AppendEntries(AppendEntries { term, prev: last, commit, entries })
        }
        MessageType::MsgAppendResponse => {
            let hint = LogId::new(Term(m.log_term), Index(m.reject_hint));
            let outcome = if m.reject {
                AppendOutcome::Rejected { prev: last.index, hint, last: Index(0) }
            } else {
                AppendOutcome::Accepted { matched: last.index }
            };
            Message::AppendEntriesReply(AppendEntriesReply { term, outcome })
        }
        MessageType::MsgHeartbeat => Message::Heartbeat(Heartbeat { term, commit, round: 0 }),
        MessageType::MsgHeartbeatResponse => {
            Message::HeartbeatReply(HeartbeatReply { term, round: 0 })
        }
        MessageType::MsgTimeoutNow => Message::TimeoutNow(TimeoutNow { term }),
        MessageType::MsgSnapshot => {
            let snapshot = Box::new(our_snapshot(m.get_snapshot()));
            Message::InstallSnapshot(InstallSnapshot { term, snapshot })
        }
        other => panic!("raft-rs sent {other:?}, which its host never asks for"),
    }
}
