//! A request to many groups whose answers become one reply.

use engine::{GroupId, Outcome, RequestError};

use crate::command::Merge;
use crate::kv::Answer;

/// The answers so far.
#[derive(Debug)]
pub(crate) struct Gather {
    merge: Merge,
    expected: usize,
    outcomes: Vec<(GroupId, Outcome)>,
}

impl Gather {
    /// No answers yet, of so many.
    pub(crate) fn new(merge: Merge, expected: usize) -> Self {
        Self { merge, expected, outcomes: Vec::with_capacity(expected) }
    }

    /// How the answers become one reply.
    pub(crate) fn merge(&self) -> Merge {
        self.merge
    }

    /// How many groups are asked.
    pub(crate) fn expected(&self) -> usize {
        self.expected
    }

    /// Adds a group's answer.
    pub(crate) fn add(&mut self, group: GroupId, outcome: Outcome) {
        self.outcomes.push((group, outcome));
    }

    /// Whether all groups have answered.
    pub(crate) fn is_complete(&self) -> bool {
        self.outcomes.len() >= self.expected
    }

    /// The answers in the order of groups.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (GroupId, Answer<'_>)> {
        let mut known: Vec<_> = self
            .outcomes
            .iter()
            .filter_map(|(group, outcome)| Some((*group, Answer::decode(outcome.as_ref().ok()?)?)))
            .collect();
        known.sort_by_key(|(group, _)| *group);
        known.into_iter()
    }

    /// The group that answered last.
    pub(crate) fn last_group(&self) -> Option<GroupId> {
        self.outcomes.last().map(|(group, _)| *group)
    }

    /// The failure to tell the client of. One that leaves a write's fate open goes before the
    /// others. That a group is led elsewhere is no failure of a read: its leader answers for it.
    pub(crate) fn failure(&self) -> Option<(GroupId, RequestError)> {
        let failures = self.outcomes.iter().filter_map(|(group, outcome)| match outcome {
            Err(RequestError::NotLeader { .. } | RequestError::UnknownGroup(_))
                if self.merge != Merge::All =>
            {
                None
            }
            Ok(_) => None,
            Err(error) => Some((*group, *error)),
        });
        failures
            .min_by_key(|(group, error)| (!matches!(error, RequestError::Uncertain { .. }), *group))
    }
}
