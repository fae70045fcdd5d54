//! The snapshots of a simulated node: durable ones outlive it, work on them takes time, and on the
//! lane all pieces of one leave at once. What the real worker does with files its own tests show;
//! the real shard decides here when one is taken, sent, built up and installed.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use bytes::Bytes;
use engine::bare::{Arrived, SnapshotJob, SnapshotNews};
use engine::{GroupId, Index};
use net::{Bulk, Piece};
use raft_core::{LogId, NodeId, SnapshotMeta, Term};

use crate::Nanos;
use crate::plant::Plant;

/// What goes over a lane in one frame.
const PART_BYTES: usize = 50_000;

/// A snapshot, as pieces of a state machine.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) meta: SnapshotMeta,
    pub(crate) pieces: Vec<Vec<u8>>,
}

/// The durable snapshots of a node, the newest of each group last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shelf(BTreeMap<GroupId, Vec<Kept>>);

/// The newest snapshot that each core is told of.
pub(crate) type Newest = Rc<RefCell<BTreeMap<GroupId, SnapshotMeta>>>;

impl Shelf {
    /// The newest snapshot of a group.
    pub(crate) fn newest(&self, group: GroupId) -> Option<&Kept> {
        self.0.get(&group)?.last()
    }

    /// The last index that snapshots of a group include.
    pub(crate) fn last(&self, group: GroupId) -> LogId {
        self.newest(group).map(|kept| kept.meta.last).unwrap_or_default()
    }

    /// The snapshot of a group that includes everything up to here.
    pub(crate) fn find(&self, group: GroupId, index: Index) -> Option<&Kept> {
        self.0.get(&group)?.iter().find(|kept| kept.meta.last.index == index)
    }

    fn keep(&mut self, group: GroupId, kept: Kept) {
        let all = self.0.entry(group).or_default();
        all.retain(|old| old.meta.last.index != kept.meta.last.index);
        all.push(kept);
        all.sort_by_key(|kept| kept.meta.last.index);
        // Two are kept, as on a real disk.
        all.drain(..all.len().saturating_sub(2));
    }
}

/// What a living node works on; a death forgets it.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    pub(crate) queued: VecDeque<SnapshotJob>,
    /// When the last of these is done.
    pub(crate) free_at: Nanos,
    taking: Option<(GroupId, Kept)>,
    coming: BTreeMap<(GroupId, NodeId, LogId), Vec<u8>>,
    loading: usize,
}

impl Desk {
    /// Does a job, in the order in which they were given.
    pub(crate) fn work(
        &mut self,
        job: SnapshotJob,
        shelf: &mut Shelf,
        plant: Option<Plant>,
    ) -> Vec<SnapshotNews> {
        match job {
            SnapshotJob::Begin { group, meta } => {
                self.taking = Some((group, Kept { meta, pieces: Vec::new() }));
                Vec::new()
            }
            SnapshotJob::Piece(piece) => {
                if let Some((_, kept)) = &mut self.taking {
                    kept.pieces.push(piece);
                }
                vec![SnapshotNews::Wrote]
            }
            SnapshotJob::End => match self.taking.take() {
                Some((group, kept)) => {
                    let meta = kept.meta.clone();
                    if plant != Some(Plant::SnapshotNotKept) {
                        shelf.keep(group, kept);
                    }
                    vec![SnapshotNews::Taken { group, meta }]
                }
                None => Vec::new(),
            },
            SnapshotJob::Abort => {
                self.taking = None;
                Vec::new()
            }
            SnapshotJob::Load { group, index, first } => {
                self.loading = if first { 0 } else { self.loading + 1 };
                let kept = shelf.find(group, index);
                let piece = kept.map(|kept| kept.pieces.get(self.loading).cloned());
                vec![match piece {
                    Some(piece) => SnapshotNews::Loaded { group, index, piece },
                    None => SnapshotNews::NotLoaded { group, index },
                }]
            }
            SnapshotJob::Keep { from, piece } => self.keep(from, piece, shelf),
            // Nothing is read in parts: see `pieces_of`.
            SnapshotJob::Read { .. } => Vec::new(),
        }
    }

    fn keep(&mut self, from: NodeId, piece: Piece, shelf: &mut Shelf) -> Vec<SnapshotNews> {
        let Piece { group, term, snapshot: meta, file_bytes, offset, data } = piece;
        let key = (group, from, meta.last);
        if offset == 0 {
            self.coming.insert(key, Vec::new());
        }
        // Of a file whose beginning was lost the rest is of no use.
        let Some(file) = self.coming.get_mut(&key).filter(|f| f.len() as u64 == offset) else {
            return Vec::new();
        };
        file.extend_from_slice(&data);
        if (file.len() as u64) < file_bytes {
            return Vec::new();
        }
        let pieces = unpack(&self.coming.remove(&key).unwrap_or_default());
        shelf.keep(group, Kept { meta: meta.clone(), pieces });
        vec![SnapshotNews::Arrived(Arrived { from, term, group, meta })]
    }
}

/// A whole snapshot as the pieces that go over a lane, one behind the other.
pub(crate) fn pieces_of(group: GroupId, term: Term, kept: &Kept) -> Vec<Bulk> {
    let mut file = Vec::new();
    for piece in &kept.pieces {
        file.extend_from_slice(&(piece.len() as u32).to_le_bytes());
        file.extend_from_slice(piece);
    }
    let file_bytes = file.len() as u64;
    let parts = file.chunks(PART_BYTES).zip((0..).step_by(PART_BYTES));
    let piece = |(data, offset): (&[u8], u64)| {
        let (snapshot, data) = (kept.meta.clone(), Bytes::copy_from_slice(data));
        Bulk::Piece(Piece { group, term, snapshot, file_bytes, offset, data })
    };
    parts.map(piece).collect()
}

/// The state machine's pieces in a file that came over a lane.
fn unpack(mut file: &[u8]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    while let Some((length, rest)) = file.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some((piece, rest)) = rest.split_at_checked(length) else { break };
        pieces.push(piece.to_vec());
        file = rest;
    }
    pieces
}
