//! Records: one message of one group, as bytes.
//!
//! A record is a fixed header {group, length, kind, flags} and a payload whose layout depends on
//! the kind; PROTOCOL.md has the tables. Encoding is canonical: a message has one encoding, and
//! only that one decodes.

use bytemuck::{Pod, Zeroable};
use bytes::{Buf, Bytes};
use raft_core::{
    AppendEntries, AppendEntriesReply, AppendOutcome, ConfState, Entry, EntryKind, GroupId,
    Heartbeat, HeartbeatReply, Index, InstallSnapshot, LogId, Message, PreVote, PreVoteReply,
    RequestVote, RequestVoteReply, SnapshotMeta, Term, TimeoutNow,
};

use crate::error::RecordError;

/// The size of a record header, in bytes.
pub const RECORD_HEADER_BYTES: usize = 16;
/// The size of an entry before its data, in bytes.
pub const ENTRY_HEADER_BYTES: usize = 16;
/// The size of an `AppendEntries` payload before its entries, in bytes.
pub const APPEND_FIXED_BYTES: usize = 40;

/// The kind byte of each record.
mod kind {
    pub(super) const PRE_VOTE: u8 = 1;
    pub(super) const PRE_VOTE_REPLY: u8 = 2;
    pub(super) const REQUEST_VOTE: u8 = 3;
    pub(super) const REQUEST_VOTE_REPLY: u8 = 4;
    pub(super) const APPEND_ENTRIES: u8 = 5;
    pub(super) const APPEND_ACCEPTED: u8 = 6;
    pub(super) const APPEND_REJECTED: u8 = 7;
    pub(super) const APPEND_STALE: u8 = 8;
    pub(super) const HEARTBEAT: u8 = 9;
    pub(super) const HEARTBEAT_REPLY: u8 = 10;
    pub(super) const TIMEOUT_NOW: u8 = 11;
    pub(super) const INSTALL_SNAPSHOT: u8 = 12;
}

/// The one flag there is: a vote was granted, or an election is a transfer of leadership.
const FLAG: u8 = 1;

/// A record header as it lies on the wire, little-endian.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct RawRecord {
    group: u64,
    payload_bytes: u32,
    kind: u8,
    flags: u8,
    reserved: u16,
}

const _: () = assert!(size_of::<RawRecord>() == RECORD_HEADER_BYTES);

/// What precedes the data of an entry, little-endian. The index is implied: entries are
/// consecutive from the one after `prev`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct RawEntry {
    term: u64,
    data_bytes: u32,
    kind: u8,
    reserved: [u8; 3],
}

const _: () = assert!(size_of::<RawEntry>() == ENTRY_HEADER_BYTES);

const fn kind_of(message: &Message) -> u8 {
    match message {
        Message::PreVote(_) => kind::PRE_VOTE,
        Message::PreVoteReply(_) => kind::PRE_VOTE_REPLY,
        Message::RequestVote(_) => kind::REQUEST_VOTE,
        Message::RequestVoteReply(_) => kind::REQUEST_VOTE_REPLY,
        Message::AppendEntries(_) => kind::APPEND_ENTRIES,
        Message::AppendEntriesReply(m) => match m.outcome {
            AppendOutcome::Accepted { .. } => kind::APPEND_ACCEPTED,
            AppendOutcome::Rejected { .. } => kind::APPEND_REJECTED,
            AppendOutcome::Stale => kind::APPEND_STALE,
        },
        Message::Heartbeat(_) => kind::HEARTBEAT,
        Message::HeartbeatReply(_) => kind::HEARTBEAT_REPLY,
        Message::TimeoutNow(_) => kind::TIMEOUT_NOW,
        Message::InstallSnapshot(_) => kind::INSTALL_SNAPSHOT,
    }
}

/// Whether something of another length follows the fixed part of the payload.
const fn is_open_ended(kind: u8) -> bool {
    matches!(kind, kind::APPEND_ENTRIES | kind::INSTALL_SNAPSHOT)
}

/// The payload size of a kind, in bytes; of `AppendEntries` the part before the entries, of
/// `InstallSnapshot` the part before the configuration.
const fn payload_bytes_of(kind: u8) -> Option<usize> {
    match kind {
        kind::REQUEST_VOTE_REPLY | kind::APPEND_STALE | kind::TIMEOUT_NOW => Some(8),
        kind::PRE_VOTE_REPLY | kind::APPEND_ACCEPTED | kind::HEARTBEAT_REPLY => Some(16),
        kind::PRE_VOTE | kind::REQUEST_VOTE | kind::HEARTBEAT | kind::INSTALL_SNAPSHOT => Some(24),
        kind::APPEND_REJECTED | kind::APPEND_ENTRIES => Some(40),
        _ => None,
    }
}

/// The size of the record of `message`, header included, in bytes.
#[must_use]
pub fn encoded_bytes(message: &Message) -> usize {
    let fixed = payload_bytes_of(kind_of(message)).unwrap_or_default();
    let rest = match message {
        Message::AppendEntries(m) => {
            m.entries.iter().map(|entry| ENTRY_HEADER_BYTES + entry.data.len()).sum()
        }
        Message::InstallSnapshot(m) => conf_bytes(&m.snapshot.conf),
        _ => 0,
    };
    RECORD_HEADER_BYTES + fixed + rest
}

/// How much [`ConfState::encode`] writes: flags and four lengths of a byte, eight bytes a node.
fn conf_bytes(conf: &ConfState) -> usize {
    let ConfState { voters, voters_outgoing, learners, learners_next, auto_leave: _ } = conf;
    5 + 8 * (voters.len() + voters_outgoing.len() + learners.len() + learners_next.len())
}

/// Whether the message can be written: a configuration that contradicts itself cannot, for nobody
/// would read it.
#[must_use]
pub fn is_encodable(message: &Message) -> bool {
    match message {
        Message::InstallSnapshot(m) => m.snapshot.conf.is_sound(),
        _ => true,
    }
}

/// Appends the record of `message` to `out`.
///
/// The entries of an `AppendEntries` must be consecutive from the one after `prev`, as its
/// contract says: their indexes are not sent. The caller bounds the size (see
/// [`encoded_bytes`]); what is larger than a frame cannot travel.
///
/// # Panics
/// If the record is 4 GiB or longer, or the message is not [encodable](is_encodable).
pub fn encode(group: GroupId, message: &Message, out: &mut Vec<u8>) {
    let bytes = encoded_bytes(message);
    let payload_bytes = bytes - RECORD_HEADER_BYTES;
    assert!(payload_bytes <= u32::MAX as usize, "a record is bounded");
    out.reserve(bytes);
    let start = out.len();
    let flag = match message {
        Message::PreVoteReply(m) => m.granted,
        Message::RequestVote(m) => m.transfer,
        Message::RequestVoteReply(m) => m.granted,
        _ => false,
    };
    out.extend_from_slice(bytemuck::bytes_of(&RawRecord {
        group: group.0.to_le(),
        payload_bytes: (payload_bytes as u32).to_le(),
        kind: kind_of(message),
        flags: if flag { FLAG } else { 0 },
        reserved: 0,
    }));
    encode_payload(message, out);
    debug_assert_eq!(out.len() - start, bytes, "a record has the size foretold");
}

fn encode_payload(message: &Message, out: &mut Vec<u8>) {
    match message {
        Message::PreVote(m) => words(out, [m.term.0, m.last.term.0, m.last.index.0]),
        Message::PreVoteReply(m) => words(out, [m.term.0, m.asked.0]),
        Message::RequestVote(m) => words(out, [m.term.0, m.last.term.0, m.last.index.0]),
        Message::RequestVoteReply(m) => words(out, [m.term.0]),
        Message::AppendEntries(m) => encode_entries(m, out),
        Message::AppendEntriesReply(m) => match m.outcome {
            AppendOutcome::Accepted { matched } => words(out, [m.term.0, matched.0]),
            AppendOutcome::Rejected { prev, hint, last } => {
                words(out, [m.term.0, prev.0, hint.term.0, hint.index.0, last.0]);
            }
            AppendOutcome::Stale => words(out, [m.term.0]),
        },
        Message::Heartbeat(m) => words(out, [m.term.0, m.commit.0, m.round]),
        Message::HeartbeatReply(m) => words(out, [m.term.0, m.round]),
        Message::TimeoutNow(m) => words(out, [m.term.0]),
        Message::InstallSnapshot(m) => {
            let SnapshotMeta { last, conf } = &*m.snapshot;
            words(out, [m.term.0, last.term.0, last.index.0]);
            out.extend_from_slice(&conf.encode());
        }
    }
}

fn encode_entries(m: &AppendEntries, out: &mut Vec<u8>) {
    words(out, [m.term.0, m.prev.term.0, m.prev.index.0, m.commit.0]);
    // The record is below 4 GiB, so both the count and every length fit.
    words(out, [m.entries.len() as u64]);
    let mut index = m.prev.index;
    for entry in &m.entries {
        index = index.next();
        debug_assert_eq!(entry.id.index, index, "entries are consecutive after prev");
        out.extend_from_slice(bytemuck::bytes_of(&RawEntry {
            term: entry.id.term.0.to_le(),
            data_bytes: (entry.data.len() as u32).to_le(),
            kind: entry.kind as u8,
            reserved: [0; 3],
        }));
        out.extend_from_slice(&entry.data);
    }
}

fn words<const N: usize>(out: &mut Vec<u8>, words: [u64; N]) {
    out.extend_from_slice(bytemuck::cast_slice(&words.map(u64::to_le)));
}

/// Decodes the record at the front of `body` and moves `body` behind it.
///
/// The data of entries shares the memory of `body`: an entry kept for long keeps its frame.
/// Allocates only the list of entries, at most four times the size of the record, or the lists of a
/// configuration, no larger than the record.
///
/// # Errors
/// Any [`RecordError`]; `body` is then of no further use.
pub fn decode(body: &mut Bytes) -> Result<(GroupId, Message), RecordError> {
    let front = body.get(..RECORD_HEADER_BYTES).ok_or(RecordError::Truncated)?;
    let raw: RawRecord = bytemuck::pod_read_unaligned(front);
    let (kind, flags) = (raw.kind, raw.flags);
    let payload_bytes = u32::from_le(raw.payload_bytes) as usize;
    if payload_bytes > body.len() - RECORD_HEADER_BYTES {
        return Err(RecordError::Truncated);
    }
    let fixed = payload_bytes_of(kind).ok_or(RecordError::UnknownKind { kind })?;
    if payload_bytes < fixed || (payload_bytes > fixed && !is_open_ended(kind)) {
        return Err(RecordError::Length { kind });
    }
    let flaggable =
        matches!(kind, kind::PRE_VOTE_REPLY | kind::REQUEST_VOTE | kind::REQUEST_VOTE_REPLY);
    if raw.reserved != 0 || flags > FLAG || (flags == FLAG && !flaggable) {
        return Err(RecordError::UnknownValue { kind });
    }
    body.advance(RECORD_HEADER_BYTES);
    let message = if kind == kind::APPEND_ENTRIES {
        Message::AppendEntries(decode_entries(body.split_to(payload_bytes))?)
    } else {
        let message = decode_words(kind, flags == FLAG, &mut &body[..payload_bytes])?;
        body.advance(payload_bytes);
        message
    };
    Ok((GroupId(u64::from_le(raw.group)), message))
}

/// Decodes the payload of any kind but `AppendEntries`; its fixed part is there.
fn decode_words(kind: u8, flag: bool, words: &mut &[u8]) -> Result<Message, RecordError> {
    let term = Term(words.get_u64_le());
    Ok(match kind {
        kind::PRE_VOTE => Message::PreVote(PreVote { term, last: log_id(words) }),
        kind::PRE_VOTE_REPLY => {
            let asked = Term(words.get_u64_le());
            Message::PreVoteReply(PreVoteReply { term, asked, granted: flag })
        }
        kind::REQUEST_VOTE => {
            Message::RequestVote(RequestVote { term, last: log_id(words), transfer: flag })
        }
        kind::REQUEST_VOTE_REPLY => {
            Message::RequestVoteReply(RequestVoteReply { term, granted: flag })
        }
        kind::APPEND_ACCEPTED => {
            let outcome = AppendOutcome::Accepted { matched: Index(words.get_u64_le()) };
            Message::AppendEntriesReply(AppendEntriesReply { term, outcome })
        }
        kind::APPEND_REJECTED => {
            let prev = Index(words.get_u64_le());
            let hint = log_id(words);
            let outcome = AppendOutcome::Rejected { prev, hint, last: Index(words.get_u64_le()) };
            Message::AppendEntriesReply(AppendEntriesReply { term, outcome })
        }
        kind::APPEND_STALE => {
            Message::AppendEntriesReply(AppendEntriesReply { term, outcome: AppendOutcome::Stale })
        }
        kind::HEARTBEAT => {
            let commit = Index(words.get_u64_le());
            Message::Heartbeat(Heartbeat { term, commit, round: words.get_u64_le() })
        }
        kind::HEARTBEAT_REPLY => {
            Message::HeartbeatReply(HeartbeatReply { term, round: words.get_u64_le() })
        }
        kind::TIMEOUT_NOW => Message::TimeoutNow(TimeoutNow { term }),
        kind::INSTALL_SNAPSHOT => {
            let last = log_id(words);
            let conf = ConfState::decode(words).ok_or(RecordError::Configuration)?;
            let snapshot = Box::new(SnapshotMeta { last, conf });
            Message::InstallSnapshot(InstallSnapshot { term, snapshot })
        }
        kind => return Err(RecordError::UnknownKind { kind }),
    })
}

fn log_id(words: &mut &[u8]) -> LogId {
    LogId::new(Term(words.get_u64_le()), Index(words.get_u64_le()))
}

/// Decodes the payload of an `AppendEntries`, at least [`APPEND_FIXED_BYTES`] long.
fn decode_entries(mut payload: Bytes) -> Result<AppendEntries, RecordError> {
    let kind = kind::APPEND_ENTRIES;
    let term = Term(payload.get_u64_le());
    let prev = LogId::new(Term(payload.get_u64_le()), Index(payload.get_u64_le()));
    let commit = Index(payload.get_u64_le());
    let count = payload.get_u64_le();
    // Every entry takes at least its header, so the bytes at hand bound the list.
    if count > (payload.len() / ENTRY_HEADER_BYTES) as u64 {
        return Err(RecordError::Length { kind });
    }
    if prev.index.0.checked_add(count).is_none() {
        return Err(RecordError::IndexOverflow);
    }
    let mut entries = Vec::with_capacity(count as usize);
    let mut index = prev.index;
    for _ in 0..count {
        index = index.next();
        let front = payload.get(..ENTRY_HEADER_BYTES).ok_or(RecordError::Length { kind })?;
        let raw: RawEntry = bytemuck::pod_read_unaligned(front);
        let data_bytes = u32::from_le(raw.data_bytes) as usize;
        if data_bytes > payload.len() - ENTRY_HEADER_BYTES {
            return Err(RecordError::Length { kind });
        }
        let entry_kind = EntryKind::from_u8(raw.kind).filter(|_| raw.reserved == [0; 3]);
        payload.advance(ENTRY_HEADER_BYTES);
        entries.push(Entry {
            id: LogId::new(Term(u64::from_le(raw.term)), index),
            kind: entry_kind.ok_or(RecordError::UnknownValue { kind })?,
            data: payload.split_to(data_bytes),
        });
    }
    if !payload.is_empty() {
        return Err(RecordError::Length { kind });
    }
    Ok(AppendEntries { term, prev, commit, entries: entries.into() })
}

#[cfg(test)]
pub(crate) mod tests;
