//! Servers under measurement: on loopback, in a folder of their own, ended by their own handle.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{BenchError, Tried};
use crate::machine;

/// A server process; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Server {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a program with its output going to `<folder>/<name>.log`.
    pub(crate) fn start(
        name: &'static str,
        command: &mut Command,
        log: PathBuf,
    ) -> Result<Self, BenchError> {
        let file = File::create(&log).tried(format!("making {}", log.display()))?;
        let errors = file.try_clone().tried("sharing the log file")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .tried(format!("starting {name}"))?;
        Ok(Self { name, child, log })
    }

    /// Seconds of processor time used so far.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        machine::cpu_seconds(self.child.id())
    }

    /// Waits until `ready` says so; an error if the server ends or takes longer than 30 s.
    pub(crate) fn wait_until(&mut self, mut ready: impl FnMut() -> bool) -> Result<(), BenchError> {
        let until = Instant::now() + Duration::from_secs(30);
        while !ready() {
            let ended = self.child.try_wait().tried("looking after a server")?;
            if let Some(status) = ended {
                return Err(self.failed(format!("ended with {status}")));
            }
            if Instant::now() > until {
                return Err(self.failed("was not ready within 30 s".to_owned()));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn failed(&self, what: String) -> BenchError {
        BenchError::Server { server: self.name, what, log: self.log.clone() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its data is thrown away: nothing is lost by a hard end, and nothing stays behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A fresh folder that is removed with everything in it.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes a folder of a new name below `parent`.
    pub(crate) fn new(parent: &Path, name: &str) -> Result<Self, BenchError> {
        let stamp = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |d| d.as_nanos());
        let path = parent.join(format!("bench-{name}-{}-{stamp}", std::process::id()));
        fs::create_dir_all(&path).tried(format!("making {}", path.display()))?;
        Ok(Self(path))
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A folder that cannot be removed is no reason to lose the figures.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Where a program is on PATH.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// Loopback ports that are free now, all different.
pub(crate) fn free_ports(count: usize) -> Result<Vec<u16>, BenchError> {
    let held: Result<Vec<TcpListener>, _> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect();
    let held = held.tried("asking for free ports")?;
    let ports: Result<Vec<u16>, _> =
        held.iter().map(|l| l.local_addr().map(|a| a.port())).collect();
    ports.tried("asking for free ports")
}

/// Whether somebody listens.
pub(crate) fn answers(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_ends_is_noticed() {
        let folder = Scratch::new(&std::env::temp_dir(), "process").unwrap();
        let log = folder.path().join("x.log");
        let mut command = Command::new("false");
        let mut server = Server::start("false", &mut command, log).unwrap();
        let error = server.wait_until(|| false).unwrap_err().to_string();
        assert!(error.contains("ended with"), "{error}");
    }

    #[test]
    fn scratch_leaves_nothing_behind() {
        let folder = Scratch::new(&std::env::temp_dir(), "scratch").unwrap();
        let path = folder.path().to_owned();
        fs::write(path.join("x"), "y").unwrap();
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn free_ports_differ() {
        let mut ports = free_ports(8).unwrap();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 8);
    }
}
