//! A folder in memory.

use std::collections::BTreeMap;

use wal::OpenError;
use wal::op::SegmentId;
use wal::recover::{Medium, Survey, recover};

pub(super) const SEGMENT_BYTES: u64 = 64 << 10;
pub(super) const STORE: u128 = 0xF00D;
pub(super) const BLOCK: usize = 4096;

#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Disk {
    pub(super) files: BTreeMap<SegmentId, Vec<u8>>,
}

impl Disk {
    pub(super) fn recover(&mut self) -> Result<Survey, OpenError> {
        recover(self, STORE, 0)
    }

    /// One of the files, if there is any.
    pub(super) fn nth(&self, n: usize) -> Option<SegmentId> {
        self.files.keys().nth(n % self.files.len().max(1)).copied()
    }
}

impl Medium for Disk {
    fn segments(&mut self) -> Result<Vec<(SegmentId, u64)>, OpenError> {
        Ok(self.files.iter().rev().map(|(&id, bytes)| (id, bytes.len() as u64)).collect())
    }

    fn read(&mut self, id: SegmentId, offset: u64, out: &mut [u8]) -> Result<(), OpenError> {
        let whole = offset % BLOCK as u64 == 0 && out.len() % BLOCK == 0;
        assert!(whole, "Direct Reads: whole blocks at whole blocks");
        let inside = self.files[&id].get(offset as usize..offset as usize + out.len());
        out.copy_from_slice(inside.expect("Reads Inside: no read goes beyond a file"));
        Ok(())
    }
}
