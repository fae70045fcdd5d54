//! The Redis protocol, as much as a load generator needs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::wire::{Decoded, Op, Wire};
use crate::error::{BenchError, Tried};

/// Replies nested deeper than this are not looked at.
const DEPTH_MAX: usize = 8;

/// A reply of a Redis server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// `+` or `$`.
    Text(Vec<u8>),
    /// `-`.
    Error(String),
    /// `:`.
    Integer(i64),
    /// `*`.
    List(Vec<Reply>),
    /// A null of any kind.
    Nil,
}

impl Reply {
    /// The reply as text, if it is one.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Text(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }
}

/// The Redis protocol on a connection of the load.
#[derive(Debug)]
pub(crate) struct Resp;

impl Wire for Resp {
    fn greet(&mut self, _: &mut Vec<u8>) {}

    fn encode(&mut self, op: Op, key: &[u8], value: &[u8], out: &mut Vec<u8>) {
        match op {
            Op::Set => command(&[b"SET", key, value], out),
            Op::Get => command(&[b"GET", key], out),
        }
    }

    fn decode(&mut self, input: &[u8], _: &mut Vec<u8>) -> Result<Decoded, BenchError> {
        let mut decoded = Decoded::default();
        while let Some(length) = skip(&input[decoded.consumed..])? {
            decoded.consumed += length;
            decoded.answers += 1;
        }
        Ok(decoded)
    }
}

/// Appends a command.
pub(crate) fn command(words: &[&[u8]], out: &mut Vec<u8>) {
    header(b'*', words.len(), out);
    for word in words {
        header(b'$', word.len(), out);
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

fn header(kind: u8, number: usize, out: &mut Vec<u8>) {
    out.push(kind);
    // Room for the digits of any usize; the load would otherwise spend its time in `format!`.
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
    out.extend_from_slice(b"\r\n");
}

/// The length of the reply at the front, without making anything of it; an error reply is an error.
fn skip(input: &[u8]) -> Result<Option<usize>, BenchError> {
    let Some(end) = line_end(input) else {
        return Ok(None);
    };
    let line = &input[..end];
    match line.first() {
        Some(b'+' | b':' | b'_') => Ok(Some(end + 2)),
        Some(b'$') if &line[1..] == b"-1" => Ok(Some(end + 2)),
        Some(b'$') => {
            let whole = end + 2 + number(&line[1..])? + 2;
            Ok((input.len() >= whole).then_some(whole))
        }
        _ => Err(BenchError::Answer(String::from_utf8_lossy(line).into_owned())),
    }
}

fn line_end(input: &[u8]) -> Option<usize> {
    input.windows(2).position(|pair| pair == b"\r\n")
}

fn number(digits: &[u8]) -> Result<usize, BenchError> {
    let text = String::from_utf8_lossy(digits);
    text.parse().map_err(|_| BenchError::Answer(format!("a length of {text}")))
}

/// The reply at the front and its length.
fn parse(input: &[u8], depth: usize) -> Result<Option<(Reply, usize)>, BenchError> {
    let Some(end) = line_end(input) else {
        return Ok(None);
    };
    let (kind, rest) = (input[0], &input[1..end]);
    let text = || String::from_utf8_lossy(rest).into_owned();
    let after = end + 2;
    let reply = match kind {
        b'+' => Reply::Text(rest.to_vec()),
        b'-' => Reply::Error(text()),
        b':' => Reply::Integer(
            text().parse().map_err(|_| BenchError::Answer(format!("an integer of {}", text())))?,
        ),
        b'_' => Reply::Nil,
        b'$' | b'*' if rest == b"-1" => Reply::Nil,
        b'$' => {
            let length = number(rest)?;
            let Some(bytes) = input.get(after..after + length + 2) else {
                return Ok(None);
            };
            let bytes = bytes[..length].to_vec();
            return Ok(Some((Reply::Text(bytes), after + length + 2)));
        }
        b'*' if depth < DEPTH_MAX => return parse_list(input, after, number(rest)?, depth),
        _ => return Err(BenchError::Answer(text())),
    };
    Ok(Some((reply, after)))
}

fn parse_list(
    input: &[u8],
    mut at: usize,
    length: usize,
    depth: usize,
) -> Result<Option<(Reply, usize)>, BenchError> {
    let mut items = Vec::new();
    for _ in 0..length {
        let Some((item, used)) = parse(&input[at..], depth + 1)? else {
            return Ok(None);
        };
        items.push(item);
        at += used;
    }
    Ok(Some((Reply::List(items), at)))
}

/// Asks one question over a connection of its own.
pub(crate) fn ask(address: SocketAddr, words: &[&[u8]]) -> Result<Reply, BenchError> {
    let patience = Duration::from_secs(2);
    let mut stream =
        TcpStream::connect_timeout(&address, patience).tried(format!("connecting to {address}"))?;
    stream.set_read_timeout(Some(patience)).tried("a timeout")?;
    let mut out = Vec::new();
    command(words, &mut out);
    stream.write_all(&out).tried("asking")?;
    let mut input = Vec::new();
    let mut chunk = [0u8; 16 << 10];
    loop {
        if let Some((reply, _)) = parse(&input, 0)? {
            return Ok(reply);
        }
        let read = stream.read(&mut chunk).tried("waiting for an answer")?;
        if read == 0 {
            return Err(BenchError::Answer("the connection was closed".to_owned()));
        }
        input.extend_from_slice(&chunk[..read]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_framed() {
        let mut out = Vec::new();
        Resp.encode(Op::Set, b"k", b"0123456789", &mut out);
        assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10\r\n0123456789\r\n");
    }

    #[test]
    fn answers_are_counted_and_rests_are_kept() {
        let input = b"+OK\r\n$3\r\nabc\r\n$-1\r\n:7\r\n$5\r\nab";
        let decoded = Resp.decode(input, &mut Vec::new()).unwrap();
        assert_eq!((decoded.answers, decoded.consumed), (4, input.len() - 6));
    }

    #[test]
    fn an_error_answer_spoils_the_run() {
        let error = Resp.decode(b"+OK\r\n-MOVED 1 x\r\n", &mut Vec::new());
        assert!(error.unwrap_err().to_string().contains("MOVED 1 x"));
    }

    #[test]
    fn nested_replies_are_parsed_whole_or_not_at_all() {
        let input = b"*2\r\n*2\r\n:0\r\n$2\r\nab\r\n-ERR no\r\n";
        let list = Reply::List(vec![
            Reply::List(vec![Reply::Integer(0), Reply::Text(b"ab".to_vec())]),
            Reply::Error("ERR no".to_owned()),
        ]);
        assert_eq!(parse(input, 0).unwrap(), Some((list, input.len())));
        for cut in 0..input.len() {
            assert_eq!(parse(&input[..cut], 0).unwrap(), None);
        }
    }
}
