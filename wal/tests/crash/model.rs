//! What a log must hold: the units that were appended to it, one after the other.

use std::collections::BTreeMap;

use raft_core::{Entry, EntryKind, GroupId, HardState, Index, LogId, Term};
use wal::log::Log;
use wal::record::{RECORD_HEADER_BYTES, RecordHeader, record_bytes};
use wal::recover::Survey;

use super::disk::Disk;

/// One call of the log.
#[derive(Clone)]
pub enum Deed {
    Append { hard: Option<HardState>, entries: Vec<Entry> },
    Purge { up_to: Index },
    Restart { snapshot: LogId, hard: HardState, entries: Vec<Entry> },
    Delete,
}

#[derive(Clone)]
pub struct Unit {
    pub group: GroupId,
    pub deed: Deed,
}

impl Unit {
    /// Does it; the mark.
    pub fn append_to(&self, log: &mut Log) -> u64 {
        let group = self.group;
        let mark = match &self.deed {
            Deed::Append { hard, entries } => log.append(group, *hard, entries),
            Deed::Purge { up_to } => log.purge(group, *up_to),
            Deed::Restart { snapshot, hard, entries } => {
                log.restart(group, *snapshot, Some(*hard), entries)
            }
            Deed::Delete => log.delete(group),
        };
        mark.unwrap().0
    }
}

/// One group.
#[derive(Clone)]
pub struct Group {
    pub hard: HardState,
    pub first: u64,
    pub before: Term,
    pub entries: Vec<Entry>,
}

impl Default for Group {
    fn default() -> Self {
        Self { hard: HardState::default(), first: 1, before: Term(0), entries: Vec::new() }
    }
}

impl Group {
    pub fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    fn extend(&mut self, entries: &[Entry]) {
        if let Some(head) = entries.first() {
            let start = head.id.index.0;
            if start < self.first {
                (self.first, self.before) = (start, Term(0));
            }
            self.entries.truncate((start - self.first) as usize);
        }
        self.entries.extend_from_slice(entries);
    }

    fn purge(&mut self, up_to: u64) {
        if up_to >= self.first && !self.entries.is_empty() {
            let gone = (up_to + 1 - self.first).min(self.entries.len() as u64) as usize;
            self.before = self.entries[gone - 1].id.term;
            self.entries.drain(..gone);
            self.first += gone as u64;
        }
    }

    fn is_blank(&self) -> bool {
        self.hard == HardState::default() && self.first == 1 && self.entries.is_empty()
    }
}

/// All groups.
#[derive(Clone, Default)]
pub struct Model {
    pub groups: BTreeMap<GroupId, Group>,
}

impl Model {
    pub fn of<'a>(units: impl Iterator<Item = &'a Unit>) -> Self {
        let mut model = Self::default();
        units.for_each(|unit| model.apply(unit));
        model
    }

    pub fn apply(&mut self, unit: &Unit) {
        let group = || unit.group;
        match &unit.deed {
            Deed::Delete => {
                self.groups.remove(&unit.group);
            }
            Deed::Purge { up_to } => {
                if let Some(log) = self.groups.get_mut(&unit.group) {
                    log.purge(up_to.0);
                }
            }
            Deed::Append { hard: None, entries } if entries.is_empty() => {}
            Deed::Append { hard, entries } => {
                let log = self.groups.entry(group()).or_default();
                log.extend(entries);
                log.hard = hard.unwrap_or(log.hard);
            }
            Deed::Restart { snapshot, hard, entries } => {
                let log = self.groups.entry(group()).or_default();
                let (first, before) = (snapshot.index.0 + 1, snapshot.term);
                *log = Group { hard: *hard, first, before, entries: entries.clone() };
            }
        }
    }

    /// Checks that recovery found exactly this, with every byte of every entry.
    pub fn check(&self, survey: &Survey, disk: &Disk) {
        for (group, log) in survey.index.groups() {
            let (empty, state) = (log.last() < log.first(), log.hard_state());
            let blank = empty && log.first() == Index(1) && state == HardState::default();
            assert!(blank || self.groups.contains_key(&group), "{group:?} came back");
        }
        let mut live = vec![(0, 0); survey.segments.len()];
        for (id, group) in &self.groups {
            let Some(log) = survey.index.group(*id) else {
                assert!(group.is_blank(), "{id:?} is lost");
                continue;
            };
            assert_eq!(log.hard_state(), group.hard, "{id:?}");
            assert_eq!((log.first().0, log.last().next().0), (group.first, group.next()), "{id:?}");
            assert_eq!(log.purged_term().unwrap_or_default(), group.before, "{id:?}");
            assert!(group.hard.commit <= log.last(), "committed entries are lost");
            let confs = group.entries.iter().filter(|entry| entry.kind == EntryKind::ConfChange);
            let confs: Vec<Index> = confs.map(|entry| entry.id.index).collect();
            assert_eq!(log.confs(Index(0)).collect::<Vec<_>>(), confs, "{id:?}");
            for entry in &group.entries {
                let place = log.place(entry.id.index).unwrap();
                let file = &disk.files[&survey.segments[usize::from(place.slot())]];
                let record = &file[place.offset() as usize..];
                let head = RecordHeader::read(record).unwrap();
                assert_eq!((head.group, head.id()), (id.0, entry.id));
                assert_eq!(log.term(entry.id.index), Some(entry.id.term));
                assert_eq!(record[RECORD_HEADER_BYTES..][..entry.data.len()], entry.data);
                let (entries, bytes) = &mut live[usize::from(place.slot())];
                (*entries, *bytes) = (*entries + 1, *bytes + record_bytes(entry.data.len()));
            }
        }
        for (slot, (entries, bytes)) in live.into_iter().enumerate() {
            let found = survey.index.live(slot as u16);
            assert_eq!((found.entries, found.bytes), (entries, bytes as u64), "slot {slot}");
        }
    }
}
