//! Reading segments batch by batch and proving every byte of them.

use super::{Leftover, Medium, TornTail};
use crate::arena::Blocks;
use crate::batch::{Expected, Fault, is_zero, verify};
use crate::error::{Damage, OpenError};
use crate::index::Misfit;
use crate::op::SegmentId;
use crate::record::{BLOCK_BYTES, BatchHeader, LiveSegment, flags};
use crate::segment::{RECYCLED, SegmentHeader};
use crate::writer::{IN_FLIGHT_MAX, Tail};

/// A batch that has been proved.
pub(super) struct Proved<'a> {
    pub(super) offset: u64,
    pub(super) seq: u64,
    pub(super) bytes: &'a [u8],
}

/// Takes in one batch after the other.
pub(super) type Sink<'a> = &'a mut dyn FnMut(Proved<'_>) -> Result<(), Misfit>;

/// A reader of segments. It stands behind the last batch it has proved.
pub(super) struct Scan<'a> {
    medium: &'a mut dyn Medium,
    buffer: Blocks,
    loaded: Option<SegmentId>,
    pub(super) tail: Tail,
    pub(super) epoch: u64,
    pub(super) bytes: u64,
    pub(super) batches: u64,
    pub(super) torn_tail: Option<TornTail>,
    /// What the last batch was for.
    flags: u16,
}

impl<'a> Scan<'a> {
    pub(super) fn new(medium: &'a mut dyn Medium) -> Self {
        Self {
            medium,
            buffer: Blocks::zeroed(0),
            loaded: None,
            tail: Tail::default(),
            epoch: 0,
            bytes: 0,
            batches: 0,
            torn_tail: None,
            flags: flags::NORMAL,
        }
    }

    /// Counts batches from here on.
    pub(super) fn restart(&mut self) {
        (self.bytes, self.batches) = (0, 0);
    }

    fn load(&mut self, segment: SegmentId, bytes: u64) -> Result<(), OpenError> {
        if self.loaded == Some(segment) {
            return Ok(());
        }
        let bytes = bytes as usize / BLOCK_BYTES * BLOCK_BYTES;
        if self.buffer.len() != bytes {
            self.buffer = Blocks::zeroed(bytes);
        }
        self.loaded = None;
        self.medium.read(segment, 0, self.buffer.bytes_mut())?;
        self.loaded = Some(segment);
        Ok(())
    }

    /// Proves one segment to its `end`; the last one of the log, which has none, as far as it goes.
    pub(super) fn segment(
        &mut self,
        header: &SegmentHeader,
        end: Option<LiveSegment>,
        sink: Sink<'_>,
    ) -> Result<(), OpenError> {
        let segment = SegmentId(header.segment_id);
        self.load(segment, header.segment_bytes)?;
        self.tail = Tail {
            segment,
            end: BLOCK_BYTES as u64,
            chain: header.prev_chain,
            batch_seq: header.base_seq.saturating_sub(1),
        };
        (self.epoch, self.flags) = (header.epoch, flags::NORMAL);
        let fault = self.batches(header, end.map_or(header.segment_bytes, |end| end.end), sink)?;
        match end {
            Some(end) => self.check_joint(fault, end),
            None => self.check_end(fault, header),
        }
    }

    /// Takes in batches up to `end`; the fault that ended it earlier, if one did.
    fn batches(
        &mut self,
        header: &SegmentHeader,
        end: u64,
        sink: Sink<'_>,
    ) -> Result<Option<Fault>, OpenError> {
        let Some(bytes) = self.buffer.bytes().get(..end as usize) else {
            return Ok(Some(Fault::Length));
        };
        let segment = SegmentId(header.segment_id);
        while self.tail.end < end {
            let rest = &bytes[self.tail.end as usize..];
            let expected = Expected {
                salt: header.salt,
                epoch: header.epoch,
                batch_seq: self.tail.batch_seq + 1,
                prev_chain: self.tail.chain,
            };
            let batch = match verify(rest, expected) {
                Ok(batch) => batch,
                Err(fault) => return Ok(Some(fault)),
            };
            let (len, offset) = (batch.total_len as usize, self.tail.end);
            let proved = Proved { offset, seq: batch.batch_seq, bytes: &rest[..len] };
            sink(proved).map_err(|misfit| refusal(misfit, segment, offset))?;
            self.tail.end += len as u64;
            self.tail.chain = batch.chain();
            self.tail.batch_seq += 1;
            self.bytes += len as u64;
            self.batches += 1;
            self.flags = batch.flags;
        }
        Ok(None)
    }

    /// A segment whose end is known: it must end exactly there and so.
    fn check_joint(&self, fault: Option<Fault>, end: LiveSegment) -> Result<(), OpenError> {
        let tail = &self.tail;
        let joins =
            tail.end == end.end && tail.chain == end.chain && tail.batch_seq == end.last_seq;
        match fault {
            None if joins => Ok(()),
            fault => Err(OpenError::Corrupt(self.damage(fault))),
        }
    }

    /// The last segment: decides between a write that was cut short and damage.
    fn check_end(&mut self, fault: Option<Fault>, header: &SegmentHeader) -> Result<(), OpenError> {
        if fault.is_none() {
            return Ok(());
        }
        let Tail { segment, end, batch_seq, .. } = self.tail;
        let rest = &self.buffer.bytes()[end as usize..];
        let due = batch_seq + 1;
        let of_this =
            |batch: &BatchHeader| batch.salt == header.salt && batch.epoch == header.epoch;
        let proof = later_batches(rest, of_this).any(|batch| {
            let beyond = batch.batch_seq > due;
            let far = batch.batch_seq.saturating_sub(due) > IN_FLIGHT_MAX as u64;
            beyond && (batch.durable_seq >= due || far)
        });
        if proof {
            return Err(OpenError::Corrupt(self.damage(fault)));
        }
        // In a file that had held another segment old batches are no trace of a write cut short.
        let trace = match header.compat & RECYCLED {
            0 => !is_zero(rest),
            _ => later_batches(rest, of_this).next().is_some(),
        };
        if trace && self.flags != flags::CLOSE {
            self.torn_tail = Some(TornTail { segment, offset: end, batch_seq: due });
        }
        Ok(())
    }

    /// A file that is no part of the log. One without a valid header was never in use, unless its
    /// batches prove that it was.
    pub(super) fn leftover(
        &mut self,
        segment: SegmentId,
        bytes: u64,
        has_header: bool,
    ) -> Result<Leftover, OpenError> {
        if has_header {
            return Ok(Leftover { segment, bytes, clean: false });
        }
        let whole = bytes.min(crate::segment::SEGMENT_BYTES_MAX);
        self.load(segment, whole)?;
        let due = self.tail.batch_seq + 1;
        let proof = |batch: BatchHeader| {
            batch.epoch >= self.epoch && batch.durable_seq >= due && batch.batch_seq > due
        };
        let newer = segment > self.tail.segment;
        if newer && later_batches(self.buffer.bytes(), |_| true).any(proof) {
            return Err(match self.torn_tail {
                Some(_) => OpenError::Corrupt(self.damage(None)),
                None => OpenError::DamagedHeader { segment },
            });
        }
        let clean = newer && whole == self.buffer.len() as u64 && is_zero(self.buffer.bytes());
        Ok(Leftover { segment, bytes, clean })
    }

    fn damage(&self, fault: Option<Fault>) -> Damage {
        let Tail { segment, end, batch_seq, .. } = self.tail;
        let (inside, identity) = match fault {
            Some(Fault::Record { offset, identity }) => (offset as u64, identity),
            _ => (0, None),
        };
        Damage { segment, offset: end + inside, batch_seq: batch_seq + 1, identity }
    }
}

/// The intact batch headers at block boundaries that are `wanted`. The inside of these batches is
/// skipped, for their payload may be a copy of anything.
fn later_batches(
    bytes: &[u8],
    wanted: impl Fn(&BatchHeader) -> bool,
) -> impl Iterator<Item = BatchHeader> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let header = BatchHeader::read(rest).filter(BatchHeader::is_intact).filter(&wanted);
            let len = header.map_or(0, |header| header.total_len as usize);
            at +=
                len.next_multiple_of(BLOCK_BYTES).clamp(BLOCK_BYTES, bytes.len().max(BLOCK_BYTES));
            if header.is_some() {
                return header;
            }
        }
        None
    })
}

/// What a record that does not fit means, in the batch at `batch`.
fn refusal(misfit: Misfit, segment: SegmentId, batch: u64) -> OpenError {
    match misfit {
        Misfit::Hole { offset, group, expected, found } => {
            let offset = batch + offset as u64;
            OpenError::Hole { segment, offset, group, expected, found }
        }
        Misfit::Unknown { offset, kind } => {
            OpenError::UnknownRecord { segment, offset: batch + offset as u64, kind }
        }
        Misfit::Lost { group, index } => OpenError::LostEntry { group, index },
    }
}

/// What a record that does not fit means, at the end of the log.
pub(super) fn misplaced(misfit: Misfit, tail: Tail) -> OpenError {
    refusal(misfit, tail.segment, tail.end)
}
