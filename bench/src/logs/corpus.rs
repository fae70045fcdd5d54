//! Payloads that do not compress, and which one belongs where.

use raft_core::{Bytes, Entry, EntryKind, GroupId, Index, LogId, Term};

use super::GROUPS;

/// Bytes of which every payload is a piece.
const CORPUS_BYTES: usize = 4 << 20;
/// Distance between the starts of two payloads that follow each other; odd, so that they all start
/// somewhere else for a long time.
const STRIDE: u64 = 4_099;

/// All payloads in one buffer.
#[derive(Clone, Debug)]
pub(crate) struct Corpus(Bytes);

impl Corpus {
    /// Always the same payloads.
    pub(crate) fn new() -> Self {
        let mut bytes = Vec::with_capacity(CORPUS_BYTES + 8);
        let mut word = 0x2545_F491_4F6C_DD1D_u64;
        while bytes.len() < CORPUS_BYTES {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            bytes.extend_from_slice(&word.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
        }
        Self(Bytes::from(bytes))
    }

    /// The payload with this number.
    pub(crate) fn payload(&self, number: u64, len: usize) -> Bytes {
        let room = (CORPUS_BYTES - len) as u64;
        let start = (number.wrapping_mul(STRIDE) % room) as usize;
        self.0.slice(start..start + len)
    }

    /// The entry with this number and its group.
    pub(crate) fn entry(&self, number: u64, len: usize) -> (GroupId, Entry) {
        let (group, index) = place_of(number);
        let id = LogId::new(Term(1), Index(index));
        (GroupId(group), Entry { id, kind: EntryKind::Normal, data: self.payload(number, len) })
    }
}

/// Group and index of the entry with this number.
pub(crate) fn place_of(number: u64) -> (u64, u64) {
    (1 + number % GROUPS, 1 + number / GROUPS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_differ_and_come_again() {
        let corpus = Corpus::new();
        assert_ne!(corpus.payload(1, 128), corpus.payload(2, 128));
        assert_eq!(corpus.payload(7, 4096), Corpus::new().payload(7, 4096));
        assert_eq!(place_of(0), (1, 1));
        assert_eq!(place_of(2_500), (501, 3));
    }

    #[test]
    fn payloads_are_incompressible() {
        let payload = Corpus::new().payload(3, 4096);
        let mut seen = [0_u32; 256];
        payload.iter().for_each(|&byte| seen[usize::from(byte)] += 1);
        assert!(seen.iter().all(|&count| count < 64), "{seen:?}");
    }
}
