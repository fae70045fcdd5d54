//! Clients that work on keys that come and go, writing down everything.
//!
//! Most wait for each answer. Some send on without waiting, so that commands of many moments lie in
//! front of a node that is paused: a leader of yesterday that wakes up must not answer from memory.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::Rng;
use super::history::{Action, Condition, Operation, Outcome};
use super::probe::{Answer, Probe, understand};
use crate::support::resp::{Connection, command};

/// How many keys of each kind of life are in use at any time.
const BRIEF: u64 = 6;
const LONG: u64 = 24;
/// Every third client sends without waiting.
const LURKERS: usize = 3;
const LURKER_PATIENCE: Duration = Duration::from_secs(10);

/// All operations on each key.
pub(crate) type Histories = BTreeMap<String, Vec<Operation>>;

/// What all clients of a run share.
pub(crate) struct Shared {
    pub(crate) seed: u64,
    pub(crate) began: Instant,
    pub(crate) end: AtomicBool,
    pub(crate) nodes: Vec<SocketAddr>,
    /// When each client was last answered.
    pub(crate) answered: Vec<AtomicU64>,
}

impl Shared {
    /// Nanoseconds since the run began.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap()
    }
}

/// What a client did.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) histories: Histories,
    pub(crate) known: u64,
    pub(crate) unknown: u64,
    /// By the first word of the refusal.
    pub(crate) refused: BTreeMap<String, u64>,
}

impl Log {
    /// Writes an attempt down; a read without an answer and a refused write are no part of history.
    pub(crate) fn record(&mut self, key: &str, attempt: Operation, answer: Answer, ended: u64) {
        let outcome = match answer {
            Answer::Known(reply) => {
                self.known += 1;
                Outcome::Known { ended, reply }
            }
            Answer::Unknown(why) => {
                self.unknown += 1;
                if attempt.action == Action::Get {
                    return;
                }
                Outcome::Unknown(why)
            }
            Answer::Refused(why) => {
                let word = why.split([' ', ':']).next().unwrap_or_default();
                *self.refused.entry(word.to_owned()).or_default() += 1;
                return;
            }
        };
        let operation = Operation { outcome, ..attempt };
        self.histories.entry(key.to_owned()).or_default().push(operation);
    }

    /// Takes in what another client did.
    pub(crate) fn merge(&mut self, other: Self) {
        for (key, operations) in other.histories {
            self.histories.entry(key).or_default().extend(operations);
        }
        self.known += other.known;
        self.unknown += other.unknown;
        for (word, times) in other.refused {
            *self.refused.entry(word).or_default() += times;
        }
    }
}

/// A key in use now: half of the work goes to few keys that live shortly, half to many that
/// outlive a long fault.
fn key(rng: &mut Rng, now: u64) -> (u64, String) {
    let (place, life) = if rng.below(2) == 0 {
        (rng.below(BRIEF), 400)
    } else {
        let place = BRIEF + rng.below(LONG);
        (place, 4000 + place * 250)
    };
    let generation = (now / 1_000_000 + place * 97) / life;
    (
        place % 3,
        format!("{}-{place}-{generation}", ["register", "counter", "list"][place as usize % 3]),
    )
}

/// Something to do to a key of this kind; what it writes is never written again.
fn action(rng: &mut Rng, kind: u64, unique: &str) -> Action {
    if rng.below(5) < 2 {
        return Action::Get;
    }
    match (kind, rng.below(20)) {
        (_, 0) => Action::Delete,
        (1, _) => Action::Increment,
        (2, _) => Action::Append(format!("{unique},")),
        (_, n) => {
            let when = [Condition::Always, Condition::Absent, Condition::Present];
            let value = unique.to_owned();
            Action::Set { value, when: when[n as usize % 3], get: n % 2 == 0 }
        }
    }
}

/// Does one thing after another.
fn work(client: usize, shared: &Shared) -> Log {
    let mut rng = Rng::new(shared.seed, 1 + client as u64);
    let mut probe = Probe::new(&shared.nodes);
    let mut log = Log::default();
    for number in 0u64.. {
        if shared.end.load(Ordering::Relaxed) {
            break;
        }
        let (kind, key) = key(&mut rng, shared.now());
        let action = action(&mut rng, kind, &format!("{client}.{number}"));
        let any = rng.below(shared.nodes.len() as u64) as usize;
        // Now and then a node that need not lead: it may believe that it does.
        let node = if rng.below(24) == 0 { any } else { probe.leader(&key).unwrap_or(any) };
        // Some must go on elsewhere while a node is paused.
        let patience = if client % 2 == 0 { 250 } else { *rng.pick(&[500, 1000, 5000]) };
        let patience = Duration::from_millis(patience);
        let words = action.words(&key);
        let started = shared.now();
        let answer = probe.call(node, &words, patience);
        let ended = shared.now();
        match answer {
            Answer::Known(_) => shared.answered[client].store(ended, Ordering::Relaxed),
            Answer::Refused(_) => thread::sleep(Duration::from_millis(2 + rng.below(10))),
            Answer::Unknown(_) => {}
        }
        let outcome = Outcome::Unknown(String::new());
        log.record(&key, Operation { client, started, action, outcome }, answer, ended);
        thread::sleep(Duration::from_micros(rng.below(2000)));
    }
    log
}

/// Sends a row of commands to one node and reads the answers to all of them afterwards.
fn lurk(client: usize, shared: &Shared) -> Log {
    let mut rng = Rng::new(shared.seed, 1 + client as u64);
    let mut log = Log::default();
    for number in 0u64.. {
        if shared.end.load(Ordering::Relaxed) {
            break;
        }
        let Ok(mut connection) = Connection::open(*rng.pick(&shared.nodes), LURKER_PATIENCE) else {
            thread::sleep(Duration::from_millis(50));
            continue;
        };
        let mut sent = Vec::new();
        for place in 0..5 + rng.below(20) {
            let (kind, key) = key(&mut rng, shared.now());
            let action = action(&mut rng, kind, &format!("{client}.{number}.{place}"));
            let outcome = Outcome::Unknown(String::new());
            let started = shared.now();
            let result = connection.send(&command(&action.words(&key)));
            sent.push((key, Operation { client, started, action, outcome }));
            if result.is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(rng.below(40)));
        }
        let mut lost: Option<io::ErrorKind> = None;
        for (key, attempt) in sent {
            let reply = lost.map_or_else(|| connection.receive(), |kind| Err(kind.into()));
            let answer = match reply {
                Ok(reply) => understand(reply, &attempt.action.words(&key)),
                Err(error) => Answer::Unknown(lost.insert(error.kind()).to_string()),
            };
            let ended = shared.now();
            if matches!(answer, Answer::Known(_)) {
                shared.answered[client].store(ended, Ordering::Relaxed);
            }
            log.record(&key, attempt, answer, ended);
        }
    }
    log
}

/// Starts all clients.
pub(crate) fn start(shared: &Arc<Shared>) -> Vec<JoinHandle<Log>> {
    let start = |client| {
        let shared = Arc::clone(shared);
        let client_of = if client % LURKERS == 0 { lurk } else { work };
        thread::spawn(move || client_of(client, &shared))
    };
    (0..shared.answered.len()).map(start).collect()
}
