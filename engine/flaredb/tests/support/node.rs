//! One flaredb process.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::resp::{Connection, Reply};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_flaredb");

/// A process of ours; killed when dropped.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a command with its output going to a file.
    pub(crate) fn spawn(mut command: Command, log: &Path) -> Self {
        let file = File::create(log).unwrap();
        // SAFETY: between fork and exec only this one system call is made. It has the child killed
        // when the test's thread ends, so that nothing stays behind even if the test is aborted.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, log: log.to_owned() }
    }

    /// The id of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "it had ended before: {status}");
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end; panics with its output if that takes too long.
    pub(crate) fn wait(&mut self, patience: Duration) -> ExitStatus {
        let until = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "still running: {}", self.output());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it has printed so far.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended, or been killed, already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- {}\n{}", self.log.display(), self.output());
        }
    }
}

/// Asks a node one question over a connection of its own.
pub(crate) fn ask(address: SocketAddr, words: &[&str]) -> std::io::Result<Reply> {
    Connection::open(address, Duration::from_secs(5))?.call(words)
}

/// The fields of all INFO sections of a node.
pub(crate) fn info(address: SocketAddr) -> std::io::Result<Vec<(String, String)>> {
    let reply = ask(address, &["INFO"])?;
    let fields = reply.text().lines().filter_map(|line| line.split_once(':'));
    Ok(fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
}

/// One number of INFO; panics if the node does not answer or has no such field.
pub(crate) fn info_number(address: SocketAddr, name: &str) -> u64 {
    let fields = info(address).unwrap_or_else(|error| panic!("{address}, asked for INFO: {error}"));
    let field = fields.iter().find(|(field, _)| field == name);
    let (_, value) = field.unwrap_or_else(|| panic!("INFO has no {name}"));
    value.parse().unwrap_or_else(|_| panic!("{name} is {value}"))
}

/// Waits until something holds; panics saying what did not.
pub(crate) fn wait_for(
    what: &str,
    patience: Duration,
    mut holds: impl FnMut() -> bool,
) -> Duration {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < patience, "not within {patience:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
    started.elapsed()
}

/// Processor seconds that a process has used so far, all its threads together.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(11).take(2);
    ticks.map(|t| t.parse::<u64>().unwrap()).sum::<u64>() as f64 / 100.0
}
