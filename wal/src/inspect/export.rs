//! One group of a log that opens: its state and its entries.

use bytes::Bytes;
use raft_core::{EntryKind, GroupId, HardState, Index, LogId};

use super::{Files, InspectError};
use crate::arena::Blocks;
use crate::error::{Damage, OpenError};
use crate::index::GroupLog;
use crate::op::SegmentId;
use crate::record::{RECORD_HEADER_BYTES, RecordHeader};
use crate::recover::{Medium, Survey, recover};

/// The log of one group, as a node would find it.
pub struct Export<'a> {
    files: &'a mut Files,
    survey: Survey,
    group: GroupId,
    loaded: Option<(SegmentId, Blocks)>,
}

/// An entry as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedEntry {
    /// Index and term.
    pub id: LogId,
    /// What it is for: `normal`, `no-op` or `conf-change`.
    pub kind: &'static str,
    /// The command.
    pub data: Bytes,
}

impl<'a> Export<'a> {
    /// Verifies the log and finds the group in it.
    ///
    /// # Errors
    /// [`InspectError::Open`] when the log does not open, [`InspectError::NoGroup`].
    pub fn open(files: &'a mut Files, group: GroupId) -> Result<Self, InspectError> {
        let (store, core) = files.identity()?;
        let survey = recover(files, store, core)?;
        if survey.index.group(group).is_none() {
            return Err(InspectError::NoGroup { group });
        }
        Ok(Self { files, survey, group, loaded: None })
    }

    /// Term, vote and commit.
    #[must_use]
    pub fn hard_state(&self) -> HardState {
        self.log().map(GroupLog::hard_state).unwrap_or_default()
    }

    /// The first index; one past the last when the log is empty.
    #[must_use]
    pub fn first(&self) -> Index {
        self.log().map_or(Index(1), GroupLog::first)
    }

    /// The last index; one before the first when the log is empty.
    #[must_use]
    pub fn last(&self) -> Index {
        self.log().map_or(Index(0), GroupLog::last)
    }

    fn log(&self) -> Option<&GroupLog> {
        self.survey.index.group(self.group)
    }

    /// The entry at `index`; `None` when the log does not have it.
    ///
    /// # Errors
    /// [`InspectError::Open`] when the file can no longer be read as it was verified.
    pub fn entry(&mut self, index: Index) -> Result<Option<ExportedEntry>, InspectError> {
        let found = self.log().and_then(|log| Some((log.place(index)?, log.term(index)?)));
        let Some((place, term)) = found else {
            return Ok(None);
        };
        let Some(&segment) = self.survey.segments.get(usize::from(place.slot())) else {
            return Ok(None);
        };
        let id = LogId::new(term, index);
        let group = self.group;
        let entry = parse(self.load(segment)?, place.offset(), group, id);
        let (offset, identity) = (place.offset(), Some((group, index)));
        let damage = Damage { segment, offset, batch_seq: 0, identity };
        Ok(Some(entry.ok_or(OpenError::Corrupt(damage))?))
    }

    fn load(&mut self, segment: SegmentId) -> Result<&[u8], OpenError> {
        if self.loaded.as_ref().is_none_or(|(loaded, _)| *loaded != segment) {
            let listed = self.files.segments()?;
            let bytes = listed.iter().find(|(listed, _)| *listed == segment);
            let blocks = self.files.load(segment, bytes.map_or(0, |&(_, bytes)| bytes))?;
            self.loaded = Some((segment, blocks));
        }
        Ok(self.loaded.as_ref().map_or(&[], |(_, blocks)| blocks.bytes()))
    }
}

fn parse(bytes: &[u8], offset: u64, group: GroupId, id: LogId) -> Option<ExportedEntry> {
    let bytes = bytes.get(offset as usize..)?;
    let head = RecordHeader::read(bytes).filter(RecordHeader::is_intact)?;
    let ours = head.group == group.0 && head.id() == id;
    let data = bytes.get(RECORD_HEADER_BYTES..)?.get(..head.data_len as usize)?;
    if !ours || !head.holds(data) {
        return None;
    }
    let kind = match head.entry_kind()? {
        EntryKind::Normal => "normal",
        EntryKind::NoOp => "no-op",
        EntryKind::ConfChange => "conf-change",
    };
    Some(ExportedEntry { id, kind, data: Bytes::copy_from_slice(data) })
}
