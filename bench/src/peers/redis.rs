//! One redis-server that fsyncs its log before it answers.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use super::Running;
use crate::error::BenchError;
use crate::load::{Dialect, Reply, Routing, Target, ask};
use crate::process::{Server, free_ports, on_path};

pub(super) fn start(folder: &Path) -> Result<Running, BenchError> {
    let program = on_path("redis-server").ok_or(BenchError::Missing {
        program: "redis-server",
        install: "apt-get install redis-server",
    })?;
    let port = free_ports(1)?[0];
    let mut command = Command::new(program);
    command
        .args(["--bind", "127.0.0.1", "--appendonly", "yes"])
        .args(["--appendfsync", "always", "--save", ""])
        // A rewrite of the log in the middle of a run would be measured as if it were the load.
        .args(["--auto-aof-rewrite-percentage", "0"])
        .arg("--port")
        .arg(port.to_string())
        .arg("--dir")
        .arg(folder);
    let mut server = Server::start("redis-server", &mut command, folder.join("redis.log"))?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    server.wait_until(|| matches!(ask(address, &[b"PING"]), Ok(Reply::Text(_))))?;
    Ok(Running {
        servers: vec![server],
        target: Target {
            endpoints: vec![address],
            routing: Routing::PerClient,
            dialect: Dialect::Resp,
        },
    })
}
