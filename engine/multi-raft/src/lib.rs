//! **Many** Raft groups on one core, still pure: no I/O, no clock, no thread.
//!
//! A [`MultiRaft`] owns the replicas of one shard. It routes inputs to their group, brings the
//! clock to the groups that wait for it, and gathers the outputs of all groups that have any into
//! one [`MultiReady`]: one batch of messages per node, one batch to persist with one [`Receipt`].
//!
//! # The loop
//!
//! 1. Feed inputs: [`MultiRaft::advance_to`], [`MultiRaft::step`], [`MultiRaft::propose`],
//!    [`MultiRaft::read_index`] and their neighbours in `inputs.rs`.
//! 2. [`MultiRaft::poll_ready`]: send the messages at once, make hard states, snapshots and entries
//!    durable in one write, apply the committed entries, answer the reads.
//! 3. When the write is durable: [`MultiRaft::persisted`]. When entries are applied:
//!    [`MultiRaft::applied`]. Poll again.
//!
//! # Invariants
//!
//! - Cost follows work, not the number of groups: a call touches only the groups it names, those
//!   whose deadline has passed and those that have output.
//! - Receipts are one sequence per shard. One completed write releases what waits for it in all
//!   groups.
//! - Nothing depends on the order of a hash table: equal inputs give equal outputs.
//!
//! Start reading at [`MultiRaft`], then `ready.rs` for the output and `timers.rs` for the clock.
#![forbid(unsafe_code)]

mod dirty;
mod error;
mod inputs;
mod multi;
mod outbox;
mod ready;
mod receipts;
mod router;
mod timers;

pub use error::{
    ConfChangeError, CreateError, ProposeError, ReadError, StepError, TransferError, UnknownGroup,
};
pub use multi::MultiRaft;
pub use ready::{MultiReady, PeerBatch};
pub use receipts::Receipt;
pub use router::Router;
