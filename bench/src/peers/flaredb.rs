//! FlareDB: three nodes in one process, as `flaredb dev` runs them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use super::{FlaredbOptions, Running};
use crate::error::BenchError;
use crate::load::{Dialect, Reply, Routing, SLOTS, Target, ask};
use crate::process::{Server, answers, on_path};

const NODES: u16 = 3;
/// Peer ports lie this far above client ports.
const PEER_PORT_OFFSET: u16 = 10_000;

pub(super) fn start(folder: &Path, options: &FlaredbOptions) -> Result<Running, BenchError> {
    let program = find(options)?;
    let port = free_base_port()?;
    let mut command = Command::new(program);
    command
        .args(["dev", "--nodes", "3", "--port", &port.to_string()])
        .arg("--data")
        .arg(folder.join("flaredb"))
        .args(&options.arguments);
    let mut server = Server::start("flaredb", &mut command, folder.join("flaredb.log"))?;
    let first = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    server.wait_until(|| is_ready(first))?;
    Ok(Running { servers: vec![server], target: target(first)? })
}

fn find(options: &FlaredbOptions) -> Result<PathBuf, BenchError> {
    let beside = || {
        let own = std::env::current_exe().ok()?;
        let path = own.parent()?.join("flaredb");
        path.is_file().then_some(path)
    };
    let given = options.binary.clone();
    given.or_else(beside).or_else(|| on_path("flaredb")).ok_or(BenchError::Missing {
        program: "flaredb",
        install: "cargo build --release -p flaredb",
    })
}

/// A port such that it and its successors are free for clients, and their counterparts for peers.
fn free_base_port() -> Result<u16, BenchError> {
    let free = |port: u16| {
        (0..NODES).all(|n| {
            let client = SocketAddr::from((Ipv4Addr::LOCALHOST, port + n));
            let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, port + n + PEER_PORT_OFFSET));
            !answers(client) && !answers(peer)
        })
    };
    let mut candidates = (17..60u16).map(|n| n * 100 + 7_001);
    candidates
        .find(|&port| port < 20_000 && free(port))
        .ok_or_else(|| BenchError::Usage("no free ports for flaredb".to_owned()))
}

/// Whether every slot has a leader that can be reached.
fn is_ready(address: SocketAddr) -> bool {
    let info = ask(address, &[b"CLUSTER", b"INFO"]);
    info.is_ok_and(|reply| reply.text().is_some_and(|text| text.contains("cluster_state:ok")))
}

fn target(address: SocketAddr) -> Result<Target, BenchError> {
    let reply = ask(address, &[b"CLUSTER", b"SLOTS"])?;
    let (endpoints, leaders) =
        leaders(&reply).ok_or_else(|| BenchError::Answer(format!("CLUSTER SLOTS: {reply:?}")))?;
    Ok(Target { endpoints, routing: Routing::Slots(Arc::new(leaders)), dialect: Dialect::Resp })
}

/// The nodes that lead slots, and which of them leads each slot; nothing if a slot has no leader.
fn leaders(reply: &Reply) -> Option<(Vec<SocketAddr>, Vec<u8>)> {
    let Reply::List(ranges) = reply else {
        return None;
    };
    let mut endpoints: Vec<SocketAddr> = Vec::new();
    let mut leaders = vec![u8::MAX; SLOTS];
    for range in ranges {
        let Reply::List(parts) = range else {
            return None;
        };
        let [Reply::Integer(from), Reply::Integer(to), Reply::List(node), ..] = &parts[..] else {
            return None;
        };
        let [ip, Reply::Integer(port), ..] = &node[..] else {
            return None;
        };
        let ip: std::net::IpAddr = ip.text()?.parse().ok()?;
        let address = SocketAddr::from((ip, u16::try_from(*port).ok()?));
        let place = endpoints.iter().position(|e| *e == address);
        let place = place.unwrap_or_else(|| {
            endpoints.push(address);
            endpoints.len() - 1
        });
        let slots = leaders.get_mut(usize::try_from(*from).ok()?..=usize::try_from(*to).ok()?)?;
        slots.fill(u8::try_from(place).ok()?);
    }
    let complete = !leaders.contains(&u8::MAX);
    complete.then_some((endpoints, leaders))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: i64, to: i64, port: i64) -> Reply {
        let node = vec![Reply::Text(b"127.0.0.1".to_vec()), Reply::Integer(port)];
        Reply::List(vec![Reply::Integer(from), Reply::Integer(to), Reply::List(node)])
    }

    #[test]
    fn slots_lead_to_nodes() {
        let reply = Reply::List(vec![range(0, 99, 1), range(100, 199, 2), range(200, 16_383, 1)]);
        let (endpoints, leaders) = leaders(&reply).unwrap();
        assert_eq!(endpoints.len(), 2);
        assert_eq!((leaders[99], leaders[100], leaders[16_383]), (0, 1, 0));
    }

    #[test]
    fn a_slot_without_a_leader_is_refused() {
        assert!(leaders(&Reply::List(vec![range(0, 16_382, 1)])).is_none());
    }
}
