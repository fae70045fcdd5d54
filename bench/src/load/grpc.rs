//! etcd's own protocol: gRPC over HTTP/2 without TLS, as much as a load generator needs.
//!
//! Not a general client: header blocks of the server are not decoded, because a unary call that
//! succeeded is one with a DATA frame and a call that failed is one without.

use super::wire::{Decoded, Op, Wire};
use crate::error::BenchError;

const FRAME_HEADER_BYTES: usize = 9;
/// Largest frame a peer may send unless it was told otherwise, in bytes.
const FRAME_BYTES_MAX: usize = 16 << 10;
/// What the server may send in advance on the whole connection, in bytes.
const WINDOW_BYTES: u32 = 1 << 30;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const FLAG_ACK: u8 = 1;
const FLAG_END_STREAM: u8 = 1;
const FLAG_END_HEADERS: u8 = 4;

/// One HTTP/2 connection to an etcd server.
#[derive(Debug)]
pub(crate) struct Grpc {
    next_stream: u32,
    /// Streams that have had data and wait for their end.
    answered: Vec<u32>,
    /// Bytes received since the server's window was last opened.
    received: u32,
}

impl Default for Grpc {
    fn default() -> Self {
        Self { next_stream: 1, answered: Vec::new(), received: 0 }
    }
}

impl Wire for Grpc {
    fn greet(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        frame(SETTINGS, 0, 0, &[], out);
        frame(WINDOW_UPDATE, 0, 0, &WINDOW_BYTES.to_be_bytes(), out);
    }

    fn encode(&mut self, op: Op, key: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let stream = self.next_stream;
        self.next_stream += 2;
        let method = match op {
            Op::Set => "/etcdserverpb.KV/Put",
            Op::Get => "/etcdserverpb.KV/Range",
        };
        frame(HEADERS, FLAG_END_HEADERS, stream, &request_headers(method), out);
        let mut message = Vec::with_capacity(key.len() + value.len() + 16);
        bytes_field(1, key, &mut message);
        if op == Op::Set {
            bytes_field(2, value, &mut message);
        }
        let mut body = vec![0];
        body.extend_from_slice(&(message.len() as u32).to_be_bytes());
        body.extend_from_slice(&message);
        frame(DATA, FLAG_END_STREAM, stream, &body, out);
    }

    fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Decoded, BenchError> {
        let mut decoded = Decoded::default();
        while let Some((header, payload)) = take_frame(&input[decoded.consumed..])? {
            decoded.consumed += FRAME_HEADER_BYTES + payload.len();
            decoded.answers += usize::from(self.receive(header, payload, out)?);
        }
        Ok(decoded)
    }
}

/// The header of a frame.
#[derive(Clone, Copy, Debug)]
struct Header {
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Grpc {
    /// Takes a frame in; true if it ends a call that succeeded.
    fn receive(
        &mut self,
        header: Header,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<bool, BenchError> {
        let Header { kind, flags, stream } = header;
        let refused = |what: &str| {
            let text: String = payload.iter().map(|&b| printable(b)).collect();
            Err(BenchError::Answer(format!("{what}: {text}")))
        };
        match kind {
            DATA => {
                self.open_window(payload.len() as u32, out);
                if !self.answered.contains(&stream) {
                    self.answered.push(stream);
                }
                Ok(false)
            }
            HEADERS if flags & FLAG_END_STREAM != 0 => {
                match self.answered.iter().position(|&s| s == stream) {
                    Some(place) => {
                        self.answered.swap_remove(place);
                        Ok(true)
                    }
                    None => refused("a call that failed"),
                }
            }
            SETTINGS if flags & FLAG_ACK == 0 => {
                frame(SETTINGS, FLAG_ACK, 0, &[], out);
                Ok(false)
            }
            PING if flags & FLAG_ACK == 0 => {
                frame(PING, FLAG_ACK, 0, payload, out);
                Ok(false)
            }
            RST_STREAM => refused("a call that was reset"),
            GOAWAY => refused("the connection is closed"),
            _ => Ok(false),
        }
    }

    fn open_window(&mut self, bytes: u32, out: &mut Vec<u8>) {
        self.received += bytes;
        if self.received > WINDOW_BYTES / 2 {
            frame(WINDOW_UPDATE, 0, 0, &self.received.to_be_bytes(), out);
            self.received = 0;
        }
    }
}

fn printable(byte: u8) -> char {
    if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '.' }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    let length = (payload.len() as u32).to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

fn take_frame(input: &[u8]) -> Result<Option<(Header, &[u8])>, BenchError> {
    let Some((header, rest)) = input.split_at_checked(FRAME_HEADER_BYTES) else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(BenchError::Answer(format!("a frame of {length} bytes")));
    }
    let stream = u32::from_be_bytes([header[5] & 0x7f, header[6], header[7], header[8]]);
    let header = Header { kind: header[3], flags: header[4], stream };
    Ok(rest.get(..length).map(|payload| (header, payload)))
}

/// The header block of a call (RFC 7541): static names, plain values, nothing remembered.
fn request_headers(path: &str) -> Vec<u8> {
    const METHOD_POST: u8 = 0x83;
    const SCHEME_HTTP: u8 = 0x86;
    const NAME_AUTHORITY: u8 = 0x01;
    const NAME_PATH: u8 = 0x04;
    const NAME_CONTENT_TYPE: [u8; 2] = [0x0f, 0x10];
    const NAME_GIVEN: u8 = 0x00;
    let mut block = vec![METHOD_POST, SCHEME_HTTP, NAME_PATH];
    short_text(path, &mut block);
    block.push(NAME_AUTHORITY);
    short_text("localhost", &mut block);
    block.extend_from_slice(&NAME_CONTENT_TYPE);
    short_text("application/grpc", &mut block);
    block.push(NAME_GIVEN);
    short_text("te", &mut block);
    short_text("trailers", &mut block);
    block
}

/// A text below 127 bytes, not Huffman-coded.
fn short_text(text: &str, block: &mut Vec<u8>) {
    block.push(text.len() as u8);
    block.extend_from_slice(text.as_bytes());
}

/// A protobuf field of bytes.
fn bytes_field(number: u8, bytes: &[u8], message: &mut Vec<u8>) {
    message.push(number << 3 | 2);
    let mut length = bytes.len();
    while length >= 0x80 {
        message.push(length as u8 | 0x80);
        length >>= 7;
    }
    message.push(length as u8);
    message.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(stream: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame(HEADERS, FLAG_END_HEADERS, stream, b"\x88", &mut bytes);
        frame(DATA, 0, stream, b"\0\0\0\0\0", &mut bytes);
        let end = FLAG_END_HEADERS | FLAG_END_STREAM;
        frame(HEADERS, end, stream, b"\x88", &mut bytes);
        bytes
    }

    #[test]
    fn a_call_with_data_is_an_answer() {
        let mut grpc = Grpc::default();
        let mut bytes = reply(1);
        bytes.extend(reply(3));
        let whole = bytes.len();
        let decoded = grpc.decode(&bytes[..whole - 1], &mut Vec::new()).unwrap();
        assert_eq!(decoded.answers, 1);
        let rest = &bytes[decoded.consumed..];
        assert_eq!(grpc.decode(rest, &mut Vec::new()).unwrap().answers, 1);
    }

    #[test]
    fn a_call_without_data_spoils_the_run() {
        let mut bytes = Vec::new();
        frame(HEADERS, FLAG_END_STREAM, 1, b"bad", &mut bytes);
        assert!(Grpc::default().decode(&bytes, &mut Vec::new()).is_err());
    }

    #[test]
    fn pings_and_settings_are_acknowledged() {
        let (mut bytes, mut out) = (Vec::new(), Vec::new());
        frame(SETTINGS, 0, 0, &[], &mut bytes);
        frame(PING, 0, 0, b"12345678", &mut bytes);
        Grpc::default().decode(&bytes, &mut out).unwrap();
        assert_eq!(out.len(), 2 * FRAME_HEADER_BYTES + 8);
        assert_eq!((out[3], out[4]), (SETTINGS, FLAG_ACK));
    }

    #[test]
    fn long_fields_have_long_lengths() {
        let mut message = Vec::new();
        bytes_field(2, &[7; 300], &mut message);
        assert_eq!(message[..3], [0x12, 0xac, 0x02]);
    }
}
