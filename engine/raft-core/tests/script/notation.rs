//! How things are written down.

use raft_core::{
    AppendOutcome, ConfState, Entry, EntryKind, Event, Fault, HardState, Message, NodeId,
    PeerState, PeerStatus, ReadOutcome, Role, SnapshotMeta, Status,
};

use super::node::Node;

/// The kinds of messages, each with its name in etcd/raft.
pub(crate) const KINDS: [(&str, &str); 10] = [
    ("PreVote", "MsgPreVote"),
    ("PreVoteReply", "MsgPreVoteResp"),
    ("RequestVote", "MsgVote"),
    ("RequestVoteReply", "MsgVoteResp"),
    ("AppendEntries", "MsgApp"),
    ("AppendEntriesReply", "MsgAppResp"),
    ("Heartbeat", "MsgHeartbeat"),
    ("HeartbeatReply", "MsgHeartbeatResp"),
    ("TimeoutNow", "MsgTimeoutNow"),
    ("InstallSnapshot", "MsgSnap"),
];

/// Which of [`KINDS`] a message is.
pub(crate) const fn kind(message: &Message) -> &'static str {
    let at = match message {
        Message::PreVote(_) => 0,
        Message::PreVoteReply(_) => 1,
        Message::RequestVote(_) => 2,
        Message::RequestVoteReply(_) => 3,
        Message::AppendEntries(_) => 4,
        Message::AppendEntriesReply(_) => 5,
        Message::Heartbeat(_) => 6,
        Message::HeartbeatReply(_) => 7,
        Message::TimeoutNow(_) => 8,
        Message::InstallSnapshot(_) => 9,
    };
    KINDS[at].0
}

/// `1->2 AppendEntries term=1 prev=1/10 commit=10 [1/11 "x"]`
pub(crate) fn message(from: u64, to: u64, message: &Message) -> String {
    let body = match message {
        Message::PreVote(m) => format!("last={}", m.last),
        Message::PreVoteReply(m) => format!("asked={} {}", m.asked, verdict(m.granted)),
        Message::RequestVote(m) => {
            format!("last={}{}", m.last, if m.transfer { " transfer" } else { "" })
        }
        Message::RequestVoteReply(m) => verdict(m.granted).into(),
        Message::AppendEntries(m) => {
            let list = if m.entries.is_empty() { String::new() } else { entries(&m.entries) };
            format!("prev={} commit={} {list}", m.prev, m.commit)
        }
        Message::AppendEntriesReply(m) => match m.outcome {
            AppendOutcome::Accepted { matched } => format!("accepted matched={matched}"),
            AppendOutcome::Rejected { prev, hint, last } => {
                format!("rejected prev={prev} hint={hint} last={last}")
            }
            AppendOutcome::Stale => "stale".into(),
        },
        Message::Heartbeat(m) => format!("commit={} round={}", m.commit, m.round),
        Message::HeartbeatReply(m) => format!("round={}", m.round),
        Message::TimeoutNow(_) => String::new(),
        Message::InstallSnapshot(m) => snapshot(&m.snapshot),
    };
    let text = format!("{from}->{to} {} term={} {body}", kind(message), message.term());
    text.trim_end().into()
}

const fn verdict(granted: bool) -> &'static str {
    if granted { "granted" } else { "refused" }
}

/// `last=1/11 voters=(1,2,3)`
pub(crate) fn snapshot(snapshot: &SnapshotMeta) -> String {
    format!("last={} {}", snapshot.last, conf(&snapshot.conf))
}

/// `voters=(1,2)&&(1,2,3) learners=(4) learners-next=(3) auto-leave`
pub(crate) fn conf(conf: &ConfState) -> String {
    let mut text = format!("voters={}", nodes(&conf.voters));
    if conf.is_joint() {
        text += &format!("&&{}", nodes(&conf.voters_outgoing));
    }
    for (name, list) in [("learners", &conf.learners), ("learners-next", &conf.learners_next)] {
        if !list.is_empty() {
            text += &format!(" {name}={}", nodes(list));
        }
    }
    if conf.auto_leave {
        text += " auto-leave";
    }
    text
}

fn nodes(list: &[NodeId]) -> String {
    let list: Vec<_> = list.iter().map(ToString::to_string).collect();
    format!("({})", list.join(","))
}

/// `1/11 "x"`, `1/11 no-op`, `1/11 voters=(1,2)`
pub(crate) fn entry(entry: &Entry) -> String {
    let id = entry.id;
    match entry.kind {
        EntryKind::Normal => format!("{id} {:?}", String::from_utf8_lossy(&entry.data)),
        EntryKind::NoOp => format!("{id} no-op"),
        EntryKind::ConfChange => match ConfState::decode(&entry.data) {
            Some(state) => format!("{id} {}", conf(&state)),
            None => format!("{id} unreadable configuration"),
        },
    }
}

/// `[1/11 "x", 1/12 "y"]`
pub(crate) fn entries(list: &[Entry]) -> String {
    let list: Vec<_> = list.iter().map(entry).collect();
    format!("[{}]", list.join(", "))
}

/// `term=2 vote=1 commit=10`
pub(crate) fn hard(hard: &HardState) -> String {
    format!("term={} vote={} commit={}", hard.term, somebody(hard.vote), hard.commit)
}

fn somebody(node: Option<NodeId>) -> String {
    node.map_or("none".into(), |id| id.to_string())
}

/// What is persisted: the parts that are there.
pub(crate) fn batch(
    hard_state: Option<&HardState>,
    installed: Option<&SnapshotMeta>,
    list: &[Entry],
) -> String {
    let mut parts: Vec<String> = hard_state.map(hard).into_iter().collect();
    parts.extend(installed.map(|s| format!("snapshot({})", snapshot(s))));
    if !list.is_empty() {
        parts.push(entries(list));
    }
    parts.join(" ")
}

const fn role(role: Role) -> &'static str {
    match role {
        Role::Follower => "follower",
        Role::PreCandidate => "pre-candidate",
        Role::Candidate => "candidate",
        Role::Leader => "leader",
    }
}

/// `state: leader term=2 leader=1`, `event: lost 2/12`
pub(crate) fn event(node: &Node, event: &Event) -> String {
    match event {
        Event::Changed { role: now, term, leader } => {
            format!("state: {} term={term} leader={}", role(*now), somebody(*leader))
        }
        Event::Established { term } => format!("event: established term={term}"),
        Event::Lost { id } => format!("event: lost {id}"),
        Event::Uncertain { id } => format!("event: uncertain {id}"),
        Event::ConfChanged { index } => match node.core.conf_at(*index) {
            Some(state) => format!("event: configuration {index} {}", conf(state)),
            None => format!("event: configuration {index}"),
        },
        Event::TransferAborted { to } => format!("event: transfer to {to} aborted"),
        Event::Fetch { from, to } => format!("event: fetch {from}..{to}"),
        Event::Fault(f) => format!("fault: {}", fault(f)),
    }
}

fn fault(fault: &Fault) -> String {
    match fault {
        Fault::CommitBeyondLog { commit, last } => {
            format!("{commit} was committed but the log ends at {last}")
        }
        Fault::CommittedConflict { index } => format!("two histories at {index}"),
        Fault::Storage { index, error } => format!("reading {index}: {error}"),
        Fault::TwoLeaders { term } => format!("two leaders in term {term}"),
        Fault::AppliedUnasked { applied, delivered } => {
            format!("{applied} was applied but only {delivered} was handed out")
        }
    }
}

/// `read 7: ready at 11`, `read 7: lost`
pub(crate) fn read(id: u64, outcome: &ReadOutcome) -> String {
    match outcome {
        ReadOutcome::Ready { index } => format!("read {id}: ready at {index}"),
        ReadOutcome::Lost => format!("read {id}: lost"),
    }
}

/// `1: leader (voter) term=2 vote=1 leader=1 commit=11 applied=11 last=2/11`
pub(crate) fn state(node: &Node) -> String {
    let Status { id, soft, hard, last, applied, .. } = node.core.status();
    if node.core.is_stopped() {
        return format!("{id}: stopped term={}", hard.term);
    }
    let state = node.core.conf();
    let votes = state.voters.contains(&id) || state.voters_outgoing.contains(&id);
    let place = match (votes, state.contains(id)) {
        (true, _) => "voter",
        (false, true) => "learner",
        (false, false) => "no member",
    };
    let (now, leader) = (role(soft.role), somebody(soft.leader));
    let (term, vote, commit) = (hard.term, somebody(hard.vote), hard.commit);
    format!(
        "{id}: {now} ({place}) term={term} vote={vote} leader={leader} commit={commit} \
         applied={applied} last={last}"
    )
}

/// `2: replicate matched=11 next=12 inflight=1 (3 bytes)`
pub(crate) fn peer(peer: &PeerStatus) -> String {
    let PeerStatus { id, matched, next, inflight_messages: messages, .. } = peer;
    let state = match peer.state {
        PeerState::Probe => "probe",
        PeerState::Replicate => "replicate",
        PeerState::Snapshot => "snapshot",
    };
    let mut text = format!("{id}: {state} matched={matched} next={next}");
    if *messages > 0 {
        text += &format!(" inflight={messages} ({} bytes)", peer.inflight_bytes);
    }
    for (is, word) in [(!peer.voter, " learner"), (!peer.active, " inactive")] {
        if is {
            text += word;
        }
    }
    text
}
