//! The shard's ring: the one place where a shard enters the kernel, and where it sleeps.
//!
//! WAL writes, sockets and wake-ups share it. What a completion belongs to is the top byte of its
//! `user_data`; the owner of that byte digests it.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode, squeue};

/// Completions of WAL writes.
pub(crate) const TAG_WAL: u8 = 1;
/// Completions of socket operations.
pub(crate) const TAG_NET: u8 = 2;
/// Completions of the wake-up read.
pub(crate) const TAG_WAKE: u8 = 3;

const ENTRIES: u32 = 512;

/// One completion.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Completion {
    pub(crate) user_data: u64,
    pub(crate) result: i32,
    pub(crate) flags: u32,
}

impl Completion {
    pub(crate) fn tag(self) -> u8 {
        (self.user_data >> 56) as u8
    }
}

/// The ring of one shard, made and used on the shard's thread.
pub(crate) struct Ring {
    uring: IoUring,
    wake: RawFd,
    /// Where the kernel puts the count of wake-ups. Leaked (8 bytes a ring): the kernel ends a
    /// ring's operations some time after the ring is closed.
    wake_count: *mut u64,
    wake_armed: bool,
}

impl Ring {
    /// A ring that also listens to the eventfd `wake`, which must outlive it.
    pub(crate) fn new(wake: &impl AsRawFd) -> io::Result<Self> {
        let uring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_clamp()
            .setup_cqsize(ENTRIES * 4)
            .build(ENTRIES)?;
        Ok(Self {
            uring,
            wake: wake.as_raw_fd(),
            wake_count: Box::leak(Box::new(0)),
            wake_armed: false,
        })
    }

    /// Takes all completions that have appeared, appending them to `out`.
    pub(crate) fn reap(&mut self, out: &mut Vec<Completion>) {
        for cqe in self.uring.completion() {
            let completion =
                Completion { user_data: cqe.user_data(), result: cqe.result(), flags: cqe.flags() };
            if completion.tag() == TAG_WAKE {
                self.wake_armed = false;
            } else {
                out.push(completion);
            }
        }
    }

    /// Lets `fill` put entries into the submission queue.
    pub(crate) fn fill<R>(
        &mut self,
        fill: impl FnOnce(&mut squeue::SubmissionQueue<'_>) -> R,
    ) -> R {
        fill(&mut self.uring.submission())
    }

    /// Whether the submission queue had no room left, so that more submissions wait for the next
    /// enter.
    pub(crate) fn is_full(&mut self) -> bool {
        self.uring.submission().is_full()
    }

    /// Enters the kernel: submits, and waits for a completion for at most `wait` (zero: not at all,
    /// but the deferred work that makes completions appear is run; `None`: as long as it takes).
    pub(crate) fn enter(&mut self, wait: Option<Duration>) -> io::Result<()> {
        self.arm_wake();
        let result = match wait {
            Some(wait) => {
                let timespec = Timespec::from(wait);
                self.uring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&timespec))
            }
            None => self.uring.submitter().submit_and_wait(1),
        };
        match result {
            Ok(_) => Ok(()),
            Err(e) => match e.raw_os_error() {
                Some(libc::ETIME | libc::EINTR | libc::EAGAIN | libc::EBUSY) => Ok(()),
                _ => Err(e),
            },
        }
    }

    fn arm_wake(&mut self) {
        if self.wake_armed {
            return;
        }
        let entry = opcode::Read::new(Fd(self.wake), self.wake_count.cast(), 8)
            .build()
            .user_data(u64::from(TAG_WAKE) << 56);
        // SAFETY: the buffer is a leaked word, valid for ever, and nobody else reads or writes it.
        self.wake_armed = unsafe { self.uring.submission().push(&entry) }.is_ok();
    }
}
