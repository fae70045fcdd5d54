//! Slots: where a key belongs, which group has it, and which nodes have the group.

use engine::{GroupId, GroupSpec, NodeId};

/// How many slots there are: fixed by the Redis Cluster specification.
pub const SLOTS: u16 = 16_384;

/// A range of slots, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRange {
    /// The first slot.
    pub first: u16,
    /// The last slot.
    pub last: u16,
}

impl SlotRange {
    /// All slots.
    pub const ALL: Self = Self { first: 0, last: SLOTS - 1 };

    /// How many slots the range has.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a range has at least one slot")]
    pub fn len(self) -> usize {
        usize::from(self.last - self.first) + 1
    }
}

/// The slot of a key: CRC16 of what is between the first `{` and the next `}`, or of the whole key
/// if there is nothing between them (Redis Cluster specification, "Hash tags").
#[must_use]
pub fn slot_of(key: &[u8]) -> u16 {
    let hashed = match key.iter().position(|b| *b == b'{') {
        Some(open) => match key[open + 1..].iter().position(|b| *b == b'}') {
            Some(length) if length > 0 => &key[open + 1..open + 1 + length],
            _ => key,
        },
        None => key,
    };
    crc16(hashed) % SLOTS
}

/// CRC-16/XMODEM: polynomial 0x1021, starting at 0, two bytes per step.
#[must_use]
pub fn crc16(bytes: &[u8]) -> u16 {
    let mut pairs = bytes.chunks_exact(2);
    let mut crc = 0u16;
    for pair in &mut pairs {
        let word = crc ^ u16::from_be_bytes([pair[0], pair[1]]);
        crc = TABLES[1][usize::from(word >> 8)] ^ TABLES[0][usize::from(word & 0xff)];
    }
    match pairs.remainder() {
        [last] => (crc << 8) ^ TABLES[0][usize::from((crc >> 8) as u8 ^ last)],
        _ => crc,
    }
}

/// The CRC of each byte, and of each byte with a zero byte after it.
static TABLES: [[u16; 256]; 2] = tables();

const fn tables() -> [[u16; 256]; 2] {
    let mut tables = [[0u16; 256]; 2];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 16 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
            if bit == 8 {
                tables[0][byte] = crc;
            }
        }
        tables[1][byte] = crc;
        byte += 1;
    }
    tables
}

/// How slots map to groups: contiguous ranges of nearly equal length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotMap {
    groups: u16,
}

impl SlotMap {
    /// A map over so many groups, which is taken to be at least 1 and at most [`SLOTS`].
    #[must_use]
    pub fn new(groups: usize) -> Self {
        Self { groups: u16::try_from(groups).unwrap_or(SLOTS).clamp(1, SLOTS) }
    }

    /// How many groups there are.
    #[must_use]
    pub fn groups(self) -> usize {
        usize::from(self.groups)
    }

    /// The group that has a slot.
    #[must_use]
    pub fn group_of(self, slot: u16) -> GroupId {
        let ordinal = u32::from(slot % SLOTS) * u32::from(self.groups) / u32::from(SLOTS);
        GroupId(u64::from(ordinal) + 1)
    }

    /// The slots of a group; none if there is no such group.
    #[must_use]
    pub fn range_of(self, group: GroupId) -> Option<SlotRange> {
        let ordinal = u32::try_from(group.0.checked_sub(1)?).ok()?;
        let groups = u32::from(self.groups);
        if ordinal >= groups {
            return None;
        }
        let first_of = |ordinal: u32| (ordinal * u32::from(SLOTS)).div_ceil(groups);
        Some(SlotRange {
            first: first_of(ordinal) as u16,
            last: (first_of(ordinal + 1) - 1) as u16,
        })
    }
}

/// Places groups on nodes. The first replica of the group with ordinal `k` is node `(k / shards) %
/// nodes`, so that every shard of every node leads its share; the nodes after it hold the other
/// replicas.
#[must_use]
pub fn placement(
    nodes: &[NodeId],
    shards: usize,
    groups: usize,
    replicas: usize,
) -> Vec<GroupSpec> {
    let mut nodes = nodes.to_vec();
    nodes.sort_unstable();
    let replicas = replicas.clamp(1, nodes.len().max(1));
    (0..groups)
        .map(|ordinal| GroupSpec {
            id: GroupId(ordinal as u64 + 1),
            replicas: nodes
                .iter()
                .cycle()
                .skip(ordinal / shards.max(1) % nodes.len().max(1))
                .take(replicas)
                .copied()
                .collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_is_xmodem() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(crc16(b""), 0);
        assert_eq!(crc16(b"a"), 0x7c87);
    }

    #[test]
    fn tags_choose_the_slot() {
        assert_eq!(slot_of(b"foo"), 12_182);
        assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"user1000"));
        assert_eq!(slot_of(b"foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS);
        assert_eq!(slot_of(b"foo{{bar}}zap"), slot_of(b"{bar"));
        assert_eq!(slot_of(b"foo{bar}{zap}"), slot_of(b"bar"));
        assert_eq!(slot_of(b"foo{bar"), crc16(b"foo{bar") % SLOTS);
    }

    #[test]
    fn every_slot_has_one_group_and_ranges_join_up() {
        for groups in [1, 2, 3, 6, 7, 12, 1000, 16_384] {
            let map = SlotMap::new(groups);
            let mut next = 0;
            for ordinal in 0..groups as u64 {
                let range = map.range_of(GroupId(ordinal + 1)).unwrap();
                assert_eq!(u32::from(range.first), next, "{groups} groups");
                for slot in [range.first, range.last] {
                    assert_eq!(map.group_of(slot), GroupId(ordinal + 1));
                }
                next = u32::from(range.last) + 1;
            }
            assert_eq!(next, u32::from(SLOTS));
            assert_eq!(map.range_of(GroupId(groups as u64 + 1)), None);
        }
    }

    #[test]
    fn placement_gives_every_shard_of_every_node_its_share() {
        let nodes = [NodeId(3), NodeId(1), NodeId(2)];
        let groups = placement(&nodes, 2, 12, 3);
        for node in nodes {
            for shard in 0..2 {
                let led = groups
                    .iter()
                    .filter(|g| g.replicas[0] == node && engine::shard_of(g.id, 2) == shard);
                assert_eq!(led.count(), 2, "{node} {shard}");
            }
        }
        assert_eq!(groups[0].replicas, [NodeId(1), NodeId(2), NodeId(3)]);
        assert_eq!(groups[2].replicas, [NodeId(2), NodeId(3), NodeId(1)]);
        assert_eq!(placement(&nodes[..1], 1, 2, 3)[1].replicas, [NodeId(3)]);
    }
}
