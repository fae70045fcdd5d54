//! The disk in the place of a log: the blocks that ours would write, and nothing else.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Instant;

use hdrhistogram::Histogram;
use wal::record::{BATCH_HEADER_BYTES, record_bytes, whole_blocks};
use wal::{Blocks, WalConfig};

use super::stage::{self, Stage};
use super::{Corpus, Done, Load, LogSystem};
use crate::error::{BenchError, Tried};

pub(crate) const SYSTEM: LogSystem = LogSystem { name: "disk", append, reopen: None };

/// Each writer goes round in a region of this length that was filled before.
const REGION_BYTES: u64 = 64 << 20;
/// How much is read at once.
const READ_BYTES: usize = 8 << 20;

/// How ours writes appends that are handed over together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Bytes of a write.
    pub(crate) bytes: usize,
    /// Appends in it.
    pub(crate) appends: usize,
    /// Writes under way.
    pub(crate) depth: usize,
}

impl Shape {
    /// The shape of this load with the settings that ours has by default.
    pub(crate) fn of(load: &Load) -> Self {
        let settings = WalConfig::new("");
        let unit = record_bytes(load.payload);
        let room = (settings.batch_bytes_max - BATCH_HEADER_BYTES) / unit;
        let appends = load.outstanding.min(room.max(1));
        let depth = load.outstanding.div_ceil(appends).min(settings.depth);
        Self { bytes: whole_blocks(BATCH_HEADER_BYTES + appends * unit), appends, depth }
    }
}

fn append(folder: &Path, load: &Load, corpus: &Corpus) -> Result<Done, BenchError> {
    let shape = Shape::of(load);
    let path = folder.join("disk");
    fill(&path, shape.depth as u64 * REGION_BYTES, corpus)?;
    let file = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_DIRECT | libc::O_DSYNC)
        .open(&path)
        .tried(format!("opening {} with O_DIRECT", path.display()))?;
    let (latency, usage) = stage::run(folder, load, shape.depth, |writer, stage| {
        stage.ready();
        write(&file, writer as u64 * REGION_BYTES, shape, corpus, stage)
    })?;
    Ok(Done { latency, usage, segment_waits: None })
}

fn fill(path: &Path, bytes: u64, corpus: &Corpus) -> Result<(), BenchError> {
    let mut file = File::create(path).tried(format!("making {}", path.display()))?;
    let piece = corpus.payload(0, 1 << 20);
    for _ in 0..bytes / piece.len() as u64 {
        file.write_all(&piece).tried("filling the test file")?;
    }
    file.sync_all().tried("filling the test file")
}

fn write(
    file: &File,
    region: u64,
    shape: Shape,
    corpus: &Corpus,
    stage: &Stage,
) -> Result<Histogram<u64>, BenchError> {
    let mut memory = Blocks::zeroed(shape.bytes);
    memory.bytes_mut().copy_from_slice(&corpus.payload(region, shape.bytes));
    let mut tally = stage.tally()?;
    let mut at = 0;
    while stage.is_running() {
        let started = Instant::now();
        file.write_all_at(memory.bytes(), region + at).tried("writing durably")?;
        tally.record(started.elapsed(), shape.appends as u64);
        at += shape.bytes as u64;
        if at + shape.bytes as u64 > REGION_BYTES {
            at = 0;
        }
    }
    Ok(tally.into_latency())
}

/// Reads all segments of a log of ours past the page cache, one after the other, and looks at
/// nothing; the bytes read.
pub(crate) fn scan(folder: &Path) -> Result<u64, BenchError> {
    let mut memory = Blocks::zeroed(READ_BYTES);
    let mut total = 0;
    for entry in std::fs::read_dir(folder.join("log")).tried("listing the log")? {
        let path = entry.tried("listing the log")?.path();
        if path.extension().is_none_or(|extension| extension != "seg") {
            continue;
        }
        let file = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(&path);
        let file = file.tried(format!("opening {} with O_DIRECT", path.display()))?;
        let mut at = 0;
        loop {
            let read = file.read_at(memory.bytes_mut(), at).tried("reading the log")?;
            if read == 0 {
                break;
            }
            at += read as u64;
        }
        total += at;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn writes_have_the_shape_of_ours() {
        let load = |outstanding, payload| {
            let (warm_up, measured) = (Duration::ZERO, Duration::ZERO);
            Shape::of(&Load { outstanding, payload, warm_up, measured })
        };
        assert_eq!(load(1, 128), Shape { bytes: 4_096, appends: 1, depth: 1 });
        assert_eq!(load(64, 4096), Shape { bytes: 266_240, appends: 64, depth: 1 });
        assert_eq!(load(1024, 4096), Shape { bytes: 1 << 20, appends: 253, depth: 2 });
    }
}
