//! What would be left of a damaged log: recovery on files as they will be, before any is touched.

use std::collections::BTreeSet;

use super::verify::is_damage;
use super::walk::first_batch;
use super::{Files, InspectError};
use crate::batch::verify;
use crate::error::OpenError;
use crate::op::SegmentId;
use crate::record::BLOCK_BYTES;
use crate::recover::{Medium, Survey, recover};
use crate::segment::{Head, SegmentHeader};

/// A segment that loses what lies from `offset` on: zeros stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) segment: SegmentId,
    pub(super) offset: u64,
    /// Length of the segment, in bytes.
    pub(super) bytes: u64,
}

/// Files without those that are to be moved, and with one of them cut.
pub(super) struct Plan<'a> {
    pub(super) files: &'a mut Files,
    listed: Vec<(SegmentId, u64)>,
    pub(super) moved: BTreeSet<SegmentId>,
    pub(super) cut: Option<Cut>,
}

impl<'a> Plan<'a> {
    /// A plan that changes nothing yet.
    pub(super) fn new(files: &'a mut Files) -> Result<Self, OpenError> {
        let listed = files.sorted()?;
        Ok(Self { files, listed, moved: BTreeSet::new(), cut: None })
    }

    /// Takes away the least that makes the log open; what is left, and the first damage, if there
    /// is any.
    pub(super) fn settle(&mut self) -> Result<(Survey, Option<OpenError>), InspectError> {
        let (store, core) = self.files.identity()?;
        let mut first = None;
        loop {
            let error = match recover(self, store, core) {
                Ok(survey) => return Ok((survey, first)),
                Err(error) if is_damage(&error) => error,
                Err(error) => return Err(error.into()),
            };
            let before = (self.moved.len(), self.cut);
            match &error {
                OpenError::WrongStore { .. } | OpenError::WrongCore { .. } => {
                    return Err(InspectError::Mixed(error));
                }
                OpenError::Corrupt(damage) => self.cut(damage.segment, damage.offset)?,
                OpenError::Hole { segment, offset, .. } => self.cut(*segment, *offset)?,
                OpenError::Truncated { segment, bytes, .. } => self.cut(*segment, *bytes)?,
                OpenError::MissingSegment { missing, .. } => self.drop_from(*missing),
                OpenError::DamagedHeader { segment } => self.drop_from(*segment),
                OpenError::StraySegment { segment, .. } => {
                    self.moved.insert(*segment);
                }
                _ => {}
            }
            if before == (self.moved.len(), self.cut) {
                return Err(error.into());
            }
            first.get_or_insert(error);
        }
    }

    fn drop_from(&mut self, first: SegmentId) {
        let later = self.listed.iter().map(|&(segment, _)| segment).filter(|&s| s >= first);
        self.moved.extend(later);
        self.cut = self.cut.filter(|cut| cut.segment < first);
    }

    /// Cuts a segment before the batch in which `offset` lies, and all that follows it.
    fn cut(&mut self, segment: SegmentId, offset: u64) -> Result<(), OpenError> {
        let listed = self.listed.iter().find(|&&(listed, _)| listed == segment);
        let bytes = listed.map_or(0, |&(_, bytes)| bytes);
        match self.files.head(segment, bytes)? {
            Head::Valid(header) => {
                let blocks = self.files.load(segment, bytes)?;
                let offset = batch_at(blocks.bytes(), &header, offset);
                self.drop_from(SegmentId(segment.0 + 1));
                self.cut = Some(Cut { segment, offset, bytes: header.segment_bytes });
            }
            Head::Absent => self.drop_from(segment),
        }
        Ok(())
    }
}

/// Where the batch begins in which `offset` lies, or the first one that is not valid before it.
fn batch_at(bytes: &[u8], header: &SegmentHeader, offset: u64) -> u64 {
    let (mut at, mut expected) = (BLOCK_BYTES, first_batch(header));
    while let Some(Ok(batch)) = bytes.get(at..).map(|rest| verify(rest, expected)) {
        let end = at + batch.total_len as usize;
        if end as u64 > offset {
            break;
        }
        at = end;
        expected.batch_seq += 1;
        expected.prev_chain = batch.chain();
    }
    at as u64
}

impl Medium for Plan<'_> {
    fn segments(&mut self) -> Result<Vec<(SegmentId, u64)>, OpenError> {
        let kept = self.listed.iter().filter(|(segment, _)| !self.moved.contains(segment));
        let cut = |(segment, bytes)| match self.cut {
            Some(cut) if cut.segment == segment => (segment, cut.bytes),
            _ => (segment, bytes),
        };
        Ok(kept.copied().map(cut).collect())
    }

    fn read(&mut self, segment: SegmentId, offset: u64, out: &mut [u8]) -> Result<(), OpenError> {
        let cut = self.cut.filter(|cut| cut.segment == segment);
        let kept = cut.map_or(u64::MAX, |cut| cut.offset.saturating_sub(offset));
        let kept = out.len().min(usize::try_from(kept).unwrap_or(usize::MAX));
        let (read, zeros) = out.split_at_mut(kept);
        zeros.fill(0);
        if read.is_empty() { Ok(()) } else { self.files.read(segment, offset, read) }
    }
}
