//! From one configuration to the next (thesis 4.1, 4.2.1, 4.3).

use alloc::vec::Vec;

use super::conf_state::normalize;
use super::{ConfChange, ConfState, ConfStep, Transition};
use crate::error::ConfChangeError;
use crate::ids::NodeId;

impl ConfState {
    /// The configuration that `change` makes of this one.
    ///
    /// # Errors
    /// The change contradicts itself or this configuration.
    pub(crate) fn changed(&self, change: &ConfChange) -> Result<Self, ConfChangeError> {
        let next = match change {
            ConfChange::Leave if self.is_joint() => self.left(),
            ConfChange::Leave => return Err(ConfChangeError::NotJoint),
            ConfChange::Steps { .. } if self.is_joint() => return Err(ConfChangeError::Joint),
            ConfChange::Steps { steps, transition } => self.entered(steps, *transition)?,
        };
        let members = next.voters.len() + next.voters_outgoing.len() + next.learners.len();
        if members > Self::MEMBERS_MAX { Err(ConfChangeError::TooManyMembers) } else { Ok(next) }
    }

    /// The configuration after a joint one.
    pub(crate) fn left(&self) -> Self {
        let mut learners = [&self.learners[..], &self.learners_next[..]].concat();
        normalize(&mut learners);
        Self { voters: self.voters.clone(), learners, ..Self::default() }
    }

    fn entered(&self, steps: &[ConfStep], transition: Transition) -> Result<Self, ConfChangeError> {
        let mut next = self.clone();
        let mut seen: Vec<NodeId> = Vec::new();
        for step in steps {
            let node = step.node();
            if node == NodeId(0) || seen.contains(&node) {
                return Err(ConfChangeError::Contradiction(node));
            }
            seen.push(node);
            next.voters.retain(|id| *id != node);
            next.learners.retain(|id| *id != node);
            match step {
                ConfStep::AddVoter(_) => next.voters.push(node),
                ConfStep::AddLearner(_) => next.learners.push(node),
                ConfStep::Remove(_) => {}
            }
        }
        normalize(&mut next.voters);
        normalize(&mut next.learners);
        if next.voters.is_empty() {
            return Err(ConfChangeError::NoVoters);
        }
        if next == *self {
            return Err(ConfChangeError::Unchanged);
        }
        let came = next.voters.iter().filter(|id| !self.voters.contains(id)).count();
        let went = self.voters.iter().filter(|id| !next.voters.contains(id)).count();
        if transition == Transition::Auto && came + went <= 1 {
            return Ok(next);
        }
        // Who still votes in the old configuration becomes a learner only when that is over.
        let still_votes = |id: &NodeId| self.voters.binary_search(id).is_ok();
        let (learners_next, learners) = next.learners.iter().copied().partition(still_votes);
        Ok(Self {
            voters: next.voters,
            voters_outgoing: self.voters.clone(),
            learners,
            learners_next,
            auto_leave: transition != Transition::JointExplicit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ConfChange, ConfState, ConfStep, Transition};
    use crate::error::ConfChangeError;
    use crate::ids::NodeId;
    use ConfStep::{AddLearner, AddVoter, Remove};
    use alloc::vec::Vec;

    fn nodes(list: &[u64]) -> Vec<NodeId> {
        list.iter().copied().map(NodeId).collect()
    }

    fn three() -> ConfState {
        ConfState { learners: nodes(&[9]), ..ConfState::of_voters(nodes(&[1, 2, 3])) }
    }

    #[test]
    fn one_voter_at_a_time_goes_in_one_step() {
        let add = three().changed(&ConfChange::new([AddVoter(NodeId(4))])).unwrap();
        assert_eq!((add.voters, add.voters_outgoing), (nodes(&[1, 2, 3, 4]), nodes(&[])));
        let promote = three().changed(&ConfChange::new([AddVoter(NodeId(9))])).unwrap();
        assert_eq!((promote.voters, promote.learners), (nodes(&[1, 2, 3, 9]), nodes(&[])));
        let demote = three().changed(&ConfChange::new([AddLearner(NodeId(2))])).unwrap();
        assert_eq!((demote.voters, demote.learners), (nodes(&[1, 3]), nodes(&[2, 9])));
    }

    #[test]
    fn several_voters_go_through_a_joint_configuration() {
        let steps = [AddVoter(NodeId(4)), Remove(NodeId(1)), AddLearner(NodeId(3))];
        let joint = three().changed(&ConfChange::new(steps)).unwrap();
        let expected = ConfState {
            voters: nodes(&[2, 4]),
            voters_outgoing: nodes(&[1, 2, 3]),
            learners: nodes(&[9]),
            learners_next: nodes(&[3]),
            auto_leave: true,
        };
        assert_eq!(joint, expected);
        let left = joint.changed(&ConfChange::Leave).unwrap();
        let expected =
            ConfState { learners: nodes(&[3, 9]), ..ConfState::of_voters(nodes(&[2, 4])) };
        assert_eq!(left, expected);
    }

    #[test]
    fn contradictions_are_refused() {
        let change = |steps: &[ConfStep]| three().changed(&ConfChange::new(steps.to_vec()));
        let twice = change(&[AddVoter(NodeId(4)), Remove(NodeId(4))]);
        assert_eq!(twice, Err(ConfChangeError::Contradiction(NodeId(4))));
        assert_eq!(change(&[AddVoter(NodeId(1))]), Err(ConfChangeError::Unchanged));
        assert_eq!(change(&[]), Err(ConfChangeError::Unchanged));
        let nobody: Vec<_> = (1..=3).map(|n| Remove(NodeId(n))).collect();
        assert_eq!(change(&nobody), Err(ConfChangeError::NoVoters));
        let many: Vec<_> = (10..400).map(|n| AddLearner(NodeId(n))).collect();
        assert_eq!(change(&many), Err(ConfChangeError::TooManyMembers));
        assert_eq!(three().changed(&ConfChange::Leave), Err(ConfChangeError::NotJoint));
        let steps = alloc::vec![AddVoter(NodeId(4))];
        let transition = Transition::JointExplicit;
        let joint = three().changed(&ConfChange::Steps { steps, transition }).unwrap();
        assert!(!joint.auto_leave && joint.is_joint());
        let again = joint.changed(&ConfChange::new([AddVoter(NodeId(5))]));
        assert_eq!(again, Err(ConfChangeError::Joint));
    }
}
