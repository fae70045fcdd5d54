//! Listening sockets, made by hand.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::error::BindError;

/// How many connections the kernel keeps for a listener that has not accepted them yet.
const BACKLOG: i32 = 1024;

/// How long a port may stay taken. The kernel ends the ring of a killed process after the process
/// itself, and only then its sockets: who restarts at once finds the port in use for milliseconds,
/// on a busy machine for longer.
const PORT_WAIT: Duration = Duration::from_secs(2);

/// How long to wait before the next look at a taken port.
const PORT_PAUSE: Duration = Duration::from_millis(5);

/// A TCP listener on `addr`, with SO_REUSEADDR so that a restart need not wait, and never with
/// SO_REUSEPORT, which would let two servers share a port unnoticed. Blocks for up to two seconds
/// while the port is taken, for that of a killed process is free only when its ring has ended.
///
/// # Errors
/// A [`BindError`] that says what is wrong and what to do.
pub fn bind_listener(addr: SocketAddr) -> Result<TcpListener, BindError> {
    bind_patiently(addr).map_err(|source| match source.raw_os_error() {
        Some(libc::EADDRINUSE) => BindError::InUse { addr },
        Some(libc::EACCES | libc::EPERM) => BindError::NotPermitted { addr },
        Some(libc::EADDRNOTAVAIL) => BindError::NotLocal { addr },
        Some(libc::EMFILE | libc::ENFILE) => BindError::Descriptors { addr },
        _ => BindError::Other { addr, source },
    })
}

fn bind_patiently(addr: SocketAddr) -> io::Result<TcpListener> {
    let until = Instant::now() + PORT_WAIT;
    loop {
        match bind(addr) {
            Err(error)
                if error.raw_os_error() == Some(libc::EADDRINUSE) && Instant::now() < until =>
            {
                thread::sleep(PORT_PAUSE);
            }
            ended => return ended,
        }
    }
}

fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_named_with_the_remedy() {
        let first = bind_listener(([127, 0, 0, 1], 0).into()).unwrap();
        let addr = first.local_addr().unwrap();
        let error = bind_listener(addr).unwrap_err();
        let port = addr.port();
        assert_eq!(
            error.to_string(),
            format!(
                "port {port} on 127.0.0.1 is already in use; stop the other process or choose \
                 another port"
            )
        );
        drop(first);
        bind_listener(addr).unwrap();
    }

    #[test]
    fn a_port_that_is_let_go_in_time_is_taken() {
        let first = bind_listener(([127, 0, 0, 1], 0).into()).unwrap();
        let addr = first.local_addr().unwrap();
        let holder = thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            drop(first);
        });
        bind_listener(addr).unwrap();
        holder.join().unwrap();
    }

    #[test]
    fn a_foreign_address_is_named() {
        let addr: SocketAddr = ([192, 0, 2, 1], 0).into();
        let error = bind_listener(addr).unwrap_err();
        assert!(matches!(error, BindError::NotLocal { .. }), "{error}");
    }

    #[test]
    fn a_port_is_not_shared() {
        let listener = bind_listener(([127, 0, 0, 1], 0).into()).unwrap();
        let socket = socket2::SockRef::from(&listener);
        assert!(!socket.reuse_port().unwrap());
        assert!(socket.reuse_address().unwrap());
    }
}
