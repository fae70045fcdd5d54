use proptest::prelude::*;

use super::*;
use crate::codec::tests::messages;
use crate::error::RecordError;
use crate::frame::{FRAME_HEADER_BYTES, FrameKind};
use crate::outbox::{Outbox, OutboxLimits};

fn sealed(turns: &[Vec<(u64, Message)>]) -> Vec<u8> {
    let mut outbox = Outbox::new(OutboxLimits::default());
    let mut out = Vec::new();
    for turn in turns {
        for (group, message) in turn {
            assert!(outbox.push(GroupId(*group), message));
        }
        outbox.seal_into(&mut out);
    }
    out
}

fn drain(inbox: &mut Inbox, to: &mut Vec<(GroupId, Message)>) -> Result<(), FrameError> {
    while let Some(message) = inbox.next()? {
        to.push(message);
    }
    Ok(())
}

fn turns() -> impl Strategy<Value = Vec<Vec<(u64, Message)>>> {
    prop::collection::vec(prop::collection::vec((any::<u64>(), messages()), 0..6), 0..5)
}

proptest! {
    #[test]
    fn messages_come_back_however_the_bytes_are_torn(
        turns in turns(),
        piece in 1..200usize,
        copied in any::<bool>(),
    ) {
        let bytes = sealed(&turns);
        let mut inbox = Inbox::new();
        let mut got = Vec::new();
        let mut input = BytesMut::new();
        for piece in bytes.chunks(piece) {
            if copied {
                inbox.feed(piece);
            } else {
                input.extend_from_slice(piece);
                inbox.feed_from(&mut input);
                prop_assert!(input.is_empty());
            }
            drain(&mut inbox, &mut got).unwrap();
        }
        let sent: Vec<_> =
            turns.into_iter().flatten().map(|(group, m)| (GroupId(group), m)).collect();
        prop_assert_eq!(got, sent);
        prop_assert_eq!(inbox.bytes(), 0);
    }

    #[test]
    fn a_changed_byte_never_yields_a_wrong_message(
        turns in turns(),
        at in any::<prop::sample::Index>(),
        change in 1..=255u8,
    ) {
        let mut bytes = sealed(&turns);
        prop_assume!(!bytes.is_empty());
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        let mut inbox = Inbox::new();
        inbox.feed(&bytes);
        let mut got = Vec::new();
        let error = drain(&mut inbox, &mut got).unwrap_err();
        let sent: Vec<_> =
            turns.into_iter().flatten().map(|(group, m)| (GroupId(group), m)).collect();
        prop_assert!(sent.starts_with(&got));
        inbox.feed(&bytes);
        prop_assert_eq!(inbox.next(), Err(error));
        prop_assert_eq!(inbox.bytes(), 0);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let mut inbox = Inbox::new();
        inbox.feed(&bytes);
        let _ = drain(&mut inbox, &mut Vec::new());
    }

    /// Behind right checksums: what a faulty peer could send.
    #[test]
    fn arbitrary_bodies_never_panic(
        mut body in prop::collection::vec(prop_oneof![Just(0), 0..16u8, any::<u8>()], 0..256),
        records in 0..4u32,
    ) {
        body.splice(0..0, [0; FRAME_HEADER_BYTES]);
        frame::seal(&mut body, FrameKind::Messages, records);
        let mut inbox = Inbox::new();
        inbox.feed(&body);
        let _ = drain(&mut inbox, &mut Vec::new());
    }
}

/// A frame of `bodies` one after the other that says it holds `records`.
fn frame_of(records: u32, body: &[u8]) -> Inbox {
    let mut bytes = vec![0; FRAME_HEADER_BYTES];
    bytes.extend_from_slice(body);
    frame::seal(&mut bytes, FrameKind::Messages, records);
    let mut inbox = Inbox::new();
    inbox.feed(&bytes);
    inbox
}

#[test]
fn a_frame_holds_as_many_records_as_it_says() {
    let reply = raft_core::HeartbeatReply { term: raft_core::Term(1), round: 2 };
    let message = Message::HeartbeatReply(reply);
    let mut body = Vec::new();
    codec::encode(GroupId(9), &message, &mut body);

    let mut more = frame_of(2, &body);
    assert_eq!(more.next(), Ok(Some((GroupId(9), message.clone()))));
    assert_eq!(more.next(), Err(FrameError::RecordCount));

    assert_eq!(frame_of(0, &body).next(), Err(FrameError::RecordCount));

    let twice = body.repeat(2);
    let mut fewer = frame_of(1, &twice);
    assert_eq!(fewer.next(), Ok(Some((GroupId(9), message))));
    assert_eq!(fewer.next(), Err(FrameError::RecordCount));

    assert_eq!(frame_of(0, b"").next(), Ok(None));

    let mut cut = frame_of(1, &body[..body.len() - 1]);
    assert_eq!(cut.next(), Err(FrameError::Record(RecordError::Truncated)));
}
