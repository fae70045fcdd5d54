//! Opening a log that is there, and reading from it.

use std::path::Path;

use super::Corpus;
use crate::error::BenchError;

/// Entries that are handed over together while a log is filled.
pub(crate) const FILL_BATCH: u64 = 64;

/// A log that is open for reading.
pub(crate) trait Opened {
    /// Shows the payload of one entry.
    fn read(
        &mut self,
        group: u64,
        index: u64,
        look: &mut dyn FnMut(&[u8]),
    ) -> Result<(), BenchError>;
}

/// How a log is filled and opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reopen {
    /// Fills a folder with so many entries of so many bytes, in batches of [`FILL_BATCH`].
    pub(crate) fill: fn(&Path, &Corpus, u64, usize) -> Result<(), BenchError>,
    /// Opens it, as after a restart.
    pub(crate) open: fn(&Path) -> Result<Box<dyn Opened>, BenchError>,
}
