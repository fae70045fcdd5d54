//! Clients that others wrote drive a cluster, unchanged.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use redis::Commands as _;
use redis::cluster::ClusterClient;

use support::cluster::Cluster;
use support::node::info_number;
use support::tools;

const PATIENCE: Duration = Duration::from_secs(120);

fn total(cluster: &Cluster, field: &str) -> u64 {
    (1..=3).map(|n| info_number(cluster.client(n), field)).sum()
}

/// redis-py checks every reply against a model of its own.
fn redis_py(address: SocketAddr) {
    let Some(python) = tools::python_with_redis() else {
        return;
    };
    let mut command = Command::new(python);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/mixed_operations.py");
    command.arg(script).arg(address.port().to_string()).arg("10000");
    let output = tools::run(&mut command, "", PATIENCE);
    let text = tools::text(&output);
    assert!(output.status.success(), "redis-py: {text}");
    print!("redis-py: {text}");
}

/// redis-cli follows redirects to keys all over the slots.
fn redis_cli(address: SocketAddr) {
    const KEYS: usize = 300;
    let Some(cli) = tools::find("redis-cli") else {
        return;
    };
    let mut input = String::new();
    for n in 0..KEYS {
        writeln!(input, "SET cli:{n} value-{n}").unwrap();
        writeln!(input, "GET cli:{n}").unwrap();
    }
    let mut command = Command::new(cli);
    command.args(["-c", "-h", "127.0.0.1", "-p", &address.port().to_string()]);
    let output = tools::run(&mut command, &input, PATIENCE);
    let text = tools::text(&output);
    assert!(output.status.success(), "redis-cli: {text}");
    let answers = text.lines().filter(|l| !l.is_empty() && !l.starts_with("->"));
    let expected = (0..KEYS).flat_map(|n| ["OK".to_owned(), format!("value-{n}")]);
    assert!(answers.eq(expected), "redis-cli: {text}");
    println!("redis-cli -c: {KEYS} keys set and got");
}

/// redis-benchmark, which takes error replies for successes: so the servers are asked as well.
fn redis_benchmark(cluster: &Cluster) {
    let Some(benchmark) = tools::find("redis-benchmark") else {
        return;
    };
    let before =
        (total(cluster, "total_commands_processed"), total(cluster, "total_error_replies"));
    let port = cluster.client(1).port().to_string();
    let mut command = Command::new(benchmark);
    command
        .args(["-h", "127.0.0.1", "-p", &port, "--cluster", "-t", "set,get,incr", "-q"])
        .args(["-n", "20000", "-c", "50", "-P", "16", "-d", "128"]);
    let output = tools::run(&mut command, "", PATIENCE);
    let text = tools::text(&output).replace('\r', "\n");
    assert!(output.status.success(), "redis-benchmark: {text}");
    let rates: Vec<&str> = text.lines().filter(|l| l.contains("requests per second")).collect();
    assert_eq!(rates.len(), 3, "redis-benchmark: {text}");
    let refused = text.to_lowercase();
    assert!(!refused.contains("error") && !refused.contains("err "), "redis-benchmark: {text}");
    let commands = total(cluster, "total_commands_processed") - before.0;
    let errors = total(cluster, "total_error_replies") - before.1;
    println!("redis-benchmark: {commands} commands, {errors} error replies\n{}", rates.join("\n"));
    assert!(commands >= 60_000, "only {commands} commands came in");
    assert_eq!(errors, 0, "redis-benchmark was given error replies");
}

#[test]
fn tools_of_redis_work_unchanged() {
    let cluster = Cluster::start("tools");
    redis_cli(cluster.client(2));
    redis_benchmark(&cluster);
}

#[test]
fn redis_py_sees_what_its_model_says() {
    let cluster = Cluster::start("redis-py");
    redis_py(cluster.client(1));
}

#[test]
fn the_redis_crate_sees_what_it_wrote() {
    const KEYS: i64 = 1000;
    let cluster = Cluster::start("redis-rs");
    let nodes = cluster.layout.clients.iter().map(|a| format!("redis://{a}"));
    let client = ClusterClient::new(nodes.collect::<Vec<_>>()).unwrap();
    let mut connection = client.get_connection().unwrap();
    for n in 0..KEYS {
        let () = connection.set(format!("rs:{n}"), format!("value {n}")).unwrap();
        let count: i64 = connection.incr("rs:count", 1).unwrap();
        assert_eq!(count, n + 1);
    }
    for n in 0..KEYS {
        let value: String = connection.get(format!("rs:{n}")).unwrap();
        assert_eq!(value, format!("value {n}"));
    }
    let gone: i64 = connection.del("rs:0").unwrap();
    let nothing: Option<String> = connection.get("rs:0").unwrap();
    assert_eq!((gone, nothing), (1, None));
    println!("redis crate: {} operations", 3 * KEYS + 2);
}
