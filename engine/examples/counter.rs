//! A durable, linearizable counter: one node, four groups, from any thread.

use engine::{ApplyBatch, Engine, EngineConfig, GroupId, StateMachine};

/// Adds up the numbers it is sent.
#[derive(Default)]
struct Counter(u64);

impl StateMachine for Counter {
    fn apply(&mut self, batch: &mut ApplyBatch<'_>) {
        while let Some((_, command, reply)) = batch.next_entry() {
            self.0 += command.iter().map(|byte| u64::from(*byte)).sum::<u64>();
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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let engine = Engine::builder(EngineConfig::single(folder.path(), 4))
        .state_machine(|_group| Box::<Counter>::default())
        .start()?;
    let client = engine.client();
    client.write(GroupId(1), vec![40u8]).wait()?;
    client.write(GroupId(1), vec![2u8]).wait()?;
    let answer = client.read(GroupId(1), vec![]).wait()?;
    assert_eq!(answer.as_ref(), 42u64.to_be_bytes());
    println!("durable on disk and read back: {}", u64::from_be_bytes(answer.as_ref().try_into()?));
    engine.shutdown();
    Ok(())
}
