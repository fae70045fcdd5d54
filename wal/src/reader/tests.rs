//! A map of the segment that is being written shows what was written, at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use raft_core::EntryKind;
use tempfile::TempDir;

use super::*;
use crate::uring::Driver;
use crate::{SegmentId, WalConfig};

/// Touches every page of all segments again and again, so that the page cache holds what was there
/// before a write, or is reading it at that very moment.
fn touch(dir: &std::path::Path, stop: &AtomicBool) -> u64 {
    let (mut segments, mut sum) = (Segments::new(dir), 0_u64);
    while !stop.load(Ordering::Relaxed) {
        for slot in 0..64 {
            let map = segments.map(slot, SegmentId(u64::from(slot) + 1));
            sum += map.map_or(0, |map| map.iter().step_by(4096).map(|&b| u64::from(b)).sum());
        }
    }
    sum
}

fn entry(index: u64) -> Entry {
    let data = index.to_le_bytes().repeat(1 + index as usize % 900);
    let id = LogId::new(Term(index / 100), Index(index));
    Entry { id, kind: EntryKind::Normal, data: data.into() }
}

#[test]
fn the_map_of_the_segment_in_use_is_never_stale() {
    let exe = std::env::current_exe().unwrap();
    let dir = TempDir::new_in(exe.parent().unwrap()).unwrap();
    let config = WalConfig {
        segment_bytes: 1 << 20,
        batch_bytes_max: 4096,
        tail_cache_bytes_max: 0,
        ..WalConfig::new(dir.path())
    };
    let (mut log, _) = Driver::open(config).unwrap();
    let (group, stop) = (GroupId(1), AtomicBool::new(false));
    let reader = log.wal().reader();
    std::thread::scope(|scope| {
        let toucher = scope.spawn(|| touch(dir.path(), &stop));
        for index in 1..3000 {
            let mark = log.wal_mut().append(group, None, &[entry(index)]).unwrap();
            if index % 3 == 0 {
                log.run_until(mark).unwrap();
            } else {
                log.turn(Duration::ZERO).unwrap();
            }
            // Not through the cache of the newest batches: straight from the map.
            let inner = reader.shared.log.borrow();
            let Some(found) = inner.index().group(group) else { continue };
            let last = found.last();
            for index in (last.0.saturating_sub(3).max(1)..=last.0).map(Index) {
                let (place, id) = (found.place(index).unwrap(), entry(index.0).id);
                let segment = inner.segment(place.slot()).unwrap();
                let mut segments = reader.shared.segments.borrow_mut();
                let map = segments.map(place.slot(), segment).unwrap();
                let read = parse(&map[place.offset() as usize..], group, id);
                assert_eq!(read, Some(entry(index.0)), "the map is stale");
                drop(segments);
                assert_eq!(reader.read(&inner, group, id, place), Ok(entry(index.0)));
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert!(toucher.join().unwrap() > 0);
    });
}
