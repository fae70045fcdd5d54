//! A log with a ring of its own, for tests, tools and measurements.

use std::io;
use std::time::{Duration, Instant};

use io_uring::IoUring;
use io_uring::types::{SubmitArgs, Timespec};

use super::Wal;
use crate::config::{Recovered, WalConfig};
use crate::error::{OpenError, WalError};
use crate::op::Mark;

/// The longest turn of a log that says of no time at which it wants another.
const IDLE: Duration = Duration::from_millis(100);

/// A log that drives itself, blocking.
pub struct Driver {
    /// The log; dropped only after everything was reaped.
    wal: Wal,
    ring: IoUring,
}

/// Why a driver came to no end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// The log has stopped.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// The ring failed. State unknown.
    #[error("the ring failed: {0}; restart the program")]
    Ring(#[from] io::Error),
    /// The log does not open. State unchanged.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl Driver {
    /// Opens a log and a ring for it.
    ///
    /// # Errors
    /// [`DriverError::Open`] and [`DriverError::Ring`].
    pub fn open(config: WalConfig) -> Result<(Self, Recovered), DriverError> {
        let (wal, recovered) = Wal::open(config)?;
        let ring = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(128)?;
        Ok((Self { wal, ring }, recovered))
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

    /// One turn: submits, waits for a completion, digests. Waits no longer than `wait` and no
    /// longer than the log allows.
    ///
    /// # Errors
    /// [`DriverError::Wal`] when the log has stopped, [`DriverError::Ring`].
    pub fn turn(&mut self, wait: Duration) -> Result<(), DriverError> {
        self.wal.submit(Instant::now(), &mut self.ring.submission());
        // What the log waits for, a segment for instance, is known only after the submit.
        self.enter(self.wait().map_or(wait, |due| due.min(wait)))?;
        self.wal.poisoned().map_or(Ok(()), |error| Err(DriverError::Wal(*error)))
    }

    fn enter(&mut self, wait: Duration) -> io::Result<()> {
        let timeout = Timespec::from(wait);
        let args = SubmitArgs::new().timespec(&timeout);
        match self.ring.submitter().submit_with_args(1, &args) {
            Err(error)
                if !matches!(
                    error.raw_os_error(),
                    Some(libc::ETIME | libc::EINTR | libc::EBUSY)
                ) =>
            {
                return Err(error);
            }
            _ => {}
        }
        for done in self.ring.completion() {
            self.wal.complete(done.user_data(), done.result());
        }
        Ok(())
    }

    /// Runs until everything up to `mark` is durable.
    ///
    /// # Errors
    /// As [`Driver::turn`].
    pub fn run_until(&mut self, mark: Mark) -> Result<(), DriverError> {
        while self.wal.durable() < mark {
            self.turn(IDLE)?;
        }
        Ok(())
    }

    /// Runs until the log needs nothing any more: all is durable and proven by a BEACON.
    ///
    /// # Errors
    /// As [`Driver::turn`].
    pub fn run_until_idle(&mut self) -> Result<(), DriverError> {
        while self.wal.has_work() || self.wal.next_deadline().is_some() {
            self.turn(IDLE)?;
        }
        Ok(())
    }

    /// Closes the log.
    ///
    /// # Errors
    /// As [`Driver::turn`].
    pub fn close(mut self) -> Result<(), DriverError> {
        self.wal.close();
        while !self.wal.is_closed() {
            self.turn(IDLE)?;
        }
        Ok(())
    }

    fn wait(&self) -> Option<Duration> {
        let due = self.wal.next_deadline();
        due.map(|at| at.saturating_duration_since(Instant::now()))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        while self.wal.in_flight() > 0 {
            if self.enter(IDLE).is_err() {
                // The log leaks what the kernel may still read.
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use raft_core::{Entry, EntryKind, GroupId, Index, LogId, Term};

    use super::*;
    use crate::disk::Access;
    use crate::spare::workshop;

    #[test]
    fn a_turn_ends_when_the_segment_it_waits_for_may_be_there() {
        let exe = std::env::current_exe().unwrap();
        let dir = tempfile::TempDir::new_in(exe.parent().unwrap()).unwrap();
        let config = WalConfig { segment_bytes: 64 << 10, ..WalConfig::new(dir.path()) };
        let mut real = workshop(dir.path().to_owned(), 64 << 10, Access::Direct);
        let slow = Box::new(move |order, stop: &std::sync::atomic::AtomicBool| {
            std::thread::sleep(Duration::from_millis(30));
            real(order, stop)
        });
        let (wal, _) = Wal::open_with(config, Access::Direct, slow).unwrap();
        let mut log = Driver { wal, ring: IoUring::new(8).unwrap() };
        let (started, long) = (Instant::now(), Duration::from_secs(60));
        for index in 1..=12 {
            let id = LogId::new(Term(1), Index(index));
            let entry = Entry { id, kind: EntryKind::Normal, data: vec![7; 20_000].into() };
            let mark = log.wal_mut().append(GroupId(1), None, &[entry]).unwrap();
            while log.wal().durable() < mark {
                log.turn(long).unwrap();
            }
        }
        assert!(log.wal().stats().spare_misses > 0, "nothing was waited for");
        assert!(started.elapsed() < long, "a turn slept through");
    }
}
