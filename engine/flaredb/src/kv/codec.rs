//! The primitives of the state machine's entries, queries and answers: bytes, varints, byte
//! strings.

/// Appends a number in seven-bit groups, least significant first.
pub(super) fn put_varint(out: &mut Vec<u8>, n: u64) {
    let mut rest = n;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends a byte string with its length before it.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// An upper bound of what [`put_bytes`] appends, close for short strings.
pub(super) fn bytes_size(bytes: &[u8]) -> usize {
    bytes.len() + if bytes.len() < 0x80 { 1 } else { 5 }
}

/// Reads the primitives back; none of its methods panics, whatever the bytes are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*word))
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        self.u64().map(|word| word as i64)
    }

    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            n |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(n);
            }
        }
        None
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// Everything that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A list that takes up the rest: checked now, so that going through it cannot fail.
    pub(super) fn list(&mut self) -> Option<List<'a>> {
        let bytes = self.rest();
        let mut check = Reader(bytes);
        let mut len = 0;
        while !check.is_empty() {
            check.bytes()?;
            len += 1;
        }
        Some(List { bytes, len })
    }
}

/// Byte strings, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List<'a> {
    bytes: &'a [u8],
    len: usize,
}

impl<'a> List<'a> {
    /// How many strings there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The strings in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut reader = Reader(self.bytes);
        std::iter::from_fn(move || reader.bytes())
    }
}
