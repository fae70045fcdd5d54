//! A disk that forgets and lies at a crash.

use std::collections::BTreeMap;

use wal::OpenError;
use wal::op::SegmentId;
use wal::recover::{Medium, Survey, recover};

pub const STORE: u128 = 0xF00D;
pub const SECTOR: usize = 512;

/// Splitmix64.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[derive(Clone, Default)]
pub struct Disk {
    pub files: BTreeMap<SegmentId, Vec<u8>>,
}

impl Medium for Disk {
    fn segments(&mut self) -> Result<Vec<(SegmentId, u64)>, OpenError> {
        Ok(self.files.iter().rev().map(|(&id, bytes)| (id, bytes.len() as u64)).collect())
    }

    fn read(&mut self, id: SegmentId, offset: u64, out: &mut [u8]) -> Result<(), OpenError> {
        out.copy_from_slice(&self.files[&id][offset as usize..][..out.len()]);
        Ok(())
    }
}

impl Disk {
    pub fn recover(&mut self) -> Result<Survey, OpenError> {
        recover(self, STORE, 0)
    }

    /// A write that a crash meets: every sector is new, old or garbage.
    pub fn tear(&mut self, segment: SegmentId, offset: u64, bytes: &[u8], rng: &mut Rng) {
        let file = self.files.get_mut(&segment).unwrap();
        let place = &mut file[offset as usize..][..bytes.len()];
        let fate = rng.below(4);
        for (old, new) in place.chunks_mut(SECTOR).zip(bytes.chunks(SECTOR)) {
            let sector = if fate < 3 { fate } else { rng.below(3) };
            match sector {
                0 => old.copy_from_slice(new),
                1 => {}
                _ => old.fill_with(|| rng.next() as u8),
            }
        }
    }
}
