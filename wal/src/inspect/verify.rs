//! Whether a log is whole, by the rules by which a node would open it.

use std::ops::ControlFlow;

use super::{Files, Gap, InspectError, Item, walk};
use crate::error::OpenError;
use crate::recover::{TornTail, recover};

/// What a log is.
#[derive(Debug)]
pub enum Verdict {
    /// Every byte is as it was written.
    Sound,
    /// Sound up to a write that a crash cut short. It was never acknowledged; the next opening
    /// leaves it out.
    Torn(TornTail),
    /// Something that was acknowledged is damaged or missing: the log does not open.
    Damaged(OpenError),
}

/// The result of verifying a log.
#[derive(Debug)]
pub struct Report {
    /// What the log is.
    pub verdict: Verdict,
    /// The store the log belongs to.
    pub store: u128,
    /// The core the log belongs to.
    pub core: u32,
    /// Segments of the log; those before the damage count too when it is damaged.
    pub segments: u64,
    /// Batches that verified.
    pub batches: u64,
    /// Their length, in bytes.
    pub bytes: u64,
    /// Groups; zero when the log is damaged.
    pub groups: u64,
    /// Files that are no part of the log; zero when it is damaged.
    pub unused: u64,
    /// All places where no valid batch is, when the log is damaged. The tail is among them.
    pub gaps: Vec<Gap>,
}

/// Whether an error of recovery is about what the files hold, and not about looking at them.
pub(super) const fn is_damage(error: &OpenError) -> bool {
    !matches!(
        error,
        OpenError::Config(_)
            | OpenError::Io { .. }
            | OpenError::Locked { .. }
            | OpenError::NoDirectIo { .. }
            | OpenError::Version { .. }
            | OpenError::Features { .. }
            | OpenError::UnknownRecord { .. }
            | OpenError::TooManySegments { .. }
    )
}

/// Verifies every byte of a stopped log. Nothing is written.
///
/// # Errors
/// [`InspectError::Open`] when the files cannot be read or are of a later format: nothing is known
/// then. Damage is no error but a [`Verdict`].
pub fn verify(files: &mut Files) -> Result<Report, InspectError> {
    let (store, core) = files.identity()?;
    match recover(files, store, core) {
        Ok(survey) => Ok(Report {
            verdict: survey.torn_tail.map_or(Verdict::Sound, Verdict::Torn),
            store,
            core,
            segments: survey.segments.len() as u64,
            batches: survey.batches,
            bytes: survey.bytes,
            groups: survey.index.groups().count() as u64,
            unused: survey.leftovers.len() as u64,
            gaps: Vec::new(),
        }),
        Err(error) if is_damage(&error) => damaged(files, error, store, core),
        Err(error) => Err(error.into()),
    }
}

fn damaged(
    files: &mut Files,
    error: OpenError,
    store: u128,
    core: u32,
) -> Result<Report, InspectError> {
    let verdict = Verdict::Damaged(error);
    let (segments, batches, bytes, gaps) = (0, 0, 0, Vec::new());
    let mut report =
        Report { verdict, store, core, segments, batches, bytes, groups: 0, unused: 0, gaps };
    walk(files, &mut |item| {
        match item {
            Item::Segment(_) => report.segments += 1,
            Item::Batch(batch) => {
                report.batches += 1;
                report.bytes += u64::from(batch.header.total_len);
            }
            Item::Gap(gap) => report.gaps.push(gap),
            Item::Headless { .. } => {}
        }
        ControlFlow::Continue(())
    })?;
    Ok(report)
}
