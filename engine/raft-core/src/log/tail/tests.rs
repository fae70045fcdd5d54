use super::{OVERHEAD, Tail};
use crate::entry::{Entry, EntryKind};
use crate::ids::{Index, LogId, Term};
use crate::log::EntryParts;
use alloc::vec::Vec;

/// Entries of five bytes each.
fn entry(index: u64) -> Entry {
    let id = LogId::new(Term(1), Index(index));
    Entry { id, kind: EntryKind::Normal, data: "12345".into() }
}

/// Entries 1..=9 in chunks of one, two, one, four and one that is open.
fn tail() -> Tail {
    let mut tail = Tail::new(Index(1));
    tail.push(entry(1));
    tail.seal();
    tail.push(entry(2));
    tail.push(entry(3));
    tail.seal();
    tail.push_all([entry(4)].into_iter().collect());
    tail.push_all((5..=8).map(entry).collect());
    tail.push(entry(9));
    tail
}

fn indices<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<u64> {
    entries.into_iter().map(|e| e.id.index.0).collect()
}

fn share(tail: &mut Tail, from: u64, to: u64, bytes_max: usize) -> Vec<u64> {
    let mut out = EntryParts::default();
    tail.share(Index(from), Index(to), bytes_max, &mut out);
    assert!(out.parts().iter().all(|part| !part.is_empty()));
    assert_eq!(out.len(), out.iter().count());
    indices(out.iter())
}

#[test]
fn every_range_is_what_was_pushed() {
    for from in 1..=9 {
        for to in from..=9 {
            let wanted: Vec<u64> = (from..=to).collect();
            assert_eq!(share(&mut tail(), from, to, usize::MAX), wanted);
            assert_eq!(tail().payload(Index(from), Index(to)), 5 * wanted.len());
            let mut read = Vec::new();
            let mut tail = tail();
            while read.len() < wanted.len() {
                let next = Index(from + read.len() as u64);
                read.extend(indices(&tail.read(next, Index(to), usize::MAX)));
            }
            assert_eq!(read, wanted);
        }
    }
}

#[test]
fn small_chunks_are_read_together_and_limits_hold() {
    assert_eq!(indices(&tail().read(Index(1), Index(9), 40)), (1..=8).collect::<Vec<_>>());
    assert_eq!(indices(&tail().read(Index(1), Index(9), 14)), [1, 2]);
    assert_eq!(indices(&tail().read(Index(6), Index(9), 10)), [6, 7]);
    assert_eq!(indices(&tail().read(Index(6), Index(9), 1)), [6], "one goes in any case");
    assert_eq!(share(&mut tail(), 1, 9, 14), [1, 2]);
    assert_eq!(share(&mut tail(), 4, 9, 20), [4, 5, 6, 7]);
    assert_eq!(share(&mut tail(), 2, 9, 1), [2]);
    assert_eq!(share(&mut tail(), 6, 7, 99), [6, 7]);
}

#[test]
fn truncation_leaves_what_is_before() {
    for from in 1..=10 {
        let mut tail = tail();
        tail.truncate(Index(from));
        let kept = from - 1;
        assert_eq!(tail.bytes(), kept as usize * (5 + OVERHEAD));
        tail.push(entry(from));
        assert_eq!(share(&mut tail, 1, from, usize::MAX), (1..=from).collect::<Vec<_>>());
    }
    let mut behind = tail();
    behind.evict(Index(4), 0);
    behind.truncate(Index(2));
    assert_eq!((behind.first(), behind.bytes()), (Index(2), 0), "evicted, then replaced");
}

#[test]
fn eviction_goes_by_whole_chunks() {
    let first = |until, bytes_max| {
        let mut tail = tail();
        tail.evict(Index(until), bytes_max);
        tail.first().0
    };
    assert_eq!([0, 1, 2, 3, 4, 7, 8, 9].map(|until| first(until, 0)), [1, 2, 2, 4, 5, 5, 9, 10]);
    assert_eq!(first(9, 6 * (5 + OVERHEAD)), 4, "no more than needed");
    assert_eq!(first(9, usize::MAX), 1);
}

#[test]
fn the_memory_of_a_chunk_is_used_again() {
    let mut tail = Tail::new(Index(1));
    tail.push(entry(1));
    tail.evict(Index(1), 0);
    let kept = tail.spare.as_ref().map(|chunk| (chunk.len(), chunk.capacity() > 0));
    assert_eq!(kept, Some((0, true)));
    tail.push(entry(2));
    let shared = tail.read(Index(2), Index(2), 99);
    tail.evict(Index(2), 0);
    assert_eq!(shared.len(), 1, "what is still looked at stays");
    assert!(tail.spare.is_none());
}
