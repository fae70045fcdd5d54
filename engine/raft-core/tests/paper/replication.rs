//! Chapter 3.5, 3.6, 3.8: the log.

use raft_core::{Event, Index, Message, Role};

use crate::common::id;
use crate::common::solo::{
    Solo, accepted, append, appends, config, disk_with, entry, heartbeat, rejected,
};

/// 3.5: what is proposed is put at the end of the log, and sent to all followers at the same time.
#[test]
fn a_proposal_goes_to_every_follower() {
    let mut s = Solo::leader(&[1, 2, 3]);
    s.step(2, accepted(1, 1));
    s.step(3, accepted(1, 1));
    s.take();
    assert_eq!(s.propose("a"), id(1, 2));
    let sent = s.take();
    for to in [2, 3] {
        let to_one: Vec<_> = sent.iter().filter(|m| m.0 == to).map(|m| m.1.clone()).collect();
        assert_eq!(appends(&to_one), [(id(1, 1), 1, id(1, 2))]);
    }
}

/// 3.5: an entry of the leader's term is committed when more than half of the voters have it, the
/// leader among them; each is counted once.
#[test]
fn a_majority_commits() {
    let mut s = Solo::leader(&[1, 2, 3, 4, 5]);
    s.propose("a");
    s.step(2, accepted(1, 2));
    assert_eq!(s.core.commit(), Index(0));
    s.step(2, accepted(1, 2));
    assert_eq!(s.core.commit(), Index(0), "one voice is counted once");
    s.step(3, accepted(1, 1));
    assert_eq!(s.core.commit(), Index(1));
    s.step(4, accepted(1, 2));
    assert_eq!(s.core.commit(), Index(2));
    let applied: Vec<_> = s.applied.iter().map(|e| e.id).collect();
    assert_eq!(applied, [id(1, 1), id(1, 2)]);
}

/// 3.5: all that lies before a committed entry is committed with it, whoever led when it was made.
#[test]
fn committing_an_entry_commits_those_before_it() {
    let mut s = Solo::leader_on(config(), disk_with(&[1, 2, 3], &[1, 2, 2], 0));
    s.step(2, accepted(3, 4));
    assert_eq!((s.core.commit(), s.applied.len()), (Index(4), 4));
}

/// 3.5: followers are told the commit index with appends and heartbeats, and apply what it covers.
#[test]
fn followers_learn_the_commit_index() {
    let mut s = Solo::leader(&[1, 2, 3]);
    s.step(2, accepted(1, 1));
    s.take();
    s.ticks(1);
    assert_eq!(
        appends(&s.take_for(2)),
        [(id(1, 1), 1, id(1, 1))],
        "within a tick, if nothing else"
    );

    let mut f = Solo::new(&[1, 2, 3]);
    f.step(2, append(1, id(0, 0), 1, &[(1, 1), (1, 2)]));
    assert_eq!(f.applied, [entry(1, 1)]);
    f.step(2, heartbeat(1, 2, 0));
    assert_eq!(f.applied, [entry(1, 1), entry(1, 2)]);
}

/// Figure 3.1, AppendEntries 5: commit no further than the append itself reaches: what lies beyond
/// has not been compared.
#[test]
fn a_follower_commits_only_what_was_compared() {
    let mut f = Solo::on(config(), disk_with(&[1, 2, 3], &[1, 1, 1, 1], 0));
    f.step(2, append(2, id(1, 2), 4, &[]));
    assert_eq!(f.take(), [(2, accepted(2, 2))]);
    assert_eq!(f.core.commit(), Index(2));
}

/// 3.5: an append is refused when the entry before it is missing or of another term; the answer
/// says where the logs may meet.
#[test]
fn a_follower_refuses_what_does_not_follow() {
    let mut f = Solo::on(config(), disk_with(&[1, 2, 3], &[1, 1, 2], 0));
    f.step(2, append(5, id(4, 6), 0, &[(5, 7)]));
    assert_eq!(f.take(), [(2, rejected(5, 6, id(2, 3), 3))]);
    f.step(2, append(5, id(1, 3), 0, &[(5, 4)]));
    assert_eq!(f.take(), [(2, rejected(5, 3, id(1, 2), 3))], "the hint skips the whole term");
    assert_eq!(f.last(), id(2, 3));
}

/// 3.5: from the first difference on a follower's log gives way to the leader's; what lies before
/// it stays.
#[test]
fn a_conflict_is_replaced_from_the_first_difference_on() {
    let mut f = Solo::on(config(), disk_with(&[1, 2, 3], &[1, 1, 2, 2, 2], 1));
    f.step(2, append(3, id(1, 2), 1, &[(3, 3), (3, 4)]));
    assert_eq!(f.take(), [(2, accepted(3, 4))]);
    assert_eq!(f.last(), id(3, 4));
    let ids: Vec<_> = f.disk.view().entries.iter().map(|e| e.id).collect();
    assert_eq!(ids, [id(1, 1), id(1, 2), id(3, 3), id(3, 4)]);
}

/// 3.5: a refusal names a term, and both sides skip whole terms: at most one probe per term,
/// whoever has more terms.
#[test]
fn a_leader_finds_the_point_of_agreement_in_few_probes() {
    let mut s = Solo::leader_on(config(), disk_with(&[1, 2, 3], &[1, 1, 4, 4, 5, 5, 6, 6, 6], 0));
    assert_eq!(appends(&s.take_for(2))[0].0, id(6, 9));
    // The follower has 1 1 1 2 2 2 3 3 3 3 3: its answer skips its term 3.
    s.step(2, rejected(7, 9, id(3, 9), 11));
    assert_eq!(appends(&s.take_for(2)), [(id(1, 2), 0, id(7, 10))], "ours skips 4, 5 and 6");
    s.step(2, accepted(7, 10));
    s.propose("a");
    assert_eq!(appends(&s.take_for(2)), [(id(7, 10), 10, id(7, 11))]);
}

/// 3.5, 3.8: what may be lost is sent again, so an append may come twice or late: it takes nothing
/// away, and is answered like the first time.
#[test]
fn repeated_and_reordered_appends_change_nothing() {
    let mut f = Solo::new(&[1, 2, 3]);
    let whole = append(1, id(0, 0), 2, &[(1, 1), (1, 2), (1, 3)]);
    f.step(2, whole.clone());
    let last = f.last();
    f.step(2, append(1, id(0, 0), 1, &[(1, 1)]));
    assert_eq!(f.last(), last, "a delayed prefix does not truncate");
    f.step(2, append(1, id(1, 2), 0, &[]));
    f.step(2, whole);
    assert_eq!((f.last(), f.core.commit()), (id(1, 3), Index(2)));
    let answers: Vec<_> = f.take().into_iter().map(|(_, m)| m).collect();
    assert_eq!(answers, [accepted(1, 3), accepted(1, 2), accepted(1, 2), accepted(1, 3)]);
    assert_eq!(f.applied.len(), 2);
}

/// 3.6.2, figure 3.7: that a majority has an entry of an older term does not commit it; an entry of
/// the leader's own term after it does.
#[test]
fn an_old_entry_on_a_majority_is_not_committed_by_counting() {
    let mut s = Solo::leader_on(config(), disk_with(&[1, 2, 3, 4, 5], &[1, 2], 1));
    assert_eq!(s.last(), id(3, 3));
    s.step(2, accepted(3, 2));
    s.step(3, accepted(3, 2));
    assert_eq!(s.core.commit(), Index(1));
    s.step(2, accepted(3, 3));
    s.step(3, accepted(3, 3));
    assert_eq!(s.core.commit(), Index(3));
}

/// Figure 3.2, Leader Append-Only: a leader keeps all its log holds; an append to it in its own
/// term can only come of a second leader, and is a fault.
#[test]
fn a_second_leader_of_one_term_stops_the_replica() {
    let mut s = Solo::leader(&[1, 2, 3]);
    s.step(2, append(1, id(0, 0), 0, &[(1, 1)]));
    assert!(s.core.is_stopped());
    assert!(s.events.iter().any(|e| matches!(e, Event::Fault(_))));
    assert_eq!(s.core.next_deadline(), None);
}

/// Figure 3.7: an overwritten proposal may still be committed; it is lost once another entry is
/// committed in its place, and not before.
#[test]
fn a_proposal_is_lost_when_another_entry_is_committed_in_its_place() {
    let mut s = Solo::leader(&[1, 2, 3]);
    s.propose("a");
    let b = s.propose("b");
    s.step(2, append(2, id(1, 2), 1, &[(2, 3)]));
    assert_eq!(s.core.role(), Role::Follower);
    let lost = |s: &Solo| {
        let lost = |e: &Event| {
            if let Event::Lost { id } = e { Some(*id) } else { None }
        };
        s.events.iter().filter_map(lost).collect::<Vec<_>>()
    };
    assert_eq!(lost(&s), [], "overwritten, not yet lost");
    s.step(2, heartbeat(2, 3, 0));
    assert_eq!(lost(&s), [b], "the first was committed after all");
}

/// 3.8: a follower acknowledges what its disk has, and no more; a heartbeat is answered meanwhile.
#[test]
fn an_acknowledgement_leaves_only_when_durable() {
    let mut f = Solo::new(&[1, 2, 3]);
    f.auto_sync = false;
    f.step(2, append(1, id(0, 0), 0, &[(1, 1)]));
    f.step(2, append(1, id(1, 1), 0, &[(1, 2)]));
    assert_eq!(f.take(), []);
    f.sync_one();
    f.turn();
    assert_eq!(f.take(), [(2, accepted(1, 1))]);
    f.step(2, heartbeat(1, 0, 5));
    assert!(matches!(f.take()[..], [(2, Message::HeartbeatReply(_))]), "entries do not delay it");
    f.sync_one();
    f.turn();
    assert_eq!(f.take(), [(2, accepted(1, 2))]);
}

/// 10.2.1: entries leave while the leader's disk still writes them; it counts like any other, when
/// it is done.
#[test]
fn the_leader_sends_before_its_own_disk_is_done() {
    let mut s = Solo::leader(&[1, 2, 3]);
    s.step(2, accepted(1, 1));
    s.auto_sync = false;
    s.take();
    s.propose("a");
    assert_eq!(appends(&s.take_for(2)), [(id(1, 1), 1, id(1, 2))]);
    s.step(2, accepted(1, 2));
    assert_eq!(s.core.commit(), Index(1), "two of three have it, one durably");
    s.sync();
    s.turn();
    assert_eq!(s.core.commit(), Index(2));
}
