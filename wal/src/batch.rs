//! Building a batch record by record, and proving that a batch is what was written.

use raft_core::{Entry, GroupId, Index, LogId};

use crate::record::{
    BATCH_HEADER_BYTES, BATCH_MAGIC, BLOCK_BYTES, BatchHeader, GroupState, RECORD_HEADER_BYTES,
    RecordHeader, RecordKind, whole_blocks,
};

/// What the next batch of a segment must say about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The salt of the segment.
    pub salt: u64,
    /// The epoch of the segment.
    pub epoch: u64,
    /// One more than the batch before.
    pub batch_seq: u64,
    /// The chain after the batch before.
    pub prev_chain: u32,
}

/// A batch under construction; its bytes are the caller's.
#[derive(Clone, Copy, Debug)]
pub struct Builder {
    /// Bytes used so far, with the header.
    pub used: usize,
    /// Records so far.
    pub n_records: u32,
    /// Entries among the records.
    pub entries: u32,
    body_crc: u32,
}

impl Default for Builder {
    fn default() -> Self {
        Self { used: BATCH_HEADER_BYTES, n_records: 0, entries: 0, body_crc: 0 }
    }
}

impl Builder {
    /// Whether there is no record yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.n_records == 0
    }

    /// Adds an entry. `batch` must have room for it.
    pub fn push_entry(&mut self, batch: &mut [u8], group: GroupId, entry: &Entry) {
        let kind = RecordKind::Entry;
        let header = RecordHeader::new(group, entry.id, kind, entry.kind as u8, &entry.data);
        self.push(batch, header, &entry.data);
        self.entries += 1;
    }

    /// Adds a group state. `batch` must have room for it.
    pub fn push_state(&mut self, batch: &mut [u8], group: GroupId, state: &GroupState) {
        let data = bytemuck::bytes_of(state);
        let header = RecordHeader::new(group, LogId::default(), RecordKind::GroupState, 0, data);
        self.push(batch, header, data);
    }

    /// Adds a copy of an entry that lives. `batch` must have room for it.
    pub fn push_copy(&mut self, batch: &mut [u8], group: GroupId, entry: &Entry) {
        let kind = RecordKind::RelocEntry;
        let header = RecordHeader::new(group, entry.id, kind, entry.kind as u8, &entry.data);
        self.push(batch, header, &entry.data);
    }

    /// Adds a record without data. `batch` must have room for it.
    pub fn push_mark(
        &mut self,
        batch: &mut [u8],
        group: GroupId,
        id: LogId,
        kind: RecordKind,
        flags: u8,
    ) {
        self.push(batch, RecordHeader::new(group, id, kind, flags, &[]), &[]);
    }

    /// Adds a record that is not an entry. `batch` must have room for it.
    pub fn push_record(
        &mut self,
        batch: &mut [u8],
        group: GroupId,
        id: LogId,
        kind: RecordKind,
        data: &[u8],
    ) {
        self.push(batch, RecordHeader::new(group, id, kind, 0, data), data);
    }

    fn push(&mut self, batch: &mut [u8], header: RecordHeader, data: &[u8]) {
        let head = bytemuck::bytes_of(&header);
        let data_at = self.used + RECORD_HEADER_BYTES;
        let padded = data_at + data.len().next_multiple_of(8);
        batch[self.used..data_at].copy_from_slice(head);
        batch[data_at..data_at + data.len()].copy_from_slice(data);
        batch[data_at + data.len()..padded].fill(0);
        self.body_crc = crc32c::crc32c_append(self.body_crc, head);
        self.used = padded;
        self.n_records += 1;
    }

    /// Writes the padding and the header; `batch` is exactly the batch. Returns the chain after
    /// it.
    pub fn seal(&self, batch: &mut [u8], expected: Expected, durable_seq: u64, flags: u16) -> u32 {
        batch[self.used..].fill(0);
        let header = BatchHeader {
            magic: BATCH_MAGIC,
            header_crc: 0,
            salt: expected.salt,
            batch_seq: expected.batch_seq,
            durable_seq,
            // A batch is never larger than a segment.
            total_len: whole_blocks(self.used) as u32,
            data_len: (self.used - BATCH_HEADER_BYTES) as u32,
            n_records: self.n_records,
            flags,
            codec: 0,
            zero: 0,
            body_crc: self.body_crc,
            prev_chain: expected.prev_chain,
            epoch: expected.epoch,
        }
        .sealed();
        batch[..BATCH_HEADER_BYTES].copy_from_slice(bytemuck::bytes_of(&header));
        header.chain()
    }
}

/// Why bytes are not the batch that should be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The header is not one, or is damaged.
    Header,
    /// The header is intact but belongs elsewhere: salt, epoch, sequence number, chain.
    Foreign,
    /// The batch does not fit into the room that is left, or its lengths contradict each other.
    Length,
    /// The record at this offset in the batch is damaged; the identity when it can still be read.
    Record {
        /// Offset in the batch, in bytes.
        offset: usize,
        /// Group and index.
        identity: Option<(GroupId, Index)>,
    },
    /// The record headers do not agree with the batch header.
    Body,
    /// The padding is not zero.
    Padding,
}

/// Proves that `bytes` start with the expected batch: every checksum, every byte of padding.
///
/// # Errors
/// The first [`Fault`] found. Lengths are believed only after the checksum that covers them.
pub fn verify(bytes: &[u8], expected: Expected) -> Result<BatchHeader, Fault> {
    let header = BatchHeader::read(bytes).filter(BatchHeader::is_intact).ok_or(Fault::Header)?;
    let place = Expected {
        salt: header.salt,
        epoch: header.epoch,
        batch_seq: header.batch_seq,
        prev_chain: header.prev_chain,
    };
    if place != expected {
        return Err(Fault::Foreign);
    }
    let (total, data) = (header.total_len as usize, header.data_len as usize);
    let sound = total % BLOCK_BYTES == 0
        && total == whole_blocks(BATCH_HEADER_BYTES + data)
        && header.codec == 0
        && header.zero == 0;
    let Some(batch) = bytes.get(..total).filter(|_| sound) else {
        return Err(Fault::Length);
    };
    let (body, padding) = batch.split_at(BATCH_HEADER_BYTES + data);
    let (mut at, mut crc) = (BATCH_HEADER_BYTES, 0);
    for _ in 0..header.n_records {
        let (end, head) = verify_record(body, at)?;
        crc = crc32c::crc32c_append(crc, bytemuck::bytes_of(&head));
        at = end;
    }
    if at != body.len() || crc != header.body_crc {
        return Err(Fault::Body);
    }
    if is_zero(padding) { Ok(header) } else { Err(Fault::Padding) }
}

/// Proves the record at `at`; returns where the next one starts.
fn verify_record(body: &[u8], at: usize) -> Result<(usize, RecordHeader), Fault> {
    let lost = Fault::Record { offset: at, identity: None };
    let rest = body.get(at..).ok_or(lost)?;
    let head = RecordHeader::read(rest).filter(RecordHeader::is_intact).ok_or(lost)?;
    let damaged =
        Fault::Record { offset: at, identity: Some((GroupId(head.group), Index(head.index))) };
    let len = head.data_len as usize;
    let padded = len.checked_next_multiple_of(8).ok_or(damaged)?;
    let data = rest.get(RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + padded).ok_or(damaged)?;
    let (data, padding) = data.split_at(len);
    if !head.holds(data) || !is_zero(padding) {
        return Err(damaged);
    }
    Ok((at + RECORD_HEADER_BYTES + padded, head))
}

/// The records of a batch that [`verify`] has proved or that was never out of memory.
pub fn records(batch: &[u8]) -> impl Iterator<Item = (usize, RecordHeader, &[u8])> {
    let n_records = BatchHeader::read(batch).map_or(0, |header| header.n_records);
    let mut at = BATCH_HEADER_BYTES;
    (0..n_records).map_while(move |_| {
        let rest = batch.get(at..)?;
        let head = RecordHeader::read(rest)?;
        let data = rest.get(RECORD_HEADER_BYTES..)?.get(..head.data_len as usize)?;
        let offset = at;
        at += crate::record::record_bytes(data.len());
        Some((offset, head, data))
    })
}

/// Whether there is nothing but zeros.
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    static ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];
    bytes.chunks(BLOCK_BYTES).all(|chunk| chunk == &ZEROS[..chunk.len()])
}
