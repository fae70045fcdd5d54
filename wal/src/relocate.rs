//! Which living entries to copy out of segments that are mostly dead, so that these become free.
//!
//! The index alone says where they are: a sweep over it, some of it at a time, needs no segment to
//! be read but for the entries themselves.

use raft_core::{GroupId, Index, LogId};

use crate::index::{LogIndex, Place};
use crate::op::Mark;
use crate::record::record_bytes;

/// How much is copied at once, in bytes, unless a single entry is larger: it delays the batch it
/// rides in.
const PIECE_BYTES_MAX: u64 = 16 << 10;

/// How many places of the index are looked at in one turn.
const PLACES_MAX: u64 = 4096;

/// A segment is worth emptying when less than one part in so many is alive: that bounds what is
/// written again for each byte that becomes free.
const LIVE_PART: u64 = 4;

/// The most segments emptied at once.
const VICTIMS_MAX: usize = 64;

/// A living entry in a segment that is being emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relocation {
    /// The group.
    pub group: GroupId,
    /// The entry.
    pub id: LogId,
    /// Where it lies.
    pub place: Place,
}

/// A pass over the index.
#[derive(Debug)]
pub(crate) struct Sweep {
    /// The slots of the segments to empty, in ascending order.
    victims: Vec<u16>,
    /// Groups not looked at yet; the last one from `next` on.
    groups: Vec<GroupId>,
    next: Index,
    /// Found and not yet copied: a batch with a single small entry would be as dead a place again.
    found: Vec<Relocation>,
    bytes: u64,
    /// The newest copy.
    written: Mark,
}

impl Sweep {
    /// A sweep for the segments that are worth it: `sealed` with their living bytes. All that is
    /// copied fits into a part of one segment.
    pub(crate) fn new(
        mut sealed: Vec<(u64, u16)>,
        segment_bytes: u64,
        groups: impl Iterator<Item = GroupId>,
    ) -> Option<Self> {
        let mut room = segment_bytes / LIVE_PART;
        sealed.sort_unstable();
        let fits = |&(bytes, _): &(u64, u16)| match room.checked_sub(bytes) {
            Some(left) => {
                room = left;
                true
            }
            None => false,
        };
        let worth = sealed.into_iter().take_while(fits).take(VICTIMS_MAX);
        let mut victims: Vec<u16> = worth.map(|(_, slot)| slot).collect();
        victims.sort_unstable();
        let groups: Vec<GroupId> = groups.collect();
        let (next, found, bytes, written) = (Index(0), Vec::new(), 0, Mark(0));
        (!victims.is_empty()).then_some(Self { victims, groups, next, found, bytes, written })
    }

    /// Whether everything was looked at and every copy is durable.
    pub(crate) fn is_over(&self, durable: Mark) -> bool {
        self.groups.is_empty() && self.found.is_empty() && self.written <= durable
    }

    /// Whether the next piece may be copied: the one before is durable.
    pub(crate) fn is_due(&self, durable: Mark) -> bool {
        self.written <= durable
    }

    pub(crate) fn wrote(&mut self, at: Mark) {
        self.written = at;
    }

    /// Looks on; adds to `out` what was found when it is worth a piece.
    pub(crate) fn look(&mut self, index: &LogIndex, out: &mut Vec<Relocation>) {
        let mut places = 0;
        while let Some(&group) = self.groups.last() {
            if places >= PLACES_MAX || self.bytes >= PIECE_BYTES_MAX {
                break;
            }
            places += 1;
            let Some(log) = index.group(group) else {
                self.groups.pop();
                self.next = Index(0);
                continue;
            };
            let mut at = self.next.max(log.first());
            while at <= log.last() && places < PLACES_MAX && self.bytes < PIECE_BYTES_MAX {
                let found = log.place(at).zip(log.term(at));
                let wanted =
                    |(place, _): &(Place, _)| self.victims.binary_search(&place.slot()).is_ok();
                if let Some((place, term)) = found.filter(wanted) {
                    self.found.push(Relocation { group, id: LogId::new(term, at), place });
                    self.bytes += record_bytes(place.data_len_min() as usize) as u64;
                }
                (at, places) = (at.next(), places + 1);
            }
            self.next = at;
            if at > log.last() {
                self.groups.pop();
                self.next = Index(0);
            }
        }
        if self.bytes >= PIECE_BYTES_MAX || self.groups.is_empty() {
            out.append(&mut self.found);
            self.bytes = 0;
        }
    }
}
