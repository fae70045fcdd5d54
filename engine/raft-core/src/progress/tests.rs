use super::{Progress, ProgressState};
use crate::config::Config;
use crate::ids::{Index, NodeId, Tick};

fn config(inflight_messages_max: usize) -> Config {
    Config { inflight_messages_max, ..Config::new(NodeId(1)) }
}

fn replicating(matched: u64, next: u64) -> Progress {
    let mut p = Progress::new(Index(matched), Tick(0));
    p.accepted(Index(matched), Index(0));
    assert_eq!(p.state, ProgressState::Replicate);
    for i in matched + 1..next {
        p.sent(Some(Index(i)), 1);
    }
    p
}

#[test]
fn a_probe_waits_for_its_answer() {
    let mut p = Progress::new(Index(5), Tick(0));
    assert!(p.may_send(&config(8)));
    p.sent(Some(Index(9)), 1);
    assert!(!p.may_send(&config(8)));
    assert_eq!(p.next, Index(6), "a probe does not run ahead");
    assert!(p.accepted(Index(9), Index(0)));
    assert_eq!((p.state, p.next), (ProgressState::Replicate, Index(10)));
}

#[test]
fn a_stale_refusal_of_a_probe_is_ignored() {
    let mut p = Progress::new(Index(5), Tick(0));
    assert!(!p.rejected(Index(4), Index(0)));
    assert!(!p.rejected(Index(6), Index(0)));
    assert_eq!(p.next, Index(6));
    assert!(p.rejected(Index(5), Index(2)));
    assert_eq!(p.next, Index(3));
    assert!(!p.rejected(Index(5), Index(0)), "the same refusal again");
}

#[test]
fn a_refusal_always_moves_the_probe_back() {
    let mut p = Progress::new(Index(5), Tick(0));
    assert!(p.rejected(Index(5), Index(77)));
    assert_eq!(p.next, Index(5));
    for prev in (1..5).rev() {
        assert!(p.rejected(Index(prev), Index(prev)));
    }
    assert_eq!(p.next, Index(1));
    assert!(!p.rejected(Index(0), Index(0)), "nothing precedes the first entry");
    assert_eq!(p.next, Index(1));
}

#[test]
fn a_refusal_at_or_below_the_match_is_stale_in_replication() {
    let mut p = replicating(5, 9);
    assert!(!p.rejected(Index(5), Index(0)));
    assert_eq!((p.state, p.next), (ProgressState::Replicate, Index(9)));
    assert!(p.rejected(Index(7), Index(0)));
    assert_eq!((p.state, p.next), (ProgressState::Probe { sent: false }, Index(6)));
}

#[test]
fn the_window_fills_and_empties() {
    let mut p = replicating(5, 8);
    assert!(!p.may_send(&config(2)));
    assert!(p.accepted(Index(6), Index(0)));
    assert!(p.may_send(&config(2)));
    assert!(!p.accepted(Index(6), Index(0)), "a duplicate is no news");
    assert!(p.accepted(Index(20), Index(0)), "matched runs ahead of what was sent");
    assert_eq!(p.next, Index(21));
}

#[test]
fn an_old_acceptance_does_not_end_a_probe() {
    let mut p = replicating(5, 9);
    assert!(p.rejected(Index(8), Index(0)));
    p.sent(Some(Index(9)), 1);
    assert!(!p.accepted(Index(4), Index(0)));
    assert_eq!(p.state, ProgressState::Probe { sent: true });
    assert!(!p.accepted(Index(5), Index(0)), "the answer to an empty message at the match");
    assert_eq!((p.state, p.next), (ProgressState::Replicate, Index(6)));
}

#[test]
fn the_window_counts_bytes() {
    let limits = Config { inflight_bytes_max: 10, ..config(8) };
    let mut p = replicating(5, 6);
    p.sent(Some(Index(6)), 99);
    assert!(!p.may_send(&limits), "an oversize message goes, and goes alone");
    p.accepted(Index(6), Index(0));
    p.sent(Some(Index(7)), 9);
    assert!(p.may_send(&limits));
    p.sent(Some(Index(8)), 1);
    assert!(!p.may_send(&limits));
    p.accepted(Index(7), Index(0));
    assert!(p.may_send(&limits));
}

#[test]
fn a_snapshot_ends_when_the_log_can_go_on_however_the_follower_got_there() {
    let mut p = Progress::new(Index(5), Tick(0));
    p.sent_snapshot(Index(30), Tick(9));
    assert!(!p.may_send(&config(8)));
    assert!(!p.rejected(Index(5), Index(0)), "an answer to something older");
    p.accepted(Index(10), Index(20));
    assert_eq!(
        p.state,
        ProgressState::Snapshot { last: Index(30), until: Tick(9) },
        "10 is compacted here"
    );
    let mut late = p.clone();
    late.probe(false);
    assert!(late.accepted(Index(30), Index(20)), "late, after the time-out");
    assert_eq!((late.state, late.next), (ProgressState::Replicate, Index(31)));
    p.accepted(Index(20), Index(20));
    assert_eq!((p.state, p.next), (ProgressState::Replicate, Index(21)));
}

#[test]
fn a_snapshot_that_came_too_late_is_followed_by_the_next() {
    let mut p = Progress::new(Index(5), Tick(0));
    p.sent_snapshot(Index(30), Tick(9));
    assert!(p.accepted(Index(30), Index(50)), "the log begins after 50 by now");
    assert_eq!((p.state, p.next), (ProgressState::Probe { sent: false }, Index(31)));
}
