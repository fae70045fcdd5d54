//! The handshake that opens a lane.
//!
//! The lower node id dials and sends its [`Hello`]; the other side checks it and answers with its
//! own, which the dialer checks. Nothing else is accepted before. Pure: whoever owns the socket
//! moves the bytes and watches the clock.
//!
//! A node accepts on one shard and hands the connection to the shard its hello names. The
//! accepting half is therefore also here in pieces: [`read_hello`], [`validate`],
//! [`encode_hello`].

use std::collections::BTreeMap;
use std::time::Duration;

use bytemuck::{Pod, Zeroable};
use bytes::{Buf, BytesMut};
use raft_core::NodeId;

use crate::error::Refusal;

/// The version of the protocol this code speaks.
pub const PROTOCOL_VERSION: u32 = 2;
/// The first eight bytes of a hello.
pub const HELLO_MAGIC: [u8; 8] = *b"FLRHELLO";
/// The size of a hello, in bytes.
pub const HELLO_BYTES: usize = 64;
/// How long the exchange of hellos may take.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// What each side of a lane says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The protocol spoken; see [`PROTOCOL_VERSION`].
    pub protocol_version: u32,
    /// The cluster, chosen at random when it was founded.
    pub cluster_id: u128,
    /// The node that speaks.
    pub node: NodeId,
    /// The life of that node: grows with every start of its process.
    pub incarnation: u64,
    /// The shard the lane joins, on both sides.
    pub shard: u32,
    /// How many shards the node runs.
    pub shards: u32,
    /// Optional features, one bit each. None exist yet; unknown bits are ignored, and a feature
    /// is used when both sides name it.
    pub features: u64,
}

/// A hello as it lies on the wire, every field little-endian.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct RawHello {
    magic: [u8; 8],
    version: u32,
    crc: u32,
    cluster_id: [u8; 16],
    node: u64,
    incarnation: u64,
    shard: u32,
    shards: u32,
    features: u64,
}

const _: () = assert!(size_of::<RawHello>() == HELLO_BYTES);

impl RawHello {
    /// The checksum of the hello with its own field zero.
    fn checksum(mut self) -> u32 {
        self.crc = 0;
        crc32c::crc32c(bytemuck::bytes_of(&self))
    }
}

/// Appends `hello` to `out`.
pub fn encode_hello(hello: &Hello, out: &mut Vec<u8>) {
    let mut raw = RawHello {
        magic: HELLO_MAGIC,
        version: hello.protocol_version.to_le(),
        crc: 0,
        cluster_id: hello.cluster_id.to_le_bytes(),
        node: hello.node.0.to_le(),
        incarnation: hello.incarnation.to_le(),
        shard: hello.shard.to_le(),
        shards: hello.shards.to_le(),
        features: hello.features.to_le(),
    };
    raw.crc = raw.checksum().to_le();
    out.extend_from_slice(bytemuck::bytes_of(&raw));
}

/// Takes the dialer's hello from `input`; `None` if more bytes are needed.
///
/// # Errors
/// [`Refusal::NotOurs`], from the first byte that cannot be right, and if anything follows the
/// hello before it was answered; [`Refusal::Version`].
pub fn read_hello(input: &mut BytesMut) -> Result<Option<Hello>, Refusal> {
    if input.len() > HELLO_BYTES {
        return Err(Refusal::NotOurs);
    }
    take_hello(input)
}

/// Takes a hello from the front of `input`; what follows it stays.
fn take_hello(input: &mut BytesMut) -> Result<Option<Hello>, Refusal> {
    let seen = input.len().min(HELLO_MAGIC.len());
    if input[..seen] != HELLO_MAGIC[..seen] {
        return Err(Refusal::NotOurs);
    }
    let Some(front) = input.get(..HELLO_BYTES) else {
        return Ok(None);
    };
    let raw: RawHello = bytemuck::pod_read_unaligned(front);
    // The version comes before the checksum: another version may check another way.
    let version = u32::from_le(raw.version);
    if version != PROTOCOL_VERSION {
        return Err(Refusal::Version { theirs: version, ours: PROTOCOL_VERSION });
    }
    if u32::from_le(raw.crc) != raw.checksum() {
        return Err(Refusal::NotOurs);
    }
    input.advance(HELLO_BYTES);
    Ok(Some(Hello {
        protocol_version: version,
        cluster_id: u128::from_le_bytes(raw.cluster_id),
        node: NodeId(u64::from_le(raw.node)),
        incarnation: u64::from_le(raw.incarnation),
        shard: u32::from_le(raw.shard),
        shards: u32::from_le(raw.shards),
        features: u64::from_le(raw.features),
    }))
}

/// The nodes a node may speak to, with the newest life of each that it has met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peers {
    incarnations: BTreeMap<NodeId, u64>,
}

impl Peers {
    /// The given nodes, none of them met yet.
    pub fn new(nodes: impl IntoIterator<Item = NodeId>) -> Self {
        Self { incarnations: nodes.into_iter().map(|node| (node, 0)).collect() }
    }

    /// Lets `node` speak from now on; nothing changes if it already may.
    pub fn admit(&mut self, node: NodeId) {
        self.incarnations.entry(node).or_insert(0);
    }

    /// Forgets `node`.
    pub fn expel(&mut self, node: NodeId) {
        self.incarnations.remove(&node);
    }

    /// The newest life met of `node`, 0 if none; `None` if the node is unknown.
    #[must_use]
    pub fn incarnation(&self, node: NodeId) -> Option<u64> {
        self.incarnations.get(&node).copied()
    }

    /// Remembers the life of a node whose hello was accepted: earlier ones are refused from now on.
    pub fn observe(&mut self, hello: &Hello) {
        if let Some(known) = self.incarnations.get_mut(&hello.node) {
            *known = hello.incarnation.max(*known);
        }
    }
}

/// Whether the acceptor `own`, which knows `peers`, may answer the dialer's hello. The answer is
/// `own` with the dialer's shard; see [`Hello::answer_to`].
///
/// # Errors
/// Every [`Refusal`] but `NotOurs`, `WrongNode` and `Timeout`.
pub fn validate(theirs: &Hello, own: &Hello, peers: &Peers) -> Result<(), Refusal> {
    agree(theirs, own)?;
    let node = theirs.node;
    let known = peers.incarnation(node).ok_or(Refusal::UnknownNode { node })?;
    if node > own.node {
        return Err(Refusal::Direction { node });
    }
    not_before(theirs, known)
}

/// What must hold of either side's hello.
fn agree(theirs: &Hello, own: &Hello) -> Result<(), Refusal> {
    if theirs.protocol_version != own.protocol_version {
        return Err(Refusal::Version {
            theirs: theirs.protocol_version,
            ours: own.protocol_version,
        });
    }
    if theirs.cluster_id != own.cluster_id {
        return Err(Refusal::Cluster { theirs: theirs.cluster_id, ours: own.cluster_id });
    }
    if theirs.node == own.node {
        return Err(Refusal::SelfConnection { node: own.node });
    }
    if theirs.shards != own.shards {
        return Err(Refusal::ShardCount { theirs: theirs.shards, ours: own.shards });
    }
    if theirs.shard >= theirs.shards {
        return Err(Refusal::Shard { theirs: theirs.shard, shards: theirs.shards });
    }
    Ok(())
}

fn not_before(theirs: &Hello, known: u64) -> Result<(), Refusal> {
    if theirs.incarnation < known {
        return Err(Refusal::OldIncarnation {
            node: theirs.node,
            theirs: theirs.incarnation,
            known,
        });
    }
    Ok(())
}

/// Whether the handshake may still go on, `elapsed` after the connection was made.
///
/// # Errors
/// [`Refusal::Timeout`] from [`HANDSHAKE_TIMEOUT`] on.
pub fn in_time(elapsed: Duration) -> Result<(), Refusal> {
    if elapsed < HANDSHAKE_TIMEOUT { Ok(()) } else { Err(Refusal::Timeout) }
}

impl Hello {
    /// This node's answer to a dialer: its own hello for the dialer's shard.
    #[must_use]
    pub const fn answer_to(&self, dialer: &Self) -> Self {
        Self { shard: dialer.shard, ..*self }
    }
}

/// What a step of a [`Session`] led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// More bytes of the other side are needed.
    Waiting,
    /// Both hellos are exchanged and accepted; this is the other side's. From now on the input is
    /// frames.
    Established(Hello),
}

/// One side of one handshake.
///
/// An acceptor that hands its connection to another shard uses [`read_hello`], [`validate`] and
/// [`encode_hello`] instead.
#[derive(Clone, Debug)]
pub struct Session {
    own: Hello,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Dialing { expect: NodeId, known: u64, hello_sent: bool },
    Accepting { peers: Peers },
    Established(Hello),
    Refused(Refusal),
}

impl Session {
    /// The dialing side, which expects `expect` to answer.
    #[must_use]
    pub const fn dial(own: Hello, expect: NodeId) -> Self {
        Self { own, state: State::Dialing { expect, known: 0, hello_sent: false } }
    }

    /// Refuses an answer from an earlier life than `incarnation`, for a dialer that has met one.
    #[must_use]
    pub fn not_before(mut self, incarnation: u64) -> Self {
        if let State::Dialing { known, .. } = &mut self.state {
            *known = incarnation;
        }
        self
    }

    /// The accepting side. It answers with `own` for whatever shard the dialer names.
    #[must_use]
    pub const fn accept(own: Hello, peers: Peers) -> Self {
        Self { own, state: State::Accepting { peers } }
    }

    /// Takes what it can from `input` and appends what is to be sent to `out`. A dialer calls it
    /// first with no input: that writes its hello.
    ///
    /// # Errors
    /// Any [`Refusal`] but `Timeout`, and the same from then on.
    pub fn on_bytes(
        &mut self,
        input: &mut BytesMut,
        out: &mut Vec<u8>,
    ) -> Result<SessionEvent, Refusal> {
        let theirs = match self.advance(input, out) {
            Ok(Some(theirs)) => theirs,
            Ok(None) => return Ok(SessionEvent::Waiting),
            Err(refusal) => {
                self.state = State::Refused(refusal);
                return Err(refusal);
            }
        };
        self.state = State::Established(theirs);
        Ok(SessionEvent::Established(theirs))
    }

    fn advance(
        &mut self,
        input: &mut BytesMut,
        out: &mut Vec<u8>,
    ) -> Result<Option<Hello>, Refusal> {
        match &mut self.state {
            State::Dialing { expect, known, hello_sent } => {
                if !*hello_sent {
                    encode_hello(&self.own, out);
                    *hello_sent = true;
                }
                let Some(theirs) = take_hello(input)? else {
                    return Ok(None);
                };
                agree(&theirs, &self.own)?;
                if theirs.node != *expect {
                    return Err(Refusal::WrongNode { expected: *expect, theirs: theirs.node });
                }
                if theirs.shard != self.own.shard {
                    return Err(Refusal::Shard { theirs: theirs.shard, shards: theirs.shards });
                }
                not_before(&theirs, *known)?;
                Ok(Some(theirs))
            }
            State::Accepting { peers } => {
                let Some(theirs) = read_hello(input)? else {
                    return Ok(None);
                };
                validate(&theirs, &self.own, peers)?;
                encode_hello(&self.own.answer_to(&theirs), out);
                Ok(Some(theirs))
            }
            State::Established(theirs) => Ok(Some(*theirs)),
            State::Refused(refusal) => Err(*refusal),
        }
    }
}

#[cfg(test)]
mod tests;
