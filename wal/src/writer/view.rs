//! What a writer says about itself.

use super::{Closing, Setup, Tail, Writer};
use crate::arena::{Arena, Blocks};
use crate::error::WalError;
use crate::op::{Mark, Origin, WriteOp};
use crate::segment::Anchor;

impl Writer {
    /// What does not change.
    #[must_use]
    pub const fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The bytes of an operation. They stay where they are until it has completed.
    #[must_use]
    pub fn op_bytes(&self, op: &WriteOp) -> &[u8] {
        match op.origin {
            Origin::Header => self.header.bytes(),
            Origin::Arena(span) => self.arena.bytes(span),
        }
    }

    pub(crate) const fn arena(&self) -> &Arena {
        &self.arena
    }

    pub(crate) const fn arena_mut(&mut self) -> &mut Arena {
        &mut self.arena
    }

    /// Everything up to here is durable.
    #[must_use]
    pub const fn durable(&self) -> Mark {
        Mark(self.durable_seq)
    }

    /// Where the log ends, with what is in flight.
    #[must_use]
    pub const fn tail(&self) -> Tail {
        self.tail
    }

    /// The batch that the next unit goes to, or the one after.
    pub(crate) const fn open_seq(&self) -> u64 {
        self.open_seq
    }

    /// Says which checkpoint the next segment shall name. It must be durable.
    pub(crate) const fn set_anchor(&mut self, anchor: Anchor) {
        self.anchor = Some(anchor);
    }

    /// The mark of the newest append.
    #[must_use]
    pub const fn appended(&self) -> Mark {
        self.appended
    }

    /// Bytes appended and not yet given to the device.
    #[must_use]
    pub const fn pending_bytes(&self) -> usize {
        self.full_bytes + if self.open.is_empty() { 0 } else { self.open.used }
    }

    /// Operations in flight, segment headers among them.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.flying.iter().filter(|flight| !flight.done).count()
    }

    /// Whether nothing waits and nothing is in flight.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.flying.is_empty() && self.full.is_empty() && self.open.is_empty()
    }

    /// Whether a BEACON is due once the log has been idle for long enough.
    #[must_use]
    pub fn wants_beacon(&self) -> bool {
        self.unproven && self.closing == Closing::No && self.poisoned.is_none() && self.is_idle()
    }

    /// Whether the next batch waits for a segment to be offered.
    #[must_use]
    pub const fn is_starved(&self) -> bool {
        self.starved
    }

    /// Segments offered and not in use yet.
    #[must_use]
    pub fn spares(&self) -> usize {
        self.fresh.len()
    }

    /// Whether a segment is in use.
    #[must_use]
    pub const fn has_segment(&self) -> bool {
        self.current.is_some()
    }

    /// Whether appends are refused because the log is closed or closing.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing != Closing::No
    }

    /// Whether the log has ended: its CLOSE batch is durable, or it was never written to, or it
    /// has stopped.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        match self.closing {
            Closing::Closed => true,
            Closing::No => false,
            _ => self.poisoned.is_some() && self.flying.is_empty(),
        }
    }

    /// Why the writer has stopped, if it has.
    #[must_use]
    pub const fn poisoned(&self) -> Option<&WalError> {
        self.poisoned.as_ref()
    }

    /// Gives the memory of the writes up without freeing it: the kernel may still read it. For a
    /// log that is dropped with operations in flight.
    pub(crate) fn leak(&mut self) {
        self.arena.leak();
        core::mem::forget(core::mem::replace(&mut self.header, Blocks::zeroed(0)));
    }
}
