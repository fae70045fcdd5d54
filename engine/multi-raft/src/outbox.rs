//! Messages gathered by destination: one batch per node and poll.

use raft_core::{GroupId, Message, NodeId};

use crate::ready::PeerBatch;

/// How many emptied lists are kept: as many as a cluster plausibly has nodes.
const SPARE_MAX: usize = 64;

/// Adds a message to the batch of its node.
pub(crate) fn push(
    batches: &mut Vec<PeerBatch>,
    spare: &mut Vec<Vec<(GroupId, Message)>>,
    to: NodeId,
    group: GroupId,
    message: Message,
) {
    let at = batches.partition_point(|b| b.to < to);
    if batches.get(at).is_none_or(|b| b.to != to) {
        let messages = spare.pop().unwrap_or_default();
        batches.insert(at, PeerBatch { to, messages });
    }
    batches[at].messages.push((group, message));
}

/// Empties the batches and keeps the memory of their lists.
pub(crate) fn recycle(batches: &mut Vec<PeerBatch>, spare: &mut Vec<Vec<(GroupId, Message)>>) {
    for mut batch in batches.drain(..) {
        batch.messages.clear();
        if spare.len() < SPARE_MAX {
            spare.push(batch.messages);
        }
    }
}
