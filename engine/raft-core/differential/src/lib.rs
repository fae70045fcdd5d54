//! `raft-core` beside the crate `raft` (raft-rs), a second implementation of the same protocol.
//!
//! There is no code here, only tests: `tests/differential`. They live in a package of their own so
//! that `raft-core` depends on nothing that its users do not need.
//!
//! - `single`: one replica of each, in equal states, gets equal inputs; the answers and the states
//!   after each must be equal.
//! - `changes`: equal configurations get equal changes.
//! - `cluster`: a cluster of each goes through the same schedule of faults; both must keep the laws
//!   of Raft, and where the same node leads both they must come to the same history.
//!
//! Where the two differ on purpose the difference is declared, with the reason, in `divergence`,
//! and counted. One that does not occur any more fails the tests.
#![forbid(unsafe_code)]
