//! Taking away what is damaged, so that the rest opens. Nothing is deleted or overwritten.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use raft_core::GroupId;

use super::plan::{Cut, Plan};
use super::walk::{Item, walk};
use super::{Files, InspectError};
use crate::disk::{path_of, sync_dir};
use crate::error::OpenError;
use crate::op::SegmentId;
use crate::record::{BLOCK_BYTES, RecordKind};

/// The folder beside the segments that takes what is moved.
const FOLDER: &str = "quarantine";

/// What can still be read of what is taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Intact batches.
    pub batches: u64,
    /// Entries in them.
    pub entries: u64,
    /// Groups of their records.
    pub groups: BTreeSet<GroupId>,
}

/// A plan to shorten a damaged log to what lies before the damage.
///
/// The damaged segment and all later ones go to the folder `quarantine`, as they are; what the
/// damaged one holds before the damage stays, in a copy. A node that starts on what is left has
/// forgotten entries, terms and votes that it had acknowledged.
pub struct Quarantine<'a> {
    plan: Plan<'a>,
    reason: OpenError,
    batch_seq: u64,
    lost: Lost,
}

impl<'a> Quarantine<'a> {
    /// Finds out what would have to go. `None` when the log opens as it is; so does one with a torn
    /// tail.
    ///
    /// # Errors
    /// [`InspectError::Open`] when the files cannot be read, or are in use;
    /// [`InspectError::Mixed`].
    pub fn plan(files: &'a mut Files) -> Result<Option<Self>, InspectError> {
        if files.is_live() {
            return Err(OpenError::Locked { dir: files.dir().to_owned() }.into());
        }
        let mut plan = Plan::new(files)?;
        let (left, Some(reason)) = plan.settle()? else {
            return Ok(None);
        };
        let lost = lost(&mut plan)?;
        Ok(Some(Self { plan, reason, batch_seq: left.tail.batch_seq, lost }))
    }

    /// The first damage.
    #[must_use]
    pub const fn reason(&self) -> &OpenError {
        &self.reason
    }

    /// The segments that go as a whole, oldest first.
    pub fn moved(&self) -> impl Iterator<Item = SegmentId> + '_ {
        self.plan.moved.iter().copied()
    }

    /// The segment that keeps its beginning, and where it is cut, in bytes.
    #[must_use]
    pub fn cut(&self) -> Option<(SegmentId, u64)> {
        self.plan.cut.map(|cut| (cut.segment, cut.offset))
    }

    /// The last batch that stays; zero when none does.
    #[must_use]
    pub const fn last_batch(&self) -> u64 {
        self.batch_seq
    }

    /// What can still be read of what goes.
    #[must_use]
    pub const fn lost(&self) -> &Lost {
        &self.lost
    }

    /// The folder that takes what goes.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.plan.files.dir().join(FOLDER)
    }

    /// Does it. At every moment, also after a crash, the folder holds either a log that does not
    /// open or what was to stay.
    ///
    /// # Errors
    /// [`InspectError::Move`]; [`InspectError::Open`] when the log has come into use meanwhile.
    pub fn carry_out(self) -> Result<(), InspectError> {
        let folder = self.folder();
        let Plan { files, moved, cut, .. } = self.plan;
        files.take_over()?;
        let dir = files.dir().to_owned();
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(failed("create", &folder)(error));
            }
            _ => sync_dir(&dir).map_err(failed("flush", &dir))?,
        }
        // The newest first: a later one without the damaged one would be missed.
        for &segment in moved.iter().rev() {
            let path = path_of(&dir, segment);
            fs::rename(&path, free(&folder, segment)).map_err(failed("move", &path))?;
        }
        for folder in [&folder, &dir] {
            sync_dir(folder).map_err(failed("flush", folder))?;
        }
        cut.map_or(Ok(()), |cut| shorten(&dir, &folder, cut))
    }
}

fn failed<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(std::io::Error) -> InspectError + 'a {
    move |source| InspectError::Move { action, path: path.to_owned(), source }
}

/// A name in the quarantine that nothing has yet.
fn free(folder: &Path, segment: SegmentId) -> PathBuf {
    let mut path = path_of(folder, segment);
    let mut number = 0_u64;
    while path.symlink_metadata().is_ok() {
        number += 1;
        path = folder.join(format!("{segment}.{number}"));
    }
    path
}

/// Puts a copy of the beginning in the place of a segment, which itself goes to the quarantine.
fn shorten(dir: &Path, folder: &Path, cut: Cut) -> Result<(), InspectError> {
    let path = path_of(dir, cut.segment);
    let copy = dir.join(format!("{}.tmp", cut.segment));
    let kept = fs::read(&path).map_err(failed("read", &path))?;
    let write = || {
        let mut file = File::create(&copy)?;
        file.write_all(&kept[..kept.len().min(cut.offset as usize)])?;
        let zeros = vec![0; 64 * BLOCK_BYTES];
        let mut at = cut.offset;
        while at < cut.bytes {
            let len = zeros.len().min((cut.bytes - at) as usize);
            file.write_all(&zeros[..len])?;
            at += len as u64;
        }
        file.sync_all()
    };
    write().map_err(failed("write", &copy))?;
    // A second name first, then the copy in one step: the segment is never without a file.
    fs::hard_link(&path, free(folder, cut.segment)).map_err(failed("move", &path))?;
    sync_dir(folder).map_err(failed("flush", folder))?;
    fs::rename(&copy, &path).map_err(failed("replace", &path))?;
    sync_dir(dir).map_err(failed("flush", dir))
}

fn lost(plan: &mut Plan<'_>) -> Result<Lost, InspectError> {
    let mut lost = Lost::default();
    let Plan { files, moved, cut, .. } = plan;
    walk(files, &mut |item| {
        if let Item::Batch(batch) = item {
            let taken = moved.contains(&batch.segment)
                || cut
                    .is_some_and(|cut| batch.segment == cut.segment && batch.offset >= cut.offset);
            let records = batch.records().filter(|_| taken);
            lost.batches += u64::from(taken);
            for record in records {
                lost.entries += u64::from(record.header.kind == RecordKind::Entry as u8);
                lost.groups.insert(GroupId(record.header.group));
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(lost)
}
