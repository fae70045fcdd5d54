//! The settings of a node: a TOML file, then the environment, then flags, each over the one before.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use engine::{EngineConfig, NodeId, NodeSpec};
use serde::Deserialize;

use crate::kv::hash;
use crate::server::Settings;
use crate::slots::{SLOTS, placement};

/// Room for a key and an entry's header beside the largest value.
const ENTRY_ROOM_BYTES: usize = 1 << 20;
/// The longest value that can be allowed: an entry of the log has at most 4 MiB.
const VALUE_BYTES_MAX: usize = (4 << 20) - ENTRY_ROOM_BYTES;

/// Why there is no usable configuration: each variant one sentence. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read. Nothing was started.
    #[error("the configuration {path} cannot be read: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file is not what it should be. Nothing was started.
    #[error("the configuration {path} is wrong: {message}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        message: String,
    },
    /// A setting is missing. Nothing was started.
    #[error("the setting `{0}` is missing: give it in the file, in the environment or as a flag")]
    Missing(&'static str),
    /// An environment variable is not one of ours. Nothing was started.
    #[error("the environment variable {0} is no setting of FlareDB")]
    UnknownVariable(String),
    /// A value cannot be used. Nothing was started.
    #[error("the setting `{key}` cannot be `{value}`: {why}")]
    Value {
        /// The setting.
        key: &'static str,
        /// What was given.
        value: String,
        /// What it should be.
        why: &'static str,
    },
}

/// One node as the file lists it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct NodeEntry {
    /// Its number.
    pub id: u64,
    /// Where peers reach it.
    pub peer: SocketAddr,
    /// Where clients reach it.
    pub client: SocketAddr,
}

/// A number or a word.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum NumberOrWord {
    /// A number.
    Number(u64),
    /// A word.
    Word(String),
}

/// The settings of one origin: whatever is none comes from another.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Partial {
    /// This node's number.
    pub node: Option<u64>,
    /// The name of the cluster.
    pub cluster: Option<String>,
    /// All nodes.
    pub nodes: Option<Vec<NodeEntry>>,
    /// The data folder.
    pub data: Option<PathBuf>,
    /// Cores to use, or `auto`.
    pub cores: Option<NumberOrWord>,
    /// Groups of the whole cluster.
    pub groups: Option<usize>,
    /// Replicas of each group.
    pub replicas: Option<usize>,
    /// Whether each core's thread is pinned.
    pub pin: Option<bool>,
    /// Bytes of a log segment.
    pub segment_bytes: Option<u64>,
    /// Bytes of a group's log between two snapshots.
    pub snapshot_log_bytes: Option<u64>,
    /// Bytes of the longest value.
    pub value_bytes_max: Option<usize>,
    /// The clients' password.
    pub password: Option<String>,
    /// What is logged.
    pub log: Option<String>,
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody gave it.
    Default,
    /// The file.
    File,
    /// The environment.
    Environment,
    /// A flag.
    Flag,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Environment => "environment",
            Self::Flag => "flag",
        })
    }
}

/// The settings of a node, complete and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This node's number.
    pub node: u64,
    /// The name of the cluster.
    pub cluster: String,
    /// All nodes, in ascending order of their numbers.
    pub nodes: Vec<NodeEntry>,
    /// The data folder.
    pub data: PathBuf,
    /// Cores to use.
    pub cores: usize,
    /// Groups of the whole cluster.
    pub groups: usize,
    /// Replicas of each group.
    pub replicas: usize,
    /// Whether each core's thread is pinned.
    pub pin: bool,
    /// Bytes of a log segment.
    pub segment_bytes: u64,
    /// Bytes of a group's log between two snapshots.
    pub snapshot_log_bytes: u64,
    /// Bytes of the longest value.
    pub value_bytes_max: usize,
    /// The clients' password.
    pub password: Option<String>,
    /// What is logged.
    pub log: String,
    origins: BTreeMap<&'static str, Origin>,
}

impl Partial {
    /// The settings in a file.
    ///
    /// # Errors
    /// The file cannot be read, is no TOML, or has a key that is no setting.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::Read { path: path.to_owned(), error })?;
        toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.unwrap_or_default().matches('\n').count() + 1;
            let message = error.message().replace('\n', " ");
            ConfigError::Toml { path: path.to_owned(), message: format!("line {line}: {message}") }
        })
    }

    /// The settings among these environment variables: those that begin with `FLAREDB_`.
    ///
    /// # Errors
    /// A variable is no setting, or its value cannot be used.
    pub fn from_environment(
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut all = Self::default();
        for (name, value) in variables {
            let Some(key) = name.strip_prefix("FLAREDB_") else {
                continue;
            };
            match key {
                "NODE" => all.node = Some(number("node", &value)?),
                "CLUSTER" => all.cluster = Some(value),
                "NODES" => all.nodes = Some(nodes(&value)?),
                "DATA" => all.data = Some(value.into()),
                "CORES" => all.cores = Some(number_or_word(&value)),
                "GROUPS" => all.groups = Some(number("groups", &value)?),
                "REPLICAS" => all.replicas = Some(number("replicas", &value)?),
                "PIN" => all.pin = Some(number("pin", &value)?),
                "SEGMENT_BYTES" => all.segment_bytes = Some(number("segment_bytes", &value)?),
                "SNAPSHOT_LOG_BYTES" => {
                    all.snapshot_log_bytes = Some(number("snapshot_log_bytes", &value)?);
                }
                "VALUE_BYTES_MAX" => {
                    all.value_bytes_max = Some(number("value_bytes_max", &value)?);
                }
                "PASSWORD" => all.password = Some(value),
                "LOG" => all.log = Some(value),
                _ => return Err(ConfigError::UnknownVariable(name)),
            }
        }
        Ok(all)
    }
}

fn number<T: std::str::FromStr>(key: &'static str, value: &str) -> Result<T, ConfigError> {
    let bad = |_| bad(key, value, "it has another form, such as 4 or true");
    value.parse().map_err(bad)
}

fn bad(key: &'static str, value: impl ToString, why: &'static str) -> ConfigError {
    ConfigError::Value { key, value: value.to_string(), why }
}

/// A number if it is one, else a word.
#[must_use]
pub fn number_or_word(value: &str) -> NumberOrWord {
    value.parse().map_or_else(|_| NumberOrWord::Word(value.to_owned()), NumberOrWord::Number)
}

/// Nodes on one line: `1=peer/client,2=peer/client`.
///
/// # Errors
/// The line has another form.
pub fn nodes(line: &str) -> Result<Vec<NodeEntry>, ConfigError> {
    let one = |word: &str| {
        let (id, addrs) = word.split_once('=')?;
        let (peer, client) = addrs.split_once('/')?;
        Some(NodeEntry {
            id: id.trim().parse().ok()?,
            peer: peer.trim().parse().ok()?,
            client: client.trim().parse().ok()?,
        })
    };
    let all: Option<Vec<_>> = line.split(',').map(one).collect();
    all.ok_or_else(|| bad("nodes", line, "it has the form 1=peer:port/client:port,2=..."))
}

/// Takes each setting from the last origin that has it, and notes which that was.
struct Merge<'a> {
    layers: [(&'a Partial, Origin); 3],
    origins: BTreeMap<&'static str, Origin>,
}

impl Merge<'_> {
    fn take<T: Clone>(
        &mut self,
        key: &'static str,
        of: impl Fn(&Partial) -> Option<&T>,
    ) -> Option<T> {
        let given = self.layers.iter().rev().find_map(|(layer, o)| Some((of(layer)?, *o)));
        self.origins.insert(key, given.map_or(Origin::Default, |(_, origin)| origin));
        given.map(|(value, _)| value.clone())
    }
}

impl Config {
    /// The settings that these origins make together.
    ///
    /// # Errors
    /// A setting is missing or cannot be used.
    pub fn merge(
        file: &Partial,
        environment: &Partial,
        flags: &Partial,
    ) -> Result<Self, ConfigError> {
        let layers =
            [(file, Origin::File), (environment, Origin::Environment), (flags, Origin::Flag)];
        let mut merge = Merge { layers, origins: BTreeMap::new() };
        let missing = ConfigError::Missing;
        let node = merge.take("node", |p| p.node.as_ref()).ok_or(missing("node"))?;
        let cluster = merge.take("cluster", |p| p.cluster.as_ref()).ok_or(missing("cluster"))?;
        let mut nodes = merge.take("nodes", |p| p.nodes.as_ref()).ok_or(missing("nodes"))?;
        nodes.sort_by_key(|node| node.id);
        let data = merge.take("data", |p| p.data.as_ref()).ok_or(missing("data"))?;
        let auto = NumberOrWord::Word("auto".into());
        let cores = cores(&merge.take("cores", |p| p.cores.as_ref()).unwrap_or(auto))?;
        let groups = merge.take("groups", |p| p.groups.as_ref());
        let config = Self {
            node,
            cluster,
            data,
            cores,
            groups: groups.unwrap_or(2 * cores * nodes.len()),
            replicas: merge.take("replicas", |p| p.replicas.as_ref()).unwrap_or(3),
            pin: merge.take("pin", |p| p.pin.as_ref()).unwrap_or(true),
            segment_bytes: merge
                .take("segment_bytes", |p| p.segment_bytes.as_ref())
                .unwrap_or(64 << 20),
            snapshot_log_bytes: merge
                .take("snapshot_log_bytes", |p| p.snapshot_log_bytes.as_ref())
                .unwrap_or(64 << 20),
            value_bytes_max: merge
                .take("value_bytes_max", |p| p.value_bytes_max.as_ref())
                .unwrap_or(1 << 20),
            password: merge.take("password", |p| p.password.as_ref()),
            log: merge.take("log", |p| p.log.as_ref()).unwrap_or_else(|| "info".into()),
            nodes,
            origins: merge.origins,
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.nodes.iter().all(|node| node.id != self.node) {
            return Err(bad("node", self.node, "it must be the id of one of the nodes"));
        }
        if self.nodes.iter().any(|node| node.id == 0) {
            return Err(bad("nodes", 0, "ids of nodes start from 1"));
        }
        if let Some(twice) = self.nodes.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(bad("nodes", twice[0].id, "two nodes have this id"));
        }
        if self.groups == 0 || self.groups > usize::from(SLOTS) {
            return Err(bad("groups", self.groups, "it must be from 1 to 16384"));
        }
        if self.replicas == 0 {
            return Err(bad("replicas", self.replicas, "it must be at least 1"));
        }
        if self.segment_bytes == 0 || self.segment_bytes % 4096 != 0 {
            return Err(bad("segment_bytes", self.segment_bytes, "a multiple of 4096 is needed"));
        }
        if self.snapshot_log_bytes < 4096 {
            let why = "it must be at least 4096";
            return Err(bad("snapshot_log_bytes", self.snapshot_log_bytes, why));
        }
        if self.value_bytes_max < 1024 || self.value_bytes_max > VALUE_BYTES_MAX {
            return Err(bad("value_bytes_max", self.value_bytes_max, "1024 to 3145728 will do"));
        }
        if self.password.as_ref().is_some_and(String::is_empty) {
            return Err(bad("password", "", "leave it out to have none"));
        }
        Ok(())
    }

    /// The identity of the cluster, from its name.
    #[must_use]
    pub fn cluster_id(&self) -> u128 {
        let halves = [1, 2].map(|seed| u128::from(hash(seed, self.cluster.as_bytes())));
        halves[0] << 64 | halves[1]
    }

    /// What the engine is to be started with.
    #[must_use]
    pub fn engine(&self) -> EngineConfig {
        let ids: Vec<NodeId> = self.nodes.iter().map(|node| NodeId(node.id)).collect();
        let nodes = self.nodes.iter().map(|node| NodeSpec {
            id: NodeId(node.id),
            peer_addr: node.peer,
            client_addr: Some(node.client),
        });
        let mut config = EngineConfig::new(NodeId(self.node), nodes.collect(), &self.data);
        config.cluster_id = self.cluster_id();
        config.groups = placement(&ids, self.cores, self.groups, self.replicas);
        config.shards = self.cores;
        config.pin = self.pin;
        config.segment_bytes = self.segment_bytes;
        config.snapshot_log_bytes = self.snapshot_log_bytes;
        let entry_bytes_max = self.value_bytes_max.saturating_add(ENTRY_ROOM_BYTES);
        config.entry_bytes_max = config.entry_bytes_max.max(entry_bytes_max);
        config
    }

    /// How the front door is to be set up.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            password: self.password.clone(),
            value_bytes_max: self.value_bytes_max,
            groups: self.groups,
            replicas: self.replicas.min(self.nodes.len()),
            shards: self.cores,
        }
    }

    /// Every setting, its value and where it came from, a line each. The password is not shown.
    #[must_use]
    pub fn describe(&self) -> String {
        let one = |n: &NodeEntry| format!("{}={}/{}", n.id, n.peer, n.client);
        let nodes: Vec<String> = self.nodes.iter().map(one).collect();
        let password = if self.password.is_some() { "(set)" } else { "(none)" };
        let lines = [
            ("node", self.node.to_string()),
            ("cluster", self.cluster.clone()),
            ("nodes", nodes.join(",")),
            ("data", self.data.display().to_string()),
            ("cores", self.cores.to_string()),
            ("groups", self.groups.to_string()),
            ("replicas", self.replicas.to_string()),
            ("pin", self.pin.to_string()),
            ("segment_bytes", self.segment_bytes.to_string()),
            ("snapshot_log_bytes", self.snapshot_log_bytes.to_string()),
            ("value_bytes_max", self.value_bytes_max.to_string()),
            ("password", password.to_owned()),
            ("log", self.log.clone()),
        ];
        let line = |(key, value): &(&'static str, String)| {
            let origin = self.origins.get(key).copied().unwrap_or(Origin::Default);
            format!("{key:<16} {origin:<12} {value}\n")
        };
        lines.iter().map(line).collect()
    }
}

fn cores(given: &NumberOrWord) -> Result<usize, ConfigError> {
    let why = "it must be `auto` or a number from 1 to 1024";
    match given {
        NumberOrWord::Word(word) if word == "auto" => {
            Ok(std::thread::available_parallelism().map_or(1, usize::from).min(1024))
        }
        NumberOrWord::Number(n @ 1..=1024) => Ok(*n as usize),
        NumberOrWord::Number(n) => Err(bad("cores", n, why)),
        NumberOrWord::Word(word) => Err(bad("cores", word, why)),
    }
}

#[cfg(test)]
mod tests;
