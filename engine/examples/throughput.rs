//! How many durable writes one node takes, asked on its own shards: no client, no network.
//!
//! `cargo run --release -p engine --example throughput -- [shards] [outstanding] [seconds]`

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use engine::{ApplyBatch, Engine, EngineConfig, GroupId, ShardHandle, StateMachine};

/// Counts its commands.
#[derive(Default)]
struct Counter(u64);

impl StateMachine for Counter {
    fn apply(&mut self, batch: &mut ApplyBatch<'_>) {
        while let Some((_, _, reply)) = batch.next_entry() {
            self.0 += 1;
            reply.extend_from_slice(&self.0.to_be_bytes());
        }
    }
    fn read(&mut self, _query: &[u8], reply: &mut Vec<u8>) {
        reply.extend_from_slice(&self.0.to_be_bytes());
    }
    fn digest(&self) -> u64 {
        self.0
    }
}

/// Writes one command after the other: the next one when the last is answered.
fn keep_writing(handle: ShardHandle, group: GroupId, done: Arc<AtomicU64>, stop: Arc<AtomicBool>) {
    let next = handle.clone();
    handle.write(group, &[7u8; 128][..], move |outcome| {
        if outcome.is_ok() {
            done.fetch_add(1, Ordering::Relaxed);
        }
        if !stop.load(Ordering::Relaxed) {
            keep_writing(next, group, done, stop);
        }
    });
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1).map(|a| a.parse::<u64>());
    let shards = numbers.next().transpose()?.unwrap_or(1) as usize;
    let outstanding = numbers.next().transpose()?.unwrap_or(1024);
    let seconds = numbers.next().transpose()?.unwrap_or(5);
    let folder = tempfile::tempdir_in(".")?;
    let config = EngineConfig { shards, ..EngineConfig::single(folder.path(), 2 * shards as u64) };
    let engine = Engine::builder(config).state_machine(|_| Box::<Counter>::default()).start()?;
    let (done, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    for shard in 0..shards {
        let (done, stop) = (Arc::clone(&done), Arc::clone(&stop));
        engine.run_on(shard, move |handle| {
            let groups = handle.view().groups().iter().map(|g| g.id);
            let here: Vec<GroupId> =
                groups.filter(|g| handle.view().shard_of(*g) == handle.shard()).collect();
            for n in 0..outstanding {
                let group = here[n as usize % here.len()];
                keep_writing(handle.clone(), group, Arc::clone(&done), Arc::clone(&stop));
            }
        });
    }
    let (start, before) = (Instant::now(), done.load(Ordering::Relaxed));
    std::thread::sleep(Duration::from_secs(seconds));
    let rate = (done.load(Ordering::Relaxed) - before) as f64 / start.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    let writes: u64 = engine.view().shards().iter().map(|s| s.wal_writes.read()).sum();
    println!(
        "{shards} shards, {outstanding} outstanding each, 128 B: {rate:.0} durable writes/s \
         in {:.0} log writes/s",
        writes as f64 / start.elapsed().as_secs_f64()
    );
    engine.shutdown();
    Ok(())
}
