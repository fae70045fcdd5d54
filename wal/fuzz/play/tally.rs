//! What the runs have seen: a run that panics nowhere proves little if it went nowhere.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use wal::OpenError;

/// Counts by name.
#[derive(Debug, Default)]
pub(crate) struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    pub(super) fn note(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub(super) fn note_refusal(&mut self, error: &OpenError) {
        self.note(match error {
            OpenError::Version { .. } => "refused: version",
            OpenError::Features { .. } => "refused: features",
            OpenError::UnknownRecord { .. } => "refused: unknown record",
            OpenError::WrongStore { .. } => "refused: store",
            OpenError::WrongCore { .. } => "refused: core",
            OpenError::MissingSegment { .. } => "refused: missing segment",
            OpenError::StraySegment { .. } => "refused: stray segment",
            OpenError::DamagedHeader { .. } => "refused: damaged header",
            OpenError::Truncated { .. } => "refused: truncated",
            OpenError::Corrupt(damage) if damage.identity.is_some() => "refused: record",
            OpenError::Corrupt(_) => "refused: batch",
            OpenError::Hole { .. } => "refused: hole",
            _ => "refused: other",
        });
    }

    /// Fails unless there was some of each of these.
    #[allow(dead_code, reason = "the fuzzer looks for panics alone")]
    pub(crate) fn assert_seen(&self, names: &[&str]) {
        for name in names {
            assert!(self.0.contains_key(name), "no run has seen: {name}; only {self:#?}");
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        for (name, count) in other.0 {
            *self.0.entry(name).or_default() += count;
        }
    }
}
