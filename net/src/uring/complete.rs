//! From completion queue entries to events.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use io_uring::cqueue;
use socket2::SockRef;

use super::buffers::Buffers;
use super::op::{Op, UserData};
use super::socket::{Ending, Role, Socket};
use super::{SocketEvent, SocketId, Sockets};

impl Sockets {
    /// Digests one completion whose `user_data` bears this slab's tag, appending what it means for
    /// the owner to `events`. A completion of a socket that is gone is ignored.
    ///
    /// The three numbers are those of a completion, unchanged and passed once, of the ring that
    /// [`Self::submit`] was given: they say what buffers hold and which descriptors are new.
    pub fn complete(
        &mut self,
        user_data: u64,
        result: i32,
        flags: u32,
        events: &mut Vec<SocketEvent>,
    ) {
        let Some(data) = UserData::unpack(user_data).filter(|data| data.tag == self.tag) else {
            return;
        };
        let Some(id) = self.awaited(data) else {
            return;
        };
        let Some(socket) = self.slots[id.slot()].socket.as_deref_mut() else {
            return;
        };
        if data.cancel {
            self.in_flight -= 1;
            socket.cancels.remove(data.op);
            if result < 0 {
                // Too late or too early: if the operation is still there it is asked again.
                socket.cancelled.remove(data.op);
            }
        } else {
            if !cqueue::more(flags) {
                self.in_flight -= 1;
                socket.in_flight.remove(data.op);
                socket.cancelled.remove(data.op);
            }
            match data.op {
                Op::Accept => self.accept_stalls += u64::from(accepted(socket, id, result, events)),
                Op::Connect => connected(socket, id, result, events),
                Op::Receive => received(socket, id, result, &mut self.buffers, events),
                Op::Send => sent(socket, id, result, &mut self.buffers, events),
                Op::Wait => {
                    if let Role::Listener { stalled, .. } = &mut socket.role {
                        *stalled = false;
                    }
                }
                Op::Notice => {}
            }
        }
        socket.heed_end_of_stream();
        if socket.is_drained() && socket.is_quiet() {
            self.finish(id, events);
        } else {
            self.touch(id);
        }
    }

    /// The socket that waits for the completion, if it is still the one that asked for it.
    fn awaited(&self, data: UserData) -> Option<SocketId> {
        let place = self.slots.get(data.slot as usize)?;
        let socket = place.socket.as_ref()?;
        let waiting = if data.cancel { socket.cancels } else { socket.in_flight };
        (place.generation as u16 == data.generation && waiting.contains(data.op))
            .then(|| SocketId::new(place.generation, data.slot))
    }

    /// Takes the socket out of the slab and reports its end.
    fn finish(&mut self, id: SocketId, events: &mut Vec<SocketEvent>) {
        let Some(socket) = self.remove(id) else {
            return;
        };
        let Socket { fd, ending, error, input, input_peak, filling, sending, .. } = *socket;
        self.buffers.recycle_output(filling);
        self.buffers.recycle_output(sending);
        match fd {
            Some(fd) if ending == Ending::Release => {
                events.push(SocketEvent::Released { id, fd, input });
            }
            fd => {
                if input_peak > 0 {
                    self.buffers.recycle_input(input, input_peak);
                }
                drop(fd);
                events.push(SocketEvent::Closed { id, error });
            }
        }
    }
}

/// The descriptor a completion brought.
fn own(fd: i32) -> OwnedFd {
    // SAFETY: The kernel has just installed this descriptor for an accept of this process, and
    // said so only here, so nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn failure(result: i32) -> io::Error {
    io::Error::from_raw_os_error(-result)
}

/// Whether the listener has to wait before it accepts again.
fn accepted(socket: &mut Socket, id: SocketId, result: i32, events: &mut Vec<SocketEvent>) -> bool {
    if result >= 0 {
        let fd = own(result);
        let peer = SockRef::from(&fd).peer_addr().ok().and_then(|addr| addr.as_socket());
        // Without an address the connection is over already.
        if let (Some(peer), Ending::Open) = (peer, socket.ending) {
            events.push(SocketEvent::Accepted { listener: id, fd, peer });
        }
        return false;
    }
    // These concern one connection that is gone; anything else would come again at once.
    let passing = matches!(-result, libc::ECONNABORTED | libc::EINTR | libc::EPROTO);
    match &mut socket.role {
        Role::Listener { stalled, .. } if !passing && socket.ending == Ending::Open => {
            *stalled = true;
            true
        }
        _ => false,
    }
}

fn connected(socket: &mut Socket, id: SocketId, result: i32, events: &mut Vec<SocketEvent>) {
    if result < 0 {
        socket.fail(failure(result));
        return;
    }
    socket.role = Role::Stream;
    if socket.ending == Ending::Open {
        events.push(SocketEvent::Connected { id });
    }
}

fn received(
    socket: &mut Socket,
    id: SocketId,
    result: i32,
    buffers: &mut Buffers,
    events: &mut Vec<SocketEvent>,
) {
    match result {
        0 => socket.ended = true,
        1.. => {
            if matches!(socket.ending, Ending::Flush | Ending::Now) {
                return;
            }
            let bytes = &socket.receive_buffer[..result as usize];
            if socket.input.is_empty() && socket.input_peak == 0 {
                socket.input = buffers.input(socket.receive_buffer.len());
            }
            socket.input.extend_from_slice(bytes);
            socket.input_peak = socket.input_peak.max(socket.input.len());
            if socket.ending == Ending::Open {
                events.push(SocketEvent::Received { id });
            }
        }
        _ => match -result {
            libc::EINTR | libc::EAGAIN => {}
            libc::ECANCELED if socket.ending != Ending::Open => {}
            _ => socket.fail(failure(result)),
        },
    }
}

fn sent(
    socket: &mut Socket,
    id: SocketId,
    result: i32,
    buffers: &mut Buffers,
    events: &mut Vec<SocketEvent>,
) {
    match result {
        0 => socket.fail(io::ErrorKind::WriteZero.into()),
        1.. => {
            socket.sent += result as usize;
            if socket.sent == socket.sending.len() {
                buffers.recycle_output(std::mem::take(&mut socket.sending));
                socket.sent = 0;
            }
            if socket.pending_output() == 0 && socket.ending == Ending::Open {
                events.push(SocketEvent::Sent { id });
            }
        }
        _ => match -result {
            libc::EINTR | libc::EAGAIN => {}
            _ => socket.fail(failure(result)),
        },
    }
}
