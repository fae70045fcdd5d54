//! How much of each segment is still wanted, kept from the index alone.

use super::Place;
use crate::record::record_bytes;

/// What of a segment is alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Entries in the index that lie there.
    pub entries: u64,
    /// Bytes of their records, with headers. A record of 16 MiB or more counts as 16 MiB.
    pub bytes: u64,
}

/// The living part of each segment, by slot.
#[derive(Debug, Default)]
pub(super) struct Usage(Vec<Live>);

impl Usage {
    pub(super) fn of(&self, slot: u16) -> Live {
        self.0.get(usize::from(slot)).copied().unwrap_or_default()
    }

    pub(super) fn total(&self) -> Live {
        let sum = |sum: Live, live: &Live| Live {
            entries: sum.entries + live.entries,
            bytes: sum.bytes + live.bytes,
        };
        self.0.iter().fold(Live::default(), sum)
    }

    pub(super) fn add(&mut self, place: Place) {
        let slot = usize::from(place.slot());
        if self.0.len() <= slot {
            self.0.resize(slot + 1, Live::default());
        }
        self.0[slot].entries += 1;
        self.0[slot].bytes += bytes(place);
    }

    pub(super) fn remove(&mut self, place: Place) {
        if let Some(live) = self.0.get_mut(usize::from(place.slot())) {
            live.entries -= 1;
            live.bytes -= bytes(place);
        }
    }
}

fn bytes(place: Place) -> u64 {
    record_bytes(place.data_len_min() as usize) as u64
}
