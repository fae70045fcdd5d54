//! Everyone a configuration names, each with a position.

use alloc::vec::Vec;

use super::{middle, reached};
use crate::conf_change::ConfState;
use crate::ids::NodeId;

/// Groups up to this size are counted without memory from the heap.
const SMALL: usize = 8;

/// One member and where it counts.
#[derive(Clone, Copy, Debug)]
struct Member {
    id: NodeId,
    incoming: bool,
    outgoing: bool,
}

/// The members of a configuration in ascending order. What is kept per member is kept in this
/// order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members {
    members: Vec<Member>,
    joint: bool,
    /// The usual group: three who vote, and nobody else.
    trio: bool,
}

impl Members {
    pub(crate) fn new(conf: &ConfState) -> Self {
        let mut ids: Vec<NodeId> = Vec::with_capacity(conf.voters.len());
        for list in [&conf.voters, &conf.voters_outgoing, &conf.learners, &conf.learners_next] {
            ids.extend_from_slice(list);
        }
        ids.sort_unstable();
        ids.dedup();
        let among = |list: &[NodeId], id| list.binary_search(&id).is_ok();
        let member = |id| Member {
            id,
            incoming: among(&conf.voters, id),
            outgoing: among(&conf.voters_outgoing, id),
        };
        let members: Vec<_> = ids.into_iter().map(member).collect();
        let joint = conf.is_joint();
        let trio = !joint && members.len() == 3 && members.iter().all(|m| m.incoming);
        Self { members, joint, trio }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.members.iter().map(|m| m.id)
    }

    #[inline]
    pub(crate) fn id(&self, position: usize) -> NodeId {
        self.members[position].id
    }

    #[inline]
    pub(crate) fn position(&self, id: NodeId) -> Option<usize> {
        self.members.iter().position(|m| m.id == id)
    }

    /// Whether the member counts, in the old configuration or in the new one.
    pub(crate) fn is_voter(&self, position: usize) -> bool {
        let member = self.members[position];
        member.incoming || member.outgoing
    }

    /// Whether the node is a member that counts.
    pub(crate) fn has_voter(&self, id: NodeId) -> bool {
        self.position(id).is_some_and(|p| self.is_voter(p))
    }

    /// The largest value that a majority has reached; in a joint configuration a majority of the
    /// old voters and one of the new. Without voters there is nothing to wait for.
    #[inline]
    pub(crate) fn reached(&self, value: impl Fn(usize) -> u64) -> u64 {
        if self.trio {
            return middle(value(0), value(1), value(2));
        }
        self.both_reached(value)
    }

    fn both_reached(&self, value: impl Fn(usize) -> u64) -> u64 {
        let new = self.half_reached(&value, |m| m.incoming);
        if self.joint { new.min(self.half_reached(&value, |m| m.outgoing)) } else { new }
    }

    #[inline]
    fn half_reached(&self, value: impl Fn(usize) -> u64, counts: impl Fn(&Member) -> bool) -> u64 {
        let counted = self.members.iter().enumerate().filter(|(_, m)| counts(m));
        let values = counted.map(|(position, _)| value(position));
        if self.members.len() > SMALL {
            return reached(&values.collect::<Vec<_>>());
        }
        let mut small = [0; SMALL];
        let mut count = 0;
        for (place, value) in small.iter_mut().zip(values) {
            *place = value;
            count += 1;
        }
        reached(&small[..count])
    }

    /// How many voters there are, and for how many of them `is` holds, in the new and in the old
    /// configuration.
    pub(super) fn counts(&self, is: impl Fn(usize) -> bool) -> [(usize, usize); 2] {
        let mut counts = [(0, 0); 2];
        for (position, member) in self.members.iter().enumerate() {
            let voice = usize::from(is(position));
            for (half, counted) in [member.incoming, member.outgoing].into_iter().enumerate() {
                if counted {
                    counts[half].0 += 1;
                    counts[half].1 += voice;
                }
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::Members;
    use crate::conf_change::ConfState;
    use crate::ids::NodeId;
    use alloc::vec::Vec;

    fn nodes(list: &[u64]) -> Vec<NodeId> {
        list.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn reached_is_what_a_majority_has() {
        let reached = |values: &[u64]| {
            let voters = (1..=values.len() as u64).map(NodeId);
            Members::new(&ConfState::of_voters(voters)).reached(|p| values[p])
        };
        assert_eq!(reached(&[]), u64::MAX);
        assert_eq!(reached(&[7]), 7);
        assert_eq!(reached(&[9, 3]), 3);
        assert_eq!(reached(&[9, 3, 5]), 5);
        assert_eq!(reached(&[5, 5, 5]), 5);
        assert_eq!(reached(&[9, 3, 5, 4]), 4);
    }

    #[test]
    fn a_joint_decision_needs_both_majorities_and_no_learner() {
        let conf = ConfState {
            voters: nodes(&[1, 2, 5]),
            voters_outgoing: nodes(&[1, 3, 4]),
            learners: nodes(&[9]),
            learners_next: nodes(&[4]),
            auto_leave: false,
        };
        let members = Members::new(&conf);
        assert_eq!(members.ids().collect::<Vec<_>>(), nodes(&[1, 2, 3, 4, 5, 9]));
        // Positions: 1 2 3 4 5 9. New: 10 8 0 -> 8. Old: 10 7 1 -> 7.
        let values = [10, 8, 7, 1, 0, 99];
        assert_eq!(members.reached(|p| values[p]), 7);
        let plain = Members::new(&conf.left());
        // 1 2 4 5 9, of which 1 2 5 vote.
        let values = [10, 8, 99, 0, 99];
        assert_eq!(plain.reached(|p| values[p]), 8);
    }
}
