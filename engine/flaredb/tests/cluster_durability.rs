//! Durability is real and grouped, and doing nothing costs nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::thread;
use std::time::Duration;

use support::cluster::{Cluster, free_dev_port, fresh_folder, is_ready};
use support::node::{PROGRAM, Process, cpu_seconds, info_number, wait_for};
use support::resp::{Connection, Reply, command, slot};
use support::tools;

const PATIENCE: Duration = Duration::from_secs(60);

/// The lines of a trace that open a WAL segment for writing.
fn segment_opens(trace: &str) -> Vec<&str> {
    let opens = trace.lines().filter(|line| line.contains("openat(") && line.contains("/wal/"));
    opens.filter(|line| line.contains("O_RDWR") || line.contains("O_WRONLY")).collect()
}

#[test]
fn segments_are_opened_past_the_cache_and_written_through_the_ring() {
    let Some(strace) = tools::find("strace") else {
        return;
    };
    let probe = tools::run(Command::new(&strace).arg("true"), "", PATIENCE);
    if !probe.status.success() {
        println!("skipped: strace may not trace here: {}", tools::text(&probe));
        return;
    }
    let mut cluster = Cluster::prepare("strace");
    let trace = cluster.data(1).with_extension("strace");
    let start = cluster.command(1);
    // -D: the node is our child and strace its follower, so that killing the child ends both.
    let mut traced = Command::new(strace);
    traced
        .args([
            "-D",
            "-f",
            "-e",
            "trace=openat,io_uring_setup,write,pwrite64,fsync,fdatasync",
            "-o",
        ])
        .arg(&trace)
        .arg(start.get_program())
        .args(start.get_args());
    cluster.run(1, traced);
    cluster.start_node(2);
    cluster.start_node(3);
    cluster.wait_until_ready();
    let mut client = support::client::ClusterClient::new(&cluster.layout.clients);
    for n in 0..200 {
        let fate = client.call(&["SET", &format!("traced-{n}"), "x"], PATIENCE);
        assert_eq!(fate, support::client::Fate::Done(Reply::Text("OK".to_owned())));
    }
    let text = std::fs::read_to_string(&trace).unwrap();
    let rings = text.lines().filter(|l| l.contains("io_uring_setup(") && !l.contains("= -1"));
    let opens = segment_opens(&text);
    let direct = opens.iter().filter(|l| l.contains("O_DIRECT") && l.contains("O_DSYNC"));
    println!("{} rings, {} WAL files opened for writing", rings.clone().count(), opens.len());
    assert!(rings.count() >= 1, "no io_uring: {text}");
    assert!(direct.clone().count() >= 1, "no segment is opened O_DIRECT|O_DSYNC: {opens:#?}");
    println!("{}", direct.copied().next().unwrap_or_default());
}

/// Keys of slots that a node leads.
fn keys_led_by(cluster: &Cluster, node: usize, count: usize) -> Vec<String> {
    let groups = cluster.groups(node).unwrap();
    let led = |key: &String| {
        let slot = slot(key);
        let mut groups = groups.values();
        groups.any(|g| g.leader == node as u64 && (g.first_slot..=g.last_slot).contains(&slot))
    };
    (0..).map(|n| format!("grouped-{n}")).filter(led).take(count).collect()
}

#[test]
fn many_commands_share_one_durable_write() {
    const BATCHES: usize = 40;
    const BATCH: usize = 256;
    let cluster = Cluster::start("grouping");
    let (node, _) = cluster.busiest_leader();
    let address = cluster.client(node);
    let keys = keys_led_by(&cluster, node, BATCH);
    let before = info_number(address, "wal_writes");
    let mut connection = Connection::open(address, PATIENCE).unwrap();
    for batch in 0..BATCHES {
        let value = format!("batch {batch}");
        let sets = keys.iter().flat_map(|key| command(&["SET", key, &value]));
        connection.send(&sets.collect::<Vec<u8>>()).unwrap();
        for _ in 0..BATCH {
            assert_eq!(connection.receive().unwrap(), Reply::Text("OK".to_owned()));
        }
    }
    let writes = info_number(address, "wal_writes") - before;
    let commands = (BATCHES * BATCH) as u64;
    println!("{commands} pipelined commands, {writes} durable writes");
    assert!(writes >= 1, "INFO counts no durable write");
    assert!(writes * 4 <= commands, "{writes} durable writes for {commands} commands");
}

#[test]
fn an_idle_cluster_costs_next_to_nothing() {
    const LOOK: Duration = Duration::from_secs(10);
    let folder = fresh_folder();
    let port = free_dev_port();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut dev = Command::new(PROGRAM);
    dev.args(["dev", "--nodes", "3", "--port", &port.to_string()]);
    dev.arg("--data").arg(folder.path().join("dev"));
    let dev = Process::spawn(dev, &folder.path().join("dev.log"));
    wait_for("the dev cluster is ready", PATIENCE, || is_ready(address));
    thread::sleep(Duration::from_secs(1));
    let before = cpu_seconds(dev.pid());
    thread::sleep(LOOK);
    let share = (cpu_seconds(dev.pid()) - before) / LOOK.as_secs_f64();
    println!("an idle 3-node dev cluster uses {:.2} % of one processor", share * 100.0);
    assert!(share < 0.5, "idle, it uses {:.0} % of a processor", share * 100.0);
}
