//! The folder of a shard's snapshots: `core-NNN/snapshots/`, one file per snapshot.
//!
//! | name | what |
//! |---|---|
//! | `<group>-<index>.snap`, numbers of 16 hex digits | a snapshot, whole and durable |
//! | `<group>-<index>.taking` | one that is being written |
//! | `<group>-<index>.coming` | one that is being received |
//! | `<group>-<index>.damaged` | one that could not be read; for people to look at |
//!
//! A snapshot is written aside, flushed, renamed and its name flushed: one that has its name is
//! whole. The two newest of a group are kept, and what is newer than the last one taken: the log
//! goes back to the older one, so that damage to the newest costs time and no data. Only behind a
//! snapshot that was installed is there no older one, until the next is taken.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use raft_core::{GroupId, Index};

use super::file::{FileError, FileReader};

/// How many snapshots of a group are kept.
const KEPT: usize = 2;

/// A folder of snapshots. Cheap to clone; any thread may use it, but only one writes.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

/// What an unfinished file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfinished {
    /// A snapshot of the state machine here.
    Taking,
    /// A snapshot from another node.
    Coming,
}

impl Unfinished {
    const fn ending(self) -> &'static str {
        match self {
            Self::Taking => "taking",
            Self::Coming => "coming",
        }
    }
}

impl Folder {
    /// The folder, made if it is not there, without what earlier runs left unfinished.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&path)?;
        for entry in fs::read_dir(&path)? {
            let path = entry?.path();
            let ending = path.extension().and_then(|e| e.to_str());
            if ending.is_some_and(|e| ["taking", "coming"].contains(&e)) {
                fs::remove_file(&path)?;
            }
        }
        let folder = Self { path };
        folder.sync()?;
        if let Some(above) = folder.path.parent() {
            sync(above)?;
        }
        Ok(folder)
    }

    /// A new file for a snapshot that is not whole yet.
    pub(crate) fn create(
        &self,
        group: GroupId,
        index: Index,
        kind: Unfinished,
    ) -> io::Result<File> {
        let path = self.unfinished(group, index, kind);
        OpenOptions::new().create(true).truncate(true).read(true).write(true).open(path)
    }

    /// Makes an unfinished file durable and gives it its name; drops what is kept no more.
    pub(crate) fn publish(
        &self,
        file: &File,
        group: GroupId,
        index: Index,
        kind: Unfinished,
    ) -> io::Result<()> {
        file.sync_all()?;
        fs::rename(self.unfinished(group, index, kind), self.named(group, index))?;
        self.sync()?;
        // Newer ones do not count: they arrived and were not installed, or are of no use now.
        let all = self.list()?.remove(&group).unwrap_or_default();
        for old in all.into_iter().filter(|i| *i <= index).skip(KEPT) {
            fs::remove_file(self.named(group, old))?;
        }
        Ok(())
    }

    /// Takes its name from a snapshot that cannot be read, so that it stands in nobody's way.
    pub(crate) fn set_aside(&self, group: GroupId, index: Index) -> io::Result<()> {
        let named = self.named(group, index);
        fs::rename(&named, named.with_extension("damaged"))?;
        self.sync()
    }

    /// Forgets an unfinished file.
    pub(crate) fn discard(&self, group: GroupId, index: Index, kind: Unfinished) {
        // If it cannot be removed now, the next start does.
        let _ = fs::remove_file(self.unfinished(group, index, kind));
    }

    /// The snapshots of every group, newest first.
    pub(crate) fn list(&self) -> io::Result<BTreeMap<GroupId, Vec<Index>>> {
        let mut found: BTreeMap<GroupId, Vec<Index>> = BTreeMap::new();
        for entry in fs::read_dir(&self.path)? {
            if let Some((group, index)) = entry?.file_name().to_str().and_then(parse) {
                found.entry(group).or_default().push(index);
            }
        }
        for indexes in found.values_mut() {
            indexes.sort_unstable_by(|a, b| b.cmp(a));
        }
        Ok(found)
    }

    /// A snapshot's file, to be sent as it is.
    pub(crate) fn raw(&self, group: GroupId, index: Index) -> io::Result<File> {
        File::open(self.named(group, index))
    }

    /// A snapshot, to be read piece by piece.
    pub(crate) fn read(
        &self,
        group: GroupId,
        index: Index,
    ) -> Result<FileReader<BufReader<File>>, FileError> {
        let file = self.raw(group, index)?;
        let reader = FileReader::new(BufReader::with_capacity(1 << 20, file))?;
        if (reader.group(), reader.meta().last.index) != (group, index) {
            return Err(FileError::Damaged("it stands for another snapshot than its name says"));
        }
        Ok(reader)
    }

    fn named(&self, group: GroupId, index: Index) -> PathBuf {
        self.path.join(format!("{:016x}-{:016x}.snap", group.0, index.0))
    }

    fn unfinished(&self, group: GroupId, index: Index, kind: Unfinished) -> PathBuf {
        self.path.join(format!("{:016x}-{:016x}.{}", group.0, index.0, kind.ending()))
    }

    fn sync(&self) -> io::Result<()> {
        sync(&self.path)
    }
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// The group and the index in the name of a snapshot.
fn parse(name: &str) -> Option<(GroupId, Index)> {
    let (group, index) = name.strip_suffix(".snap")?.split_once('-')?;
    let number = |text: &str| u64::from_str_radix(text, 16).ok().filter(|_| text.len() == 16);
    Some((GroupId(number(group)?), Index(number(index)?)))
}

#[cfg(test)]
mod tests {
    use super::super::file::FileWriter;
    use super::*;
    use raft_core::{ConfState, LogId, NodeId, SnapshotMeta, Term};

    fn take(folder: &Folder, group: u64, index: u64) {
        let (group, index) = (GroupId(group), Index(index));
        let file = folder.create(group, index, Unfinished::Taking).unwrap();
        let conf = ConfState::of_voters([NodeId(1)]);
        let meta = SnapshotMeta { last: LogId::new(Term(1), index), conf };
        let mut writer = FileWriter::new(&file, group, &meta).unwrap();
        writer.piece(b"state").unwrap();
        writer.finish().unwrap();
        folder.publish(&file, group, index, Unfinished::Taking).unwrap();
    }

    #[test]
    fn the_two_newest_are_kept_and_found_again() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("core-000").join("snapshots");
        let folder = Folder::open(path.clone()).unwrap();
        for index in [5, 9, 300] {
            take(&folder, 1, index);
        }
        take(&folder, 2, 7);
        folder.create(GroupId(1), Index(400), Unfinished::Coming).unwrap();
        let folder = Folder::open(path.clone()).unwrap();
        let listed = folder.list().unwrap();
        assert_eq!(listed[&GroupId(1)], [Index(300), Index(9)]);
        assert_eq!(listed[&GroupId(2)], [Index(7)]);
        assert_eq!(fs::read_dir(path).unwrap().count(), 3, "nothing unfinished is left");
        let mut reader = folder.read(GroupId(1), Index(300)).unwrap();
        let mut piece = Vec::new();
        assert!(reader.next(&mut piece).unwrap());
        assert_eq!(piece, b"state");
        assert!(!reader.next(&mut piece).unwrap());
        folder.set_aside(GroupId(1), Index(300)).unwrap();
        assert_eq!(folder.list().unwrap()[&GroupId(1)], [Index(9)]);
    }

    #[test]
    fn what_is_newer_does_not_drive_out_what_was_just_taken() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::open(temp.path().to_owned()).unwrap();
        let kept = || folder.list().unwrap().remove(&GroupId(1)).unwrap();
        for index in [5, 80, 90, 60] {
            take(&folder, 1, index);
        }
        assert_eq!(kept(), [Index(90), Index(80), Index(60)], "the log goes back to none below 60");
        take(&folder, 1, 70);
        assert_eq!(kept(), [Index(90), Index(80), Index(70), Index(60)]);
        take(&folder, 1, 100);
        assert_eq!(kept(), [Index(100), Index(90)]);
    }

    #[test]
    fn a_file_under_a_wrong_name_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::open(temp.path().to_owned()).unwrap();
        take(&folder, 1, 5);
        fs::rename(folder.named(GroupId(1), Index(5)), folder.named(GroupId(2), Index(5))).unwrap();
        assert!(matches!(folder.read(GroupId(2), Index(5)), Err(FileError::Damaged(_))));
    }
}
