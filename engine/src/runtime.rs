//! The one place that knows glommio: processors, placement and pinned executors.
//!
//! A shard is one root future that never awaits: its turn loop blocks in the shard's own ring and
//! never in glommio's parker, so a wake-up cannot be lost between two schedulers and a turn costs
//! one system call. To host the shards on anything else, edit this file alone.

use glommio::{CpuSet, ExecutorJoinHandle, LocalExecutorBuilder, Placement};

use crate::error::StartError;

/// The registered memory glommio needs per executor, in KiB: below it the executor does not start.
pub(crate) const MEMLOCK_KIB: u64 = 512;

/// A running shard thread.
pub(crate) struct ShardThread(ExecutorJoinHandle<()>);

impl ShardThread {
    /// Waits until the shard has ended.
    pub(crate) fn join(self) -> Result<(), StartError> {
        self.0.join().map_err(|e| StartError::Thread(e.to_string()))
    }
}

/// The processors this process may use, one per physical core first.
pub(crate) fn processors() -> Vec<usize> {
    let Ok(online) = CpuSet::online() else {
        return Vec::new();
    };
    let mut all: Vec<_> = online.iter().map(|l| (l.cpu, l.core, l.numa_node)).collect();
    all.sort_unstable();
    let mut cores = std::collections::BTreeSet::new();
    let (mut first, mut siblings) = (Vec::new(), Vec::new());
    for (cpu, core, node) in all {
        if cores.insert((node, core)) { first.push(cpu) } else { siblings.push(cpu) }
    }
    first.append(&mut siblings);
    first
}

/// Runs `body` on a thread of its own, pinned to a processor if one is given.
pub(crate) fn spawn(
    name: &str,
    processor: Option<usize>,
    body: impl FnOnce() + Send + 'static,
) -> Result<ShardThread, StartError> {
    let placement = processor.map_or(Placement::Unbound, Placement::Fixed);
    LocalExecutorBuilder::new(placement)
        .name(name)
        .io_memory(64 << 10)
        .ring_depth(8)
        .spawn(move || async move { body() })
        .map(ShardThread)
        .map_err(|e| StartError::Thread(e.to_string()))
}
