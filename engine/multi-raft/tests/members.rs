//! Members that come, go, lead and catch up, through the shard that holds them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::collections::BTreeMap;

use common::{Node, Store};
use multi_raft::{ConfChangeError, TransferError};
use raft_core::{
    ConfChange, ConfStep, Event, GroupId, Index, LogId, Message, NodeId, PeerState, Role,
    SnapshotMeta, SnapshotStatus, Term, Tick,
};

const GROUP: GroupId = GroupId(1);

/// A node with a replica of the group that these voters found.
fn node(id: u64, voters: &[u64]) -> Node {
    Node::on(id, BTreeMap::from([(GROUP, Store::new(voters))]))
}

/// Lets the nodes talk until they have nothing more to say; what is for others is lost.
fn exchange(nodes: &mut [&mut Node]) {
    loop {
        nodes.iter_mut().for_each(|node| node.settle());
        let mut sent = Vec::new();
        for node in nodes.iter_mut() {
            sent.extend(node.outbox.drain(..).map(|batch| (node.id, batch)));
        }
        if sent.is_empty() {
            return;
        }
        for (from, batch) in sent {
            let Some(to) = nodes.iter_mut().find(|n| n.id == batch.to) else { continue };
            deliver(to, from, batch.messages);
        }
    }
}

fn deliver(node: &mut Node, from: NodeId, messages: Vec<(GroupId, Message)>) {
    for (group, message) in messages {
        node.multi.step(group, from, message).unwrap();
    }
}

/// Time passes for all of them.
fn pass(nodes: &mut [&mut Node], ticks: u64) {
    for _ in 0..ticks {
        nodes.iter_mut().for_each(|node| node.multi.tick());
        exchange(nodes);
    }
}

/// The node leads the group, which it founded alone.
fn alone() -> Node {
    let mut node = node(1, &[1]);
    node.multi.campaign(GROUP).unwrap();
    node.settle();
    assert_eq!(node.replica(1).role(), Role::Leader);
    node
}

fn voters(node: &Node) -> Vec<u64> {
    node.replica(1).conf().voters.iter().map(|id| id.0).collect()
}

#[test]
fn a_member_joins_and_another_is_refused_meanwhile() {
    let (mut one, mut two) = (alone(), node(2, &[]));
    let add = |id| ConfChange::new([ConfStep::AddVoter(NodeId(id))]);
    let id = one.multi.propose_conf_change(GROUP, &add(2)).unwrap();
    let again = one.multi.propose_conf_change(GROUP, &add(3));
    let in_progress = raft_core::ConfChangeError::InProgress { index: id.index };
    assert_eq!(again, Err(ConfChangeError::Refused(in_progress)));
    pass(&mut [&mut one, &mut two], 3);
    assert_eq!((voters(&one), voters(&two)), (vec![1, 2], vec![1, 2]));
    for node in [&one, &two] {
        assert!(node.events.contains(&(GROUP, Event::ConfChanged { index: id.index })));
        assert_eq!(node.machines[&GROUP].last(), Some(&id), "it is applied like any other");
    }
    // It is in the log, and in force again after a crash.
    two.crash(0);
    assert_eq!(voters(&two), [1, 2]);
}

#[test]
fn leadership_goes_where_it_is_told_to() {
    let (mut one, mut two) = (node(1, &[1, 2]), node(2, &[1, 2]));
    one.multi.campaign(GROUP).unwrap();
    exchange(&mut [&mut one, &mut two]);
    let refused = raft_core::TransferError::NotAVoter(NodeId(9));
    let transfer = one.multi.transfer_leader(GROUP, NodeId(9));
    assert_eq!(transfer, Err(TransferError::Refused(refused)));
    one.multi.transfer_leader(GROUP, NodeId(2)).unwrap();
    exchange(&mut [&mut one, &mut two]);
    assert_eq!((one.replica(1).role(), two.replica(1).role()), (Role::Follower, Role::Leader));
    assert_eq!(one.multi.leader(GROUP), Some(NodeId(2)));
}

/// The leader's log begins behind what the newcomer needs: it gets the snapshot, and goes on.
#[test]
fn a_newcomer_starts_from_a_snapshot() {
    let (mut one, mut two) = (alone(), node(2, &[]));
    for word in ["a", "b", "c"] {
        one.propose(1, word);
    }
    one.settle();
    let last = LogId::new(one.replica(1).term(), Index(3));
    let conf = one.replica(1).conf_at(last.index).unwrap().clone();
    one.stores[&GROUP].compact(SnapshotMeta { last, conf });
    one.multi.compacted(GROUP, last.index).unwrap();
    let add = ConfChange::new([ConfStep::AddVoter(NodeId(2))]);
    let added = one.multi.propose_conf_change(GROUP, &add).unwrap();

    // A probe, its refusal, and then the snapshot, which waits at the newcomer for its disk.
    let snapshots = |node: &Node| {
        let sent = node.outbox.iter().flat_map(|b| &b.messages);
        sent.filter(|(_, m)| matches!(m, Message::InstallSnapshot(_))).count()
    };
    for _ in 0..20 {
        one.settle();
        if snapshots(&one) > 0 {
            break;
        }
        one.multi.tick();
        let mut sent = std::mem::take(&mut one.outbox);
        sent.drain(..).for_each(|batch| deliver(&mut two, NodeId(1), batch.messages));
        two.settle();
        let sent = std::mem::take(&mut two.outbox);
        sent.into_iter().for_each(|batch| deliver(&mut one, NodeId(2), batch.messages));
    }
    assert_eq!(snapshots(&one), 1);
    let peer = |node: &Node| node.replica(1).peers().next().unwrap().state;
    assert_eq!(peer(&one), PeerState::Snapshot);

    // The host says how it is doing: still moving, then lost, and then another one goes out.
    one.outbox.clear();
    one.multi.snapshot_status(GROUP, NodeId(2), SnapshotStatus::Moving).unwrap();
    assert_eq!(peer(&one), PeerState::Snapshot);
    one.multi.snapshot_status(GROUP, NodeId(2), SnapshotStatus::Failed).unwrap();
    assert_eq!(peer(&one), PeerState::Probe);
    pass(&mut [&mut one, &mut two], 4);

    assert_eq!(two.stores[&GROUP].log().first().map(|id| id.index), Some(Index(4)));
    assert_eq!(two.machines[&GROUP].last(), Some(&added));
    assert_eq!((voters(&two), peer(&one)), (vec![1, 2], PeerState::Replicate));
    two.crash(0);
    assert_eq!(voters(&two), [1, 2], "the snapshot is where it starts from");

    // A broken connection: find out what is there before sending much more.
    one.multi.unreachable(GROUP, NodeId(2)).unwrap();
    assert_eq!(peer(&one), PeerState::Probe);
}

/// A snapshot, the hard state and the receipt come in one batch, and nothing of it counts before
/// the receipt is back.
#[test]
fn a_snapshot_is_handed_out_with_its_receipt() {
    let stores = (1..=3).map(|g| (GroupId(g), Store::new(&[])));
    let mut node = Node::on(2, stores.collect());
    let last = LogId::new(Term(4), Index(9));
    let conf = raft_core::ConfState::of_voters([NodeId(1), NodeId(2)]);
    let snapshot = Box::new(SnapshotMeta { last, conf });
    for group in [3, 1] {
        let snapshot = snapshot.clone();
        let install = raft_core::InstallSnapshot { term: last.term, snapshot };
        let message = Message::InstallSnapshot(install);
        node.multi.step(GroupId(group), NodeId(1), message).unwrap();
    }
    let mut ready = multi_raft::MultiReady::default();
    assert!(node.multi.poll_ready(&mut ready));
    let both = [(GroupId(1), (*snapshot).clone()), (GroupId(3), *snapshot)];
    assert_eq!(ready.snapshots, both);
    assert_eq!(ready.hard_states.iter().map(|(g, _)| g.0).collect::<Vec<_>>(), [1, 3]);
    assert!(ready.messages.is_empty() && !ready.is_empty());
    let receipt = ready.receipt.take().unwrap();
    ready.clear();
    assert!(ready.is_empty() && ready.snapshots.is_empty());
    node.multi.persisted(receipt);
    assert!(node.multi.poll_ready(&mut ready));
    assert_eq!(ready.messages[0].messages.len(), 2, "both say that they have it");
    assert_eq!(node.replica(1).status().applied, Index(9));
}

/// A cold storage holds up its own group and is asked once until it says that it has fetched.
#[test]
fn entries_that_must_be_fetched_hold_up_one_group() {
    let mut node = Node::with_groups(1, 2, &[1]);
    for group in [1, 2] {
        node.multi.campaign(GroupId(group)).unwrap();
        node.settle();
        node.propose(group, "a");
        node.settle();
    }
    let cold = node.stores[&GROUP].clone();
    cold.set_cold(true);
    node.crash(0);
    node.multi.advance_to(Tick(100));
    node.settle();
    let fetches = |node: &Node| {
        let of = |e: &&(GroupId, Event)| matches!(e, (GROUP, Event::Fetch { from: Index(1), .. }));
        node.events.iter().filter(of).count()
    };
    assert_eq!((fetches(&node), node.machines.contains_key(&GROUP)), (1, false));
    assert_eq!(node.machines[&GroupId(2)].len(), 3);
    cold.set_cold(false);
    assert!(!node.multi.has_ready());
    node.multi.fetched(GROUP).unwrap();
    node.settle();
    assert_eq!((fetches(&node), node.machines[&GROUP].len()), (1, 3));
}
