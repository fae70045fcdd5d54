use proptest::prelude::*;

use super::*;

fn hello(node: u64) -> Hello {
    Hello {
        protocol_version: PROTOCOL_VERSION,
        cluster_id: 0xC0FFEE,
        node: NodeId(node),
        incarnation: 10,
        shard: 1,
        shards: 4,
        features: 0,
    }
}

fn peers() -> Peers {
    let mut peers = Peers::new([NodeId(1), NodeId(2), NodeId(3)]);
    peers.observe(&hello(1));
    peers
}

fn encoded(hello: &Hello) -> BytesMut {
    let mut out = Vec::new();
    encode_hello(hello, &mut out);
    BytesMut::from(&out[..])
}

/// What node 2 says to a dialer's hello that differs from node 1's by `change`.
fn accept(change: impl FnOnce(&mut Hello)) -> Result<SessionEvent, Refusal> {
    let mut theirs = hello(1);
    change(&mut theirs);
    let mut out = Vec::new();
    let mut session = Session::accept(Hello { shard: 0, ..hello(2) }, peers());
    let event = session.on_bytes(&mut encoded(&theirs), &mut out);
    assert_eq!(event.is_ok(), !out.is_empty(), "only an accepted hello is answered");
    if event.is_err() {
        assert_eq!(session.on_bytes(&mut encoded(&hello(1)), &mut out), event);
    }
    event
}

/// What node 1 says to an answer that differs from node 2's by `change`.
fn dial(change: impl FnOnce(&mut Hello)) -> Result<SessionEvent, Refusal> {
    let mut theirs = hello(2);
    change(&mut theirs);
    let mut session = Session::dial(hello(1), NodeId(2)).not_before(10);
    session.on_bytes(&mut encoded(&theirs), &mut Vec::new())
}

#[test]
fn two_sides_meet_byte_by_byte() {
    let mut dialer = Session::dial(hello(1), NodeId(2));
    let mut acceptor = Session::accept(Hello { shard: 0, ..hello(2) }, peers());
    let (mut to_acceptor, mut to_dialer) = (Vec::new(), Vec::new());
    let mut input = BytesMut::new();
    assert_eq!(dialer.on_bytes(&mut input, &mut to_acceptor), Ok(SessionEvent::Waiting));
    assert_eq!(dialer.on_bytes(&mut input, &mut to_acceptor), Ok(SessionEvent::Waiting));
    assert_eq!(to_acceptor.len(), HELLO_BYTES);

    for (at, byte) in to_acceptor.iter().enumerate() {
        input.extend_from_slice(&[*byte]);
        let event = acceptor.on_bytes(&mut input, &mut to_dialer).unwrap();
        let whole = at + 1 == HELLO_BYTES;
        assert_eq!(event != SessionEvent::Waiting, whole);
    }
    // The answer names the dialer's shard, not the shard the listener runs on.
    assert_eq!(to_dialer[..], encoded(&hello(2))[..]);
    to_dialer.extend_from_slice(b"frames");

    let (last, rest) = (HELLO_BYTES - 1, b"frames");
    for byte in &to_dialer[..last] {
        input.extend_from_slice(&[*byte]);
        let event = dialer.on_bytes(&mut input, &mut Vec::new());
        assert_eq!(event, Ok(SessionEvent::Waiting));
    }
    input.extend_from_slice(&to_dialer[last..]);
    let event = dialer.on_bytes(&mut input, &mut Vec::new());
    assert_eq!(event, Ok(SessionEvent::Established(hello(2))));
    assert_eq!(&input[..], rest, "what follows the answer is frames");
}

#[test]
fn the_acceptor_names_every_fault() {
    assert_eq!(accept(|_| ()), Ok(SessionEvent::Established(hello(1))));
    assert_eq!(
        accept(|h| h.protocol_version = 9),
        Err(Refusal::Version { theirs: 9, ours: PROTOCOL_VERSION })
    );
    assert_eq!(accept(|h| h.cluster_id = 7), Err(Refusal::Cluster { theirs: 7, ours: 0xC0FFEE }));
    assert_eq!(accept(|h| h.node = NodeId(9)), Err(Refusal::UnknownNode { node: NodeId(9) }));
    assert_eq!(accept(|h| h.node = NodeId(0)), Err(Refusal::UnknownNode { node: NodeId(0) }));
    assert_eq!(accept(|h| h.node = NodeId(2)), Err(Refusal::SelfConnection { node: NodeId(2) }));
    assert_eq!(accept(|h| h.node = NodeId(3)), Err(Refusal::Direction { node: NodeId(3) }));
    assert_eq!(
        accept(|h| h.incarnation = 9),
        Err(Refusal::OldIncarnation { node: NodeId(1), theirs: 9, known: 10 })
    );
    assert!(accept(|h| h.incarnation = 11).is_ok());
    assert_eq!(accept(|h| h.shards = 3), Err(Refusal::ShardCount { theirs: 3, ours: 4 }));
    assert_eq!(accept(|h| h.shard = 4), Err(Refusal::Shard { theirs: 4, shards: 4 }));
    assert!(accept(|h| h.features = u64::MAX).is_ok());
}

#[test]
fn the_dialer_names_every_fault() {
    assert_eq!(dial(|_| ()), Ok(SessionEvent::Established(hello(2))));
    assert_eq!(
        dial(|h| h.protocol_version = 0),
        Err(Refusal::Version { theirs: 0, ours: PROTOCOL_VERSION })
    );
    assert_eq!(dial(|h| h.cluster_id = 7), Err(Refusal::Cluster { theirs: 7, ours: 0xC0FFEE }));
    assert_eq!(
        dial(|h| h.node = NodeId(3)),
        Err(Refusal::WrongNode { expected: NodeId(2), theirs: NodeId(3) })
    );
    assert_eq!(dial(|h| h.node = NodeId(1)), Err(Refusal::SelfConnection { node: NodeId(1) }));
    assert_eq!(
        dial(|h| h.incarnation = 9),
        Err(Refusal::OldIncarnation { node: NodeId(2), theirs: 9, known: 10 })
    );
    assert_eq!(dial(|h| h.shards = 5), Err(Refusal::ShardCount { theirs: 5, ours: 4 }));
    assert_eq!(dial(|h| h.shard = 2), Err(Refusal::Shard { theirs: 2, shards: 4 }));
}

#[test]
fn garbage_is_told_from_its_first_byte_and_from_its_length() {
    for garbage in [&b"G"[..], b"GET / HTTP/1.1", b"FLRHELLX", &[0; 64]] {
        assert_eq!(read_hello(&mut BytesMut::from(garbage)), Err(Refusal::NotOurs));
    }
    let mut more = encoded(&hello(1));
    more.extend_from_slice(b"x");
    assert_eq!(read_hello(&mut more), Err(Refusal::NotOurs));
    assert_eq!(read_hello(&mut BytesMut::new()), Ok(None));
}

#[test]
fn every_changed_byte_of_a_hello_is_detected() {
    let whole = encoded(&hello(1));
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        let refusal = read_hello(&mut bytes).unwrap_err();
        if (8..12).contains(&at) {
            assert!(matches!(refusal, Refusal::Version { .. }), "byte {at}: {refusal}");
        } else {
            assert_eq!(refusal, Refusal::NotOurs, "byte {at}");
        }
    }
}

/// The bytes of PROTOCOL.md.
#[test]
fn the_bytes_of_a_hello_do_not_change() {
    let hello = Hello { features: 5, ..hello(1) };
    #[rustfmt::skip]
    let golden = [
        b'F', b'L', b'R', b'H', b'E', b'L', b'L', b'O',  2, 0, 0, 0,  0x31, 0xD3, 0xCB, 0x41,
        0xEE, 0xFF, 0xC0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0,
        1, 0, 0, 0, 0, 0, 0, 0,  10, 0, 0, 0, 0, 0, 0, 0,
        1, 0, 0, 0, 4, 0, 0, 0,  5, 0, 0, 0, 0, 0, 0, 0,
    ];
    assert_eq!(encoded(&hello)[..], golden);
}

#[test]
fn a_slow_handshake_is_refused() {
    assert_eq!(in_time(HANDSHAKE_TIMEOUT - Duration::from_millis(1)), Ok(()));
    assert_eq!(in_time(HANDSHAKE_TIMEOUT), Err(Refusal::Timeout));
}

#[test]
fn peers_are_admitted_expelled_and_remembered() {
    let mut peers = peers();
    assert_eq!(peers.incarnation(NodeId(1)), Some(10));
    peers.admit(NodeId(1));
    assert_eq!(peers.incarnation(NodeId(1)), Some(10));
    peers.observe(&Hello { incarnation: 3, ..hello(1) });
    assert_eq!(peers.incarnation(NodeId(1)), Some(10));
    peers.expel(NodeId(1));
    peers.observe(&hello(1));
    assert_eq!(peers.incarnation(NodeId(1)), None);
    peers.admit(NodeId(4));
    assert_eq!(peers.incarnation(NodeId(4)), Some(0));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..80),
        magic in any::<bool>(),
    ) {
        if magic {
            bytes.splice(0..0, HELLO_MAGIC);
        }
        let _ = read_hello(&mut BytesMut::from(&bytes[..]));
        let _ = Session::dial(hello(1), NodeId(2))
            .on_bytes(&mut BytesMut::from(&bytes[..]), &mut Vec::new());
    }
}
