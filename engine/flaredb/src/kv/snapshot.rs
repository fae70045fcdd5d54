//! A group's keys as pieces of a snapshot, and back.
//!
//! | piece | bytes |
//! |---|---|
//! | head | 1, group clock 8, keys that died 8, first slot 2, last slot 2 |
//! | records | 2, then for each record its length 4 and the record as it lies in memory |
//! | end | 3, number of records 8, digest 8 |
//!
//! The first piece is the head, the last one the end. Numbers are little-endian.

use bytes::Buf;
use engine::RestoreError;

use super::Kv;
use super::cursor::next_record;
use super::hash::hash;
use crate::slots::slot_of;

const HEAD: u8 = 1;
const RECORDS: u8 = 2;
const END: u8 = 3;

/// How far a snapshot being taken has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drawing {
    Head { clock: u64, expired: u64, records: u64 },
    Records { clock: u64, records: u64 },
    End { clock: u64, records: u64 },
}

/// How far a snapshot being restored has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Restoring {
    #[default]
    Head,
    Records {
        sum: u64,
    },
    Over,
}

impl Kv {
    pub(super) fn begin_drawing(&mut self) {
        self.table.begin_cursor();
        let records = self.table.len() as u64;
        self.drawing = Some(Drawing::Head { clock: self.clock, expired: self.expired, records });
    }

    pub(super) fn draw_piece(&mut self, bytes: usize, piece: &mut Vec<u8>) -> bool {
        match self.drawing.take() {
            None => false,
            Some(Drawing::Head { clock, expired, records }) => {
                piece.push(HEAD);
                piece.extend_from_slice(&clock.to_le_bytes());
                piece.extend_from_slice(&expired.to_le_bytes());
                piece.extend_from_slice(&self.range.first.to_le_bytes());
                piece.extend_from_slice(&self.range.last.to_le_bytes());
                self.drawing = Some(Drawing::Records { clock, records });
                true
            }
            Some(Drawing::Records { clock, records }) => {
                piece.push(RECORDS);
                let more = self.table.draw(bytes, piece);
                self.drawing = Some(if more {
                    Drawing::Records { clock, records }
                } else {
                    Drawing::End { clock, records }
                });
                true
            }
            Some(Drawing::End { clock, records }) => {
                let sum = self.table.end_cursor();
                piece.push(END);
                piece.extend_from_slice(&records.to_le_bytes());
                piece.extend_from_slice(&digest(clock, sum).to_le_bytes());
                false
            }
        }
    }

    pub(super) fn take_piece(&mut self, piece: &[u8]) -> Result<(), RestoreError> {
        let Some((&kind, mut rest)) = piece.split_first() else {
            return Err(RestoreError("a piece is empty"));
        };
        match (kind, self.restoring) {
            (HEAD, Restoring::Head) if rest.len() == 20 => {
                self.clock = rest.get_u64_le();
                self.expired = rest.get_u64_le();
                if (rest.get_u16_le(), rest.get_u16_le()) != (self.range.first, self.range.last) {
                    return Err(RestoreError("it is of a group with other slots"));
                }
                self.restoring = Restoring::Records { sum: 0 };
            }
            (RECORDS, Restoring::Records { mut sum }) => {
                while !rest.is_empty() {
                    let Some((record, next)) = next_record(rest) else {
                        return Err(RestoreError("a record is not one"));
                    };
                    rest = next;
                    let place = self.table.place(record.key());
                    let slot = slot_of(record.key());
                    if !(self.range.first..=self.range.last).contains(&slot)
                        || self.table.find(place, record.key()).is_some()
                    {
                        return Err(RestoreError("a key is there twice, or of another group"));
                    }
                    sum = sum.wrapping_add(hash(0, record.packed()));
                    self.add(place, record);
                }
                self.restoring = Restoring::Records { sum };
            }
            (END, Restoring::Records { sum }) if rest.len() == 16 => {
                let (records, found) = (rest.get_u64_le(), rest.get_u64_le());
                if records != self.table.len() as u64 || found != digest(self.clock, sum) {
                    return Err(RestoreError("its records are not those it began with"));
                }
                self.restoring = Restoring::Over;
                self.publish();
            }
            _ => return Err(RestoreError("a piece is of another kind than due")),
        }
        Ok(())
    }
}

/// The digest of a state machine with this clock, whose records have this sum.
pub(super) fn digest(clock: u64, sum: u64) -> u64 {
    hash(clock, &sum.to_le_bytes())
}
