//! Recovery by proof: what was acknowledged is found again or its loss is reported, nothing else
//! is kept.
//!
//! Every byte of every batch is verified. A bad batch inside the log is damage. A bad batch at the
//! very end is a write that a crash cut short, unless something later proves that it had been
//! durable: the header of a following segment, or a later batch whose `durable_seq` covers it.

use crate::arena::Blocks;
use crate::batch::{Expected, Fault, is_zero, verify};
use crate::error::{Damage, OpenError};
use crate::index::{LogIndex, Misfit};
use crate::op::SegmentId;
use crate::record::{BLOCK_BYTES, BatchHeader};
use crate::segment::{Head, SegmentHeader};
use crate::writer::{IN_FLIGHT_MAX, Tail};

/// Where segments are read from: a folder, or the disk of a simulation.
pub trait Medium {
    /// All segment files with their lengths, in any order.
    ///
    /// # Errors
    /// As the system says.
    fn segments(&mut self) -> Result<Vec<(SegmentId, u64)>, OpenError>;

    /// Fills `out` from `offset` on; both are whole blocks and lie inside the file.
    ///
    /// # Errors
    /// As the system says.
    fn read(&mut self, segment: SegmentId, offset: u64, out: &mut [u8]) -> Result<(), OpenError>;
}

/// The end of a log that a crash cut short. Nothing of it was ever acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment.
    pub segment: SegmentId,
    /// Where the log now ends, in bytes.
    pub offset: u64,
    /// The first batch that is gone.
    pub batch_seq: u64,
}

/// A file that is not part of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Its number.
    pub segment: SegmentId,
    /// Its length, in bytes.
    pub bytes: u64,
    /// Whether it holds nothing but zeros and may serve as the next segment.
    pub clean: bool,
}

/// What recovery found.
#[derive(Debug)]
pub struct Survey {
    /// Every durable entry and group state.
    pub index: LogIndex,
    /// The segments of the log, oldest first; the position is the slot in the index.
    pub segments: Vec<SegmentId>,
    /// Where the log continues.
    pub tail: Tail,
    /// The epoch of the newest segment; zero for a new log.
    pub epoch: u64,
    /// Bytes of all batches.
    pub bytes: u64,
    /// Number of batches.
    pub batches: u64,
    /// What a crash cut short, if it did.
    pub torn_tail: Option<TornTail>,
    /// Files that are not part of the log, in ascending order.
    pub leftovers: Vec<Leftover>,
}

/// Reads and proves a whole log.
///
/// # Errors
/// [`OpenError`]; nothing is changed by recovery, so it may be repeated.
pub fn recover(medium: &mut dyn Medium, store: u128, core: u32) -> Result<Survey, OpenError> {
    let mut files = medium.segments()?;
    files.sort_unstable();
    let heads = read_heads(medium, &files, store, core)?;
    let chain = walk_back(&files, &heads)?;
    if u16::try_from(chain.len()).is_err() {
        return Err(OpenError::TooManySegments { segments: chain.len() });
    }
    let mut scan = Scan::new(medium, chain.iter().map(|header| SegmentId(header.segment_id)));
    for (slot, header) in chain.iter().enumerate() {
        scan.segment(slot as u16, header, chain.get(slot + 1))?;
    }
    for (&(segment, bytes), head) in files.iter().zip(&heads) {
        if *head == Head::Absent {
            scan.leftover(segment, bytes)?;
        }
    }
    Ok(scan.finish())
}

fn read_heads(
    medium: &mut dyn Medium,
    files: &[(SegmentId, u64)],
    store: u128,
    core: u32,
) -> Result<Vec<Head>, OpenError> {
    let mut block = Blocks::zeroed(BLOCK_BYTES);
    let mut heads = Vec::with_capacity(files.len());
    for &(segment, bytes) in files {
        if bytes < BLOCK_BYTES as u64 {
            heads.push(Head::Absent);
            continue;
        }
        medium.read(segment, 0, block.bytes_mut())?;
        let head = SegmentHeader::decode(segment, block.bytes())?;
        if let Head::Valid(header) = head {
            let found = u128::from_le_bytes(header.store);
            if found != store {
                return Err(OpenError::WrongStore { segment, found, expected: store });
            }
            if header.core != core {
                let found = header.core;
                return Err(OpenError::WrongCore { segment, found, expected: core });
            }
            let expected = header.segment_bytes;
            if bytes < expected {
                return Err(OpenError::Truncated { segment, bytes, expected });
            }
        }
        heads.push(head);
    }
    Ok(heads)
}

/// The headers of the log, oldest first: from the newest valid one back to the first segment.
fn walk_back(files: &[(SegmentId, u64)], heads: &[Head]) -> Result<Vec<SegmentHeader>, OpenError> {
    let valid = heads.iter().filter_map(|head| match head {
        Head::Valid(header) => Some(*header),
        Head::Absent => None,
    });
    let valid: Vec<SegmentHeader> = valid.collect();
    let mut chain: Vec<SegmentHeader> = Vec::new();
    let Some(newest) = valid.last() else {
        return Ok(chain);
    };
    let newest_id = SegmentId(newest.segment_id);
    let mut wanted = newest.segment_id;
    for header in valid.iter().rev() {
        if header.segment_id != wanted {
            // Either this one is a stranger, or the wanted one, which is smaller, is not there.
            let segment = SegmentId(header.segment_id);
            if header.segment_id > wanted {
                return Err(OpenError::StraySegment { segment, newest: newest_id });
            }
            return Err(absent(files, wanted, chain.last()));
        }
        chain.push(*header);
        wanted = header.prev_segment_id;
    }
    if wanted != 0 {
        return Err(absent(files, wanted, chain.last()));
    }
    chain.reverse();
    Ok(chain)
}

/// The error for a segment of the log that has no valid header.
fn absent(files: &[(SegmentId, u64)], wanted: u64, needed_by: Option<&SegmentHeader>) -> OpenError {
    let missing = SegmentId(wanted);
    if files.iter().any(|&(segment, _)| segment == missing) {
        return OpenError::DamagedHeader { segment: missing };
    }
    let needed_by = SegmentId(needed_by.map_or(0, |header| header.segment_id));
    OpenError::MissingSegment { missing, needed_by }
}

struct Scan<'a> {
    medium: &'a mut dyn Medium,
    buffer: Blocks,
    survey: Survey,
}

impl<'a> Scan<'a> {
    fn new(medium: &'a mut dyn Medium, segments: impl Iterator<Item = SegmentId>) -> Self {
        let survey = Survey {
            index: LogIndex::default(),
            segments: segments.collect(),
            tail: Tail::default(),
            epoch: 0,
            bytes: 0,
            batches: 0,
            torn_tail: None,
            leftovers: Vec::new(),
        };
        Self { medium, buffer: Blocks::zeroed(0), survey }
    }

    fn load(&mut self, segment: SegmentId, bytes: u64) -> Result<(), OpenError> {
        let bytes = bytes as usize / BLOCK_BYTES * BLOCK_BYTES;
        if self.buffer.len() != bytes {
            self.buffer = Blocks::zeroed(bytes);
        }
        self.medium.read(segment, 0, self.buffer.bytes_mut())
    }

    /// Proves one segment and takes in what it holds.
    fn segment(
        &mut self,
        slot: u16,
        header: &SegmentHeader,
        next: Option<&SegmentHeader>,
    ) -> Result<(), OpenError> {
        let segment = SegmentId(header.segment_id);
        self.load(segment, header.segment_bytes)?;
        let tail = &mut self.survey.tail;
        // What this header says of its predecessor was checked there; of the first one nothing is
        // known.
        *tail = Tail {
            segment,
            end: BLOCK_BYTES as u64,
            chain: header.prev_chain,
            batch_seq: header.base_seq.saturating_sub(1),
        };
        self.survey.epoch = header.epoch;
        let end = next.map_or(header.segment_bytes, |next| next.prev_end);
        let fault = self.batches(slot, header, end)?;
        match next {
            Some(next) => self.check_joint(fault, next),
            None => self.check_end(fault, header),
        }
    }

    /// Takes in batches up to `end`; the fault that ended it earlier, if one did.
    fn batches(
        &mut self,
        slot: u16,
        header: &SegmentHeader,
        end: u64,
    ) -> Result<Option<Fault>, OpenError> {
        let Self { buffer, survey, .. } = self;
        let Some(bytes) = buffer.bytes().get(..end as usize) else {
            return Ok(Some(Fault::Length));
        };
        let segment = SegmentId(header.segment_id);
        while survey.tail.end < end {
            let rest = &bytes[survey.tail.end as usize..];
            let expected = Expected {
                salt: header.salt,
                epoch: header.epoch,
                batch_seq: survey.tail.batch_seq + 1,
                prev_chain: survey.tail.chain,
            };
            let batch = match verify(rest, expected) {
                Ok(batch) => batch,
                Err(fault) => return Ok(Some(fault)),
            };
            let len = batch.total_len as usize;
            let at = survey.tail.end;
            let applied = survey.index.apply(slot, at, &rest[..len]);
            applied.map_err(|misfit| refusal(misfit, segment, at))?;
            survey.tail.end += len as u64;
            survey.tail.chain = batch.chain();
            survey.tail.batch_seq += 1;
            survey.bytes += len as u64;
            survey.batches += 1;
        }
        Ok(None)
    }

    /// A segment with a successor: it must end exactly where and how the successor says.
    fn check_joint(&self, fault: Option<Fault>, next: &SegmentHeader) -> Result<(), OpenError> {
        let tail = &self.survey.tail;
        let joins = tail.end == next.prev_end
            && tail.chain == next.prev_chain
            && tail.batch_seq.checked_add(1) == Some(next.base_seq);
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
        let Tail { segment, end, batch_seq, .. } = self.survey.tail;
        let rest = &self.buffer.bytes()[end as usize..];
        let due = batch_seq + 1;
        let of_this =
            |batch: &BatchHeader| batch.salt == header.salt && batch.epoch == header.epoch;
        let proof = later_batches(rest).filter(of_this).any(|batch| {
            let beyond = batch.batch_seq > due;
            let far = batch.batch_seq.saturating_sub(due) > IN_FLIGHT_MAX as u64;
            beyond && (batch.durable_seq >= due || far)
        });
        if proof {
            return Err(OpenError::Corrupt(self.damage(fault)));
        }
        if !is_zero(rest) {
            self.survey.torn_tail = Some(TornTail { segment, offset: end, batch_seq: due });
        }
        Ok(())
    }

    /// A file without a valid header: never in use, unless its batches prove that it was.
    fn leftover(&mut self, segment: SegmentId, bytes: u64) -> Result<(), OpenError> {
        let whole = bytes.min(crate::segment::SEGMENT_BYTES_MAX);
        self.load(segment, whole)?;
        let due = self.survey.tail.batch_seq + 1;
        let proof = |batch: BatchHeader| {
            batch.epoch >= self.survey.epoch && batch.durable_seq >= due && batch.batch_seq > due
        };
        let newer = segment > self.survey.tail.segment;
        if newer && later_batches(self.buffer.bytes()).any(proof) {
            return Err(match self.survey.torn_tail {
                Some(_) => OpenError::Corrupt(self.damage(None)),
                None => OpenError::DamagedHeader { segment },
            });
        }
        let clean = newer && whole == self.buffer.len() as u64 && is_zero(self.buffer.bytes());
        self.survey.leftovers.push(Leftover { segment, bytes, clean });
        Ok(())
    }

    fn damage(&self, fault: Option<Fault>) -> Damage {
        let Tail { segment, end, batch_seq, .. } = self.survey.tail;
        let (inside, identity) = match fault {
            Some(Fault::Record { offset, identity }) => (offset as u64, identity),
            _ => (0, None),
        };
        Damage { segment, offset: end + inside, batch_seq: batch_seq + 1, identity }
    }

    fn finish(mut self) -> Survey {
        self.survey.index.settle();
        self.survey
    }
}

/// The intact batch headers at block boundaries. The inside of a batch is skipped, for its payload
/// may be a copy of anything.
fn later_batches(bytes: &[u8]) -> impl Iterator<Item = BatchHeader> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let header = BatchHeader::read(rest).filter(BatchHeader::is_intact);
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

fn refusal(misfit: Misfit, segment: SegmentId, batch: u64) -> OpenError {
    match misfit {
        Misfit::Hole { offset, group, expected, found } => {
            let offset = batch + offset as u64;
            OpenError::Hole { segment, offset, group, expected, found }
        }
        Misfit::Unknown { offset, kind } => {
            OpenError::UnknownRecord { segment, offset: batch + offset as u64, kind }
        }
    }
}
