//! Whatever is thrown at a node: one clear sentence, and the node goes on or does not start.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use support::client::{ClusterClient, Fate};
use support::cluster::{Cluster, fresh_folder};
use support::node::{Process, info_number, wait_for};
use support::resp::{Connection, Reply};

const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes without any meaning, the same at every run.
fn garbage(bytes: usize) -> Vec<u8> {
    let mut x = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

/// The cluster takes a write and gives it back.
fn assert_works(cluster: &Cluster, key: &str) {
    let mut client = ClusterClient::new(&cluster.layout.clients);
    let fate = client.call(&["SET", key, "here"], PATIENCE);
    assert_eq!(fate, Fate::Done(Reply::Text("OK".to_owned())));
    let reply = client.read(&["GET", key], PATIENCE);
    assert_eq!(reply, Reply::Text("here".to_owned()));
}

/// Sends bytes that are no command and expects one error reply, then the end of the connection.
fn assert_refused(address: SocketAddr, what: &str, bytes: &[u8]) {
    let mut connection = Connection::open(address, PATIENCE).unwrap();
    connection.send(bytes).unwrap();
    let reply = connection.receive().unwrap();
    let Reply::Error(text) = &reply else {
        panic!("{what} was answered with {reply:?}");
    };
    println!("{what}: {text}");
    assert!(connection.is_closed_soon(), "{what}: the connection stays open");
}

#[test]
fn clients_that_talk_nonsense_are_told_so_and_bother_nobody() {
    let mut cluster = Cluster::start("nonsense");
    let address = cluster.client(1);
    let memory = info_number(address, "used_memory_rss");
    // Half a command, held open while everything else goes on.
    let mut half = Connection::open(address, PATIENCE).unwrap();
    half.send(b"*2\r\n$4\r\nPI").unwrap();

    assert_refused(address, "a huge array", b"*2147483647\r\n");
    assert_refused(address, "a negative length", b"*1\r\n$-5\r\n");
    assert_refused(address, "a huge value", b"*2\r\n$3\r\nGET\r\n$99999999999\r\n");
    assert_refused(address, "a length that is none", b"*1\r\n$abc\r\n");
    assert_refused(address, "another type for a word", b"*1\r\n:5\r\n");
    assert_refused(address, "an endless line", &vec![b'x'; 256 << 10]);
    for round in 0..20 {
        let mut connection = Connection::open(address, PATIENCE).unwrap();
        // The node may close before it has read everything.
        let _ = connection.send(&garbage(1000 << (round % 8)));
    }

    half.send(b"NG\r\n$2\r\nhi\r\n").unwrap();
    assert_eq!(half.receive().unwrap(), Reply::Text("hi".to_owned()), "half a command, finished");
    let grown = info_number(address, "used_memory_rss").saturating_sub(memory);
    println!("resident memory grew by {} KiB", grown >> 10);
    assert!(grown < 256 << 20, "nonsense cost {grown} bytes");
    assert!(cluster.process(1).is_running());
    assert_works(&cluster, "after-nonsense");
}

/// Connects again and again; every connection finds only its own bytes.
fn assert_own_bytes_only(address: SocketAddr) {
    for _ in 0..20 {
        let mut connection = Connection::open(address, PATIENCE).unwrap();
        let reply = connection.call(&["ECHO", "mine"]).unwrap();
        assert_eq!(reply, Reply::Text("mine".to_owned()));
    }
}

#[test]
fn half_commands_of_the_gone_are_forgotten() {
    let cluster = Cluster::start("half");
    let address = cluster.client(1);
    let whole: &[u8] = b"*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$4\r\ndone\r\n";
    for cut in 1..whole.len() {
        let mut connection = Connection::open(address, PATIENCE).unwrap();
        connection.send(&whole[..cut]).unwrap();
    }
    assert_own_bytes_only(address);
    let mut client = ClusterClient::new(&cluster.layout.clients);
    assert_eq!(client.read(&["GET", "half"], PATIENCE), Reply::Nil);
    println!("{} half commands, none of which anybody saw again", whole.len() - 1);
}

#[test]
fn strangers_on_the_peer_port_are_refused() {
    let mut cluster = Cluster::start("home");
    let before = info_refused(&cluster, 1);
    let peer = cluster.peer(1);
    for bytes in [garbage(64), garbage(100_000), vec![0; 4096], vec![0xff; 4096]] {
        let mut stream = TcpStream::connect(peer).unwrap();
        // The node may close before it has read everything.
        let _ = stream.write_all(&bytes);
        drop(stream);
    }
    assert_own_bytes_only(cluster.client(1));
    wait_for("garbage is counted as refused", PATIENCE, || info_refused(&cluster, 1) > before);

    // A node of another cluster that takes ours for its peers; the lower of two nodes dials.
    let before = info_refused(&cluster, 2);
    let mut stranger = Cluster::prepare("elsewhere");
    for node in 1..3 {
        stranger.layout.peers[node] = cluster.layout.peers[node];
        stranger.layout.clients[node] = cluster.layout.clients[node];
    }
    stranger.start_node(1);
    wait_for("the stranger is counted as refused", PATIENCE, || info_refused(&cluster, 2) > before);
    println!("peers refused: {}", info_refused(&cluster, 2));
    assert_works(&cluster, "after-strangers");
    for node in 1..=3 {
        assert!(cluster.process(node).is_running());
    }
}

/// Connections and frames that a node has refused on its peer port.
fn info_refused(cluster: &Cluster, node: usize) -> u64 {
    let fields = support::node::info(cluster.client(node)).unwrap();
    let cores = fields.iter().filter(|(name, _)| name.starts_with("core"));
    let pairs = cores.flat_map(|(_, value)| value.split(','));
    pairs.filter_map(|pair| pair.strip_prefix("peers_refused=")?.parse::<u64>().ok()).sum()
}

/// Starts a command that must end by itself, having said one sentence with this in it.
fn assert_does_not_start(command: Command, folder: &Path, expected: &[&str]) {
    let name = format!("{command:?}");
    let mut process = Process::spawn(command, &folder.join("refused.log"));
    let status = process.wait(PATIENCE);
    let output = process.output();
    assert!(!status.success(), "{name} ended well: {output}");
    assert!(status.code().is_some(), "{name} ended with {status}: {output}");
    let said: Vec<&str> = output.lines().filter(|l| !l.trim().is_empty()).collect();
    let last = said.last().copied().unwrap_or_default();
    println!("exit code {}: {last}", status.code().unwrap_or_default());
    assert!(!output.contains("panicked") && !output.contains("stack backtrace"), "{output}");
    assert!(
        expected.iter().all(|word| last.contains(word)),
        "expected {expected:?} in the last line of: {output}"
    );
}

/// The segments of a node that hold data, oldest first, and how many bytes of each are used.
fn segments(data: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for core in fs::read_dir(data).unwrap() {
        let wal = core.unwrap().path().join("wal");
        for entry in fs::read_dir(wal).into_iter().flatten() {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            let used = bytes.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
            if used > 8192 {
                found.push((path, used as u64));
            }
        }
    }
    found.sort();
    found
}

/// A cluster whose nodes have written something and are all dead now.
fn dead_cluster(cluster_id: &str) -> Cluster {
    let mut cluster = Cluster::start(cluster_id);
    let mut client = ClusterClient::new(&cluster.layout.clients);
    for n in 0..500 {
        let fate = client.call(&["SET", &format!("damaged-{n}"), &"v".repeat(200)], PATIENCE);
        assert_eq!(fate, Fate::Done(Reply::Text("OK".to_owned())));
    }
    for node in 1..=3 {
        cluster.kill(node);
    }
    cluster
}

#[test]
fn a_damaged_log_is_refused() {
    let cluster = dead_cluster("damage");
    let folder = fresh_folder();

    let (path, used) = segments(&cluster.data(1)).pop().unwrap();
    OpenOptions::new().write(true).open(path).unwrap().set_len(used / 2).unwrap();
    assert_does_not_start(cluster.command(1), folder.path(), &["segment"]);

    let (path, used) = segments(&cluster.data(2)).pop().unwrap();
    flip_bit(&path, used / 2);
    assert_does_not_start(cluster.command(2), folder.path(), &["damaged"]);
}

/// Flips a bit of the first byte from there on that is not zero, so that it is not one of padding.
fn flip_bit(path: &Path, from: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    let mut at = from;
    while byte == [0] {
        at += 1;
        file.read_exact_at(&mut byte, at).unwrap();
    }
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

#[test]
fn a_port_in_use_is_named() {
    let cluster = Cluster::prepare("port");
    let folder = fresh_folder();
    for address in [cluster.client(1), cluster.peer(1)] {
        let _held = TcpListener::bind(address).unwrap();
        let port = address.port().to_string();
        assert_does_not_start(cluster.command(1), folder.path(), &[&port, "in use"]);
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let cluster = Cluster::prepare("folder");
    let folder = fresh_folder();
    // Where the folder should be lies a file: not even root can write below it.
    fs::write(cluster.data(1), "").unwrap();
    let name = cluster.data(1).display().to_string();
    assert_does_not_start(cluster.command(1), folder.path(), &[&name, "cannot be used"]);
}

#[test]
fn too_little_lockable_memory_is_named() {
    let cluster = Cluster::prepare("memlock");
    let folder = fresh_folder();
    let mut command = cluster.command(1);
    let limit = libc::rlimit { rlim_cur: 16 << 10, rlim_max: 16 << 10 };
    // SAFETY: between fork and exec only this one system call is made, on a value that outlives it.
    unsafe {
        command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    assert_does_not_start(command, folder.path(), &["memory", "ulimit -l"]);
}
