//! Raft for **one** group, as a pure state machine.
//!
//! No I/O, no clock, no thread, no logger, no global random source: the caller drives time,
//! persists what it is handed, sends what it is handed and applies what it is handed. Equal
//! configuration and equal inputs give equal outputs, on any machine.
//!
//! # The loop
//!
//! 1. Feed inputs: time ([`RaftCore::handle_time`]), messages ([`RaftCore::handle_message`]),
//!    proposals, reads.
//! 2. Take the outputs with [`RaftCore::poll_ready`]: send `messages` at once, make the persist
//!    part durable, apply `committed_entries`, answer `reads`, look at `events`.
//! 3. When the persist part is durable hand its [`Receipt`] back with
//!    [`RaftCore::handle_persisted`]; when entries are applied say so with
//!    [`RaftCore::handle_applied`]. Both may release more outputs. A host that does everything at
//!    once says so with [`RaftCore::handle_done`], which polls as well.
//!
//! The short forms [`RaftCore::tick`], [`RaftCore::step`], [`RaftCore::propose`] do one input and
//! one poll, for a single group and for tests. One implementation, two doors.
//!
//! # Persist before send
//!
//! A message that promises something durable (a vote, an acknowledgement) cannot be reached before
//! the receipt for its batch has come back: it stays inside the core. A host that forgets to return
//! the receipt gets nothing to send.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod boot;
mod conf_change;
mod config;
mod done;
mod election;
mod entry;
mod error;
mod event;
mod follower;
mod ids;
#[cfg(debug_assertions)]
mod invariants;
mod leader;
mod lease;
mod log;
mod message;
mod persist;
mod poll;
mod progress;
mod propose;
mod proposed;
mod quorum;
mod raft;
mod read_index;
mod ready;
mod replication;
mod rng;
mod snapshot;
mod state;
mod status;
mod step;
mod storage;
mod timer;
mod transfer;

pub use bytes::Bytes;

pub use crate::conf_change::{ConfChange, ConfState, ConfStep, Transition};
pub use crate::config::Config;
pub use crate::entry::{Entry, EntryKind};
pub use crate::error::{
    BootError, ConfChangeError, ProposeError, ReadError, StepError, TransferError,
};
pub use crate::event::{Event, Fault};
pub use crate::ids::{GroupId, Index, LogId, NodeId, Term, Tick};
pub use crate::log::{Entries, EntryParts};
pub use crate::message::{
    AppendEntries, AppendEntriesReply, AppendOutcome, Heartbeat, HeartbeatReply, InstallSnapshot,
    Message, PreVote, PreVoteReply, RequestVote, RequestVoteReply, TimeoutNow,
};
pub use crate::propose::Proposals;
pub use crate::raft::RaftCore;
pub use crate::ready::{Applied, PersistSeq, ReadId, ReadOutcome, Ready, Receipt};
pub use crate::snapshot::SnapshotStatus;
pub use crate::state::{HardState, PeerState, PeerStatus, Role, SoftState, Status};
pub use crate::storage::{InitialState, SnapshotMeta, Storage, StorageError};
