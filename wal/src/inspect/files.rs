//! The segment files of a folder, to be read only.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::InspectError;
use crate::arena::Blocks;
use crate::disk::{self, hold, io_error, path_of};
use crate::error::OpenError;
use crate::op::SegmentId;
use crate::record::BLOCK_BYTES;
use crate::recover::Medium;
use crate::segment::{Head, SEGMENT_BYTES_MAX, SegmentHeader};

/// The files of a log that nobody writes to, or of one that somebody may be writing to.
///
/// They are read past the page cache where the file system can do that. Nothing is written, made
/// or flushed.
#[derive(Debug)]
pub struct Files {
    dir: PathBuf,
    open: Option<(SegmentId, File)>,
    live: bool,
    lock: Option<File>,
}

impl Files {
    /// The files of a stopped log, locked against every writer for as long as this value lives.
    ///
    /// # Errors
    /// [`OpenError::Locked`] when the log is in use, [`InspectError::NoLog`].
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, InspectError> {
        let mut files = Self::live(dir)?;
        files.live = false;
        let path = files.dir.join("LOCK");
        match File::open(&path) {
            Ok(file) => files.lock = Some(hold(file, &files.dir)?),
            // Who opens a log makes this file first: without it nobody has.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error("open", &path, error).into()),
        }
        Ok(files)
    }

    /// The files of a log that may be in use: what is read may be half written, or gone.
    ///
    /// # Errors
    /// [`InspectError::NoLog`], [`OpenError::Io`].
    pub fn live(dir: impl Into<PathBuf>) -> Result<Self, InspectError> {
        let dir = dir.into();
        let mut files = Self { dir, open: None, live: true, lock: None };
        if files.segments()?.is_empty() {
            return Err(InspectError::NoLog { dir: files.dir });
        }
        Ok(files)
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether somebody may be writing to the log.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        self.live
    }

    /// Makes sure that nobody else writes, also to a folder that nobody has ever locked, and lets
    /// go of the files: their names may go to others.
    pub(super) fn take_over(&mut self) -> Result<(), OpenError> {
        self.open = None;
        if self.lock.is_none() {
            self.lock = Some(disk::lock(&self.dir)?);
        }
        Ok(())
    }

    /// The segments in ascending order, with the lengths of their files in bytes.
    pub(super) fn sorted(&mut self) -> Result<Vec<(SegmentId, u64)>, OpenError> {
        let mut files = self.segments()?;
        files.sort_unstable();
        Ok(files)
    }

    /// What the first block of a file says.
    pub(super) fn head(&mut self, segment: SegmentId, bytes: u64) -> Result<Head, OpenError> {
        if bytes < BLOCK_BYTES as u64 {
            return Ok(Head::Absent);
        }
        let mut block = Blocks::zeroed(BLOCK_BYTES);
        self.read(segment, 0, block.bytes_mut())?;
        SegmentHeader::decode(segment, block.bytes())
    }

    /// The whole blocks of a file, as many as a segment may have.
    pub(super) fn load(&mut self, segment: SegmentId, bytes: u64) -> Result<Blocks, OpenError> {
        let whole = bytes.min(SEGMENT_BYTES_MAX) as usize / BLOCK_BYTES * BLOCK_BYTES;
        let mut blocks = Blocks::zeroed(whole);
        self.read(segment, 0, blocks.bytes_mut())?;
        Ok(blocks)
    }

    /// Store and core of the newest segment that can be read; zero when there is none. Whether the
    /// others agree, recovery finds out.
    pub(super) fn identity(&mut self) -> Result<(u128, u32), OpenError> {
        for (segment, bytes) in self.sorted()?.into_iter().rev() {
            match self.head(segment, bytes) {
                Ok(Head::Valid(header)) => {
                    return Ok((u128::from_le_bytes(header.store), header.core));
                }
                Ok(Head::Absent) | Err(OpenError::DamagedHeader { .. }) => {}
                Err(other) => return Err(other),
            }
        }
        Ok((0, 0))
    }

    fn file(&mut self, segment: SegmentId) -> Result<&File, OpenError> {
        let path = path_of(&self.dir, segment);
        if self.open.as_ref().is_none_or(|(open, _)| *open != segment) {
            let direct = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(&path);
            let file = match direct {
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => File::open(&path),
                other => other,
            };
            self.open = Some((segment, file.map_err(|error| io_error("open", &path, error))?));
        }
        match &self.open {
            Some((_, file)) => Ok(file),
            None => Err(io_error("open", &path, io::ErrorKind::NotFound.into())),
        }
    }
}

impl Medium for Files {
    fn segments(&mut self) -> Result<Vec<(SegmentId, u64)>, OpenError> {
        let failed = |error| io_error("list", &self.dir, error);
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if let Some(segment) = entry.file_name().to_str().and_then(SegmentId::from_file_name) {
                match entry.metadata() {
                    Ok(about) => found.push((segment, about.len())),
                    Err(error) if self.live && error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(failed(error)),
                }
            }
        }
        Ok(found)
    }

    fn read(&mut self, segment: SegmentId, offset: u64, out: &mut [u8]) -> Result<(), OpenError> {
        let path = path_of(&self.dir, segment);
        let read = self.file(segment)?.read_exact_at(out, offset);
        read.map_err(|error| io_error("read", &path, error))
    }
}
