//! Three nodes, many groups, seeded faults: messages lost and late, receipts late, nodes that die.

#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]

mod common;

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use common::Node;
use multi_raft::PeerBatch;
use raft_core::{Bytes, Event, GroupId, LogId, NodeId, ReadId, ReadOutcome};

const NODES: u64 = 3;
const GROUPS: u64 = 12;

struct Run {
    random: u64,
    nodes: Vec<Node>,
    /// Batches on their way, and from whom.
    network: Vec<(NodeId, PeerBatch)>,
    committed: BTreeMap<GroupId, Vec<LogId>>,
    reads: BTreeMap<(usize, ReadId), usize>,
    reads_ready: u64,
    names: u64,
    trace: DefaultHasher,
}

impl Run {
    fn new(seed: u64) -> Self {
        let voters: Vec<u64> = (1..=NODES).collect();
        Self {
            random: (seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            nodes: voters.iter().map(|n| Node::with_groups(*n, GROUPS, &voters)).collect(),
            network: Vec::new(),
            committed: BTreeMap::new(),
            reads: BTreeMap::new(),
            reads_ready: 0,
            names: 0,
            trace: DefaultHasher::new(),
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let drawn = self.random.wrapping_mul(0x2545_F491_4F6C_DD1D);
        ((u128::from(drawn) * bound as u128) >> 64) as usize
    }

    fn step(&mut self) {
        let n = self.below(self.nodes.len());
        let group = GroupId(1 + self.below(GROUPS as usize) as u64);
        match self.below(1000) {
            0..60 => self.nodes[n].multi.tick(),
            60..400 => self.deliver_one(),
            400..600 => {
                let count = self.below(self.nodes[n].writes() + 1);
                self.nodes[n].sync(count);
            }
            600..800 => {
                self.names += 1;
                let data = Bytes::from(self.names.to_string());
                let _ = self.nodes[n].multi.propose(group, data);
            }
            800..900 => self.read(n, group),
            900..902 => {
                let kept = self.below(self.nodes[n].writes() + 1);
                self.nodes[n].crash(kept);
                self.reads.retain(|(node, _), _| *node != n);
            }
            _ => {}
        }
        if self.below(2) == 0 {
            self.poll(n);
        }
    }

    fn read(&mut self, n: usize, group: GroupId) {
        self.names += 1;
        let id = ReadId(self.names);
        if self.nodes[n].multi.read_index(group, id).is_ok() {
            let known = self.committed.get(&group).map_or(0, Vec::len);
            self.reads.insert((n, id), known);
        }
    }

    fn deliver_one(&mut self) {
        if self.network.is_empty() {
            return;
        }
        let at = if self.below(4) > 0 { 0 } else { self.below(self.network.len()) };
        let (from, batch) = self.network.remove(at);
        if self.below(20) > 0 {
            self.deliver(from, batch);
        }
    }

    fn deliver(&mut self, from: NodeId, batch: PeerBatch) {
        let node = &mut self.nodes[batch.to.0 as usize - 1];
        for (group, message) in batch.messages {
            node.multi.step(group, from, message).expect("a sound message");
        }
    }

    fn poll(&mut self, n: usize) -> bool {
        let node = &mut self.nodes[n];
        let any = node.poll();
        for batch in node.outbox.drain(..) {
            format!("{} {:?}", node.id, batch).hash(&mut self.trace);
            self.network.push((node.id, batch));
        }
        let faults = node.events.drain(..).filter(|(_, e)| matches!(e, Event::Fault(_)));
        assert_eq!(faults.collect::<Vec<_>>(), []);
        for (group, machine) in &node.machines {
            let known = self.committed.entry(*group).or_default();
            let same = known.len().min(machine.len());
            assert_eq!(known[..same], machine[..same], "State Machine Safety in {group}");
            known.extend_from_slice(&machine[same..]);
        }
        for (group, id, outcome) in node.reads.drain(..) {
            let needed = self.reads.remove(&(n, id)).expect("one outcome per read");
            if let ReadOutcome::Ready { index } = outcome {
                self.reads_ready += 1;
                assert!(index.0 >= needed as u64, "a stale read in {group}");
            }
        }
        any
    }

    /// The faults stop: every group gets a leader and all replicas become equal.
    fn recover(&mut self) {
        for _ in 0..300 {
            for n in 0..self.nodes.len() {
                self.nodes[n].multi.tick();
            }
            loop {
                let mut busy = false;
                for n in 0..self.nodes.len() {
                    busy |= self.poll(n) || self.nodes[n].writes() > 0;
                    let writes = self.nodes[n].writes();
                    self.nodes[n].sync(writes);
                }
                let waiting = std::mem::take(&mut self.network);
                busy |= !waiting.is_empty();
                waiting.into_iter().for_each(|(from, batch)| self.deliver(from, batch));
                if !busy {
                    break;
                }
            }
            if (1..=GROUPS).all(|g| self.is_settled(GroupId(g))) {
                return assert!(self.reads.is_empty(), "every read has an outcome");
            }
        }
        panic!("no progress");
    }

    fn is_settled(&self, group: GroupId) -> bool {
        let status = |n: &Node| n.multi.status(group).expect("the group is here");
        let all: Vec<_> = self.nodes.iter().map(status).collect();
        all.iter().any(|s| s.established)
            && all.iter().all(|s| s.applied == s.last.index && s.last == all[0].last)
            && self
                .nodes
                .iter()
                .all(|n| n.stores[&group].log() == self.nodes[0].stores[&group].log())
    }
}

#[test]
fn groups_share_a_shard_and_nothing_else() {
    let seeds = std::env::var("RAFT_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(15);
    let (mut commits, mut reads) = (0, 0);
    for seed in 0..seeds {
        let mut run = Run::new(seed);
        (0..4000).for_each(|_| run.step());
        run.recover();
        commits += run.committed.values().map(Vec::len).sum::<usize>();
        reads += run.reads_ready;
    }
    println!("{seeds} seeds, {} steps: {commits} committed, {reads} reads", seeds * 4000);
    assert!(commits > 0 && reads > 0);
}

#[test]
fn a_seed_gives_one_history() {
    let run = |seed| {
        let mut run = Run::new(seed);
        (0..3000).for_each(|_| run.step());
        run.recover();
        run.trace.finish()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
