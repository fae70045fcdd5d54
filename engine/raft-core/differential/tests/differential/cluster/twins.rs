//! A cluster of each implementation under one schedule.

use raft_core::{ConfChangeError, ConfState, NodeId};

use super::schedule::{self, Names};
use super::{Action, Cluster};
use crate::divergence::{Divergence, Tally};
use crate::model::{Replica, Setup};
use crate::ours::Ours;
use crate::random::Random;
use crate::theirs::Theirs;

/// Actions between two points of synchronisation.
const ACTIONS: u64 = 150;

struct Twins<'a> {
    ours: Cluster<Ours>,
    theirs: Cluster<Theirs>,
    size: u64,
    names: Names,
    tally: &'a mut Tally,
    trace: bool,
}

/// What is known of a time with one leader.
struct Calm {
    leader: u64,
    marks: [usize; 2],
    terms: [Option<u64>; 2],
    /// Commands taken by both.
    commands: Vec<u64>,
    /// Both took and refused the same changes.
    changed_alike: bool,
}

/// Runs one schedule.
pub(crate) fn run(seed: u64, tally: &mut Tally) {
    let mut random = Random::new(seed);
    let size = random.within(3, 5);
    let first = random.within(3.min(size), size);
    let conf = ConfState::of_voters((1..=first).map(NodeId));
    let setup = Setup { id: 1, pre_vote: random.percent(60), check_quorum: random.percent(60) };
    let mut twins = Twins {
        ours: Cluster::new(setup, size, &conf),
        theirs: Cluster::new(setup, size, &conf),
        size,
        names: Names::default(),
        tally,
        trace: std::env::var("RAFT_TRACE").is_ok(),
    };
    for _ in 0..3 {
        if random.percent(60) {
            for _ in 0..ACTIONS {
                let action = schedule::chaos(&mut random, size, &mut twins.names);
                twins.act(&action);
            }
        }
        let conf = members(&mut random, size);
        let leader = random.pick(&conf.voters).0;
        twins.align(&conf, leader);
        twins.calm(&mut random, leader);
        if random.percent(40) {
            twins.exile(&mut random, leader);
        }
    }
}

/// The members for a while: three voters at least.
fn members(random: &mut Random, size: u64) -> ConfState {
    let mut nodes: Vec<_> = (1..=size).map(NodeId).collect();
    let mut conf = ConfState::default();
    while nodes.len() > 3 && random.percent(50) {
        let node = nodes.remove(random.below(nodes.len() as u64) as usize);
        if random.percent(60) {
            conf.learners.push(node);
        }
    }
    conf.learners.sort_unstable();
    conf.voters = nodes;
    conf
}

impl Twins<'_> {
    fn act(&mut self, action: &Action) -> (bool, bool) {
        if self.trace {
            eprintln!("{action:?}");
        }
        (self.ours.act(action), self.theirs.act(action))
    }

    /// Both come to rest with these members and this leader.
    fn align(&mut self, conf: &ConfState, leader: u64) {
        self.ours.align(conf, leader);
        self.theirs.align(conf, leader);
        self.ours.commands(conf, 0);
        self.theirs.commands(conf, 0);
        self.check();
        self.tally.compared("synchronisations");
    }

    fn check(&mut self) {
        self.ours.check();
        self.theirs.check();
        assert_eq!(self.ours.stranded, 0, "who is ahead in terms is heard (thesis 3.3)");
        let stranded = std::mem::take(&mut self.theirs.stranded);
        (0..stranded).for_each(|_| self.tally.note(Divergence::StaleSenderIsTold));
        for id in 1..=self.size {
            let node = self.theirs.node(id);
            let overstayed = std::mem::take(&mut node.overstayed);
            let rash = std::mem::take(&mut node.rash);
            (0..overstayed).for_each(|_| self.tally.note(Divergence::RemovedLeaderMakesRoom));
            (0..rash).for_each(|_| self.tally.note(Divergence::OwnVoteIsDurable));
        }
    }

    /// A time in which nobody wants another leader: the two histories grow alike.
    fn calm(&mut self, random: &mut Random, leader: u64) {
        let mut calm = Calm {
            leader,
            marks: [self.ours.applied(), self.theirs.applied()],
            terms: self.terms(leader),
            commands: Vec::new(),
            changed_alike: true,
        };
        for _ in 0..ACTIONS {
            let action = schedule::calm(random, self.size, leader, &mut self.names);
            let taken = self.act(&action);
            if self.terms(leader) != calm.terms {
                continue;
            }
            match action {
                Action::Propose(_, command) => {
                    assert_eq!(taken, (true, true), "both lead and take {command}");
                    calm.commands.push(command);
                }
                Action::Change(..) => self.compare_change(taken, &mut calm),
                Action::Read(..) => {
                    assert_eq!(taken, (true, true), "both lead and take the read");
                    self.tally.compared("reads of leaders");
                }
                _ => {}
            }
        }
        self.compare(&calm);
    }

    /// A time in which an old leader does not know that there may be another.
    fn exile(&mut self, random: &mut Random, leader: u64) {
        for action in schedule::cut_off(self.size, leader) {
            self.act(&action);
        }
        for _ in 0..ACTIONS {
            let action = schedule::exile(random, self.size, leader, &mut self.names);
            let taken = self.act(&action);
            if matches!(action, Action::Read(..)) && taken == (true, true) {
                self.tally.compared("reads of leaders cut off");
            }
        }
    }

    /// The terms which the node leads in both.
    fn terms(&mut self, id: u64) -> [Option<u64>; 2] {
        [self.ours.node(id).leads(), self.theirs.node(id).leads()]
    }

    fn compare_change(&mut self, taken: (bool, bool), calm: &mut Calm) {
        let refusal = self.ours.node(calm.leader).refusal;
        let unapplied = self.theirs.node(calm.leader).awaits_apply();
        let divergence = match (taken, refusal) {
            ((true, true), _) => return self.tally.compared("changes taken by leaders"),
            ((false, false), _) => return self.tally.compared("changes refused by leaders"),
            ((true, false), _) if unapplied => Some(Divergence::ChangeNeedNotBeApplied),
            ((false, true), Some(ConfChangeError::Unchanged)) => {
                Some(Divergence::UnchangedIsRefused)
            }
            ((false, true), Some(ConfChangeError::Contradiction(_))) => {
                Some(Divergence::ContradictionIsRefused)
            }
            ((false, true), Some(ConfChangeError::NoVoters)) => Some(Divergence::NoVotersIsRefused),
            // One of them is further: how many messages it takes is each one's own affair.
            _ => None,
        };
        calm.changed_alike = false;
        match divergence {
            Some(divergence) => self.tally.note(divergence),
            None => self.tally.compared("changes too early for one"),
        }
    }

    fn compare(&mut self, calm: &Calm) {
        self.ours.settle();
        self.theirs.settle();
        self.check();
        if self.terms(calm.leader) != calm.terms {
            return self.tally.compared("leaders lost on the way");
        }
        let ours = self.ours.node(calm.leader).view();
        let theirs = self.theirs.node(calm.leader).view();
        let commands = [
            self.ours.commands(&ours.conf, calm.marks[0]),
            self.theirs.commands(&theirs.conf, calm.marks[1]),
        ];
        for commands in commands {
            assert_eq!(commands, calm.commands, "what was taken is there, in order");
        }
        self.tally.compared("histories under one leader");
        if calm.changed_alike {
            assert_eq!(ours.conf, theirs.conf, "the same changes have the same outcome");
            self.tally.compared("configurations under one leader");
        }
    }
}
