//! Where the writes of a log go: into a ring here, elsewhere in [`crate::blocking`].

use std::fs::File;
use std::os::fd::AsRawFd;

use io_uring::{SubmissionQueue, opcode, types};

/// A durable write that is to start. Its bytes lie in the header block or in a slab of the arena.
/// Neither is moved, freed or written to before the write completes: a slab with unfinished batches
/// is never reused, the header block is used again only when nothing is in flight, and dropping
/// the log with operations in flight leaks both. The file stays open: the segment in use is dropped
/// only when all writes to it are durable.
pub(crate) struct Write<'a> {
    /// What its completion carries.
    pub(crate) user_data: u64,
    pub(crate) file: &'a File,
    pub(crate) bytes: &'a [u8],
    /// Where in the file, in bytes.
    pub(crate) offset: u64,
}

/// What takes the writes of a log; it completes each of them, at any time.
pub(crate) trait Queue {
    /// Whether it takes one more.
    fn has_room(&mut self) -> bool;

    /// Takes a write; `false` when it does not, which is a failure if it had room.
    fn push(&mut self, write: &Write<'_>) -> bool;
}

impl Queue for SubmissionQueue<'_> {
    fn has_room(&mut self) -> bool {
        !self.is_full()
    }

    fn push(&mut self, write: &Write<'_>) -> bool {
        let fd = types::Fd(write.file.as_raw_fd());
        // A batch is never larger than a segment.
        let entry = opcode::Write::new(fd, write.bytes.as_ptr(), write.bytes.len() as u32);
        let entry = entry.offset(write.offset).build().user_data(write.user_data);
        // SAFETY: bytes and file stay where they are until this write completes, see [`Write`].
        unsafe { SubmissionQueue::push(self, &entry) }.is_ok()
    }
}
