//! One test per rule sentence of Diego Ongaro's thesis "Consensus: Bridging Theory and Practice"
//! (2014), chapters 3, 4.2.3, 6.2, 6.4 and 9.6, as far as they concern a fixed group.

mod common;
#[path = "paper/elections.rs"]
mod elections;
#[path = "paper/reads.rs"]
mod reads;
#[path = "paper/replication.rs"]
mod replication;
