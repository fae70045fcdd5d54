use bytes::Bytes;
use raft_core::{
    AppendEntries, ConfState, Entry, EntryKind, Heartbeat, Index, InstallSnapshot, LogId, Message,
    NodeId, PreVote, SnapshotMeta, Term,
};

use super::*;
use crate::frame::FrameHeader;
use crate::inbox::Inbox;

fn append(data_bytes: usize) -> Message {
    Message::AppendEntries(AppendEntries {
        term: Term(1),
        prev: LogId::default(),
        commit: Index(0),
        entries: vec![Entry {
            id: LogId::new(Term(1), Index(1)),
            kind: EntryKind::Normal,
            data: Bytes::from(vec![1; data_bytes]),
        }]
        .into(),
    })
}

fn heartbeat(round: u64) -> Message {
    Message::Heartbeat(Heartbeat { term: Term(1), commit: Index(1), round })
}

/// The frames of `bytes`, in bytes and records.
fn frames(mut bytes: &[u8]) -> Vec<(usize, u32)> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let header = FrameHeader::read(bytes).unwrap().unwrap();
        frames.push((header.frame_bytes(), header.records));
        bytes = &bytes[header.frame_bytes()..];
    }
    frames
}

#[test]
fn a_turn_is_one_frame_and_silence_is_none() {
    let mut outbox = Outbox::new(OutboxLimits::default());
    let mut out = Vec::new();
    assert_eq!(outbox.seal_into(&mut out), 0);
    for round in 0..1000 {
        assert!(outbox.push(GroupId(round), &heartbeat(round)));
    }
    assert!(!outbox.is_empty());
    let sealed = outbox.seal_into(&mut out);
    assert_eq!(frames(&out), [(sealed, 1000)]);
    assert!(outbox.is_empty());
    assert_eq!(outbox.seal_into(&mut out), 0);

    outbox.push(GroupId(1), &heartbeat(1));
    let second = outbox.seal_into(&mut out);
    assert_eq!(frames(&out), [(sealed, 1000), (second, 1)]);

    let mut inbox = Inbox::new();
    inbox.feed(&out);
    for round in 0..1000 {
        assert_eq!(inbox.next(), Ok(Some((GroupId(round), heartbeat(round)))));
    }
    assert_eq!(inbox.next(), Ok(Some((GroupId(1), heartbeat(1)))));
    assert_eq!(inbox.next(), Ok(None));
}

#[test]
fn more_than_a_frame_becomes_several() {
    let mut outbox = Outbox::new(OutboxLimits { bytes_max: 64 << 20, reserve_bytes: 0 });
    for _ in 0..7 {
        assert!(outbox.push(GroupId(1), &append(3 << 20)));
    }
    let mut out = vec![];
    outbox.seal_into(&mut out);
    let records: Vec<_> = frames(&out).into_iter().map(|(_, records)| records).collect();
    assert_eq!(records, [2, 2, 2, 1]);
    let mut inbox = Inbox::new();
    inbox.feed(&out);
    for _ in 0..7 {
        assert_eq!(inbox.next(), Ok(Some((GroupId(1), append(3 << 20)))));
    }
    assert_eq!(inbox.next(), Ok(None));
}

#[test]
fn a_full_outbox_drops_entries_and_keeps_room_for_votes_and_heartbeats() {
    let limits = OutboxLimits { bytes_max: 1000, reserve_bytes: 100 };
    let mut outbox = Outbox::new(limits);
    while outbox.push(GroupId(1), &append(50)) {}
    assert_eq!(outbox.dropped(), 1);
    assert!(outbox.bytes() <= limits.bytes_max);
    let vote = Message::PreVote(PreVote { term: Term(2), last: LogId::default() });
    assert!(outbox.push(GroupId(1), &vote));
    while outbox.push(GroupId(1), &heartbeat(1)) {}
    assert_eq!(outbox.dropped(), 2);
    assert!(outbox.bytes() > limits.bytes_max);
    assert!(outbox.bytes() <= limits.bytes_max + limits.reserve_bytes);
    outbox.clear();
    assert!(outbox.is_empty() && outbox.push(GroupId(1), &append(50)));
}

#[test]
fn a_message_beyond_the_limit_passes_alone_and_one_beyond_a_frame_never() {
    let mut outbox = Outbox::new(OutboxLimits { bytes_max: 1000, reserve_bytes: 0 });
    assert!(outbox.push(GroupId(1), &append(5000)));
    assert!(!outbox.push(GroupId(1), &append(5000)));
    let mut out = Vec::new();
    outbox.seal_into(&mut out);
    assert_eq!(frames(&out).len(), 1);
    assert!(!outbox.push(GroupId(1), &append(FRAME_BYTES_MAX)));
    let fixed = codec::encoded_bytes(&append(0)) + FRAME_HEADER_BYTES;
    assert!(outbox.push(GroupId(1), &append(FRAME_BYTES_MAX - fixed)));
    out.clear();
    assert_eq!(outbox.seal_into(&mut out), FRAME_BYTES_MAX);
}

#[test]
fn sealing_into_an_empty_buffer_copies_nothing() {
    let mut outbox = Outbox::new(OutboxLimits::default());
    let mut out = Vec::with_capacity(100);
    let spare = out.as_ptr();
    outbox.push(GroupId(1), &heartbeat(1));
    let held = outbox.bytes.as_ptr();
    outbox.seal_into(&mut out);
    assert_eq!((out.as_ptr(), outbox.bytes.as_ptr()), (held, spare));
}

#[test]
fn a_configuration_that_contradicts_itself_does_not_travel() {
    let mut outbox = Outbox::new(OutboxLimits::default());
    let install = |voters: Vec<NodeId>| {
        let conf = ConfState { voters, ..ConfState::default() };
        let snapshot = Box::new(SnapshotMeta { last: LogId::default(), conf });
        Message::InstallSnapshot(InstallSnapshot { term: Term(1), snapshot })
    };
    assert!(!outbox.push(GroupId(1), &install(vec![NodeId(2), NodeId(1)])));
    assert_eq!((outbox.dropped(), outbox.is_empty()), (1, true));
    assert!(outbox.push(GroupId(1), &install(vec![NodeId(1), NodeId(2)])));
}
