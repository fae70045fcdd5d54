//! How much of what a log holds.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use raft_core::{GroupId, LogId};

use super::walk::{Batch, Gap, Item, walk};
use super::{Files, InspectError};
use crate::op::SegmentId;
use crate::record::{BATCH_HEADER_BYTES, RecordKind, flags, record_bytes};

/// One segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentStat {
    /// Its number.
    pub segment: SegmentId,
    /// The opening that wrote it.
    pub epoch: u64,
    /// Length of the file, in bytes.
    pub bytes: u64,
    /// Bytes of its batches.
    pub used: u64,
    /// Number of batches.
    pub batches: u64,
    /// When it was begun, Unix time in ns.
    pub created: u64,
}

/// Batches by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchCounts {
    /// With records of groups.
    pub normal: u64,
    /// Written when the log fell idle.
    pub beacon: u64,
    /// Written at an orderly shutdown.
    pub close: u64,
    /// Of another kind.
    pub other: u64,
}

/// Records of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindStat {
    /// How many.
    pub records: u64,
    /// Bytes of their data.
    pub data_bytes: u64,
    /// Bytes with headers and padding.
    pub bytes: u64,
}

/// Records of one group, replaced ones among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupStat {
    /// How many.
    pub records: u64,
    /// Bytes with headers and padding.
    pub bytes: u64,
    /// The last entry written; zero when none is.
    pub last: LogId,
}

/// What a log holds. Of a damaged one, what can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// The segments, oldest first.
    pub segments: Vec<SegmentStat>,
    /// Files without a valid header.
    pub unused: u64,
    /// Length of these, in bytes.
    pub unused_bytes: u64,
    /// Batches.
    pub batches: BatchCounts,
    /// Bytes of all batches.
    pub bytes: u64,
    /// Bytes of these that are headers of batches or records.
    pub record_bytes: u64,
    /// By kind of record.
    pub kinds: BTreeMap<u8, KindStat>,
    /// By group.
    pub groups: BTreeMap<GroupId, GroupStat>,
    /// Where no valid batch is.
    pub gaps: Vec<Gap>,
}

impl Stat {
    /// Which part of the bytes of all batches is not padding, 0 to 1.
    #[must_use]
    pub fn fill(&self) -> f64 {
        if self.bytes == 0 { 0.0 } else { self.record_bytes as f64 / self.bytes as f64 }
    }

    fn batch(&mut self, batch: &Batch<'_>) {
        let header = &batch.header;
        let count = match header.flags {
            flags::NORMAL => &mut self.batches.normal,
            flags::BEACON => &mut self.batches.beacon,
            flags::CLOSE => &mut self.batches.close,
            _ => &mut self.batches.other,
        };
        *count += 1;
        let bytes = u64::from(header.total_len);
        self.bytes += bytes;
        self.record_bytes += BATCH_HEADER_BYTES as u64 + u64::from(header.data_len);
        if let Some(segment) = self.segments.last_mut() {
            segment.used += bytes;
            segment.batches += 1;
        }
        for record in batch.records() {
            let bytes = record_bytes(record.data.len()) as u64;
            let kind = self.kinds.entry(record.header.kind).or_default();
            kind.records += 1;
            kind.data_bytes += record.data.len() as u64;
            kind.bytes += bytes;
            let group = self.groups.entry(GroupId(record.header.group)).or_default();
            group.records += 1;
            group.bytes += bytes;
            if record.header.kind == RecordKind::Entry as u8 {
                group.last = record.header.id();
            }
        }
    }
}

/// Counts what is in the folder.
///
/// # Errors
/// As [`walk`](fn@walk).
pub fn stat(files: &mut Files) -> Result<Stat, InspectError> {
    let mut stat = Stat::default();
    walk(files, &mut |item| {
        match item {
            Item::Segment(header) => stat.segments.push(SegmentStat {
                segment: SegmentId(header.segment_id),
                epoch: header.epoch,
                bytes: header.segment_bytes,
                used: 0,
                batches: 0,
                created: header.created,
            }),
            Item::Batch(batch) => stat.batch(&batch),
            Item::Gap(gap) => stat.gaps.push(gap),
            Item::Headless { bytes, .. } => {
                stat.unused += 1;
                stat.unused_bytes += bytes;
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(stat)
}
