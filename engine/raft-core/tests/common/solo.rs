//! One replica under test; the test plays everyone else.

use raft_core::{
    AppendEntries, AppendEntriesReply, AppendOutcome, Applied, Bytes, ConfChange, ConfState,
    Config, Entry, EntryKind, Event, Fault, HardState, Heartbeat, HeartbeatReply, Index,
    InstallSnapshot, LogId, Message, NodeId, PreVote, PreVoteReply, RaftCore, ReadId, ReadOutcome,
    Ready, RequestVote, RequestVoteReply, Role, SnapshotMeta, Term, Tick, TimeoutNow,
};

use super::disk::Disk;
use super::id;

/// Election timeout in the tests, in ticks.
pub(crate) const TIMEOUT: u64 = 10;

/// Node 1 of a group, on its disk. Outputs pile up in `sent`, `applied`, `reads` and `events`.
pub(crate) struct Solo {
    pub(crate) core: RaftCore<Disk>,
    pub(crate) disk: Disk,
    pub(crate) sent: Vec<(u64, Message)>,
    pub(crate) applied: Vec<Entry>,
    pub(crate) reads: Vec<(u64, ReadOutcome)>,
    pub(crate) events: Vec<Event>,
    /// Hard states handed out.
    pub(crate) hard: Vec<HardState>,
    /// Persist at once, as most tests want it.
    pub(crate) auto_sync: bool,
    /// Apply at once.
    pub(crate) auto_apply: bool,
    ready: Ready,
}

pub(crate) fn config() -> Config {
    Config {
        election_timeout_ticks: TIMEOUT,
        heartbeat_interval_ticks: 2,
        pre_vote: false,
        ..Config::new(NodeId(1))
    }
}

pub(crate) fn entry(term: u64, index: u64) -> Entry {
    let data = Bytes::from(format!("{term}/{index}"));
    Entry { id: id(term, index), kind: EntryKind::Normal, data }
}

/// An entry that holds a configuration.
pub(crate) fn conf_entry(term: u64, index: u64, conf: &ConfState) -> Entry {
    Entry { id: id(term, index), kind: EntryKind::ConfChange, data: conf.encode() }
}

/// A plain configuration of these voters and learners.
pub(crate) fn members(voters: &[u64], learners: &[u64]) -> ConfState {
    let nodes = |list: &[u64]| list.iter().copied().map(NodeId).collect::<Vec<_>>();
    ConfState { learners: nodes(learners), ..ConfState::of_voters(nodes(voters)) }
}

/// The joint configuration on the way from the one to the other.
pub(crate) fn joint(from: &[u64], to: &[u64]) -> ConfState {
    ConfState { voters_outgoing: members(from, &[]).voters, ..members(to, &[]) }
}

/// A disk that holds entries of these terms from index 1, in the term of the last one.
pub(crate) fn disk_with(voters: &[u64], terms: &[u64], commit: u64) -> Disk {
    let disk = Disk::new(voters);
    let mut platter = disk.platter.borrow_mut();
    platter.entries = (1..).zip(terms).map(|(i, t)| entry(*t, i)).collect();
    platter.hard = HardState {
        term: Term(terms.last().copied().unwrap_or(0)),
        vote: None,
        commit: Index(commit),
    };
    drop(platter);
    disk
}

impl Solo {
    pub(crate) fn new(voters: &[u64]) -> Self {
        Self::on(config(), Disk::new(voters))
    }

    pub(crate) fn on(config: Config, disk: Disk) -> Self {
        let core = RaftCore::new(config, disk.clone()).unwrap();
        Self {
            core,
            disk,
            sent: Vec::new(),
            applied: Vec::new(),
            reads: Vec::new(),
            events: Vec::new(),
            hard: Vec::new(),
            auto_sync: true,
            auto_apply: true,
            ready: Ready::default(),
        }
    }

    /// A leader of the term after the stored one, its opening entry durable here only.
    pub(crate) fn leader_on(config: Config, disk: Disk) -> Self {
        let mut solo = Self::on(config, disk);
        solo.elect();
        solo
    }

    pub(crate) fn leader(voters: &[u64]) -> Self {
        Self::leader_on(config(), Disk::new(voters))
    }

    /// Campaigns, with the votes of as many others as it takes.
    pub(crate) fn elect(&mut self) {
        self.core.handle_campaign();
        self.turn();
        for voter in self.voters() {
            let term = self.core.term();
            if self.core.role() == Role::PreCandidate && voter != NodeId(1) {
                let m = PreVoteReply { term, asked: term.next(), granted: true };
                self.core.handle_message(voter, Message::PreVoteReply(m)).unwrap();
                self.turn();
            }
        }
        for voter in self.voters() {
            let term = self.core.term();
            if self.core.role() == Role::Candidate && voter != NodeId(1) {
                let m = RequestVoteReply { term, granted: true };
                self.core.handle_message(voter, Message::RequestVoteReply(m)).unwrap();
            }
        }
        self.turn();
        assert_eq!(self.core.role(), Role::Leader);
    }

    /// Who votes, in the new configuration or in the old one.
    fn voters(&self) -> Vec<NodeId> {
        let conf = self.core.conf();
        [&conf.voters[..], &conf.voters_outgoing[..]].concat()
    }

    /// Polls, persists and applies until nothing more comes.
    pub(crate) fn turn(&mut self) {
        loop {
            while self.core.has_ready() {
                self.poll();
            }
            if !self.auto_sync || self.disk.writes() == 0 {
                return;
            }
            self.sync();
        }
    }

    /// One poll.
    pub(crate) fn poll(&mut self) {
        let mut ready = std::mem::take(&mut self.ready);
        self.core.poll_ready(&mut ready);
        self.hard.extend(ready.hard_state);
        self.disk.write(&mut ready);
        self.sent.extend(ready.messages.drain(..).map(|(to, m)| (to.0, m)));
        self.reads.extend(ready.reads.drain(..).map(|(id, o)| (id.0, o)));
        self.events.append(&mut ready.events);
        let last = ready.committed_entries.last().map(|e| e.id.index);
        self.applied.extend(ready.committed_entries.to_vec());
        if let Some(last) = last.filter(|_| self.auto_apply) {
            self.core.handle_applied(Applied(last));
        }
        self.ready = ready;
    }

    /// Syncs everything written so far.
    pub(crate) fn sync(&mut self) {
        let writes = self.disk.writes();
        if let Some(receipt) = self.disk.sync(writes) {
            self.core.handle_persisted(receipt);
        }
    }

    /// Syncs the oldest write only.
    pub(crate) fn sync_one(&mut self) {
        let receipt = self.disk.sync(1).expect("a write");
        self.core.handle_persisted(receipt);
    }

    /// The replica dies with what is not synced, and comes back.
    pub(crate) fn restart(self) -> Self {
        self.disk.crash(0, false);
        let config = self.core.config().clone();
        Self::on(config, self.disk)
    }

    /// Messages sent since the last look.
    pub(crate) fn take(&mut self) -> Vec<(u64, Message)> {
        std::mem::take(&mut self.sent)
    }

    /// As [`Solo::take`], for one receiver.
    pub(crate) fn take_for(&mut self, to: u64) -> Vec<Message> {
        self.take().into_iter().filter(|(n, _)| *n == to).map(|(_, m)| m).collect()
    }

    pub(crate) fn step(&mut self, from: u64, message: Message) {
        self.core.handle_message(NodeId(from), message).unwrap();
        self.turn();
    }

    pub(crate) fn ticks(&mut self, n: u64) {
        for _ in 0..n {
            self.core.handle_time(Tick(self.core.now().0 + 1));
            self.turn();
        }
    }

    pub(crate) fn propose(&mut self, data: &str) -> LogId {
        let id = self.core.handle_proposal(Bytes::from(data.to_owned())).unwrap();
        self.turn();
        id
    }

    pub(crate) fn read(&mut self, read: u64) {
        self.core.handle_read(ReadId(read)).unwrap();
        self.turn();
    }

    /// Changes the members; the entry is durable here only.
    pub(crate) fn change(&mut self, change: &ConfChange) -> LogId {
        let id = self.core.handle_conf_change(change).unwrap();
        self.turn();
        id
    }

    /// Begins to hand leadership over.
    pub(crate) fn transfer(&mut self, to: u64) {
        self.core.handle_transfer(NodeId(to)).unwrap();
        self.turn();
    }

    /// Takes a snapshot that ends at `index`, drops the log up to there, and says so.
    pub(crate) fn compact(&mut self, index: u64) {
        self.disk.compact(Index(index), Index(index));
        self.core.handle_compacted(Index(index));
        self.turn();
    }

    /// Why the replica stopped.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.events.iter().find_map(|e| if let Event::Fault(f) = e { Some(*f) } else { None })
    }

    pub(crate) fn last(&self) -> LogId {
        self.core.status().last
    }

    pub(crate) fn term(&self) -> u64 {
        self.core.term().0
    }
}

pub(crate) fn append(term: u64, prev: LogId, commit: u64, entries: &[(u64, u64)]) -> Message {
    let entries = entries.iter().map(|(t, i)| entry(*t, *i)).collect();
    append_entries(term, prev, commit, entries)
}

/// As [`append`], of whole entries.
pub(crate) fn append_entries(term: u64, prev: LogId, commit: u64, entries: Vec<Entry>) -> Message {
    let (term, commit) = (Term(term), Index(commit));
    Message::AppendEntries(AppendEntries { term, prev, commit, entries: entries.into() })
}

pub(crate) fn snapshot(term: u64, last: LogId, conf: &ConfState) -> Message {
    let snapshot = Box::new(SnapshotMeta { last, conf: conf.clone() });
    Message::InstallSnapshot(InstallSnapshot { term: Term(term), snapshot })
}

pub(crate) fn timeout_now(term: u64) -> Message {
    Message::TimeoutNow(TimeoutNow { term: Term(term) })
}

pub(crate) fn accepted(term: u64, matched: u64) -> Message {
    let outcome = AppendOutcome::Accepted { matched: Index(matched) };
    Message::AppendEntriesReply(AppendEntriesReply { term: Term(term), outcome })
}

pub(crate) fn rejected(term: u64, prev: u64, hint: LogId, last: u64) -> Message {
    let outcome = AppendOutcome::Rejected { prev: Index(prev), hint, last: Index(last) };
    Message::AppendEntriesReply(AppendEntriesReply { term: Term(term), outcome })
}

pub(crate) fn stale(term: u64) -> Message {
    let outcome = AppendOutcome::Stale;
    Message::AppendEntriesReply(AppendEntriesReply { term: Term(term), outcome })
}

pub(crate) fn heartbeat(term: u64, commit: u64, round: u64) -> Message {
    Message::Heartbeat(Heartbeat { term: Term(term), commit: Index(commit), round })
}

pub(crate) fn heartbeat_reply(term: u64, round: u64) -> Message {
    Message::HeartbeatReply(HeartbeatReply { term: Term(term), round })
}

pub(crate) fn ask_vote(term: u64, last: LogId) -> Message {
    Message::RequestVote(RequestVote { term: Term(term), last, transfer: false })
}

/// A vote asked for because the leader wants it so.
pub(crate) fn ask_transfer_vote(term: u64, last: LogId) -> Message {
    Message::RequestVote(RequestVote { term: Term(term), last, transfer: true })
}

pub(crate) fn vote(term: u64, granted: bool) -> Message {
    Message::RequestVoteReply(RequestVoteReply { term: Term(term), granted })
}

pub(crate) fn ask_pre_vote(term: u64, last: LogId) -> Message {
    Message::PreVote(PreVote { term: Term(term), last })
}

pub(crate) fn pre_vote(term: u64, asked: u64, granted: bool) -> Message {
    Message::PreVoteReply(PreVoteReply { term: Term(term), asked: Term(asked), granted })
}

/// The AppendEntries among these messages, as (prev, commit, last entry or prev).
pub(crate) fn appends(messages: &[Message]) -> Vec<(LogId, u64, LogId)> {
    let append = |m: &Message| match m {
        Message::AppendEntries(a) => {
            Some((a.prev, a.commit.0, a.entries.last().map_or(a.prev, |e| e.id)))
        }
        _ => None,
    };
    messages.iter().filter_map(append).collect()
}
