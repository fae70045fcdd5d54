//! The table as it was when a snapshot began, drawn from it while it goes on changing.
//!
//! Nothing is copied at the beginning. A segment is copied when its turn has come, or just before
//! it changes for the first time, whichever is earlier.

use std::collections::VecDeque;

use super::hash::hash;
use super::record::Record;
use super::segment::Segment;

/// Records are gathered until they take so much, in bytes.
const CHUNK_BYTES: usize = 64 << 10;

/// What is still to be drawn from a table.
#[derive(Debug)]
pub(crate) struct Cursor {
    /// Which of the segments there were at the beginning have been copied.
    copied: Vec<bool>,
    /// Those before it have been copied.
    next: usize,
    /// Segments that the table has let go of before their turn.
    detached: Vec<Segment>,
    /// Copies that wait to be taken.
    chunks: VecDeque<Vec<u8>>,
    sum: u64,
}

impl Cursor {
    /// Nothing of these many segments has been copied.
    pub(crate) fn new(segments: usize) -> Self {
        Self {
            copied: vec![false; segments],
            next: 0,
            detached: Vec::new(),
            chunks: VecDeque::new(),
            sum: 0,
        }
    }

    /// The segment of this number is about to change.
    pub(crate) fn before_change(&mut self, number: usize, segment: &Segment) {
        // What was added since the beginning holds records that were copied before they moved.
        if let Some(copied) = self.copied.get_mut(number).filter(|copied| !**copied) {
            *copied = true;
            self.copy(segment);
        }
    }

    /// The table lets go of all its segments. Gives back those that are not needed here.
    pub(crate) fn detach(&mut self, segments: Vec<Segment>) -> Vec<Segment> {
        let copied = std::mem::take(&mut self.copied);
        let mut copied = copied.into_iter().chain(std::iter::repeat(true));
        let (free, detached): (_, Vec<_>) =
            segments.into_iter().partition(|_| copied.next() == Some(true));
        // What an earlier time let go of may still be due.
        self.detached.extend(detached);
        self.next = 0;
        free
    }

    /// Appends the next records to `out`, about so many bytes. Whether there are more.
    pub(crate) fn draw(&mut self, segments: &[Segment], bytes: usize, out: &mut Vec<u8>) -> bool {
        while out.len() < bytes {
            if let Some(chunk) = self.chunks.pop_front() {
                out.extend_from_slice(&chunk);
            } else if let Some(segment) = self.detached.pop() {
                self.copy(&segment);
            } else if self.next < self.copied.len() {
                let number = self.next;
                self.next += 1;
                self.before_change(number, &segments[number]);
            } else {
                return false;
            }
        }
        !self.chunks.is_empty() || !self.detached.is_empty() || self.next < self.copied.len()
    }

    /// The sum that the digest of the table was made of when the snapshot began; known when all was
    /// drawn.
    pub(crate) const fn sum(&self) -> u64 {
        self.sum
    }

    fn copy(&mut self, segment: &Segment) {
        let mut chunk = Vec::new();
        for (_, record) in segment.iter() {
            let packed = record.packed();
            self.sum = self.sum.wrapping_add(hash(0, packed));
            chunk.extend_from_slice(&(packed.len() as u32).to_le_bytes());
            chunk.extend_from_slice(packed);
            if chunk.len() >= CHUNK_BYTES {
                self.chunks.push_back(std::mem::take(&mut chunk));
            }
        }
        if !chunk.is_empty() {
            self.chunks.push_back(chunk);
        }
    }
}

/// The next record that was drawn, and what follows it.
pub(crate) fn next_record(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let (packed, rest) = rest.split_at_checked(length)?;
    Some((Record::from_packed(packed)?, rest))
}
