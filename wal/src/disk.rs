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

/// How long to wait for a process that was killed to let go of its files: the kernel ends its ring,
/// which holds them, after the process itself, and on a busy machine that takes a while.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// How much of a segment is read at once in recovery, in bytes.
const READ_BYTES: usize = 8 << 20;

pub(crate) fn io_error(action: &'static str, path: &Path, source: io::Error) -> OpenError {
    OpenError::Io { action, path: path.to_owned(), source }
}

/// Makes the folder with all above it, durably: a name lives in the folder above.
fn make(dir: &Path) -> Result<(), OpenError> {
    let missing = dir.ancestors().take_while(|dir| !dir.exists()).count();
    fs::create_dir_all(dir).map_err(|error| io_error("create", dir, error))?;
    for parent in dir.ancestors().skip(1).take(missing.max(1)) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        sync_dir(parent).map_err(|error| io_error("flush", parent, error))?;
    }
    Ok(())
}

/// Makes the folder and locks it for as long as the file lives.
pub(crate) fn lock(dir: &Path) -> Result<File, OpenError> {
    make(dir)?;
    let path = dir.join("LOCK");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    hold(file.map_err(|error| io_error("create", &path, error))?, dir)
}

/// Locks the folder through its open `LOCK` for as long as the file lives.
pub(crate) fn hold(file: File, dir: &Path) -> Result<File, OpenError> {
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
            _ => return Err(io_error("lock", dir, error)),
        }
    }
}

pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

pub(crate) fn path_of(dir: &Path, segment: SegmentId) -> PathBuf {
    dir.join(segment.to_string())
}

/// How the files of a log are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Past the page cache, each write durable by itself.
    Direct,
    /// Through the page cache, durable once flushed.
    Buffered,
}

impl Access {
    /// The flag of the system with which a file is filled or read.
    pub(crate) const fn flag(self) -> libc::c_int {
        match self {
            Self::Direct => libc::O_DIRECT,
            Self::Buffered => 0,
        }
    }

    /// Opens a file for the writes of a log.
    pub(crate) fn open(self, path: &Path) -> io::Result<File> {
        match self {
            Self::Direct => open_direct(path),
            Self::Buffered => OpenOptions::new().read(true).write(true).open(path),
        }
    }
}

/// Opens a file through the page cache, but without what the cache holds of it. The caller has
/// flushed the file, so that nothing is lost.
fn open_anew(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    // SAFETY: the descriptor is open for the whole call, which touches no memory of ours. Where it
    // does nothing, as in memory, there is no device that could differ.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    Ok(file)
}

/// Opens a file for durable writes past the page cache.
pub(crate) fn open_direct(path: &Path) -> io::Result<File> {
    let flags = libc::O_DIRECT | libc::O_DSYNC;
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)
}

/// Waits until no direct write to the file is under way, then flushes it. A killed process leaves
/// writes behind that the device still works on. They must end before anything is read, or they
/// change what was proven; and what they wrote must not be believed before it is durable.
///
/// Whether the file system could wait: without that a file may still change under its next user.
fn settle(path: &Path) -> io::Result<bool> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    // Asks for a block that is there already. The file systems with direct writes (ext4, xfs, f2fs)
    // first let those in flight come to their end; that is all it is for, so a full disk is fine.
    let block = BLOCK_BYTES as libc::off_t;
    // SAFETY: the descriptor is open for the whole call; fallocate touches no memory.
    let done =
        unsafe { libc::fallocate(file.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, 0, block) == 0 };
    let error = if done { None } else { io::Error::last_os_error().raw_os_error() };
    file.sync_all()?;
    Ok(matches!(error, None | Some(libc::ENOSPC | libc::EDQUOT)))
}

/// The segment files of a folder. They are read past the page cache, where the log needs that or
/// the file system can do it, and only after they were settled and flushed: what a killed process
/// left behind and the device does not have must not be seen (nor lost later).
pub(crate) struct Folder {
    dir: PathBuf,
    open: Option<(SegmentId, File)>,
    settled: bool,
    access: Access,
}

impl Folder {
    pub(crate) fn new(dir: &Path, access: Access) -> Self {
        Self { dir: dir.to_owned(), open: None, settled: true, access }
    }

    /// Whether nothing that an earlier process began can change a file any more.
    pub(crate) const fn is_settled(&self) -> bool {
        self.settled
    }

    fn file(&mut self, segment: SegmentId) -> Result<&File, OpenError> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != segment) {
            let path = path_of(&self.dir, segment);
            let flags = libc::O_DIRECT;
            let file = OpenOptions::new().read(true).custom_flags(flags).open(&path);
            let file = match file {
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => match self.access {
                    Access::Direct => {
                        return Err(OpenError::NoDirectIo { dir: self.dir.clone() });
                    }
                    Access::Buffered => open_anew(&path),
                },
                other => other,
            };
            let file = file.map_err(|error| io_error("open", &path, error))?;
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
                let path = entry.path();
                self.settled &= settle(&path).map_err(|error| io_error("flush", &path, error))?;
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
            // of the durable prefix, which no write of ours touches again before the segment is
            // freed and its map dropped; nobody holds on to a map. The folder is locked
            // against other writers; damage from outside shows in the checksums, which are taken
            // of a copy.
            let map = unsafe { Mmap::map(&file) }.ok()?;
            // Neighbours of a page may be under a direct write: do not read them ahead.
            map.advise(Advice::Random).ok()?;
            self.maps[slot] = Some(map);
        }
        self.maps[slot].as_deref()
    }

    /// A segment was freed: its slot and its file will serve others.
    pub(crate) fn forget(&mut self, slot: u16) {
        if let Some(map) = self.maps.get_mut(usize::from(slot)) {
            *map = None;
        }
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

#[cfg(test)]
mod tests;
