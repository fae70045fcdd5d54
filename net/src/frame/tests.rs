use proptest::prelude::*;

use super::*;

fn frame(body: &[u8], records: u32) -> Vec<u8> {
    let mut bytes = vec![0; FRAME_HEADER_BYTES];
    bytes.extend_from_slice(body);
    seal(&mut bytes, FrameKind::Messages, records);
    bytes
}

/// The bytes of PROTOCOL.md.
#[test]
fn the_bytes_of_a_header_do_not_change() {
    let bytes = frame(b"123456789", 3);
    #[rustfmt::skip]
    let golden = [
        b'F', b'L', b'R', b'D',  1, 0, 1, 0,  9, 0, 0, 0,  3, 0, 0, 0,
        0x84, 0x64, 0x13, 0x33,  0x83, 0x92, 0x06, 0xE3,
        b'1', b'2', b'3', b'4', b'5', b'6', b'7', b'8', b'9',
    ];
    assert_eq!(bytes, golden);
}

#[test]
fn every_changed_byte_is_detected() {
    let whole = frame(b"a body of some bytes", 2);
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            let error = take(&mut BytesMut::from(&bytes[..])).unwrap_err();
            let expected = match at {
                0..4 => matches!(error, FrameError::BadMagic),
                4..6 => matches!(error, FrameError::BadVersion { ours: FRAME_VERSION, .. }),
                6..24 => error == FrameError::HeaderChecksum,
                _ => error == FrameError::BodyChecksum,
            };
            assert!(expected, "byte {at} bit {bit}: {error}");
        }
    }
}

/// A header that says what it should not, under a right checksum.
fn forged(change: impl FnOnce(&mut RawHeader)) -> FrameError {
    let bytes = frame(b"", 0);
    let mut raw: RawHeader = bytemuck::pod_read_unaligned(&bytes);
    change(&mut raw);
    raw.header_crc = raw.checksum().to_le();
    FrameHeader::read(bytemuck::bytes_of(&raw)).unwrap_err()
}

#[test]
fn a_frame_beyond_the_limit_is_refused_before_its_body() {
    let most = (FRAME_BYTES_MAX - FRAME_HEADER_BYTES) as u32;
    let bytes = FRAME_BYTES_MAX as u64 + 1;
    assert_eq!(forged(|raw| raw.body_bytes = (most + 1).to_le()), FrameError::TooLarge { bytes });
    assert_eq!(
        forged(|raw| raw.body_bytes = u32::MAX),
        FrameError::TooLarge { bytes: u64::from(u32::MAX) + FRAME_HEADER_BYTES as u64 }
    );
    let largest = frame(&vec![7; most as usize], 1);
    let (header, body) = take(&mut BytesMut::from(&largest[..])).unwrap().unwrap();
    assert_eq!((header.frame_bytes(), body.len()), (FRAME_BYTES_MAX, most as usize));
}

#[test]
fn unknown_kinds_and_flags_are_refused() {
    assert_eq!(forged(|raw| raw.kind = 3), FrameError::UnknownKind { kind: 3, flags: 0 });
    assert_eq!(forged(|raw| raw.flags = 1), FrameError::UnknownKind { kind: 1, flags: 1 });
}

#[test]
fn garbage_is_told_from_its_first_byte() {
    assert_eq!(FrameHeader::read(b"G"), Err(FrameError::BadMagic));
    assert_eq!(FrameHeader::read(b"FLX"), Err(FrameError::BadMagic));
    assert_eq!(FrameHeader::read(b"FLR"), Ok(None));
    assert_eq!(FrameHeader::read(b""), Ok(None));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..128)) {
        let _ = take(&mut BytesMut::from(&bytes[..]));
    }

    #[test]
    fn bodies_come_back_and_what_follows_stays(
        body in prop::collection::vec(any::<u8>(), 0..256),
        records in any::<u32>(),
        rest in prop::collection::vec(any::<u8>(), 0..32),
    ) {
        let mut input = BytesMut::from(&frame(&body, records)[..]);
        input.extend_from_slice(&rest);
        let (header, taken) = take(&mut input).unwrap().unwrap();
        prop_assert_eq!((header.records, &taken[..]), (records, &body[..]));
        prop_assert_eq!(&input[..], &rest[..]);
    }
}
