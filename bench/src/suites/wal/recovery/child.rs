//! The process that opens one log, and what it says about it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::error::BenchError;
use crate::logs::{self, Corpus, DISK, Opened, place_of};
use crate::meter;

/// What `bench wal-open` does.
#[derive(Clone, Debug, Args)]
pub(crate) struct OpenArgs {
    /// Which log, by its name; or the disk, whose log is ours.
    #[arg(long)]
    system: String,
    /// Where the log is.
    #[arg(long)]
    dir: PathBuf,
    /// Bytes of an entry.
    #[arg(long)]
    payload: usize,
    /// Entries in it.
    #[arg(long)]
    entries: u64,
    /// Compare every entry with what was written, then read at random for so long.
    #[arg(long, default_value_t = 0.0)]
    read_seconds: f64,
}

/// What one opening was like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Look {
    /// How long it took.
    pub(crate) seconds: f64,
    /// Processor time that it took.
    pub(crate) cpu_seconds: f64,
    /// Bytes that came from the device for it, not from the page cache.
    pub(crate) device_bytes: u64,
    /// Bytes of memory that stayed in use.
    pub(crate) memory_bytes: u64,
    /// Entries read one after the other per second, in the order in which they were written, each
    /// compared with what was written; zero when none were.
    pub(crate) compared_per_second: f64,
    /// Random entries read per second; zero when none were.
    pub(crate) reads_per_second: f64,
}

/// Opens a log and prints the [`Look`].
pub(crate) fn open(args: &OpenArgs) -> Result<(), BenchError> {
    let look = if args.system == DISK { scan(&args.dir)? } else { look_at(args)? };
    let text =
        serde_json::to_string(&look).map_err(|error| BenchError::Usage(error.to_string()))?;
    println!("{text}");
    Ok(())
}

/// A reading of the counters before something is opened.
struct Before {
    memory: u64,
    device: u64,
    cpu: f64,
    at: Instant,
}

impl Before {
    fn look() -> Self {
        let (memory, device) = (memory(), device_bytes());
        Self { memory, device, cpu: meter::own_seconds(), at: Instant::now() }
    }

    fn after(&self) -> Look {
        Look {
            seconds: self.at.elapsed().as_secs_f64(),
            cpu_seconds: meter::own_seconds() - self.cpu,
            device_bytes: device_bytes() - self.device,
            memory_bytes: memory().saturating_sub(self.memory),
            ..Look::default()
        }
    }
}

fn scan(folder: &Path) -> Result<Look, BenchError> {
    let before = Before::look();
    logs::scan(folder)?;
    Ok(before.after())
}

fn look_at(args: &OpenArgs) -> Result<Look, BenchError> {
    let named = logs::systems().into_iter().find(|system| system.name == args.system);
    let reopen = named.and_then(|system| system.reopen);
    let reopen = reopen.ok_or_else(|| BenchError::Usage(format!("no log {}", args.system)))?;
    let corpus = (args.read_seconds > 0.0).then(Corpus::new);
    let before = Before::look();
    let mut log = (reopen.open)(&args.dir)?;
    let mut look = before.after();
    if let Some(corpus) = corpus {
        look.compared_per_second = compare(log.as_mut(), &corpus, args)?;
        look.reads_per_second = read(log.as_mut(), args)?;
    }
    Ok(look)
}

/// Compares every entry with what was written; entries per second.
fn compare(log: &mut dyn Opened, corpus: &Corpus, args: &OpenArgs) -> Result<f64, BenchError> {
    let started = Instant::now();
    for number in 0..args.entries {
        let (group, index) = place_of(number);
        let mut same = false;
        let expected = corpus.payload(number, args.payload);
        log.read(group, index, &mut |data| same = *data == *expected)?;
        if !same {
            let what = format!("entry {index} of group {group} is not what was written");
            return Err(BenchError::Log(what));
        }
    }
    Ok(args.entries as f64 / started.elapsed().as_secs_f64())
}

/// Reads entries at random; entries per second.
fn read(log: &mut dyn Opened, args: &OpenArgs) -> Result<f64, BenchError> {
    let (mut reads, mut word, mut bytes) = (0_u64, 0x9E37_79B9_7F4A_7C15_u64, 0);
    let (started, time) = (Instant::now(), Duration::from_secs_f64(args.read_seconds));
    while started.elapsed() < time {
        for _ in 0..64 {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            let (group, index) = place_of(word % args.entries);
            log.read(group, index, &mut |data| bytes += data.len() as u64)?;
            reads += 1;
        }
    }
    if bytes != reads * args.payload as u64 {
        return Err(BenchError::Log(format!("{reads} reads gave {bytes} bytes")));
    }
    Ok(reads as f64 / started.elapsed().as_secs_f64())
}

/// Bytes of memory in use that are no part of a file, after what is free was given back.
fn memory() -> u64 {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call looks only at memory that the allocator owns.
    let _ = unsafe { libc::malloc_trim(0) };
    field("/proc/self/status", "RssAnon:").map_or(0, |kib| kib * 1024)
}

fn device_bytes() -> u64 {
    field("/proc/self/io", "read_bytes:").unwrap_or(0)
}

/// The first number behind a name in a file of `/proc`.
fn field(path: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Scratch;

    #[test]
    fn logs_are_found_as_they_were_filled() {
        let corpus = Corpus::new();
        for system in logs::systems() {
            let Some(reopen) = system.reopen else {
                continue;
            };
            let folder = Scratch::new(Path::new("."), "reopen").unwrap();
            (reopen.fill)(folder.path(), &corpus, 3_000, 128).unwrap();
            let args = |payload| OpenArgs {
                system: system.name.to_owned(),
                dir: folder.path().to_owned(),
                payload,
                entries: 3_000,
                read_seconds: 0.01,
            };
            let look = look_at(&args(128)).unwrap();
            assert!(look.seconds > 0.0 && look.reads_per_second > 1.0, "{look:?}");
            assert!(look_at(&args(127)).is_err(), "{} shows anything", system.name);
        }
    }

    #[test]
    fn memory_in_use_is_seen() {
        let before = memory();
        let block = std::hint::black_box(vec![7_u8; 32 << 20]);
        assert!(memory() >= before + (16 << 20), "{}", block.len());
    }
}
