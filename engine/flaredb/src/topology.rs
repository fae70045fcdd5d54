//! The cluster as clients are told of it: who owns which slots. Only leaders own slots.

use engine::{GroupId, GroupSpec, NodeId, NodeSpec, NodeView};

use crate::kv::hash;
use crate::slots::{SLOTS, SlotMap};

/// A range of slots and the node that leads their groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) first: u16,
    pub(crate) last: u16,
    pub(crate) node: NodeId,
}

/// Who owns what, in the order of slots. Slots whose group has no known leader with a client address
/// are left out; neighbouring ranges of one node are joined.
pub(crate) fn owners(view: &NodeView, slots: SlotMap) -> Vec<Owned> {
    let mut owners: Vec<Owned> = Vec::new();
    for group in view.groups() {
        let Some(range) = slots.range_of(group.id) else {
            continue;
        };
        let Some(node) = owner(view, group) else {
            continue;
        };
        if client_addr(view, node).is_none() {
            continue;
        }
        match owners.last_mut() {
            Some(last) if last.node == node && last.last + 1 == range.first => {
                last.last = range.last;
            }
            _ => owners.push(Owned { first: range.first, last: range.last, node }),
        }
    }
    owners
}

/// Who is to be asked for a group: its leader. A node hears nothing of the leaders of groups that it has
/// no replica of: then a replica that can be reached, which knows.
pub(crate) fn owner(view: &NodeView, group: &GroupSpec) -> Option<NodeId> {
    let leader = view.leader(group.id);
    if leader.is_some() || group.replicas.contains(&view.node()) {
        return leader;
    }
    let reachable = group.replicas.iter().find(|node| view.is_connected(**node));
    reachable.or(group.replicas.first()).copied()
}

/// The other node that is to be asked for a group, if one is.
pub(crate) fn elsewhere(view: &NodeView, group: GroupId) -> Option<NodeId> {
    let known = view.leader(group).or_else(|| owner(view, spec_of(view, group)?));
    known.filter(|node| *node != view.node())
}

fn spec_of(view: &NodeView, group: GroupId) -> Option<&GroupSpec> {
    view.groups().get(usize::try_from(group.0.checked_sub(1)?).ok()?)
}

/// Whether a group may be asked here: it is led here, or nobody leads it yet and this node may come to.
pub(crate) fn may_answer(view: &NodeView, group: &GroupSpec) -> bool {
    owner(view, group).is_none_or(|node| node == view.node())
}

/// The nodes that serve clients.
pub(crate) fn serving(view: &NodeView) -> impl Iterator<Item = &NodeSpec> {
    view.nodes().iter().filter(|node| node.client_addr.is_some())
}

/// Where clients reach a node.
pub(crate) fn client_addr(view: &NodeView, node: NodeId) -> Option<std::net::SocketAddr> {
    view.node_spec(node)?.client_addr
}

/// The name of a node: 40 hexadecimal digits, from the cluster's and the node's identities.
pub(crate) fn node_name(view: &NodeView, node: NodeId) -> String {
    name(view.cluster_id(), node.0, b"node")
}

/// The name of a node's part of the slots: as many digits, but another name.
pub(crate) fn part_name(view: &NodeView, node: NodeId) -> String {
    name(view.cluster_id(), node.0, b"part")
}

fn name(cluster: u128, node: u64, kind: &[u8]) -> String {
    let mut identity = cluster.to_le_bytes().to_vec();
    identity.extend_from_slice(&node.to_le_bytes());
    identity.extend_from_slice(kind);
    let words = [1, 2, 3].map(|seed| hash(seed, &identity));
    format!("{:016x}{:016x}{:08x}", words[0], words[1], words[2] >> 32)
}

/// The health of the cluster as this node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Health {
    /// Slots whose group has a leader.
    pub(crate) assigned: u16,
    /// Slots whose group has a leader on a connected node.
    pub(crate) reachable: u16,
    /// Nodes that lead at least one group.
    pub(crate) leaders: usize,
}

impl Health {
    /// What this node sees now.
    pub(crate) fn of(view: &NodeView, slots: SlotMap) -> Self {
        let owners = owners(view, slots);
        let count = |owned: &Owned| owned.last - owned.first + 1;
        let mut leaders: Vec<NodeId> = owners.iter().map(|o| o.node).collect();
        leaders.sort_unstable();
        leaders.dedup();
        Self {
            assigned: owners.iter().map(count).sum(),
            reachable: owners.iter().filter(|o| view.is_connected(o.node)).map(count).sum(),
            leaders: leaders.len(),
        }
    }

    /// Whether every slot has a leader that can be reached.
    pub(crate) fn is_ok(self) -> bool {
        self.reachable == SLOTS
    }
}
