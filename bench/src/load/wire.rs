//! What a connection speaks: operations to bytes, bytes to a number of answers.

use crate::error::BenchError;

use super::grpc::Grpc;
use super::resp::Resp;

/// An operation of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Op {
    /// Write a value under a random key.
    Set,
    /// Read a random key, linearizably where the server can.
    Get,
}

/// The protocols the load can speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Redis.
    Resp,
    /// etcd's gRPC, natively.
    Etcd,
}

/// What a look at received bytes gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// Bytes that are done with.
    pub(crate) consumed: usize,
    /// Operations answered.
    pub(crate) answers: usize,
}

/// One connection's protocol, without its socket.
pub(crate) trait Wire {
    /// Appends what a new connection says first.
    fn greet(&mut self, out: &mut Vec<u8>);

    /// Appends an operation.
    fn encode(&mut self, op: Op, key: &[u8], value: &[u8], out: &mut Vec<u8>);

    /// Looks at received bytes; appends to `out` what the protocol itself must answer.
    fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Decoded, BenchError>;
}

/// A fresh connection's protocol.
pub(crate) fn wire(dialect: Dialect) -> Box<dyn Wire> {
    match dialect {
        Dialect::Resp => Box::new(Resp),
        Dialect::Etcd => Box::<Grpc>::default(),
    }
}
