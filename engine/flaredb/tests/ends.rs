//! How the program ends: when its log fails, when it is told to, when its load is over.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_flaredb");

/// A port such that it and the next two are free, and those 10,000 above, which lie below those
/// that systems give to outgoing connections.
fn ports(test: u16) -> u16 {
    let start = 10_000 + test * 6_000 + (std::process::id() % 1000) as u16 * 5;
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let all = |base: &u16| (0..3).all(|i| free(base + i) && free(base + i + 10_000));
    (start..start + 1000).step_by(5).find(all).unwrap()
}

/// Reads the child's output up to a line that contains this.
fn read_until(child: &mut Child, wanted: &str) -> BufReader<std::process::ChildStdout> {
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains(wanted) {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "it ended before it said {wanted}");
    }
    output
}

fn interrupt(child: &Child) {
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

fn end_of(child: Child) -> Output {
    child.wait_with_output().unwrap()
}

#[test]
fn a_failed_log_ends_the_node_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let port = ports(0);
    let nodes = format!("1=127.0.0.1:{}/127.0.0.1:{port}", port + 10_000);
    // A write beyond the limit on file sizes is to fail, not to kill.
    let script = format!(
        "trap '' XFSZ; exec {PROGRAM} start --node 1 --cluster ends --nodes {nodes} \
         --data {} --cores 1 --pin false --log error",
        folder.path().display()
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _output = read_until(&mut child, "is up");
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut reply = [0; 64];
    client.write_all(b"SET k v\r\n").unwrap();
    assert!(client.read(&mut reply).unwrap() > 0);
    assert!(reply.starts_with(b"+OK"));
    // A log that falls idle writes once more; let that pass, so that the next write is the
    // client's.
    std::thread::sleep(Duration::from_millis(300));
    let pid = child.id().to_string();
    let limited = Command::new("prlimit").args(["--pid", &pid, "--fsize=4096"]).status().unwrap();
    assert!(limited.success());
    client.write_all(b"SET k w\r\n").unwrap();
    let length = client.read(&mut reply).unwrap();
    // It is in a log that nobody can trust: nothing better can be said.
    assert!(reply[..length].starts_with(b"-UNCERTAIN "), "{}", reply[..length].escape_ascii());
    let output = end_of(child);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    let own: Vec<&str> = said.lines().filter(|line| line.starts_with("flaredb: ")).collect();
    assert_eq!(own, ["flaredb: a core of node 1 has failed and the node ends; see the log"]);
    assert!(!said.contains('\u{1b}'), "colours in a file");
}

#[test]
fn a_load_ends_with_a_table_and_an_interrupt_ends_it_at_once() {
    let port = ports(1);
    let dev = |load: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(["dev", "--port", &port.to_string()]).args(load);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let output = end_of(dev(&["--load", "1500ms"]));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(&format!("connect: redis-cli -c -p {port}\n")), "{said}");
    assert_eq!(said.matches(" wal writes/s").count(), 2, "{said}");
    assert!(said.contains("p50 ms") && said.contains("\n  all ") && said.contains("errors "));
    let mut child = dev(&["--load", "1m"]);
    let mut output = read_until(&mut child, "ops/s");
    let started = Instant::now();
    interrupt(&child);
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert!(end_of(child).status.success() && rest.contains("shutting down"));
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    println!("an interrupt under load took {:?}", started.elapsed());
}
