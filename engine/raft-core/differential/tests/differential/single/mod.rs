//! One replica of each implementation, in equal states, gets equal inputs: what it answers and what
//! becomes of it must be equal.

mod asks;
mod start;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use raft_core::{AppendEntriesReply, AppendOutcome, Message, Role, SnapshotMeta, Term};

use super::divergence::{Divergence, Tally};
use super::model::{Replica, Setup, SharedHistory, Start, View};
use super::ours::Ours;
use super::random::Random;
use super::theirs::Theirs;
use super::translate::{to_ours, to_theirs};
use asks::Scene;
pub(crate) use start::conf;

/// The replica.
pub(crate) const SELF: u64 = 1;
/// Inputs to one pair of replicas.
const ASKS: u64 = 24;

/// One input.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Message(u64, Message),
    Tick(u64),
    Campaign,
    Propose(u64),
    Transfer(u64),
    /// The disk has caught up. A leader's need not at once.
    Sync,
}

impl Ask {
    /// The message, if it is one.
    pub(crate) fn message(&self) -> Option<&Message> {
        if let Self::Message(_, message) = self { Some(message) } else { None }
    }
}

/// What an input led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) view: View,
    /// Everything sent but entries: how these are cut into messages is each one's own affair, and
    /// the view says how far they went.
    pub(crate) sent: Vec<(u64, Message)>,
}

/// An input, the state before it, and both outcomes.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) setup: Setup,
    pub(crate) before: View,
    pub(crate) ask: Ask,
    /// Nothing was said so far that no correct member says.
    pub(crate) honest: bool,
    /// Somebody has refused its vote and then given it.
    pub(crate) wavered: bool,
    /// It has given its vote again since it last heard from the leader.
    pub(crate) revoted: bool,
    pub(crate) ours: Outcome,
    pub(crate) theirs: Outcome,
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Panics of raft-rs, which is how it stops, are not printed.
pub(crate) fn hush() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !QUIET.get() {
            usual(info);
        }
    }));
}

struct Pair {
    setup: Setup,
    ours: Ours,
    theirs: Theirs,
    /// It has panicked.
    theirs_stopped: bool,
    /// Who has answered the campaign that is going on, and how first.
    answers: BTreeMap<u64, bool>,
    wavered: bool,
    revoted: bool,
}

impl Pair {
    fn boot(setup: Setup, start: &Start) -> Self {
        let history = SharedHistory::default;
        let (ours, theirs) =
            (Ours::boot(setup, start, history()), Theirs::boot(setup, start, history()));
        Self {
            setup,
            ours,
            theirs,
            theirs_stopped: false,
            answers: BTreeMap::new(),
            wavered: false,
            revoted: false,
        }
    }

    /// Gives the input to both.
    fn ask(&mut self, ask: Ask, honest: bool, sync: bool) -> Case {
        let before = self.ours.view();
        self.note_answer(&before, &ask);
        self.note_vote(&before, &ask);
        act(&mut self.ours, &ask, |_, message| message.clone());
        // What a leader does does not wait for its disk; everything else does.
        let sync = sync || !before.leads() || !self.ours.view().leads();
        settle(&mut self.ours, sync);
        QUIET.set(true);
        let theirs = &mut self.theirs;
        let result = catch_unwind(AssertUnwindSafe(|| {
            act(theirs, &ask, |from, message| to_theirs(from, SELF, message));
            settle(theirs, sync);
        }));
        QUIET.set(false);
        self.theirs_stopped |= result.is_err();
        let sent = self.ours.take_sent();
        let ours = Outcome { view: self.ours.view(), sent: plain(sent, &before, &ask) };
        let theirs = if self.theirs_stopped {
            Outcome { view: View { stopped: true, ..ours.view.clone() }, sent: Vec::new() }
        } else {
            let sent = self.theirs.take_sent();
            let sent = sent.iter().map(|(to, m)| (*to, to_ours(m))).collect();
            Outcome { view: self.theirs.view(), sent: plain(sent, &before, &ask) }
        };
        let (setup, wavered, revoted) = (self.setup, self.wavered, self.revoted);
        if (before.term, before.role) != (ours.view.term, ours.view.role) {
            self.answers.clear();
            self.wavered = false;
        }
        Case { setup, before, ask, honest, wavered, revoted, ours, theirs }
    }

    fn note_vote(&mut self, before: &View, ask: &Ask) {
        match ask {
            Ask::Message(from, Message::RequestVote(m))
                if m.term.0 == before.term && before.vote == Some(*from) =>
            {
                self.revoted |= before.leader.is_some();
            }
            Ask::Message(from, message) if before.leader == Some(*from) => {
                self.revoted &= message.is_reply() || message.term().0 != before.term;
            }
            _ => {}
        }
    }

    fn note_answer(&mut self, before: &View, ask: &Ask) {
        let (from, granted) = match (ask, before.role) {
            (Ask::Campaign, _) => {
                self.answers.clear();
                self.wavered = false;
                return;
            }
            (Ask::Message(from, Message::PreVoteReply(m)), Role::PreCandidate) => (from, m.granted),
            (Ask::Message(from, Message::RequestVoteReply(m)), Role::Candidate)
                if m.term.0 == before.term =>
            {
                (from, m.granted)
            }
            _ => return,
        };
        let first = *self.answers.entry(*from).or_insert(granted);
        self.wavered |= granted && !first;
    }
}

fn act<R: Replica>(replica: &mut R, ask: &Ask, translate: impl Fn(u64, &Message) -> R::Message) {
    match ask {
        Ask::Message(from, message) => replica.handle(*from, translate(*from, message)),
        Ask::Tick(count) => (0..*count).for_each(|_| replica.tick()),
        Ask::Campaign => replica.campaign(),
        Ask::Propose(command) => drop(replica.propose(*command)),
        Ask::Transfer(to) => replica.transfer(*to),
        Ask::Sync => {}
    }
}

fn settle<R: Replica>(replica: &mut R, sync: bool) {
    while sync && replica.writes() > 0 || replica.pending() > 0 {
        replica.sync(usize::from(sync) * replica.writes());
        replica.apply(replica.pending());
    }
}

/// What was sent without what only one of them says.
fn plain(sent: Vec<(u64, Message)>, before: &View, ask: &Ask) -> Vec<(u64, Message)> {
    let stale = ask.message().is_some_and(|m| m.term().0 < before.term);
    let mut plain: Vec<_> = sent
        .into_iter()
        .filter(|(_, message)| !matches!(message, Message::AppendEntries(_)))
        .map(|(to, message)| (to, plain_message(message, stale)))
        .collect();
    plain.sort_by_key(|(to, _)| *to);
    plain
}

fn plain_message(mut message: Message, stale: bool) -> Message {
    match &mut message {
        Message::PreVoteReply(m) => {
            m.asked = Term(0);
            if m.granted {
                m.term = Term(0);
            }
        }
        Message::AppendEntriesReply(AppendEntriesReply { outcome, .. }) => {
            if stale {
                *outcome = AppendOutcome::Stale;
            } else if let AppendOutcome::Rejected { last, .. } = outcome {
                last.0 = 0;
            }
        }
        // They answer every leader of a term that is over alike.
        Message::HeartbeatReply(m) if stale => {
            let (term, outcome) = (m.term, AppendOutcome::Stale);
            message = Message::AppendEntriesReply(AppendEntriesReply { term, outcome });
        }
        Message::HeartbeatReply(m) => m.round = 0,
        Message::Heartbeat(m) => m.round = 0,
        // What is in it is the host's affair.
        Message::InstallSnapshot(m) => *m.snapshot = SnapshotMeta::default(),
        _ => {}
    }
    message
}

/// What was asked, and of whom.
fn name(case: &Case) -> String {
    let what = match case.ask.message() {
        Some(message) => format!("{message:?}"),
        None => format!("{:?}", case.ask),
    };
    let what = what.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    format!("{what} to a {:?}", case.before.role)
}

/// Runs one pair. Panics where they differ and nobody has said so.
pub(crate) fn run(seed: u64, tally: &mut Tally) {
    let mut random = Random::new(seed);
    let (setup, start) = start::draw(&mut random);
    let mut pair = Pair::boot(setup, &start);
    let mut scene = Scene::new(&mut random, &start);
    assert_eq!(pair.ours.view(), pair.theirs.view(), "from {start:?}");
    let mut script = Vec::new();
    for _ in 0..ASKS {
        let view = pair.ours.view();
        let ask = scene.draw(&mut random, &view);
        script.push(ask.clone());
        let sync = matches!(ask, Ask::Sync) || random.percent(70);
        let case = pair.ask(ask, scene.honest, sync);
        tally.compared(name(&case));
        if case.ours != case.theirs {
            let Some(declared) = Divergence::of(&case) else {
                panic!("{setup:?}\nfrom {start:#?}\nby {script:#?}\nthey differ in {case:#?}");
            };
            tally.note(declared);
        }
        // What follows a lie is of no interest. A `TimeoutNow` that leads to nothing is a sign of
        // life to us and not to them, which shows only much later.
        let idle = matches!(case.ask.message(), Some(Message::TimeoutNow(_)))
            && case.ours.view.role == Role::Follower;
        if idle || case.ours.view != case.theirs.view || !scene.honest {
            return;
        }
        scene.follow(&case.ours.view);
    }
}
