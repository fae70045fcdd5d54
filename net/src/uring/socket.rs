//! One socket of the slab: what it is, what it wants, what the kernel holds of it.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use bytes::BytesMut;
use io_uring::types::{Fd, Timespec};
use socket2::SockAddr;

use super::op::{Op, OpSet};

/// What a socket is.
#[derive(Debug)]
pub(super) enum Role {
    Listener {
        /// How long to wait when descriptors or memory ran out.
        backoff: Timespec,
        /// Whether that wait is due or under way.
        stalled: bool,
    },
    Connecting {
        addr: SockAddr,
    },
    Stream,
}

/// How far a socket is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It is not.
    Open,
    /// It closes when its output is sent.
    Flush,
    /// Its descriptor goes back to the owner when its output is sent.
    Release,
    /// It closes as soon as the kernel lets go of its buffers.
    Now,
}

/// A socket. Lives in a box from its first operation to its last completion: operations point
/// into it.
#[derive(Debug)]
pub(super) struct Socket {
    /// `None` only if the socket could not be made; it is ending then.
    pub(super) fd: Option<OwnedFd>,
    pub(super) role: Role,
    pub(super) ending: Ending,
    /// Why it ends, if it failed.
    pub(super) error: Option<io::Error>,
    pub(super) in_flight: OpSet,
    /// The operations whose cancelling is in flight.
    pub(super) cancels: OpSet,
    /// The operations that need no (further) cancelling.
    pub(super) cancelled: OpSet,
    /// Whether it is on the list of sockets to look at when submitting.
    pub(super) dirty: bool,
    pub(super) paused: bool,
    /// Whether the owner still owes it output, end of stream or not.
    pub(super) held: bool,
    /// Whether the peer has said that it sends no more.
    pub(super) ended: bool,
    /// The kernel's while a receive is in flight; empty before the first.
    pub(super) receive_buffer: Box<[u8]>,
    pub(super) input: BytesMut,
    /// The most bytes `input` held since it was last empty.
    pub(super) input_peak: usize,
    /// What the owner appends to.
    pub(super) filling: Vec<u8>,
    /// The kernel's while a send is in flight.
    pub(super) sending: Vec<u8>,
    /// How much of `sending` is sent.
    pub(super) sent: usize,
}

impl Socket {
    pub(super) fn new(fd: Option<OwnedFd>, role: Role) -> Self {
        Self {
            fd,
            role,
            ending: Ending::Open,
            error: None,
            in_flight: OpSet::default(),
            cancels: OpSet::default(),
            cancelled: OpSet::default(),
            dirty: false,
            paused: false,
            held: false,
            ended: false,
            receive_buffer: Box::default(),
            input: BytesMut::new(),
            input_peak: 0,
            filling: Vec::new(),
            sending: Vec::new(),
            sent: 0,
        }
    }

    /// The descriptor for an operation; an invalid one if there is none.
    pub(super) fn raw_fd(&self) -> Fd {
        Fd(self.fd.as_ref().map_or(-1, AsRawFd::as_raw_fd))
    }

    /// Bytes that the kernel has not taken yet.
    pub(super) fn pending_output(&self) -> usize {
        self.sending.len() - self.sent + self.filling.len()
    }

    pub(super) fn is_connecting(&self) -> bool {
        matches!(self.role, Role::Connecting { .. })
    }

    pub(super) fn is_listener(&self) -> bool {
        matches!(self.role, Role::Listener { .. })
    }

    /// Whether a receive should be armed.
    pub(super) fn wants_receive(&self, input_bytes_max: usize) -> bool {
        matches!(self.role, Role::Stream)
            && self.ending == Ending::Open
            && !self.paused
            && !self.ended
            && !self.in_flight.contains(Op::Receive)
            && self.input.len() < input_bytes_max
    }

    /// Whether a send should be armed.
    pub(super) fn wants_send(&self) -> bool {
        matches!(self.role, Role::Stream)
            && self.ending != Ending::Now
            && !self.in_flight.contains(Op::Send)
            && self.pending_output() > 0
    }

    /// Whether an end has nothing left to wait for but the kernel.
    pub(super) fn is_drained(&self) -> bool {
        match self.ending {
            Ending::Open => false,
            Ending::Now => true,
            Ending::Flush | Ending::Release => !self.is_connecting() && self.pending_output() == 0,
        }
    }

    /// Whether the kernel holds nothing of it.
    pub(super) fn is_quiet(&self) -> bool {
        self.in_flight.is_empty() && self.cancels.is_empty()
    }

    /// An end of stream closes the socket, after its output, unless the owner is not done.
    pub(super) fn heed_end_of_stream(&mut self) {
        if self.ended && !self.held && !self.paused && self.ending == Ending::Open {
            self.ending = Ending::Flush;
        }
    }

    /// It ends because of `error`; a first error stays.
    pub(super) fn fail(&mut self, error: io::Error) {
        if self.ending != Ending::Now {
            self.ending = Ending::Now;
            self.error = Some(error);
        }
    }
}
