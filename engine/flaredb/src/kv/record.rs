//! One key with its value and deadline, packed into a single allocation.
//!
//! Layout: one byte (bit 0: there is a deadline; bits 1..8: the key's length, or 127 if it follows
//! in four bytes), the deadline if there is one, the key, the value.

const LONG_KEY: usize = 127;

/// A key, its value and when it dies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record(Box<[u8]>);

impl Record {
    /// A record of these parts. `tail` continues the value.
    pub(crate) fn new(key: &[u8], value: &[u8], tail: &[u8], deadline: Option<u64>) -> Self {
        let long = key.len() >= LONG_KEY;
        let header = 1 + if long { 4 } else { 0 } + if deadline.is_some() { 8 } else { 0 };
        let mut bytes = Vec::with_capacity(header + key.len() + value.len() + tail.len());
        let short = if long { LONG_KEY } else { key.len() };
        bytes.push(u8::from(deadline.is_some()) | (short as u8) << 1);
        if long {
            bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
        }
        if let Some(deadline) = deadline {
            bytes.extend_from_slice(&deadline.to_le_bytes());
        }
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(tail);
        Self(bytes.into_boxed_slice())
    }

    /// A record as [`Record::packed`] gave it; `None` if no record looks like that.
    pub(crate) fn from_packed(packed: &[u8]) -> Option<Self> {
        let first = *packed.first()?;
        let header = if usize::from(first >> 1) == LONG_KEY { 5 } else { 1 };
        let fixed = header + usize::from(first & 1) * 8;
        if packed.len() < fixed {
            return None;
        }
        let record = Self(packed.into());
        let (_, key, value) = record.places();
        let long = header == 5 && value - key < LONG_KEY;
        (value <= record.0.len() && !long).then_some(record)
    }

    /// Where the deadline starts, where the key starts and where the value starts.
    fn places(&self) -> (usize, usize, usize) {
        let first = self.0[0];
        let short = usize::from(first >> 1);
        let (length, deadline) = if short == LONG_KEY {
            (u32::from_le_bytes([self.0[1], self.0[2], self.0[3], self.0[4]]) as usize, 5)
        } else {
            (short, 1)
        };
        let key = deadline + usize::from(first & 1) * 8;
        (deadline, key, key + length)
    }

    /// The key.
    pub(crate) fn key(&self) -> &[u8] {
        let (_, key, value) = self.places();
        &self.0[key..value]
    }

    /// The value.
    pub(crate) fn value(&self) -> &[u8] {
        &self.0[self.places().2..]
    }

    /// The millisecond after which the key is dead, if it ever dies.
    pub(crate) fn deadline(&self) -> Option<u64> {
        if self.0[0] & 1 == 0 {
            return None;
        }
        let start = self.places().0;
        <[u8; 8]>::try_from(&self.0[start..start + 8]).ok().map(u64::from_le_bytes)
    }

    /// Puts a value and a deadline in place of the present ones if the record's size stays the
    /// same; says whether it did.
    pub(crate) fn overwrite(&mut self, value: &[u8], deadline: Option<u64>) -> bool {
        let (at, _, start) = self.places();
        if self.0.len() - start != value.len() || deadline.is_some() != (self.0[0] & 1 == 1) {
            return false;
        }
        self.0[start..].copy_from_slice(value);
        if let Some(deadline) = deadline {
            self.0[at..at + 8].copy_from_slice(&deadline.to_le_bytes());
        }
        true
    }

    /// All bytes of the record: what the digest is taken of.
    pub(crate) fn packed(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_its_parts() {
        for length in [0, 1, 126, 127, 128, 70_000] {
            let key = vec![b'k'; length];
            for deadline in [None, Some(0), Some(u64::MAX)] {
                let record = Record::new(&key, b"val", b"ue", deadline);
                assert_eq!(record.key(), &key[..]);
                assert_eq!(record.value(), b"value");
                assert_eq!(record.deadline(), deadline);
            }
        }
    }

    #[test]
    fn nothing_else_is_taken_for_a_record() {
        let record = Record::new(&[b'k'; 200], b"value", b"", Some(9));
        assert_eq!(Record::from_packed(record.packed()), Some(record.clone()));
        for length in 0..1 + 4 + 8 + 200 {
            assert_eq!(Record::from_packed(&record.packed()[..length]), None, "{length} bytes");
        }
        let short = [&[127 << 1][..], &5u32.to_le_bytes(), b"short"].concat();
        assert_eq!(Record::from_packed(&short), None, "a short key has one form");
    }

    #[test]
    fn overwrites_only_what_fits() {
        let mut record = Record::new(b"key", b"one", b"", Some(5));
        assert!(record.overwrite(b"two", Some(6)));
        assert_eq!((record.value(), record.deadline()), (&b"two"[..], Some(6)));
        assert!(!record.overwrite(b"four", Some(6)));
        assert!(!record.overwrite(b"two", None));
        assert_eq!(record, Record::new(b"key", b"two", b"", Some(6)));
    }
}
