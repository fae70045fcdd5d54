//! What a shard has to say to one peer, gathered during a turn and sealed into one frame.

use raft_core::{GroupId, Message};

use crate::codec;
use crate::frame::{self, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, FrameKind};

/// The bounds of an [`Outbox`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Beyond this many unsealed bytes messages are dropped.
    pub bytes_max: usize,
    /// Votes, heartbeats and their answers, and the request to take over, may go beyond `bytes_max`
    /// by this many bytes, so that a peer that takes entries slowly does not depose its leader.
    pub reserve_bytes: usize,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self { bytes_max: 5 << 20, reserve_bytes: 1 << 20 }
    }
}

/// The messages to one peer since the last seal, already encoded.
///
/// Dropping is safe: Raft repeats what is not answered. An outbox bounds only what it holds, so
/// the owner seals while the socket below has little pending output and lets the outbox fill
/// otherwise.
#[derive(Debug)]
pub struct Outbox {
    limits: OutboxLimits,
    /// Whole frames, then the one being filled: room for its header and its records so far.
    bytes: Vec<u8>,
    /// Where in `bytes` the frame being filled begins.
    frame_start: usize,
    /// The records of the frame being filled.
    frame_records: u32,
    dropped: u64,
}

impl Outbox {
    /// An empty outbox.
    #[must_use]
    pub fn new(limits: OutboxLimits) -> Self {
        Self { limits, bytes: Vec::new(), frame_start: 0, frame_records: 0, dropped: 0 }
    }

    /// Adds a message, or drops it if the outbox is full: then `false`, and it counts in
    /// [`Self::dropped`].
    ///
    /// A message larger than the limit still passes through an empty outbox, so that it is slow
    /// but not stuck; one larger than a frame never does, nor one that is not
    /// [encodable](codec::is_encodable).
    pub fn push(&mut self, group: GroupId, message: &Message) -> bool {
        let record_bytes = codec::encoded_bytes(message);
        let fits_frame = record_bytes <= FRAME_BYTES_MAX - FRAME_HEADER_BYTES;
        let limit = if is_urgent(message) {
            self.limits.bytes_max + self.limits.reserve_bytes
        } else {
            self.limits.bytes_max
        };
        let after = self.bytes.len() + FRAME_HEADER_BYTES + record_bytes;
        let full = after > limit && !self.is_empty();
        if !fits_frame || full || !codec::is_encodable(message) {
            self.dropped += 1;
            return false;
        }
        if self.frame_records > 0
            && self.bytes.len() - self.frame_start + record_bytes > FRAME_BYTES_MAX
        {
            self.seal_frame();
        }
        if self.frame_records == 0 {
            self.bytes.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
        }
        codec::encode(group, message, &mut self.bytes);
        self.frame_records += 1;
        true
    }

    /// Appends everything since the last seal to `out` as whole frames, and is empty after.
    /// Returns how many bytes were appended.
    ///
    /// An empty `out` is exchanged with the outbox's own buffer instead of copied into.
    pub fn seal_into(&mut self, out: &mut Vec<u8>) -> usize {
        self.seal_frame();
        let bytes = self.bytes.len();
        if out.is_empty() {
            std::mem::swap(out, &mut self.bytes);
        } else {
            out.extend_from_slice(&self.bytes);
        }
        self.clear();
        bytes
    }

    /// Whether there is nothing to seal.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The unsealed bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// How many messages were dropped: the outbox was full, or they could not travel.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Forgets what was not sealed, as when a lane is lost. What is forgotten does not count as
    /// dropped.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.frame_start = 0;
        self.frame_records = 0;
    }

    fn seal_frame(&mut self) {
        if self.frame_records > 0 {
            let frame = &mut self.bytes[self.frame_start..];
            frame::seal(frame, FrameKind::Messages, self.frame_records);
            self.frame_start = self.bytes.len();
            self.frame_records = 0;
        }
    }
}

/// Whether leadership depends on the message.
const fn is_urgent(message: &Message) -> bool {
    !matches!(
        message,
        Message::AppendEntries(_) | Message::AppendEntriesReply(_) | Message::InstallSnapshot(_)
    )
}

#[cfg(test)]
mod tests;
