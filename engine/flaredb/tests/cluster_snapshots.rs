//! Logs are kept back to a snapshot: a node that was away longer than that catches up all the same,
//! and leads with everything that was acknowledged.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use support::client::{ClusterClient, Fate};
use support::cluster::Cluster;
use support::node::{info_number, wait_for};
use support::resp::Reply;

const PATIENCE: Duration = Duration::from_secs(60);
const KEYS: u64 = 400;

fn key(number: u64) -> String {
    format!("key-{number}")
}

/// Sets every key once, to a value of two kilobytes that names the round.
fn set_all(client: &mut ClusterClient, round: u64) -> BTreeMap<u64, String> {
    let value = |number| format!("{round}/{number} ").repeat(2000 / 8);
    let set = |number| {
        let value = value(number);
        // Done twice it is the same: what is uncertain is asked for again.
        let words = ["SET", &key(number), &value];
        let mut fate = client.call(&words, PATIENCE);
        while fate == Fate::Maybe {
            fate = client.call(&words, PATIENCE);
        }
        assert_eq!(fate, Fate::Done(Reply::Text("OK".to_owned())));
        (number, value)
    };
    (0..KEYS).map(set).collect()
}

#[test]
fn a_node_that_was_away_too_long_gets_snapshots_and_leads_with_them() {
    let mut cluster = Cluster::start("snapshots");
    let mut client = ClusterClient::new(&cluster.layout.clients);
    set_all(&mut client, 0);
    let groups = cluster.layout.groups as u64;
    cluster.kill(3);
    // Every group's log grows by several times what is kept.
    let mut expected = BTreeMap::new();
    for round in 1..=3 {
        expected = set_all(&mut client, round);
    }
    let taken = |cluster: &Cluster, node| info_number(cluster.client(node), "snapshots_taken");
    wait_for("two snapshots of each group on both nodes", PATIENCE, || {
        (1..=2).all(|node| taken(&cluster, node) >= 2 * groups)
    });
    // In the middle of receiving it dies again, and its next life begins anew.
    cluster.start_node(3);
    std::thread::sleep(Duration::from_millis(300));
    cluster.kill(3);
    cluster.start_node(3);
    cluster.wait_until_ready();
    let client_of_3 = cluster.client(3);
    wait_for("node 3 has all keys of all groups", PATIENCE, || {
        let of = |node| cluster.groups(node).map(|g| g.values().map(|g| g.keys).sum::<u64>());
        of(3) == Some(KEYS) && of(1) == Some(KEYS)
    });
    let installed = info_number(client_of_3, "snapshots_installed");
    println!("node 3 installed {installed} snapshots in its last life");

    // Without node 1 there is no majority without node 3, and some groups are led by it.
    cluster.kill(1);
    for (number, value) in &expected {
        let found = client.read(&["GET", &key(*number)], PATIENCE);
        assert_eq!(found, Reply::Text(value.clone()), "key {number}");
    }
    // Everybody dies, and comes back from snapshots and what follows them.
    cluster.start_node(1);
    cluster.wait_until_ready();
    (1..=3).for_each(|node| cluster.kill(node));
    (1..=3).for_each(|node| cluster.start_node(node));
    cluster.wait_until_ready();
    for (number, value) in &expected {
        let found = client.read(&["GET", &key(*number)], PATIENCE);
        assert_eq!(found, Reply::Text(value.clone()), "key {number} after all died");
    }
}
