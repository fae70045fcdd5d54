//! The Redis serialization protocol, versions 2 and 3, without any I/O.

pub mod parser;
pub mod reply;
pub mod writer;

pub use parser::{Args, Limits, Parser, ProtocolError};
pub use writer::{Version, Writer};
