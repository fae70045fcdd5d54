use proptest::prelude::*;
use raft_core::NodeId;

use super::*;

fn log_ids() -> impl Strategy<Value = LogId> {
    (any::<u64>(), any::<u64>()).prop_map(|(term, index)| LogId::new(Term(term), Index(index)))
}

fn appends() -> impl Strategy<Value = Message> {
    let data = prop::collection::vec(any::<u8>(), 0..64);
    let kind =
        prop::sample::select(vec![EntryKind::Normal, EntryKind::NoOp, EntryKind::ConfChange]);
    let entries = prop::collection::vec((any::<u64>(), kind, data), 0..8);
    (any::<u64>(), log_ids(), any::<u64>(), entries).prop_map(|(term, mut prev, commit, parts)| {
        prev.index.0 = prev.index.0.min(u64::MAX - 8);
        let mut index = prev.index;
        let entries = parts
            .into_iter()
            .map(|(term, kind, data)| {
                index = index.next();
                Entry { id: LogId::new(Term(term), index), kind, data: data.into() }
            })
            .collect();
        Message::AppendEntries(AppendEntries {
            term: Term(term),
            prev,
            commit: Index(commit),
            entries,
        })
    })
}

fn outcomes() -> impl Strategy<Value = AppendOutcome> {
    prop_oneof![
        any::<u64>().prop_map(|matched| AppendOutcome::Accepted { matched: Index(matched) }),
        (any::<u64>(), log_ids(), any::<u64>()).prop_map(|(prev, hint, last)| {
            AppendOutcome::Rejected { prev: Index(prev), hint, last: Index(last) }
        }),
        Just(AppendOutcome::Stale),
    ]
}

/// Every sound configuration of a few nodes, joint ones among them.
fn confs() -> impl Strategy<Value = ConfState> {
    // Each node draws its parts: a voter, of the old configuration, a learner, a learner to be.
    let parts = prop::collection::btree_map(1..=u64::MAX, 0..6u8, 0..12);
    (parts, any::<bool>()).prop_map(|(parts, auto_leave)| {
        let among = |kinds: &[u8]| -> Vec<NodeId> {
            let drawn = parts.iter().filter(|(_, part)| kinds.contains(part));
            drawn.map(|(id, _)| NodeId(*id)).collect()
        };
        let conf = ConfState {
            voters: among(&[0, 1]),
            voters_outgoing: among(&[1, 2, 3]),
            learners: among(&[4]),
            learners_next: among(&[3]),
            auto_leave: auto_leave && !among(&[1, 2, 3]).is_empty(),
        };
        if conf.is_sound() { conf } else { ConfState::default() }
    })
}

/// Every message there is.
pub(crate) fn messages() -> impl Strategy<Value = Message> {
    let term = || any::<u64>().prop_map(Term);
    prop_oneof![
        (term(), log_ids()).prop_map(|(term, last)| Message::PreVote(PreVote { term, last })),
        (term(), term(), any::<bool>()).prop_map(|(term, asked, granted)| {
            Message::PreVoteReply(PreVoteReply { term, asked, granted })
        }),
        (term(), log_ids(), any::<bool>()).prop_map(|(term, last, transfer)| {
            Message::RequestVote(RequestVote { term, last, transfer })
        }),
        (term(), any::<bool>()).prop_map(|(term, granted)| {
            Message::RequestVoteReply(RequestVoteReply { term, granted })
        }),
        appends(),
        (term(), outcomes()).prop_map(|(term, outcome)| {
            Message::AppendEntriesReply(AppendEntriesReply { term, outcome })
        }),
        (term(), any::<u64>(), any::<u64>()).prop_map(|(term, commit, round)| {
            Message::Heartbeat(Heartbeat { term, commit: Index(commit), round })
        }),
        (term(), any::<u64>())
            .prop_map(|(term, round)| Message::HeartbeatReply(HeartbeatReply { term, round })),
        term().prop_map(|term| Message::TimeoutNow(TimeoutNow { term })),
        (term(), log_ids(), confs()).prop_map(|(term, last, conf)| {
            let snapshot = Box::new(SnapshotMeta { last, conf });
            Message::InstallSnapshot(InstallSnapshot { term, snapshot })
        }),
    ]
}

/// Decodes all of `bytes`, checking that every step goes forward.
fn decode_all(bytes: Vec<u8>) -> Result<Vec<(GroupId, Message)>, RecordError> {
    let mut body = Bytes::from(bytes);
    let mut messages = Vec::new();
    while !body.is_empty() {
        let before = body.len();
        messages.push(decode(&mut body)?);
        assert!(body.len() < before, "decoding goes forward");
    }
    Ok(messages)
}

proptest! {
    #[test]
    fn messages_come_back(parts in prop::collection::vec((any::<u64>(), messages()), 0..8)) {
        let parts: Vec<_> = parts.into_iter().map(|(group, m)| (GroupId(group), m)).collect();
        let mut bytes = Vec::new();
        for (group, message) in &parts {
            let before = bytes.len();
            encode(*group, message, &mut bytes);
            prop_assert_eq!(bytes.len() - before, encoded_bytes(message));
        }
        prop_assert_eq!(decode_all(bytes).unwrap(), parts);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = decode_all(bytes);
    }

    #[test]
    fn arbitrary_payloads_of_every_kind_never_panic(
        kind in 0..=14u8,
        flags in 0..3u8,
        payload in prop::collection::vec(prop_oneof![Just(0), Just(1), any::<u8>()], 0..128),
    ) {
        let mut bytes = vec![0; RECORD_HEADER_BYTES];
        bytes[8..12].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        bytes[12] = kind;
        bytes[13] = flags;
        bytes.extend_from_slice(&payload);
        let _ = decode_all(bytes);
    }

    /// What decodes has one encoding only: a changed record is another message or none.
    #[test]
    fn mutated_records_are_other_messages_or_none(
        group in any::<u64>(),
        message in messages(),
        at in any::<prop::sample::Index>(),
        change in 1..=255u8,
    ) {
        let mut bytes = Vec::new();
        encode(GroupId(group), &message, &mut bytes);
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        let mut body = Bytes::from(bytes.clone());
        if let Ok((other_group, other)) = decode(&mut body) {
            prop_assert!(other_group != GroupId(group) || other != message);
            let mut again = Vec::new();
            encode(other_group, &other, &mut again);
            prop_assert_eq!(&again[..], &bytes[..bytes.len() - body.len()]);
        }
    }

    /// Counts and orders that lie, behind a header that does not.
    #[test]
    fn arbitrary_configurations_never_panic(
        conf in prop::collection::vec(prop_oneof![0..4u8, any::<u8>()], 0..96),
    ) {
        let mut bytes = snapshot_record(&ConfState::of_voters([NodeId(1)]));
        bytes.truncate(RECORD_HEADER_BYTES + 24);
        bytes.extend_from_slice(&conf);
        bytes[8..12].copy_from_slice(&(24 + conf.len() as u32).to_le_bytes());
        if let Ok((_, message)) = decode(&mut Bytes::from(bytes.clone())) {
            let mut again = Vec::new();
            encode(GroupId(1), &message, &mut again);
            prop_assert_eq!(again, bytes);
        }
    }

    #[test]
    fn a_cut_record_is_an_error(
        message in messages(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = Vec::new();
        encode(GroupId(1), &message, &mut bytes);
        bytes.truncate(cut.index(bytes.len()));
        prop_assert_eq!(decode(&mut Bytes::from(bytes)), Err(RecordError::Truncated));
    }
}

fn append(prev: u64, data: &'static [u8]) -> Message {
    Message::AppendEntries(AppendEntries {
        term: Term(7),
        prev: LogId::new(Term(6), Index(prev)),
        commit: Index(40),
        entries: vec![Entry {
            id: LogId::new(Term(7), Index(prev + 1)),
            kind: EntryKind::Normal,
            data: Bytes::from_static(data),
        }]
        .into(),
    })
}

fn snapshot_record(conf: &ConfState) -> Vec<u8> {
    let last = LogId::new(Term(6), Index(41));
    let snapshot = Box::new(SnapshotMeta { last, conf: conf.clone() });
    let message = Message::InstallSnapshot(InstallSnapshot { term: Term(7), snapshot });
    let mut bytes = Vec::new();
    encode(GroupId(1), &message, &mut bytes);
    bytes
}

fn joint() -> ConfState {
    let nodes = |list: &[u64]| list.iter().copied().map(NodeId).collect();
    ConfState {
        voters: nodes(&[1, 2, 5]),
        voters_outgoing: nodes(&[1, 3]),
        learners: nodes(&[7]),
        learners_next: nodes(&[3]),
        auto_leave: true,
    }
}

/// The bytes of PROTOCOL.md.
#[test]
fn the_bytes_of_records_do_not_change() {
    let mut bytes = Vec::new();
    encode(GroupId(0x0102), &append(41, b"hi"), &mut bytes);
    #[rustfmt::skip]
    let golden = [
        0x02, 0x01, 0, 0, 0, 0, 0, 0,  58, 0, 0, 0, 5, 0, 0, 0,
        7, 0, 0, 0, 0, 0, 0, 0,  6, 0, 0, 0, 0, 0, 0, 0,
        41, 0, 0, 0, 0, 0, 0, 0,  40, 0, 0, 0, 0, 0, 0, 0,
        1, 0, 0, 0, 0, 0, 0, 0,
        7, 0, 0, 0, 0, 0, 0, 0,  2, 0, 0, 0, 0, 0, 0, 0,
        b'h', b'i',
    ];
    assert_eq!(bytes, golden);

    bytes.clear();
    let vote = RequestVote { term: Term(9), last: LogId::new(Term(8), Index(3)), transfer: true };
    encode(GroupId(1), &Message::RequestVote(vote), &mut bytes);
    #[rustfmt::skip]
    let golden = [
        1, 0, 0, 0, 0, 0, 0, 0,  24, 0, 0, 0, 3, 1, 0, 0,
        9, 0, 0, 0, 0, 0, 0, 0,  8, 0, 0, 0, 0, 0, 0, 0,  3, 0, 0, 0, 0, 0, 0, 0,
    ];
    assert_eq!(bytes, golden);
}

/// The bytes of PROTOCOL.md.
#[test]
fn the_bytes_of_changed_members_do_not_change() {
    #[rustfmt::skip]
    let golden = [
        1, 0, 0, 0, 0, 0, 0, 0,  85, 0, 0, 0, 12, 0, 0, 0,
        7, 0, 0, 0, 0, 0, 0, 0,  6, 0, 0, 0, 0, 0, 0, 0,  41, 0, 0, 0, 0, 0, 0, 0,
        1,
        3,  1, 0, 0, 0, 0, 0, 0, 0,  2, 0, 0, 0, 0, 0, 0, 0,  5, 0, 0, 0, 0, 0, 0, 0,
        2,  1, 0, 0, 0, 0, 0, 0, 0,  3, 0, 0, 0, 0, 0, 0, 0,
        1,  7, 0, 0, 0, 0, 0, 0, 0,
        1,  3, 0, 0, 0, 0, 0, 0, 0,
    ];
    assert_eq!(snapshot_record(&joint()), golden);

    let mut bytes = Vec::new();
    encode(GroupId(1), &Message::TimeoutNow(TimeoutNow { term: Term(9) }), &mut bytes);
    let golden = [1, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 11, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(bytes, golden);

    bytes.clear();
    let Message::AppendEntries(mut append) = append(41, b"") else { panic!("an append") };
    let data = ConfState::of_voters([NodeId(4)]).encode();
    let id = append.entries[0].id;
    append.entries = vec![Entry { id, kind: EntryKind::ConfChange, data }].into();
    encode(GroupId(1), &Message::AppendEntries(append), &mut bytes);
    #[rustfmt::skip]
    let golden = [
        7, 0, 0, 0, 0, 0, 0, 0,  13, 0, 0, 0, 2, 0, 0, 0,
        0,  1, 4, 0, 0, 0, 0, 0, 0, 0,  0, 0, 0,
    ];
    assert_eq!(bytes[RECORD_HEADER_BYTES + APPEND_FIXED_BYTES..], golden);
}

#[test]
fn configurations_that_lie_are_refused() {
    let whole = snapshot_record(&joint());
    let conf_at = RECORD_HEADER_BYTES + 24;
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        let payload_bytes = bytes.len() - RECORD_HEADER_BYTES;
        bytes[8..12].copy_from_slice(&(payload_bytes as u32).to_le_bytes());
        decode(&mut Bytes::from(bytes)).unwrap_err()
    };
    for end in conf_at..whole.len() {
        assert_eq!(changed(&|bytes| bytes.truncate(end)), RecordError::Configuration);
    }
    assert_eq!(changed(&|bytes| bytes.push(0)), RecordError::Configuration);
    // An unknown flag, a list longer than the record, nodes that descend, a learner who votes.
    for (at, byte) in [(0, 2), (1, 255), (2, 9), (26, 200), (44, 5)] {
        assert_eq!(changed(&|bytes| bytes[conf_at + at] = byte), RecordError::Configuration);
    }
    let cut = changed(&|bytes| bytes.truncate(conf_at - 1));
    assert_eq!(cut, RecordError::Length { kind: 12 });

    let mut timeout = Vec::new();
    encode(GroupId(1), &Message::TimeoutNow(TimeoutNow { term: Term(9) }), &mut timeout);
    timeout[13] = 1;
    let unknown = RecordError::UnknownValue { kind: 11 };
    assert_eq!(decode(&mut timeout.into()), Err(unknown), "it has no flag");
}

#[test]
fn the_data_of_entries_is_not_copied() {
    let mut bytes = Vec::new();
    encode(GroupId(1), &append(1, b"payload"), &mut bytes);
    let mut body = Bytes::from(bytes);
    let range = body.as_ptr_range();
    let (_, message) = decode(&mut body).unwrap();
    let Message::AppendEntries(append) = message else { panic!("an append comes back") };
    assert!(range.contains(&append.entries[0].data.as_ptr()));
}

#[test]
fn lengths_that_lie_are_refused_before_anything_is_allocated() {
    let mut bytes = Vec::new();
    encode(GroupId(1), &append(1, b"x"), &mut bytes);

    let mut many_entries = bytes.clone();
    many_entries[48..56].copy_from_slice(&u64::MAX.to_le_bytes());
    let length = RecordError::Length { kind: 5 };
    assert_eq!(decode(&mut many_entries.into()), Err(length));

    let mut long_data = bytes.clone();
    long_data[64..68].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(decode(&mut long_data.into()), Err(length));

    let mut long_record = bytes.clone();
    long_record[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(decode(&mut long_record.into()), Err(RecordError::Truncated));

    let mut last_index = bytes.clone();
    last_index[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(decode(&mut last_index.into()), Err(RecordError::IndexOverflow));

    let mut unknown = bytes.clone();
    unknown[12] = 200;
    assert_eq!(decode(&mut unknown.into()), Err(RecordError::UnknownKind { kind: 200 }));

    bytes[68] = 9;
    assert_eq!(decode(&mut bytes.into()), Err(RecordError::UnknownValue { kind: 5 }));
}
