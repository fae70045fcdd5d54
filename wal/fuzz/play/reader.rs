//! Choices out of bytes. Beyond the end every choice is the first.

/// The end of most numbers of the format, and some others that lie at an edge.
const EDGES: [u64; 16] = [
    0,
    1,
    39,
    40,
    64,
    4095,
    4096,
    65_536,
    1 << 24,
    0x7FFF_FFFF,
    0xFFFF_FFFF,
    (1 << 62) - 1,
    1 << 62,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// Below `bound`, which is at most 256.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    pub(super) fn flag(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    /// As many bytes as there are, at most `most`.
    pub(super) fn bytes(&mut self, most: usize) -> Vec<u8> {
        let (taken, rest) = self.0.split_at(self.0.len().min(most));
        self.0 = rest;
        taken.to_vec()
    }

    /// A number close to `old`, or at an edge, or any.
    pub(super) fn number(&mut self, old: u64) -> u64 {
        match self.byte() {
            b @ 0..64 => old.wrapping_add(u64::from(b) + 1),
            b @ 64..128 => old.wrapping_sub(u64::from(b) - 63),
            b @ 128..224 => EDGES[usize::from(b) % EDGES.len()],
            _ => (0..8).fold(0, |n, _| n << 8 | u64::from(self.byte())),
        }
    }
}
