//! The laws of quorums, on random configurations against what they mean word for word.

use alloc::vec::Vec;

use super::{Members, Tally, Votes};
use crate::conf_change::{ConfChange, ConfState, ConfStep, Transition};
use crate::ids::NodeId;
use crate::rng::Rng;

/// Nodes 1 to this, so that a set of nodes is a byte.
const NODES: u64 = 7;
const RUNS: usize = 3000;

/// A set of nodes: bit `n - 1` is node `n`.
type Set = u8;
const ALL: Set = (1 << NODES) - 1;

fn bit(id: NodeId) -> Set {
    1 << (id.0 - 1)
}

/// More than half of the voters; in a joint configuration of either list (thesis 4.3).
fn decides(conf: &ConfState, set: Set) -> bool {
    let half = |voters: &Vec<NodeId>| {
        let inside = voters.iter().filter(|id| set & bit(**id) != 0).count();
        voters.is_empty() || 2 * inside > voters.len()
    };
    half(&conf.voters) && half(&conf.voters_outgoing)
}

fn nodes(rng: &mut Rng, among: Set) -> Vec<NodeId> {
    let drawn = rng.below(u64::from(ALL) + 1) as Set & among;
    (1..=NODES).map(NodeId).filter(|id| drawn & bit(*id) != 0).collect()
}

/// A configuration with voters: plain or joint, with learners or without.
fn conf(rng: &mut Rng) -> ConfState {
    loop {
        let voters = nodes(rng, ALL);
        let voters_outgoing = if rng.below(2) == 0 { nodes(rng, ALL) } else { Vec::new() };
        let set = |list: &[NodeId]| list.iter().fold(0, |set, id| set | bit(*id));
        let (new, old) = (set(&voters), set(&voters_outgoing));
        let learners = nodes(rng, ALL & !new & !old);
        let learners_next = nodes(rng, old & !new);
        let conf =
            ConfState { voters, voters_outgoing, learners, learners_next, auto_leave: false };
        if conf.is_sound() && !conf.voters.is_empty() {
            return conf;
        }
    }
}

/// Some change of the members that goes through a joint configuration, or the shortest way.
fn change(rng: &mut Rng, conf: &ConfState, transition: Transition) -> Option<ConfState> {
    let step = |id| match rng.below(8) {
        0 | 1 => Some(ConfStep::AddVoter(id)),
        2 => Some(ConfStep::AddLearner(id)),
        3 | 4 => Some(ConfStep::Remove(id)),
        _ => None,
    };
    let steps = (1..=NODES).map(NodeId).filter_map(step).collect();
    conf.changed(&ConfChange::Steps { steps, transition }).ok()
}

/// Every set that decides in the one meets every set that decides in the other.
fn assert_meet(one: &ConfState, other: &ConfState) {
    for set in 0..=ALL {
        let apart = decides(one, set) && decides(other, ALL & !set);
        assert!(!apart, "{set:#b} decides in {one:?}, and without it {other:?} decides");
    }
}

#[test]
fn reached_is_the_largest_value_that_a_deciding_set_has() {
    let mut rng = Rng::new(1, 1);
    for _ in 0..RUNS {
        let conf = conf(&mut rng);
        let members = Members::new(&conf);
        let values: Vec<u64> = members.ids().map(|_| rng.below(6)).collect();
        let at_least = |v| {
            let has = |(id, value): (NodeId, &u64)| if *value >= v { bit(id) } else { 0 };
            members.ids().zip(&values).map(has).fold(0, |set, bit| set | bit)
        };
        let expected = (0..6).rev().find(|v| decides(&conf, at_least(*v)));
        let reached = members.reached(|p| values[p]);
        assert_eq!(Some(reached), expected, "{values:?} in {conf:?}");
    }
}

#[test]
fn an_election_is_won_when_its_grants_decide_and_lost_when_they_never_can() {
    let mut rng = Rng::new(2, 1);
    let mut seen = [0; 3];
    for _ in 0..RUNS {
        let conf = conf(&mut rng);
        let members = Members::new(&conf);
        let mut votes = Votes::default();
        votes.start(members.len());
        let (mut granted, mut open) = (0, ALL);
        for (position, id) in members.ids().enumerate() {
            match rng.below(3) {
                0 => votes.record(position, false),
                1 => {
                    votes.record(position, true);
                    granted |= bit(id);
                }
                _ => continue,
            }
            open &= !bit(id);
        }
        let expected = if decides(&conf, granted) {
            Tally::Won
        } else if decides(&conf, granted | open) {
            Tally::Open
        } else {
            Tally::Lost
        };
        assert_eq!(votes.tally(&members), expected, "{granted:#b} {open:#b} in {conf:?}");
        seen[expected as usize] += 1;
    }
    assert!(seen.iter().all(|n| *n > RUNS / 20), "{seen:?}");
}

#[test]
fn learners_decide_nothing() {
    let mut rng = Rng::new(3, 1);
    for _ in 0..RUNS {
        let conf = conf(&mut rng);
        let without = ConfState { learners: Vec::new(), ..conf.clone() };
        let (members, voters) = (Members::new(&conf), Members::new(&without));
        let values: Vec<u64> = (0..NODES).map(|_| rng.below(9)).collect();
        let reached = |m: &Members| m.reached(|p| values[m.id(p).0 as usize - 1]);
        assert_eq!(reached(&members), reached(&voters), "{values:?} in {conf:?}");
    }
}

/// What makes two decisions of one configuration know of each other (thesis 3.4).
#[test]
fn two_decisions_of_one_configuration_meet() {
    let mut rng = Rng::new(4, 1);
    for _ in 0..RUNS / 4 {
        let conf = conf(&mut rng);
        assert_meet(&conf, &conf);
    }
}

/// What makes a change safe while some servers use the old configuration and some the new one,
/// through a joint configuration (thesis 4.3) and in one step (thesis 4.1).
#[test]
fn decisions_of_neighbouring_configurations_meet() {
    let mut rng = Rng::new(5, 1);
    let (mut joint, mut plain, mut apart) = (0, 0, 0);
    for _ in 0..RUNS {
        let before = ConfState::of_voters(conf(&mut rng).voters);
        let transition = if rng.below(2) == 0 { Transition::Auto } else { Transition::JointAuto };
        let Some(next) = change(&mut rng, &before, transition) else {
            continue;
        };
        assert_meet(&before, &next);
        if next.is_joint() {
            let after = next.left();
            assert_meet(&next, &after);
            joint += 1;
            // Not so the two ends: that is what the joint configuration is for.
            let meets = |set| !(decides(&before, set) && decides(&after, ALL & !set));
            apart += usize::from(!(0..=ALL).all(meets));
        } else {
            plain += 1;
        }
    }
    assert!(joint > 500 && plain > 50 && apart > 100, "{joint} {plain} {apart}");
}
