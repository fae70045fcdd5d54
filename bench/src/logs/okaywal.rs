//! okaywal, a log of plain chunks of bytes: no groups, no index.
//!
//! Its best settings for this work: segments of the length of ours, which it recycles at once
//! because nobody keeps what is in them, and a buffer that holds a batch.

use std::path::Path;
use std::time::Instant;

use hdrhistogram::Histogram;
use okaywal::{Configuration, Entry, EntryId, LogManager, SegmentReader, WriteAheadLog};

use super::stage::{self, Stage};
use super::{Corpus, Done, Load, LogSystem, OKAYWAL, unexpected};
use crate::error::BenchError;

pub(crate) const SYSTEM: LogSystem = LogSystem { name: OKAYWAL, append, reopen: None };

const SEGMENT_BYTES: u32 = 64 << 20;
/// A segment is left when this is reached; the largest batch still fits behind it.
const SEGMENT_FULL: u64 = 58 << 20;
const BUFFER_BYTES: usize = 256 << 10;

/// Lets go of every segment as soon as it is full.
#[derive(Debug)]
struct LetGo;

impl LogManager for LetGo {
    fn recover(&mut self, _: &mut Entry<'_>) -> std::io::Result<()> {
        Ok(())
    }

    fn checkpoint_to(
        &mut self,
        _: EntryId,
        _: &mut SegmentReader,
        _: &WriteAheadLog,
    ) -> std::io::Result<()> {
        Ok(())
    }
}

fn append(folder: &Path, load: &Load, corpus: &Corpus) -> Result<Done, BenchError> {
    let (threads, batch) = load.threads();
    let log = Configuration::default_for(folder.join("log"))
        .preallocate_bytes(SEGMENT_BYTES)
        .checkpoint_after_bytes(SEGMENT_FULL)
        .buffer_bytes(BUFFER_BYTES)
        .open(LetGo)
        .map_err(unexpected)?;
    let (latency, usage) = stage::run(folder, load, threads, |thread, stage| {
        stage.ready();
        run(&log, thread as u64, batch, load, corpus, stage)
    })?;
    log.shutdown().map_err(unexpected)?;
    Ok(Done { latency, usage, segment_waits: None })
}

fn run(
    log: &WriteAheadLog,
    thread: u64,
    batch: usize,
    load: &Load,
    corpus: &Corpus,
    stage: &Stage,
) -> Result<Histogram<u64>, BenchError> {
    let mut tally = stage.tally()?;
    let mut sent = thread;
    while stage.is_running() {
        let at = Instant::now();
        let mut entry = log.begin_entry().map_err(unexpected)?;
        for _ in 0..batch {
            entry.write_chunk(&corpus.payload(sent, load.payload)).map_err(unexpected)?;
            sent += 1;
        }
        entry.commit().map_err(unexpected)?;
        tally.record(at.elapsed(), batch as u64);
    }
    Ok(tally.into_latency())
}
