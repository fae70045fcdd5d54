//! What the runs have seen: a run that panics nowhere proves little if it went nowhere.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use raft_core::{Event, Fault, Message, ReadOutcome, Ready, Role, StepError};

/// Counts by name.
#[derive(Debug, Default)]
pub(crate) struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    pub(super) fn note(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub(super) fn note_ready(&mut self, ready: &Ready) {
        for event in &ready.events {
            self.note(match event {
                Event::Changed { role: Role::Leader, .. } => "leads",
                Event::Changed { role: Role::Candidate, .. } => "asks for votes",
                Event::Changed { role: Role::PreCandidate, .. } => "asks for pre-votes",
                Event::Changed { role: Role::Follower, .. } => "follows",
                Event::Established { .. } => "established",
                Event::Lost { .. } => "proposal lost",
                Event::Uncertain { .. } => "proposal uncertain",
                Event::ConfChanged { .. } => "configuration in force",
                Event::TransferAborted { .. } => "transfer aborted",
                Event::Fetch { .. } => "fetch",
                Event::Fault(Fault::CommitBeyondLog { .. }) => "fault: commit beyond log",
                Event::Fault(Fault::CommittedConflict { .. }) => "fault: committed conflict",
                Event::Fault(Fault::Storage { .. }) => "fault: storage",
                Event::Fault(Fault::TwoLeaders { .. }) => "fault: two leaders",
                Event::Fault(Fault::AppliedUnasked { .. }) => "fault: applied unasked",
            });
        }
        for (_, message) in &ready.messages {
            match message {
                Message::InstallSnapshot(_) => self.note("snapshot sent"),
                Message::TimeoutNow(_) => self.note("asks a successor"),
                _ => {}
            }
        }
        for (_, outcome) in &ready.reads {
            self.note(match outcome {
                ReadOutcome::Ready { .. } => "read ready",
                ReadOutcome::Lost => "read lost",
            });
        }
        if ready.snapshot.is_some() {
            self.note("snapshot installed");
        }
        if !ready.committed_entries.is_empty() {
            self.note("applied");
        }
    }

    pub(super) fn note_step(&mut self, result: Result<(), StepError>) {
        self.note(match result {
            Ok(()) => "message taken",
            Err(StepError::UnknownPeer(_)) => "message of a stranger",
            Err(StepError::Malformed) => "message refused",
            Err(StepError::Stopped) => "message to a stopped replica",
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
