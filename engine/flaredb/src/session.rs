//! What a connection remembers about its client.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use crate::resp::Version;
use crate::server::{ClientEntry, Server};

/// A client's state.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: u64,
    pub(crate) version: Version,
    pub(crate) authenticated: bool,
    pub(crate) name: Vec<u8>,
    server: Arc<Server>,
}

impl Session {
    /// A new client, which is put on the list of clients until it is dropped.
    pub(crate) fn new(id: u64, addr: SocketAddr, server: Arc<Server>) -> Self {
        let entry = ClientEntry {
            addr,
            name: String::new(),
            lib_name: String::new(),
            lib_ver: String::new(),
            resp: 2,
            since: Instant::now(),
        };
        server.clients().insert(id, entry);
        Self {
            id,
            version: Version::Two,
            authenticated: server.settings().password.is_none(),
            name: Vec::new(),
            server,
        }
    }

    /// What the connections of this node share.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// Changes the client's line in the list of clients.
    pub(crate) fn note(&self, change: impl FnOnce(&mut ClientEntry)) {
        if let Some(entry) = self.server.clients().get_mut(&self.id) {
            change(entry);
        }
    }

    /// Changes the version of the protocol.
    pub(crate) fn speak(&mut self, version: Version) {
        self.version = version;
        self.note(|entry| entry.resp = version.number());
    }

    /// Checks credentials; lets the client in if they are right.
    pub(crate) fn authenticate(&mut self, user: &[u8], password: &[u8]) -> bool {
        let right = match &self.server.settings().password {
            Some(expected) => user == b"default" && same(expected.as_bytes(), password),
            None => user == b"default",
        };
        self.authenticated |= right;
        right
    }

    /// Forgets everything, as RESET does.
    pub(crate) fn reset(&mut self) {
        self.name.clear();
        self.note(|entry| entry.name.clear());
        self.speak(Version::Two);
        self.authenticated = self.server.settings().password.is_none();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.server.clients().remove(&self.id);
    }
}

/// Whether two secrets are the same, in a time that tells nothing of where they differ.
fn same(expected: &[u8], given: &[u8]) -> bool {
    let differing = expected.iter().zip(given).fold(0u8, |all, (a, b)| all | (a ^ b));
    expected.len() == given.len() && differing == 0
}

/// Whether the address is on this machine.
pub(crate) fn is_local(addr: SocketAddr) -> bool {
    match addr.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => {
            ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback())
        }
    }
}
