//! What a peer says to a shard: bytes in, messages out.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use raft_core::{GroupId, Message};

use crate::bulk::Bulk;
use crate::codec;
use crate::error::FrameError;
use crate::frame::{self, FrameHeader, FrameKind};

/// The receiving end of a lane.
///
/// Holds at most one unfinished frame besides what was fed but not yet asked for.
#[derive(Debug, Default)]
pub struct Inbox {
    /// Bytes not yet taken as frames.
    bytes: BytesMut,
    /// Whether `bytes` shares the memory of an input, which cannot use it again until let go.
    shared: bool,
    /// The rest of the frame being handed out.
    body: Bytes,
    /// The records `body` must still hold.
    records: u32,
    /// What bulk frames brought, in order.
    bulk: VecDeque<Bulk>,
    /// The first error; it stays.
    error: Option<FrameError>,
}

impl Inbox {
    /// An inbox that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds received bytes, torn anywhere, by copying them.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.error.is_none() {
            self.make_room(bytes.len());
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Adds all of `input`, which is empty after; copies only behind an unfinished frame.
    pub fn feed_from(&mut self, input: &mut BytesMut) {
        if self.error.is_none() && self.bytes.is_empty() {
            self.bytes = input.split();
            self.shared = true;
        } else {
            self.feed(input);
            input.advance(input.len());
        }
    }

    /// The next message, or `None` until more bytes are fed.
    ///
    /// # Errors
    /// Any [`FrameError`], and the same again from then on: the lane must be closed.
    #[expect(clippy::should_implement_trait, reason = "more messages may come after a None")]
    pub fn next(&mut self) -> Result<Option<(GroupId, Message)>, FrameError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.try_next().inspect_err(|error| {
            self.error = Some(*error);
            self.bytes = BytesMut::new();
            self.body = Bytes::new();
        })
    }

    /// What the bulk frames among those that [`Self::next`] has passed have brought. To be taken
    /// until there is none, after every run of messages.
    pub fn take_bulk(&mut self) -> Option<Bulk> {
        self.bulk.pop_front()
    }

    /// The bytes fed and not yet handed out as messages.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len() + self.body.len()
    }

    fn try_next(&mut self) -> Result<Option<(GroupId, Message)>, FrameError> {
        while self.records == 0 {
            if !self.body.is_empty() {
                return Err(FrameError::RecordCount);
            }
            let Some((header, body)) = frame::take(&mut self.bytes)? else {
                return Ok(None);
            };
            match header.kind {
                FrameKind::Messages => (self.body, self.records) = (body, header.records),
                FrameKind::Bulk if header.records == 1 => {
                    self.bulk.push_back(Bulk::decode(body)?);
                }
                FrameKind::Bulk => return Err(FrameError::RecordCount),
            }
            if self.bytes.is_empty() && self.shared {
                self.bytes = BytesMut::new();
                self.shared = false;
            }
        }
        if self.body.is_empty() {
            return Err(FrameError::RecordCount);
        }
        let message = codec::decode(&mut self.body)?;
        self.records -= 1;
        if self.records == 0 && self.body.is_empty() {
            // Lets go of the frame's memory now, not when the next frame comes.
            self.body = Bytes::new();
        }
        Ok(Some(message))
    }

    /// Once the header of an unfinished frame is known to be whole, its memory is taken at once.
    fn make_room(&mut self, bytes: usize) {
        if let Ok(Some(header)) = FrameHeader::read(&self.bytes) {
            let missing = header.frame_bytes().saturating_sub(self.bytes.len());
            self.bytes.reserve(missing.max(bytes));
        }
    }
}

#[cfg(test)]
mod tests;
