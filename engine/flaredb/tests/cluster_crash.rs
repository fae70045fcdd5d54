//! Nodes die by `kill -9` under load; nothing acknowledged is lost, nothing happens twice.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use support::client::{ClusterClient, Fate};
use support::cluster::{Cluster, GroupInfo};
use support::node::{info_number, wait_for};
use support::resp::{Reply, slot};

const WRITERS: usize = 6;
/// How long a write may be refused before the test gives up on the cluster.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);
const READ_PATIENCE: Duration = Duration::from_secs(30);
/// What the product promises, printed beside what was measured.
const GAP_GOAL: Duration = Duration::from_secs(3);
/// What this test insists on, on a machine that may be busy with anything.
const GAP_BOUND: Duration = Duration::from_secs(20);

/// When a key was acknowledged.
type Acknowledgements = Arc<Mutex<Vec<(Instant, u16)>>>;

/// What a writer knows of what it wrote.
#[derive(Debug, Default)]
struct Written {
    acknowledged: Vec<u64>,
    uncertain: Vec<u64>,
    increments: u64,
    increments_uncertain: u64,
    tokens: Vec<u64>,
    tokens_uncertain: Vec<u64>,
}

fn key(writer: usize, number: u64) -> String {
    format!("key-{writer}-{number}")
}

fn value(writer: usize, number: u64) -> String {
    format!("value of {writer} and {number}")
}

/// Writes unique keys, counts and appends until told to end.
fn write(
    writer: usize,
    mut client: ClusterClient,
    end: &AtomicBool,
    seen: &Acknowledgements,
) -> Written {
    let mut written = Written::default();
    let (counter, list) = (format!("counter-{writer}"), format!("list-{writer}"));
    for number in 0.. {
        if end.load(Ordering::Relaxed) {
            break;
        }
        let (key, value) = (key(writer, number), value(writer, number));
        match client.call(&["SET", &key, &value], WRITE_PATIENCE) {
            Fate::Done(reply) => {
                assert_eq!(reply, Reply::Text("OK".to_owned()));
                written.acknowledged.push(number);
                seen.lock().unwrap().push((Instant::now(), slot(&key)));
            }
            Fate::Maybe => written.uncertain.push(number),
            Fate::Refused(why) => assert!(end.load(Ordering::Relaxed), "{key}: {why}"),
        }
        match client.call(&["INCR", &counter], WRITE_PATIENCE) {
            Fate::Done(_) => written.increments += 1,
            Fate::Maybe => written.increments_uncertain += 1,
            Fate::Refused(why) => assert!(end.load(Ordering::Relaxed), "{counter}: {why}"),
        }
        if number % 16 != 0 {
            continue;
        }
        match client.call(&["APPEND", &list, &format!("{number},")], WRITE_PATIENCE) {
            Fate::Done(_) => written.tokens.push(number),
            Fate::Maybe => written.tokens_uncertain.push(number),
            Fate::Refused(why) => assert!(end.load(Ordering::Relaxed), "{list}: {why}"),
        }
    }
    written
}

/// Looks at everything a writer wrote: all that was acknowledged is there, nothing is there twice.
fn verify(writer: usize, written: &Written, client: &mut ClusterClient) {
    for &number in &written.acknowledged {
        let reply = client.read(&["GET", &key(writer, number)], READ_PATIENCE);
        assert_eq!(
            reply,
            Reply::Text(value(writer, number)),
            "{} was acknowledged",
            key(writer, number)
        );
    }
    let counter = client.read(&["GET", &format!("counter-{writer}")], READ_PATIENCE);
    let counted: u64 = counter.text().parse().unwrap();
    let most = written.increments + written.increments_uncertain;
    assert!(
        (written.increments..=most).contains(&counted),
        "{counted} increments, {} acknowledged, {} uncertain",
        written.increments,
        written.increments_uncertain
    );
    let list = client.read(&["GET", &format!("list-{writer}")], READ_PATIENCE);
    let mut times: BTreeMap<u64, u32> = BTreeMap::new();
    for token in list.text().split_terminator(',') {
        *times.entry(token.parse().unwrap()).or_default() += 1;
    }
    for (token, count) in &times {
        assert_eq!(*count, 1, "token {token} of writer {writer} was appended twice");
        let known = written.tokens.contains(token) || written.tokens_uncertain.contains(token);
        assert!(known, "token {token} of writer {writer} was never written");
    }
    for token in &written.tokens {
        assert!(times.contains_key(token), "token {token} of writer {writer} is gone");
    }
}

/// The longest time from the death of their leader until one of these groups took a write again.
fn gap(died: Instant, groups: &BTreeMap<u64, GroupInfo>, seen: &Acknowledgements) -> Duration {
    let first_after = |group: &GroupInfo| {
        let slots = group.first_slot..=group.last_slot;
        let seen = seen.lock().unwrap();
        let mut after = seen.iter().filter(|(at, slot)| *at > died && slots.contains(slot));
        after.next().map(|(at, _)| *at - died)
    };
    let mut longest = Duration::ZERO;
    for group in groups.values() {
        let mut first = None;
        wait_for("a dead leader's groups take writes again", GAP_BOUND, || {
            first = first_after(group);
            first.is_some()
        });
        longest = longest.max(first.unwrap());
    }
    longest
}

/// Waits until a node has as many keys in each group as any node has now.
fn wait_until_caught_up(cluster: &Cluster, node: usize) -> Duration {
    let others: Vec<_> = (1..=3).filter(|&n| n != node).collect();
    let goals: Vec<_> = others.iter().map(|&n| cluster.groups(n).unwrap()).collect();
    wait_for("the restarted node catches up", Duration::from_secs(60), || {
        cluster.groups(node).is_some_and(|own| {
            own.iter().all(|(id, group)| goals.iter().all(|goal| group.keys >= goal[id].keys))
        })
    })
}

fn start_writers(
    cluster: &Cluster,
    end: &Arc<AtomicBool>,
    seen: &Acknowledgements,
) -> Vec<JoinHandle<Written>> {
    (0..WRITERS)
        .map(|writer| {
            let client = ClusterClient::new(&cluster.layout.clients);
            let (end, seen) = (Arc::clone(end), Arc::clone(seen));
            thread::spawn(move || write(writer, client, &end, &seen))
        })
        .collect()
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_happens_twice() {
    let mut cluster = Cluster::start("crash");
    let end = Arc::new(AtomicBool::new(false));
    let seen = Acknowledgements::default();
    let writers = start_writers(&cluster, &end, &seen);
    let written = |n| wait_for("writes", READ_PATIENCE, || seen.lock().unwrap().len() > n);
    written(2000);

    let (busiest, led) = cluster.busiest_leader();
    cluster.kill(busiest);
    let died = Instant::now();
    let gap = gap(died, &led, &seen);
    let goal = if gap <= GAP_GOAL { "within" } else { "OVER" };
    println!("node {busiest} led {} groups and was killed", led.len());
    println!("longest time without writes: {gap:?}, {goal} the goal of {GAP_GOAL:?}");

    cluster.start_node(busiest);
    let took = cluster.wait_until_ready();
    let caught_up = wait_until_caught_up(&cluster, busiest);
    println!("restarted: ready after {took:?}, caught up {caught_up:?} later, under load");

    // Its vote and its log count again: with another node gone there is no majority without it.
    let other = busiest % 3 + 1;
    let before = seen.lock().unwrap().len();
    cluster.kill(other);
    written(before + 500);
    cluster.start_node(other);
    cluster.wait_until_ready();

    let taken = info_number(cluster.client(busiest), "snapshots_taken");
    assert!(taken > 0, "no snapshot was taken under all this");
    println!("{taken} snapshots were taken by the node that was killed first");

    // All at once, in the middle of everything.
    for node in 1..=3 {
        cluster.kill(node);
    }
    end.store(true, Ordering::Relaxed);
    for node in 1..=3 {
        cluster.start_node(node);
    }
    let took = cluster.wait_until_ready();
    let written: Vec<Written> = writers.into_iter().map(|w| w.join().unwrap()).collect();
    let mut client = ClusterClient::new(&cluster.layout.clients);
    for (writer, written) in written.iter().enumerate() {
        verify(writer, written, &mut client);
    }
    let sum = |f: fn(&Written) -> usize| written.iter().map(f).sum::<usize>();
    println!(
        "all three killed: ready after {took:?}; {} keys, {} increments and {} appends were \
         acknowledged and are there once; {} writes were uncertain",
        sum(|w| w.acknowledged.len()),
        sum(|w| w.increments as usize),
        sum(|w| w.tokens.len()),
        sum(|w| { w.uncertain.len() + w.increments_uncertain as usize + w.tokens_uncertain.len() })
    );
    assert_replicas_agree(&cluster);
}

/// With nothing under way all three nodes come to have the same number of keys in every group.
fn assert_replicas_agree(cluster: &Cluster) {
    let keys = |node: usize| {
        let groups = cluster.groups(node)?;
        Some(groups.into_iter().map(|(id, g)| (id, g.keys)).collect::<Vec<_>>())
    };
    wait_for("all replicas agree", READ_PATIENCE, || {
        let first = keys(1);
        first.is_some() && first == keys(2) && first == keys(3)
    });
}
