//! What a shard makes of news about its snapshots, also of such as come late.

use std::rc::Rc;

use super::*;
use crate::snapshots::{Arrived, SnapshotNews};
use cluster::Journal;
use raft_core::ConfState;

fn meta(term: u64, index: u64) -> SnapshotMeta {
    let conf = ConfState::of_voters([1, 2, 3].map(NodeId));
    SnapshotMeta { last: LogId::new(Term(term), Index(index)), conf }
}

/// Node 2 has drawn a snapshot of three writes; nothing of it is durable yet.
fn drawn() -> (Cluster, SnapshotMeta) {
    let mut cluster = Cluster::led();
    (1..=3).for_each(|ticket| cluster.write(0, ticket));
    cluster.settle();
    cluster.pass(30);
    let Member { shard, world, .. } = &mut cluster.members[1];
    shard.snapshots.machines = Some(Rc::new(|_| Box::new(Journal::default())));
    let applied = shard.replica(GROUP).unwrap().applied;
    shard.note_applied(GROUP, applied, 1 << 20);
    shard.take_snapshots(world);
    let [SnapshotJob::Begin { meta, .. }, SnapshotJob::Piece(_), SnapshotJob::End] =
        &world.jobs[..]
    else {
        panic!("{:?}", world.jobs);
    };
    let meta = meta.clone();
    (cluster, meta)
}

/// Node 2 gets a snapshot of the leader and installs it.
fn install(cluster: &mut Cluster, meta: &SnapshotMeta) {
    let Member { shard, world, .. } = &mut cluster.members[1];
    let index = meta.last.index;
    let (from, term) = (NodeId(1), Term(1));
    let arrived = Arrived { from, term, group: GROUP, meta: meta.clone() };
    shard.snapshot_news(SnapshotNews::Arrived(arrived), world);
    for piece in [Some(vec![7; 9]), None] {
        shard.snapshot_news(SnapshotNews::Loaded { group: GROUP, index, piece }, world);
    }
    shard.turn(world);
    assert_eq!(world.kept.last(), Some(meta));
    assert_eq!(world.restarts, [meta.last]);
}

#[test]
fn a_snapshot_that_is_durable_too_late_changes_nothing() {
    let (mut cluster, taken) = drawn();
    install(&mut cluster, &meta(1, 50));
    let Member { shard, world, .. } = &mut cluster.members[1];
    assert!(matches!(world.jobs.last(), Some(SnapshotJob::Load { .. } | SnapshotJob::Abort)));
    shard.snapshot_news(SnapshotNews::Taken { group: GROUP, meta: taken }, world);
    assert_eq!(world.kept, [meta(1, 50)], "the newest snapshot is still the one installed");
    assert_eq!(world.compacted, []);
    assert_eq!(shard.replica(GROUP).unwrap().snapshot, Index(50));
}

#[test]
fn late_news_of_one_snapshot_do_not_end_another() {
    let (mut cluster, taken) = drawn();
    let Member { shard, world, .. } = &mut cluster.members[1];
    let index = Index(taken.last.index.0 - 1);
    shard.snapshot_news(SnapshotNews::NotTaken { group: GROUP, index }, world);
    shard.snapshot_news(SnapshotNews::Taken { group: GroupId(9), meta: taken.clone() }, world);
    assert_eq!(world.kept, []);
    shard.snapshot_news(SnapshotNews::Taken { group: GROUP, meta: taken.clone() }, world);
    assert_eq!(world.kept, [taken]);
    assert_eq!(world.compacted, [], "there is none before it");
}

#[test]
fn the_pieces_of_a_leader_that_was_deposed_are_not_wanted() {
    let mut cluster = Cluster::led();
    assert!(!cluster.members[1].shard.is_over(GROUP, Term(1)));
    cluster.cut_off = Some(0);
    cluster.pass(250);
    assert!(cluster.leader().is_some_and(|leader| leader != 0));
    let term = cluster.members[1].shard.raft.status(GROUP).unwrap().hard.term;
    assert!(cluster.members[1].shard.is_over(GROUP, Term(1)));
    assert!(!cluster.members[1].shard.is_over(GROUP, term));
    assert!(!cluster.members[1].shard.is_over(GroupId(99), Term(1)), "nothing is known of it");
}

#[test]
fn a_snapshot_that_cannot_be_read_ends_only_its_own_building() {
    let (mut cluster, _) = drawn();
    let Member { shard, world, .. } = &mut cluster.members[1];
    let arrived = Arrived { from: NodeId(1), term: Term(1), group: GROUP, meta: meta(1, 50) };
    shard.snapshot_news(SnapshotNews::Arrived(arrived), world);
    let loads = |jobs: &[SnapshotJob]| {
        let load = |job: &&SnapshotJob| matches!(job, SnapshotJob::Load { .. });
        jobs.iter().filter(load).count()
    };
    assert_eq!(loads(&world.jobs), 1);
    // News of another one that was given up, then the first piece.
    let (group, index) = (GROUP, Index(50));
    shard.snapshot_news(SnapshotNews::NotLoaded { group, index: Index(40) }, world);
    let piece = Some(Vec::new());
    shard.snapshot_news(SnapshotNews::Loaded { group, index, piece }, world);
    assert_eq!(loads(&world.jobs), 2, "the building goes on");
    shard.snapshot_news(SnapshotNews::NotLoaded { group, index }, world);
    let piece = Some(Vec::new());
    shard.snapshot_news(SnapshotNews::Loaded { group, index, piece }, world);
    assert_eq!(loads(&world.jobs), 2, "its own end is the end");
}
