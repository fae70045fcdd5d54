//! The cluster as clients are told of it: who owns which slots. Leaders own slots; between leaders
//! the node that is asked does.

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

/// Who owns what, in the order of slots; neighbouring ranges of one node are joined. Slots of nodes
/// that do not serve clients are left out.
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

/// Who leads a group, as far as is known here and as far as it can be reached. A node hears nothing
/// of the leaders of groups that it has no replica of: then a replica that can be reached stands
/// for them.
fn leader(view: &NodeView, group: &GroupSpec) -> Option<NodeId> {
    if group.replicas.contains(&view.node()) {
        return view.leader(group.id).filter(|node| view.is_connected(*node));
    }
    group.replicas.iter().copied().find(|node| view.is_connected(*node))
}

/// Who is to be asked for a group: its leader, and between leaders this node if it has a replica,
/// which lets requests wait for the next one. Clients give up on a cluster whose slots are not all
/// owned.
fn owner(view: &NodeView, group: &GroupSpec) -> Option<NodeId> {
    let here = group.replicas.contains(&view.node());
    leader(view, group).or(if here { Some(view.node()) } else { group.replicas.first().copied() })
}

/// The other node that leads a group, if one does and can be reached.
pub(crate) fn elsewhere(view: &NodeView, group: GroupId) -> Option<NodeId> {
    if view.leader(group) == Some(view.node()) {
        return None;
    }
    leader(view, spec_of(view, group)?).filter(|node| *node != view.node())
}

fn spec_of(view: &NodeView, group: GroupId) -> Option<&GroupSpec> {
    view.groups().get(usize::try_from(group.0.checked_sub(1)?).ok()?)
}

/// Whether a group may be asked here: it is led here, or nobody leads it yet and this node may come
/// to.
pub(crate) fn may_answer(view: &NodeView, group: &GroupSpec) -> bool {
    group.replicas.contains(&view.node())
        && leader(view, group).is_none_or(|node| node == view.node())
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
        let mut health = Self { assigned: 0, reachable: 0, leaders: 0 };
        let mut leaders: Vec<NodeId> = Vec::new();
        for group in view.groups() {
            let length = slots.range_of(group.id).map_or(0, |range| range.len() as u16);
            let leader = leader(view, group);
            if leader.is_some() || view.leader(group.id).is_some() {
                health.assigned += length;
            }
            if let Some(node) = leader.filter(|node| client_addr(view, *node).is_some()) {
                health.reachable += length;
                leaders.push(node);
            }
        }
        leaders.sort_unstable();
        leaders.dedup();
        health.leaders = leaders.len();
        health
    }

    /// Whether every slot has a leader that can be reached.
    pub(crate) fn is_ok(self) -> bool {
        self.reachable == SLOTS
    }
}
