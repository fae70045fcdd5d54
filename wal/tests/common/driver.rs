//! A log through one of the two adapters: plain files in the program `blocking`, which holds the
//! tests of the log once more, the ring in all others.

use std::time::Duration;

use wal::uring::{self, DriverError};
use wal::{Mark, Recovered, Wal, WalConfig, blocking};

/// A log that drives itself.
#[allow(clippy::large_enum_variant, reason = "a test has a handful")]
pub enum Driver {
    Ring(uring::Driver),
    Blocking(blocking::Driver),
}

impl Driver {
    pub fn open(config: WalConfig) -> Result<(Self, Recovered), DriverError> {
        if env!("CARGO_CRATE_NAME") == "blocking" {
            let (log, found) = blocking::Driver::open(config)?;
            Ok((Self::Blocking(log), found))
        } else {
            let (log, found) = uring::Driver::open(config)?;
            Ok((Self::Ring(log), found))
        }
    }

    pub fn wal(&self) -> &Wal {
        match self {
            Self::Ring(log) => log.wal(),
            Self::Blocking(log) => log.wal(),
        }
    }

    pub fn wal_mut(&mut self) -> &mut Wal {
        match self {
            Self::Ring(log) => log.wal_mut(),
            Self::Blocking(log) => log.wal_mut(),
        }
    }

    /// One turn that takes at least `wait` when there is nothing to do.
    pub fn turn(&mut self, wait: Duration) -> Result<(), DriverError> {
        match self {
            Self::Ring(log) => log.turn(wait),
            Self::Blocking(log) => {
                if log.turn()? == 0 {
                    std::thread::sleep(wait);
                }
                Ok(())
            }
        }
    }

    pub fn run_until(&mut self, mark: Mark) -> Result<(), DriverError> {
        match self {
            Self::Ring(log) => log.run_until(mark),
            Self::Blocking(log) => Ok(log.run_until(mark)?),
        }
    }

    pub fn run_until_idle(&mut self) -> Result<(), DriverError> {
        match self {
            Self::Ring(log) => log.run_until_idle(),
            Self::Blocking(log) => Ok(log.run_until_idle()?),
        }
    }

    pub fn close(self) -> Result<(), DriverError> {
        match self {
            Self::Ring(log) => log.close(),
            Self::Blocking(log) => Ok(log.close()?),
        }
    }
}
