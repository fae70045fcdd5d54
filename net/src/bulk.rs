//! Bulk frames: snapshots on their way between two nodes, a piece at a time.
//!
//! They travel on the lane, in frames of their own behind the messages of a turn, and only to a
//! peer whose hello names [`FEATURE_SNAPSHOTS`]. A piece is answered before the next one leaves, so
//! a snapshot never holds more of a lane than one piece.

use bytes::{Buf, Bytes};
use raft_core::{ConfState, GroupId, Index, LogId, SnapshotMeta, Term};

use crate::error::RecordError;
use crate::frame::{self, FRAME_HEADER_BYTES, FrameKind};

/// The feature bit of a hello: this node takes snapshots.
pub const FEATURE_SNAPSHOTS: u64 = 1;
/// The data of a piece at most, in bytes.
pub const PIECE_BYTES_MAX: usize = 256 << 10;

/// The words before the configuration and the data of a piece.
const PIECE_WORDS: usize = 9;
/// The words of an answer.
const ANSWER_WORDS: usize = 5;

/// What the first word of a body says.
mod tag {
    pub(super) const PIECE: u64 = 1;
    pub(super) const ANSWER: u64 = 2;
}

/// What a bulk frame carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bulk {
    /// A piece of a snapshot.
    Piece(Piece),
    /// What became of a piece.
    Answer(Answer),
}

/// A piece of the file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The group.
    pub group: GroupId,
    /// The term of the leader that sends it.
    pub term: Term,
    /// What the snapshot stands for.
    pub snapshot: SnapshotMeta,
    /// The length of the whole file, in bytes.
    pub file_bytes: u64,
    /// Where in the file the data belongs.
    pub offset: u64,
    /// The data, at most [`PIECE_BYTES_MAX`] bytes.
    pub data: Bytes,
}

/// How far a snapshot has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The group.
    pub group: GroupId,
    /// The last entry that the snapshot includes.
    pub last: LogId,
    /// From where in the file to go on; `None` if the snapshot is not wanted, or cannot be kept.
    pub next: Option<u64>,
}

impl Bulk {
    /// Appends a whole frame to `out`.
    ///
    /// # Panics
    /// If a piece is larger than [`PIECE_BYTES_MAX`] or its configuration contradicts itself.
    pub fn seal_into(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + FRAME_HEADER_BYTES, 0);
        match self {
            Self::Piece(piece) => {
                assert!(piece.data.len() <= PIECE_BYTES_MAX, "a piece is bounded");
                let conf = piece.snapshot.conf.encode();
                let last = piece.snapshot.last;
                let (conf_bytes, data_bytes) = (conf.len() as u64, piece.data.len() as u64);
                let words: [u64; PIECE_WORDS] = [
                    tag::PIECE,
                    piece.group.0,
                    piece.term.0,
                    last.term.0,
                    last.index.0,
                    piece.file_bytes,
                    piece.offset,
                    conf_bytes,
                    data_bytes,
                ];
                put(out, &words);
                out.extend_from_slice(&conf);
                out.extend_from_slice(&piece.data);
            }
            Self::Answer(answer) => {
                let next = answer.next.unwrap_or(u64::MAX);
                let last = answer.last;
                let words: [u64; ANSWER_WORDS] =
                    [tag::ANSWER, answer.group.0, last.term.0, last.index.0, next];
                put(out, &words);
            }
        }
        frame::seal(&mut out[start..], FrameKind::Bulk, 1);
    }

    /// Decodes the body of a bulk frame. The data of a piece shares its memory.
    ///
    /// # Errors
    /// Any [`RecordError`]; nothing of the body may be used.
    pub fn decode(mut body: Bytes) -> Result<Self, RecordError> {
        let kind = FrameKind::Bulk as u8;
        let length = RecordError::Length { kind };
        if body.len() < 8 {
            return Err(RecordError::Truncated);
        }
        match body.get_u64_le() {
            tag::PIECE if body.len() >= (PIECE_WORDS - 1) * 8 => {
                let (group, term) = (GroupId(body.get_u64_le()), Term(body.get_u64_le()));
                let last = LogId::new(Term(body.get_u64_le()), Index(body.get_u64_le()));
                let (file_bytes, offset) = (body.get_u64_le(), body.get_u64_le());
                let (conf_bytes, data_bytes) = (body.get_u64_le(), body.get_u64_le());
                let whole = conf_bytes.checked_add(data_bytes) == Some(body.len() as u64);
                let end = offset.checked_add(data_bytes);
                if !whole
                    || data_bytes > PIECE_BYTES_MAX as u64
                    || end.is_none_or(|end| end > file_bytes)
                {
                    return Err(length);
                }
                let conf = body.split_to(conf_bytes as usize);
                let conf = ConfState::decode(&conf).ok_or(RecordError::Configuration)?;
                let snapshot = SnapshotMeta { last, conf };
                Ok(Self::Piece(Piece { group, term, snapshot, file_bytes, offset, data: body }))
            }
            tag::ANSWER if body.len() == (ANSWER_WORDS - 1) * 8 => {
                let group = GroupId(body.get_u64_le());
                let last = LogId::new(Term(body.get_u64_le()), Index(body.get_u64_le()));
                let next = Some(body.get_u64_le()).filter(|next| *next != u64::MAX);
                Ok(Self::Answer(Answer { group, last, next }))
            }
            tag::PIECE | tag::ANSWER => Err(length),
            _ => Err(RecordError::UnknownKind { kind }),
        }
    }
}

fn put(out: &mut Vec<u8>, words: &[u64]) {
    for word in words {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;
    use raft_core::NodeId;

    use super::*;
    use crate::inbox::Inbox;

    fn piece(offset: u64, data: &'static [u8]) -> Bulk {
        let snapshot = SnapshotMeta {
            last: LogId::new(Term(6), Index(41)),
            conf: ConfState::of_voters([1, 2, 3].map(NodeId)),
        };
        let data = Bytes::from_static(data);
        Bulk::Piece(Piece {
            group: GroupId(9),
            term: Term(7),
            snapshot,
            file_bytes: 20,
            offset,
            data,
        })
    }

    fn answer(next: Option<u64>) -> Bulk {
        Bulk::Answer(Answer { group: GroupId(9), last: LogId::new(Term(6), Index(41)), next })
    }

    #[test]
    fn pieces_and_answers_come_out_as_they_went_in() {
        let sent = [piece(0, b"first"), answer(Some(5)), piece(5, b""), answer(None)];
        let mut wire = Vec::new();
        sent.iter().for_each(|bulk| bulk.seal_into(&mut wire));
        let mut inbox = Inbox::new();
        for byte in wire.chunks(7) {
            inbox.feed(byte);
            assert_eq!(inbox.next(), Ok(None));
        }
        let mut found = Vec::new();
        while let Some(bulk) = inbox.take_bulk() {
            found.push(bulk);
        }
        assert_eq!(found, sent);
    }

    #[test]
    fn the_bytes_of_an_answer_do_not_change() {
        let mut wire = Vec::new();
        answer(Some(5)).seal_into(&mut wire);
        let mut body = BytesMut::from(&wire[FRAME_HEADER_BYTES..]);
        assert_eq!(body.len(), 40);
        let words: Vec<u64> =
            std::iter::from_fn(|| (!body.is_empty()).then(|| body.get_u64_le())).collect();
        assert_eq!(words, [2, 9, 6, 41, 5]);
        assert_eq!(wire[6], FrameKind::Bulk as u8);
    }

    #[test]
    fn a_piece_beyond_its_file_is_refused() {
        let mut wire = Vec::new();
        piece(16, b"fifth").seal_into(&mut wire);
        let body = Bytes::copy_from_slice(&wire[FRAME_HEADER_BYTES..]);
        let kind = FrameKind::Bulk as u8;
        assert_eq!(Bulk::decode(body), Err(RecordError::Length { kind }));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_a_piece_or_an_error(
            tag in 0u64..4,
            rest in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut body = tag.to_le_bytes().to_vec();
            body.extend_from_slice(&rest);
            if let Ok(bulk) = Bulk::decode(body.clone().into()) {
                let mut wire = Vec::new();
                bulk.seal_into(&mut wire);
                prop_assert_eq!(&wire[FRAME_HEADER_BYTES..], &body[..]);
            }
        }
    }
}
