//! One test per rule sentence of Diego Ongaro's thesis "Consensus: Bridging Theory and Practice"
//! (2014), chapters 3, 4, 5, 6.2, 6.4 and 9.6, as far as they speak of what one server does.
//!
//! Left to others: what is true of a group as a whole (`properties`), that majorities meet (the
//! unit tests of `quorum`), what a host does (catching a new server up in rounds, 4.2.1; writing
//! and moving snapshots, 5; sessions of clients, 6.3), and figures of time (3.9).

mod common;
#[path = "paper/elections.rs"]
mod elections;
#[path = "paper/joint.rs"]
mod joint;
#[path = "paper/lease.rs"]
mod lease;
#[path = "paper/membership.rs"]
mod membership;
#[path = "paper/reads.rs"]
mod reads;
#[path = "paper/replication.rs"]
mod replication;
#[path = "paper/snapshots.rs"]
mod snapshots;
#[path = "paper/transfer.rs"]
mod transfer;
