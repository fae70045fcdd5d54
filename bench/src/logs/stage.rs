//! Workers that do the same from a common start to a common end, and what is measured between.

use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::Load;
use crate::error::BenchError;
use crate::load::histogram;
use crate::meter::{Meter, Usage};

const WARM_UP: u8 = 0;
const MEASURED: u8 = 1;
const OVER: u8 = 2;

/// What the workers of one run share.
pub(crate) struct Stage {
    start: Barrier,
    phase: AtomicU8,
}

impl Stage {
    /// To be called once by every worker, whether it can work or not; returns when all have.
    pub(crate) fn ready(&self) {
        self.start.wait();
    }

    /// Whether to go on.
    pub(crate) fn is_running(&self) -> bool {
        self.phase.load(Ordering::Relaxed) != OVER
    }

    /// An empty list of latencies.
    pub(crate) fn tally(&self) -> Result<Tally<'_>, BenchError> {
        Ok(Tally { stage: self, latency: histogram()? })
    }
}

/// The latencies that one worker saw.
pub(crate) struct Tally<'a> {
    stage: &'a Stage,
    latency: Histogram<u64>,
}

impl Tally<'_> {
    /// So many appends have become durable after this time. Counts while measured.
    pub(crate) fn record(&mut self, took: Duration, appends: u64) {
        if self.stage.phase.load(Ordering::Relaxed) == MEASURED {
            let nanos = took.as_nanos().clamp(1, u128::from(self.latency.high()));
            // In bounds, so it cannot fail.
            let _ = self.latency.record_n(nanos as u64, appends);
        }
    }

    /// What was seen.
    pub(crate) fn into_latency(self) -> Histogram<u64> {
        self.latency
    }
}

/// Runs so many workers, warms up, measures, stops them.
pub(crate) fn run(
    folder: &Path,
    load: &Load,
    workers: usize,
    work: impl Fn(usize, &Stage) -> Result<Histogram<u64>, BenchError> + Sync,
) -> Result<(Histogram<u64>, Usage), BenchError> {
    let stage = Stage { start: Barrier::new(workers + 1), phase: AtomicU8::new(WARM_UP) };
    let (stage, work) = (&stage, &work);
    thread::scope(|scope| {
        let threads: Vec<_> =
            (0..workers).map(|worker| scope.spawn(move || work(worker, stage))).collect();
        stage.ready();
        thread::sleep(load.warm_up);
        let meter = Meter::start(folder);
        stage.phase.store(MEASURED, Ordering::Relaxed);
        thread::sleep(load.measured);
        stage.phase.store(OVER, Ordering::Relaxed);
        let usage = meter.stop();
        let mut all = histogram()?;
        for thread in threads {
            let part =
                thread.join().map_err(|_| BenchError::Log("a writer panicked".to_owned()))??;
            all.add(&part).map_err(|error| BenchError::Log(error.to_string()))?;
        }
        if all.is_empty() {
            return Err(BenchError::Stalled {
                seconds: load.measured.as_secs(),
                waiting: load.outstanding,
            });
        }
        Ok((all, usage))
    })
}
