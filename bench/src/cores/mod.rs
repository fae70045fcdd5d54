//! Consensus cores doing the same work in one thread: ours and, with the feature `peers`, others.
//!
//! The work of a [`Trio`] is one group of three replicas. Everybody takes the same turns: the
//! leader is given a batch of commands and the messages that have arrived, then each follower its
//! messages. Messages are moved, not encoded. "Persisting" moves the entries into an array whose
//! memory is already there, and is over at once. What is committed is handed over on all three
//! replicas and goes into a [`Ledger`].
//!
//! The work of a [`Crowd`] is to have many groups, each with three replicas, and nothing to do.

mod corpus;
mod flaredb;
#[cfg(feature = "peers")]
mod omnipaxos;
#[cfg(feature = "peers")]
mod raft_rs;

use std::time::{Duration, Instant};

use crate::error::BenchError;
use crate::heap::{self, Part, Tallies};
pub(crate) use corpus::{Corpus, Ledger, PAYLOAD_BYTES};

/// Entries before anything is measured: caches of the replicas are full then.
const WARM_UP: usize = 16_384;
/// A group that has not done its work after so many turns without new commands never will.
const PATIENCE: usize = 1_000;
/// Ticks between the heartbeats of a leader in a [`Crowd`].
pub(crate) const HEARTBEAT_TICKS: usize = 10;
/// A leader that is silent so long is deposed: within once and twice this many ticks.
pub(crate) const ELECTION_TICKS: usize = 100;

/// What is looked at while a group works; none of it is there when time is taken.
pub(crate) trait Pass {
    /// From here on this part is at work.
    fn enter(part: Part);
    /// What is kept of a payload that was handed over.
    fn digest(payload: &[u8]) -> u64;
}

/// Takes the time: of a payload only its ends are looked at.
struct Timed;

impl Pass for Timed {
    fn enter(_: Part) {}

    fn digest(payload: &[u8]) -> u64 {
        corpus::ends(payload)
    }
}

/// Counts allocations, and looks at every byte.
struct Counted;

impl Pass for Counted {
    fn enter(part: Part) {
        heap::enter(part);
    }

    fn digest(payload: &[u8]) -> u64 {
        u64::from(crc32c::crc32c(payload))
    }
}

/// Three replicas of one group.
pub(crate) trait Trio: Sized {
    /// A group with an established leader, for batches of this size and so many entries in all.
    fn new(batch: usize, entries_max: usize) -> Result<Self, BenchError>;

    /// One turn of each replica; the leader is given the commands `from..from + count` first.
    fn turn<P: Pass>(&mut self, corpus: &Corpus, from: u64, count: usize)
    -> Result<(), BenchError>;

    /// Makes the followers learn what is committed without another command.
    fn nudge(&mut self) -> Result<(), BenchError>;

    /// What was handed over to be applied, the leader's first.
    fn ledgers(&self) -> [Ledger; 3];
}

/// Many groups with nothing to do.
pub(crate) trait Crowd {
    /// One tick passes on all three nodes, and everything that follows from it.
    fn tick(&mut self) -> Result<(), BenchError>;

    /// Lets go of memory that belongs to the stand-in for the network.
    fn trim(&mut self);

    /// Every group still has the leader that it was given.
    fn check(&self) -> Result<(), BenchError>;
}

/// Makes so many idle groups.
pub(crate) type Settle = fn(usize) -> Result<Box<dyn Crowd>, BenchError>;
type Commit<R> = fn(&Corpus, usize, usize) -> Result<R, BenchError>;

/// One core that can be measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct System {
    /// Its name.
    pub(crate) name: &'static str,
    /// Commits so many entries in batches of a size, checks them, and says how long it took.
    pub(crate) commit: Commit<Duration>,
    /// The same untimed, every byte checked: what it asked of the heap.
    pub(crate) count: Commit<Tallies>,
    /// The same untimed and unchecked, with room for so many entries as the last number says.
    pub(crate) bare: fn(usize, usize, usize) -> Result<(), BenchError>,
    /// So many idle groups; none if it would be the same as another's.
    pub(crate) crowd: Option<Settle>,
}

/// The cores that this binary can measure, ours first.
pub(crate) fn systems() -> Vec<System> {
    vec![
        system::<flaredb::Group>(
            flaredb::NAME,
            Some(|groups| Ok(Box::new(flaredb::Idle::new(groups)?))),
        ),
        #[cfg(feature = "peers")]
        system::<omnipaxos::Group<false>>(
            omnipaxos::NAME,
            Some(|groups| Ok(Box::new(omnipaxos::Idle::new(groups)?))),
        ),
        #[cfg(feature = "peers")]
        system::<omnipaxos::Group<true>>(omnipaxos::NAME_FULL, None),
        #[cfg(feature = "peers")]
        system::<raft_rs::Group>(
            raft_rs::NAME,
            Some(|groups| Ok(Box::new(raft_rs::Idle::new(groups)?))),
        ),
    ]
}

fn system<T: Trio>(name: &'static str, crowd: Option<Settle>) -> System {
    System { name, commit: commit::<T>, count: count::<T>, bare: bare::<T>, crowd }
}

fn commit<T: Trio>(corpus: &Corpus, batch: usize, entries: usize) -> Result<Duration, BenchError> {
    let mut group = warm::<T, Timed>(corpus, batch, entries)?;
    let started = Instant::now();
    run::<T, Timed>(&mut group, corpus, warm_up(batch), entries, batch)?;
    let took = started.elapsed();
    check::<T, Timed>(&group, corpus, warm_up(batch) + entries)?;
    Ok(took)
}

fn count<T: Trio>(corpus: &Corpus, batch: usize, entries: usize) -> Result<Tallies, BenchError> {
    let mut group = warm::<T, Counted>(corpus, batch, entries)?;
    let (result, tallies) =
        heap::counted(|| run::<T, Counted>(&mut group, corpus, warm_up(batch), entries, batch));
    result?;
    check::<T, Counted>(&group, corpus, warm_up(batch) + entries)?;
    Ok(tallies)
}

fn bare<T: Trio>(batch: usize, entries: usize, room: usize) -> Result<(), BenchError> {
    let corpus = Corpus::new();
    let mut group = warm::<T, Timed>(&corpus, batch, room)?;
    let result = run::<T, Timed>(&mut group, &corpus, warm_up(batch), entries, batch);
    // Taking a long log apart is no part of what is counted.
    std::mem::forget(group);
    result
}

/// Whole batches only: omnipaxos keeps an incomplete one back.
fn warm_up(batch: usize) -> usize {
    WARM_UP.next_multiple_of(batch)
}

fn warm<T: Trio, P: Pass>(corpus: &Corpus, batch: usize, room: usize) -> Result<T, BenchError> {
    let mut group = T::new(batch, warm_up(batch) + room)?;
    run::<T, P>(&mut group, corpus, 0, warm_up(batch), batch)?;
    Ok(group)
}

/// Commits the commands `from..from + entries`; over when every replica was handed all of them.
fn run<T: Trio, P: Pass>(
    group: &mut T,
    corpus: &Corpus,
    from: usize,
    entries: usize,
    batch: usize,
) -> Result<(), BenchError> {
    let end = from + entries;
    for at in (from..end).step_by(batch) {
        group.turn::<P>(corpus, at as u64, batch.min(end - at))?;
    }
    for turn in 0..PATIENCE {
        if group.ledgers().iter().all(|ledger| ledger.entries >= end as u64) {
            return Ok(());
        }
        // The first turns only finish what is under way.
        if turn > 2 {
            group.nudge()?;
        }
        group.turn::<P>(corpus, 0, 0)?;
    }
    Err(BenchError::Core(format!("of {end} entries were handed over: {:?}", group.ledgers())))
}

fn check<T: Trio, P: Pass>(group: &T, corpus: &Corpus, entries: usize) -> Result<(), BenchError> {
    let expected = corpus.ledger::<P>(entries);
    for (replica, found) in group.ledgers().into_iter().enumerate() {
        if found != expected {
            let what = format!("replica {replica} was handed {found:?}, not {expected:?}");
            return Err(BenchError::Core(what));
        }
    }
    Ok(())
}

/// The part that the replica at this position plays.
fn part(position: usize) -> Part {
    if position == 0 { Part::Leader } else { Part::Follower }
}

/// Memory for so many entries that is already mapped: the first touch of a page is no matter of
/// consensus.
fn mapped<T: Clone>(blank: &T, entries: usize) -> Vec<T> {
    let mut memory = vec![blank.clone(); entries];
    memory.clear();
    memory
}

/// An answer of a core that should not have been.
fn unexpected(error: impl std::fmt::Display) -> BenchError {
    BenchError::Core(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_core_commits_every_entry_everywhere() {
        let corpus = Corpus::new();
        for system in systems() {
            for batch in [1, 8, 64] {
                (system.commit)(&corpus, batch, 10 * batch).unwrap();
                let tallies = (system.count)(&corpus, batch, 10 * batch).unwrap();
                assert_eq!(tallies.of(Part::Payload).allocations, 0, "{}", system.name);
            }
        }
    }

    #[test]
    fn every_idle_group_keeps_its_leader() {
        for system in systems() {
            let Some(settle) = system.crowd else {
                continue;
            };
            let mut crowd = settle(100).unwrap();
            for _ in 0..3 * ELECTION_TICKS {
                crowd.tick().unwrap();
            }
            crowd.trim();
            crowd.check().unwrap();
        }
    }
}
