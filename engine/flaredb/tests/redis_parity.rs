//! The same commands to a real Redis and to FlareDB's door: the replies must be the same, byte by
//! byte.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use common::Host;
use flaredb::resp::reply::{Reply, put_command};

/// A Redis that is alone in its cluster, and a connection to it.
struct Redis {
    process: Child,
    stream: TcpStream,
    input: Vec<u8>,
    _folder: tempfile::TempDir,
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Redis {
    /// Starts one; none if it is not installed.
    fn start() -> Option<Self> {
        // A port that was free may be taken a moment later: then the process ends, and another is
        // tried.
        for _ in 0..10 {
            match Self::spawn() {
                Err(_) => {
                    println!("skipped: redis-server is not installed");
                    return None;
                }
                Ok(Some(redis)) => return Some(redis),
                Ok(None) => {}
            }
        }
        panic!("redis-server does not stay up");
    }

    fn spawn() -> std::io::Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let free = || TcpListener::bind("127.0.0.1:0")?.local_addr().map(|addr| addr.port());
        let (port, bus) = (free()?, free()?);
        let mut process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--cluster-port", &bus.to_string()])
            .args(["--save", "", "--cluster-enabled", "yes", "--bind", "127.0.0.1"])
            .args(["--proto-max-bulk-len", "1048576"])
            .arg("--dir")
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let started = Instant::now();
        let stream = loop {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
                break stream;
            }
            if process.try_wait()?.is_some() || started.elapsed() > Duration::from_secs(20) {
                let _ = process.kill();
                let _ = process.wait();
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        stream.set_nodelay(true).unwrap();
        let mut redis = Self { process, stream, input: Vec::new(), _folder: folder };
        redis.ask(&[b"CLUSTER", b"ADDSLOTSRANGE", b"0", b"16383"]);
        while !redis.ask(&[b"CLUSTER", b"INFO"]).windows(8).any(|w| w == b"state:ok") {
            assert!(started.elapsed() < Duration::from_secs(20), "the cluster is never ok");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Some(redis))
    }

    fn ask(&mut self, args: &[&[u8]]) -> Vec<u8> {
        let mut command = Vec::new();
        put_command(&mut command, args);
        self.stream.write_all(&command).unwrap();
        loop {
            if let Some((_, length)) = Reply::parse(&self.input).unwrap() {
                return self.input.drain(..length).collect();
            }
            let mut buffer = [0; 65_536];
            let length = self.stream.read(&mut buffer).unwrap();
            assert_ne!(length, 0, "Redis closed the connection");
            self.input.extend_from_slice(&buffer[..length]);
        }
    }
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64
}

/// A small generator of numbers, so that a failure can be had again.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % n
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

const KEYS: [&str; 7] = ["{t}a", "{t}b", "{t}c", "{t}n", "plain", "foo{t}bar", "{}"];
const VALUES: [&str; 10] =
    ["", "v", "hello world", "10", "-5", "007", "9223372036854775807", "1.5", "\0\r\n", "x y"];
const NUMBERS: [&str; 12] = [
    "0",
    "1",
    "-1",
    "5",
    "100000",
    "nonsense",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "",
    "3",
    "-3",
];

/// Times from now: none that passes while the test runs.
const TIMES: [&str; 8] =
    ["0", "-1", "100000", "1000000", "nonsense", "", "9223372036854775807", "-9223372036854775808"];

fn command(numbers: &mut Numbers) -> Vec<String> {
    let templates = [
        "GET K",
        "SET K V",
        "SET K N",
        "SET K V NX",
        "SET K V XX",
        "SET K V GET",
        "SET K V NX GET",
        "SET K V XX GET KEEPTTL",
        "SET K V EX T",
        "SET K V PX 100000",
        "SET K V EX 100 NX",
        "SET K V KEEPTTL",
        "SET K V KEEPTTL EX 5",
        "SET K V NX XX",
        "SET K V EX",
        "SET K V EX 1 PX 1",
        "SET K V FOO",
        "SET K V PXAT 1",
        "SET K V EXAT N",
        "SET K V PXAT N",
        "SETNX K V",
        "SETEX K T V",
        "PSETEX K T V",
        "GETSET K V",
        "GETDEL K",
        "GETEX K",
        "GETEX K PERSIST",
        "GETEX K EX 100000",
        "GETEX K FOO",
        "GETEX K EX 1 PERSIST",
        "APPEND K V",
        "STRLEN K",
        "GETRANGE K N N",
        "SUBSTR K N N",
        "SETRANGE K 3 V",
        "SETRANGE K 0 V",
        "SETRANGE K -1 V",
        "SETRANGE K 9999999 V",
        "SETRANGE K x V",
        "INCR K",
        "DECR K",
        "INCRBY K N",
        "DECRBY K N",
        "MGET K K",
        "MGET K K K",
        "MSET K V",
        "MSET K V K V",
        "MSET K V K",
        "MSETNX K V K V",
        "DEL K",
        "DEL K K",
        "UNLINK K K K",
        "EXISTS K",
        "EXISTS K K",
        "TOUCH K K",
        "TYPE K",
        "TTL K",
        "EXPIRE K 100000",
        "EXPIRE K T",
        "EXPIRE K 100000 NX",
        "EXPIRE K 200000 GT",
        "EXPIRE K 50000 LT",
        "EXPIRE K 100 XX",
        "EXPIRE K 1 NX XX",
        "EXPIRE K 1 GT LT",
        "EXPIRE K 1 FOO",
        "PEXPIRE K T",
        "EXPIREAT K N",
        "PEXPIREAT K N",
        "EXPIREAT K 33333333333",
        "PEXPIREAT K 33333333333333",
        "EXPIRETIME K",
        "PEXPIRETIME K",
        "PERSIST K",
        "DBSIZE",
        "KEYS nosuch*",
        "KEYS [",
        "SCAN x",
        "SCAN 0 COUNT N",
        "SCAN 0 COUNT",
        "SCAN 0 TYPE hash COUNT 1000",
        "PING",
        "PING V",
        "PING a b",
        "ECHO V",
        "SELECT 0",
        "SELECT 1",
        "SELECT N",
        "CLUSTER KEYSLOT K",
        "CLUSTER COUNTKEYSINSLOT N",
        "CLUSTER FOO",
        "CLUSTER KEYSLOT",
        "CLIENT GETNAME",
        "CLIENT FOO",
        "CLIENT SETNAME V",
        "CLIENT SETNAME me",
        "CLIENT NO-EVICT x",
        "CLIENT NO-EVICT off",
        "COMMAND INFO get mset",
        "COMMAND GETKEYS mset K V K V",
        "COMMAND GETKEYS nosuch a",
        "COMMAND FOO",
        "CONFIG GET save",
        "CONFIG GET nosuch",
        "CONFIG FOO",
        "CONFIG SET nosuch V",
        "WAIT x N",
        "WAIT 0 -1",
        "READONLY",
        "READWRITE",
        "ASKING",
        "HELLO 9",
        "HELLO x",
        "HELLO 3 FOO",
        "AUTH V",
        "AUTH V V",
        "AUTH a b c",
        "NOSUCH",
        "NOSUCH V V",
        "GET",
        "GET a b",
        "TTL",
        "FLUSHALL FOO",
        "FLUSHALL ASYNC",
        "COMMAND GETKEYS get",
        "TIME x",
        "RESET",
    ];
    let template = numbers.pick(&templates);
    // Clearing everything now and then is enough.
    let template =
        if template == "FLUSHALL ASYNC" && numbers.below(8) > 0 { "PING" } else { template };
    let words = template.split(' ');
    let fill = |word: &str, numbers: &mut Numbers| match word {
        "K" => numbers.pick(&KEYS).to_owned(),
        "V" => numbers.pick(&VALUES).to_owned(),
        "N" => numbers.pick(&NUMBERS).to_owned(),
        "T" => numbers.pick(&TIMES).to_owned(),
        plain => plain.to_owned(),
    };
    words.map(|word| fill(word, numbers)).collect()
}

/// Whether a reply that tells of time left may differ by what passes between the two.
fn same(name: &str, ours: &[u8], theirs: &[u8]) -> bool {
    if ours == theirs {
        return true;
    }
    let timed = ["TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"].contains(&name);
    match (Reply::parse(ours), Reply::parse(theirs)) {
        (Ok(Some((Reply::Integer(a), _))), Ok(Some((Reply::Integer(b), _)))) => {
            let slack = if name.starts_with('P') { 3000 } else { 3 };
            timed && a > 0 && b > 0 && (a - b).abs() <= slack
        }
        (Ok(Some((Reply::Array(a), _))), Ok(Some((Reply::Array(b), _)))) if name == "COMMAND" => {
            // Redis tells key specifications as well; what a client routes by is the same.
            let facts = |all: &[Reply]| -> Vec<Vec<Reply>> {
                all.iter()
                    .filter_map(|each| match each {
                        Reply::Array(fields) => Some(fields[..6].to_vec()),
                        _ => None,
                    })
                    .collect()
            };
            !facts(&a).is_empty() && facts(&a) == facts(&b)
        }
        (Ok(Some((Reply::Array(a), _))), Ok(Some((Reply::Array(b), _)))) if name == "SCAN" => {
            // The order is each server's own; that a small set comes whole or not does not differ.
            let kind = |all: &[Reply]| all.iter().map(std::mem::discriminant).collect::<Vec<_>>();
            kind(&a) == kind(&b)
        }
        _ => false,
    }
}

/// Redis looks the key of GETEX up before it reads the options' numbers; FlareDB refuses first.
fn compare(resp3: bool, seed: u64, commands: usize) {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let mut host = Host::new(6);
    let mut client = host.connect();
    let mut numbers = Numbers(seed);
    if resp3 {
        redis.ask(&[b"HELLO", b"3"]);
        client.raw(&mut host, &[b"HELLO", b"3"]);
    }
    let mut history = Vec::new();
    for _ in 0..commands {
        let words = command(&mut numbers);
        if resp3 && words[0] == "RESET" {
            continue;
        }
        let args: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
        host.unix_ms = unix_ms();
        if words[0] == "DBSIZE" || words.join(" ").starts_with("CLUSTER COUNT") {
            // Redis counts dead keys until something looks at them.
            for key in KEYS {
                redis.ask(&[b"EXISTS", key.as_bytes()]);
                client.raw(&mut host, &[b"EXISTS", key.as_bytes()]);
            }
        }
        let ours = client.raw(&mut host, &args);
        let theirs = redis.ask(&args);
        history.push(format!("{words:?}"));
        assert!(
            same(&words[0], &ours, &theirs),
            "{words:?}\n  ours   {}\n  theirs {}\nafter {:#?}",
            ours.escape_ascii(),
            theirs.escape_ascii(),
            &history[history.len().saturating_sub(12)..]
        );
    }
}

#[test]
fn replies_are_those_of_redis_in_resp2() {
    compare(false, 0x9e37_79b9, 6000);
}

#[test]
fn replies_are_those_of_redis_in_resp3() {
    compare(true, 0x1234_5678_9abc, 6000);
}
