//! The folder of a log: its lock, its files, how they are opened and read.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use memmap2::{Advice, Mmap};

use crate::arena::Blocks;
use crate::error::OpenError;
use crate::op::SegmentId;
use crate::record::{BLOCK_BYTES, whole_blocks};
use crate::recover::Medium;

/// How long to wait for a process that was killed to let go of its files.
const LOCK_WAIT: Duration = Duration::from_millis(250);

/// How much of a segment is read at once in recovery, in bytes.
const READ_BYTES: usize = 8 << 20;

pub(crate) fn io_error(action: &'static str, path: &Path, source: io::Error) -> OpenError {
    OpenError::Io { action, path: path.to_owned(), source }
}

/// Makes the folder, durably, and locks it for as long as the file lives.
pub(crate) fn lock(dir: &Path) -> Result<File, OpenError> {
    fs::create_dir_all(dir).map_err(|error| io_error("create", dir, error))?;
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        sync_dir(parent).map_err(|error| io_error("flush", parent, error))?;
    }
    let path = dir.join("LOCK");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| io_error("create", &path, error))?;
    let until = Instant::now() + LOCK_WAIT;
    loop {
        // SAFETY: the descriptor is open for the whole call; flock touches no memory.
        let taken = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
        if taken == 0 {
            return Ok(file);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EWOULDBLOCK) if Instant::now() < until => {
                thread::sleep(Duration::from_millis(5));
            }
            Some(libc::EWOULDBLOCK) => {
                return Err(OpenError::Locked { dir: dir.to_owned() });
            }
            _ => return Err(io_error("lock", &path, error)),
        }
    }
}

pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

pub(crate) fn path_of(dir: &Path, segment: SegmentId) -> PathBuf {
    dir.join(segment.to_string())
}

/// Opens a file for durable writes past the page cache.
pub(crate) fn open_direct(path: &Path) -> io::Result<File> {
    let flags = libc::O_DIRECT | libc::O_DSYNC;
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)
}

/// The segment files of a folder, read past the page cache and only after they were flushed: what
/// a killed
/// process left in the cache and the device does not have must not be seen (nor lost later).
pub(crate) struct Folder {
    dir: PathBuf,
    open: Option<(SegmentId, File)>,
}

impl Folder {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), open: None }
    }

    fn file(&mut self, segment: SegmentId) -> Result<&File, OpenError> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != segment) {
            let path = path_of(&self.dir, segment);
            let flags = libc::O_DIRECT;
            let file = OpenOptions::new().read(true).custom_flags(flags).open(&path);
            let file = file.map_err(|error| match error.raw_os_error() {
                Some(libc::EINVAL) => OpenError::NoDirectIo { dir: self.dir.clone() },
                _ => io_error("open", &path, error),
            })?;
            file.sync_all().map_err(|error| io_error("flush", &path, error))?;
            self.open = Some((segment, file));
        }
        match &self.open {
            Some((_, file)) => Ok(file),
            None => Err(OpenError::Config("no file is open")),
        }
    }
}

impl Medium for Folder {
    fn segments(&mut self) -> Result<Vec<(SegmentId, u64)>, OpenError> {
        let failed = |error| io_error("list", &self.dir, error);
        sync_dir(&self.dir).map_err(failed)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if let Some(segment) = name.to_str().and_then(SegmentId::from_file_name) {
                found.push((segment, entry.metadata().map_err(failed)?.len()));
            }
        }
        Ok(found)
    }

    fn read(&mut self, segment: SegmentId, offset: u64, out: &mut [u8]) -> Result<(), OpenError> {
        let path = path_of(&self.dir, segment);
        let file = self.file(segment)?;
        for (i, piece) in out.chunks_mut(READ_BYTES).enumerate() {
            let at = offset + (i * READ_BYTES) as u64;
            file.read_exact_at(piece, at).map_err(|error| io_error("read", &path, error))?;
        }
        Ok(())
    }
}

/// The segments of an open log, mapped when an entry of theirs is first read.
pub(crate) struct Segments {
    dir: PathBuf,
    maps: Vec<Option<Mmap>>,
    segment_bytes_min: u64,
}

impl Segments {
    pub(crate) fn new(dir: &Path) -> Self {
        let segment_bytes_min = crate::segment::SEGMENT_BYTES_MIN;
        Self { dir: dir.to_owned(), maps: Vec::new(), segment_bytes_min }
    }

    /// The bytes of a segment; `None` when it cannot be mapped.
    pub(crate) fn map(&mut self, slot: u16, segment: SegmentId) -> Option<&[u8]> {
        let slot = usize::from(slot);
        if self.maps.len() <= slot {
            self.maps.resize_with(slot + 1, || None);
        }
        if self.maps[slot].is_none() {
            let file = File::open(path_of(&self.dir, segment)).ok()?;
            if file.metadata().ok()?.len() < self.segment_bytes_min {
                return None;
            }
            // SAFETY: a segment file keeps its length for ever, and a reader only looks at places
            // behind
            // the durable prefix, which no write of ours touches again. The folder is locked
            // against
            // other writers; damage from outside shows in the checksums.
            let map = unsafe { Mmap::map(&file) }.ok()?;
            // Neighbours of a page may be under a direct write: do not read them ahead.
            map.advise(Advice::Random).ok()?;
            self.maps[slot] = Some(map);
        }
        self.maps[slot].as_deref()
    }

    /// `len` bytes from `offset` on, from the device itself.
    pub(crate) fn read(&self, segment: SegmentId, offset: u64, len: usize) -> Option<Vec<u8>> {
        let flags = libc::O_DIRECT;
        let path = path_of(&self.dir, segment);
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
        let skip = offset as usize % BLOCK_BYTES;
        let mut blocks = Blocks::zeroed(whole_blocks(skip + len));
        file.read_exact_at(blocks.bytes_mut(), offset - skip as u64).ok()?;
        Some(blocks.bytes()[skip..skip + len].to_vec())
    }
}
