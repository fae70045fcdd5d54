//! The smallest readable piece of a history that no single copy of the key could have produced.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::checker::{Verdict, check, check_from};
use super::history::{Action, Operation, Outcome};

/// How far a single search may go while a piece is being made smaller.
const PLACES: usize = 20_000;
const PATIENCE: Duration = Duration::from_secs(20);
const SET_ASIDE: &str = "its answer does not matter here";

/// Operations whose answers contradict each other whatever the key held before, and writes that may
/// or may not have happened among them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Piece {
    pub(crate) answers: Vec<Operation>,
    pub(crate) others: Vec<Operation>,
}

/// Reduces the history of a violation: every step only forgets something that is known.
pub(crate) fn smallest(history: &[Operation]) -> Piece {
    let prefix = first_bad_prefix(history);
    let (_, values) = check_from(&prefix, &[None], 1 << 20);
    let until = Instant::now() + PATIENCE;
    let is_bad = |piece: &[Operation], starts: &[Option<String>]| {
        Instant::now() < until && check_from(piece, starts, PLACES).0 == Verdict::Violation
    };
    let mut moments: Vec<u64> = prefix.iter().map(|o| o.started).collect();
    moments.sort_unstable();
    let windows = moments.iter().rev().map(|&from| since(&prefix, from));
    let (mut piece, starts) = match windows.into_iter().find(|piece| is_bad(piece, &values)) {
        Some(piece) => (piece, values),
        None => (prefix, vec![None]),
    };
    let mut at = 0;
    while at < piece.len() {
        let candidate = forget(&piece, |n, _| n == at);
        at += 1;
        if is_bad(&candidate, &starts) {
            at -= piece.len() - candidate.len();
            piece = candidate;
        }
    }
    let (answers, others) = piece.into_iter().partition(Operation::is_known);
    Piece { answers, others }
}

/// What came after a moment; what was under way then, or never answered, may belong to it or not.
fn since(history: &[Operation], from: u64) -> Vec<Operation> {
    let after: Vec<Operation> = history.iter().filter(|o| o.ended() >= from).cloned().collect();
    forget(&after, |_, operation| operation.started < from)
}

/// What had been answered when for the first time no order explained it.
fn first_bad_prefix(history: &[Operation]) -> Vec<Operation> {
    let mut ends: Vec<u64> = history.iter().filter(|o| o.is_known()).map(|o| o.ended()).collect();
    ends.sort_unstable();
    let prefix = |cut: u64| {
        let begun: Vec<Operation> = history.iter().filter(|o| o.started <= cut).cloned().collect();
        forget(&begun, |_, operation| operation.ended() > cut)
    };
    let good = ends.partition_point(|&cut| check(&prefix(cut), 1 << 20) != Verdict::Violation);
    let mut bad = ends.get(good).map_or_else(|| history.to_vec(), |&cut| prefix(cut));
    bad.sort_by_key(|operation| operation.started);
    bad
}

/// Forgets answers; a GET without its answer says nothing at all.
fn forget(history: &[Operation], which: impl Fn(usize, &Operation) -> bool) -> Vec<Operation> {
    let mut kept = Vec::new();
    for (n, operation) in history.iter().enumerate() {
        if !which(n, operation) {
            kept.push(operation.clone());
        } else if operation.action != Action::Get {
            let mut operation = operation.clone();
            if operation.is_known() {
                operation.outcome = Outcome::Unknown(SET_ASIDE.to_owned());
            }
            kept.push(operation);
        }
    }
    kept
}

/// A violation of a key in words.
pub(crate) fn explain(key: &str, history: &[Operation]) -> String {
    const SHOWN: usize = 30;
    let Piece { answers, others } = smallest(history);
    let mut text = format!("key {key}: no order explains these answers\n");
    for (what, operations) in [("", answers), ("with writes that may have happened:", others)] {
        writeln!(text, " {} {what}", operations.len()).unwrap();
        for operation in operations.iter().rev().take(SHOWN).rev() {
            writeln!(text, "  {operation}").unwrap();
        }
    }
    writeln!(text, " out of {} operations on this key", history.len()).unwrap();
    text
}
