//! The thread-per-core host of Raft groups: one shard per pinned core, one ring per shard.
//!
//! A node runs a fixed number of shards. A shard owns its groups, their state machines, its own
//! log, its lanes to the same shard of other nodes and its share of the clients; nothing on the
//! data path is shared or locked. All a shard does happens in turns of one loop that sleeps in its
//! io_uring.
//!
//! This is the library that FlareDB embeds. It is not a database: what is replicated is yours, as a
//! [`StateMachine`]; how clients speak is yours, as a [`Protocol`]; or embed it and use a
//! [`Client`] from any thread or a [`ShardHandle`] on the core itself.
//!
//! ```
#![doc = include_str!("../examples/counter.rs")]
//! ```
//!
//! Where to start reading: `shard.rs` (one turn, pure), `host.rs` (the loop around it),
//! `builder.rs`.

mod apply;
mod arrivals;
pub mod bare;
mod builder;
mod client;
mod config;
mod connections;
mod error;
mod events;
mod handle;
mod host;
mod identity;
mod lanes;
mod mesh;
mod metrics;
mod outlet;
mod persist;
mod proposals;
mod protocol;
mod reads;
mod request;
mod ring;
mod runtime;
mod shard;
mod snapshots;
mod state_machine;
mod storage;
mod strangers;
mod view;

pub use builder::{Engine, EngineBuilder};
pub use client::{Client, Pending};
pub use config::EngineConfig;
pub use error::StartError;
pub use handle::ShardHandle;
pub use metrics::{Counter, ShardMetrics};
pub use protocol::{ConnectionInfo, Door, Protocol, ProtocolFactory, Ticket};
pub use raft_core::{GroupId, Index, LogId, NodeId, Term};
pub use request::{Op, Outcome, RequestError};
pub use state_machine::{ApplyBatch, Replies, RestoreError, StateMachine};
pub use view::{GroupSpec, NodeSpec, NodeView, shard_of};
