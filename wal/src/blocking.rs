//! The adapter to plain files: each turn writes, flushes once and waits for both. For threads
//! beside an async runtime, for kernels without io_uring and for file systems without direct I/O.
//!
//! It is the [`Wal`] of the ring with another queue: everything but how bytes reach the disk is
//! the same, and a log written with one adapter opens with the other.
//!
//! On a file system in memory, and on one that ignores a flush, nothing is durable, whatever this
//! says.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

use crate::config::{Recovered, WalConfig};
use crate::disk::Access;
use crate::error::{OpenError, WalError};
use crate::op::Mark;
use crate::uring::{Queue, Wal, Write};

#[cfg(test)]
mod tests;

/// The longest sleep while there is nothing to write.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// A log that writes and flushes in the thread that calls it.
///
/// It stays in the thread that opened it. A program with an async runtime gives it a thread of its
/// own and speaks to that over a channel.
pub struct Driver {
    wal: Wal,
    device: Box<dyn Device>,
    /// What each completion of a turn carries, and the length of its write.
    written: Vec<(u64, i32)>,
}

impl Driver {
    /// Locks the folder, recovers what it holds and makes the first new segment ready.
    ///
    /// # Errors
    /// [`OpenError`], as [`Wal::open`], but never for want of direct I/O.
    pub fn open(config: WalConfig) -> Result<(Self, Recovered), OpenError> {
        let (wal, recovered) = Wal::open_for(config, Access::Buffered)?;
        Ok((Self { wal, device: Box::new(Disk), written: Vec::new() }, recovered))
    }

    /// The log.
    #[must_use]
    pub const fn wal(&self) -> &Wal {
        &self.wal
    }

    /// The log, to append to.
    #[must_use]
    pub const fn wal_mut(&mut self) -> &mut Wal {
        &mut self.wal
    }

    /// One turn: writes what may be written now, flushes, and returns how many writes are durable
    /// by that. To be called after appends, and when [`Wal::next_deadline`] has passed.
    ///
    /// # Errors
    /// [`WalError`] when the log has stopped. A write or a flush that fails stops it for good:
    /// nothing of the turn is acknowledged, and nothing is tried again.
    pub fn turn(&mut self) -> Result<usize, WalError> {
        let (files, failed) = (Vec::new(), None);
        let (device, written) = (&mut *self.device, &mut self.written);
        let mut round = Round { device, written, files, failed };
        let taken = self.wal.start(Instant::now(), &mut round);
        round.flush();
        // The failure first: what else was written in this turn is not acknowledged either.
        if let Some((user_data, result)) = round.failed {
            self.wal.complete(user_data, result);
        }
        for (user_data, result) in self.written.drain(..) {
            self.wal.complete(user_data, result);
        }
        self.wal.poisoned().map_or(Ok(taken), |error| Err(*error))
    }

    /// Runs until everything up to `mark` is durable.
    ///
    /// # Errors
    /// As [`Driver::turn`].
    pub fn run_until(&mut self, mark: Mark) -> Result<(), WalError> {
        while self.wal.durable() < mark {
            self.turn_or_wait()?;
        }
        Ok(())
    }

    /// Runs until the log needs nothing any more: all is durable and proven by a BEACON.
    ///
    /// # Errors
    /// As [`Driver::turn`].
    pub fn run_until_idle(&mut self) -> Result<(), WalError> {
        while self.wal.has_work() || self.wal.next_deadline().is_some() {
            self.turn_or_wait()?;
        }
        Ok(())
    }

    /// Closes the log.
    ///
    /// # Errors
    /// As [`Driver::turn`].
    pub fn close(mut self) -> Result<(), WalError> {
        self.wal.close();
        while !self.wal.is_closed() {
            self.turn_or_wait()?;
        }
        Ok(())
    }

    fn turn_or_wait(&mut self) -> Result<(), WalError> {
        if self.turn()? == 0 {
            let due = self.wal.next_deadline();
            let wait = due.map(|at| at.saturating_duration_since(Instant::now()));
            thread::sleep(wait.map_or(WAIT_MAX, |wait| wait.min(WAIT_MAX)));
        }
        Ok(())
    }
}

/// What the system does to files; tests put a failing disk in its place.
trait Device {
    /// Writes some of `bytes`; returns how many.
    fn write_at(&mut self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Makes what was written durable.
    fn sync(&mut self, file: &File) -> io::Result<()>;
}

/// The real one.
struct Disk;

impl Device for Disk {
    fn write_at(&mut self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        file.write_at(bytes, offset)
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

/// The writes of one turn: written when they are taken, durable after the flush at the end.
struct Round<'a> {
    device: &'a mut dyn Device,
    written: &'a mut Vec<(u64, i32)>,
    /// What to flush, by the descriptor it was written through.
    files: Vec<(RawFd, File)>,
    /// The first failure; nothing is written after it.
    failed: Option<(u64, i32)>,
}

impl Round<'_> {
    /// Writes all of it, in as many pieces as the system wants; how much it took in the end.
    fn write(&mut self, write: &Write<'_>) -> io::Result<usize> {
        let mut done = 0;
        while done < write.bytes.len() {
            let (rest, at) = (&write.bytes[done..], write.offset + done as u64);
            match self.device.write_at(write.file, rest, at) {
                Ok(0) => break,
                Ok(more) => done += more.min(rest.len()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let fd = write.file.as_raw_fd();
        if self.files.iter().all(|&(known, _)| known != fd) {
            self.files.push((fd, write.file.try_clone()?));
        }
        Ok(done)
    }

    /// Flushes each file once. A failed flush is final: the system may have forgotten what it could
    /// not write, and a second one would succeed.
    fn flush(&mut self) {
        for (_, file) in &self.files {
            if self.failed.is_some() {
                return;
            }
            if let Err(error) = self.device.sync(file) {
                let first = self.written.first().map_or(0, |&(user_data, _)| user_data);
                self.failed = Some((first, negative(&error)));
            }
        }
    }
}

impl Queue for Round<'_> {
    fn has_room(&mut self) -> bool {
        self.failed.is_none()
    }

    fn push(&mut self, write: &Write<'_>) -> bool {
        // A batch is never larger than a segment.
        let result = match self.write(write) {
            Ok(written) => written as i32,
            Err(error) => negative(&error),
        };
        if result != write.bytes.len() as i32 {
            self.failed = Some((write.user_data, result));
        }
        self.written.push((write.user_data, result));
        true
    }
}

/// The error as a completion of a ring has it.
fn negative(error: &io::Error) -> i32 {
    -error.raw_os_error().unwrap_or(libc::EIO)
}
