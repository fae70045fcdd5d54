//! Random states to start from.

use raft_core::{ConfState, HardState, Index, LogId, NodeId, Term};

use super::SELF;
use crate::model::{Setup, Start};
use crate::random::Random;

/// Some of the nodes `1..=5`, at least one.
fn some(random: &mut Random, most: u64) -> Vec<NodeId> {
    let size = random.within(1, most);
    let mut nodes: Vec<_> = (1..=5).map(NodeId).collect();
    while nodes.len() as u64 > size {
        nodes.remove(random.below(nodes.len() as u64) as usize);
    }
    nodes
}

/// A configuration, mostly plain, with the replica as a voter.
pub(crate) fn conf(random: &mut Random) -> ConfState {
    let size = random.within(1, 5);
    let mut conf = ConfState::of_voters((1..=size).map(NodeId));
    match random.below(10) {
        0 => {
            conf.voters.retain(|id| id.0 != SELF);
            if conf.voters.is_empty() {
                conf.voters.push(NodeId(2));
            }
            if random.percent(70) {
                conf.learners.push(NodeId(SELF));
            }
        }
        1..3 => conf.learners = vec![NodeId(6)],
        3..5 => {
            (conf.voters, conf.voters_outgoing) = (some(random, 4), some(random, 4));
            conf.auto_leave = random.percent(50);
            let went = conf.voters_outgoing.iter().filter(|id| !conf.voters.contains(id));
            conf.learners_next = went.copied().filter(|_| random.percent(40)).collect();
        }
        _ => {}
    }
    assert!(conf.is_sound());
    conf
}

/// A replica that has seen something of the world: log, term, vote, commit.
pub(super) fn draw(random: &mut Random) -> (Setup, Start) {
    let setup = Setup { id: SELF, pre_vote: random.percent(60), check_quorum: random.percent(60) };
    let base = if random.percent(50) { 0 } else { random.within(1, 4) };
    let mut term = u64::from(base > 0) * random.within(1, 3);
    let base = LogId::new(Term(term), Index(base));
    let mut entries = Vec::new();
    for i in 1..=random.below(9) {
        let step = random.pick(&[0, 0, 0, 1, 1, 2]);
        term = (term + step).max(1);
        entries.push(LogId::new(Term(term), Index(base.index.0 + i)));
    }
    let last = base.index.0 + entries.len() as u64;
    let commit = Index(random.within(base.index.0, last));
    let term = Term(term + random.pick(&[0, 0, 1, 1, 2]));
    let vote = NodeId(random.within(1, 5));
    let vote = Some(vote).filter(|_| term > Term(0) && random.percent(50));
    let hard = HardState { term, vote, commit };
    (setup, Start { hard, base, entries, conf: conf(random) })
}
