//! The commands that are replicated, and the proof that they arrived.

use raft_core::Bytes;

use crate::cores::Pass;

/// Bytes of a command.
pub(crate) const PAYLOAD_BYTES: usize = 128;
/// How many different commands there are before they come again.
const DIFFERENT: usize = 4_096;

/// All commands in one buffer, as a server has them that read them from a connection: each is a
/// slice of it, so that none costs an allocation of its own.
#[derive(Clone, Debug)]
pub(crate) struct Corpus(Bytes);

impl Corpus {
    /// Always the same commands.
    pub(crate) fn new() -> Self {
        let mut bytes = Vec::with_capacity(DIFFERENT * PAYLOAD_BYTES + 1);
        let mut word = 1_u64;
        while bytes.len() < DIFFERENT * PAYLOAD_BYTES {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // The low bits of such a sequence are not random.
            bytes.extend_from_slice(&(word ^ word >> 33).to_le_bytes());
        }
        Self(Bytes::from(bytes))
    }

    /// The command with this number.
    pub(crate) fn payload(&self, number: u64) -> Bytes {
        let start = number as usize % DIFFERENT * PAYLOAD_BYTES;
        self.0.slice(start..start + PAYLOAD_BYTES)
    }

    /// The ledger of a replica that was handed the first so many commands.
    pub(crate) fn ledger<P: Pass>(&self, entries: usize) -> Ledger {
        let mut ledger = Ledger::default();
        for number in 0..entries as u64 {
            ledger.note::<P>(&self.payload(number));
        }
        ledger
    }
}

/// How many commands were handed over, and a sum of what they were in which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub(crate) entries: u64,
    digest: u64,
}

impl Ledger {
    /// A command was handed over.
    #[inline]
    pub(crate) fn note<P: Pass>(&mut self, payload: &[u8]) {
        self.entries += 1;
        let mixed = self.digest ^ P::digest(payload) ^ payload.len() as u64;
        self.digest = mixed.rotate_left(23).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// The first and the last eight bytes of a payload.
#[inline]
pub(crate) fn ends(payload: &[u8]) -> u64 {
    let first = payload.first_chunk().copied().map_or(0, u64::from_le_bytes);
    let last = payload.last_chunk().copied().map_or(0, u64::from_le_bytes);
    first ^ last.rotate_left(32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cores::{Counted, Timed};

    #[test]
    fn a_ledger_tells_order_number_and_content() {
        let corpus = Corpus::new();
        let of = |numbers: &[u64]| {
            let mut ledger = Ledger::default();
            numbers.iter().for_each(|n| ledger.note::<Timed>(&corpus.payload(*n)));
            ledger
        };
        assert_eq!(of(&[0, 1, 2]), corpus.ledger::<Timed>(3));
        for other in [&[0, 2, 1][..], &[0, 1], &[0, 1, 3], &[0, 0, 0]] {
            assert_ne!(of(other), corpus.ledger::<Timed>(3));
        }
        assert_ne!(corpus.ledger::<Counted>(3), corpus.ledger::<Timed>(3));
        assert_eq!(corpus.payload(7).len(), PAYLOAD_BYTES);
    }
}
