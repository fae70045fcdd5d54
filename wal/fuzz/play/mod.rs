//! Bytes as a disk: what the fuzzer finds, the tests replay, with no other interpreter in between.
//!
//! The first byte chooses between the bytes themselves as files ([`raw`]) and a log that was
//! written in several lives with crashes ([`lives`]) and then damaged ([`damage`]), mostly by
//! somebody who mends the checksums. What recovery and inspection make of it must keep the laws
//! ([`laws`]). Every sequence of bytes is a run, and equal bytes are equal runs.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a run that cannot go on fails")]

mod damage;
mod disk;
mod laws;
mod lives;
mod reader;
mod tally;

use disk::Disk;
use reader::Reader;
pub(crate) use tally::Tally;
use wal::op::SegmentId;

/// One run.
pub(crate) fn run(bytes: &[u8]) -> Tally {
    let mut tally = Tally::default();
    let mut reader = Reader::new(bytes);
    let first = reader.byte();
    let mut disk = if first % 8 == 0 {
        raw(&mut reader)
    } else {
        let mut disk = lives::written(&mut reader, &mut tally);
        damage::damage(&mut disk, &mut reader);
        disk
    };
    laws::check(&mut disk, first % 8 >= 4, &mut tally);
    tally
}

/// One or two files that hold the bytes.
fn raw(reader: &mut Reader<'_>) -> Disk {
    let mut disk = Disk::default();
    for id in 1..=1 + reader.below(2) as u64 {
        let mut file = reader.bytes(5000);
        file.resize(disk::SEGMENT_BYTES as usize, 0);
        if reader.flag() {
            damage::seal_header(&mut file);
        }
        disk.files.insert(SegmentId(id), file);
    }
    disk
}
