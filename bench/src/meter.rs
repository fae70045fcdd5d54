//! What a stretch of time cost this process, the rest of the machine and the disk.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use crate::machine;

/// What was spent between two looks.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Usage {
    /// How long it was.
    pub(crate) seconds: f64,
    /// Processors that this process kept busy on average.
    pub(crate) own_cores: f64,
    /// Processors that everything else kept busy, the kernel's own threads among it.
    pub(crate) other_cores: f64,
    /// Processors that the hypervisor took away.
    pub(crate) stolen_cores: f64,
    /// Writes that the disk completed, whoever asked for them.
    pub(crate) disk_writes: u64,
    /// Flushes of its cache that the disk completed, whoever asked for them.
    pub(crate) disk_flushes: u64,
}

/// A look at all counters.
#[derive(Debug)]
pub(crate) struct Meter {
    disk: Option<PathBuf>,
    at: Instant,
    own: f64,
    busy: f64,
    stolen: f64,
    writes: (u64, u64),
}

impl Meter {
    /// Looks now; the disk is the one that `folder` is on.
    pub(crate) fn start(folder: &Path) -> Self {
        let disk = disk_of(folder);
        let (busy, stolen) = (machine::busy_seconds(), machine::steal_seconds());
        let writes = disk_counts(disk.as_deref());
        Self { disk, busy, stolen, writes, own: own_seconds(), at: Instant::now() }
    }

    /// What was spent since the start.
    pub(crate) fn stop(&self) -> Usage {
        let seconds = self.at.elapsed().as_secs_f64();
        let own = own_seconds() - self.own;
        let writes = disk_counts(self.disk.as_deref());
        let busy = machine::busy_seconds() - self.busy;
        Usage {
            seconds,
            own_cores: own / seconds,
            other_cores: (busy - own).max(0.0) / seconds,
            stolen_cores: (machine::steal_seconds() - self.stolen) / seconds,
            disk_writes: writes.0.saturating_sub(self.writes.0),
            disk_flushes: writes.1.saturating_sub(self.writes.1),
        }
    }
}

/// Processor seconds of this process, all threads together, to the nanosecond.
pub(crate) fn own_seconds() -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes the time to where it is told and nothing else.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut now) };
    if failed == 0 { now.tv_sec as f64 + now.tv_nsec as f64 / 1e9 } else { 0.0 }
}

/// The statistics of the disk below a folder; a partition has its own.
fn disk_of(folder: &Path) -> Option<PathBuf> {
    let device = fs::metadata(folder).ok()?.dev();
    let (major, minor) = (libc::major(device), libc::minor(device));
    let path = PathBuf::from(format!("/sys/dev/block/{major}:{minor}/stat"));
    path.exists().then_some(path)
}

/// Completed writes and flushes; zero where the system does not count them.
fn disk_counts(stat: Option<&Path>) -> (u64, u64) {
    let text = stat.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    let field = |at: usize| text.split_whitespace().nth(at).and_then(|f| f.parse().ok());
    (field(4).unwrap_or(0), field(15).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_and_writes_are_seen() {
        let folder = crate::process::Scratch::new(Path::new("."), "meter").unwrap();
        let meter = Meter::start(folder.path());
        let file = fs::File::create(folder.path().join("x")).unwrap();
        file.set_len(4096).unwrap();
        while own_seconds() - meter.own < 0.01 {}
        file.sync_all().unwrap();
        let usage = meter.stop();
        assert!(usage.own_cores > 0.0 && usage.seconds > 0.0, "{usage:?}");
    }
}
