//! The next segments, made ready by a thread of their own so that no append waits for a
//! directory.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::arena::Blocks;
use crate::disk::{Access, path_of, sync_dir};
use crate::op::SegmentId;
use crate::record::BLOCK_BYTES;

/// How long to wait after a segment could not be made.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// How many freed files wait for their next use.
const RECYCLE_MAX: usize = 2;

/// How much is written at once, in bytes.
const FILL_BYTES: usize = 1 << 20;

/// A segment file without a header, durable under its final name.
pub(crate) struct Spare {
    pub(crate) id: SegmentId,
    pub(crate) file: File,
    pub(crate) salt: u64,
    /// Whether it had held another segment; else it is zero.
    pub(crate) recycled: bool,
}

/// What to do to get a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Write a new file.
    Make(SegmentId),
    /// Take a file that an earlier process made and never used.
    Adopt(SegmentId),
    /// Take the file of a segment that was freed.
    Recycle {
        /// The number of the segment that was freed.
        old: SegmentId,
        /// The number of the new one.
        new: SegmentId,
    },
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
    recycle: VecDeque<SegmentId>,
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
        let (orders, thread, recycle) = (Some(orders), Some(thread), VecDeque::new());
        Ok(Self { orders, results, stop, thread, adopt, recycle, next, ordered: 0 })
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
                let new = self.next;
                self.next = SegmentId(new.0 + 1);
                let old = self.recycle.pop_front();
                old.map_or(Order::Make(new), |old| Order::Recycle { old, new })
            }
        };
        if self.orders.as_ref().is_some_and(|orders| orders.send(order).is_ok()) {
            self.ordered += 1;
        }
    }

    /// Takes the file of a segment that was freed: to serve again, if that is wanted, else to be
    /// removed.
    pub(crate) fn take_back(&mut self, segment: SegmentId, reusable: bool) {
        if reusable && self.recycle.len() < RECYCLE_MAX {
            self.recycle.push_back(segment);
        } else if let Some(orders) = &self.orders {
            // The thread lives as long as this value, so the channel is open.
            let _ = orders.send(Order::Remove(segment));
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
    let mut waiting = VecDeque::new();
    while let Some(order) = waiting.pop_front().or_else(|| orders.recv().ok()) {
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
                    // A file that goes may be what makes room for the one that is wanted.
                    while let Ok(next) = orders.try_recv() {
                        match next {
                            Order::Remove(_) => drop(workshop(next, stop)),
                            _ => waiting.push_back(next),
                        }
                    }
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
            Order::Recycle { old, new } => {
                if recycle(&dir, old, new, segment_bytes, access).is_ok() {
                    return spare(&dir, new, access, true).map(Some);
                }
                // Whatever is wrong with it, a new file is as good.
                let _ = fs::remove_file(path_of(&dir, old));
                make(&dir, new, segment_bytes, access, stop)?;
                new
            }
            Order::Make(segment) => {
                make(&dir, segment, segment_bytes, access, stop)?;
                segment
            }
        };
        spare(&dir, id, access, false).map(Some)
    })
}

fn spare(dir: &Path, id: SegmentId, access: Access, recycled: bool) -> io::Result<Spare> {
    let file = access.open(&path_of(dir, id))?;
    Ok(Spare { id, file, salt: random()?, recycled })
}

/// Makes a new file.
fn make(
    dir: &Path,
    segment: SegmentId,
    bytes: u64,
    access: Access,
    stop: &AtomicBool,
) -> io::Result<()> {
    let path = path_of(dir, segment);
    if let Err(error) = fill(&path, bytes, access, stop) {
        // Half a file is worth nothing and takes space.
        let _ = fs::remove_file(&path);
        return Err(error);
    }
    sync_dir(dir)
}

/// Turns the file of a segment that was freed into one that has no header, and only then gives it
/// its new name: under neither name can it be taken for a segment in use.
fn recycle(
    dir: &Path,
    old: SegmentId,
    new: SegmentId,
    bytes: u64,
    access: Access,
) -> io::Result<()> {
    let (from, to) = (path_of(dir, old), path_of(dir, new));
    let file = access.open(&from)?;
    if file.metadata()?.len() != bytes {
        return Err(io::ErrorKind::InvalidData.into());
    }
    file.write_all_at(Blocks::zeroed(BLOCK_BYTES).bytes(), 0)?;
    file.sync_data()?;
    // Pages that a reader of the old segment has left in memory.
    // SAFETY: the descriptor is open for the whole call, which touches no memory of ours.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    fs::rename(from, to)?;
    sync_dir(dir)
}

/// Writes a file of zeros: real blocks, so that a later write changes no metadata of the file
/// system.
fn fill(path: &Path, bytes: u64, access: Access, stop: &AtomicBool) -> io::Result<()> {
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
