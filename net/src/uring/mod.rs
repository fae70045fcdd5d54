//! TCP on a shared io_uring ring.
//!
//! [`Sockets`] keeps the sockets of a shard. The owner calls [`Sockets::submit`] before it enters
//! the ring and [`Sockets::complete`] for every completion that bears the tag; nothing here
//! enters the kernel to wait, and nothing blocks. Cost follows work: a socket that nothing
//! happened to is not looked at.

mod buffers;
mod complete;
mod listener;
mod op;
mod socket;
mod submit;

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::time::Duration;

use bytes::BytesMut;
use io_uring::types::Timespec;
use socket2::{Domain, Protocol, SockAddr, SockRef, TcpKeepalive, Type};

use buffers::Buffers;
use socket::{Ending, Role, Socket};

pub use listener::bind_listener;

/// How long a connection is silent before the kernel asks whether its other end still exists.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// How long after an unanswered question it asks again.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// How many unanswered questions end the connection.
const KEEPALIVE_RETRIES: u32 = 3;

/// The bounds of [`Sockets`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketLimits {
    /// The size of a socket's receive buffer, in bytes: what an idle connection costs.
    pub recv_bytes: usize,
    /// With this many unread bytes of input a socket stops receiving until some are consumed; it
    /// may hold up to `recv_bytes` more. An owner that needs more bytes at once to go on must
    /// close the socket.
    pub input_bytes_max: usize,
    /// How long a listener waits when a connection cannot be accepted for want of descriptors or
    /// memory.
    pub accept_backoff: Duration,
}

impl Default for SocketLimits {
    fn default() -> Self {
        Self {
            recv_bytes: 16 << 10,
            input_bytes_max: 8 << 20,
            accept_backoff: Duration::from_millis(100),
        }
    }
}

/// Names a socket of one [`Sockets`]. Not used again after the socket is gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SocketId(u64);

impl SocketId {
    const fn new(generation: u32, slot: u32) -> Self {
        Self((generation as u64) << 32 | slot as u64)
    }

    const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    const fn slot(self) -> usize {
        self.0 as u32 as usize
    }
}

/// What happened to a socket.
#[derive(Debug)]
pub enum SocketEvent {
    /// A listener accepted a connection. It is the owner's, to [`Sockets::adopt`] here or on
    /// another shard.
    Accepted {
        /// The listener.
        listener: SocketId,
        /// The connection.
        fd: OwnedFd,
        /// The address of its other end.
        peer: SocketAddr,
    },
    /// A socket of [`Sockets::connect`] is connected and receives.
    Connected {
        /// The socket.
        id: SocketId,
    },
    /// Bytes came; they are in [`Sockets::input`].
    Received {
        /// The socket.
        id: SocketId,
    },
    /// The kernel has taken all output.
    Sent {
        /// The socket.
        id: SocketId,
    },
    /// The answer to [`Sockets::release`]: the socket is gone, its connection lives on.
    Released {
        /// The socket that was.
        id: SocketId,
        /// The connection.
        fd: OwnedFd,
        /// What was received and not consumed.
        input: BytesMut,
    },
    /// The socket is gone: by its owner's wish, by the peer's, or by failure. Comes exactly once
    /// for every socket that was not released, and nothing about that socket follows.
    Closed {
        /// The socket that was.
        id: SocketId,
        /// What went wrong; `None` after an end of stream or [`Sockets::close`].
        error: Option<io::Error>,
    },
}

/// A place in the slab.
#[derive(Debug)]
struct Slot {
    /// How many sockets it held before.
    generation: u32,
    socket: Option<Box<Socket>>,
}

/// The sockets of a shard.
///
/// The kernel reads and writes their buffers while operations are in flight. Dropping this with
/// operations in flight therefore leaks the sockets concerned, descriptors included: the owner
/// closes all sockets and reaps until [`Self::in_flight`] is zero.
#[derive(Debug)]
pub struct Sockets {
    tag: u8,
    limits: SocketLimits,
    slots: Vec<Slot>,
    /// Empty slots, the longest unused first, so that generations last.
    free: VecDeque<u32>,
    /// Sockets that may want something, in the order they were touched.
    dirty: VecDeque<u32>,
    buffers: Buffers,
    in_flight: usize,
    len: usize,
    accept_stalls: u64,
}

impl Sockets {
    /// No sockets yet. `tag` is the top byte of the `user_data` of every entry it will submit.
    ///
    /// # Panics
    /// If `limits` leave no room to receive into, or 4 GiB and more.
    #[must_use]
    pub fn new(tag: u8, limits: SocketLimits) -> Self {
        let receivable = (1..=u32::MAX as usize).contains(&limits.recv_bytes);
        assert!(receivable && limits.input_bytes_max > 0, "a socket has room to receive into");
        Self {
            tag,
            limits,
            slots: Vec::new(),
            free: VecDeque::new(),
            dirty: VecDeque::new(),
            buffers: Buffers::default(),
            in_flight: 0,
            len: 0,
            accept_stalls: 0,
        }
    }

    /// Accepts connections from `listener` until it is closed; see [`bind_listener`].
    pub fn listen(&mut self, listener: TcpListener) -> SocketId {
        let backoff = Timespec::from(self.limits.accept_backoff);
        let blocking = listener.set_nonblocking(false);
        let role = Role::Listener { backoff, stalled: false };
        let mut socket = Socket::new(Some(listener.into()), role);
        if let Err(error) = blocking {
            socket.fail(error);
        }
        self.insert(socket)
    }

    /// Takes over a connected stream socket and receives from it. Sets TCP_NODELAY, and keep-alive
    /// probes that find out within about two minutes that the other end is gone for good.
    pub fn adopt(&mut self, fd: OwnedFd) -> SocketId {
        // The ring waits itself; a non-blocking socket would fail its operations instead.
        let blocking = SockRef::from(&fd).set_nonblocking(false);
        // A socket that is not TCP has nothing to delay, and no peer that could vanish.
        let _ = prepare(&SockRef::from(&fd));
        let mut socket = Socket::new(Some(fd), Role::Stream);
        if let Err(error) = blocking {
            socket.fail(error);
        }
        self.insert(socket)
    }

    /// Connects to `addr`; [`SocketEvent::Connected`] or [`SocketEvent::Closed`] follows. Output
    /// may be appended at once.
    pub fn connect(&mut self, addr: SocketAddr) -> SocketId {
        let role = Role::Connecting { addr: SockAddr::from(addr) };
        let made =
            socket2::Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))
                .and_then(|socket| prepare(&socket).map(|()| OwnedFd::from(socket)));
        let socket = match made {
            Ok(fd) => Socket::new(Some(fd), role),
            Err(error) => {
                let mut socket = Socket::new(None, role);
                socket.fail(error);
                socket
            }
        };
        self.insert(socket)
    }

    /// The unread bytes of a socket. The owner consumes from the front; what it leaves stays for
    /// the next time, within [`SocketLimits::input_bytes_max`]. `None` if the socket is gone.
    pub fn input(&mut self, id: SocketId) -> Option<&mut BytesMut> {
        self.touch(id);
        self.get_mut(id).map(|socket| &mut socket.input)
    }

    /// The output of a socket; append to it, and the next [`Self::submit`] sends it. `None` if the
    /// socket is gone or ending.
    pub fn output(&mut self, id: SocketId) -> Option<&mut Vec<u8>> {
        self.touch(id);
        let slot = self.slots.get_mut(id.slot())?;
        let socket = slot.socket.as_mut().filter(|_| slot.generation == id.generation())?;
        if socket.ending != Ending::Open {
            return None;
        }
        if socket.filling.capacity() == 0 {
            socket.filling = self.buffers.output();
        }
        Some(&mut socket.filling)
    }

    /// How many bytes of output the kernel has not taken; 0 if the socket is gone.
    #[must_use]
    pub fn pending_output(&self, id: SocketId) -> usize {
        self.get(id).map_or(0, Socket::pending_output)
    }

    /// While paused a socket does not receive, beyond a receive already in flight, and an end of
    /// stream does not close it. A listener is not affected.
    pub fn pause(&mut self, id: SocketId, paused: bool) {
        if let Some(socket) = self.get_mut(id) {
            socket.paused = paused;
            self.touch(id);
        }
    }

    /// While held an end of stream does not close a socket: its owner still owes it output, as to
    /// a client that has sent its requests, then closed its sending half. Otherwise an end of
    /// stream closes the socket once the output at hand is sent; unread input is lost.
    pub fn hold(&mut self, id: SocketId, held: bool) {
        if let Some(socket) = self.get_mut(id) {
            socket.held = held;
            self.touch(id);
        }
    }

    /// Closes a socket: with `flush` after its output is sent, else at once. A second call
    /// without `flush` ends the flushing. [`SocketEvent::Closed`] follows when the kernel has let
    /// go of the socket. Nothing happens if it is gone.
    pub fn close(&mut self, id: SocketId, flush: bool) {
        if let Some(socket) = self.get_mut(id) {
            let ending = if flush && !socket.is_listener() { Ending::Flush } else { Ending::Now };
            if socket.ending != Ending::Now {
                socket.ending = ending;
            }
            self.touch(id);
        }
    }

    /// Gives a connection back, for another shard to adopt: [`SocketEvent::Released`] follows when
    /// its output is sent and the kernel has let go of it, or [`SocketEvent::Closed`] if it fails
    /// before. `false` if the socket is no connection, not connected yet, ending or gone.
    pub fn release(&mut self, id: SocketId) -> bool {
        let Some(socket) = self.get_mut(id) else {
            return false;
        };
        if socket.ending != Ending::Open || !matches!(socket.role, Role::Stream) {
            return false;
        }
        socket.ending = Ending::Release;
        self.touch(id);
        true
    }

    /// How many operations the kernel holds, or will when the ring is entered.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How many sockets there are, ending ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no sockets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All sockets, ending ones included: for a shard that ends. Looks at every place of the slab.
    #[must_use]
    pub fn ids(&self) -> Vec<SocketId> {
        let taken = self.slots.iter().enumerate().filter(|(_, place)| place.socket.is_some());
        taken.map(|(slot, place)| SocketId::new(place.generation, slot as u32)).collect()
    }

    /// How often a listener had to wait because a connection could not be accepted.
    #[must_use]
    pub fn accept_stalls(&self) -> u64 {
        self.accept_stalls
    }

    fn insert(&mut self, socket: Socket) -> SocketId {
        let slot = self.free.pop_front().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, socket: None });
            (self.slots.len() - 1) as u32
        });
        let place = &mut self.slots[slot as usize];
        place.socket = Some(Box::new(socket));
        let id = SocketId::new(place.generation, slot);
        self.len += 1;
        self.touch(id);
        id
    }

    fn remove(&mut self, id: SocketId) -> Option<Box<Socket>> {
        let place = self.slots.get_mut(id.slot()).filter(|p| p.generation == id.generation())?;
        let socket = place.socket.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push_back(id.slot() as u32);
        self.len -= 1;
        Some(socket)
    }

    fn get(&self, id: SocketId) -> Option<&Socket> {
        let place = self.slots.get(id.slot()).filter(|p| p.generation == id.generation())?;
        place.socket.as_deref()
    }

    fn get_mut(&mut self, id: SocketId) -> Option<&mut Socket> {
        let place = self.slots.get_mut(id.slot()).filter(|p| p.generation == id.generation())?;
        place.socket.as_deref_mut()
    }

    /// Lets the next submission look at the socket.
    fn touch(&mut self, id: SocketId) {
        if let Some(socket) = self.get_mut(id) {
            if !socket.dirty {
                socket.dirty = true;
                self.dirty.push_back(id.slot() as u32);
            }
        }
    }
}

/// What every connection gets, accepted or dialed.
fn prepare(socket: &socket2::Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE_IDLE)
            .with_interval(KEEPALIVE_INTERVAL)
            .with_retries(KEEPALIVE_RETRIES),
    )
}

impl Drop for Sockets {
    fn drop(&mut self) {
        for slot in &mut self.slots {
            if let Some(socket) = slot.socket.take_if(|socket| !socket.is_quiet()) {
                // The kernel may still write to it.
                std::mem::forget(socket);
            }
        }
    }
}
