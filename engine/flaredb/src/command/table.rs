//! The table of commands: names, arities, flags, where the keys are, what is executed.
//!
//! Clients read it through COMMAND and refuse to send what is not in it.

use super::{Call, Executed, cluster, config, connection, introspection, keys, server, strings};

pub(crate) const WRITE: u16 = 1;
pub(crate) const READ: u16 = 1 << 1;
pub(crate) const MEMORY: u16 = 1 << 2;
pub(crate) const NO_SCRIPT: u16 = 1 << 3;
pub(crate) const LOADING: u16 = 1 << 4;
pub(crate) const STALE: u16 = 1 << 5;
pub(crate) const FAST: u16 = 1 << 6;
pub(crate) const NO_AUTH: u16 = 1 << 7;
pub(crate) const BUSY: u16 = 1 << 8;
const DANGEROUS: u16 = 1 << 9;

/// The flags that COMMAND shows, in the order Redis shows them.
pub(crate) const FLAG_NAMES: [(u16, &str); 9] = [
    (WRITE, "write"),
    (READ, "readonly"),
    (MEMORY, "denyoom"),
    (NO_SCRIPT, "noscript"),
    (LOADING, "loading"),
    (STALE, "stale"),
    (FAST, "fast"),
    (NO_AUTH, "no_auth"),
    (BUSY, "allow_busy"),
];

/// What a command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    String,
    Generic,
    Connection,
    Server,
    Cluster,
}

/// A command.
pub(crate) struct Spec {
    /// Its name in lower case.
    pub(crate) name: &'static str,
    /// How many words it has, its name included; at least so many if negative.
    pub(crate) arity: i8,
    /// Its flags.
    pub(crate) flags: u16,
    /// The place of the first key; 0 if there is none.
    pub(crate) first_key: usize,
    /// The place of the last key; counted from the end if negative.
    pub(crate) last_key: isize,
    /// From one key to the next.
    pub(crate) key_step: usize,
    /// What it is about.
    pub(crate) topic: Topic,
    /// One sentence about it.
    pub(crate) summary: &'static str,
    /// What it does.
    pub(crate) run: fn(&mut Call<'_>) -> Executed,
}

impl std::fmt::Debug for Spec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Spec {
    /// Whether the command may have so many words.
    pub(crate) fn allows(&self, words: usize) -> bool {
        arity_allows(self.arity, words)
    }

    /// The places of the first and the last key in a command of so many words.
    pub(crate) fn key_range(&self, words: usize) -> Option<(usize, usize)> {
        if self.first_key == 0 || words <= self.first_key {
            return None;
        }
        let last = match usize::try_from(self.last_key) {
            Ok(last) => last,
            Err(_) => words.checked_sub(self.last_key.unsigned_abs())?,
        };
        (last >= self.first_key && last < words).then_some((self.first_key, last))
    }

    /// How many keys there are in a command of so many words.
    pub(crate) fn keys(&self, words: usize) -> usize {
        self.key_range(words).map_or(0, |(first, last)| (last - first) / self.key_step.max(1) + 1)
    }

    /// The access control categories, as COMMAND shows them.
    pub(crate) fn categories(&self) -> impl Iterator<Item = &'static str> {
        let topic = match self.topic {
            Topic::String => "@string",
            Topic::Generic => "@keyspace",
            Topic::Connection => "@connection",
            Topic::Server | Topic::Cluster => "",
        };
        let has = |flag: u16, name: &'static str| if self.flags & flag != 0 { name } else { "" };
        let speed = if self.flags & FAST != 0 { "@fast" } else { "@slow" };
        let all = [has(WRITE, "@write"), has(READ, "@read"), topic, speed];
        all.into_iter().chain([has(DANGEROUS, "@dangerous")]).filter(|name| !name.is_empty())
    }
}

/// Whether an arity allows so many words.
pub(crate) fn arity_allows(arity: i8, words: usize) -> bool {
    let stated = usize::from(arity.unsigned_abs());
    if arity < 0 { words >= stated } else { words == stated }
}

/// The command of this name, whatever its case.
pub(crate) fn find(name: &[u8]) -> Option<&'static Spec> {
    let mut at = place(name);
    loop {
        let number = INDEX[at];
        let spec = SPECS.get(usize::from(number).checked_sub(1)?)?;
        if name.eq_ignore_ascii_case(spec.name.as_bytes()) {
            return Some(spec);
        }
        at = (at + 1) % INDEX.len();
    }
}

/// For each place of a hash table, the number of the command there, from 1; 0 if there is none.
static INDEX: [u8; 512] = index();

const fn index() -> [u8; 512] {
    let mut index = [0; 512];
    let mut number = 0;
    while number < SPECS.len() {
        let mut at = place(SPECS[number].name.as_bytes());
        while index[at] != 0 {
            at = (at + 1) % index.len();
        }
        index[at] = number as u8 + 1;
        number += 1;
    }
    index
}

const fn place(name: &[u8]) -> usize {
    let mut hash = name.len();
    let mut at = 0;
    while at < name.len() && at < 16 {
        hash = hash.wrapping_mul(31).wrapping_add((name[at] | 0x20) as usize);
        at += 1;
    }
    hash % 512
}

/// Where the keys are: first, last, step.
type Keys = (usize, isize, usize);
const NONE: Keys = (0, 0, 0);
const ONE: Keys = (1, 1, 1);
const ALL: Keys = (1, -1, 1);
const PAIRS: Keys = (1, -1, 2);

const SESSION: u16 = NO_SCRIPT | LOADING | STALE | FAST | NO_AUTH | BUSY;
const STORE: u16 = WRITE | MEMORY;

type Run = fn(&mut Call<'_>) -> Executed;

const fn spec(
    topic: Topic,
    name: &'static str,
    arity: i8,
    flags: u16,
    keys: Keys,
    summary: &'static str,
    run: Run,
) -> Spec {
    let (first_key, last_key, key_step) = keys;
    Spec { name, arity, flags, first_key, last_key, key_step, topic, summary, run }
}

const fn string(
    name: &'static str,
    arity: i8,
    flags: u16,
    keys: Keys,
    summary: &'static str,
    run: Run,
) -> Spec {
    spec(Topic::String, name, arity, flags, keys, summary, run)
}

const fn generic(
    name: &'static str,
    arity: i8,
    flags: u16,
    keys: Keys,
    summary: &'static str,
    run: Run,
) -> Spec {
    spec(Topic::Generic, name, arity, flags, keys, summary, run)
}

const fn other(
    topic: Topic,
    name: &'static str,
    arity: i8,
    flags: u16,
    summary: &'static str,
    run: Run,
) -> Spec {
    spec(topic, name, arity, flags, NONE, summary, run)
}

use Topic::{Cluster, Connection, Server};

pub(crate) static SPECS: [Spec; 56] = [
    string("get", 2, READ | FAST, ONE, "Gives a value.", strings::get),
    string(
        "set",
        -3,
        STORE,
        ONE,
        "Sets a value, on conditions and for a time if wanted.",
        strings::set,
    ),
    string("setnx", 3, STORE | FAST, ONE, "Sets a value if the key is absent.", strings::setnx),
    string("setex", 4, STORE, ONE, "Sets a value for some seconds.", strings::setex),
    string("psetex", 4, STORE, ONE, "Sets a value for some milliseconds.", strings::psetex),
    string("getset", 3, STORE | FAST, ONE, "Sets a value and gives the old one.", strings::getset),
    string("getdel", 2, WRITE | FAST, ONE, "Gives a value and removes the key.", strings::getdel),
    string(
        "getex",
        -2,
        WRITE | FAST,
        ONE,
        "Gives a value and sets when the key dies.",
        strings::getex,
    ),
    string("append", 3, STORE | FAST, ONE, "Appends to a value.", strings::append),
    string("strlen", 2, READ | FAST, ONE, "Gives the length of a value.", strings::strlen),
    string("getrange", 4, READ, ONE, "Gives a part of a value.", strings::getrange),
    string("substr", 4, READ, ONE, "Gives a part of a value.", strings::getrange),
    string("setrange", 4, STORE, ONE, "Overwrites a part of a value.", strings::setrange),
    string("incr", 2, STORE | FAST, ONE, "Adds one to an integer.", strings::incr),
    string("decr", 2, STORE | FAST, ONE, "Takes one from an integer.", strings::decr),
    string("incrby", 3, STORE | FAST, ONE, "Adds to an integer.", strings::incrby),
    string("decrby", 3, STORE | FAST, ONE, "Takes from an integer.", strings::decrby),
    string("mget", -2, READ | FAST, ALL, "Gives values of keys of one slot.", strings::mget),
    string(
        "mset",
        -3,
        STORE,
        PAIRS,
        "Sets values of keys of one slot, all or none.",
        strings::mset,
    ),
    string(
        "msetnx",
        -3,
        STORE,
        PAIRS,
        "Sets values of keys of one slot if all are absent.",
        strings::msetnx,
    ),
    generic("del", -2, WRITE, ALL, "Removes keys of one slot.", keys::del),
    generic("unlink", -2, WRITE | FAST, ALL, "Removes keys of one slot.", keys::del),
    generic(
        "exists",
        -2,
        READ | FAST,
        ALL,
        "Counts which keys of one slot are there.",
        keys::exists,
    ),
    generic(
        "touch",
        -2,
        READ | FAST,
        ALL,
        "Counts which keys of one slot are there.",
        keys::exists,
    ),
    generic("type", 2, READ | FAST, ONE, "Names the type of a value.", keys::kind),
    generic("ttl", 2, READ | FAST, ONE, "Tells for how many seconds a key will live.", keys::ttl),
    generic(
        "pttl",
        2,
        READ | FAST,
        ONE,
        "Tells for how many milliseconds a key will live.",
        keys::pttl,
    ),
    generic(
        "expiretime",
        2,
        READ | FAST,
        ONE,
        "Tells in which second a key dies.",
        keys::expiretime,
    ),
    generic(
        "pexpiretime",
        2,
        READ | FAST,
        ONE,
        "Tells in which millisecond a key dies.",
        keys::pexpiretime,
    ),
    generic("expire", -3, WRITE | FAST, ONE, "Lets a key die in some seconds.", keys::expire),
    generic(
        "pexpire",
        -3,
        WRITE | FAST,
        ONE,
        "Lets a key die in some milliseconds.",
        keys::pexpire,
    ),
    generic(
        "expireat",
        -3,
        WRITE | FAST,
        ONE,
        "Lets a key die at a second since 1970.",
        keys::expireat,
    ),
    generic(
        "pexpireat",
        -3,
        WRITE | FAST,
        ONE,
        "Lets a key die at a millisecond since 1970.",
        keys::pexpireat,
    ),
    generic("persist", 2, WRITE | FAST, ONE, "Lets a key live for ever.", keys::persist),
    generic("dbsize", 1, READ | FAST, NONE, "Counts the keys this node leads.", keys::dbsize),
    generic("scan", -2, READ, NONE, "Gives the keys this node leads, page by page.", keys::scan),
    generic(
        "keys",
        2,
        READ | DANGEROUS,
        NONE,
        "Gives all keys this node leads that match.",
        keys::keys,
    ),
    generic(
        "flushall",
        -1,
        WRITE | DANGEROUS,
        NONE,
        "Removes all keys this node leads.",
        keys::flush,
    ),
    generic(
        "flushdb",
        -1,
        WRITE | DANGEROUS,
        NONE,
        "Removes all keys this node leads.",
        keys::flush,
    ),
    other(Connection, "ping", -1, FAST, "Answers.", connection::ping),
    other(Connection, "echo", 2, LOADING | STALE | FAST, "Says the same again.", connection::echo),
    other(Connection, "hello", -1, SESSION, "Chooses the protocol and logs in.", connection::hello),
    other(Connection, "auth", -2, SESSION, "Logs in.", connection::auth),
    other(Connection, "quit", -1, SESSION, "Closes the connection.", connection::quit),
    other(Connection, "reset", 1, SESSION, "Makes the connection like new.", connection::reset),
    other(
        Connection,
        "select",
        2,
        LOADING | STALE | FAST,
        "Chooses database 0, the only one.",
        connection::select,
    ),
    other(
        Connection,
        "client",
        -2,
        NO_SCRIPT | LOADING | STALE,
        "About connections.",
        connection::client,
    ),
    other(Connection, "command", -1, LOADING | STALE, "About commands.", introspection::command),
    other(
        Server,
        "info",
        -1,
        LOADING | STALE | DANGEROUS,
        "Tells how the server is.",
        server::info,
    ),
    other(Server, "config", -2, NO_SCRIPT | LOADING | STALE, "About settings.", config::config),
    other(Server, "time", 1, LOADING | STALE | FAST, "Tells the time.", server::time),
    other(
        Connection,
        "wait",
        3,
        NO_SCRIPT,
        "Tells how many replicas have what was written.",
        server::wait,
    ),
    other(Cluster, "cluster", -2, LOADING | STALE, "About the cluster.", cluster::cluster),
    other(
        Cluster,
        "readonly",
        1,
        LOADING | STALE | FAST,
        "Accepted; reads are linearizable anyway.",
        connection::ok,
    ),
    other(Cluster, "readwrite", 1, LOADING | STALE | FAST, "Accepted.", connection::ok),
    other(Cluster, "asking", 1, FAST, "Accepted.", connection::ok),
];
