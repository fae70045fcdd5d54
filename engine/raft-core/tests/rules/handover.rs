//! Rules 8 and 9: who may campaign, and what a request to campaign may do that comes late.

use raft_core::{Config, Event, Index, Message, NodeId, ReadOutcome, Role, Tick};

use crate::common::disk::Disk;
use crate::common::id;
use crate::common::solo::{
    Solo, TIMEOUT, accepted, append, append_entries, ask_transfer_vote, conf_entry, config,
    disk_with, entry, heartbeat, heartbeat_reply, joint, members, timeout_now, vote,
};

fn leased() -> Config {
    Config { lease_ticks: 8, ..config() }
}

/// A leader of three in term 1 with leases on, long after its start.
fn leading() -> Solo {
    let mut s = Solo::on(leased(), Disk::new(&[1, 2, 3]));
    s.core.handle_campaign_at(Tick(2 * TIMEOUT));
    s.ticks(TIMEOUT);
    s.elect();
    s.step(2, accepted(1, 1));
    s.step(3, accepted(1, 1));
    s.take();
    s
}

/// Node `from` answers the next heartbeat.
fn beat(s: &mut Solo, from: u64) {
    for _ in 0..TIMEOUT {
        s.ticks(1);
        let round = s.take_for(from).into_iter().find_map(|m| match m {
            Message::Heartbeat(m) => Some(m.round),
            _ => None,
        });
        if let Some(round) = round {
            return s.step(from, heartbeat_reply(s.term(), round));
        }
    }
    panic!("a leader sends heartbeats");
}

/// Rule 8: a configuration counts from the moment it is in the log, so one that is committed and
/// not applied yet cannot elect by the one before it.
#[test]
fn a_campaign_counts_by_what_is_committed_and_not_yet_applied() {
    let mut f = Solo::new(&[1, 2, 3]);
    f.auto_apply = false;
    let conf = joint(&[1, 2, 3], &[1, 4, 5]);
    f.step(2, append_entries(1, id(0, 0), 2, vec![entry(1, 1), conf_entry(1, 2, &conf)]));
    assert_eq!((f.core.commit(), f.core.status().applied), (Index(2), Index(0)));
    f.core.handle_campaign();
    f.turn();
    f.step(2, vote(2, true));
    f.step(3, vote(2, true));
    assert_eq!(f.core.role(), Role::Candidate, "the old majority alone elects nobody");
    f.step(4, vote(2, true));
    assert_eq!(f.core.role(), Role::Leader);
}

/// Rule 8: nor does one that is out by a committed entry campaign because it is not applied yet,
/// not even when it is asked to.
#[test]
fn a_removal_that_is_committed_and_not_yet_applied_is_in_force() {
    let mut f = Solo::new(&[1, 2, 3]);
    f.auto_apply = false;
    let conf = members(&[2, 3], &[]);
    f.step(2, append_entries(1, id(0, 0), 2, vec![entry(1, 1), conf_entry(1, 2, &conf)]));
    f.take();
    f.step(2, timeout_now(1));
    f.ticks(5 * TIMEOUT);
    assert_eq!((f.take(), f.term(), f.core.role()), (vec![], 1, Role::Follower));
}

/// Rule 9: the request to campaign is late, the leader has given up and leads on, its rounds are
/// answered as before. No lease rests on them, so the election that may begin at any time finds no
/// reads answered without a question.
#[test]
fn no_lease_is_resumed_while_a_request_to_campaign_may_be_late() {
    let mut s = leading();
    s.transfer(2);
    assert!(s.take_for(2).contains(&timeout_now(1)), "and it is late");
    (0..TIMEOUT).for_each(|_| beat(&mut s, 3));
    assert!(s.events.contains(&Event::TransferAborted { to: NodeId(2) }));
    beat(&mut s, 3);
    assert_eq!(s.core.lease_until(), None);
    s.read(1);
    assert_eq!(s.reads, [], "it asks");
    // Now it arrives: 2 is elected by 3, of which this leader hears nothing yet.
    s.step(2, ask_transfer_vote(2, id(1, 1)));
    assert_eq!(s.reads, [(1, ReadOutcome::Lost)]);
    assert_eq!((s.core.role(), s.term()), (Role::Follower, 2));
}

/// Rule 9: asking another than the first brings the lease back as little.
#[test]
fn a_second_transfer_brings_no_lease_back() {
    let mut s = leading();
    s.transfer(2);
    s.transfer(3);
    beat(&mut s, 2);
    assert_eq!(s.core.lease_until(), None);
}

/// Rule 9: in a later term the lease is whole: whoever gets the late request then campaigns in a
/// term that is over.
#[test]
fn a_later_term_has_a_lease_again() {
    let mut s = leading();
    s.transfer(2);
    s.step(2, ask_transfer_vote(2, id(1, 1)));
    s.step(2, append(2, id(1, 1), 1, &[(2, 2)]));
    s.ticks(TIMEOUT);
    s.elect();
    s.step(3, accepted(s.term(), s.last().index.0));
    beat(&mut s, 3);
    assert!(s.core.lease_until().is_some());
    s.take();
    let before = s.core.status();
    s.step(2, ask_transfer_vote(2, id(2, 2)));
    assert_eq!(s.take(), [(2, vote(before.hard.term.0, false))]);
    assert_eq!(s.core.status(), before);
    assert!(s.core.lease_until().is_some());
}

/// Rule 9: the late request reaches one that knows of a later term: it does nothing.
#[test]
fn a_late_request_does_nothing_in_a_later_term() {
    let mut f = Solo::on(leased(), disk_with(&[1, 2, 3], &[1], 1));
    f.step(3, heartbeat(2, 1, 0));
    f.take();
    f.step(2, timeout_now(1));
    assert_eq!((f.take(), f.term(), f.core.role()), (vec![], 2, Role::Follower));
}

/// Rule 9: one that was asked, and was not elected, has no special rights in its next campaign.
#[test]
fn only_the_campaign_that_was_asked_for_is_of_a_transfer() {
    let mut f = Solo::on(leased(), disk_with(&[1, 2, 3], &[1], 1));
    f.step(2, heartbeat(1, 1, 0));
    f.step(2, timeout_now(1));
    f.take();
    f.ticks(2 * TIMEOUT);
    let asked: Vec<_> = f.take().into_iter().map(|(_, m)| m).collect();
    let ordinary = |m: &Message| matches!(m, Message::RequestVote(m) if !m.transfer);
    assert!(!asked.is_empty() && asked.iter().all(ordinary), "{asked:?}");
}

/// Rule 9: with pre-votes, one whose campaign was refused asks first again, and spends no term.
#[test]
fn after_a_transfer_in_vain_pre_votes_come_first_again() {
    let config = Config { pre_vote: true, ..leased() };
    let mut f = Solo::on(config, disk_with(&[1, 2, 3], &[1], 1));
    f.step(2, heartbeat(1, 1, 0));
    f.step(2, timeout_now(1));
    assert_eq!((f.core.role(), f.term()), (Role::Candidate, 2));
    f.step(2, vote(2, false));
    f.step(3, vote(2, false));
    f.ticks(2 * TIMEOUT);
    assert_eq!((f.core.role(), f.term()), (Role::PreCandidate, 2));
}
