//! A configuration: who votes, who only listens.

use alloc::vec::Vec;

use bytes::{Buf, BufMut, Bytes};

use crate::ids::NodeId;

/// The members of a group. Every list ascends; nobody is both a voter and a learner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfState {
    /// The members that vote.
    pub voters: Vec<NodeId>,
    /// In a joint configuration the voters of the old one: a decision then needs a majority of
    /// either list (thesis 4.3). Empty otherwise.
    pub voters_outgoing: Vec<NodeId>,
    /// The members that receive the log and do not count (thesis 4.2.1).
    pub learners: Vec<NodeId>,
    /// Voters of the old configuration that become learners when the joint one is left.
    pub learners_next: Vec<NodeId>,
    /// The leader leaves this joint configuration as soon as it is committed.
    pub auto_leave: bool,
}

impl ConfState {
    /// How many nodes one configuration may name.
    pub const MEMBERS_MAX: usize = 255;

    /// A plain configuration of these voters.
    #[must_use]
    pub fn of_voters(voters: impl IntoIterator<Item = NodeId>) -> Self {
        let mut voters: Vec<_> = voters.into_iter().collect();
        normalize(&mut voters);
        Self { voters, ..Self::default() }
    }

    /// Whether the group is between two configurations (thesis 4.3).
    #[must_use]
    pub fn is_joint(&self) -> bool {
        !self.voters_outgoing.is_empty()
    }

    /// Whether the node is named at all.
    #[must_use]
    pub fn contains(&self, node: NodeId) -> bool {
        self.lists().iter().any(|list| list.binary_search(&node).is_ok())
    }

    /// Whether the node votes, in the old configuration or in the new one.
    #[must_use]
    pub fn is_voter(&self, node: NodeId) -> bool {
        let among = |list: &Vec<NodeId>| list.binary_search(&node).is_ok();
        among(&self.voters) || among(&self.voters_outgoing)
    }

    const fn lists(&self) -> [&Vec<NodeId>; 4] {
        [&self.voters, &self.voters_outgoing, &self.learners, &self.learners_next]
    }

    /// Whether the lists are what they are said to be.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let ascends = |list: &Vec<NodeId>| {
            list.first().is_none_or(|id| *id > NodeId(0)) && list.is_sorted_by(|a, b| a < b)
        };
        let among = |id: &NodeId, list: &Vec<NodeId>| list.binary_search(id).is_ok();
        let [voters, outgoing, learners, next] = self.lists();
        self.lists().into_iter().all(ascends)
            && self.lists().into_iter().all(|list| list.len() <= Self::MEMBERS_MAX)
            && learners.iter().all(|id| !among(id, voters) && !among(id, outgoing))
            && next.iter().all(|id| among(id, outgoing) && !among(id, voters))
            && (self.is_joint() || !self.auto_leave)
            && (!voters.is_empty() || *self == Self::default())
    }

    /// The bytes of a [`crate::EntryKind::ConfChange`]: a byte that is 1 for `auto_leave`, then the
    /// four lists in the order of the fields, each its length as a byte and its nodes as eight
    /// bytes, little-endian. A configuration has one encoding.
    ///
    /// # Panics
    /// When the configuration is not [sound](Self::is_sound).
    #[must_use]
    pub fn encode(&self) -> Bytes {
        assert!(self.is_sound(), "only a sound configuration is written");
        let nodes: usize = self.lists().iter().map(|list| list.len()).sum();
        let mut out = Vec::with_capacity(5 + 8 * nodes);
        out.put_u8(u8::from(self.auto_leave));
        for list in self.lists() {
            out.put_u8(list.len() as u8);
            list.iter().for_each(|id| out.put_u64_le(id.0));
        }
        out.into()
    }

    /// Reads what [`ConfState::encode`] wrote; `None` for anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let auto_leave = match rest.try_get_u8().ok()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let mut list = || -> Option<Vec<NodeId>> {
            let len = usize::from(rest.try_get_u8().ok()?);
            if rest.len() < 8 * len {
                return None;
            }
            Some((0..len).map(|_| NodeId(rest.get_u64_le())).collect())
        };
        let [voters, voters_outgoing, learners, learners_next] =
            [list()?, list()?, list()?, list()?];
        let conf = Self { voters, voters_outgoing, learners, learners_next, auto_leave };
        (rest.is_empty() && conf.is_sound()).then_some(conf)
    }
}

/// Ascending, each once.
pub(super) fn normalize(list: &mut Vec<NodeId>) {
    list.sort_unstable();
    list.dedup();
}

#[cfg(test)]
mod tests {
    use super::ConfState;
    use crate::ids::NodeId;
    use alloc::vec::Vec;

    fn nodes(list: &[u64]) -> Vec<NodeId> {
        list.iter().copied().map(NodeId).collect()
    }

    fn joint() -> ConfState {
        ConfState {
            voters: nodes(&[1, 2, 5]),
            voters_outgoing: nodes(&[1, 2, 3, 4]),
            learners: nodes(&[7]),
            learners_next: nodes(&[4]),
            auto_leave: true,
        }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let empty = ConfState::default();
        for conf in [joint(), empty, ConfState::of_voters(nodes(&[3, 1, 2, 1]))] {
            let bytes = conf.encode();
            assert_eq!(ConfState::decode(&bytes), Some(conf));
            for end in 0..bytes.len() {
                assert_eq!(ConfState::decode(&bytes[..end]), None);
            }
            let longer = [&bytes[..], &[0]].concat();
            assert_eq!(ConfState::decode(&longer), None);
        }
    }

    #[test]
    fn contradictions_are_not_sound() {
        assert!(joint().is_sound());
        let bad = [
            ConfState { voters: nodes(&[2, 1]), ..joint() },
            ConfState { voters: nodes(&[0, 1]), ..joint() },
            ConfState { voters: nodes(&[]), ..joint() },
            ConfState { learners: nodes(&[1]), ..joint() },
            ConfState { learners_next: nodes(&[2]), ..joint() },
            ConfState { learners_next: nodes(&[9]), ..joint() },
            ConfState { voters_outgoing: nodes(&[]), learners_next: nodes(&[]), ..joint() },
        ];
        for conf in bad {
            assert!(!conf.is_sound(), "{conf:?}");
        }
    }
}
