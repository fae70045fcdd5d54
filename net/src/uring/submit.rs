//! From what sockets want to submission queue entries.

use io_uring::types::Fd;
use io_uring::{SubmissionQueue, opcode, squeue};

use super::op::{Op, OpSet, UserData};
use super::socket::{Ending, Role, Socket};
use super::{SocketLimits, Sockets};

/// The most bytes one send names; more follow in the next.
const SEND_BYTES_MAX: usize = 1 << 30;

/// The submission queue has no room.
struct Full;

/// The submission queue as one socket sees it.
struct Queue<'a, 'q> {
    sq: &'a mut SubmissionQueue<'q>,
    tag: u8,
    generation: u16,
    slot: u32,
    pushed: usize,
}

impl Queue<'_, '_> {
    fn user_data(&self, op: Op, cancel: bool) -> u64 {
        let (tag, generation, slot) = (self.tag, self.generation, self.slot);
        UserData { tag, op, cancel, generation, slot }.pack()
    }

    fn push(&mut self, entry: squeue::Entry, op: Op, cancel: bool) -> Result<(), Full> {
        let entry = entry.user_data(self.user_data(op, cancel));
        // SAFETY: Whatever the entry points to lies in a boxed `Socket` or in a buffer it owns.
        // `arm` marks the operation in flight once this returns, and until its completion the
        // socket is neither moved nor freed nor is that memory touched; see `Drop for Sockets`.
        unsafe { self.sq.push(&entry) }.map_err(|_| Full)?;
        self.pushed += 1;
        Ok(())
    }

    /// Pushes `op` unless it is in flight, which it is after.
    fn start(
        &mut self,
        in_flight: &mut OpSet,
        op: Op,
        entry: impl FnOnce() -> squeue::Entry,
    ) -> Result<(), Full> {
        if !in_flight.contains(op) {
            self.push(entry(), op, false)?;
            in_flight.insert(op);
        }
        Ok(())
    }
}

impl Sockets {
    /// Pushes what is due for the sockets touched since the last call: accepts, connects,
    /// receives, sends, cancellations. Returns how many entries were pushed. If the queue is full
    /// the rest stays due; the owner enters the ring and calls again.
    pub fn submit(&mut self, sq: &mut SubmissionQueue<'_>) -> usize {
        let mut pushed_in_all = 0;
        while let Some(&slot) = self.dirty.front() {
            let Some(place) = self.slots.get_mut(slot as usize) else {
                break;
            };
            if let Some(socket) = &mut place.socket {
                let generation = place.generation as u16;
                let mut queue = Queue { sq, tag: self.tag, generation, slot, pushed: 0 };
                let outcome = arm(socket, &self.limits, &mut queue);
                self.in_flight += queue.pushed;
                pushed_in_all += queue.pushed;
                if outcome.is_err() {
                    break;
                }
                socket.dirty = false;
                if socket.input.is_empty() && socket.input_peak > 0 {
                    let input = std::mem::take(&mut socket.input);
                    self.buffers.recycle_input(input, std::mem::take(&mut socket.input_peak));
                }
                if socket.filling.is_empty() {
                    self.buffers.recycle_output(std::mem::take(&mut socket.filling));
                }
            }
            self.dirty.pop_front();
        }
        pushed_in_all
    }
}

/// Pushes all that `socket` wants. May be called again after [`Full`].
fn arm(socket: &mut Socket, limits: &SocketLimits, q: &mut Queue<'_, '_>) -> Result<(), Full> {
    socket.heed_end_of_stream();
    let fd = socket.raw_fd();
    if socket.ending != Ending::Now {
        let in_flight = &mut socket.in_flight;
        match &socket.role {
            Role::Listener { backoff, stalled: true } => {
                q.start(in_flight, Op::Wait, || opcode::Timeout::new(backoff).build())?;
            }
            Role::Listener { stalled: false, .. } => {
                let accept = opcode::AcceptMulti::new(fd).flags(libc::SOCK_CLOEXEC);
                q.start(in_flight, Op::Accept, || accept.build())?;
            }
            Role::Connecting { addr } => {
                let connect = opcode::Connect::new(fd, addr.as_ptr().cast(), addr.len());
                q.start(in_flight, Op::Connect, || connect.build())?;
            }
            Role::Stream => {}
        }
    }
    if socket.wants_send() {
        arm_send(socket, fd, q)?;
    }
    if socket.wants_receive(limits.input_bytes_max) {
        arm_receive(socket, fd, limits.recv_bytes, q)?;
    }
    arm_end(socket, q)
}

fn arm_send(socket: &mut Socket, fd: Fd, q: &mut Queue<'_, '_>) -> Result<(), Full> {
    if socket.sent == socket.sending.len() {
        std::mem::swap(&mut socket.sending, &mut socket.filling);
        socket.filling.clear();
        socket.sent = 0;
    }
    let unsent = &socket.sending[socket.sent..];
    let bytes = unsent.len().min(SEND_BYTES_MAX) as u32;
    let send =
        opcode::Send::new(fd, unsent.as_ptr(), bytes).flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL);
    q.start(&mut socket.in_flight, Op::Send, || send.build())
}

fn arm_receive(
    socket: &mut Socket,
    fd: Fd,
    recv_bytes: usize,
    q: &mut Queue<'_, '_>,
) -> Result<(), Full> {
    if socket.receive_buffer.is_empty() {
        socket.receive_buffer = vec![0; recv_bytes].into_boxed_slice();
    }
    let buffer = &mut socket.receive_buffer;
    let receive = opcode::Recv::new(fd, buffer.as_mut_ptr(), buffer.len() as u32);
    q.start(&mut socket.in_flight, Op::Receive, || receive.build())
}

/// Cancels what stands between an ending socket and its end.
fn arm_end(socket: &mut Socket, q: &mut Queue<'_, '_>) -> Result<(), Full> {
    if socket.ending == Ending::Open {
        return Ok(());
    }
    let drained = socket.is_drained();
    for op in Op::ALL {
        let unneeded = drained || (op == Op::Receive && socket.ending == Ending::Release);
        let cancellable = socket.in_flight.contains(op) && !socket.cancelled.contains(op);
        if unneeded && cancellable && op != Op::Notice {
            let cancel = opcode::AsyncCancel::new(q.user_data(op, false));
            q.push(cancel.build(), op, true)?;
            socket.cancelled.insert(op);
            socket.cancels.insert(op);
        }
    }
    if drained && socket.is_quiet() {
        q.start(&mut socket.in_flight, Op::Notice, || opcode::Nop::new().build())?;
    }
    Ok(())
}
