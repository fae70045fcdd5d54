//! What happens when, drawn without a look at either cluster.

use raft_core::{ConfChange, ConfStep, NodeId};

use super::Action;
use crate::changes;
use crate::model::ELECTION_TICKS;
use crate::random::Random;

/// Names for what is yet to be proposed and read.
#[derive(Debug, Default)]
pub(super) struct Names(u64);

impl Names {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

fn link(random: &mut Random, size: u64) -> (u64, u64) {
    let from = random.within(1, size);
    (from, 1 + (from + random.below(size - 1)) % size)
}

fn traffic(random: &mut Random, size: u64, drops: u64) -> Action {
    let (from, to) = link(random, size);
    // Mostly in order.
    let place = if random.percent(80) { 0 } else { random.below(8) };
    if random.percent(drops) {
        return Action::Drop { from, to, place };
    }
    match random.below(20) {
        0 => Action::Duplicate { from, to, place },
        1 if drops > 0 => Action::ReportLost { from, to },
        _ => Action::Deliver { from, to, place },
    }
}

/// Anything to anybody.
pub(super) fn chaos(random: &mut Random, size: u64, names: &mut Names) -> Action {
    let id = random.within(1, size);
    match random.below(100) {
        0..50 => traffic(random, size, 8),
        50..62 => Action::Sync(id, random.within(1, 3)),
        62..70 => Action::Apply(id, random.within(1, 4)),
        70..78 => Action::Tick(id),
        78..81 => Action::Campaign(id),
        81..88 => Action::Propose(id, names.next()),
        88..90 => Action::Read(id, names.next()),
        90..92 => Action::Change(id, changes::draw(random, size)),
        92..94 => Action::Transfer { from: id, to: random.within(1, size) },
        94..95 => Action::Compact(id),
        95..97 => Action::Crash(id, random.below(4)),
        97..99 => {
            let (from, to) = link(random, size);
            Action::Cut { from, to }
        }
        _ => Action::Heal,
    }
}

/// What a leader that nobody wants to depose has to live with.
pub(super) fn calm(random: &mut Random, size: u64, leader: u64, names: &mut Names) -> Action {
    let id = random.within(1, size);
    let other = 1 + (leader + random.below(size - 1)) % size;
    match random.below(100) {
        0..50 => traffic(random, size, 8),
        50..65 => Action::Sync(id, random.within(1, 3)),
        65..75 => Action::Apply(id, random.within(1, 4)),
        75..78 => Action::Tick(id),
        78..88 => Action::Propose(leader, names.next()),
        88..91 => Action::Read(leader, names.next()),
        91..93 => Action::Change(leader, sparing(random, size, leader)),
        93..95 => Action::Compact(id),
        95..97 => Action::Crash(other, random.below(4)),
        97..99 => {
            let (from, to) = link(random, size);
            Action::Cut { from, to }
        }
        _ => Action::Heal,
    }
}

/// A leader is cut off, and for the others time passes until they no longer count on it.
pub(super) fn cut_off(size: u64, leader: u64) -> Vec<Action> {
    let mut actions = Vec::new();
    for other in (1..=size).filter(|id| *id != leader) {
        actions.push(Action::Cut { from: leader, to: other });
        actions.push(Action::Cut { from: other, to: leader });
        actions.extend((0..=ELECTION_TICKS).map(|_| Action::Tick(other)));
    }
    actions
}

/// What goes on while the old leader is cut off: the others find another, and clients still ask the
/// old one.
pub(super) fn exile(random: &mut Random, size: u64, exile: u64, names: &mut Names) -> Action {
    let other = 1 + (exile + random.below(size - 1)) % size;
    match random.below(100) {
        0..50 => traffic(random, size, 2),
        50..67 => Action::Sync(other, 3),
        67..77 => Action::Apply(other, 4),
        77..81 => Action::Campaign(other),
        81..91 => Action::Propose(other, names.next()),
        91..97 => Action::Read(exile, names.next()),
        97..99 => Action::Propose(exile, names.next()),
        _ => Action::Sync(exile, 3),
    }
}

/// A change that mostly leaves the leader alone.
fn sparing(random: &mut Random, size: u64, leader: u64) -> ConfChange {
    let mut change = changes::draw(random, size);
    if let ConfChange::Steps { steps, .. } = &mut change {
        if random.percent(90) {
            steps.retain(|step| step.node() != NodeId(leader));
        }
        if steps.is_empty() {
            steps.push(ConfStep::AddVoter(NodeId(random.within(1, size))));
        }
    }
    change
}
