//! FlareDB: a sharded, replicated key-value server speaking the Redis protocol with Redis Cluster
//! routing.
//!
//! It is an embedder of [`engine`], which replicates and runs what this crate defines: [`kv::Kv`],
//! the state machine of a group, and [`Connection`], the protocol of a client. Both are pure: bytes
//! in, bytes out, no socket, no clock, no thread.
//!
//! # The life of a command
//! [`resp`] finds the command in a client's bytes; the command table says what it is; [`slots`]
//! says which group has its keys; the command becomes a [`kv::Write`] or a [`kv::Query`], which the
//! engine replicates or answers; the answer comes back to the connection, which writes the reply in
//! its turn.
//!
//! # Invariants
//! Replies come in the order asked. A key dies by the log, never by a local clock. A write whose
//! fate is unknown is answered with `-UNCERTAIN`, never with an error that clients silently retry.
//!
//! Start reading at [`connection`], then [`kv`].

pub mod cli;
mod command;
pub mod config;
pub mod connection;
pub mod dev;
mod gather;
mod info;
mod inspect;
pub mod kv;
pub mod load;
pub mod node;
pub mod resp;
pub mod server;
mod session;
pub mod slots;
mod topology;

pub use connection::Connection;
pub use server::{Server, Settings};
