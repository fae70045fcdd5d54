//! The adapter to io_uring: writes become submissions on a ring that belongs to the caller.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};
use std::{fmt, io};

use io_uring::SubmissionQueue;
use raft_core::{Entry, GroupId, HardState, Index, LogId};

use crate::config::{Recovered, RecoveredGroup, WalConfig};
use crate::disk::{self, Access, Folder, Segments};
use crate::error::{AppendError, OpenError, WalError};
use crate::log::{Log, WalSpace, WalStats};
use crate::op::{Completion, Mark, OpId, SegmentId, WriteOp};
use crate::reader::{LogReader, Shared};
use crate::recover::{Survey, recover};
use crate::relocate::Relocation;
use crate::spare::{Spare, Spares, Workshop, workshop};
use crate::writer::Setup;

mod driver;
mod queue;
#[cfg(test)]
mod tests;

pub use driver::{Driver, DriverError};
pub(crate) use queue::{Queue, Write};

/// Idle time after which a BEACON proves the last batch.
pub const BEACON_AFTER: Duration = Duration::from_millis(10);

/// How often to look for a segment that a batch waits for.
const SPARE_POLL: Duration = Duration::from_millis(2);

/// While the next segment is not ready, appends are refused when more bytes than this wait.
pub const STARVED_BYTES_MAX: usize = 8 << 20;

/// Low bits of `user_data`: the number of the operation.
const OP_MASK: u64 = (1 << 56) - 1;

/// The log of one core, on a ring that belongs to the caller.
///
/// The caller appends, calls [`Wal::submit`] once per turn, enters the kernel, hands every
/// completion with the tag of this log to [`Wal::complete`], and looks at [`Wal::durable`]. It may
/// sleep after a submit, until a completion comes or [`Wal::next_deadline`] has passed.
///
/// # Dropping
/// The kernel reads the memory of a batch until its completion. Reap until [`Wal::in_flight`] is
/// zero before dropping a log; one dropped earlier leaks that memory, and its open files, rather
/// than handing them to somebody else.
pub struct Wal {
    shared: Rc<Shared>,
    tag: u8,
    access: Access,
    /// The segment in use and the spares behind it, in ascending order.
    files: VecDeque<(SegmentId, File)>,
    spares: Spares,
    /// Why the last attempt to make a segment failed, until one succeeds.
    no_spare: Option<i32>,
    now: Option<Instant>,
    beacon_at: Option<Instant>,
    poisoned: Option<WalError>,
    /// What is being copied; empty between turns.
    relocations: Vec<Relocation>,
    _lock: File,
}

impl fmt::Debug for Wal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wal")
            .field("durable", &self.durable())
            .field("in_flight", &self.in_flight())
            .field("poisoned", &self.poisoned)
            .finish_non_exhaustive()
    }
}

impl Wal {
    /// Locks the folder, recovers what it holds and makes the first new segment ready. Blocks.
    ///
    /// # Errors
    /// [`OpenError`]; nothing that was acknowledged is changed. A full disk is no error: the log
    /// opens, and appends wait for space.
    pub fn open(config: WalConfig) -> Result<(Self, Recovered), OpenError> {
        Self::open_for(config, Access::Direct)
    }

    /// As [`Wal::open`], for an adapter that writes in this way.
    pub(crate) fn open_for(
        config: WalConfig,
        access: Access,
    ) -> Result<(Self, Recovered), OpenError> {
        let workshop = workshop(config.dir.clone(), config.segment_bytes, access);
        Self::open_with(config, access, workshop)
    }

    pub(crate) fn open_with(
        config: WalConfig,
        access: Access,
        workshop: Workshop,
    ) -> Result<(Self, Recovered), OpenError> {
        config.check()?;
        let lock = disk::lock(&config.dir)?;
        let mut folder = Folder::new(&config.dir, access);
        let survey = recover(&mut folder, config.store, config.core)?;
        let recovered = recovered(&survey);
        let spares = start_spares(&config, &survey, folder.is_settled(), workshop)
            .map_err(|error| disk::io_error("start a thread for", &config.dir, error))?;
        let setup = Setup {
            store: config.store,
            core: config.core,
            epoch: survey.epoch + 1,
            segment_bytes: config.segment_bytes,
            batch_bytes_max: config.batch_bytes_max,
            depth: config.depth,
            tail_cache_bytes_max: config.tail_cache_bytes_max,
        };
        let shared = Shared {
            log: RefCell::new(Log::new(setup, survey)),
            segments: RefCell::new(Segments::new(&config.dir)),
        };
        let mut wal = Self {
            shared: Rc::new(shared),
            tag: config.tag,
            access,
            files: VecDeque::new(),
            spares,
            no_spare: None,
            now: None,
            beacon_at: None,
            poisoned: None,
            relocations: Vec::new(),
            _lock: lock,
        };
        wal.spares.order();
        match wal.spares.wait() {
            Some(Ok(spare)) => wal.take_spare(spare),
            Some(Err(error)) if is_full(&error) => wal.no_spare = error.raw_os_error(),
            Some(Err(error)) if error.raw_os_error() == Some(libc::EINVAL) => {
                return Err(OpenError::NoDirectIo { dir: config.dir });
            }
            Some(Err(error)) => {
                return Err(disk::io_error("make a segment in", &config.dir, error));
            }
            None => {
                let error = io::Error::other("the thread that makes segments has ended");
                return Err(disk::io_error("make a segment in", &config.dir, error));
            }
        }
        Ok((wal, recovered))
    }

    /// Appends one unit of one group: its entries, and the hard state when it changed. All of it
    /// becomes durable, or nothing. The data is copied.
    ///
    /// An entry at an index that exists replaces it and everything behind it.
    ///
    /// # Errors
    /// [`AppendError`]; state unchanged.
    pub fn append(
        &mut self,
        group: GroupId,
        hard_state: Option<HardState>,
        entries: &[Entry],
    ) -> Result<Mark, AppendError> {
        let mut log = self.shared.log.borrow_mut();
        let pending = log.writer().pending_bytes();
        if pending > STARVED_BYTES_MAX && log.writer().is_starved() {
            let os_error = self.no_spare.unwrap_or(libc::EAGAIN);
            return Err(if is_full(&io::Error::from_raw_os_error(os_error)) {
                AppendError::StorageFull { pending }
            } else {
                AppendError::NoSegment { pending, os_error }
            });
        }
        log.append(group, hard_state, entries)
    }

    /// Begins the log of a group anew behind a snapshot of everything up to `snapshot`, which must
    /// be durable: what the log held is gone, its first index is the one after. The hard state
    /// and the first entries belong to the unit.
    ///
    /// # Errors
    /// [`AppendError`]; state unchanged.
    pub fn restart(
        &mut self,
        group: GroupId,
        snapshot: LogId,
        hard_state: Option<HardState>,
        entries: &[Entry],
    ) -> Result<Mark, AppendError> {
        self.shared.log.borrow_mut().restart(group, snapshot, hard_state, entries)
    }

    /// Gives up the entries of a group up to `up_to`: the first index rises when that is durable.
    /// Entries that do not exist are given up without effect, so purging twice or beyond the end
    /// is fine. Taken also while the disk is full; it waits behind what was appended before.
    ///
    /// # Errors
    /// [`AppendError::Poisoned`], [`AppendError::Closed`]; state unchanged.
    pub fn purge(&mut self, group: GroupId, up_to: Index) -> Result<Mark, AppendError> {
        self.shared.log.borrow_mut().purge(group, up_to)
    }

    /// Deletes a group, its log and its hard state. It may be appended to again at once, as one
    /// that never was. Taken also while the disk is full; it waits behind what was appended before.
    ///
    /// # Errors
    /// [`AppendError::Poisoned`], [`AppendError::Closed`]; state unchanged.
    pub fn delete(&mut self, group: GroupId) -> Result<Mark, AppendError> {
        self.shared.log.borrow_mut().delete(group)
    }

    /// Everything appended up to here is durable.
    #[must_use]
    pub fn durable(&self) -> Mark {
        self.shared.log.borrow().writer().durable()
    }

    /// Pushes the writes that may start now; returns how many. Pushes none when the queue is full:
    /// the next call tries again. To be called once per turn, also when nothing was appended.
    ///
    /// Pushes none of a log that [`crate::blocking`] opened: a ring completes a write through the
    /// page cache before it is durable.
    pub fn submit(&mut self, now: Instant, sq: &mut SubmissionQueue<'_>) -> usize {
        match self.access {
            Access::Direct => self.start(now, sq),
            Access::Buffered => 0,
        }
    }

    /// Hands the writes that may start now to `queue`, while it has room; returns how many.
    pub(crate) fn start(&mut self, now: Instant, queue: &mut dyn Queue) -> usize {
        self.now = Some(now);
        self.stock();
        self.relocate();
        let mut pushed = 0;
        let shared = Rc::clone(&self.shared);
        let mut log = shared.log.borrow_mut();
        if !log.writer().wants_beacon() {
            self.beacon_at = None;
        } else if now >= *self.beacon_at.get_or_insert(now + BEACON_AFTER) {
            log.writer_mut().beacon();
            self.beacon_at = None;
        }
        while queue.has_room() {
            let Some(op) = log.next_op() else { break };
            if op.offset == 0 {
                // The old segment is complete and durable: nothing writes to it again.
                self.files.retain(|(segment, _)| *segment >= op.segment);
            }
            let taken = self.write(&log, &op).is_some_and(|write| queue.push(&write));
            if !taken {
                log.writer_mut().poison(WalError::Ring);
                log.complete(Completion { id: op.id, result: -libc::ENOBUFS });
                break;
            }
            pushed += 1;
        }
        self.poisoned = log.writer().poisoned().copied();
        pushed
    }

    fn write<'a>(&'a self, log: &'a Log, op: &WriteOp) -> Option<Write<'a>> {
        let (_, file) = self.files.iter().find(|(segment, _)| *segment == op.segment)?;
        let bytes = log.writer().op_bytes(op);
        let user_data = u64::from(self.tag) << 56 | op.id.0 & OP_MASK;
        Some(Write { user_data, file, bytes, offset: op.offset })
    }

    /// Copies living entries out of mostly dead segments, some at a time.
    fn relocate(&mut self) {
        let mut log = self.shared.log.borrow_mut();
        if !log.is_relocating() {
            return;
        }
        log.relocations(&mut self.relocations);
        let reader = LogReader::new(Rc::clone(&self.shared));
        for what in self.relocations.drain(..) {
            // A damaged one stays where it is, and with it the segment: whoever reads it is told.
            if let Ok(entry) = reader.read(&log, what.group, what.id, what.place) {
                log.relocate(&what, &entry);
            }
        }
    }

    /// Orders segments ahead of need and takes those that are ready.
    fn stock(&mut self) {
        while let Some(result) = self.spares.poll() {
            match result {
                Ok(spare) => self.take_spare(spare),
                Err(error) => self.no_spare = Some(error.raw_os_error().unwrap_or(libc::EIO)),
            }
        }
        let mut log = self.shared.log.borrow_mut();
        while let Some(freed) = log.take_freed() {
            // Nothing may look at the file under its old name any more.
            self.shared.segments.borrow_mut().forget(freed.slot);
            self.files.retain(|(segment, _)| *segment != freed.segment);
            // On a full disk an order is waiting for room already: this is it.
            self.spares.take_back(freed.segment, freed.reusable && self.no_spare.is_none());
        }
        let writer = log.writer();
        // One is enough until the log is written to; then one in reserve and one in the making.
        let target = if writer.has_segment() { 2 } else { 1 };
        let have = writer.spares() + self.spares.ordered();
        if writer.poisoned().is_none() && !writer.is_closed() {
            for _ in have..target {
                self.spares.order();
            }
        }
    }

    fn take_spare(&mut self, spare: Spare) {
        self.no_spare = None;
        let created = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |age| age.as_nanos() as u64);
        let mut log = self.shared.log.borrow_mut();
        if spare.recycled {
            log.offer_recycled(spare.id, spare.salt, created);
        } else {
            log.offer(spare.id, spare.salt, created);
        }
        self.files.push_back((spare.id, spare.file));
    }

    /// Takes one completion that carries the tag of this log.
    pub fn complete(&mut self, user_data: u64, result: i32) {
        if (user_data >> 56) as u8 != self.tag {
            return;
        }
        let mut log = self.shared.log.borrow_mut();
        log.complete(Completion { id: OpId(user_data & OP_MASK), result });
        self.poisoned = log.writer().poisoned().copied();
        if log.writer().wants_beacon() {
            self.beacon_at = self.now.map(|now| now + BEACON_AFTER);
        }
    }

    /// When [`Wal::submit`] should be called next though nothing else happens: for the BEACON of an
    /// idle log, or to see whether the segment a batch waits for has become ready.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let log = self.shared.log.borrow();
        let writer = log.writer();
        if writer.poisoned().is_some() {
            return None;
        }
        if log.is_relocating() && writer.is_idle() {
            // The next look may find nothing to write, so no completion would ask for another.
            return self.now;
        }
        if writer.is_starved() {
            return self.now.map(|now| now + SPARE_POLL);
        }
        if writer.wants_beacon() { self.beacon_at } else { None }
    }

    /// Whether something was appended that is not durable yet, or a close has not ended.
    #[must_use]
    pub fn has_work(&self) -> bool {
        let log = self.shared.log.borrow();
        let writer = log.writer();
        if writer.poisoned().is_some() {
            return writer.in_flight() > 0;
        }
        !writer.is_idle()
            || (log.is_checkpointing() || log.is_relocating()) && !writer.is_closing()
            || writer.is_closing() && !writer.is_closed()
    }

    /// Submissions whose completions have not arrived.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.log.borrow().writer().in_flight()
    }

    /// Bytes appended and not yet submitted.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.shared.log.borrow().writer().pending_bytes()
    }

    /// Why the log has stopped, if it has. It stays stopped: nothing in flight or later is
    /// acknowledged.
    #[must_use]
    pub const fn poisoned(&self) -> Option<&WalError> {
        self.poisoned.as_ref()
    }

    /// Refuses appends from now on. Go on with submit and complete until [`Wal::is_closed`].
    pub fn close(&mut self) {
        self.shared.log.borrow_mut().writer_mut().close();
    }

    /// Whether the log has ended: everything and the CLOSE batch is durable, or it has stopped.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.log.borrow().writer().is_closed()
    }

    /// A view of the durable entries.
    #[must_use]
    pub fn reader(&self) -> LogReader {
        LogReader::new(Rc::clone(&self.shared))
    }

    /// What the log takes now. Looks at every group and segment: not for every turn.
    #[must_use]
    pub fn space(&self) -> WalSpace {
        self.shared.log.borrow().space()
    }

    /// What was done since the log was opened.
    #[must_use]
    pub fn stats(&self) -> WalStats {
        self.shared.log.borrow().stats()
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        let mut log = self.shared.log.borrow_mut();
        if log.writer().in_flight() > 0 {
            log.writer_mut().leak();
            // Nor may the numbers of these files go to others before the kernel has looked at them.
            std::mem::take(&mut self.files).into_iter().for_each(std::mem::forget);
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT))
}

fn recovered(survey: &Survey) -> Recovered {
    let group = |(id, log): (GroupId, &crate::index::GroupLog)| {
        let (hard_state, first_index) = (log.hard_state(), log.first());
        (id, RecoveredGroup { hard_state, first_index, last: log.last_id() })
    };
    Recovered {
        groups: survey.index.groups().map(group).collect(),
        bytes: survey.bytes,
        batches: survey.batches,
        segments: survey.segments.len() as u64,
        torn_tail: survey.torn_tail,
    }
}

/// Files that were made and never used serve first; what else is no part of the log is removed. So
/// are all of them when an earlier process may still write to them.
fn start_spares(
    config: &WalConfig,
    survey: &Survey,
    settled: bool,
    workshop: Workshop,
) -> io::Result<Spares> {
    let (mut adopt, mut remove) = (VecDeque::new(), Vec::new());
    let mut last = survey.tail.segment;
    for leftover in &survey.leftovers {
        if settled && leftover.clean && leftover.bytes == config.segment_bytes {
            adopt.push_back(leftover.segment);
        } else {
            remove.push(leftover.segment);
        }
        last = last.max(leftover.segment);
    }
    Spares::start(workshop, remove, adopt, SegmentId(last.0 + 1))
}
