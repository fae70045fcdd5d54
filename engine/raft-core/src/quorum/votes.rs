//! The answers of an election (thesis 3.4).

use alloc::vec::Vec;

use super::{Members, majority};

/// How an election stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tally {
    Open,
    Won,
    Lost,
}

/// The answers of one election, by position among the members.
#[derive(Clone, Debug, Default)]
pub(crate) struct Votes(Vec<Option<bool>>);

impl Votes {
    pub(crate) fn start(&mut self, members: usize) {
        self.0.clear();
        self.0.resize(members, None);
    }

    /// Notes an answer. A grant stands; a refusal may have answered a question of an older term,
    /// and gives way to a grant.
    pub(crate) fn record(&mut self, position: usize, granted: bool) {
        if let Some(vote) = self.0.get_mut(position) {
            *vote = Some(granted || *vote == Some(true));
        }
    }

    pub(crate) fn tally(&self, members: &Members) -> Tally {
        let answered = |what| members.counts(|p| self.0.get(p) == Some(&Some(what)));
        let (granted, refused) = (answered(true), answered(false));
        let decided = |half: usize| {
            let (voters, yes) = granted[half];
            let needed = majority(voters);
            if voters == 0 || yes >= needed {
                Tally::Won
            } else if voters - refused[half].1 < needed {
                Tally::Lost
            } else {
                Tally::Open
            }
        };
        match (decided(0), decided(1)) {
            (Tally::Won, Tally::Won) => Tally::Won,
            (Tally::Lost, _) | (_, Tally::Lost) => Tally::Lost,
            _ => Tally::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Tally, Votes};
    use crate::conf_change::ConfState;
    use crate::ids::NodeId;
    use crate::quorum::Members;

    fn voters(n: u64) -> Members {
        Members::new(&ConfState::of_voters((1..=n).map(NodeId)))
    }

    #[test]
    fn an_election_ends_as_soon_as_it_is_decided() {
        let mut votes = Votes::default();
        votes.start(3);
        assert_eq!(votes.tally(&voters(3)), Tally::Open);
        votes.record(0, true);
        votes.record(0, false);
        votes.record(9, true);
        assert_eq!(votes.tally(&voters(3)), Tally::Open);
        votes.record(1, false);
        assert_eq!(votes.tally(&voters(3)), Tally::Open);
        votes.record(2, false);
        assert_eq!(votes.tally(&voters(3)), Tally::Lost);
        votes.start(4);
        votes.record(0, false);
        votes.record(1, false);
        assert_eq!(votes.tally(&voters(4)), Tally::Lost);
        votes.start(1);
        votes.record(0, true);
        assert_eq!(votes.tally(&voters(1)), Tally::Won);
    }

    #[test]
    fn a_joint_election_is_won_in_both_halves() {
        let conf = ConfState {
            voters_outgoing: [3, 4, 5].map(NodeId).into(),
            ..ConfState::of_voters([1, 2, 3].map(NodeId))
        };
        let members = Members::new(&conf);
        let mut votes = Votes::default();
        votes.start(5);
        [0, 1].into_iter().for_each(|p| votes.record(p, true));
        assert_eq!(votes.tally(&members), Tally::Open);
        votes.record(3, true);
        assert_eq!(votes.tally(&members), Tally::Open);
        votes.record(4, true);
        assert_eq!(votes.tally(&members), Tally::Won);
        votes.start(5);
        [3, 4].into_iter().for_each(|p| votes.record(p, false));
        assert_eq!(votes.tally(&members), Tally::Lost);
    }
}
