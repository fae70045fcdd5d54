//! Ours: one thread, the log on a ring of its own.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use raft_core::{Entry, GroupId, Index};
use wal::record::{BATCH_HEADER_BYTES, BLOCK_BYTES, record_bytes};
use wal::uring::{Driver, DriverError};
use wal::{LogReader, Mark, SegmentId, Wal, WalConfig};

use super::reopen::FILL_BATCH;
use super::stage::{self, Stage};
use super::{Corpus, Done, Load, LogSystem, Opened, Reopen, unexpected};
use crate::error::{BenchError, Tried};

pub(crate) const SYSTEM: LogSystem =
    LogSystem { name: "FlareDB", append, reopen: Some(Reopen { fill, open }) };

/// Ours with the segments of a whole run made before the start, as a log would have them that
/// uses its old ones again: what making them costs is the difference.
pub(crate) const READY: LogSystem =
    LogSystem { name: "FlareDB*", append: append_ready, reopen: None };

/// More than it writes in a second, in small batches and in large ones, in bytes.
const RATE_MAX: (f64, f64) = (0.8e9, 4e9);

/// The longest sleep of a turn, if the log does not ask for less.
const WAIT: Duration = Duration::from_millis(100);

fn config(folder: &Path) -> WalConfig {
    WalConfig::new(folder.join("log"))
}

fn append(folder: &Path, load: &Load, corpus: &Corpus) -> Result<Done, BenchError> {
    let waits = std::sync::atomic::AtomicU64::new(0);
    let (latency, usage) = stage::run(folder, load, 1, |_, stage| {
        let opened = Driver::open(config(folder));
        stage.ready();
        let (mut log, _) = opened.map_err(unexpected)?;
        let latency = run(&mut log, load, corpus, stage)?;
        waits.store(log.wal().stats().spare_misses, std::sync::atomic::Ordering::Relaxed);
        log.close().map_err(unexpected)?;
        Ok(latency)
    })?;
    Ok(Done { latency, usage, segment_waits: Some(waits.into_inner()) })
}

fn append_ready(folder: &Path, load: &Load, corpus: &Corpus) -> Result<Done, BenchError> {
    let config = config(folder);
    let segments = load.bytes_at_most(RATE_MAX).div_ceil(config.segment_bytes);
    std::fs::create_dir_all(&config.dir).tried("making the folder of the log")?;
    let zeros = vec![0; 1 << 20];
    for segment in 1..=segments {
        let path = config.dir.join(SegmentId(segment).to_string());
        let mut file = File::create(&path).tried(format!("making {}", path.display()))?;
        for _ in 0..config.segment_bytes / zeros.len() as u64 {
            file.write_all(&zeros).tried(format!("filling {}", path.display()))?;
        }
        file.sync_all().tried(format!("filling {}", path.display()))?;
    }
    append(folder, load, corpus)
}

/// Batches under way while a log is filled.
const FILL_DEPTH: u64 = 32;

/// Appends that were made at one time and become durable with one mark.
struct Waiting {
    mark: Mark,
    at: Instant,
    appends: u64,
}

fn run(
    log: &mut Driver,
    load: &Load,
    corpus: &Corpus,
    stage: &Stage,
) -> Result<Histogram<u64>, BenchError> {
    let mut tally = stage.tally()?;
    let mut waiting: VecDeque<Waiting> = VecDeque::new();
    let (mut sent, mut under_way) = (0, 0);
    while stage.is_running() {
        let at = Instant::now();
        while under_way < load.outstanding {
            let (group, entry) = corpus.entry(sent, load.payload);
            let mark = log.wal_mut().append(group, None, &[entry]).map_err(unexpected)?;
            match waiting.back_mut().filter(|last| last.mark == mark && last.at == at) {
                Some(last) => last.appends += 1,
                None => waiting.push_back(Waiting { mark, at, appends: 1 }),
            }
            sent += 1;
            under_way += 1;
        }
        log.turn(WAIT).map_err(unexpected)?;
        let (durable, now) = (log.wal().durable(), Instant::now());
        let done = waiting.partition_point(|first| first.mark <= durable);
        for first in waiting.drain(..done) {
            tally.record(now - first.at, first.appends);
            under_way -= first.appends as usize;
        }
    }
    Ok(tally.into_latency())
}

fn fill(folder: &Path, corpus: &Corpus, entries: u64, payload: usize) -> Result<(), BenchError> {
    fill_log(folder, corpus, entries, payload).map_err(unexpected)
}

fn fill_log(
    folder: &Path,
    corpus: &Corpus,
    entries: u64,
    payload: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    let batch_bytes_max = BATCH_HEADER_BYTES + FILL_BATCH as usize * record_bytes(payload);
    let (batch_bytes_max, depth) = (batch_bytes_max.max(BLOCK_BYTES), FILL_DEPTH as usize);
    let settings = WalConfig { batch_bytes_max, depth, ..config(folder) };
    let (mut log, _) = Driver::open(settings)?;
    for number in 0..entries {
        let (group, entry) = corpus.entry(number, payload);
        let mark = log.wal_mut().append(group, None, &[entry])?;
        let full = (number + 1) % (FILL_BATCH * FILL_DEPTH) == 0;
        if full || number == entries - 1 {
            log.run_until(mark)?;
        }
    }
    log.close().map_err(DriverError::into)
}

struct OpenLog {
    reader: LogReader,
    entries: Vec<Entry>,
    _wal: Wal,
}

fn open(folder: &Path) -> Result<Box<dyn Opened>, BenchError> {
    let (wal, _) = Wal::open(config(folder)).map_err(unexpected)?;
    Ok(Box::new(OpenLog { reader: wal.reader(), entries: Vec::new(), _wal: wal }))
}

impl Opened for OpenLog {
    fn read(
        &mut self,
        group: u64,
        index: u64,
        look: &mut dyn FnMut(&[u8]),
    ) -> Result<(), BenchError> {
        self.entries.clear();
        let (from, to) = (Index(index), Index(index + 1));
        self.reader
            .entries(GroupId(group), from, to, usize::MAX, &mut self.entries)
            .map_err(unexpected)?;
        self.entries.iter().for_each(|entry| look(&entry.data));
        Ok(())
    }
}
