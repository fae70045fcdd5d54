//! Whose a data folder is: written at the first start, checked at every other.
//!
//! A folder of another node or cluster must never be taken for one's own: its votes and entries
//! would be those of a stranger.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::EngineConfig;
use crate::error::StartError;

const FILE: &str = "NODE";

/// The identity of a data folder and of this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The identity of the store, drawn at the first start.
    pub(crate) store: u128,
    /// The number of this run: higher than that of every earlier one.
    pub(crate) incarnation: u64,
}

/// What the file says, one `name value` per line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Record {
    cluster: u128,
    node: u64,
    shards: usize,
    store: u128,
    incarnation: u64,
}

impl Record {
    fn parse(text: &str) -> Option<Self> {
        let mut record = Self::default();
        let mut seen = 0;
        for line in text.lines() {
            let (name, value) = line.split_once(' ')?;
            match name {
                "cluster" => record.cluster = u128::from_str_radix(value, 16).ok()?,
                "node" => record.node = value.parse().ok()?,
                "shards" => record.shards = value.parse().ok()?,
                "store" => record.store = u128::from_str_radix(value, 16).ok()?,
                "incarnation" => record.incarnation = value.parse().ok()?,
                _ => return None,
            }
            seen += 1;
        }
        (seen == 5).then_some(record)
    }

    fn format(&self) -> String {
        let Self { cluster, node, shards, store, incarnation } = self;
        format!(
            "cluster {cluster:032x}\nnode {node}\nshards {shards}\nstore {store:032x}\n\
             incarnation {incarnation}\n"
        )
    }

    fn whose(&self) -> String {
        format!("node {} with {} shards of cluster {:032x}", self.node, self.shards, self.cluster)
    }
}

/// Opens the data folder, making it if it is not there, and notes this run in it.
pub(crate) fn open(config: &EngineConfig) -> Result<Identity, StartError> {
    let failed = |error| StartError::Folder { path: config.data.clone(), error };
    fs::create_dir_all(&config.data).map_err(failed)?;
    let path = config.data.join(FILE);
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let clock = u64::try_from(clock.as_nanos()).unwrap_or(u64::MAX / 2);
    let mut record = Record {
        cluster: config.cluster_id,
        node: config.node.0,
        shards: config.shards,
        store: random_id().map_err(failed)?,
        incarnation: clock,
    };
    match fs::read_to_string(&path) {
        Ok(text) => {
            let found = Record::parse(&text);
            let same = |f: &Record| {
                (f.cluster, f.node, f.shards) == (record.cluster, record.node, record.shards)
            };
            let Some(before) = found.as_ref().filter(|f| same(f)) else {
                let found =
                    found.map_or_else(|| format!("nobody ({FILE} is damaged)"), |f| f.whose());
                let path = config.data.clone();
                return Err(StartError::Foreign { path, found, expected: record.whose() });
            };
            record.store = before.store;
            record.incarnation = clock.max(before.incarnation + 1);
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(failed(e)),
    }
    write_whole(&config.data, &record.format()).map_err(failed)?;
    Ok(Identity { store: record.store, incarnation: record.incarnation })
}

/// Replaces the file so that a crash leaves either the old one or the new one.
fn write_whole(folder: &Path, text: &str) -> io::Result<()> {
    let aside = folder.join("NODE.new");
    let mut file = File::create(&aside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&aside, folder.join(FILE))?;
    File::open(folder)?.sync_all()
}

fn random_id() -> io::Result<u128> {
    let mut bytes = [0u8; 16];
    io::Read::read_exact(&mut File::open("/dev/urandom")?, &mut bytes)?;
    Ok(u128::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EngineConfig;

    #[test]
    fn a_record_survives_its_text() {
        let record = Record { cluster: 7, node: 3, shards: 2, store: 1 << 90, incarnation: 99 };
        assert_eq!(Record::parse(&record.format()), Some(record));
        assert_eq!(Record::parse("node 1\n"), None);
        assert_eq!(Record::parse("garbage"), None);
    }

    #[test]
    fn a_folder_remembers_its_node() {
        let folder = tempfile::tempdir().unwrap();
        let config = EngineConfig::single(folder.path(), 1);
        let first = open(&config).unwrap();
        let second = open(&config).unwrap();
        assert_eq!(first.store, second.store);
        assert!(second.incarnation > first.incarnation);
        let other = EngineConfig { cluster_id: 5, ..config.clone() };
        assert!(matches!(open(&other), Err(StartError::Foreign { .. })));
        let other = EngineConfig { shards: 2, ..config.clone() };
        let error = open(&other).unwrap_err().to_string();
        assert!(error.contains("2 shards"), "{error}");
        fs::write(folder.path().join(FILE), "scribble").unwrap();
        assert!(open(&config).unwrap_err().to_string().contains("damaged"));
    }
}
