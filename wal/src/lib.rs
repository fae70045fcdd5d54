//! The write-ahead log of one core: the entries and the hard states of all its Raft groups, in one
//! sequence of segment files, through io_uring.
//!
//! ```no_run
//! use raft_core::{Entry, EntryKind, GroupId, Index, LogId, Term};
//! use wal::{WalConfig, uring::Driver};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (mut log, _recovered) = Driver::open(WalConfig::new("data/core-000/wal"))?;
//! let id = LogId::new(Term(1), Index(1));
//! let entry = Entry { id, kind: EntryKind::Normal, data: "set x 1".into() };
//! let mark = log.wal_mut().append(GroupId(7), None, &[entry])?;
//! log.run_until(mark)?;
//! log.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it is
//!
//! The format is in `FORMAT.md`. A pure half turns appends into batches and writes ([`writer`],
//! [`log`]), proves what is on disk ([`recover`]) and knows where each entry lies ([`index`]). Two
//! adapters carry out the writes. [`uring`] turns them into submissions on a ring that belongs to
//! the caller: production opens a [`Wal`]; [`uring::Driver`] owns a ring for tests and tools.
//! [`blocking`] writes and flushes in the calling thread, for where there is no ring or no direct
//! I/O. Both write the same files. [`inspect`] looks into the files of a log that is stopped.
//!
//! # What it is not
//!
//! It knows no Raft rules beyond "an entry replaces the suffix it lands on", looks into no entry,
//! has no clock and no logger, and gives nothing up by itself: its caller purges and deletes.
//!
//! # Space
//!
//! A segment without a living entry is freed, in any order, when a checkpoint that does not need it
//! is durable; its file serves again. A checkpoint rides in pieces along with the batches behind a
//! segment switch, or when no next segment is ready, and only if it frees something. Of a segment
//! that is mostly dead the living entries are copied to the end of the log, which kills it.
//!
//! # Invariants
//!
//! - **Acknowledged means durable.** [`Wal::durable`] covers a batch only when it and all before it
//!   are on the medium; the header of a segment counts as the first of its batches.
//! - **A unit is atomic.** It lies in one batch, and a batch is found whole or not at all.
//! - **Nothing durable is written again.** A segment is never appended to by a later opening; the
//!   next segment says where it ends. Its file is used again only when nothing durable needs it and
//!   its header is gone.
//! - **A failed write is final.** The device's state is unknown then, so nothing more is
//!   acknowledged.
//! - **Damage is never taken for a torn tail** once anything later was written.

mod arena;
pub mod batch;
pub mod blocking;
mod checkpoint;
mod config;
mod disk;
mod error;
pub mod index;
pub mod inspect;
pub mod log;
pub mod op;
mod probe;
mod reader;
pub mod record;
pub mod recover;
pub mod relocate;
pub mod segment;
mod spare;
pub mod table;
pub mod uring;
pub mod writer;

pub use arena::Blocks;
pub use config::{Recovered, RecoveredGroup, WalConfig};
pub use error::{AppendError, Damage, OpenError, ProbeError, WalError};
pub use log::{WalSpace, WalStats};
pub use op::{Mark, SegmentId};
pub use probe::probe_fsync;
pub use reader::LogReader;
pub use recover::TornTail;
pub use uring::Wal;
