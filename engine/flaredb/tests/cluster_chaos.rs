//! Clients race while nodes are killed and paused; all that they were told must fit together.
//!
//! `FLAREDB_CHAOS_SECONDS` says for how long, `FLAREDB_CHAOS_SEED` which faults and which commands.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use support::chaos::checker::{Verdict, check};
use support::chaos::explain::{explain, smallest};
use support::chaos::history::{Action, Condition, Operation, Outcome};
use support::chaos::nemesis::Nemesis;
use support::chaos::probe::{Answer, Probe};
use support::chaos::worker::{self, Histories, Log, Shared};
use support::cluster::Cluster;
use support::node::{ask, wait_for};
use support::resp::Reply;

const CLIENTS: usize = 10;
const SECONDS: u64 = 20;
/// How long after the last fault everything may take to be as it was.
const PATIENCE: Duration = Duration::from_secs(30);
/// How far the search may go for a single key.
const PLACES: usize = 2_000_000;

/// Says how to do the same again, if the test fails.
struct Repeat {
    seconds: u64,
    seed: u64,
}

impl Repeat {
    fn from_environment() -> Self {
        let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
        Self {
            seconds: number("FLAREDB_CHAOS_SECONDS").unwrap_or(SECONDS),
            seed: number("FLAREDB_CHAOS_SEED").unwrap_or(u64::from(nanos)),
        }
    }

    fn command(&self) -> String {
        let Self { seconds, seed } = self;
        format!(
            "FLAREDB_CHAOS_SECONDS={seconds} FLAREDB_CHAOS_SEED={seed} \
             cargo test -p flaredb --test cluster_chaos -- --nocapture"
        )
    }
}

impl Drop for Repeat {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("again: {}", self.command());
        }
    }
}

#[test]
fn no_answer_contradicts_another_whatever_dies_or_pauses() {
    let repeat = Repeat::from_environment();
    println!("{}", repeat.command());
    let mut cluster = Cluster::start("chaos");
    let shared = Arc::new(Shared {
        seed: repeat.seed,
        began: Instant::now(),
        end: AtomicBool::new(false),
        nodes: cluster.layout.clients.clone(),
        answered: (0..CLIENTS).map(|_| AtomicU64::new(0)).collect(),
    });
    let clients = worker::start(&shared);
    let mut nemesis = Nemesis::new(repeat.seed, shared.began);
    while shared.began.elapsed() < Duration::from_secs(repeat.seconds) {
        nemesis.strike(&mut cluster);
        assert_nobody_gave_up(&clients);
    }
    assert_everyone_is_answered(&shared, &clients);
    cluster.wait_until_ready();
    shared.end.store(true, Ordering::Relaxed);
    let mut log = Log::default();
    for client in clients {
        log.merge(client.join().unwrap());
    }
    println!("{} answered, {} unknown, refused {:?}", log.known, log.unknown, log.refused);
    println!("faults: {}", nemesis.summary());
    read_from_everyone(&mut cluster, &shared, &mut log);
    assert_linearizable(&log.histories);
}

/// Every client gets an answer after the last fault was undone.
fn assert_everyone_is_answered(shared: &Shared, clients: &[JoinHandle<Log>]) {
    let healed = shared.now();
    wait_for("every client is answered again", PATIENCE, || {
        assert_nobody_gave_up(clients);
        shared.answered.iter().all(|at| at.load(Ordering::Relaxed) > healed)
    });
}

/// A client ends early only by panicking.
fn assert_nobody_gave_up(clients: &[JoinHandle<Log>]) {
    assert!(clients.iter().all(|client| !client.is_finished()), "a client gave up");
}

/// Reads every key, by way of each node in turn and once more without it, as a part of history.
fn read_from_everyone(cluster: &mut Cluster, shared: &Shared, log: &mut Log) {
    let keys: Vec<String> = log.histories.keys().cloned().collect();
    let values = read_all(&keys, 0, shared, log);
    let held = values.iter().filter(|value| **value != Reply::Nil).count() as u64;
    for node in 1..=3 {
        assert_eq!(read_all(&keys, node - 1, shared, log), values, "by way of node {node}");
    }
    assert_counts(cluster, held);
    for node in 1..=3 {
        cluster.kill(node);
        let others = read_all(&keys, node % 3, shared, log);
        assert_eq!(others, values, "without node {node}");
        cluster.start_node(node);
        cluster.wait_until_ready();
    }
    assert_counts(cluster, held);
    println!("{} keys, {held} of them held, read 7 times with the same values", keys.len());
}

/// The value of each key; every attempt starts at this node and follows where it is sent.
fn read_all(keys: &[String], node: usize, shared: &Shared, log: &mut Log) -> Vec<Reply> {
    let mut probe = Probe::new(&shared.nodes);
    let mut values = Vec::new();
    for key in keys {
        let until = Instant::now() + PATIENCE;
        let mut asked = node;
        let value = loop {
            let (started, action) = (shared.now(), Action::Get);
            let answer = probe.call(asked, &["GET", key], PATIENCE);
            if let Answer::Known(reply) = &answer {
                let reply = reply.clone();
                let outcome = Outcome::Unknown(String::new());
                let attempt = Operation { client: CLIENTS, started, action, outcome };
                log.record(key, attempt, answer, shared.now());
                break reply;
            }
            assert!(Instant::now() < until, "{key} cannot be read: {answer:?}");
            if probe.leader(key).is_none() {
                thread::sleep(Duration::from_millis(20));
            }
            asked = probe.leader(key).unwrap_or((asked + 1) % 3);
        };
        values.push(value);
    }
    values
}

/// Every replica holds as many keys as were read, and the leaders lead each of them once.
fn assert_counts(cluster: &mut Cluster, held: u64) {
    let replica = |cluster: &Cluster, node| {
        cluster.groups(node).map(|groups| groups.values().map(|g| g.keys).sum::<u64>())
    };
    let led = |cluster: &Cluster| {
        let sizes = (1..=3).map(|node| ask(cluster.client(node), &["DBSIZE"]));
        let numbers = sizes.map(|size| match size {
            Ok(Reply::Integer(keys)) => u64::try_from(keys).ok(),
            _ => None,
        });
        numbers.sum::<Option<u64>>()
    };
    wait_for("every replica holds all keys", PATIENCE, || {
        for node in 1..=3 {
            let process = cluster.process(node);
            assert!(process.is_running(), "node {node} ended by itself: {}", process.output());
        }
        (1..=3).all(|node| replica(cluster, node) == Some(held)) && led(cluster) == Some(held)
    });
}

/// Judges every key for itself.
fn assert_linearizable(histories: &Histories) {
    let began = Instant::now();
    let mut violations = Vec::new();
    let mut undecided = Vec::new();
    for (key, history) in histories {
        match check(history, PLACES) {
            Verdict::Linearizable => {}
            Verdict::Violation => violations.push(key),
            Verdict::Undecided => undecided.push((key, history.len())),
        }
    }
    let sizes = histories.values().map(Vec::len);
    println!(
        "{} operations on {} keys, {} at most on one, judged in {:?}",
        sizes.clone().sum::<usize>(),
        histories.len(),
        sizes.max().unwrap_or_default(),
        began.elapsed()
    );
    for key in violations.iter().take(3) {
        eprintln!("{}", explain(key, &histories[*key]));
    }
    assert!(violations.is_empty(), "violated: {violations:?}");
    assert!(undecided.is_empty(), "too much to search: {undecided:?}");
}

mod planted {
    //! The judge finds what is wrong and accepts what only looks wrong.

    use super::*;

    fn known(client: usize, started: u64, ended: u64, action: Action, reply: Reply) -> Operation {
        Operation { client, started, action, outcome: Outcome::Known { ended, reply } }
    }

    fn lost(started: u64, action: Action) -> Operation {
        Operation { client: 9, started, action, outcome: Outcome::Unknown("lost".to_owned()) }
    }

    fn set(started: u64, ended: u64, value: &str) -> Operation {
        known(1, started, ended, Action::set(value), text("OK"))
    }

    fn get(started: u64, ended: u64, reply: Reply) -> Operation {
        known(2, started, ended, Action::Get, reply)
    }

    fn increment(started: u64, ended: u64, number: i64) -> Operation {
        known(1, started, ended, Action::Increment, Reply::Integer(number))
    }

    fn text(value: &str) -> Reply {
        Reply::Text(value.to_owned())
    }

    fn judge(history: &[Operation]) -> Verdict {
        check(history, 100_000)
    }

    /// A lot of work that is in order, before and around what is planted.
    fn noise(history: &mut Vec<Operation>, from: u64) {
        for n in 0..50 {
            let at = from + n * 10;
            history.push(set(at, at + 5, &format!("noise {at}")));
            history.push(get(at + 6, at + 8, text(&format!("noise {at}"))));
            history.push(get(at + 4, at + 9, text(&format!("noise {at}"))));
        }
    }

    #[test]
    fn a_stale_read_is_found_and_cut_out() {
        let mut history = Vec::new();
        noise(&mut history, 0);
        history.extend([set(1000, 1010, "old"), set(1020, 1030, "new")]);
        history.push(get(1040, 1050, text("old")));
        noise(&mut history, 2000);
        assert_eq!(judge(&history), Verdict::Violation);
        let piece = smallest(&history);
        assert!(piece.answers.len() <= 3, "{}", explain("stale", &history));
        let said = explain("stale", &history);
        assert!(said.contains("client 2: GET _ -> \"old\""), "{said}");
        // Overlapping the newer write it would have been fine.
        let mut history = vec![set(1000, 1010, "old"), set(1020, 1045, "new")];
        history.push(get(1040, 1050, text("old")));
        assert_eq!(judge(&history), Verdict::Linearizable);
    }

    #[test]
    fn a_read_may_not_go_back_behind_another() {
        let mut history = vec![set(0, 5, "a"), lost(10, Action::set("b"))];
        history.push(get(20, 30, text("b")));
        assert_eq!(judge(&history), Verdict::Linearizable);
        history.push(get(40, 50, text("a")));
        assert_eq!(judge(&history), Verdict::Violation);
    }

    #[test]
    fn a_lost_acknowledged_write_is_found() {
        let mut history = vec![set(0, 10, "a"), get(20, 30, Reply::Nil)];
        assert_eq!(judge(&history), Verdict::Violation);
        history[0] = lost(0, Action::set("a"));
        assert_eq!(judge(&history), Verdict::Linearizable);
        let append = |n: u64, token: &str, length| {
            let action = Action::Append(token.to_owned());
            known(1, n * 10, n * 10 + 5, action, Reply::Integer(length))
        };
        let mut history = vec![append(0, "a,", 2), append(1, "b,", 4), append(2, "c,", 6)];
        history.push(get(40, 50, text("a,b,c,")));
        assert_eq!(judge(&history), Verdict::Linearizable);
        history[3] = get(40, 50, text("a,c,"));
        assert_eq!(judge(&history), Verdict::Violation);
    }

    #[test]
    fn a_double_increment_is_found() {
        let history = [increment(0, 10, 1), increment(20, 30, 3)];
        assert_eq!(judge(&history), Verdict::Violation);
        let history = [increment(0, 10, 1), lost(5, Action::Increment), increment(20, 30, 3)];
        assert_eq!(judge(&history), Verdict::Linearizable);
        let twice = [lost(0, Action::Increment), get(20, 30, text("2"))];
        assert_eq!(judge(&twice), Verdict::Violation);
        let same = [increment(0, 10, 1), increment(0, 10, 1)];
        assert_eq!(judge(&same), Verdict::Violation);
    }

    #[test]
    fn the_unknown_may_come_late_but_only_once_and_not_early() {
        let append = lost(100, Action::Append("x".to_owned()));
        let late = [append.clone(), get(200, 210, Reply::Nil), get(300, 310, text("x"))];
        assert_eq!(judge(&late), Verdict::Linearizable);
        let early = [get(10, 20, text("x")), append.clone()];
        assert_eq!(judge(&early), Verdict::Violation);
        assert_eq!(judge(&[append, get(200, 210, text("xx"))]), Verdict::Violation);
    }

    #[test]
    fn conditions_are_held_to() {
        let only = |n: u64, value: &str, when, get, reply| {
            let action = Action::Set { value: value.to_owned(), when, get };
            known(1, n * 10, n * 10 + 5, action, reply)
        };
        let both = |second: Reply| {
            let first = only(0, "a", Condition::Absent, false, text("OK"));
            judge(&[first, only(1, "b", Condition::Absent, false, second)])
        };
        assert_eq!(both(Reply::Nil), Verdict::Linearizable);
        assert_eq!(both(text("OK")), Verdict::Violation);
        let swap = |old: Reply, after: Reply| {
            let swap = only(1, "b", Condition::Present, true, old);
            judge(&[set(0, 5, "a"), swap, get(20, 30, after)])
        };
        assert_eq!(swap(text("a"), text("b")), Verdict::Linearizable);
        assert_eq!(swap(text("a"), text("a")), Verdict::Violation);
        assert_eq!(swap(Reply::Nil, text("b")), Verdict::Violation);
    }

    #[test]
    fn twenty_writes_of_unknown_fate_are_no_trouble() {
        let mut history = Vec::new();
        for n in 0..20 {
            history.push(lost(n, Action::Increment));
            history.push(increment(100 + n * 10, 105 + n * 10, n as i64 * 2 + 1));
        }
        assert_eq!(judge(&history), Verdict::Linearizable);
        history.push(get(1000, 1010, text("60")));
        assert_eq!(judge(&history), Verdict::Violation);
    }
}
