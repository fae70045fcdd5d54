//! The thread that works on the snapshot files of a shard, job after job.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use net::Piece;
use raft_core::{GroupId, Index, LogId, NodeId, SnapshotMeta};

use super::file::{FileError, FileReader, FileWriter};
use super::folder::{Folder, Unfinished};
use super::{Arrived, SnapshotJob, SnapshotNews};

/// How many jobs may wait before what peers send is dropped. The shard's own jobs never are: each
/// waits for the news of the one before, so they are few, and a snapshot without one of its pieces
/// would be none.
const QUEUE_JOBS: usize = 256;

/// The way to the worker of a shard. Dropping it ends the worker.
pub(crate) struct Worker {
    jobs: Option<Sender<SnapshotJob>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts a worker on this folder. `report` hands news to the shard, or gives them back when it
    /// could not; it is asked again until it could.
    pub(crate) fn start(
        name: String,
        folder: Folder,
        mut report: impl FnMut(Box<SnapshotNews>) -> Option<Box<SnapshotNews>> + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, receiver): (_, Receiver<SnapshotJob>) = unbounded();
        let ended = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&ended);
        let thread = thread::Builder::new().name(name).spawn(move || {
            let mut files = Files::new(folder);
            // At the end nobody waits for what is still to be done.
            let jobs = receiver.into_iter().take_while(|_| !over.load(Ordering::Relaxed));
            for news in jobs.flat_map(|job| files.work(job)) {
                let mut left = report(Box::new(news));
                while let Some(news) = left.take().filter(|_| !over.load(Ordering::Relaxed)) {
                    thread::sleep(Duration::from_millis(1));
                    left = report(news);
                }
            }
        })?;
        Ok(Self { jobs: Some(sender), ended, thread: Some(thread) })
    }

    /// Hands over a job. False if it is a peer's and too many wait, or if the worker has ended.
    pub(crate) fn send(&self, job: SnapshotJob) -> bool {
        let refused =
            |jobs: &Sender<_>| matches!(job, SnapshotJob::Keep { .. }) && jobs.len() >= QUEUE_JOBS;
        let jobs = self.jobs.as_ref().filter(|jobs| !refused(jobs));
        jobs.is_some_and(|jobs| jobs.send(job).is_ok())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        self.jobs = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the snapshot thread of a shard has panicked");
        }
    }
}

/// A snapshot being taken; nothing is written any more once that failed.
struct Taking {
    group: GroupId,
    meta: SnapshotMeta,
    writer: Option<FileWriter<BufWriter<File>>>,
}

/// A snapshot being received.
struct Coming {
    from: NodeId,
    last: LogId,
    file: File,
    file_bytes: u64,
    bytes: u64,
}

/// A file being sent to a node, which gets one at a time. It stays open, so it stays readable when
/// it is kept no more.
struct Sending {
    group: GroupId,
    index: Index,
    file: File,
    file_bytes: u64,
}

struct Files {
    folder: Folder,
    taking: Option<Taking>,
    loading: Option<(GroupId, Index, FileReader<BufReader<File>>)>,
    sending: BTreeMap<NodeId, Sending>,
    coming: BTreeMap<GroupId, Coming>,
}

impl Files {
    fn new(folder: Folder) -> Self {
        let (sending, coming) = (BTreeMap::new(), BTreeMap::new());
        Self { folder, taking: None, loading: None, sending, coming }
    }

    fn work(&mut self, job: SnapshotJob) -> Vec<SnapshotNews> {
        match job {
            SnapshotJob::Begin { group, meta } => {
                let writer = self.begin(group, &meta);
                let writer = writer.inspect_err(|error| warn(group, error)).ok();
                self.taking = Some(Taking { group, meta, writer });
                Vec::new()
            }
            SnapshotJob::Piece(data) => {
                if let Some(taking) = &mut self.taking {
                    let written = taking.writer.as_mut().map(|writer| writer.piece(&data));
                    if let Some(Err(error)) = written {
                        warn(taking.group, &error);
                        taking.writer = None;
                    }
                }
                vec![SnapshotNews::Wrote]
            }
            SnapshotJob::End => self.end().into_iter().collect(),
            SnapshotJob::Abort => {
                if let Some(Taking { group, meta, .. }) = self.taking.take() {
                    self.folder.discard(group, meta.last.index, Unfinished::Taking);
                }
                Vec::new()
            }
            SnapshotJob::Load { group, index, first } => vec![self.load(group, index, first)],
            SnapshotJob::Read { to, group, index, offset } => {
                let read = self.read(to, group, index, offset);
                let (file_bytes, data) = match read {
                    Ok((file_bytes, data)) => (file_bytes, Some(data.into())),
                    Err(error) => {
                        warn(group, &error);
                        self.sending.remove(&to);
                        (0, None)
                    }
                };
                vec![SnapshotNews::ToSend { to, group, index, file_bytes, offset, data }]
            }
            SnapshotJob::Keep { from, piece } => self.keep(from, piece),
        }
    }

    fn begin(
        &self,
        group: GroupId,
        meta: &SnapshotMeta,
    ) -> io::Result<FileWriter<BufWriter<File>>> {
        let file = self.folder.create(group, meta.last.index, Unfinished::Taking)?;
        FileWriter::new(BufWriter::with_capacity(1 << 20, file), group, meta)
    }

    fn end(&mut self) -> Option<SnapshotNews> {
        let Taking { group, meta, writer } = self.taking.take()?;
        let index = meta.last.index;
        let ended = writer.ok_or(None).and_then(|writer| {
            let file = writer.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
            Ok(self.folder.publish(&file, group, index, Unfinished::Taking)?)
        });
        match ended {
            Ok(()) => Some(SnapshotNews::Taken { group, meta }),
            Err(error) => {
                if let Some(error) = error {
                    warn(group, &error);
                }
                self.folder.discard(group, index, Unfinished::Taking);
                Some(SnapshotNews::NotTaken { group, index })
            }
        }
    }

    fn load(&mut self, group: GroupId, index: Index, first: bool) -> SnapshotNews {
        let mut piece = Vec::new();
        match self.load_next(group, index, first, &mut piece) {
            Ok(more) => SnapshotNews::Loaded { group, index, piece: more.then_some(piece) },
            Err(error) => {
                warn(group, &error);
                SnapshotNews::NotLoaded { group, index }
            }
        }
    }

    fn load_next(
        &mut self,
        group: GroupId,
        index: Index,
        first: bool,
        piece: &mut Vec<u8>,
    ) -> Result<bool, FileError> {
        if first {
            self.loading = Some((group, index, self.folder.read(group, index)?));
        }
        match &mut self.loading {
            Some((g, i, reader)) if (*g, *i) == (group, index) => reader.next(piece),
            _ => Err(FileError::Damaged("its first piece was not read")),
        }
    }

    fn read(
        &mut self,
        to: NodeId,
        group: GroupId,
        index: Index,
        offset: u64,
    ) -> io::Result<(u64, Vec<u8>)> {
        let open = self.sending.get(&to).is_some_and(|s| (s.group, s.index) == (group, index));
        if !open {
            let file = self.folder.raw(group, index)?;
            let file_bytes = file.metadata()?.len();
            self.sending.insert(to, Sending { group, index, file, file_bytes });
        }
        let Some(Sending { file, file_bytes, .. }) = self.sending.get(&to) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let file_bytes = *file_bytes;
        let length = file_bytes.saturating_sub(offset).min(net::PIECE_BYTES_MAX as u64);
        let mut data = vec![0; length as usize];
        file.read_exact_at(&mut data, offset)?;
        if offset + length >= file_bytes {
            self.sending.remove(&to);
        }
        Ok((file_bytes, data))
    }

    /// Keeps a part of a file. One that is not the next is not kept; the sender learns which is.
    fn keep(&mut self, from: NodeId, piece: Piece) -> Vec<SnapshotNews> {
        let (group, last) = (piece.group, piece.snapshot.last);
        let (next, arrived) = match self.keep_next(from, piece) {
            Ok((next, arrived)) => (Some(next), arrived),
            Err(error) => {
                warn(group, &error);
                self.forget(group);
                (None, None)
            }
        };
        let kept = SnapshotNews::Kept { from, group, last, next };
        arrived.map(SnapshotNews::Arrived).into_iter().chain([kept]).collect()
    }

    fn keep_next(
        &mut self,
        from: NodeId,
        piece: Piece,
    ) -> Result<(u64, Option<Arrived>), FileError> {
        let Piece { group, term, snapshot: meta, file_bytes, offset, data } = piece;
        let last = meta.last;
        let known = |c: &Coming| (c.from, c.last, c.file_bytes) == (from, last, file_bytes);
        if !self.coming.get(&group).is_some_and(known) {
            // A node sends one at a time: what it began before it has given up.
            let begun = self.coming.iter().filter(|(g, c)| **g == group || c.from == from);
            for group in begun.map(|(group, _)| *group).collect::<Vec<_>>() {
                self.forget(group);
            }
            // It would be believed at the next start, whatever the core says to it now.
            if !meta.is_sound() || last.term > term {
                return Err(FileError::Damaged("there can be no such snapshot"));
            }
            let file = self.folder.create(group, last.index, Unfinished::Coming)?;
            self.coming.insert(group, Coming { from, last, file, file_bytes, bytes: 0 });
        }
        let Some(coming) = self.coming.get_mut(&group) else {
            return Err(FileError::Damaged("it is not being received"));
        };
        if offset != coming.bytes {
            return Ok((coming.bytes, None));
        }
        coming.file.write_all(&data)?;
        coming.bytes += data.len() as u64;
        if coming.bytes < file_bytes {
            return Ok((coming.bytes, None));
        }
        verify(&mut coming.file, group, &meta)?;
        self.folder.publish(&coming.file, group, last.index, Unfinished::Coming)?;
        self.coming.remove(&group);
        Ok((file_bytes, Some(Arrived { from, term, group, meta })))
    }

    fn forget(&mut self, group: GroupId) {
        if let Some(coming) = self.coming.remove(&group) {
            self.folder.discard(group, coming.last.index, Unfinished::Coming);
        }
    }
}

/// Reads a whole file that was received: what it says of itself must be what the sender said.
fn verify(file: &mut File, group: GroupId, meta: &SnapshotMeta) -> Result<(), FileError> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = FileReader::new(BufReader::with_capacity(1 << 20, &*file))?;
    if (reader.group(), reader.meta()) != (group, meta) {
        return Err(FileError::Damaged("it is not the snapshot that was announced"));
    }
    let mut piece = Vec::new();
    while reader.next(&mut piece)? {}
    Ok(())
}

fn warn(group: GroupId, error: &dyn std::fmt::Display) {
    tracing::warn!(%group, %error, "work on a snapshot has failed");
}

#[cfg(test)]
mod tests;
