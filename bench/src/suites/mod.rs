//! What can be run from the command line.

pub(crate) mod cluster;
pub(crate) mod core;
pub(crate) mod limits;
pub(crate) mod wal;
