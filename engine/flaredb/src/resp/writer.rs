//! Replies, appended to a buffer.

use crate::kv::number::Decimal;

/// The version of the protocol that a connection speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// RESP2, which every connection starts with.
    #[default]
    Two,
    /// RESP3, after `HELLO 3`.
    Three,
}

impl Version {
    /// The version's number.
    #[must_use]
    pub fn number(self) -> i64 {
        if self == Self::Two { 2 } else { 3 }
    }
}

/// Appends replies in one version of the protocol.
#[derive(Debug)]
pub struct Writer<'a> {
    /// Where they go.
    pub out: &'a mut Vec<u8>,
    /// The version.
    pub version: Version,
}

impl<'a> Writer<'a> {
    /// A writer to this buffer.
    pub fn new(out: &'a mut Vec<u8>, version: Version) -> Self {
        Self { out, version }
    }

    /// A word such as `OK`.
    pub fn status(&mut self, word: &str) {
        self.line(b'+', word.as_bytes());
    }

    /// A word that is not known to be text.
    pub fn status_bytes(&mut self, word: &[u8]) {
        self.line(b'+', word);
    }

    /// An error, which starts with its code. Line breaks in it become spaces.
    pub fn error(&mut self, text: &str) {
        self.error_bytes(text.as_bytes());
    }

    /// An error that may quote what a client sent.
    pub fn error_bytes(&mut self, text: &[u8]) {
        self.out.push(b'-');
        let clean = |b: &u8| if matches!(b, b'\r' | b'\n') { b' ' } else { *b };
        self.out.extend(text.iter().map(clean));
        self.end();
    }

    /// A number.
    pub fn integer(&mut self, n: i64) {
        self.line(b':', Decimal::new(n).as_bytes());
    }

    /// A byte string.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.length(b'$', bytes.len());
        self.out.extend_from_slice(bytes);
        self.end();
    }

    /// Text for people: RESP3 says so, RESP2 has no word for it.
    pub fn verbatim(&mut self, text: &str) {
        if self.version == Version::Two {
            return self.bulk(text.as_bytes());
        }
        self.length(b'=', text.len() + 4);
        self.out.extend_from_slice(b"txt:");
        self.out.extend_from_slice(text.as_bytes());
        self.end();
    }

    /// Nothing.
    pub fn nil(&mut self) {
        self.out.extend_from_slice(if self.version == Version::Two {
            b"$-1\r\n"
        } else {
            b"_\r\n"
        });
    }

    /// No array: RESP2 tells it from no byte string.
    pub fn nil_array(&mut self) {
        self.out.extend_from_slice(if self.version == Version::Two {
            b"*-1\r\n"
        } else {
            b"_\r\n"
        });
    }

    /// A byte string or nothing.
    pub fn bulk_or_nil(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.nil(),
        }
    }

    /// The start of an array of so many replies.
    pub fn array(&mut self, len: usize) {
        self.length(b'*', len);
    }

    /// The start of a set of so many replies: an array in RESP2.
    pub fn set(&mut self, len: usize) {
        self.length(if self.version == Version::Two { b'*' } else { b'~' }, len);
    }

    /// The start of a map of so many pairs: an array of keys and values by turns in RESP2.
    pub fn map(&mut self, pairs: usize) {
        match self.version {
            Version::Two => self.length(b'*', pairs * 2),
            Version::Three => self.length(b'%', pairs),
        }
    }

    fn length(&mut self, kind: u8, length: usize) {
        self.out.push(kind);
        self.out.extend_from_slice(Decimal::unsigned(length as u64).as_bytes());
        self.end();
    }

    fn line(&mut self, kind: u8, bytes: &[u8]) {
        self.out.push(kind);
        self.out.extend_from_slice(bytes);
        self.end();
    }

    fn end(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }
}
