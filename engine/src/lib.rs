//! Under construction.
pub mod metrics;
pub mod protocol;
pub mod request;
pub mod state_machine;
pub mod view;

pub use metrics::ShardMetrics;
pub use protocol::{ConnectionInfo, Door, Protocol, ProtocolFactory, Ticket};
pub use raft_core::{GroupId, Index, LogId, NodeId, Term};
pub use request::{Op, Outcome, RequestError};
pub use state_machine::{ApplyBatch, Replies, StateMachine};
pub use view::{GroupSpec, NodeSpec, NodeView, shard_of};
