//! The bytes of the format, written out. A change here is a change of the format: see `FORMAT.md`.

use bytemuck::bytes_of;
use raft_core::{ConfState, Entry, EntryKind, GroupId, HardState, Index, LogId, NodeId, Term};
use wal::batch::{Builder, Expected, records, verify};
use wal::op::SegmentId;
use wal::record::{CheckpointEnd, GroupState, LiveSegment, PURGE_RESTART, RecordKind, flags};
use wal::segment::{FORMAT_MAJOR, FORMAT_MINOR, Head, SEGMENT_MAGIC, SegmentHeader};

fn hex(bytes: &[u8]) -> String {
    let row = |row: &[u8]| row.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    bytes.chunks(16).map(row).collect::<Vec<_>>().join("\n")
}

fn header() -> SegmentHeader {
    SegmentHeader {
        magic: SEGMENT_MAGIC,
        major: FORMAT_MAJOR,
        minor: FORMAT_MINOR,
        crc: 0,
        incompat: 0,
        compat: 0,
        store: 0x0F0E_0D0C_0B0A_0908_0706_0504_0302_0100_u128.to_le_bytes(),
        core: 3,
        block_bytes: 4096,
        segment_bytes: 64 << 20,
        segment_id: 0x11,
        epoch: 0x12,
        salt: 0x1313_1313_1313_1313,
        base_seq: 0x14,
        prev_segment_id: 0x10,
        prev_end: 0x2000,
        prev_chain: 0xAABB_CCDD,
        reserved: 0,
        created: 0x15,
        checkpoint_from: 0x0C,
        checkpoint_id: 0x0D,
    }
}

#[test]
fn the_segment_header_is_as_documented() {
    let mut block = [0xFF; 4096];
    header().encode(&mut block);
    assert_eq!(hex(&block[..144]), SEGMENT);
    assert!(block[144..].iter().all(|&byte| byte == 0));
    let Head::Valid(read) = SegmentHeader::decode(SegmentId(0x11), &block).unwrap() else {
        panic!("the header is valid")
    };
    assert_eq!(SegmentHeader { crc: 0, ..read }, header());
    assert!(SegmentHeader::decode(SegmentId(0x12), &block).is_err(), "under another name");
}

#[test]
fn a_batch_is_as_documented() {
    let expected = Expected { salt: 0x13, epoch: 0x12, batch_seq: 0x14, prev_chain: 0xAABB_CCDD };
    let (mut batch, mut builder) = (vec![0xFF; 4096], Builder::default());
    let group = GroupId(7);
    let id = |index| LogId::new(Term(5), Index(index));
    let entry = Entry { id: id(41), kind: EntryKind::NoOp, data: bytes::Bytes::new() };
    builder.push_entry(&mut batch, group, &entry);
    let entry = Entry { id: id(42), kind: EntryKind::Normal, data: b"set x 1".to_vec().into() };
    builder.push_entry(&mut batch, group, &entry);
    let hard = HardState { term: Term(5), vote: Some(NodeId(2)), commit: Index(41) };
    let state = GroupState::new(hard, Index(1), Index(42));
    builder.push_state(&mut batch, group, &state);
    let chain = builder.seal(&mut batch, expected, 0x13, flags::NORMAL);
    assert_eq!(hex(&batch[..builder.used]), BATCH);
    assert_eq!(chain, CHAIN);
    assert!(batch[builder.used..].iter().all(|&byte| byte == 0));
    assert_eq!(verify(&batch, expected).unwrap().chain(), chain);
    assert_eq!(records(&batch).count(), 3);
}

#[test]
fn a_configuration_change_is_as_documented() {
    let (mut batch, mut builder) = (vec![0xFF; 4096], Builder::default());
    let data = ConfState::of_voters([NodeId(4)]).encode();
    let id = LogId::new(Term(5), Index(43));
    builder.push_entry(&mut batch, GroupId(7), &Entry { id, kind: EntryKind::ConfChange, data });
    assert_eq!(hex(&batch[64..builder.used]), CONF_CHANGE);
    let expected = Expected { salt: 0x13, epoch: 0x12, batch_seq: 0x15, prev_chain: CHAIN };
    builder.seal(&mut batch, expected, 0x14, flags::NORMAL);
    let (_, head, _) = records(&batch).next().unwrap();
    assert_eq!(head.entry_kind(), Some(EntryKind::ConfChange));
}

#[test]
fn a_purge_a_snapshot_and_a_deletion_are_as_documented() {
    let (mut batch, mut builder) = (vec![0xFF; 4096], Builder::default());
    let id = |term, index| LogId::new(Term(term), Index(index));
    let purge = RecordKind::Purge;
    builder.push_mark(&mut batch, GroupId(7), id(0, 41), purge, 0);
    builder.push_mark(&mut batch, GroupId(7), id(5, 99), purge, PURGE_RESTART);
    builder.push_mark(&mut batch, GroupId(7), LogId::default(), RecordKind::Delete, 0);
    assert_eq!(hex(&batch[64..builder.used]), MARKS);
}

#[test]
fn a_copy_is_as_documented() {
    let (mut batch, mut builder) = (vec![0xFF; 4096], Builder::default());
    let id = LogId::new(Term(5), Index(43));
    let entry = Entry { id, kind: EntryKind::ConfChange, data: b"abc".to_vec().into() };
    builder.push_copy(&mut batch, GroupId(7), &entry);
    assert_eq!(hex(&batch[64..builder.used]), COPY);
}

#[test]
fn a_checkpoint_is_as_documented() {
    let (mut batch, mut builder) = (vec![0xFF; 4096], Builder::default());
    let live = LiveSegment { segment_id: 9, end: 0x5000, last_seq: 0x33, chain: 0x44, zero: 0 };
    let (number, place) = (GroupId(0x0D), LogId::new(Term(0x77), Index(0x0C)));
    let list = RecordKind::CheckpointSegments;
    builder.push_record(&mut batch, number, place, list, bytes_of(&live));
    let hard = HardState { term: Term(5), vote: None, commit: Index(41) };
    let state = GroupState { purged_term: 3, ..GroupState::new(hard, Index(30), Index(42)) };
    let place_of_group = LogId::new(Term(0x0D), Index(0x77));
    let group = RecordKind::CheckpointGroup;
    builder.push_record(&mut batch, GroupId(7), place_of_group, group, bytes_of(&state));
    let end = CheckpointEnd { segments: 1, groups: 1 };
    let kind = RecordKind::CheckpointEnd;
    builder.push_record(&mut batch, number, place, kind, bytes_of(&end));
    assert_eq!(hex(&batch[64..builder.used]), CHECKPOINT);
}

#[test]
fn a_beacon_is_as_documented() {
    let expected = Expected { salt: 0x13, epoch: 0x12, batch_seq: 0x15, prev_chain: CHAIN };
    let mut batch = vec![0xFF; 4096];
    Builder::default().seal(&mut batch, expected, 0x14, flags::BEACON);
    assert_eq!(hex(&batch[..64]), BEACON);
    verify(&batch, expected).unwrap();
}

#[test]
fn every_flipped_bit_of_a_batch_is_noticed() {
    let expected = Expected { salt: 0x13, epoch: 0x12, batch_seq: 0x14, prev_chain: 1 };
    let (mut batch, mut builder) = (vec![0; 4096], Builder::default());
    let id = LogId::new(Term(1), Index(1));
    let entry = Entry { id, kind: EntryKind::Normal, data: vec![0; 1500].into() };
    builder.push_entry(&mut batch, GroupId(1), &entry);
    builder.seal(&mut batch, expected, 0, flags::NORMAL);
    for bit in 0..8 * 4096 {
        batch[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&batch, expected).is_err(), "bit {bit}");
        batch[bit / 8] ^= 1 << (bit % 8);
    }
    verify(&batch, expected).unwrap();
}

const SEGMENT: &str = "\
464c41524557414c010002005cc7d069\n\
00000000000000000000000000000000\n\
000102030405060708090a0b0c0d0e0f\n\
03000000001000000000000400000000\n\
11000000000000001200000000000000\n\
13131313131313131400000000000000\n\
10000000000000000020000000000000\n\
ddccbbaa000000001500000000000000\n\
0c000000000000000d00000000000000";
const CHAIN: u32 = 0x5E52_F73A;
const BATCH: &str = "\
46574231a06c4df01300000000000000\n\
14000000000000001300000000000000\n\
00100000e00000000300000000000000\n\
e5f0e14cddccbbaa1200000000000000\n\
07000000000000002900000000000000\n\
05000000000000000000000001010000\n\
c4983b02c4983b020700000000000000\n\
2a000000000000000500000000000000\n\
0700000001000000dd3e1f967335aa08\n\
73657420782031000700000000000000\n\
00000000000000000000000000000000\n\
6000000002000000f18986922a1eb3af\n\
05000000000000000200000000000000\n\
29000000000000000100000000000000\n\
2a000000000000000000000000000000\n\
00000000000000000000000000000000\n\
00000000000000000000000000000000\n\
00000000000000000000000000000000";
const CONF_CHANGE: &str = "\
07000000000000002b00000000000000\n\
05000000000000000d00000001020000\n\
ca507cb3412f838e0001040000000000\n\
0000000000000000";
const MARKS: &str = "\
07000000000000002900000000000000\n\
00000000000000000000000003000000\n\
2e88152c2e88152c0700000000000000\n\
63000000000000000500000000000000\n\
0000000003010000e30d7811e30d7811\n\
07000000000000000000000000000000\n\
00000000000000000000000005000000\n\
909f869c909f869c";
const CHECKPOINT: &str = "\
0d000000000000000c00000000000000\n\
77000000000000002000000007000000\n\
0dc1bc285ac088580900000000000000\n\
00500000000000003300000000000000\n\
44000000000000000700000000000000\n\
77000000000000000d00000000000000\n\
60000000080000006f17f6d97d6aaaf1\n\
05000000000000000000000000000000\n\
29000000000000001e00000000000000\n\
2a000000000000000300000000000000\n\
00000000000000000000000000000000\n\
00000000000000000000000000000000\n\
00000000000000000000000000000000\n\
0d000000000000000c00000000000000\n\
77000000000000001000000009000000\n\
b4dccb93b09a1b0e0100000000000000\n\
0100000000000000";
const COPY: &str = "\
07000000000000002b00000000000000\n\
05000000000000000300000006020000\n\
f994225bde76f53d6162630000000000";
const BEACON: &str = "\
46574231164299441300000000000000\n\
15000000000000001400000000000000\n\
00100000000000000000000004000000\n\
000000003af7525e1200000000000000";
