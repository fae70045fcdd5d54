//! A snapshot is the state at its beginning, whatever happens while it is drawn.

use super::*;
use engine::RestoreError;

/// Restores pieces into a state machine that was just made.
fn restored(pieces: &[Vec<u8>]) -> Result<Kv, RestoreError> {
    let mut fresh = kv();
    pieces.iter().try_for_each(|piece| fresh.restore_piece(piece))?;
    Ok(fresh)
}

/// The pieces of a snapshot begun before, with `between` done after each.
fn drawn(kv: &mut Kv, bytes: usize, mut between: impl FnMut(&mut Kv)) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    loop {
        let mut piece = Vec::new();
        let more = kv.snapshot_piece(bytes, &mut piece);
        pieces.push(piece);
        if !more {
            return pieces;
        }
        between(kv);
    }
}

fn fill(kv: &mut Kv, keys: std::ops::Range<usize>, stamp: u64) {
    for i in keys {
        let life = if i % 3 == 0 { Life::At(5_000_000 + i as i64) } else { Life::Forever };
        one(kv, set(format!("k{i}").as_bytes(), format!("v{i}-{stamp}").as_bytes(), life, stamp));
    }
}

#[test]
fn a_snapshot_is_the_state_at_its_beginning() {
    let mut kv = kv();
    fill(&mut kv, 0..20_000, 1000);
    let digest = kv.digest();
    assert!(kv.begin_snapshot());
    let mut round = 0;
    let pieces = drawn(&mut kv, 10_000, |kv| {
        // Values change, keys come and go, segments split, the clock moves.
        fill(kv, round * 400..round * 400 + 200, 2000 + round as u64);
        fill(kv, 100_000 + round * 400..100_000 + (round + 1) * 400, 2000);
        let key = format!("k{}", 19_999 - round);
        one(kv, delete(2000, [key.as_bytes()].into_iter()));
        round += 1;
    });
    assert!(pieces.len() > 20, "{} pieces", pieces.len());
    assert_ne!(kv.digest(), digest);
    let mut copy = restored(&pieces).unwrap();
    assert_eq!(copy.digest(), digest);
    assert_eq!(copy.clock(), 1000);
    assert_eq!(ask(&mut copy, &Query::Size, 1000), ask(&mut copy, &Query::Size, 999));
    assert_eq!(ask(&mut copy, &Query::Get(b"k7"), 1000), b"$v7-1000");
    // Both go on alike from there: deadlines were restored as well.
    one(&mut copy, Write::AdvanceClock.encode(6_000_000));
    for _ in 0..20 {
        one(&mut copy, Write::AdvanceClock.encode(6_000_000));
    }
    assert_eq!(copy.table.len(), 20_000 - 6_667);
}

#[test]
fn clearing_while_a_snapshot_is_drawn_loses_nothing_of_it() {
    let mut kv = kv();
    fill(&mut kv, 0..5_000, 1000);
    let digest = kv.digest();
    kv.begin_snapshot();
    let mut cleared = false;
    let pieces = drawn(&mut kv, 5_000, |kv| {
        if !std::mem::replace(&mut cleared, true) {
            one(kv, Write::Clear.encode(1500));
            fill(kv, 0..100, 1600);
        }
    });
    assert_eq!(restored(&pieces).unwrap().digest(), digest);
    assert_eq!(kv.table.len(), 100);
}

#[test]
fn clearing_again_while_a_snapshot_is_drawn_loses_nothing_of_it_either() {
    let mut kv = kv();
    fill(&mut kv, 0..5_000, 1000);
    let digest = kv.digest();
    kv.begin_snapshot();
    let mut round = 0;
    let pieces = drawn(&mut kv, 5_000, |kv| {
        round += 1;
        if round <= 3 {
            one(kv, Write::Clear.encode(1500));
            fill(kv, 0..100 * round, 1600);
        }
    });
    assert!(round > 3, "cleared before all was drawn");
    assert_eq!(restored(&pieces).unwrap().digest(), digest);
    assert_eq!(kv.table.len(), 300);
}

#[test]
fn an_empty_state_has_a_snapshot_too() {
    let mut empty = kv();
    empty.begin_snapshot();
    let pieces = drawn(&mut empty, 1000, |_| {});
    assert_eq!(restored(&pieces).unwrap().digest(), kv().digest());
}

#[test]
fn pieces_that_are_not_of_one_snapshot_are_refused() {
    let mut kv = kv();
    fill(&mut kv, 0..2_000, 1000);
    kv.begin_snapshot();
    let pieces = drawn(&mut kv, 10_000, |_| {});
    assert!(restored(&pieces).is_ok());
    for missing in 0..pieces.len() - 1 {
        let mut fewer = pieces.clone();
        fewer.remove(missing);
        assert!(restored(&fewer).is_err(), "without piece {missing}");
    }
    for cut in [0, 1, 5, 100] {
        let mut shorter = pieces.clone();
        shorter[1].truncate(cut);
        assert!(restored(&shorter).is_err(), "cut to {cut}");
    }
    let mut other = Kv::new(SlotRange { first: 0, last: 5 }, 5, Arc::default());
    assert!(other.restore_piece(&pieces[0]).is_err(), "another group's");
}

proptest! {
    #[test]
    fn no_piece_makes_it_panic(
        pieces in proptest::collection::vec(
            (0u8..5, proptest::collection::vec(any::<u8>(), 0..60)), 0..6),
    ) {
        let mut kv = kv();
        for (kind, mut rest) in pieces {
            rest.insert(0, kind);
            if kv.restore_piece(&rest).is_err() {
                break;
            }
        }
    }
}
