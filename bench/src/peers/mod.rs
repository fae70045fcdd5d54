//! The systems that are measured side by side, each started fresh for every round.

mod etcd;
mod flaredb;
mod redis;

use std::path::Path;

use serde::Serialize;

use crate::error::BenchError;
use crate::load::Target;
use crate::process::Server;

/// A system that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Peer {
    /// `flaredb dev`: three nodes in one process, every write durable on a majority.
    Flaredb,
    /// One redis-server, not replicated, `appendfsync always`.
    Redis,
    /// Three etcd processes.
    Etcd,
}

/// A system that runs and can take load. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Running {
    servers: Vec<Server>,
    /// Whom to load.
    pub(crate) target: Target,
}

/// How FlareDB is started.
#[derive(Clone, Debug, Default)]
pub(crate) struct FlaredbOptions {
    /// The binary; found beside `bench` or on PATH if not given.
    pub(crate) binary: Option<std::path::PathBuf>,
    /// More arguments of `flaredb dev`.
    pub(crate) arguments: Vec<String>,
}

impl Peer {
    /// Its name and what it is, for the table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Flaredb => "flaredb x3",
            Self::Redis => "redis x1 (not replicated)",
            Self::Etcd => "etcd x3 (native gRPC)",
        }
    }

    /// Starts it with its data in `folder`.
    pub(crate) fn start(
        self,
        folder: &Path,
        options: &FlaredbOptions,
    ) -> Result<Running, BenchError> {
        match self {
            Self::Flaredb => flaredb::start(folder, options),
            Self::Redis => redis::start(folder),
            Self::Etcd => etcd::start(folder),
        }
    }
}

impl Running {
    /// Processor seconds that all its processes have used so far.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.servers.iter().map(Server::cpu_seconds).sum()
    }
}
