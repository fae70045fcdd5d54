//! Where batches are built, written from and kept for readers: aligned slabs, used in a circle.
//!
//! A slab is filled with batch after batch. What was written stays readable until its slab is
//! wanted again, so the memory of the writes is the cache of the newest entries and nothing is
//! copied between.

use std::collections::VecDeque;

use bytemuck::{Pod, Zeroable};

use crate::op::{SegmentId, Span};
use crate::record::{BLOCK_BYTES, whole_blocks};

/// A block of memory, aligned as direct I/O wants it.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(4096))]
pub(crate) struct Block([u8; BLOCK_BYTES]);

/// Memory aligned to a block, a whole number of blocks long, zero at first.
pub struct Blocks(Vec<Block>);

impl Blocks {
    /// At least `bytes` of memory.
    #[must_use]
    pub fn zeroed(bytes: usize) -> Self {
        Self(vec![Block::zeroed(); bytes.div_ceil(BLOCK_BYTES)])
    }

    /// The memory.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }

    /// The memory, to write.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.0)
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len() * BLOCK_BYTES
    }

    /// Whether there is no memory at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

struct Slab {
    blocks: Blocks,
    /// Batches in it that are not durable yet: while there are any its memory is the kernel's.
    busy: u32,
}

/// A durable batch that is still in memory.
struct Cached {
    place: (SegmentId, u64),
    span: Span,
}

/// The slabs, oldest first; the last one holds the open batch.
pub(crate) struct Arena {
    slab_bytes: usize,
    cache_bytes_max: usize,
    slabs: VecDeque<Slab>,
    /// The number of the first slab; they count up for ever.
    first: u64,
    /// Where the open batch starts in the last slab.
    cursor: usize,
    bytes: usize,
    cached: VecDeque<Cached>,
}

impl Arena {
    pub(crate) fn new(slab_bytes: usize, cache_bytes_max: usize) -> Self {
        Self {
            slab_bytes: whole_blocks(slab_bytes),
            cache_bytes_max,
            slabs: VecDeque::new(),
            first: 0,
            cursor: 0,
            bytes: 0,
            cached: VecDeque::new(),
        }
    }

    /// Makes room for an open batch of `len` bytes, `used` of which are written already.
    pub(crate) fn reserve(&mut self, used: usize, len: usize) {
        let len = whole_blocks(len);
        if self.slabs.back().is_some_and(|slab| self.cursor + len <= slab.blocks.len()) {
            return;
        }
        let mut blocks = self.fresh(len);
        if let Some(open) = self.open().get(..used) {
            blocks.bytes_mut()[..used].copy_from_slice(open);
        }
        self.bytes += blocks.len();
        self.slabs.push_back(Slab { blocks, busy: 0 });
        self.cursor = 0;
    }

    /// Memory for a slab: the oldest one's when the cache is full, else new.
    fn fresh(&mut self, len: usize) -> Blocks {
        let wanted = len.max(self.slab_bytes);
        let mut blocks = None;
        // The last slab stays: the open batch may still have to be moved out of it.
        while self.slabs.len() > 1 && self.bytes + wanted > self.cache_bytes_max {
            if self.slabs.front().is_none_or(|slab| slab.busy > 0) {
                break;
            }
            let Some(slab) = self.slabs.pop_front() else {
                break;
            };
            while self.cached.front().is_some_and(|batch| batch.span.slab == self.first) {
                self.cached.pop_front();
            }
            self.first += 1;
            self.bytes -= slab.blocks.len();
            if slab.blocks.len() == wanted {
                blocks = Some(slab.blocks);
            }
        }
        blocks.unwrap_or_else(|| Blocks::zeroed(wanted))
    }

    /// The memory of the open batch and what follows it.
    pub(crate) fn open(&self) -> &[u8] {
        self.slabs.back().map_or(&[], |slab| &slab.blocks.bytes()[self.cursor..])
    }

    /// The memory of the open batch, to write.
    pub(crate) fn open_mut(&mut self) -> &mut [u8] {
        match self.slabs.back_mut() {
            Some(slab) => &mut slab.blocks.bytes_mut()[self.cursor..],
            None => &mut [],
        }
    }

    /// Ends the open batch after `len` bytes; the next one starts behind it.
    pub(crate) fn take(&mut self, len: usize) -> Span {
        let span = Span {
            slab: self.first + self.slabs.len().saturating_sub(1) as u64,
            // A slab is never larger than a segment.
            start: self.cursor as u32,
            len: len as u32,
        };
        if let Some(slab) = self.slabs.back_mut() {
            slab.busy += 1;
        }
        self.cursor += len;
        span
    }

    /// The bytes of a batch; none when its slab is gone.
    pub(crate) fn bytes(&self, span: Span) -> &[u8] {
        let slab = span.slab.checked_sub(self.first).and_then(|i| self.slabs.get(i as usize));
        slab.map_or(&[], |slab| &slab.blocks.bytes()[span.start as usize..][..span.len as usize])
    }

    /// The bytes of a batch, to write.
    pub(crate) fn bytes_mut(&mut self, span: Span) -> &mut [u8] {
        let first = self.first;
        let slab = span.slab.checked_sub(first).and_then(|i| self.slabs.get_mut(i as usize));
        match slab {
            Some(slab) => &mut slab.blocks.bytes_mut()[span.start as usize..][..span.len as usize],
            None => &mut [],
        }
    }

    /// Says that a batch is durable at this place of the log: it is now part of the cache.
    pub(crate) fn release(&mut self, span: Span, segment: SegmentId, offset: u64) {
        let slab = span.slab.checked_sub(self.first).and_then(|i| self.slabs.get_mut(i as usize));
        if let Some(slab) = slab {
            slab.busy -= 1;
        }
        self.cached.push_back(Cached { place: (segment, offset), span });
    }

    /// The bytes of the log from `offset` to the end of the batch they are in, if that batch is
    /// in memory.
    pub(crate) fn cached(&self, segment: SegmentId, offset: u64) -> Option<&[u8]> {
        let after = self.cached.partition_point(|batch| batch.place <= (segment, offset));
        let batch = self.cached.get(after.checked_sub(1)?)?;
        if batch.place.0 != segment {
            return None;
        }
        self.bytes(batch.span).get((offset - batch.place.1) as usize..)
    }

    /// Gives the memory up without freeing it, because the kernel may still read it.
    pub(crate) fn leak(&mut self) {
        self.cached.clear();
        for slab in self.slabs.drain(..) {
            core::mem::forget(slab.blocks);
        }
    }
}
