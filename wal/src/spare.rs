//! The next segments, made ready by a thread of their own so that no append waits for a
//! directory.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::arena::Blocks;
use crate::disk::{Access, path_of, sync_dir};
use crate::op::SegmentId;

/// How long to wait after a segment could not be made.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// How much is written at once, in bytes.
const FILL_BYTES: usize = 1 << 20;

/// A zero-filled segment file, durable under its final name.
pub(crate) struct Spare {
    pub(crate) id: SegmentId,
    pub(crate) file: File,
    pub(crate) salt: u64,
}

/// What to do to get a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Write a new file.
    Make(SegmentId),
    /// Take a file that an earlier process made and never used.
    Adopt(SegmentId),
    /// Remove a file that is not part of the log.
    Remove(SegmentId),
}

/// Carries out an order; a spare, unless it was a removal. Runs on the thread.
pub(crate) type Workshop = Box<dyn FnMut(Order, &AtomicBool) -> io::Result<Option<Spare>> + Send>;

/// The thread and the two channels to it.
pub(crate) struct Spares {
    orders: Option<Sender<Order>>,
    results: Receiver<io::Result<Spare>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    adopt: VecDeque<SegmentId>,
    next: SegmentId,
    ordered: usize,
}

impl Spares {
    /// Starts the thread. `adopt` are clean files to use first; new ones are numbered from `next`
    /// on.
    pub(crate) fn start(
        workshop: Workshop,
        remove: Vec<SegmentId>,
        adopt: VecDeque<SegmentId>,
        next: SegmentId,
    ) -> io::Result<Self> {
        let (orders, inbox) = channel();
        let (outbox, results) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let work = move || run(workshop, &inbox, &outbox, &flag);
        let thread = thread::Builder::new().name("wal-spare".to_owned()).spawn(work)?;
        for segment in remove {
            // The thread lives as long as this value, so the channel is open.
            let _ = orders.send(Order::Remove(segment));
        }
        let (orders, thread) = (Some(orders), Some(thread));
        Ok(Self { orders, results, stop, thread, adopt, next, ordered: 0 })
    }

    /// Segments ordered and not delivered yet.
    pub(crate) const fn ordered(&self) -> usize {
        self.ordered
    }

    /// Orders one more segment.
    pub(crate) fn order(&mut self) {
        let order = match self.adopt.pop_front() {
            Some(segment) => Order::Adopt(segment),
            None => {
                let segment = self.next;
                self.next = SegmentId(segment.0 + 1);
                Order::Make(segment)
            }
        };
        if self.orders.as_ref().is_some_and(|orders| orders.send(order).is_ok()) {
            self.ordered += 1;
        }
    }

    /// A segment that has become ready, or why the oldest order failed, once for each reason; it is
    /// tried again.
    pub(crate) fn poll(&mut self) -> Option<io::Result<Spare>> {
        match self.results.try_recv() {
            Ok(result) => Some(self.delivered(result)),
            Err(_) => None,
        }
    }

    /// As [`Spares::poll`], but waits.
    pub(crate) fn wait(&mut self) -> Option<io::Result<Spare>> {
        self.results.recv().ok().map(|result| self.delivered(result))
    }

    fn delivered(&mut self, result: io::Result<Spare>) -> io::Result<Spare> {
        self.ordered -= usize::from(result.is_ok());
        result
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; there is nothing to add.
            let _ = thread.join();
        }
    }
}

fn run(
    mut workshop: Workshop,
    orders: &Receiver<Order>,
    results: &Sender<io::Result<Spare>>,
    stop: &AtomicBool,
) {
    while let Ok(order) = orders.recv() {
        let mut told = None;
        loop {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            match workshop(order, stop) {
                Ok(None) => break,
                Ok(Some(spare)) => {
                    if results.send(Ok(spare)).is_err() {
                        return;
                    }
                    break;
                }
                // A file that cannot be removed costs space, nothing else; the next opening tries
                // again.
                Err(_) if matches!(order, Order::Remove(_)) => break,
                Err(error) => {
                    let reason = Some((error.kind(), error.raw_os_error()));
                    if told != reason && results.send(Err(error)).is_err() {
                        return;
                    }
                    told = reason;
                    pause(stop);
                }
            }
        }
    }
}

/// Waits for the next attempt, in pieces so that a shutdown need not wait for all of it.
fn pause(stop: &AtomicBool) {
    for _ in 0..10 {
        if !stop.load(Ordering::Relaxed) {
            thread::sleep(RETRY_AFTER / 10);
        }
    }
}

/// The workshop for real folders.
pub(crate) fn workshop(dir: PathBuf, segment_bytes: u64, access: Access) -> Workshop {
    Box::new(move |order, stop| {
        let id = match order {
            Order::Remove(segment) => {
                fs::remove_file(path_of(&dir, segment))?;
                return sync_dir(&dir).map(|()| None);
            }
            Order::Adopt(segment) => segment,
            Order::Make(segment) => {
                let path = path_of(&dir, segment);
                if let Err(error) = fill(&path, segment_bytes, access, stop) {
                    // Half a file is worth nothing and takes space.
                    let _ = fs::remove_file(&path);
                    return Err(error);
                }
                sync_dir(&dir)?;
                segment
            }
        };
        let file = access.open(&path_of(&dir, id))?;
        Ok(Some(Spare { id, file, salt: random()? }))
    })
}

/// Writes a file of zeros: real blocks, so that a later write changes no metadata of the file
/// system.
fn fill(path: &std::path::Path, bytes: u64, access: Access, stop: &AtomicBool) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).custom_flags(access.flag());
    let file = options.open(path)?;
    claim(&file, bytes)?;
    let zeros = Blocks::zeroed(FILL_BYTES.min(bytes as usize));
    let mut at = 0;
    while at < bytes {
        if stop.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let len = zeros.len().min((bytes - at) as usize);
        file.write_all_at(&zeros.bytes()[..len], at)?;
        at += len as u64;
    }
    file.sync_all()
}

/// Claims the room: a disk that is full says so here, before it was filled to the last block over
/// and over again.
fn claim(file: &File, bytes: u64) -> io::Result<()> {
    // SAFETY: the descriptor is open for the whole call; fallocate touches no memory.
    if unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, bytes as libc::off_t) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EOPNOTSUPP | libc::ENOSYS) => Ok(()),
        _ => Err(error),
    }
}

fn random() -> io::Result<u64> {
    use std::io::Read as _;
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}
