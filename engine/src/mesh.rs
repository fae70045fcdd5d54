//! The mesh: how shards of a node reach each other, and how foreign threads reach a shard.
//!
//! One bounded queue per shard, and one eventfd that is written only when the shard sleeps. The
//! sender pushes, fences, then looks at the sleeper's flag; the sleeper sets the flag, fences, then
//! looks at its queue once more: one of the two always sees the other.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

use bytes::BytesMut;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use net::Hello;
use raft_core::GroupId;

use crate::client::ClientReply;
use crate::handle::ShardTask;
use crate::protocol::Ticket;
use crate::request::{Op, Outcome};
use crate::snapshots::SnapshotNews;

/// How many parcels may wait for one shard.
const QUEUE_PARCELS: usize = 4096;

/// Where the outcome of a request goes.
#[derive(Debug)]
pub(crate) enum ReplyTo {
    /// A caller that lives on a shard of this node.
    Shard { shard: usize, caller: Caller },
    /// A caller on a thread of its own.
    Client(ClientReply),
}

/// A caller that lives on a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A client connection and its protocol's name of the request.
    Connection { key: u64, ticket: Ticket },
    /// A callback of the shard's handle.
    Handle { key: u64 },
}

/// A request on its way to the shard that owns its group.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) group: GroupId,
    pub(crate) op: Op,
    pub(crate) reply_to: ReplyTo,
}

/// What is sent to a shard.
pub(crate) enum Parcel {
    /// Requests for groups it owns.
    Requests(Vec<Request>),
    /// One request, from a thread outside the shards.
    Request(Request),
    /// Outcomes for callers that live there.
    Replies(Vec<(Caller, Outcome)>),
    /// A peer's connection, with the hello that says it belongs there and the bytes read after it.
    Lane { fd: OwnedFd, hello: Hello, input: BytesMut },
    /// A client's connection.
    Connection { fd: OwnedFd, peer: std::net::SocketAddr },
    /// What became of work on snapshot files.
    Snapshot(Box<SnapshotNews>),
    /// Something to run there.
    Task(ShardTask),
    /// End of work.
    Shutdown,
}

/// The sending ends to all shards of a node.
#[derive(Clone)]
pub(crate) struct Mesh {
    doors: Arc<[Door]>,
    /// Shards that have nothing under way any more, at the end of the node.
    drained: Arc<AtomicUsize>,
}

struct Door {
    queue: Sender<Parcel>,
    waker: Arc<Waker>,
}

/// The receiving end of one shard.
pub(crate) struct Inlet {
    queue: Receiver<Parcel>,
    waker: Arc<Waker>,
}

/// Wakes one shard.
struct Waker {
    sleeping: AtomicBool,
    eventfd: File,
}

impl Mesh {
    /// A mesh between this many shards, with the receiving end of each.
    pub(crate) fn new(shards: usize) -> io::Result<(Self, Vec<Inlet>)> {
        let mut doors = Vec::with_capacity(shards);
        let mut inlets = Vec::with_capacity(shards);
        for _ in 0..shards {
            let (sender, receiver) = bounded(QUEUE_PARCELS);
            let waker = Arc::new(Waker::new()?);
            doors.push(Door { queue: sender, waker: Arc::clone(&waker) });
            inlets.push(Inlet { queue: receiver, waker });
        }
        Ok((Self { doors: doors.into(), drained: Arc::default() }, inlets))
    }

    /// Sends a parcel and wakes the shard if it sleeps. A full queue or an ended shard gives it
    /// back.
    pub(crate) fn send(&self, shard: usize, parcel: Parcel) -> Result<(), SendRefused> {
        let Some(door) = self.doors.get(shard) else {
            return Err(SendRefused::Ended(parcel));
        };
        door.queue.try_send(parcel).map_err(|e| match e {
            TrySendError::Full(parcel) => SendRefused::Full(parcel),
            TrySendError::Disconnected(parcel) => SendRefused::Ended(parcel),
        })?;
        fence(Ordering::SeqCst);
        door.waker.wake();
        Ok(())
    }

    /// A shard has nothing under way any more. It goes on for the others until all say so.
    pub(crate) fn note_drained(&self) {
        self.drained.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn all_drained(&self) -> bool {
        self.drained.load(Ordering::SeqCst) >= self.doors.len()
    }

    pub(crate) fn shards(&self) -> usize {
        self.doors.len()
    }
}

/// A parcel that could not be delivered.
pub(crate) enum SendRefused {
    /// The shard has too much to do; it may be tried again.
    Full(Parcel),
    /// The shard has ended.
    Ended(Parcel),
}

impl Inlet {
    /// The next parcel, if any.
    pub(crate) fn take(&self) -> Option<Parcel> {
        self.queue.try_recv().ok()
    }

    /// Announces sleep. False if there is work after all: then do not sleep.
    pub(crate) fn prepare_sleep(&self) -> bool {
        self.waker.sleeping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.queue.is_empty() {
            return true;
        }
        self.woke();
        false
    }

    /// Says that the shard is awake: senders need not wake it.
    pub(crate) fn woke(&self) {
        self.waker.sleeping.store(false, Ordering::Relaxed);
    }
}

impl AsRawFd for Inlet {
    fn as_raw_fd(&self) -> RawFd {
        self.waker.eventfd.as_raw_fd()
    }
}

impl Waker {
    fn new() -> io::Result<Self> {
        // SAFETY: plain system call without pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and nobody else owns it.
        let eventfd = unsafe { File::from_raw_fd(fd) };
        Ok(Self { sleeping: AtomicBool::new(false), eventfd })
    }

    fn wake(&self) {
        if self.sleeping.load(Ordering::Relaxed) && self.sleeping.swap(false, Ordering::Relaxed) {
            // Never blocks: the counter is read long before it could fill up. An error has no
            // remedy here, and the shard still wakes at its next deadline.
            let _ = (&self.eventfd).write(&1u64.to_ne_bytes());
        }
    }
}
