//! Equal configurations get equal changes: what comes of them must be equal.

use raft_core::{
    AppendEntriesReply, AppendOutcome, ConfChange, ConfChangeError, ConfState, ConfStep, Message,
    NodeId, PreVoteReply, RequestVoteReply, Term, Transition,
};

use super::divergence::{Divergence, Tally};
use super::model::{Replica, Setup, SharedHistory, Start};
use super::ours::Ours;
use super::random::Random;
use super::single::{SELF, conf};
use super::theirs::Theirs;

/// A random change of the nodes `1..=nodes`.
pub(crate) fn draw(random: &mut Random, nodes: u64) -> ConfChange {
    if random.percent(10) {
        return ConfChange::Leave;
    }
    let transition =
        random.pick(&[Transition::Auto, Transition::JointAuto, Transition::JointExplicit]);
    if random.percent(4) {
        let steps = (1..=nodes).map(|id| ConfStep::Remove(NodeId(id))).collect();
        return ConfChange::Steps { steps, transition };
    }
    let count = 1 + random.pick(&[0, 0, 1, 2]);
    let mut step = || {
        let node = NodeId(random.within(1, nodes));
        match random.below(3) {
            0 => ConfStep::AddVoter(node),
            1 => ConfStep::AddLearner(node),
            _ => ConfStep::Remove(node),
        }
    };
    ConfChange::Steps { steps: (0..count).map(|_| step()).collect(), transition }
}

fn tell_all(ours: &mut Ours, message: Message) {
    for member in 2..=6 {
        ours.handle(member, message.clone());
        ours.sync(usize::MAX);
        ours.apply(usize::MAX);
    }
}

/// Everybody votes for the replica, and has everything it has.
fn establish(ours: &mut Ours) {
    let term = Term(ours.view().term);
    ours.campaign();
    ours.sync(usize::MAX);
    let granted = true;
    let reply = PreVoteReply { term, asked: term.next(), granted };
    tell_all(ours, Message::PreVoteReply(reply));
    let term = term.next();
    tell_all(ours, Message::RequestVoteReply(RequestVoteReply { term, granted }));
    for _ in 0..2 {
        let outcome = AppendOutcome::Accepted { matched: ours.view().last().index };
        tell_all(ours, Message::AppendEntriesReply(AppendEntriesReply { term, outcome }));
    }
    assert!(ours.view().leads() && ours.view().commit == ours.view().last().index.0);
}

/// Runs one configuration and one change.
pub(crate) fn run(seed: u64, tally: &mut Tally) {
    let mut random = Random::new(seed);
    let setup = Setup { id: SELF, pre_vote: random.percent(50), check_quorum: true };
    let conf = loop {
        let conf = conf(&mut random);
        // A leader that the next configuration does not count makes room at once.
        if conf.voters.contains(&NodeId(SELF)) {
            break conf;
        }
    };
    let mut ours = Ours::boot(setup, &Start { conf, ..Start::default() }, SharedHistory::default());
    establish(&mut ours);
    // Left, if it was one to be left.
    let before = ours.view().conf;
    let start = Start { conf: before.clone(), ..Start::default() };
    let mut theirs = Theirs::boot(setup, &start, SharedHistory::default());
    let change = draw(&mut random, 6);
    let taken = ours.change(&change);
    let ours = (taken, ours.view().conf, ours.refusal);
    let conf = theirs.changed(&change);
    compare(&before, &change, &ours, conf, &mut theirs, tally);
}

fn compare(
    before: &ConfState,
    change: &ConfChange,
    (taken, ours, refusal): &(bool, ConfState, Option<ConfChangeError>),
    conf: Option<ConfState>,
    theirs: &mut Theirs,
    tally: &mut Tally,
) {
    let story = format!("{change:?} on {before:?}: {ours:?} {refusal:?} beside {conf:?}");
    let Some(conf) = conf else {
        tally.compared("changes refused");
        return assert!(!taken && ours == before, "{story}");
    };
    if conf == *ours && *taken {
        return tally.compared("changes taken");
    }
    if *taken {
        assert!(conf.is_joint() && !ours.is_joint(), "{story}");
        let left = theirs.changed(&ConfChange::Leave);
        assert_eq!(left.as_ref(), Some(ours), "{story}");
        return tally.note(Divergence::OneVoterAtATime);
    }
    assert_eq!(ours, before, "{story}");
    match refusal {
        Some(ConfChangeError::Contradiction(_)) => tally.note(Divergence::ContradictionIsRefused),
        Some(ConfChangeError::Unchanged) => {
            let (voters, learners) = (&conf.voters, [&conf.learners[..], &conf.learners_next]);
            let mut learners = learners.concat();
            learners.sort_unstable();
            assert!(*voters == before.voters && learners == before.learners, "{story}");
            tally.note(Divergence::UnchangedIsRefused);
        }
        _ => panic!("{story}"),
    }
}
