//! Faults, one after another, as a seed says.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use super::Rng;
use crate::support::cluster::Cluster;

/// What is done to the nodes; a pause may be longer than an election takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Kill,
    Pause,
    KillTwo,
    PauseTwo,
    KillPaused,
    KillDuringPause,
    KillAll,
}

const FAULTS: [Fault; 10] = [
    Fault::Kill,
    Fault::Kill,
    Fault::Pause,
    Fault::Pause,
    Fault::Pause,
    Fault::KillTwo,
    Fault::PauseTwo,
    Fault::KillPaused,
    Fault::KillDuringPause,
    Fault::KillAll,
];

/// Whoever makes the faults.
pub(crate) struct Nemesis {
    rng: Rng,
    began: Instant,
    done: BTreeMap<Fault, u64>,
}

impl Nemesis {
    pub(crate) fn new(seed: u64, began: Instant) -> Self {
        Self { rng: Rng::new(seed, 0), began, done: BTreeMap::new() }
    }

    /// How often each fault was made.
    pub(crate) fn summary(&self) -> String {
        format!("{:?}", self.done)
    }

    /// Makes one fault and undoes it; afterwards every node runs, though it may not be ready.
    pub(crate) fn strike(&mut self, cluster: &mut Cluster) {
        let fault = *self.rng.pick(&FAULTS);
        *self.done.entry(fault).or_default() += 1;
        let first = self.victim(cluster);
        let second = (first + self.rng.below(2) as usize) % 3 + 1;
        self.say(&format!("{fault:?}: node {first} (then {second})"));
        match fault {
            Fault::Kill => self.kill(cluster, &[first]),
            Fault::KillTwo => self.kill(cluster, &[first, second]),
            Fault::KillAll => self.kill(cluster, &[1, 2, 3]),
            Fault::Pause => self.pause(cluster, &[first], &[]),
            Fault::PauseTwo => self.pause(cluster, &[first, second], &[]),
            Fault::KillPaused => self.pause(cluster, &[first], &[first]),
            Fault::KillDuringPause => self.pause(cluster, &[first], &[second]),
        }
        self.say("undone");
        if self.rng.below(2) == 0 {
            cluster.wait_until_ready();
            self.say("ready");
        }
        self.wait(0, 1500);
    }

    fn kill(&mut self, cluster: &mut Cluster, nodes: &[usize]) {
        for &node in nodes {
            cluster.kill(node);
        }
        for &node in nodes {
            self.wait(0, 2500 / nodes.len() as u64);
            cluster.start_node(node);
        }
    }

    /// Stops nodes for a while, with others killed in the middle of it and started at the end.
    fn pause(&mut self, cluster: &mut Cluster, nodes: &[usize], killed: &[usize]) {
        for &node in nodes {
            signal(cluster, node, libc::SIGSTOP);
        }
        let longest = *self.rng.pick(&[900, 2000, 4000]);
        self.wait(150, longest / 2);
        for &node in killed {
            cluster.kill(node);
        }
        self.wait(150, longest / 2);
        for &node in nodes.iter().filter(|node| !killed.contains(node)) {
            signal(cluster, node, libc::SIGCONT);
        }
        for &node in killed {
            cluster.start_node(node);
        }
    }

    /// The node that leads most, or any.
    fn victim(&mut self, cluster: &Cluster) -> usize {
        let any = 1 + self.rng.below(3) as usize;
        if self.rng.below(2) == 0 {
            return any;
        }
        let groups = (1..=3).find_map(|node| cluster.groups(node)).unwrap_or_default();
        let led = |node: usize| groups.values().filter(|g| g.leader == node as u64).count();
        (0..3).map(|n| (any + n) % 3 + 1).max_by_key(|&node| led(node)).unwrap_or(any)
    }

    fn wait(&mut self, from: u64, to: u64) {
        thread::sleep(Duration::from_millis(from + self.rng.below(to - from)));
    }

    fn say(&self, what: &str) {
        println!("{:11.6} {what}", self.began.elapsed().as_secs_f64());
    }
}

/// Sends a signal to a node, which must be running.
fn signal(cluster: &mut Cluster, node: usize, signal: i32) {
    let process = cluster.process(node);
    assert!(process.is_running(), "node {node} ended by itself: {}", process.output());
    let pid = i32::try_from(process.pid()).unwrap();
    // SAFETY: a signal to a child of ours that has not been waited for.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}
