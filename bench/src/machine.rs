//! Where and when a figure was measured, and what the processors were doing meanwhile.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

/// Clock ticks per second in `/proc`: fixed on Linux for everything user space sees.
const PROC_TICKS_PER_SECOND: f64 = 100.0;
/// A machine that keeps less than this of one processor busy is quiet.
const QUIET_CORES: f64 = 0.15;
const LOOK: Duration = Duration::from_secs(1);

/// The machine, the checkout and the hour.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// Processor model and how many.
    pub(crate) processors: String,
    /// Kernel release.
    pub(crate) kernel: String,
    /// Memory in MiB.
    pub(crate) memory_mib: u64,
    /// Commit of the checkout that the command ran in, with `+` if it had changes.
    pub(crate) commit: String,
    /// Date and time, UTC.
    pub(crate) date: String,
    /// The whole command line.
    pub(crate) command: String,
}

impl Machine {
    /// Looks at this machine now.
    pub(crate) fn look() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = field(&cpuinfo, "model name").unwrap_or("unknown processor");
        let count = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory = field(&meminfo, "MemTotal").and_then(|m| m.split(' ').next()?.parse().ok());
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let command: Vec<String> = std::env::args().collect();
        Self {
            processors: format!("{count} x {model}"),
            kernel: kernel.trim().to_owned(),
            memory_mib: memory.map_or(0, |kib: u64| kib / 1024),
            commit: commit(),
            date: said(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"])),
            command: shortened(&command),
        }
    }

    /// The machine in a few lines.
    pub(crate) fn print(&self) {
        println!("machine  {} / {} MiB", self.processors, self.memory_mib);
        println!("kernel   {}", self.kernel);
        println!("commit   {}   date {}", self.commit, self.date);
        println!("command  {}", self.command);
    }
}

/// The command line with the program's name instead of its path.
fn shortened(args: &[String]) -> String {
    let mut words = args.iter();
    let program = words.next().map(Path::new).and_then(Path::file_name);
    let mut line = program.map_or_else(String::new, |p| p.to_string_lossy().into_owned());
    for word in words {
        line.push(' ');
        line.push_str(word);
    }
    line
}

fn commit() -> String {
    let hash = said(Command::new("git").args(["rev-parse", "--short=12", "HEAD"]));
    let changes = said(Command::new("git").args(["status", "--porcelain", "-uno"]));
    let changed = if changes.is_empty() { "" } else { "+" };
    if hash.is_empty() { "unknown".to_owned() } else { format!("{hash}{changed}") }
}

fn said(command: &mut Command) -> String {
    let output = command.output().map(|o| o.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).trim().to_owned()
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

/// Seconds of processor time that a process has used so far, all its threads together.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    process_ticks(&stat).map_or(0.0, |ticks| ticks as f64 / PROC_TICKS_PER_SECOND)
}

/// User and system ticks of a `/proc/<pid>/stat` line; the name in it may hold blanks and brackets.
fn process_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Seconds of processor time that all processes and the kernel together have used so far.
pub(crate) fn busy_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    // User, nice and system; what interrupts cost belongs to nobody.
    let ticks = stat.split_whitespace().skip(1).take(3);
    let ticks: u64 = ticks.filter_map(|t| t.parse::<u64>().ok()).sum();
    ticks as f64 / PROC_TICKS_PER_SECOND
}

/// Waits until the whole machine has been about idle for a second; false if it takes longer.
pub(crate) fn wait_until_quiet(patience: Duration) -> bool {
    let until = Instant::now() + patience;
    loop {
        let before = busy_seconds();
        thread::sleep(LOOK);
        let cores = (busy_seconds() - before) / LOOK.as_secs_f64();
        if cores < QUIET_CORES {
            return true;
        }
        if Instant::now() > until {
            return false;
        }
    }
}

/// Seconds that the hypervisor has taken away from all processors together.
pub(crate) fn steal_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks = stat.split_whitespace().nth(8).and_then(|t| t.parse().ok());
    ticks.map_or(0.0, |t: u64| t as f64 / PROC_TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let line = "17 (a) b (c)) S 1 17 17 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 4 0 9 1 2";
        assert_eq!(process_ticks(line), Some(300));
        assert_eq!(process_ticks("17 (cut"), None);
    }

    #[test]
    fn a_busy_process_uses_processor_time() {
        let before = cpu_seconds(std::process::id());
        assert!(busy_seconds() >= before);
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while cpu_seconds(std::process::id()) <= before {
            assert!(std::time::Instant::now() < until, "no processor time seen");
        }
    }

    #[test]
    fn a_command_line_loses_its_folder() {
        let args = ["/a/b/bench".to_owned(), "limits".to_owned()];
        assert_eq!(shortened(&args), "bench limits");
    }
}
