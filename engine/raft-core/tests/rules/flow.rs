//! Rules 4, 5 and 6, and the limits: how entries flow, and how a stuck flow recovers.

use raft_core::{
    Bytes, ConfChange, ConfStep, Config, Event, Fault, Index, Message, NodeId, ProposeError,
    StorageError,
};

use crate::common::disk::Disk;
use crate::common::id;
use crate::common::solo::{
    Solo, accepted, append, appends, config, disk_with, heartbeat_reply, rejected, snapshot,
};

fn narrow() -> Config {
    Config { inflight_messages_max: 2, message_bytes_max: 1, ..config() }
}

/// A leader of term 1 whose follower 2 has everything so far.
fn leading(config: Config) -> Solo {
    let mut s = Solo::leader_on(config, Disk::new(&[1, 2, 3]));
    s.step(2, accepted(1, 1));
    s.take();
    s
}

/// Rule 4: an append that starts below commit is answered with commit at least.
#[test]
fn an_append_below_commit_is_answered_with_commit() {
    let mut f = Solo::on(config(), disk_with(&[1, 2, 3], &[1, 1, 1], 2));
    f.step(2, append(2, id(0, 0), 0, &[(1, 1)]));
    assert_eq!(f.take(), [(2, accepted(2, 2))]);
    f.step(2, append(2, id(1, 1), 0, &[(1, 2), (1, 3), (2, 4)]));
    assert_eq!(f.take(), [(2, accepted(2, 4))], "what lies beyond is taken");
}

/// Rule 5: refusals that answer an older question change nothing.
#[test]
fn stale_refusals_are_ignored() {
    let mut s = leading(config());
    s.propose("a");
    s.propose("b");
    s.take();
    s.step(2, rejected(1, 1, id(0, 0), 0));
    assert_eq!(s.take_for(2), [], "at the match: stale");
    s.step(2, rejected(1, 2, id(1, 1), 1));
    let again = appends(&s.take_for(2));
    assert_eq!(again, [(id(1, 1), 1, id(1, 3))], "beyond the match: resent from there");
    s.step(2, rejected(1, 2, id(1, 1), 1));
    assert_eq!(s.take_for(2), [], "the same refusal again");
}

/// Rule 6: the window is full and everything in it was lost; one heartbeat round later it flows.
#[test]
fn a_lost_window_recovers_within_a_heartbeat_round() {
    let mut s = leading(narrow());
    for data in ["a", "b", "c", "d"] {
        s.propose(data);
    }
    let lost = appends(&s.take_for(2));
    assert_eq!(lost, [(id(1, 1), 1, id(1, 2)), (id(1, 2), 1, id(1, 3))], "two in flight");
    s.ticks(2);
    s.take();
    s.step(2, heartbeat_reply(1, 0));
    assert_eq!(appends(&s.take_for(2)), [(id(1, 3), 1, id(1, 3))], "an empty one asks");
    s.step(2, rejected(1, 3, id(1, 1), 1));
    assert_eq!(appends(&s.take_for(2)), [(id(1, 1), 1, id(1, 2))]);
    s.step(2, accepted(1, 2));
    let on = appends(&s.take_for(2));
    assert_eq!(on, [(id(1, 2), 2, id(1, 3)), (id(1, 3), 2, id(1, 4))]);
}

/// Rule 6: a lost probe is repeated after a heartbeat was answered.
#[test]
fn a_lost_probe_is_repeated() {
    let mut s = Solo::leader(&[1, 2, 3]);
    s.take();
    s.propose("a");
    assert_eq!(s.take(), [], "one probe at a time");
    s.step(3, heartbeat_reply(1, 0));
    assert_eq!(appends(&s.take_for(3)), [(id(0, 0), 0, id(1, 2))]);
}

/// Rule 6: what was compacted is not sent, and above all not with a previous term of zero; the
/// snapshot is.
#[test]
fn a_follower_below_the_base_gets_the_snapshot() {
    let disk = disk_with(&[1, 2, 3], &[1, 1, 1], 3);
    disk.compact(Index(2), Index(2));
    let mut s = Solo::leader_on(config(), disk);
    s.take();
    s.step(2, rejected(2, 3, id(0, 0), 0));
    assert_eq!(s.take_for(2), [snapshot(2, id(1, 2), s.core.conf())]);
    s.propose("a");
    s.step(2, heartbeat_reply(2, 0));
    s.step(2, rejected(2, 2, id(0, 0), 0));
    assert_eq!(s.take_for(2), [], "nothing else until it answers");
    s.step(2, accepted(2, 2));
    let on = appends(&s.take_for(2));
    assert_eq!((on[0].0, on.last().map(|a| a.2)), (id(1, 2), Some(id(2, 5))), "the log goes on");
}

/// Rule 6: the storage may have dropped entries without the core being told. Then too what the
/// follower gets is the snapshot.
#[test]
fn entries_dropped_in_silence_are_replaced_by_the_snapshot() {
    let disk = disk_with(&[1, 2, 3], &[1, 1, 1, 1], 4);
    disk.compact(Index(3), Index(0));
    let mut s = Solo::leader_on(Config { log_cache_bytes_max: 0, ..config() }, disk);
    s.disk.compacted.set(2);
    s.take();
    s.step(2, rejected(2, 4, id(0, 0), 0));
    assert_eq!(s.take_for(2), [snapshot(2, id(1, 3), s.core.conf())]);
    assert!(!s.core.is_stopped());
}

/// Rule 6: the window was lost, and the log compacted before anybody noticed: a heartbeat round
/// later the question about it is refused, and the snapshot goes out.
#[test]
fn a_window_lost_and_compacted_ends_in_a_snapshot() {
    let mut s = leading(narrow());
    for data in ["a", "b", "c", "d"] {
        s.propose(data);
        let last = s.last().index.0;
        s.step(3, accepted(1, last));
    }
    assert_eq!(s.core.commit(), Index(5));
    s.ticks(1);
    s.take();
    s.disk.compact(Index(4), Index(4));
    s.core.handle_compacted(Index(4));
    s.ticks(2);
    assert_eq!(appends(&s.take_for(2)), []);
    s.step(2, heartbeat_reply(1, 0));
    let gone = snapshot(1, id(1, 4), s.core.conf());
    assert_eq!(s.take_for(2), [gone], "what it needs next is in no log");
    s.step(2, accepted(1, 4));
    assert_eq!(appends(&s.take_for(2)), [(id(1, 4), 5, id(1, 5))]);
}

/// Any number of proposals between two polls leaves as one message per follower.
#[test]
fn proposals_of_one_turn_share_a_message() {
    let mut s = leading(config());
    for _ in 0..100 {
        s.core.handle_proposal(Bytes::from_static(b"a")).unwrap();
    }
    s.turn();
    assert_eq!(appends(&s.take_for(2)), [(id(1, 1), 1, id(1, 101))]);
}

/// Messages are cut at the limit; one entry that is larger goes alone.
#[test]
fn messages_are_cut_at_the_limit() {
    let mut s = leading(Config { message_bytes_max: 4, ..config() });
    for data in ["aa", "bb", "cccccc", "d"] {
        s.core.handle_proposal(Bytes::from(data)).unwrap();
    }
    s.turn();
    let ends: Vec<_> = appends(&s.take_for(2)).iter().map(|a| a.2).collect();
    assert_eq!(ends, [id(1, 3), id(1, 4), id(1, 5)]);
}

/// Proposals beyond the limit are refused; one is always taken when nothing is open.
#[test]
fn uncommitted_bytes_are_limited() {
    let limits = Config { uncommitted_bytes_max: 4, entry_bytes_max: 8, ..config() };
    let mut s = leading(limits);
    let mut propose = |data: &str| {
        let result = s.core.handle_proposal(Bytes::from(data.to_owned()));
        s.turn();
        result
    };
    assert_eq!(propose("123456789"), Err(ProposeError::TooLarge));
    assert_eq!(propose("12345678"), Ok(id(1, 2)), "larger than the limit, but alone");
    assert_eq!(propose("1"), Err(ProposeError::Busy));
    s.step(2, accepted(1, 2));
    let mut propose = |data: &str| s.core.handle_proposal(Bytes::from(data.to_owned()));
    assert_eq!(propose("12"), Ok(id(1, 3)));
    assert_eq!(propose("34"), Ok(id(1, 4)));
    assert_eq!(propose("5"), Err(ProposeError::Busy));
}

/// What is counted as committed was counted as proposed: the bytes of a change of the members too.
#[test]
fn a_change_of_members_frees_its_own_bytes_only() {
    let mut s = leading(Config { uncommitted_bytes_max: 60, ..config() });
    s.change(&ConfChange::new([ConfStep::AddLearner(NodeId(4))]));
    s.propose("123456789012345678");
    s.step(2, accepted(1, 2));
    assert_eq!(s.core.commit(), Index(2), "the change, not yet the proposal");
    let more = |len| Bytes::from(vec![7; len]);
    assert_eq!(s.core.handle_proposal(more(43)), Err(ProposeError::Busy));
    assert!(s.core.handle_proposal(more(42)).is_ok(), "sixty in all");
}

/// Committed entries come in portions.
#[test]
fn committed_entries_come_in_portions() {
    let disk = disk_with(&[1, 2, 3], &[1; 10], 10);
    let mut s = Solo::on(Config { committed_bytes_max: 7, ..config() }, disk);
    s.poll();
    assert_eq!(s.applied.len(), 2, "three bytes each");
    assert!(s.core.has_ready());
    s.turn();
    assert_eq!(s.applied.len(), 10);
}

/// Entries that left the cache are read from the storage. While it fetches them it is asked once,
/// everything else goes on, and no timer brings the question back: the host does.
#[test]
fn entries_out_of_memory_are_fetched() {
    let disk = disk_with(&[1, 2, 3], &[1; 6], 0);
    let mut s = Solo::leader_on(Config { log_cache_bytes_max: 0, ..config() }, disk);
    s.take();
    s.disk.fault.set(Some(StorageError::Pending));
    s.events.clear();
    s.step(2, rejected(2, 6, id(0, 0), 0));
    let sending = Event::Fetch { from: Index(1), to: Index(7) };
    assert_eq!((s.take_for(2), &s.events[..]), (vec![], &[sending][..]));
    s.events.clear();
    s.step(3, accepted(2, 7));
    assert_eq!((s.core.commit(), s.applied.len()), (Index(7), 0), "applying waits too");
    assert!(s.events.contains(&Event::Fetch { from: Index(1), to: Index(7) }));
    s.events.clear();
    s.disk.fault.set(None);
    s.propose("a");
    let to_others = s.take();
    assert!(to_others.iter().any(|(to, _)| *to == 3), "who needs no old entries gets the new");
    s.ticks(2);
    s.step(2, heartbeat_reply(2, 0));
    assert_eq!(appends(&s.take_for(2)), [], "not before they are there");
    assert_eq!((s.applied.len(), &s.events[..]), (0, &[][..]), "asked once");
    s.core.handle_fetched();
    s.turn();
    assert_eq!(appends(&s.take_for(2))[0].0, id(0, 0));
    assert_eq!(s.applied.len(), 7);
}

/// What cannot be read any more stops the group, and says so.
#[test]
fn damage_stops_the_group() {
    let disk = disk_with(&[1, 2, 3], &[1; 6], 0);
    let mut s = Solo::leader_on(config(), disk);
    s.disk.fault.set(Some(StorageError::Corrupt));
    s.take();
    s.step(2, rejected(2, 6, id(0, 0), 0));
    let fault = Fault::Storage { index: Index(1), error: StorageError::Corrupt };
    assert!(s.events.contains(&Event::Fault(fault)));
    assert_eq!(s.take(), []);
    let heartbeat = s.core.handle_message(NodeId(2), heartbeat_reply(2, 0));
    assert_eq!(heartbeat, Err(raft_core::StepError::Stopped));
}

/// Storage that hands out other entries than the log holds is damage, not data.
#[test]
fn foreign_entries_are_damage() {
    let mut s = Solo::leader_on(config(), disk_with(&[1, 2, 3], &[1; 6], 0));
    s.disk.platter.borrow_mut().entries[3].id = id(9, 4);
    s.take();
    s.step(2, rejected(2, 6, id(0, 0), 0));
    assert!(s.core.is_stopped());
}

/// A follower that is far behind is sent what the cache holds from the cache.
#[test]
fn the_cache_serves_followers_that_lag() {
    let mut s = leading(config());
    for _ in 0..50 {
        let last = s.propose("abc");
        s.step(2, accepted(1, last.index.0));
    }
    s.take();
    let before = s.disk.reads.get();
    s.step(3, accepted(1, 1));
    let sent = s.take_for(3);
    assert!(matches!(&sent[..], [Message::AppendEntries(m)] if m.entries.len() == 50));
    assert_eq!(s.disk.reads.get(), before);
}
