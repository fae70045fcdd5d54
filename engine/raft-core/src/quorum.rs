//! Majorities (thesis 3.4, 3.5).

use alloc::vec::Vec;

/// The smallest number of members of which any two sets share one.
pub(crate) const fn majority(members: usize) -> usize {
    members / 2 + 1
}

/// The largest value that a majority has reached. Sorts `values`.
pub(crate) fn reached<T: Ord + Copy>(values: &mut [T]) -> Option<T> {
    if values.is_empty() {
        return None;
    }
    values.sort_unstable();
    Some(values[values.len() - majority(values.len())])
}

/// How an election stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tally {
    Open,
    Won,
    Lost,
}

/// The answers of one election, by position among the voters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Votes(Vec<Option<bool>>);

impl Votes {
    pub(crate) fn start(&mut self, voters: usize) {
        self.0.clear();
        self.0.resize(voters, None);
    }

    /// Notes an answer. A grant stands; a refusal may have answered a question of an older term,
    /// and gives way to a grant.
    pub(crate) fn record(&mut self, position: usize, granted: bool) {
        if let Some(vote) = self.0.get_mut(position) {
            *vote = Some(granted || *vote == Some(true));
        }
    }

    pub(crate) fn tally(&self) -> Tally {
        let needed = majority(self.0.len());
        let count = |what| self.0.iter().filter(|v| **v == Some(what)).count();
        if count(true) >= needed {
            Tally::Won
        } else if self.0.len() - count(false) < needed {
            Tally::Lost
        } else {
            Tally::Open
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Tally, Votes, majority, reached};

    #[test]
    fn majorities_of_even_and_odd_groups() {
        assert_eq!([1, 2, 3, 4, 5].map(majority), [1, 2, 2, 3, 3]);
    }

    #[test]
    fn reached_is_what_a_majority_has() {
        assert_eq!(reached::<u64>(&mut []), None);
        assert_eq!(reached(&mut [7]), Some(7));
        assert_eq!(reached(&mut [9, 3]), Some(3));
        assert_eq!(reached(&mut [9, 3, 5]), Some(5));
        assert_eq!(reached(&mut [9, 3, 5, 4]), Some(4));
    }

    #[test]
    fn an_election_ends_as_soon_as_it_is_decided() {
        let mut votes = Votes::default();
        votes.start(3);
        assert_eq!(votes.tally(), Tally::Open);
        votes.record(0, true);
        votes.record(0, false);
        votes.record(9, true);
        assert_eq!(votes.tally(), Tally::Open);
        votes.record(1, false);
        assert_eq!(votes.tally(), Tally::Open);
        votes.record(2, false);
        assert_eq!(votes.tally(), Tally::Lost);
        votes.start(4);
        votes.record(0, false);
        votes.record(1, false);
        assert_eq!(votes.tally(), Tally::Lost);
        votes.start(1);
        votes.record(0, true);
        assert_eq!(votes.tally(), Tally::Won);
    }
}
