//! A cluster client that never repeats a write whose fate it does not know.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use super::resp::{Connection, Reply, slot};

/// What is known of a write after it was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was acknowledged with this reply.
    Done(Reply),
    /// It may or may not have been applied.
    Maybe,
    /// The patience ran out while every answer said that it was not applied.
    Refused(String),
}

/// How long a single reply may take.
const REPLY_PATIENCE: Duration = Duration::from_secs(10);

/// What one attempt came to.
enum Attempt {
    Fate(Fate),
    /// Certainly not applied; ask this node next, if one was named.
    Again(String, Option<SocketAddr>),
}

/// A client of the whole cluster.
pub(crate) struct ClusterClient {
    nodes: Vec<SocketAddr>,
    connections: HashMap<SocketAddr, Connection>,
    leaders: HashMap<u16, SocketAddr>,
    next: usize,
}

impl ClusterClient {
    pub(crate) fn new(nodes: &[SocketAddr]) -> Self {
        Self {
            nodes: nodes.to_vec(),
            connections: HashMap::new(),
            leaders: HashMap::new(),
            next: 0,
        }
    }

    /// Does a command on the key in its second word; repeats only what was certainly not applied.
    pub(crate) fn call(&mut self, words: &[&str], patience: Duration) -> Fate {
        let until = Instant::now() + patience;
        let slot = slot(words[1]);
        loop {
            let (why, hint) = match self.attempt(words, slot) {
                Attempt::Fate(fate) => return fate,
                Attempt::Again(why, hint) => (why, hint),
            };
            match hint {
                Some(leader) => drop(self.leaders.insert(slot, leader)),
                None => {
                    self.leaders.remove(&slot);
                    self.next += 1;
                    thread::sleep(Duration::from_millis(20));
                }
            }
            if Instant::now() > until {
                return Fate::Refused(why);
            }
        }
    }

    /// Does a command that changes nothing, as often as needed; panics when the patience is over.
    pub(crate) fn read(&mut self, words: &[&str], patience: Duration) -> Reply {
        let until = Instant::now() + patience;
        loop {
            match self.call(words, patience) {
                Fate::Done(reply) => return reply,
                other => assert!(Instant::now() < until, "{words:?}: {other:?}"),
            }
        }
    }

    fn attempt(&mut self, words: &[&str], slot: u16) -> Attempt {
        let any = self.nodes[self.next % self.nodes.len()];
        let node = self.leaders.get(&slot).copied().unwrap_or(any);
        let connection = match self.connection(node) {
            Ok(connection) => connection,
            Err(error) => return Attempt::Again(format!("{node}: {error}"), None),
        };
        match connection.call(words) {
            Ok(Reply::Error(text)) => self.refused(&text, words),
            Ok(reply) => {
                self.leaders.insert(slot, node);
                Attempt::Fate(Fate::Done(reply))
            }
            Err(_) => {
                // It was sent, or a part of it: nobody knows.
                self.connections.remove(&node);
                self.leaders.remove(&slot);
                Attempt::Fate(Fate::Maybe)
            }
        }
    }

    /// What an error reply means; panics on one that no correct client should ever see.
    fn refused(&mut self, text: &str, words: &[&str]) -> Attempt {
        match text.split(' ').next().unwrap_or_default() {
            "MOVED" => {
                let to = text.rsplit(' ').next().and_then(|a| a.parse().ok());
                Attempt::Again(text.to_owned(), to)
            }
            "CLUSTERDOWN" | "LOADING" | "OVERLOADED" => Attempt::Again(text.to_owned(), None),
            "UNCERTAIN" => Attempt::Fate(Fate::Maybe),
            _ => panic!("{words:?} was answered with {text}"),
        }
    }

    fn connection(&mut self, node: SocketAddr) -> io::Result<&mut Connection> {
        Ok(match self.connections.entry(node) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(none) => none.insert(Connection::open(node, REPLY_PATIENCE)?),
        })
    }
}
