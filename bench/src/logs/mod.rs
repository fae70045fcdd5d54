//! Write-ahead logs under the same load: durable appends of small units, a fixed number of them
//! outstanding.

mod corpus;
mod flaredb;
#[cfg(feature = "peers")]
mod okaywal;
#[cfg(feature = "peers")]
mod raft_engine;
mod raw;
mod reopen;
mod stage;

use std::path::Path;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::error::BenchError;
use crate::meter::Usage;
pub(crate) use corpus::{Corpus, place_of};
pub(crate) use raw::{Shape, scan};
pub(crate) use reopen::{Opened, Reopen};

/// Groups that the appends go to, one after the other.
pub(crate) const GROUPS: u64 = 1000;
/// Up to so many outstanding appends, a log that blocks its caller gets a thread for each; beyond,
/// one thread hands over one batch.
pub(crate) const THREADS_MAX: usize = 16;

/// What a log is given to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Appends under way.
    pub(crate) outstanding: usize,
    /// Bytes of an entry.
    pub(crate) payload: usize,
    /// Time before the measurement.
    pub(crate) warm_up: Duration,
    /// Time of the measurement.
    pub(crate) measured: Duration,
}

impl Load {
    /// Bytes that are written at these most bytes per second of small batches and of large ones.
    pub(crate) fn bytes_at_most(&self, (small, large): (f64, f64)) -> u64 {
        let is_large = self.outstanding > THREADS_MAX && self.payload > 128;
        let rate = if is_large { large } else { small };
        ((self.warm_up + self.measured).as_secs_f64() * rate) as u64
    }

    /// Threads of a log that blocks its caller, and appends that each of them hands over at once.
    #[cfg(feature = "peers")]
    pub(crate) fn threads(&self) -> (usize, usize) {
        if self.outstanding <= THREADS_MAX { (self.outstanding, 1) } else { (1, self.outstanding) }
    }
}

/// What a log did.
#[derive(Debug)]
pub(crate) struct Done {
    /// Time from the append, or the start of its batch, to when it was known to be durable.
    pub(crate) latency: Histogram<u64>,
    /// What it cost.
    pub(crate) usage: Usage,
    /// How often an append had to wait for the next segment, if the log says so.
    pub(crate) segment_waits: Option<u64>,
}

/// Appends to a fresh log in a folder for as long as the load says.
pub(crate) type Append = fn(&Path, &Load, &Corpus) -> Result<Done, BenchError>;

/// A log, or the disk in its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogSystem {
    /// Its name.
    pub(crate) name: &'static str,
    /// Appends.
    pub(crate) append: Append,
    /// Fills, opens and reads a log, where it keeps an index.
    pub(crate) reopen: Option<Reopen>,
}

/// Ours first, the disk last.
pub(crate) fn systems() -> Vec<LogSystem> {
    vec![
        flaredb::SYSTEM,
        flaredb::READY,
        #[cfg(feature = "peers")]
        raft_engine::SYSTEM,
        #[cfg(feature = "peers")]
        okaywal::SYSTEM,
        raw::SYSTEM,
    ]
}

/// The name of ours.
pub(crate) const OURS: &str = flaredb::SYSTEM.name;
/// The name of ours with segments that are there before.
pub(crate) const READY: &str = flaredb::READY.name;
/// The name of the disk.
pub(crate) const DISK: &str = raw::SYSTEM.name;
/// The peer with groups and an index.
pub(crate) const RAFT_ENGINE: &str = "raft-engine";
/// The peer without.
pub(crate) const OKAYWAL: &str = "okaywal";

/// What a log said that it should not have.
fn unexpected(error: impl std::fmt::Display) -> BenchError {
    BenchError::Log(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Scratch;

    /// Longer and longer on a machine that is so busy that nothing becomes durable.
    fn appended(system: LogSystem, outstanding: usize, payload: usize, corpus: &Corpus) -> Done {
        let warm_up = Duration::from_millis(20);
        for millis in [100, 1_000, 10_000] {
            let folder = Scratch::new(Path::new("."), "logs").unwrap();
            let measured = Duration::from_millis(millis);
            let load = Load { outstanding, payload, warm_up, measured };
            match (system.append)(folder.path(), &load, corpus) {
                Err(BenchError::Stalled { .. }) => {}
                done => return done.unwrap(),
            }
        }
        panic!("nothing becomes durable with {}", system.name);
    }

    #[test]
    fn every_log_appends_at_every_depth() {
        let corpus = Corpus::new();
        for system in systems() {
            for (outstanding, payload) in [(1, 128), (16, 1024), (64, 4096), (1024, 4096)] {
                let done = appended(system, outstanding, payload, &corpus);
                assert!(done.latency.min() > 1_000, "{} is not durable", system.name);
            }
        }
    }
}
