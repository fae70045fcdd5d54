//! Random inputs: mostly what correct members of the group might send, sometimes what none would.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use raft_core::{
    AppendEntries, AppendEntriesReply, AppendOutcome, ConfState, Entries, Entry, EntryKind,
    Heartbeat, HeartbeatReply, Index, InstallSnapshot, LogId, Message, NodeId, PreVote,
    PreVoteReply, RequestVote, RequestVoteReply, Role, SnapshotMeta, Term, TimeoutNow,
};

use super::{Ask, SELF};
use crate::model::{ELECTION_TICKS, Start, View};
use crate::random::Random;
use crate::translate::data_of;

/// A leader of some term and its log.
struct Leader {
    id: u64,
    log: Vec<LogId>,
}

/// The world around the replica.
pub(super) struct Scene {
    /// The log of the replica, with what it has compacted.
    log: Vec<LogId>,
    /// The others that lead, by term.
    leaders: BTreeMap<u64, Leader>,
    /// Terms which the replica itself has led.
    led: BTreeSet<u64>,
    commands: u64,
    /// Nothing was said so far that no correct member says.
    pub(super) honest: bool,
    /// The replica is to lead, and is mostly helped.
    ambitious: bool,
    /// What is to come next.
    plan: VecDeque<Ask>,
}

fn at(log: &[LogId], index: u64) -> LogId {
    index.checked_sub(1).map_or(LogId::default(), |place| log[place as usize])
}

impl Scene {
    pub(super) fn new(random: &mut Random, start: &Start) -> Self {
        let before = (1..=start.base.index.0).map(|i| LogId::new(start.base.term, Index(i)));
        let log = before.chain(start.entries.iter().copied()).collect();
        Self {
            log,
            leaders: BTreeMap::new(),
            led: BTreeSet::new(),
            commands: 1000,
            honest: true,
            ambitious: random.percent(50),
            plan: VecDeque::new(),
        }
    }

    /// Takes note of what became of the replica.
    pub(super) fn follow(&mut self, view: &View) {
        let first = view.log[0];
        let base = first.index.0;
        if base > 0 && self.log.get(base as usize - 1) != Some(&first) {
            // A snapshot brought what the leader has.
            let leader = self.leaders.get(&view.term).map_or(&[][..], |leader| &leader.log);
            let known = leader.iter().copied().take(base as usize);
            let blank = (1..=base).map(|i| LogId::new(first.term, Index(i)));
            let blank = blank.skip(known.len());
            self.log = known.chain(blank).collect();
        }
        self.log.truncate(base as usize);
        self.log.extend(&view.log[1..]);
        if view.leads() {
            self.led.insert(view.term);
        }
    }

    pub(super) fn draw(&mut self, random: &mut Random, view: &View) -> Ask {
        if let Some(ask) = self.plan.pop_front() {
            return ask;
        }
        let ambitious = self.ambitious && random.percent(60);
        match (view.role, random.below(100)) {
            (Role::Follower, _) if ambitious => Ask::Campaign,
            (Role::Candidate | Role::PreCandidate, _) if ambitious => {
                self.answer_candidate(random, view)
            }
            (Role::Leader, 60..) if ambitious => self.answer_leader(random, view),
            (_, 0..6) => Ask::Tick(random.within(1, 4)),
            (_, 6..8) => Ask::Tick(random.within(8, 12)),
            (Role::Leader, 8..20) => {
                self.commands += 1;
                Ask::Propose(self.commands)
            }
            (Role::Leader, 20..24) => Ask::Transfer(random.within(1, 5)),
            (Role::Leader, 24..34) => Ask::Sync,
            (Role::Leader, 34..85) => self.answer_leader(random, view),
            (Role::Follower, 8..16) | (_, 8..12) => Ask::Campaign,
            (Role::Candidate | Role::PreCandidate, 12..65) => self.answer_candidate(random, view),
            (Role::Follower, 64..67) if view.leader.is_some() => match view.vote {
                Some(loser) if loser != SELF && view.leader != Some(loser) => {
                    self.ask_again(view, loser)
                }
                _ => Ask::Tick(1),
            },
            (_, 65..80) => Self::of_candidate(random, view),
            (_, 80..81) => self.untimely(random, view),
            _ => self.of_leader(random, view),
        }
    }

    /// A loser's question comes once more, just before the leader's time is over.
    fn ask_again(&mut self, view: &View, loser: u64) -> Ask {
        let (term, last, half) = (Term(view.term), view.last(), ELECTION_TICKS / 2 + 1);
        let ask = |term| RequestVote { term, last, transfer: false };
        self.plan = VecDeque::from([
            Ask::Message(loser, Message::RequestVote(ask(term))),
            Ask::Tick(half),
            Ask::Message(loser, Message::RequestVote(ask(term.next()))),
        ]);
        Ask::Tick(half)
    }

    /// Somebody else asks for a vote.
    fn of_candidate(random: &mut Random, view: &View) -> Ask {
        let term =
            Term((view.term + random.pick(&[0, 1, 1, 1, 2])).max(1) - random.pick(&[0, 0, 0, 1]));
        let last = view.last();
        let last_term =
            (last.term.0 + random.pick(&[0, 0, 1])).saturating_sub(random.pick(&[0, 0, 1]));
        let index = (last.index.0 + random.below(3)).saturating_sub(random.below(3));
        let last_term = last_term.max(u64::from(index > 0)) * u64::from(index > 0);
        let last = LogId::new(Term(last_term.min(term.0)), Index(index));
        let term = term.max(Term(1));
        let message = if random.percent(50) {
            Message::PreVote(PreVote { term, last })
        } else {
            Message::RequestVote(RequestVote { term, last, transfer: random.percent(15) })
        };
        Ask::Message(random.within(2, 6), message)
    }

    /// An answer to the replica's own campaign, or to an older one.
    fn answer_candidate(&self, random: &mut Random, view: &View) -> Ask {
        let mut granted = random.percent(if self.ambitious { 92 } else { 70 });
        let term = Term(view.term + u64::from(!granted && random.percent(20)));
        let message = if view.role == Role::PreCandidate && random.percent(95) {
            Message::PreVoteReply(PreVoteReply { term, asked: Term(view.term + 1), granted })
        } else {
            let term = Term((term.0 - random.pick(&[0, 0, 0, 0, 1]).min(term.0)).max(1));
            granted &= term.0 <= view.term;
            Message::RequestVoteReply(RequestVoteReply { term, granted })
        };
        Ask::Message(random.within(2, 5), message)
    }

    /// An answer to entries or to a heartbeat.
    fn answer_leader(&self, random: &mut Random, view: &View) -> Ask {
        let from = random.within(2, 5);
        let peer = view.peers.iter().find(|peer| peer.0 == from);
        let (matched, next) = peer.map_or((0, 1), |peer| (peer.1, peer.2));
        let last = view.last().index.0;
        let term = Term((view.term - random.pick(&[0, 0, 0, 0, 0, 1])).max(1));
        if random.percent(15) {
            return Ask::Message(from, Message::HeartbeatReply(HeartbeatReply { term, round: 0 }));
        }
        let outcome = if random.percent(65) {
            AppendOutcome::Accepted { matched: Index(random.within(matched, last)) }
        } else {
            let prev =
                if random.percent(70) { next.saturating_sub(1) } else { random.below(last + 1) };
            let prev_term = self.log.get(prev as usize).map_or(view.term, |id| id.term.0);
            let index = random.below(prev + 1);
            let hint_term = random.below(prev_term + 1).max(u64::from(index > 0));
            let hint = LogId::new(Term(hint_term * u64::from(index > 0)), Index(index));
            AppendOutcome::Rejected { prev: Index(prev), hint, last: Index(index) }
        };
        let reply = AppendEntriesReply { term, outcome };
        Ask::Message(from, Message::AppendEntriesReply(reply))
    }

    /// The leader of the day sends something.
    fn of_leader(&mut self, random: &mut Random, view: &View) -> Ask {
        let term = self.elect(random, view);
        let common = self.common(term);
        let leader = self.leaders.get_mut(&term).expect("elected");
        for _ in 0..random.below(2) {
            leader.log.push(LogId::new(Term(term), Index(leader.log.len() as u64 + 1)));
        }
        let (id, log) = (leader.id, &leader.log);
        let length = log.len() as u64;
        let message = match random.below(20) {
            0..4 => {
                let commit = Index(random.below(common + 1));
                Message::Heartbeat(Heartbeat { term: Term(term), commit, round: 0 })
            }
            4..6 if length > 0 => {
                let last = at(log, random.within(1, length));
                let mut conf = view.conf.clone();
                if random.percent(10) {
                    conf = ConfState::of_voters([2, 3].map(NodeId));
                }
                let snapshot = SnapshotMeta { last, conf };
                Message::InstallSnapshot(InstallSnapshot {
                    term: Term(term),
                    snapshot: Box::new(snapshot),
                })
            }
            6 => Message::TimeoutNow(TimeoutNow { term: Term(term) }),
            _ => {
                let first = common.saturating_sub(random.below(4));
                let mut prev = (first + random.below(3)).min(length);
                if random.percent(90) {
                    // The two do not agree what to do with one that reaches across commit.
                    prev = prev.max(view.commit.min(length));
                }
                let end = (prev + random.below(5)).min(length);
                let commit = Index(random.below(length + 1));
                let entry = |i| {
                    let (id, kind) = (at(log, i), EntryKind::Normal);
                    Entry { id, kind, data: data_of(i) }
                };
                let entries = (prev + 1..=end).map(entry).collect();
                let prev = at(log, prev);
                Message::AppendEntries(AppendEntries { term: Term(term), prev, commit, entries })
            }
        };
        Ask::Message(id, message)
    }

    /// How long the replica's log is the leader's.
    fn common(&self, term: u64) -> u64 {
        let log = &self.leaders[&term].log;
        self.log.iter().zip(log).take_while(|(a, b)| a == b).count() as u64
    }

    /// The term of a leader that may speak now; makes one up if there is none.
    fn elect(&mut self, random: &mut Random, view: &View) -> u64 {
        let free = view.term > 0 && !self.led.contains(&view.term);
        if free && (view.leader.is_some() || random.percent(70)) {
            if random.percent(8) {
                if let Some((term, _)) = self.leaders.range(..view.term).next_back() {
                    return *term;
                }
            }
            self.make_leader(random, view, view.term);
            return view.term;
        }
        let term = view.term + random.within(1, 2);
        self.make_leader(random, view, term);
        term
    }

    fn make_leader(&mut self, random: &mut Random, view: &View, term: u64) {
        if self.leaders.contains_key(&term) {
            return;
        }
        let last = view.last();
        // Nobody but its leader makes entries of a term, so who has one has all before.
        let kept = if last.term.0 == term {
            last.index.0
        } else {
            random.within(view.commit, last.index.0)
        };
        let mut log = self.log[..kept as usize].to_vec();
        let taken: Vec<_> = self.log[kept as usize..].iter().map(|id| id.term.0).collect();
        for _ in 0..random.below(4) {
            let low = at(&log, kept.min(log.len() as u64))
                .term
                .0
                .max(at(&log, log.len() as u64).term.0)
                .max(1);
            if low >= term || last.term.0 == term {
                break;
            }
            let of = random.within(low, term - 1);
            if !taken.contains(&of) {
                log.push(LogId::new(Term(of), Index(log.len() as u64 + 1)));
            }
        }
        self.leaders.insert(term, Leader { id: random.within(2, 5), log });
        // Older leaders may know nothing of what is committed by now, and are never heard again.
    }

    /// What no correct member sends.
    fn untimely(&mut self, random: &mut Random, view: &View) -> Ask {
        self.honest = false;
        let term = Term(view.term.max(1));
        let commit = Index(view.last().index.0 + random.below(2));
        let message = match random.below(3) {
            0 => Message::Heartbeat(Heartbeat { term, commit, round: 0 }),
            1 => {
                let prev = LogId::new(term, Index(random.within(1, view.last().index.0 + 1)));
                let entries = Entries::default();
                Message::AppendEntries(AppendEntries { term, prev, commit, entries })
            }
            _ => {
                let last = LogId::new(term, Index(random.within(1, view.last().index.0.max(1))));
                let snapshot = SnapshotMeta { last, conf: view.conf.clone() };
                Message::InstallSnapshot(InstallSnapshot { term, snapshot: Box::new(snapshot) })
            }
        };
        Ask::Message(random.within(2, 5), message)
    }
}
