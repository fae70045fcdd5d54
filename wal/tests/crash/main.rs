//! Thousands of crashes of a simulated disk, and damage of every part of a log.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(unreachable_pub, reason = "modules of a test")]

mod disk;
mod model;
mod world;

use disk::{Disk, Rng};
use wal::OpenError;
use wal::record::BatchHeader;
use world::{Issued, SEGMENT_BYTES, Tally, World};

/// Which worlds live; `WAL_CRASH_FIRST` and `WAL_CRASH_SEEDS` say otherwise.
fn seeds() -> std::ops::Range<u64> {
    let number = |name, usual| std::env::var(name).map_or(usual, |number| number.parse().unwrap());
    let first: u64 = number("WAL_CRASH_FIRST", 0);
    first..first + number("WAL_CRASH_SEEDS", 1000)
}

/// Lives a few lives with crashes in between; the state after the last recovery.
fn live(seed: u64) -> World {
    let mut world = World::new(seed);
    for _ in 0..1 + world.rng.below(4) {
        for _ in 0..world.rng.below(500) {
            world.step();
        }
        world.crash();
        let survey = world.check();
        // Recovery changes nothing: a second one finds the same.
        assert_eq!(world.disk.recover().unwrap().tail, survey.tail);
        world.reopen(survey);
    }
    world
}

#[test]
fn a_crash_leaves_the_longest_valid_prefix() {
    let mut tally = Tally::default();
    for seed in seeds() {
        match std::panic::catch_unwind(|| live(seed)) {
            Ok(world) => tally.add(world.tally),
            Err(_) => panic!("seed {seed}"),
        }
    }
    println!("{tally:?}");
    // The worlds do what they are for.
    assert!(tally.checkpoints > tally.crashes / 4 && tally.freed > tally.checkpoints);
    assert!(tally.recycled > tally.crashes / 8 && tally.relocated > tally.crashes / 8);
    assert!(tally.anchored > tally.crashes / 4 && tally.with_gaps > tally.crashes / 8);
}

/// Damages `len` bytes at `at` so that they differ.
fn damage(rng: &mut Rng, bytes: &mut [u8]) {
    let before = bytes.to_vec();
    while bytes == before {
        let at = rng.below(bytes.len() as u64) as usize;
        let sector = at / 512 * 512;
        match rng.below(4) {
            0 | 1 => bytes[at] ^= 1 << rng.below(8),
            2 => bytes[sector..sector + 512].fill(0),
            _ => bytes[sector..sector + 512].fill_with(|| rng.next() as u8),
        }
    }
}

/// Whether something later on disk proves that this write was durable.
fn is_proven(issued: &[Issued], at: usize) -> bool {
    issued[at + 1..].iter().any(|later| match (later.batch, issued[at].batch) {
        // The header of a later segment is the promise of all before it.
        (None, _) => true,
        (Some(later), Some(this)) => later.durable_seq >= this.batch_seq,
        // A header is proven by the durability of the first batch behind it.
        (Some(later), None) => later.durable_seq >= first_behind(issued, at),
    })
}

fn first_behind(issued: &[Issued], at: usize) -> u64 {
    let seq = issued[at..].iter().find_map(|issued| issued.batch);
    seq.map_or(u64::MAX, |batch: BatchHeader| batch.batch_seq)
}

/// The batch before a write. That one may lie in a segment which is freed.
fn last_before(issued: &[Issued], at: usize) -> u64 {
    let before = issued[..at].iter().rev().find_map(|issued| issued.batch);
    match first_behind(issued, at) {
        u64::MAX => before.map_or(0, |batch| batch.batch_seq),
        next => next - 1,
    }
}

fn damaged(world: &mut World, at: usize) -> Disk {
    let op = world.issued[at].op;
    let mut disk = world.disk.clone();
    let file = disk.files.get_mut(&op.segment).unwrap();
    damage(&mut world.rng, &mut file[op.offset as usize..][..op.len as usize]);
    disk
}

#[test]
fn damage_of_proven_data_is_never_missed() {
    let (mut tried, mut proven) = (0, 0);
    for seed in seeds() {
        let mut world = live(seed ^ 0xDA_4A6E << 32);
        if world.rng.one_in(2) {
            world.settle();
        }
        for _ in 0..world.issued.len().min(6) {
            let at = world.rng.below(world.issued.len() as u64) as usize;
            let found = damaged(&mut world, at).recover();
            tried += 1;
            if is_proven(&world.issued, at) {
                proven += 1;
                assert!(found.is_err(), "seed {seed}: damage of write {at} was missed");
            } else if let Ok(survey) = found {
                assert_eq!(survey.tail.batch_seq, last_before(&world.issued, at));
            }
        }
    }
    assert!(proven > tried / 2 && tried > seeds().count(), "{proven} of {tried}");
}

#[test]
fn a_missing_or_shortened_segment_is_refused() {
    for seed in 0..300 {
        let mut world = live(seed);
        world.settle();
        let segments = world.disk.recover().unwrap().segments;
        for (i, segment) in segments.iter().enumerate() {
            let mut disk = world.disk.clone();
            disk.files.get_mut(segment).unwrap().truncate(SEGMENT_BYTES as usize - 4096);
            assert!(matches!(disk.recover(), Err(OpenError::Truncated { .. })), "seed {seed}");
            disk.files.remove(segment);
            if i + 1 < segments.len() {
                let found = disk.recover();
                assert!(matches!(found, Err(OpenError::MissingSegment { .. })), "seed {seed}");
            }
        }
    }
}

#[test]
fn garbage_is_never_believed() {
    let mut rng = Rng(7);
    for _ in 0..300 {
        let mut world = live(rng.next());
        for file in world.disk.files.values_mut() {
            for _ in 0..rng.below(40) {
                damage(&mut rng, file);
            }
        }
        // Whatever it says, it says so: no panic, no endless loop, no memory taken from a length
        // field.
        let _ = world.disk.recover();
    }
}
