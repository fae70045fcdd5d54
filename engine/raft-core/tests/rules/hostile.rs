//! Rule 2, and everything a broken or lying peer may send: a refusal or a fault, never a panic.

use proptest::prelude::*;
use raft_core::{
    AppendEntries, AppendEntriesReply, AppendOutcome, Event, Fault, Heartbeat, HeartbeatReply,
    Index, LogId, Message, NodeId, PreVote, PreVoteReply, RequestVote, RequestVoteReply, StepError,
    Term, Tick,
};

use crate::common::id;
use crate::common::solo::{
    Solo, accepted, append, ask_vote, config, disk_with, entry, heartbeat, heartbeat_reply,
    rejected,
};

fn fault(s: &Solo) -> Option<Fault> {
    s.events.iter().find_map(|e| if let Event::Fault(f) = e { Some(*f) } else { None })
}

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
    assert_eq!(fault(&f), Some(lost));
    assert_eq!(f.take(), []);
}

/// Rule 4: a conflict at or below commit means two histories.
#[test]
fn a_conflict_below_commit_stops_the_replica() {
    let mut f = Solo::on(config(), disk_with(&[1, 2, 3], &[1, 1, 1], 2));
    f.step(2, append(3, id(1, 1), 0, &[(2, 2)]));
    assert_eq!(fault(&f), Some(Fault::CommittedConflict { index: Index(2) }));
    let mut f = Solo::on(config(), disk_with(&[1, 2, 3], &[1, 1, 1], 2));
    f.step(2, append(3, id(2, 2), 0, &[(3, 3)]));
    assert_eq!(fault(&f), Some(Fault::CommittedConflict { index: Index(2) }));
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
    ];
    let before = s.core.status();
    for message in nonsense {
        let result = s.core.handle_message(NodeId(2), message.clone());
        assert_eq!(result, Err(StepError::Malformed), "{message:?}");
        assert_eq!(s.core.status(), before);
    }
    for stranger in [0, 1, 9] {
        let from = NodeId(stranger);
        let result = s.core.handle_message(from, heartbeat(9, 0, 0));
        assert_eq!(result, Err(StepError::UnknownPeer(from)));
    }
    assert_eq!(s.take(), []);
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..6_u64, 1 => any::<u64>(), 1 => Just(1 << 62), 1 => Just(u64::MAX)]
}

fn log_id() -> impl Strategy<Value = LogId> {
    (number(), number()).prop_map(|(t, i)| LogId::new(Term(t), Index(i)))
}

fn append_entries() -> impl Strategy<Value = Message> {
    let terms = proptest::collection::vec(1..5_u64, 0..4);
    (number(), log_id(), number(), terms, any::<bool>()).prop_map(|(t, prev, c, terms, sort)| {
        let mut terms = terms;
        if sort {
            terms.sort_unstable();
        }
        let mut index = prev.index.0;
        let follow = |term| {
            index = index.wrapping_add(1);
            entry(term, index)
        };
        let entries = terms.into_iter().map(follow).collect();
        Message::AppendEntries(AppendEntries { term: Term(t), prev, commit: Index(c), entries })
    })
}

fn message() -> impl Strategy<Value = Message> {
    let outcome = prop_oneof![
        number().prop_map(|m| AppendOutcome::Accepted { matched: Index(m) }),
        (number(), log_id(), number()).prop_map(|(p, hint, l)| AppendOutcome::Rejected {
            prev: Index(p),
            hint,
            last: Index(l)
        }),
        Just(AppendOutcome::Stale),
    ];
    let term = || number().prop_map(Term);
    prop_oneof![
        (term(), log_id()).prop_map(|(term, last)| Message::PreVote(PreVote { term, last })),
        (term(), term(), any::<bool>()).prop_map(|(term, asked, granted)| {
            Message::PreVoteReply(PreVoteReply { term, asked, granted })
        }),
        (term(), log_id(), any::<bool>()).prop_map(|(term, last, transfer)| {
            Message::RequestVote(RequestVote { term, last, transfer })
        }),
        (term(), any::<bool>()).prop_map(|(term, granted)| {
            Message::RequestVoteReply(RequestVoteReply { term, granted })
        }),
        append_entries(),
        append_entries(),
        (term(), outcome).prop_map(|(term, outcome)| {
            Message::AppendEntriesReply(AppendEntriesReply { term, outcome })
        }),
        (term(), number(), number()).prop_map(|(term, commit, round)| {
            Message::Heartbeat(Heartbeat { term, commit: Index(commit), round })
        }),
        (term(), number())
            .prop_map(|(term, round)| { Message::HeartbeatReply(HeartbeatReply { term, round }) }),
    ]
}

fn limits() -> ProptestConfig {
    ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(limits())]

    /// Whatever peers send, in whatever order: the replica refuses, faults or copes.
    #[test]
    fn no_message_panics(
        messages in proptest::collection::vec((0..3_u64, message(), 0..12_u64), 1..60),
        lead in any::<bool>(),
    ) {
        let disk = disk_with(&[1, 2, 3], &[1, 1, 2], 1);
        let mut s = if lead {
            Solo::leader_on(config(), disk)
        } else {
            Solo::on(config(), disk)
        };
        for (from, message, ticks) in messages {
            let _ = s.core.handle_message(NodeId(from + 1), message);
            s.core.handle_time(Tick(s.core.now().0 + ticks.saturating_sub(9)));
            s.turn();
        }
    }
}
