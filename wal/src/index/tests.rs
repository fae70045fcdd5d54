//! What the index knows of appends that are not durable yet.

use raft_core::{Entry, LogId, Term};

use super::*;
use crate::batch::{Builder, Expected};

const G: GroupId = GroupId(7);

/// The batch `seq`: a deletion, if `delete`, and an entry of this term at index one, if there is
/// one.
fn batch(seq: u64, delete: bool, term: Option<u64>) -> Vec<u8> {
    let (mut bytes, mut builder) = (vec![0; 4096], Builder::default());
    if delete {
        builder.push_mark(&mut bytes, G, LogId::default(), RecordKind::Delete, 0);
    }
    if let Some(term) = term {
        let id = LogId::new(Term(term), Index(1));
        let entry = Entry { id, kind: raft_core::EntryKind::Normal, data: "x".into() };
        builder.push_entry(&mut bytes, G, &entry);
    }
    let expected = Expected { salt: 1, epoch: 1, batch_seq: seq, prev_chain: 0 };
    builder.seal(&mut bytes, expected, 0, 0);
    bytes
}

fn relocation(index: &LogIndex) -> Option<Relocation> {
    let log = index.group(G)?;
    let id = LogId::new(log.term(Index(1))?, Index(1));
    Some(Relocation { group: G, id, place: log.place(Index(1))? })
}

#[test]
fn a_copy_waits_for_every_deletion_before_it() {
    let mut index = LogIndex::default();
    let appended = |index: &mut LogIndex| index.set_appended(G, Index(1), Index(2));
    let deleted = |index: &mut LogIndex, seq| {
        index.set_deleted(G);
        index.set_changed(G, Mark(seq));
    };
    appended(&mut index);
    index.apply(0, 4096, &batch(1, false, Some(1))).unwrap();
    assert!(index.is_settled(&relocation(&index).unwrap(), Mark(1)));
    // Deleted and begun again in batch 2, deleted in batch 3, begun again in batch 4.
    deleted(&mut index, 2);
    assert!(!index.is_settled(&relocation(&index).unwrap(), Mark(1)));
    appended(&mut index);
    deleted(&mut index, 3);
    index.apply(0, 8192, &batch(2, true, Some(2))).unwrap();
    appended(&mut index);
    let second = relocation(&index).unwrap();
    assert_eq!(second.id.term, Term(2));
    assert!(!index.is_settled(&second, Mark(2)), "the copy would outlive the deletion");
    index.apply(0, 12288, &batch(3, true, None)).unwrap();
    assert!(relocation(&index).is_none() && !index.is_settled(&second, Mark(3)));
    index.apply(0, 16384, &batch(4, false, Some(4))).unwrap();
    assert!(index.is_settled(&relocation(&index).unwrap(), Mark(4)));
    assert!(!index.is_settled(&second, Mark(4)), "another entry at another place");
}

#[test]
fn a_deleted_group_leaves_nothing_in_memory() {
    let mut index = LogIndex::default();
    index.set_appended(G, Index(1), Index(2));
    index.apply(3, 4096, &batch(1, false, Some(1))).unwrap();
    assert_eq!((index.len(), index.live(3).entries), (1, 1));
    index.set_deleted(G);
    index.set_changed(G, Mark(2));
    index.apply(3, 8192, &batch(2, true, None)).unwrap();
    assert_eq!((index.len(), index.live(3)), (0, Live::default()));
}
