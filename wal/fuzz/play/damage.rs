//! What may happen to files: bits, fields, blocks, whole files; and somebody who mends checksums.

use wal::op::SegmentId;

use super::disk::{BLOCK, Disk};
use super::reader::Reader;

/// Damages the disk until the bytes end.
pub(super) fn damage(disk: &mut Disk, reader: &mut Reader<'_>) {
    while !reader.is_empty() {
        let Some(segment) = disk.nth(reader.below(16)) else { return };
        match reader.below(12) {
            0 => flip(disk, segment, reader),
            1..=4 => field(disk, segment, reader),
            5..=6 => header_field(disk, segment, reader),
            7 => mend(disk, segment),
            8 => block(disk, segment, reader),
            9 => length(disk, segment, reader),
            10 => file(disk, segment, reader),
            _ => {
                for segment in disk.files.keys().copied().collect::<Vec<_>>() {
                    mend(disk, segment);
                }
            }
        }
    }
}

fn place(disk: &mut Disk, segment: SegmentId, at: usize, len: usize) -> Option<&mut [u8]> {
    disk.files.get_mut(&segment)?.get_mut(at..at + len)
}

fn flip(disk: &mut Disk, segment: SegmentId, reader: &mut Reader<'_>) {
    let at = reader.below(16) * BLOCK + reader.below(256) * 16 + reader.below(16);
    if let Some(byte) = place(disk, segment, at, 1) {
        byte[0] ^= 1 << reader.below(8);
    }
}

/// A number in the header of a batch or of a record.
fn field(disk: &mut Disk, segment: SegmentId, reader: &mut Reader<'_>) {
    let block = (1 + reader.below(15)) * BLOCK;
    let at = match reader.byte() {
        b @ 0..160 => usize::from(b) % 26 * 4,
        b => usize::from(b - 160) * 8,
    };
    write(disk, segment, block + at, reader);
}

/// A number in the header of a segment, whose checksum is then right.
fn header_field(disk: &mut Disk, segment: SegmentId, reader: &mut Reader<'_>) {
    write(disk, segment, reader.below(32) * 4, reader);
    if let Some(file) = disk.files.get_mut(&segment) {
        seal_header(file);
    }
}

/// Writes 1, 2, 4 or 8 bytes.
fn write(disk: &mut Disk, segment: SegmentId, at: usize, reader: &mut Reader<'_>) {
    let len = 1 << reader.below(4);
    if let Some(bytes) = place(disk, segment, at, len) {
        let mut old = [0; 8];
        old[..len].copy_from_slice(bytes);
        let new = reader.number(u64::from_le_bytes(old));
        bytes.copy_from_slice(&new.to_le_bytes()[..len]);
    }
}

/// A sector of zeros, or a block that lands in the place of another.
fn block(disk: &mut Disk, segment: SegmentId, reader: &mut Reader<'_>) {
    let (from, to) = (reader.below(16) * BLOCK, reader.below(16) * BLOCK);
    if reader.flag() {
        if let Some(sector) = place(disk, segment, to, 512) {
            sector.fill(0);
        }
        return;
    }
    let source = disk.nth(reader.below(16)).unwrap_or(segment);
    let copy = place(disk, source, from, BLOCK).map(|block| block.to_vec());
    if let (Some(copy), Some(block)) = (copy, place(disk, segment, to, BLOCK)) {
        block.copy_from_slice(&copy);
    }
}

/// A file that is shorter or longer.
fn length(disk: &mut Disk, segment: SegmentId, reader: &mut Reader<'_>) {
    let bytes = reader.below(20) * BLOCK + reader.below(3) * 100;
    if let Some(file) = disk.files.get_mut(&segment) {
        file.resize(bytes, 0);
    }
}

/// A file that is gone, has another name, or is there twice.
fn file(disk: &mut Disk, segment: SegmentId, reader: &mut Reader<'_>) {
    let name = SegmentId(1 + reader.below(14) as u64);
    match reader.below(3) {
        0 => drop(disk.files.remove(&segment)),
        1 => {
            if let Some(file) = disk.files.remove(&segment) {
                disk.files.insert(name, file);
            }
        }
        _ => {
            if let Some(file) = disk.files.get(&segment).cloned() {
                disk.files.insert(name, file);
            }
        }
    }
}

fn u32_at(file: &[u8], at: usize) -> usize {
    let bytes = file.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, |bytes| u32::from_le_bytes(bytes) as usize)
}

fn put(file: &mut [u8], at: usize, crc: u32) {
    file[at..at + 4].copy_from_slice(&crc.to_le_bytes());
}

/// Makes the checksum of the segment header right.
pub(super) fn seal_header(file: &mut [u8]) {
    if file.len() >= BLOCK {
        put(file, 12, 0);
        let crc = crc32c::crc32c(&file[..BLOCK]);
        put(file, 12, crc);
    }
}

/// Makes all checksums of the batches of a segment right, and the chain into the next one.
fn mend(disk: &mut Disk, segment: SegmentId) {
    let Some(file) = disk.files.get_mut(&segment) else { return };
    let mut chain = u32_at(file, 112) as u32;
    let mut at = BLOCK;
    while file.get(at..at + 4) == Some(b"FWB1") {
        let body = mend_records(file, at);
        put(file, at + 48, body);
        put(file, at + 52, chain);
        let crc = crc32c::crc32c(&file[at + 8..at + 64]);
        put(file, at + 4, crc);
        chain = crc32c::crc32c_append(chain, &file[at..at + 64]);
        at += u32_at(file, at + 32).next_multiple_of(BLOCK).max(BLOCK);
    }
    let next = disk.files.range_mut(SegmentId(segment.0 + 1)..).next();
    if let Some((_, next)) = next.filter(|(_, next)| next.len() >= BLOCK) {
        put(next, 112, chain);
        seal_header(next);
    }
}

/// Makes the checksums of the records of a batch right; the checksum of their headers.
fn mend_records(file: &mut [u8], batch: usize) -> u32 {
    let (mut at, mut body) = (batch + 64, 0);
    for _ in 0..u32_at(file, batch + 40) {
        let data = at + 40..at + 40 + u32_at(file, at + 24);
        if data.end > file.len() {
            break;
        }
        let crc = crc32c::crc32c(&file[at..at + 32]);
        put(file, at + 32, crc);
        let crc = crc32c::crc32c_append(crc, &file[data.clone()]);
        put(file, at + 36, crc);
        body = crc32c::crc32c_append(body, &file[at..at + 40]);
        at = data.start + data.len().next_multiple_of(8);
    }
    body
}
