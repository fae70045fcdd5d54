//! A storage that is not what it should be: damage is said, whatever it looks like.

use raft_core::{
    BootError, Entry, EntryKind, Index, InitialState, RaftCore, SnapshotMeta, Storage,
    StorageError, Term,
};

use crate::common::disk::Disk;
use crate::common::id;
use crate::common::solo::{conf_entry, config, disk_with, members};

/// More reads than any start needs.
const READS_MAX: u32 = 100;

/// A storage that is asked for configurations and answers with these entries.
#[derive(Debug)]
struct Odd {
    disk: Disk,
    confs: Vec<Entry>,
}

/// A storage that does not know where the configurations are.
#[derive(Debug)]
struct Plain(Disk);

macro_rules! delegate {
    ($($disk:tt)+) => {
        fn initial_state(&self) -> Result<InitialState, StorageError> {
            self.$($disk)+.initial_state()
        }

        fn entries(
            &self,
            from: Index,
            to: Index,
            bytes_max: usize,
            out: &mut Vec<Entry>,
        ) -> Result<(), StorageError> {
            assert!(self.$($disk)+.reads.get() < READS_MAX, "it is asked for ever");
            self.$($disk)+.entries(from, to, bytes_max, out)
        }

        fn term_at(&self, index: Index) -> Result<Term, StorageError> {
            self.$($disk)+.term_at(index)
        }

        fn first_index(&self) -> Index {
            self.$($disk)+.first_index()
        }

        fn last_index(&self) -> Index {
            let platter = self.$($disk)+.platter.borrow();
            Index(platter.base.index.0 + platter.entries.len() as u64)
        }

        fn snapshot_meta(&self) -> SnapshotMeta {
            self.$($disk)+.snapshot_meta()
        }
    };
}

impl Storage for Odd {
    delegate!(disk);

    fn conf_entries(&self, _: Index, out: &mut Vec<Entry>) -> Result<(), StorageError> {
        out.extend_from_slice(&self.confs);
        Ok(())
    }
}

impl Storage for Plain {
    delegate!(0);
}

/// A start from the log 1/1 to 1/5, and these configurations said to be in it.
fn boot_with(confs: Vec<Entry>) -> Result<(), BootError> {
    let disk = disk_with(&[1, 2, 3], &[1; 5], 3);
    RaftCore::new(config(), Odd { disk, confs }).map(drop)
}

const CORRUPT: Result<(), BootError> = Err(BootError::Storage(StorageError::Corrupt));

#[test]
fn configurations_out_of_order_do_not_boot() {
    let conf = members(&[1, 2], &[]);
    assert_eq!(boot_with(vec![conf_entry(1, 2, &conf), conf_entry(1, 3, &conf)]), Ok(()));
    assert_eq!(boot_with(vec![conf_entry(1, 3, &conf), conf_entry(1, 2, &conf)]), CORRUPT);
    let other_kind = Entry { kind: EntryKind::Normal, ..conf_entry(1, 2, &conf) };
    assert_eq!(boot_with(vec![other_kind]), CORRUPT);
}

/// Configurations that are not of this log are damage: of a term the log does not have there, or
/// beyond its end.
#[test]
fn configurations_of_another_log_do_not_boot() {
    let conf = members(&[1, 2], &[]);
    assert_eq!(boot_with(vec![conf_entry(2, 2, &conf)]), CORRUPT);
    assert_eq!(boot_with(vec![conf_entry(1, 6, &conf)]), CORRUPT);
}

/// Without help the whole log is read for them, a portion at a time.
#[test]
fn configurations_are_found_by_reading_the_log() {
    let disk = disk_with(&[1, 2, 3], &[1; 5], 3);
    let conf = members(&[1, 2], &[]);
    disk.platter.borrow_mut().entries[3] = conf_entry(1, 4, &conf);
    let core = RaftCore::new(config(), Plain(disk)).unwrap();
    assert_eq!((core.conf(), core.conf_index()), (&conf, Index(4)));
}

/// Nor does a storage that answers with other entries than it was asked for keep a start busy for
/// ever.
#[test]
fn a_log_that_goes_in_circles_does_not_boot() {
    let disk = disk_with(&[1, 2, 3], &[1; 5], 3);
    disk.platter.borrow_mut().entries[4].id = id(1, 1);
    assert_eq!(RaftCore::new(config(), Plain(disk)).map(drop), CORRUPT);
}
