//! The vocabulary between the pure half and an adapter: what to write, where, and how it went.

use core::fmt;

/// A position in the order of appends of one log: everything appended up to it is durable when
/// [`crate::Wal::durable`] is at least this. Only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(pub u64);

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The number of a segment file, from 1. Prints as the name of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u64);

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.seg", self.0)
    }
}

/// Numbers of segments, batches, epochs and entries stay below this, so that the next one always
/// exists whatever a file says.
pub(crate) const NUMBER_END: u64 = 1 << 62;

impl SegmentId {
    /// The number in the name of a file, if it is the name of a segment: from 1 to 2^62 - 1.
    #[must_use]
    pub fn from_file_name(name: &str) -> Option<Self> {
        let digits = name.strip_suffix(".seg")?;
        let plain = digits.len() == 16
            && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let number = u64::from_str_radix(digits, 16).ok().filter(|_| plain)?;
        (1..NUMBER_END).contains(&number).then_some(Self(number))
    }
}

/// The number of an operation, unique in the life of a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// Where the bytes of an operation lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The block the writer keeps for segment headers.
    Header,
    /// A piece of the arena.
    Arena(Span),
}

/// A piece of the arena; stays put until the operation that writes it has completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub(crate) slab: u64,
    pub(crate) start: u32,
    pub(crate) len: u32,
}

/// One durable write: done when the bytes are on the medium, not before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteOp {
    /// Names the operation in its completion.
    pub id: OpId,
    /// The file.
    pub segment: SegmentId,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// What to write.
    pub origin: Origin,
    /// How many bytes.
    pub len: u32,
}

/// The end of a [`WriteOp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Which operation.
    pub id: OpId,
    /// The number of bytes written, or a negative error number, as a CQE has it.
    pub result: i32,
}
