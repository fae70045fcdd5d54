//! Opening a log that is there: how long it takes, what the index weighs, how fast it is read.
//!
//! Every opening is a process of its own, so that its memory is its own.

mod child;
mod table;

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

use super::WalArgs;
use super::progress::Progress;
use super::sample::Figures;
use crate::error::{BenchError, Tried};
use crate::logs::{Corpus, DISK, LogSystem, OURS};
use crate::process::Scratch;
use crate::report::median;
pub(super) use child::open;
pub(crate) use child::{Look, OpenArgs};

/// Seconds of random reads.
const READ_SECONDS: f64 = 1.0;

/// One opening.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Reopened {
    pub(super) system: &'static str,
    /// Bytes of an entry.
    pub(super) payload: usize,
    /// Entries in the log.
    pub(super) entries: u64,
    /// Which round, from 1.
    pub(super) round: usize,
    /// Whether the page cache held nothing of it.
    pub(super) cold: bool,
    #[serde(flatten)]
    pub(super) look: Look,
}

impl Reopened {
    /// Seconds per GiB of payload.
    pub(super) fn per_gib(&self) -> f64 {
        self.look.seconds * f64::from(1 << 30) / (self.entries * self.payload as u64) as f64
    }

    /// Bytes of memory that the open log takes for each entry.
    pub(super) fn index_bytes(&self) -> f64 {
        self.look.memory_bytes as f64 / self.entries as f64
    }
}

/// Fills the logs, one payload size after the other, and opens them in alternating rounds.
pub(super) fn measure(args: &WalArgs, corpus: &Corpus) -> Result<Vec<Reopened>, BenchError> {
    let rounds = args.long_rounds();
    let mib = args.recovery_bytes() >> 20;
    println!("\nrecovery of {mib} MiB of payload, {rounds} alternating rounds, one thread");
    table::print_head();
    let mut found = Vec::new();
    for &payload in &args.payload {
        let from = found.len();
        measure_one(args, corpus, payload, rounds, &mut found)?;
        table::print_payload(&found[from..]);
    }
    table::print_notes();
    Ok(found)
}

fn measure_one(
    args: &WalArgs,
    corpus: &Corpus,
    payload: usize,
    rounds: usize,
    found: &mut Vec<Reopened>,
) -> Result<(), BenchError> {
    let entries = (args.recovery_bytes() / payload as u64).max(1);
    let mut progress = Progress::default();
    let part = format!("wal: recovery, {payload} bytes");
    let mut filled: Vec<(LogSystem, Scratch)> = Vec::new();
    for system in args.systems() {
        if let Some(reopen) = system.reopen {
            progress.say(&part, &format!("filling {}", system.name));
            let scratch = Scratch::new(&args.dir, "reopen")?;
            (reopen.fill)(scratch.path(), corpus, entries, payload)?;
            filled.push((system, scratch));
        }
    }
    let mut turns: Vec<(&'static str, &Path)> = Vec::new();
    if let Some((_, ours)) = filled.iter().find(|(system, _)| system.name == OURS) {
        turns.push((DISK, ours.path()));
    }
    turns.extend(filled.iter().map(|(system, scratch)| (system.name, scratch.path())));
    for round in 0..rounds {
        for turn in 0..turns.len() {
            let (system, folder) = turns[(turn + round) % turns.len()];
            progress.say(&part, &format!("round {} of {rounds}, {system}", round + 1));
            for cold in [true, false] {
                if cold {
                    forget(folder)?;
                }
                // To read every entry takes long, and is about what was written, not about time.
                let look = child(system, folder, payload, entries, !cold && round == 0)?;
                let round = round + 1;
                found.push(Reopened { system, payload, entries, round, cold, look });
            }
        }
    }
    progress.clear();
    Ok(())
}

/// Makes the page cache forget a log that is on the disk.
fn forget(folder: &Path) -> Result<(), BenchError> {
    for entry in fs::read_dir(folder.join("log")).tried("listing the log")? {
        let path = entry.tried("listing the log")?.path();
        let file = File::open(&path).tried(format!("opening {}", path.display()))?;
        file.sync_all().tried(format!("flushing {}", path.display()))?;
        // SAFETY: the descriptor is open for the whole call; the advice touches no memory.
        let failed =
            unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        if failed != 0 {
            let error = std::io::Error::from_raw_os_error(failed);
            return Err(error).tried(format!("emptying the page cache of {}", path.display()));
        }
    }
    Ok(())
}

fn child(
    system: &str,
    folder: &Path,
    payload: usize,
    entries: u64,
    read: bool,
) -> Result<Look, BenchError> {
    let program = std::env::current_exe().tried("looking for the own program")?;
    let seconds = if read { READ_SECONDS } else { 0.0 };
    let output = Command::new(program)
        .args(["wal-open", "--system", system, "--dir"])
        .arg(folder)
        .args(["--payload", &payload.to_string(), "--entries", &entries.to_string()])
        .args(["--read-seconds", &seconds.to_string()])
        .output()
        .tried("starting the process that opens the log")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(BenchError::Log(format!("opening {system}: {}", said.trim())));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| BenchError::Log(format!("opening {system}: {error}")))
}

/// The figures of one log, of those rounds that have one.
pub(super) fn figures(
    found: &[Reopened],
    (system, payload, cold): (&str, usize, bool),
    of: fn(&Reopened) -> f64,
) -> Figures {
    let same = |r: &&Reopened| r.system == system && r.payload == payload && r.cold == cold;
    found.iter().filter(same).map(of).filter(|figure| *figure > 0.0).collect()
}

/// The median of one log; nothing if it was not measured.
pub(super) fn middle(
    found: &[Reopened],
    which: (&str, usize, bool),
    of: fn(&Reopened) -> f64,
) -> Option<f64> {
    let figures = figures(found, which, of);
    if figures.is_empty() { None } else { Some(median(figures)) }
}

/// The median of the ratios of two logs, each within one round.
pub(super) fn ratio(
    found: &[Reopened],
    (above, below): (&str, &str),
    (payload, cold): (usize, bool),
    of: fn(&Reopened) -> f64,
) -> Option<f64> {
    let above = figures(found, (above, payload, cold), of);
    let below = figures(found, (below, payload, cold), of);
    super::sample::ratio_of(&above, &below)
}
