//! A client that tries everything once, at a node of the caller's choice, and says what is known.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::support::resp::{Connection, Reply, slot};

/// What one attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Known(Reply),
    /// It certainly did not and will not take effect.
    Refused(String),
    /// It may take effect now, later or never.
    Unknown(String),
}

/// Connections to all nodes, and who was last said to lead a slot.
pub(crate) struct Probe {
    nodes: Vec<SocketAddr>,
    connections: Vec<Option<Connection>>,
    leaders: HashMap<u16, usize>,
}

impl Probe {
    pub(crate) fn new(nodes: &[SocketAddr]) -> Self {
        let connections = nodes.iter().map(|_| None).collect();
        Self { nodes: nodes.to_vec(), connections, leaders: HashMap::new() }
    }

    /// The place in the list of the node that is believed to lead the key's group.
    pub(crate) fn leader(&self, key: &str) -> Option<usize> {
        self.leaders.get(&slot(key)).copied()
    }

    /// Asks a node; a connection that has to be opened for that gets this patience for its life.
    pub(crate) fn call(&mut self, node: usize, words: &[&str], patience: Duration) -> Answer {
        let slot = slot(words[1]);
        if self.connections[node].is_none() {
            match Connection::open(self.nodes[node], patience) {
                Ok(connection) => self.connections[node] = Some(connection),
                Err(error) => {
                    self.leaders.remove(&slot);
                    return Answer::Refused(format!("connect: {error}"));
                }
            }
        }
        let connection = self.connections[node].as_mut().unwrap();
        match connection.call(words) {
            Ok(reply) => self.learn(slot, node, understand(reply, words)),
            Err(error) => {
                // It was sent, or a part of it.
                self.connections[node] = None;
                self.leaders.remove(&slot);
                Answer::Unknown(error.to_string())
            }
        }
    }

    /// Remembers who leads.
    fn learn(&mut self, slot: u16, node: usize, answer: Answer) -> Answer {
        let leader = match &answer {
            Answer::Known(_) => Some(node),
            Answer::Refused(text) if text.starts_with("MOVED ") => {
                let to = text.rsplit(' ').next().and_then(|a| a.parse::<SocketAddr>().ok());
                self.nodes.iter().position(|n| Some(*n) == to)
            }
            Answer::Refused(_) | Answer::Unknown(_) => None,
        };
        match leader {
            Some(node) => drop(self.leaders.insert(slot, node)),
            None => drop(self.leaders.remove(&slot)),
        }
        answer
    }
}

/// What a reply means; panics on an error that no correct client should ever see.
pub(crate) fn understand(reply: Reply, words: &[&str]) -> Answer {
    let Reply::Error(text) = reply else {
        return Answer::Known(reply);
    };
    match text.split(' ').next().unwrap_or_default() {
        "MOVED" | "CLUSTERDOWN" | "LOADING" | "OVERLOADED" => Answer::Refused(text),
        "UNCERTAIN" => Answer::Unknown(text),
        _ => panic!("{words:?} was answered with {text}"),
    }
}
