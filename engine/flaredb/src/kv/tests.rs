//! The state machine against a simple model, against itself, and against nonsense.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use engine::{ApplyBatch, Index, LogId, Replies, StateMachine, Term};
use proptest::prelude::*;

use super::entry::{ExpireIf, Life, Presence, SetAnswer, delete, set_many};
use super::query::{LifeUnit, count};
use super::*;

mod snapshots;

fn kv() -> Kv {
    Kv::new(SlotRange::ALL, 5, Arc::default())
}

/// Applies entries in batches of these sizes by turns; gives the replies.
fn apply(kv: &mut Kv, entries: &[Bytes], sizes: &[usize]) -> Vec<Vec<u8>> {
    let log: Vec<_> = entries
        .iter()
        .enumerate()
        .map(|(i, e)| (LogId::new(Term(1), Index(i as u64 + 1)), e.clone()))
        .collect();
    let (mut replies, mut given, mut rest) = (Replies::default(), Vec::new(), &log[..]);
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (batch, after) = rest.split_at((*size).clamp(1, rest.len()));
        kv.apply(&mut ApplyBatch::new(batch, &mut replies));
        given.extend((0..batch.len()).map(|place| replies.reply(place).to_vec()));
        rest = after;
    }
    given
}

fn one(kv: &mut Kv, entry: Bytes) -> Vec<u8> {
    apply(kv, &[entry], &[1]).remove(0)
}

fn ask(kv: &mut Kv, query: &Query<'_>, stamp: u64) -> Vec<u8> {
    let mut reply = Vec::new();
    kv.read(&query.encode(stamp), &mut reply);
    reply
}

fn set(key: &[u8], value: &[u8], life: Life, stamp: u64) -> Bytes {
    let (presence, answer) = (Presence::Any, SetAnswer::Status);
    Write::Set { key, value, life, presence, answer }.encode(stamp)
}

#[test]
fn a_key_dies_by_the_log_and_never_comes_back() {
    let mut kv = kv();
    one(&mut kv, set(b"k", b"v", Life::In(10), 1000));
    let get = Query::Get(b"k");
    assert_eq!(ask(&mut kv, &get, 1010), b"$v");
    let late = ask(&mut kv, &get, 1011);
    let query = get.encode(1011);
    let behind = Answer::Behind { query: &query, then: b"_" };
    assert_eq!(Answer::decode(&late), Some(behind));
    one(&mut kv, Write::AdvanceClock.encode(1011));
    assert_eq!(ask(&mut kv, &get, 1011), b"_");
    assert_eq!(ask(&mut kv, &get, 5), b"_");
    // A stamp from a clock that is behind counts from the group clock.
    one(&mut kv, set(b"k", b"w", Life::In(10), 3));
    let unit = LifeUnit { millis: true, absolute: true };
    let deadline = ask(&mut kv, &Query::Life { key: b"k", unit }, 3);
    assert_eq!(Answer::decode(&deadline), Some(Answer::Integer(1021)));
}

#[test]
fn the_dead_are_buried_in_bounded_steps_and_never_counted() {
    let mut kv = kv();
    for i in 0..5000 {
        let key = format!("k{i}");
        one(&mut kv, set(key.as_bytes(), b"v", Life::At(2000), 1000));
    }
    let late = ask(&mut kv, &Query::Size, 2001);
    assert!(matches!(Answer::decode(&late), Some(Answer::Behind { .. })));
    one(&mut kv, Write::AdvanceClock.encode(2001));
    assert_eq!(kv.table.len(), 5000 - BURIED_PER_ADVANCE);
    let size = ask(&mut kv, &Query::Size, 2001);
    assert_eq!(Answer::decode(&size), Some(Answer::Integer(0)));
    one(&mut kv, set(b"other", b"v", Life::Forever, 2001));
    assert_eq!(kv.table.len(), 5001 - BURIED_PER_ADVANCE - BURIED_PER_ENTRY);
    for _ in 0..4 {
        one(&mut kv, Write::AdvanceClock.encode(2001));
    }
    assert_eq!((kv.table.len(), kv.deadlines.len()), (1, 0));
    assert_eq!(kv.slot_sizes.iter().sum::<u32>(), 1);
}

#[test]
fn clearing_leaves_nothing_and_frees_in_steps() {
    let mut kv = kv();
    for i in 0..20_000 {
        let key = format!("k{i}");
        one(&mut kv, set(key.as_bytes(), b"v", Life::In(1_000_000), 1));
    }
    let empty_digest = {
        let mut empty = super::tests::kv();
        one(&mut empty, Write::Clear.encode(1));
        empty.digest()
    };
    one(&mut kv, Write::Clear.encode(1));
    assert_eq!(kv.digest(), empty_digest);
    assert!(!kv.garbage.is_empty() && !kv.old_deadlines.is_empty());
    for _ in 0..200 {
        one(&mut kv, Write::AdvanceClock.encode(1));
    }
    assert!(kv.garbage.is_empty() && kv.old_deadlines.is_empty());
    assert_eq!((kv.table.len(), kv.record_bytes, kv.deadlines.len()), (0, 0, 0));
}

#[test]
fn what_is_no_entry_changes_nothing_and_gets_an_error() {
    let mut kv = kv();
    one(&mut kv, set(b"k", b"v", Life::Forever, 7));
    let before = kv.digest();
    let future = Bytes::from_static(&[9, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    let odd_pairs = set_many(9, [&b"a"[..], b"b", b"c"].into_iter(), false);
    for entry in [Bytes::new(), future, odd_pairs, Bytes::from_static(b"\x01\xff")] {
        assert!(one(&mut kv, entry).starts_with(b"-ERR"));
    }
    assert_eq!(kv.digest(), before);
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    (0u8..6).prop_map(|n| vec![b'k', b'0' + n])
}

fn life() -> impl Strategy<Value = Life> {
    prop_oneof![
        3 => Just(Life::Forever),
        1 => Just(Life::Keep),
        3 => (-3i64..40).prop_map(Life::In),
        1 => (990i64..1200).prop_map(Life::At),
    ]
}

/// An entry with its stamp.
fn entry() -> impl Strategy<Value = Bytes> {
    let stamp = 1000u64..1150;
    let value = prop_oneof![
        (-3i64..100).prop_map(|n| n.to_string().into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    let presence =
        proptest::sample::select(&[Presence::Any, Presence::Absent, Presence::Present][..]);
    let answer =
        proptest::sample::select(&[SetAnswer::Status, SetAnswer::Old, SetAnswer::Flag][..]);
    let when = proptest::sample::select(&[0u8, 1, 2, 4, 8, 6, 10][..]);
    let parts = (key(), key(), value, life(), presence, answer, when, -5i64..5);
    (0u8..14, stamp, parts).prop_map(|(kind, stamp, parts)| {
        let (key, other, value, life, presence, answer, when, delta) = parts;
        let (key, value, bytes_max) = (&key[..], &value[..], 12);
        let both = [key, &other];
        let write = match kind {
            0..4 => Write::Set { key, value, life, presence, answer },
            4 => return delete(stamp, both.into_iter()),
            5 => return set_many(stamp, [key, value, &other, b"7"].into_iter(), delta < 0),
            6 => Write::Take(key),
            7 => Write::Add { key, delta },
            8 => Write::Append { key, tail: value, bytes_max },
            9 => Write::SetRange { key, offset: when.into(), part: value, bytes_max },
            10 => Write::Expire { key, life, when: ExpireIf(when) },
            11 => Write::GetExpire { key, life },
            12 => Write::Persist(key),
            _ if delta == 0 => Write::Clear,
            _ => Write::AdvanceClock,
        };
        write.encode(stamp)
    })
}

/// The simplest thing that could be right: a map, and dead keys removed before anything else.
#[derive(Default)]
struct Model {
    clock: u64,
    keys: BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>,
}

impl Model {
    fn deadline(&self, life: Life, before: Option<u64>) -> Option<u64> {
        match life {
            Life::Forever => None,
            Life::Keep => before,
            Life::In(ms) => Some((self.clock as i64 + ms) as u64),
            Life::At(ms) => Some(ms as u64),
        }
    }

    fn bury(&mut self) {
        let clock = self.clock;
        self.keys.retain(|_, (_, deadline)| deadline.is_none_or(|d| d >= clock));
    }

    fn apply(&mut self, entry: &[u8]) {
        let (stamp, write) = Write::decode(entry).expect("an entry");
        self.clock = self.clock.max(stamp);
        self.bury();
        let found = |key: &[u8]| self.keys.get(key).cloned();
        match write {
            Write::AdvanceClock => {}
            Write::Clear => self.keys.clear(),
            Write::Set { key, value, life, presence, .. } => {
                let old = found(key);
                let forbidden = match presence {
                    Presence::Any => false,
                    Presence::Absent => old.is_some(),
                    Presence::Present => old.is_none(),
                };
                if !forbidden {
                    let deadline = self.deadline(life, old.and_then(|(_, d)| d));
                    self.keys.insert(key.to_vec(), (value.to_vec(), deadline));
                }
            }
            Write::Delete(keys) => keys.iter().for_each(|key| {
                self.keys.remove(key);
            }),
            Write::Take(key) => {
                self.keys.remove(key);
            }
            Write::Add { key, delta } => {
                let (value, deadline) = found(key).unwrap_or((b"0".to_vec(), None));
                if let Some(n) = number::parse_i64(&value) {
                    let sum = (n + delta).to_string().into_bytes();
                    self.keys.insert(key.to_vec(), (sum, deadline));
                }
            }
            Write::Append { key, tail, bytes_max } => {
                let (mut value, deadline) = found(key).unwrap_or_default();
                value.extend_from_slice(tail);
                if value.len() as u64 <= bytes_max {
                    self.keys.insert(key.to_vec(), (value, deadline));
                }
            }
            Write::SetRange { key, offset, part, bytes_max } => {
                let (mut value, deadline) = found(key).unwrap_or_default();
                let end = offset as usize + part.len();
                if !part.is_empty() && end as u64 <= bytes_max {
                    value.resize(value.len().max(end), 0);
                    value[offset as usize..end].copy_from_slice(part);
                    self.keys.insert(key.to_vec(), (value, deadline));
                }
            }
            Write::SetMany { pairs, only_if_none } => {
                let all: Vec<&[u8]> = pairs.iter().collect();
                if !only_if_none || all.iter().step_by(2).all(|key| found(key).is_none()) {
                    for pair in all.chunks(2) {
                        self.keys.insert(pair[0].to_vec(), (pair[1].to_vec(), None));
                    }
                }
            }
            Write::Expire { key, life, when } => {
                let Some((value, before)) = found(key) else {
                    return;
                };
                let after = self.deadline(life, before);
                let late = |d: Option<u64>| d.unwrap_or(u64::MAX);
                let allowed = (!when.has(ExpireIf::NX) || before.is_none())
                    && (!when.has(ExpireIf::XX) || before.is_some())
                    && (!when.has(ExpireIf::GT) || late(after) > late(before))
                    && (!when.has(ExpireIf::LT) || late(after) < late(before) || before.is_none());
                if allowed {
                    self.put_mortal(key, value, after);
                }
            }
            Write::GetExpire { key, life } => {
                let Some((value, before)) = found(key) else {
                    return;
                };
                let after = self.deadline(life, before);
                if after != before {
                    self.put_mortal(key, value, after);
                }
            }
            Write::Persist(key) => {
                if let Some((_, deadline)) = self.keys.get_mut(key) {
                    *deadline = None;
                }
            }
        }
        self.bury();
    }

    fn put_mortal(&mut self, key: &[u8], value: Vec<u8>, deadline: Option<u64>) {
        if deadline.is_some_and(|d| d <= self.clock) {
            self.keys.remove(key);
        } else {
            self.keys.insert(key.to_vec(), (value, deadline));
        }
    }
}

proptest! {
    #[test]
    fn does_what_the_model_does(entries in proptest::collection::vec(entry(), 0..80)) {
        let (mut kv, mut model) = (kv(), Model::default());
        for entry in &entries {
            one(&mut kv, entry.clone());
            model.apply(entry);
            let now = model.clock;
            prop_assert_eq!(kv.clock(), now);
            for n in 0..6 {
                let key = [b'k', b'0' + n];
                let expected = model.keys.get(&key[..]);
                let given = ask(&mut kv, &Query::Get(&key), now);
                let expected_answer =
                    expected.map_or(Answer::Nil, |(value, _)| Answer::Bulk(value));
                prop_assert_eq!(Answer::decode(&given), Some(expected_answer));
                let unit = LifeUnit { millis: true, absolute: true };
                let given = ask(&mut kv, &Query::Life { key: &key, unit }, now);
                let deadline =
                    expected.map_or(-2, |(_, deadline)| deadline.map_or(-1, |d| d as i64));
                prop_assert_eq!(Answer::decode(&given), Some(Answer::Integer(deadline)));
            }
            let size = ask(&mut kv, &Query::Size, now);
            let expected = Answer::Integer(model.keys.len() as i64);
            prop_assert_eq!(Answer::decode(&size), Some(expected));
        }
        let bytes: usize = kv.table.iter().map(|record| record.packed().len()).sum();
        prop_assert_eq!(kv.record_bytes, bytes);
        let mortal = kv.table.iter().filter(|record| record.deadline().is_some()).count();
        prop_assert_eq!(kv.deadlines.len(), mortal);
    }

    #[test]
    fn batches_make_no_difference(
        entries in proptest::collection::vec(entry(), 0..60),
        sizes in proptest::collection::vec(1usize..9, 1..6),
    ) {
        let (mut one_by_one, mut batched) = (kv(), kv());
        let first = apply(&mut one_by_one, &entries, &[1]);
        let second = apply(&mut batched, &entries, &sizes);
        prop_assert_eq!(first, second);
        prop_assert_eq!(one_by_one.digest(), batched.digest());
    }

    #[test]
    fn entries_are_read_as_written(entry in entry()) {
        let (stamp, write) = Write::decode(&entry).expect("an entry");
        prop_assert_eq!(write.encode(stamp), entry);
    }

    #[test]
    fn nonsense_does_no_harm(
        bytes in proptest::collection::vec(any::<u8>(), 0..40),
        entry in entry(),
        cut in 0usize..40,
        flip in 0usize..40,
    ) {
        let mut kv = kv();
        let mut torn = entry.to_vec();
        torn.truncate(cut);
        if let Some(byte) = torn.get_mut(flip) {
            *byte ^= 0x55;
        }
        let mut labelled = vec![1, bytes.first().copied().unwrap_or(0) % 14];
        labelled.extend_from_slice(&bytes);
        for data in [bytes, torn, labelled] {
            let _ = Answer::decode(&data);
            let mut reply = Vec::new();
            kv.read(&data, &mut reply);
            prop_assert!(!reply.is_empty());
            prop_assert!(!one(&mut kv, data.into()).is_empty());
        }
    }

    #[test]
    fn queries_are_read_as_written(
        key in key(), from in any::<u64>(), n in any::<i64>(), stamp in any::<u64>(),
    ) {
        let unit = LifeUnit { millis: n % 2 == 0, absolute: n % 3 == 0 };
        for query in [
            Query::Get(&key),
            Query::Length(&key),
            Query::Kind(&key),
            Query::Keys(&key),
            Query::Size,
            Query::SlotSize(from as u16),
            Query::Life { key: &key, unit },
            Query::Range { key: &key, start: n, end: from as i64 },
            Query::Scan { from, count: stamp, pattern: &key },
        ] {
            let bytes = query.encode(stamp);
            prop_assert_eq!(Query::decode(&bytes), Some((stamp, query)));
        }
        let bytes = count(stamp, [&key[..], b"", &key].into_iter());
        let Some((_, Query::Count(keys))) = Query::decode(&bytes) else { panic!("no count") };
        prop_assert_eq!(keys.iter().collect::<Vec<_>>(), [&key[..], b"", &key]);
    }
}
