//! Frames, sessions and sockets between shards.
//!
//! Two halves. The pure one turns messages into bytes and back and knows no socket and no clock:
//! [`codec`] (one message), [`frame`] (what a checksum covers), [`Outbox`] and [`Inbox`] (the two
//! ends of a lane), [`session`] (who may open one), [`Backoff`] (when to dial again). The other is
//! [`Sockets`]: TCP for lanes and clients alike, as operations on an io_uring ring that it shares
//! with the rest of its shard.
//!
//! What it is not: it does not decide whom to connect to, knows no groups beyond their number in
//! a record, and has no thread, no loop and no log.
//!
//! Invariants:
//! - Bytes from a peer never cause a panic, nor an allocation that their checked length does not
//!   justify.
//! - After an error a lane is closed: nothing behind a damaged frame is ever handed out.
//! - A buffer named in a submission stays where it is, untouched, until its completion.
//!
//! Start reading at [`Outbox::seal_into`] and [`Inbox::next`], then [`Sockets::submit`] and
//! [`Sockets::complete`]. `PROTOCOL.md` beside this crate has the wire format byte by byte.

pub mod codec;
pub mod frame;
pub mod session;

mod backoff;
mod bulk;
mod error;
mod inbox;
mod outbox;
mod uring;

pub use backoff::{BACKOFF_FIRST, BACKOFF_MAX, Backoff};
pub use bulk::{Answer, Bulk, FEATURE_SNAPSHOTS, PIECE_BYTES_MAX, Piece};
pub use error::{BindError, FrameError, RecordError, Refusal};
pub use frame::FRAME_BYTES_MAX;
pub use inbox::Inbox;
pub use outbox::{Outbox, OutboxLimits};
pub use session::{
    HANDSHAKE_TIMEOUT, HELLO_BYTES, Hello, PROTOCOL_VERSION, Peers, Session, SessionEvent,
    encode_hello, in_time, read_hello, validate,
};
pub use uring::{SocketEvent, SocketId, SocketLimits, Sockets, bind_listener};
