//! Three etcd processes on loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use super::Running;
use crate::error::BenchError;
use crate::load::{Dialect, Routing, Target};
use crate::process::{Server, answers, free_ports, on_path};

const NODES: usize = 3;
/// More than any round writes; the default of 2 GiB would stop a long one.
const BACKEND_BYTES: &str = "8589934592";

pub(super) fn start(folder: &Path) -> Result<Running, BenchError> {
    let program = on_path("etcd")
        .ok_or(BenchError::Missing { program: "etcd", install: "apt-get install etcd-server" })?;
    let ports = free_ports(2 * NODES)?;
    let (clients, peers) = ports.split_at(NODES);
    let cluster: Vec<String> =
        (0..NODES).map(|n| format!("n{n}=http://127.0.0.1:{}", peers[n])).collect();
    let cluster = cluster.join(",");
    let mut servers = Vec::new();
    for n in 0..NODES {
        let client = format!("http://127.0.0.1:{}", clients[n]);
        let peer = format!("http://127.0.0.1:{}", peers[n]);
        let mut command = Command::new(&program);
        command
            .args(["--name", &format!("n{n}"), "--log-level", "warn"])
            .args(["--listen-client-urls", &client])
            .args(["--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer])
            .args(["--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &cluster])
            .args(["--initial-cluster-state", "new"])
            .args(["--quota-backend-bytes", BACKEND_BYTES])
            .arg("--data-dir")
            .arg(folder.join(format!("etcd-{n}")));
        let log = folder.join(format!("etcd-{n}.log"));
        servers.push(Server::start("etcd", &mut command, log)?);
    }
    let endpoints: Vec<SocketAddr> =
        clients.iter().map(|&port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).collect();
    for (server, &address) in servers.iter_mut().zip(&endpoints) {
        // The client port is opened once the member has joined and knows a leader.
        server.wait_until(|| answers(address))?;
    }
    thread::sleep(Duration::from_secs(1));
    Ok(Running {
        servers,
        target: Target { endpoints, routing: Routing::PerClient, dialect: Dialect::Etcd },
    })
}
