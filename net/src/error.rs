//! What can go wrong, one closed enum per operation.

use std::io;
use std::net::SocketAddr;

use raft_core::NodeId;

/// Why a record cannot be decoded. The frame it came in is lost: see [`FrameError::Record`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The record says it is longer than what is left of its frame. State unchanged.
    #[error("a record is longer than the rest of its frame")]
    Truncated,
    /// The record's length does not fit its kind. State unchanged.
    #[error("the length of a record does not fit its kind {kind}")]
    Length {
        /// The kind byte of the record.
        kind: u8,
    },
    /// No message has this kind. State unchanged.
    #[error("no message has the kind {kind}")]
    UnknownKind {
        /// The kind byte of the record.
        kind: u8,
    },
    /// A flag, a reserved byte or an entry kind has a value that this version does not know.
    /// State unchanged.
    #[error("a record of kind {kind} uses a value this version does not know")]
    UnknownValue {
        /// The kind byte of the record.
        kind: u8,
    },
    /// The entries would go beyond the last index that exists. State unchanged.
    #[error("the entries of a record go beyond the last index")]
    IndexOverflow,
    /// The configuration of a snapshot is cut short, too long, contradicts itself or is not written
    /// the one way it can be. State unchanged.
    #[error("the configuration in a record is not one")]
    Configuration,
}

/// Why bytes received on a lane are not frames. The lane must be closed: where the next frame
/// begins is unknown. Messages handed out before the error were whole and stay valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The bytes do not begin with a frame. The lane must be closed.
    #[error("the bytes do not begin with a frame")]
    BadMagic,
    /// The frame is of another version of the protocol. The lane must be closed.
    #[error("the frame has version {theirs}, this node speaks {ours}")]
    BadVersion {
        /// The version the frame names.
        theirs: u16,
        /// The version of this node.
        ours: u16,
    },
    /// The header's checksum does not match. The lane must be closed.
    #[error("the checksum of a frame header does not match")]
    HeaderChecksum,
    /// The body's checksum does not match. The lane must be closed.
    #[error("the checksum of a frame body does not match")]
    BodyChecksum,
    /// The frame is larger than [`crate::FRAME_BYTES_MAX`]. The lane must be closed.
    #[error("a frame of {bytes} bytes is larger than the limit")]
    TooLarge {
        /// Header and body together, in bytes.
        bytes: u64,
    },
    /// The frame's kind or flags are not of this version. The lane must be closed.
    #[error("no frame has the kind {kind} with the flags {flags:#04x}")]
    UnknownKind {
        /// The kind byte of the header.
        kind: u8,
        /// The flags byte of the header.
        flags: u8,
    },
    /// The body holds more or fewer records than the header says. The lane must be closed.
    #[error("a frame does not hold as many records as it says")]
    RecordCount,
    /// A record of the frame cannot be decoded. The lane must be closed.
    #[error("a frame holds a bad record: {0}")]
    Record(#[from] RecordError),
}

/// Why a connection between two shards was refused. The connection must be closed; nothing was
/// accepted from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The bytes are not a hello. State unchanged.
    #[error("the other side does not speak this protocol; check the address and the port")]
    NotOurs,
    /// The other side speaks another version of the protocol. State unchanged.
    #[error("the other side speaks version {theirs} of the protocol and this node {ours}")]
    Version {
        /// The version of the other side.
        theirs: u32,
        /// The version of this node.
        ours: u32,
    },
    /// The other side belongs to another cluster. State unchanged.
    #[error("the other side belongs to cluster {theirs:032x} and this node to {ours:032x}")]
    Cluster {
        /// The cluster of the other side.
        theirs: u128,
        /// The cluster of this node.
        ours: u128,
    },
    /// The other side is not a member this node knows. State unchanged.
    #[error("node {node} is not a known member of this cluster")]
    UnknownNode {
        /// Who the other side says it is.
        node: NodeId,
    },
    /// Another node than the dialed one answered. State unchanged.
    #[error("node {theirs} answered at the address of node {expected}")]
    WrongNode {
        /// Who was dialed.
        expected: NodeId,
        /// Who answered.
        theirs: NodeId,
    },
    /// This node dialed itself, or another node runs under its id. State unchanged.
    #[error("node {node} dialed itself, or two processes share its node id")]
    SelfConnection {
        /// This node.
        node: NodeId,
    },
    /// The higher node id dialed; only the lower one of two nodes dials. State unchanged.
    #[error("node {node} has the higher id and must wait to be dialed")]
    Direction {
        /// The node that dialed.
        node: NodeId,
    },
    /// An earlier life of the node than one already met. State unchanged.
    #[error("node {node} came with incarnation {theirs} after {known} was seen")]
    OldIncarnation {
        /// The node.
        node: NodeId,
        /// The incarnation in the hello.
        theirs: u64,
        /// The newest incarnation known.
        known: u64,
    },
    /// The other node runs another number of shards. State unchanged.
    #[error("the other side runs {theirs} shards and this node {ours}; both must run as many")]
    ShardCount {
        /// The shards of the other side.
        theirs: u32,
        /// The shards of this node.
        ours: u32,
    },
    /// The hello names a shard that does not exist or was not asked for. State unchanged.
    #[error("the other side named shard {theirs} of {shards}, which is not the lane's shard")]
    Shard {
        /// The shard in the hello.
        theirs: u32,
        /// How many shards there are.
        shards: u32,
    },
    /// The hellos were not exchanged in time. State unchanged.
    #[error("the other side did not complete the handshake in time")]
    Timeout,
}

/// Why an address cannot be listened on. Nothing listens.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another socket listens there. Nothing listens.
    #[error(
        "port {} on {} is already in use; stop the other process or choose another port",
        .addr.port(), .addr.ip()
    )]
    InUse {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The process may not use this port. Nothing listens.
    #[error(
        "port {} on {} is not permitted to this user; choose a port from 1024 up or grant \
         CAP_NET_BIND_SERVICE",
        .addr.port(), .addr.ip()
    )]
    NotPermitted {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// No interface of this machine has the address. Nothing listens.
    #[error(
        "{} is not an address of this machine; choose one of its own or 0.0.0.0",
        .addr.ip()
    )]
    NotLocal {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The process has no descriptor left. Nothing listens.
    #[error("no descriptor is left to listen on {addr}; raise the limit of open files (ulimit -n)")]
    Descriptors {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// Anything else. Nothing listens.
    #[error("cannot listen on {addr}: {source}; choose another address")]
    Other {
        /// The address asked for.
        addr: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
}
