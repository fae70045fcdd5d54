//! raft-engine, the log of TiKV.
//!
//! Its best settings for this work: files filled with zeros and flushed before the start, as
//! recycled ones are in a store that has run for a while (a write then changes no metadata of the
//! file system); no compression, for nothing here compresses; entries that share their bytes.

use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

use hdrhistogram::Histogram;
use raft::eraftpb::Entry;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};

use super::reopen::FILL_BATCH;
use super::stage::{self, Stage};
use super::unexpected;
use super::{Corpus, Done, GROUPS, Load, LogSystem, Opened, RAFT_ENGINE, Reopen, place_of};
use crate::error::{BenchError, Tried};

pub(crate) const SYSTEM: LogSystem =
    LogSystem { name: RAFT_ENGINE, append, reopen: Some(Reopen { fill, open }) };

const FILE_BYTES: u64 = 128 << 20;
/// More than it writes in a second, in small batches and in large ones, in bytes.
const RATE_MAX: (f64, f64) = (0.4e9, 1.5e9);
/// How many files are made ready before the start at most.
const FILES_READY_MAX: u64 = 24;

struct Entries;

impl MessageExt for Entries {
    type Entry = Entry;

    fn index(entry: &Entry) -> u64 {
        entry.index
    }
}

fn config(folder: &Path, files_ready: u64) -> Config {
    let mut config = Config {
        dir: folder.join("log").to_string_lossy().into_owned(),
        recovery_threads: 1,
        batch_compression_threshold: ReadableSize(0),
        target_file_size: ReadableSize(FILE_BYTES),
        ..Config::default()
    };
    if files_ready > 0 {
        // It makes half as many again ready as this says.
        let bytes = ReadableSize(FILE_BYTES * files_ready.div_ceil(3) * 2);
        config.prefill_for_recycle = true;
        config.prefill_limit = Some(bytes);
        config.purge_threshold = bytes;
    }
    config
}

fn append(folder: &Path, load: &Load, corpus: &Corpus) -> Result<Done, BenchError> {
    let (threads, batch) = load.threads();
    let engine = Engine::open(config(folder, files_ready(load))).map_err(unexpected)?;
    flush(folder)?;
    let (latency, usage) = stage::run(folder, load, threads, |thread, stage| {
        stage.ready();
        run(&engine, (thread as u64, threads as u64), batch, load, corpus, stage)
    })?;
    Ok(Done { latency, usage, segment_waits: None })
}

/// Files that it will not come to the end of.
fn files_ready(load: &Load) -> u64 {
    load.bytes_at_most(RATE_MAX).div_ceil(FILE_BYTES).min(FILES_READY_MAX)
}

/// Appends of one thread, to groups of its own.
fn run(
    engine: &Engine,
    (thread, threads): (u64, u64),
    batch: usize,
    load: &Load,
    corpus: &Corpus,
    stage: &Stage,
) -> Result<Histogram<u64>, BenchError> {
    let mut tally = stage.tally()?;
    let own_groups = GROUPS / threads;
    let mut sent = 0;
    let mut appends = LogBatch::with_capacity(batch);
    while stage.is_running() {
        let at = Instant::now();
        for _ in 0..batch {
            let group = 1 + thread * own_groups + sent % own_groups;
            let payload = corpus.payload(sent, load.payload);
            add(&mut appends, group, 1 + sent / own_groups, payload)?;
            sent += 1;
        }
        engine.write(&mut appends, true).map_err(unexpected)?;
        tally.record(at.elapsed(), batch as u64);
    }
    Ok(tally.into_latency())
}

fn add(
    batch: &mut LogBatch,
    group: u64,
    index: u64,
    payload: raft_core::Bytes,
) -> Result<(), BenchError> {
    let entry = Entry { index, term: 1, data: payload, ..Entry::default() };
    batch.add_entries::<Entries>(group, &[entry]).map_err(unexpected)
}

fn fill(folder: &Path, corpus: &Corpus, entries: u64, payload: usize) -> Result<(), BenchError> {
    let engine = Engine::open(config(folder, 0)).map_err(unexpected)?;
    let mut batch = LogBatch::with_capacity(FILL_BATCH as usize);
    for number in 0..entries {
        let (group, index) = place_of(number);
        add(&mut batch, group, index, corpus.payload(number, payload))?;
        if number % FILL_BATCH == FILL_BATCH - 1 || number == entries - 1 {
            engine.write(&mut batch, false).map_err(unexpected)?;
        }
    }
    drop(engine);
    flush(folder)
}

/// Its own `sync` does nothing without a batch.
fn flush(folder: &Path) -> Result<(), BenchError> {
    for file in fs::read_dir(folder.join("log")).tried("listing the log")? {
        let path = file.tried("listing the log")?.path();
        let flushed = File::open(&path).and_then(|file| file.sync_all());
        flushed.tried(format!("flushing {}", path.display()))?;
    }
    Ok(())
}

struct OpenLog(Engine);

fn open(folder: &Path) -> Result<Box<dyn Opened>, BenchError> {
    Ok(Box::new(OpenLog(Engine::open(config(folder, 0)).map_err(unexpected)?)))
}

impl Opened for OpenLog {
    fn read(
        &mut self,
        group: u64,
        index: u64,
        look: &mut dyn FnMut(&[u8]),
    ) -> Result<(), BenchError> {
        let found = self.0.get_entry::<Entries>(group, index).map_err(unexpected)?;
        found.iter().for_each(|entry| look(&entry.data));
        Ok(())
    }
}
