//! The worker's promises: no job of the shard is lost, and no bad piece ends it.

use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::time::Duration;

use raft_core::{ConfState, Term};

use super::*;

const GROUP: GroupId = GroupId(1);

fn meta(index: u64) -> SnapshotMeta {
    let conf = ConfState::of_voters([1, 2, 3].map(NodeId));
    SnapshotMeta { last: LogId::new(Term(1), Index(index)), conf }
}

fn files() -> (tempfile::TempDir, Files) {
    let temp = tempfile::tempdir().unwrap();
    let files = Files::new(Folder::open(temp.path().to_owned()).unwrap());
    (temp, files)
}

/// Ten bytes of a file of a hundred.
fn keep(from: u64, group: u64, offset: u64) -> SnapshotJob {
    let (group, snapshot, data) = (GroupId(group), meta(9), vec![0; 10].into());
    let piece = Piece { group, term: Term(1), snapshot, file_bytes: 100, offset, data };
    SnapshotJob::Keep { from: NodeId(from), piece }
}

#[test]
fn a_flood_of_pieces_from_peers_takes_no_job_of_the_shard() {
    let temp = tempfile::tempdir().unwrap();
    let folder = Folder::open(temp.path().to_owned()).unwrap();
    let (news, heard) = mpsc::channel();
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let worker = Worker::start("snap".into(), folder.clone(), move |what| {
        if !gate.load(Ordering::Relaxed) {
            return Some(what);
        }
        news.send(*what).unwrap();
        None
    })
    .unwrap();
    let taken = (0..2 * QUEUE_JOBS).filter(|_| worker.send(keep(2, 1, 0))).count();
    assert!((QUEUE_JOBS..=QUEUE_JOBS + 1).contains(&taken), "{taken} pieces wait");
    assert!(worker.send(SnapshotJob::Begin { group: GROUP, meta: meta(7) }));
    assert!(worker.send(SnapshotJob::Piece(b"one".to_vec())));
    assert!(worker.send(SnapshotJob::Piece(b"two".to_vec())));
    assert!(worker.send(SnapshotJob::End));
    open.store(true, Ordering::Relaxed);
    loop {
        match heard.recv_timeout(Duration::from_secs(10)).unwrap() {
            SnapshotNews::Taken { meta: taken, .. } => break assert_eq!(taken, meta(7)),
            SnapshotNews::NotTaken { .. } => panic!("it could be written"),
            _ => {}
        }
    }
    let mut reader = folder.read(GROUP, Index(7)).unwrap();
    let mut pieces = Vec::new();
    let mut piece = Vec::new();
    while reader.next(&mut piece).unwrap() {
        pieces.push(piece.clone());
    }
    assert_eq!(pieces, [b"one", b"two"]);
}

#[test]
fn a_piece_that_is_too_large_fails_its_snapshot_and_nothing_else() {
    let (_temp, mut files) = files();
    for (index, bytes) in [(7, super::super::file::PIECE_BYTES_MAX + 1), (8, 10)] {
        files.work(SnapshotJob::Begin { group: GROUP, meta: meta(index) });
        files.work(SnapshotJob::Piece(vec![0; bytes]));
        let news = files.work(SnapshotJob::End);
        match (index, &news[..]) {
            (7, [SnapshotNews::NotTaken { index: Index(7), .. }]) => {}
            (8, [SnapshotNews::Taken { .. }]) => {}
            _ => panic!("{news:?}"),
        }
    }
}

#[test]
fn a_node_that_is_given_up_holds_one_file_open_at_most() {
    let (_temp, mut files) = files();
    for group in 1..=20 {
        let group = GroupId(group);
        files.work(SnapshotJob::Begin { group, meta: meta(7) });
        // More than one part, so that nobody comes to its end.
        files.work(SnapshotJob::Piece(vec![3; 2 * net::PIECE_BYTES_MAX]));
        files.work(SnapshotJob::End);
        let read = SnapshotJob::Read { to: NodeId(2), group, index: Index(7), offset: 0 };
        let news = files.work(read);
        assert!(matches!(&news[..], [SnapshotNews::ToSend { data: Some(_), .. }]), "{news:?}");
        assert_eq!(files.sending.len(), 1);
    }
    // It stays readable when it is kept no more.
    let group = GroupId(20);
    for index in [8, 9, 10] {
        files.work(SnapshotJob::Begin { group, meta: meta(index) });
        files.work(SnapshotJob::End);
    }
    let offset = net::PIECE_BYTES_MAX as u64;
    let news = files.work(SnapshotJob::Read { to: NodeId(2), group, index: Index(7), offset });
    assert!(matches!(&news[..], [SnapshotNews::ToSend { data: Some(_), .. }]), "{news:?}");
}

#[test]
fn a_node_that_begins_again_and_again_leaves_one_file() {
    let (temp, mut files) = files();
    for group in 1..=20 {
        files.work(keep(2, group, 0));
        files.work(keep(3, group + 100, 0));
    }
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 2, "one of each sender");
    let news = files.work(keep(2, 20, 10));
    assert!(matches!(news[..], [SnapshotNews::Kept { next: Some(20), .. }]), "{news:?}");
    let news = files.work(keep(3, 120, 50));
    assert!(matches!(news[..], [SnapshotNews::Kept { next: Some(10), .. }]), "where it stands");
    // Another sender of the same group takes over from the beginning.
    let news = files.work(keep(3, 20, 10));
    assert!(matches!(news[..], [SnapshotNews::Kept { next: Some(0), .. }]), "{news:?}");
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1);
}
