//! Rule 2, and everything a broken or lying peer may send: a refusal or a fault, never a panic.

use raft_core::{
    Bytes, ConfState, Entry, EntryKind, Fault, Index, Message, NodeId, PreVoteReply, Role,
    StepError, Term,
};

use crate::common::id;
use crate::common::random::Random;
use crate::common::solo::{
    Solo, accepted, append, append_entries, ask_pre_vote, ask_vote, config, disk_with, entry,
    heartbeat, heartbeat_reply, members, rejected, snapshot, timeout_now, vote,
};
use crate::play;

/// Rule 2: a heartbeat carries no more than the follower acknowledged.
#[test]
fn a_heartbeat_carries_what_the_follower_has() {
    let mut s = Solo::leader(&[1, 2, 3]);
    s.propose("a");
    s.step(2, accepted(1, 2));
    s.take();
    s.ticks(2);
    let sent = s.take();
    assert!(sent.contains(&(2, heartbeat(1, 2, 0))));
    assert!(sent.contains(&(3, heartbeat(1, 0, 0))));
}

/// Rule 2: a follower that lost what it acknowledged stops its group.
#[test]
fn a_follower_that_lost_data_stops() {
    let mut f = Solo::on(config(), disk_with(&[1, 2, 3], &[1, 1], 0));
    f.step(2, heartbeat(1, 3, 0));
    let lost = Fault::CommitBeyondLog { commit: Index(3), last: Index(2) };
    assert_eq!(f.fault(), Some(lost));
    assert_eq!(f.take(), []);
}

/// Rule 4: a conflict at or below commit means two histories.
#[test]
fn a_conflict_below_commit_stops_the_replica() {
    let mut f = Solo::on(config(), disk_with(&[1, 2, 3], &[1, 1, 1], 2));
    f.step(2, append(3, id(1, 1), 0, &[(2, 2)]));
    assert_eq!(f.fault(), Some(Fault::CommittedConflict { index: Index(2) }));
    let mut f = Solo::on(config(), disk_with(&[1, 2, 3], &[1, 1, 1], 2));
    f.step(2, append(3, id(2, 2), 0, &[(3, 3)]));
    assert_eq!(f.fault(), Some(Fault::CommittedConflict { index: Index(2) }));
}

#[test]
fn nonsense_is_refused_and_changes_nothing() {
    let mut s = Solo::leader_on(config(), disk_with(&[1, 2, 3], &[1, 1], 0));
    s.take();
    let huge = Term(u64::MAX);
    let nonsense = [
        append(5, id(1, 1), 0, &[(2, 3)]),
        append(5, id(3, 1), 0, &[(2, 2)]),
        append(5, id(1, 1), 0, &[(6, 2)]),
        append(5, id(6, 1), 0, &[]),
        append(5, id(0, 1), 0, &[]),
        append(5, id(1, 0), 0, &[]),
        append(5, id(1, u64::MAX), 0, &[]),
        append(0, id(0, 0), 0, &[]),
        accepted(2, 99),
        rejected(2, 99, id(0, 0), 0),
        heartbeat_reply(2, 1),
        ask_vote(u64::MAX, id(1, 1)),
        Message::PreVoteReply(PreVoteReply { term: huge, asked: huge, granted: false }),
        timeout_now(0),
        timeout_now(u64::MAX),
        snapshot(5, id(0, 0), &members(&[1, 2], &[])),
        snapshot(5, id(6, 9), &members(&[1, 2], &[])),
        snapshot(5, id(5, u64::MAX), &members(&[1, 2], &[])),
        snapshot(5, id(5, 9), &ConfState::default()),
        snapshot(5, id(5, 9), &members(&[1, 2], &[2])),
        with_conf(&[]),
        with_conf(&[0, 1]),
        with_conf(&ConfState::default().encode()),
        with_conf(&[&members(&[1, 2], &[]).encode()[..], &[0]].concat()),
    ];
    let before = s.core.status();
    for message in nonsense {
        let result = s.core.handle_message(NodeId(2), message.clone());
        assert_eq!(result, Err(StepError::Malformed), "{message:?}");
        assert_eq!(s.core.status(), before);
    }
    assert_eq!(s.take(), []);
}

/// An append whose second entry is a configuration of these bytes.
fn with_conf(data: &[u8]) -> Message {
    let kind = EntryKind::ConfChange;
    let conf = Entry { id: id(5, 4), kind, data: Bytes::copy_from_slice(data) };
    append_entries(5, id(1, 2), 0, vec![entry(5, 3), conf])
}

/// Nobody is asked who could not have been: answers come of members alone, and nothing of this
/// replica itself. A request may come of a member that this replica does not know yet.
#[test]
fn answers_of_strangers_are_refused_and_their_requests_are_not() {
    let mut s = Solo::leader_on(config(), disk_with(&[1, 2, 3], &[1, 1], 0));
    s.take();
    let before = s.core.status();
    for stranger in [0, 1, 9].map(NodeId) {
        let result = s.core.handle_message(stranger, heartbeat_reply(2, 0));
        assert_eq!(result, Err(StepError::UnknownPeer(stranger)));
    }
    for nobody in [0, 1].map(NodeId) {
        let result = s.core.handle_message(nobody, heartbeat(9, 0, 0));
        assert_eq!(result, Err(StepError::UnknownPeer(nobody)));
    }
    assert_eq!((s.core.status(), s.take()), (before, vec![]));
    s.step(9, ask_pre_vote(1, id(1, 1)));
    assert!(matches!(s.take()[..], [(9, Message::PreVoteReply(_))]));
    s.step(9, heartbeat(9, 0, 0));
    assert_eq!((s.core.leader(), s.term()), (Some(NodeId(9)), 9));
}

/// Rule 1: votes that were never asked for, since the question waits for the disk, elect nobody.
#[test]
fn votes_that_nobody_asked_for_elect_nobody() {
    let mut s = Solo::new(&[1, 2, 3]);
    s.auto_sync = false;
    s.core.handle_campaign();
    for liar in [2, 3] {
        s.step(liar, vote(1, true));
    }
    assert_eq!((s.core.role(), s.take()), (Role::Candidate, vec![]), "its own vote is not durable");
    s.sync();
    s.turn();
    assert_eq!(s.core.role(), Role::Leader);
}

/// Whatever peers send, a host asks and a disk answers, in whatever order: the replica refuses,
/// faults or copes. What reads the fuzzer's bytes as inputs reads random ones as well.
#[test]
fn no_input_panics() {
    let mut tally = play::Tally::default();
    for seed in 0..1500 {
        let guard = Guard(seed);
        let mut random = Random::new(seed);
        let bytes: Vec<u8> = (0..40 + random.below(600)).map(|_| random.next() as u8).collect();
        tally += play::run(&bytes);
        std::mem::forget(guard);
    }
    tally.assert_seen(&[
        "leads",
        "established",
        "proposal lost",
        "proposal uncertain",
        "configuration in force",
        "change of members",
        "transfer",
        "transfer aborted",
        "asks a successor",
        "fetch",
        "fault: commit beyond log",
        "fault: committed conflict",
        "fault: storage",
        "fault: two leaders",
        "snapshot sent",
        "snapshot installed",
        "compacted",
        "read ready",
        "read lost",
        "message refused",
        "message of a stranger",
        "restart of a stopped replica",
    ]);
}

/// Names the seed of a run that fails.
struct Guard(u64);

impl Drop for Guard {
    fn drop(&mut self) {
        eprintln!("failed with seed {}", self.0);
    }
}
