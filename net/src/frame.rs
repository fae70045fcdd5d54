//! Frames: the unit that lanes carry and checksums protect.
//!
//! A frame is a fixed header and a body of records. The header's own checksum makes its length
//! trustworthy before the body has arrived; it also covers the checksum of the body.

use bytemuck::{Pod, Zeroable};
use bytes::{Buf, Bytes, BytesMut};

use crate::error::FrameError;

/// The first four bytes of every frame, `FLRD`.
pub const FRAME_MAGIC: [u8; 4] = *b"FLRD";
/// The version of the frame format.
pub const FRAME_VERSION: u16 = 1;
/// The size of a frame header, in bytes.
pub const FRAME_HEADER_BYTES: usize = 24;
/// The largest frame, header and body together, in bytes.
pub const FRAME_BYTES_MAX: usize = 8 << 20;

const _: () = assert!(size_of::<RawHeader>() == FRAME_HEADER_BYTES);
const _: () = assert!(FRAME_HEADER_BYTES % 8 == 0);
const _: () = assert!(FRAME_BYTES_MAX <= u32::MAX as usize);

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// Records of [`crate::codec`], one per message.
    Messages = 1,
    /// One piece of a snapshot, or the answer to one: see [`crate::Bulk`].
    Bulk = 2,
}

impl FrameKind {
    const fn from_u8(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Messages),
            2 => Some(Self::Bulk),
            _ => None,
        }
    }
}

/// The header as it lies on the wire: every field little-endian, naturally aligned.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct RawHeader {
    magic: [u8; 4],
    version: u16,
    kind: u8,
    flags: u8,
    body_bytes: u32,
    records: u32,
    header_crc: u32,
    body_crc: u32,
}

impl RawHeader {
    /// The checksum of the header with its own field zero.
    fn checksum(mut self) -> u32 {
        self.header_crc = 0;
        crc32c::crc32c(bytemuck::bytes_of(&self))
    }
}

/// A checked header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the body is.
    pub kind: FrameKind,
    /// The size of the body, in bytes; with the header at most [`FRAME_BYTES_MAX`].
    pub body_bytes: u32,
    /// How many records the body holds.
    pub records: u32,
    /// The CRC-32C of the body.
    pub body_crc: u32,
}

impl FrameHeader {
    /// The size of the whole frame, in bytes.
    #[must_use]
    pub const fn frame_bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.body_bytes as usize
    }

    /// Reads the header at the front of `bytes`; `None` if more bytes are needed.
    ///
    /// # Errors
    /// Every [`FrameError`] but those about the body and its records. A wrong magic is told from
    /// the first byte that differs.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, FrameError> {
        let seen = bytes.len().min(FRAME_MAGIC.len());
        if bytes[..seen] != FRAME_MAGIC[..seen] {
            return Err(FrameError::BadMagic);
        }
        let Some(front) = bytes.get(..FRAME_HEADER_BYTES) else {
            return Ok(None);
        };
        let raw: RawHeader = bytemuck::pod_read_unaligned(front);
        let version = u16::from_le(raw.version);
        if version != FRAME_VERSION {
            return Err(FrameError::BadVersion { theirs: version, ours: FRAME_VERSION });
        }
        if u32::from_le(raw.header_crc) != raw.checksum() {
            return Err(FrameError::HeaderChecksum);
        }
        let (kind, flags) = (raw.kind, raw.flags);
        let Some(kind) = FrameKind::from_u8(kind).filter(|_| flags == 0) else {
            return Err(FrameError::UnknownKind { kind, flags });
        };
        let header = Self {
            kind,
            body_bytes: u32::from_le(raw.body_bytes),
            records: u32::from_le(raw.records),
            body_crc: u32::from_le(raw.body_crc),
        };
        if u64::from(header.body_bytes) > (FRAME_BYTES_MAX - FRAME_HEADER_BYTES) as u64 {
            let bytes = u64::from(header.body_bytes) + FRAME_HEADER_BYTES as u64;
            return Err(FrameError::TooLarge { bytes });
        }
        Ok(Some(header))
    }
}

/// Completes a frame in place: `frame` is room for a header followed by the whole body.
///
/// # Panics
/// If `frame` is shorter than a header or longer than [`FRAME_BYTES_MAX`].
pub fn seal(frame: &mut [u8], kind: FrameKind, records: u32) {
    assert!(frame.len() <= FRAME_BYTES_MAX, "a frame is bounded");
    let (front, body) = frame.split_at_mut(FRAME_HEADER_BYTES);
    let mut raw = RawHeader {
        magic: FRAME_MAGIC,
        version: FRAME_VERSION.to_le(),
        kind: kind as u8,
        flags: 0,
        body_bytes: (body.len() as u32).to_le(),
        records: records.to_le(),
        header_crc: 0,
        body_crc: crc32c::crc32c(body).to_le(),
    };
    raw.header_crc = raw.checksum().to_le();
    front.copy_from_slice(bytemuck::bytes_of(&raw));
}

/// Takes the frame at the front of `input`, if it is whole: its header and its checked body,
/// which shares the memory of `input`.
///
/// # Errors
/// Any [`FrameError`] but those about records. `input` is then of no further use.
pub fn take(input: &mut BytesMut) -> Result<Option<(FrameHeader, Bytes)>, FrameError> {
    let Some(header) = FrameHeader::read(input)? else {
        return Ok(None);
    };
    if input.len() < header.frame_bytes() {
        return Ok(None);
    }
    let mut frame = input.split_to(header.frame_bytes());
    frame.advance(FRAME_HEADER_BYTES);
    if crc32c::crc32c(&frame) != header.body_crc {
        return Err(FrameError::BodyChecksum);
    }
    Ok(Some((header, frame.freeze())))
}

#[cfg(test)]
mod tests;
