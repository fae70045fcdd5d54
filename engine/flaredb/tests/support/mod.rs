//! What the end-to-end tests share: real processes, real sockets, a real disk.

#![allow(dead_code, reason = "each test program uses its part")]

pub(crate) mod chaos;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod node;
pub(crate) mod resp;
pub(crate) mod tools;
