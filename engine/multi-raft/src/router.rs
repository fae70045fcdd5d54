//! Which slot holds which group.

use raft_core::GroupId;

/// A slot of the slab, or none.
const FREE: u32 = u32::MAX;

/// `GroupId -> slot`: an open-addressed table with a fixed hash. It is asked with every message,
/// and never walked: what has to be in order is read from the sorted list beside it.
#[derive(Clone, Debug, Default)]
pub struct Router {
    table: Vec<(GroupId, u32)>,
    sorted: Vec<GroupId>,
}

impl Router {
    /// An empty router.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The slot of a group.
    #[must_use]
    pub fn slot(&self, group: GroupId) -> Option<u32> {
        if self.table.is_empty() {
            return None;
        }
        let (_, slot) = self.table[self.place(group)];
        (slot != FREE).then_some(slot)
    }

    /// Notes the slot of a group. Returns whether the group is new; a known one keeps its slot.
    pub fn insert(&mut self, group: GroupId, slot: u32) -> bool {
        assert!(slot != FREE, "the last slot number means none");
        if (self.sorted.len() + 1) * 2 > self.table.len() {
            self.grow();
        }
        let place = self.place(group);
        if self.table[place].1 != FREE {
            return false;
        }
        self.table[place] = (group, slot);
        let at = self.sorted.partition_point(|g| *g < group);
        self.sorted.insert(at, group);
        true
    }

    /// The groups, in ascending order.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = GroupId> + '_ {
        self.sorted.iter().copied()
    }

    /// How many groups there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// Where the group is, or where it would be put. The table is never more than half full.
    fn place(&self, group: GroupId) -> usize {
        let mask = self.table.len() - 1;
        let hash = group.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let mut place = hash as usize & mask;
        while self.table[place].1 != FREE && self.table[place].0 != group {
            place = (place + 1) & mask;
        }
        place
    }

    fn grow(&mut self) {
        let size = (self.table.len() * 2).max(8);
        let old = std::mem::replace(&mut self.table, vec![(GroupId(0), FREE); size]);
        for (group, slot) in old.into_iter().filter(|(_, slot)| *slot != FREE) {
            let place = self.place(group);
            self.table[place] = (group, slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Router;
    use raft_core::GroupId;

    #[test]
    fn every_group_keeps_its_slot() {
        let mut router = Router::new();
        assert_eq!(router.slot(GroupId(0)), None);
        for slot in 0..1000_u32 {
            let group = GroupId(u64::from(slot).wrapping_mul(0x1234_5678_9ABC_DEF1));
            assert!(router.insert(group, slot));
            assert!(!router.insert(group, slot + 1));
        }
        for slot in 0..1000_u32 {
            let group = GroupId(u64::from(slot).wrapping_mul(0x1234_5678_9ABC_DEF1));
            assert_eq!(router.slot(group), Some(slot));
        }
        assert_eq!(router.slot(GroupId(5)), None);
        assert_eq!((router.len(), router.is_empty()), (1000, false));
        assert!(router.groups().is_sorted());
    }
}
