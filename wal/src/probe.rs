//! How fast the disk makes a block durable.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::arena::Blocks;
use crate::disk::open_direct;
use crate::error::ProbeError;
use crate::record::BLOCK_BYTES;

/// How many writes are measured.
const WRITES: usize = 21;

/// The median time of a durable 4 KiB write in `dir`, which is made when it is not there.
///
/// # Errors
/// [`ProbeError::NoDirectIo`] when the file system cannot do what the log needs,
/// [`ProbeError::Io`].
pub fn probe_fsync(dir: &Path) -> Result<Duration, ProbeError> {
    let path = dir.join(format!("probe-{}.tmp", std::process::id()));
    let measured = measure(dir, &path);
    let removed = fs::remove_file(&path);
    let failed = |source: io::Error| match source.raw_os_error() {
        Some(libc::EINVAL) => ProbeError::NoDirectIo { dir: dir.to_owned() },
        _ => ProbeError::Io { dir: dir.to_owned(), source },
    };
    let median = measured.map_err(failed)?;
    removed.map_err(failed)?;
    Ok(median)
}

fn measure(dir: &Path, path: &Path) -> io::Result<Duration> {
    fs::create_dir_all(dir)?;
    let mut options = OpenOptions::new();
    let file =
        options.write(true).create(true).truncate(true).custom_flags(libc::O_DIRECT).open(path)?;
    let zeros = Blocks::zeroed(WRITES * BLOCK_BYTES);
    file.write_all_at(zeros.bytes(), 0)?;
    file.sync_all()?;
    drop(file);
    let file = open_direct(path)?;
    let mut block = Blocks::zeroed(BLOCK_BYTES);
    block.bytes_mut().fill(0x5A);
    let mut times = [Duration::ZERO; WRITES];
    for (i, time) in times.iter_mut().enumerate() {
        let start = Instant::now();
        file.write_all_at(block.bytes(), (i * BLOCK_BYTES) as u64)?;
        *time = start.elapsed();
    }
    times.sort_unstable();
    Ok(times[WRITES / 2])
}
