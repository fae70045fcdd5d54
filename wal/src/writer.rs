//! The write path as a state machine: an open batch, full batches, batches in flight, the durable
//! prefix.

use std::collections::VecDeque;

use crate::arena::{Arena, Blocks};
use crate::batch::{Builder, Expected};
use crate::error::WalError;
use crate::op::{Completion, Mark, OpId, Origin, SegmentId, Span, WriteOp};
use crate::record::{BLOCK_BYTES, flags, whole_blocks};
use crate::segment::{
    Anchor, FORMAT_MAJOR, FORMAT_MINOR, RECYCLED, RESERVED_BLOCKS, SEGMENT_MAGIC, SegmentHeader,
};

/// While a batch is in flight the next one waits for this many bytes: that is the group commit.
pub const PENDING_BYTES_MIN: usize = 64 << 10;

/// The most batches that may be in flight, whatever the configuration says. Recovery counts on
/// it.
pub const IN_FLIGHT_MAX: usize = 64;

/// What does not change in the life of a writer.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The store the log belongs to.
    pub store: u128,
    /// The core the log belongs to.
    pub core: u32,
    /// One more than the last opening's.
    pub epoch: u64,
    /// Length of a segment, in bytes.
    pub segment_bytes: u64,
    /// A batch grows no further than this, unless a single unit is larger.
    pub batch_bytes_max: usize,
    /// The most batches in flight.
    pub depth: usize,
    /// Bytes of written batches to keep in memory.
    pub tail_cache_bytes_max: usize,
}

impl Setup {
    /// The longest batch a segment can hold, in bytes.
    #[must_use]
    pub const fn batch_room(&self) -> usize {
        self.segment_bytes as usize - (1 + RESERVED_BLOCKS) * BLOCK_BYTES
    }
}

/// Where the log ends: what the next segment continues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// The last segment in use; zero when there is none.
    pub segment: SegmentId,
    /// Where it ends, in bytes.
    pub end: u64,
    /// The chain after its last batch.
    pub chain: u32,
    /// The last batch.
    pub batch_seq: u64,
}

/// A file that is ready to become a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreshSegment {
    /// Its number, above those of all segments before.
    pub id: SegmentId,
    /// Its slot in the index.
    pub slot: u16,
    /// A random number.
    pub salt: u64,
    /// Unix time in nanoseconds.
    pub created: u64,
    /// Whether it had held another segment; else it is zero.
    pub recycled: bool,
}

/// A batch that is durable, as is everything before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable {
    /// Its segment.
    pub segment: SegmentId,
    /// The slot of its segment.
    pub slot: u16,
    /// Where it starts, in bytes.
    pub offset: u64,
    /// Its bytes.
    pub span: Span,
    /// Entries in it.
    pub entries: u32,
}

struct Current {
    segment: FreshSegment,
    end: u64,
}

/// A batch that takes no more records and has no place yet.
struct Full {
    span: Span,
    builder: Builder,
    flags: u16,
}

enum Load {
    Header,
    Batch { seq: u64, flags: u16, durable: Durable },
}

struct Flight {
    op: WriteOp,
    load: Load,
    done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    No,
    Wanted,
    Written,
    Closed,
}

/// The write path of one log.
pub struct Writer {
    setup: Setup,
    arena: Arena,
    header: Blocks,
    open: Builder,
    open_seq: u64,
    full: VecDeque<Full>,
    full_bytes: usize,
    flying: VecDeque<Flight>,
    current: Option<Current>,
    fresh: VecDeque<FreshSegment>,
    tail: Tail,
    /// The newest durable checkpoint.
    anchor: Option<Anchor>,
    durable_seq: u64,
    appended: Mark,
    next_op: u64,
    /// Batches became durable that no later batch proves.
    unproven: bool,
    written: bool,
    starved: bool,
    closing: Closing,
    poisoned: Option<WalError>,
}

impl Writer {
    /// A writer that continues at `tail`, in a segment still to be offered, which names this
    /// checkpoint.
    #[must_use]
    pub fn new(mut setup: Setup, tail: Tail, anchor: Option<Anchor>) -> Self {
        // A batch that fits into no segment would never be written.
        setup.batch_bytes_max = setup.batch_bytes_max.min(setup.batch_room());
        let slab = setup.batch_bytes_max;
        Self {
            setup,
            arena: Arena::new(slab, setup.tail_cache_bytes_max),
            header: Blocks::zeroed(BLOCK_BYTES),
            open: Builder::default(),
            open_seq: tail.batch_seq + 1,
            full: VecDeque::new(),
            full_bytes: 0,
            flying: VecDeque::new(),
            current: None,
            fresh: VecDeque::new(),
            tail,
            anchor,
            durable_seq: tail.batch_seq,
            appended: Mark(tail.batch_seq),
            next_op: 0,
            unproven: false,
            written: false,
            starved: false,
            closing: Closing::No,
            poisoned: None,
        }
    }

    /// Appends one unit of `bytes` bytes, which must fit into [`Setup::batch_room`] with the
    /// batch header; `fill` adds its records.
    pub(crate) fn append(
        &mut self,
        bytes: usize,
        fill: impl FnOnce(&mut Builder, &mut [u8]),
    ) -> Mark {
        if !self.open.is_empty() && self.open.used + bytes > self.setup.batch_bytes_max {
            self.end_batch(flags::NORMAL);
        }
        self.arena.reserve(self.open.used, self.open.used + bytes);
        fill(&mut self.open, self.arena.open_mut());
        self.appended = Mark(self.open_seq);
        self.appended
    }

    fn end_batch(&mut self, flags: u16) {
        let len = whole_blocks(self.open.used);
        self.arena.reserve(self.open.used, len);
        let span = self.arena.take(len);
        self.full.push_back(Full { span, builder: std::mem::take(&mut self.open), flags });
        self.full_bytes += len;
        self.open_seq += 1;
    }

    /// The next write, if the rules of group commit and of the segment switch allow one now.
    pub fn next_op(&mut self) -> Option<WriteOp> {
        if self.poisoned.is_some() {
            return None;
        }
        if self.closing == Closing::Wanted && self.is_idle() {
            self.end_batch(flags::CLOSE);
            self.closing = Closing::Written;
        }
        let batches = self.flying.iter().filter(|f| !matches!(f.load, Load::Header)).count();
        let waits = self.full.is_empty() && self.open.used < PENDING_BYTES_MIN;
        if batches >= self.setup.depth || (batches > 0 && waits) {
            return None;
        }
        let (len, kind) = match self.full.front() {
            Some(full) => (full.span.len as usize, full.flags),
            None if self.open.is_empty() => return None,
            None => (whole_blocks(self.open.used), flags::NORMAL),
        };
        let reserved = if kind == flags::NORMAL { RESERVED_BLOCKS * BLOCK_BYTES } else { 0 };
        let room = self.setup.segment_bytes - reserved as u64;
        match &self.current {
            Some(current) if current.end + len as u64 <= room => self.issue_batch(),
            _ => self.switch_segment(),
        }
    }

    fn issue_batch(&mut self) -> Option<WriteOp> {
        if self.full.is_empty() {
            self.end_batch(flags::NORMAL);
        }
        let (full, current) = (self.full.pop_front()?, self.current.as_mut()?);
        self.full_bytes -= full.span.len as usize;
        let seq = self.tail.batch_seq + 1;
        let expected = Expected {
            salt: current.segment.salt,
            epoch: self.setup.epoch,
            batch_seq: seq,
            prev_chain: self.tail.chain,
        };
        let batch = self.arena.bytes_mut(full.span);
        let chain = full.builder.seal(batch, expected, self.durable_seq, full.flags);
        let durable = Durable {
            segment: current.segment.id,
            slot: current.segment.slot,
            offset: current.end,
            span: full.span,
            entries: full.builder.entries,
        };
        let (segment, origin) = (current.segment.id, Origin::Arena(full.span));
        current.end += u64::from(full.span.len);
        self.tail = Tail { segment, end: current.end, chain, batch_seq: seq };
        self.written = true;
        let load = Load::Batch { seq, flags: full.flags, durable };
        Some(self.fly(segment, durable.offset, origin, full.span.len, load))
    }

    /// Begins the next segment. Its header says where the old one ends, so nothing of the old one
    /// may be in flight any more.
    fn switch_segment(&mut self) -> Option<WriteOp> {
        if !self.flying.is_empty() {
            return None;
        }
        let Some(segment) = self.fresh.pop_front() else {
            self.starved = true;
            return None;
        };
        self.starved = false;
        let header = SegmentHeader {
            magic: SEGMENT_MAGIC,
            major: FORMAT_MAJOR,
            minor: FORMAT_MINOR,
            crc: 0,
            incompat: 0,
            compat: if segment.recycled { RECYCLED } else { 0 },
            store: self.setup.store.to_le_bytes(),
            core: self.setup.core,
            block_bytes: BLOCK_BYTES as u32,
            segment_bytes: self.setup.segment_bytes,
            segment_id: segment.id.0,
            epoch: self.setup.epoch,
            salt: segment.salt,
            base_seq: self.tail.batch_seq + 1,
            prev_segment_id: self.tail.segment.0,
            prev_end: self.tail.end,
            prev_chain: self.tail.chain,
            reserved: 0,
            created: segment.created,
            checkpoint_from: self.anchor.map_or(0, |anchor| anchor.from.0),
            checkpoint_id: self.anchor.map_or(0, |anchor| anchor.id),
        };
        if let Some(block) = self.header.bytes_mut().first_chunk_mut() {
            header.encode(block);
        }
        let end = BLOCK_BYTES as u64;
        self.current = Some(Current { segment, end });
        self.tail = Tail { segment: segment.id, end, ..self.tail };
        Some(self.fly(segment.id, 0, Origin::Header, BLOCK_BYTES as u32, Load::Header))
    }

    fn fly(
        &mut self,
        segment: SegmentId,
        offset: u64,
        origin: Origin,
        len: u32,
        load: Load,
    ) -> WriteOp {
        let op = WriteOp { id: OpId(self.next_op), segment, offset, origin, len };
        self.next_op += 1;
        self.flying.push_back(Flight { op, load, done: false });
        op
    }

    /// Takes the end of an operation. A failed one stops the writer for good: what the device did
    /// is unknown, and trying again would pretend to know.
    pub fn complete(&mut self, completion: Completion) {
        let Some(at) = self.flying.iter().position(|flight| flight.op.id == completion.id) else {
            return;
        };
        let op = self.flying[at].op;
        let (segment, offset) = (op.segment, op.offset);
        let error = match u32::try_from(completion.result) {
            Ok(written) if written == op.len => None,
            Ok(written) => Some(WalError::Short { segment, offset, written, expected: op.len }),
            Err(_) => Some(WalError::Write { segment, offset, os_error: -completion.result }),
        };
        if let Some(error) = error {
            self.poison(error);
        }
        if self.poisoned.is_some() {
            self.flying.remove(at);
        } else {
            self.flying[at].done = true;
        }
    }

    /// The next batch of the contiguous durable prefix. Until it is released its memory is in
    /// use.
    pub fn pop_durable(&mut self) -> Option<Durable> {
        while self.poisoned.is_none() && self.flying.front().is_some_and(|flight| flight.done) {
            let Load::Batch { seq, flags, durable } = self.flying.pop_front()?.load else {
                continue;
            };
            self.durable_seq = seq;
            self.unproven = flags == flags::NORMAL;
            if flags == flags::CLOSE {
                self.closing = Closing::Closed;
            }
            return Some(durable);
        }
        None
    }

    /// Offers the file of a segment. Segments are used in the order they are offered.
    pub fn offer(&mut self, segment: FreshSegment) {
        self.fresh.push_back(segment);
    }

    /// Stops the writer for good; the first reason stays.
    pub fn poison(&mut self, error: WalError) {
        self.poisoned.get_or_insert(error);
        // What had completed behind the failure is never acknowledged.
        self.flying.retain(|flight| !flight.done);
    }

    /// Writes a BEACON if the log is idle and its last batch is not proven by a later one.
    pub fn beacon(&mut self) {
        if self.wants_beacon() {
            self.end_batch(flags::BEACON);
            self.unproven = false;
        }
    }

    /// Refuses appends from now on and ends the log with a CLOSE batch once the rest is durable.
    pub fn close(&mut self) {
        if self.closing == Closing::No {
            let untouched = self.is_idle() && !self.written;
            self.closing = if untouched { Closing::Closed } else { Closing::Wanted };
        }
    }
}

mod view;
