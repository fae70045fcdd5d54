//! FlareDB: a sharded, replicated key-value server speaking the Redis protocol with Redis Cluster routing.

mod command;
pub mod connection;
mod gather;
mod info;
pub mod kv;
pub mod resp;
pub mod server;
mod session;
pub mod slots;
mod topology;

pub use connection::Connection;
pub use server::{Server, Settings};
