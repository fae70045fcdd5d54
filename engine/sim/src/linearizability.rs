//! Whether one copy of a key could have given all these answers (Wing and Gong; memory by Lowe).
//!
//! The search walks from the empty key: any operation that started before every other one yet to
//! come had ended may be next. What was reached before (the same operations done, the same value)
//! is not walked again.

use std::collections::{BTreeMap, BTreeSet};

use crate::Nanos;
use crate::workload::{Operation, Value};

/// What the search came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Linearizable,
    Violation,
    /// More to look at than was allowed.
    Undecided,
}

/// Which operations have taken effect, and the number of the value they left behind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    done: Box<[u64]>,
    value: usize,
}

impl Place {
    fn has(&self, n: usize) -> bool {
        self.done[n / 64] >> (n % 64) & 1 == 1
    }

    fn with(&self, n: usize, value: usize) -> Self {
        let mut done = self.done.clone();
        done[n / 64] |= 1 << (n % 64);
        Self { done, value }
    }
}

/// Every value seen so far under a number.
#[derive(Debug, Default)]
struct Values {
    numbers: BTreeMap<Value, usize>,
    values: Vec<Value>,
}

impl Values {
    fn number(&mut self, value: Value) -> usize {
        if let Some(&number) = self.numbers.get(&value) {
            return number;
        }
        self.values.push(value.clone());
        self.numbers.insert(value, self.values.len() - 1);
        self.values.len() - 1
    }
}

/// Judges the history of one key, which began without a value.
pub(crate) fn check(history: &[Operation], places_max: usize) -> Verdict {
    let mut history: Vec<&Operation> = history.iter().collect();
    history.sort_by_key(|operation| operation.started);
    let mut values = Values::default();
    let done: Box<[u64]> = vec![0; history.len().div_ceil(64)].into();
    let start = Place { done, value: values.number(None) };
    let mut open = vec![start.clone()];
    let mut seen = BTreeSet::from([start]);
    while let Some(place) = open.pop() {
        let Some(next) = successors(&history, &place, &mut values) else {
            return Verdict::Linearizable;
        };
        for place in next {
            if seen.insert(place.clone()) {
                open.push(place);
            }
        }
        if seen.len() > places_max {
            return Verdict::Undecided;
        }
    }
    Verdict::Violation
}

/// Where one more operation leads, the most promising last; nothing if every answer is explained.
fn successors(history: &[&Operation], place: &Place, values: &mut Values) -> Option<Vec<Place>> {
    let left = || (0..history.len()).filter(|&n| !place.has(n));
    let soonest = left().map(|n| history[n].ended()).min().filter(|at| *at < Nanos::MAX)?;
    let mut next = Vec::new();
    let mut forgotten: Vec<&Operation> = Vec::new();
    for n in left().take_while(|&n| history[n].started <= soonest) {
        let operation = history[n];
        let (value, would_say) = operation.action.apply(&values.values[place.value]);
        let value = values.number(value);
        match &operation.answer {
            Some((_, said)) if *said != would_say => {}
            // It fits and changes nothing: whatever is possible later is possible after it.
            Some(_) if value == place.value => return Some(vec![place.with(n, value)]),
            Some((ended, _)) => next.push((*ended, place.with(n, value))),
            // Without an effect it need not have happened; of twins the elder can stand for both.
            None => {
                let twin = forgotten.iter().any(|other| other.action == operation.action);
                if value != place.value && !twin {
                    forgotten.push(operation);
                    next.push((Nanos::MAX, place.with(n, value)));
                }
            }
        }
    }
    next.sort_by_key(|(ended, _)| std::cmp::Reverse(*ended));
    Some(next.into_iter().map(|(_, place)| place).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Action, Deed, Said};

    const MOST: usize = 10_000;

    fn op(started: u64, ended: Option<u64>, deed: Deed, said: Said) -> Operation {
        let action = Action { key: "k".to_owned(), deed };
        Operation { client: 0, action, started, answer: ended.map(|at| (at, said)) }
    }

    fn set(started: u64, ended: Option<u64>, value: &str) -> Operation {
        op(started, ended, Deed::Set(value.into()), Said::Done)
    }

    fn get(started: u64, ended: u64, value: &str) -> Operation {
        op(started, Some(ended), Deed::Get, Said::Text(value.into()))
    }

    #[test]
    fn orders_that_exist_are_found() {
        let overlap = [set(0, Some(10), "a"), set(1, Some(9), "b"), get(11, 12, "a")];
        assert_eq!(check(&overlap, MOST), Verdict::Linearizable);
        let unknown = [set(0, Some(1), "a"), set(2, None, "b"), get(3, 4, "a"), get(90, 91, "b")];
        assert_eq!(check(&unknown, MOST), Verdict::Linearizable);
        let add = |at, n| op(at, Some(at + 1), Deed::Add(1), Said::Number(n));
        let lost = op(3, None, Deed::Add(1), Said::Nil);
        assert_eq!(check(&[add(0, 1), lost, add(5, 3)], MOST), Verdict::Linearizable);
    }

    #[test]
    fn planted_violations_are_found() {
        let stale = [set(0, Some(1), "a"), set(2, Some(3), "b"), get(4, 5, "a")];
        assert_eq!(check(&stale, MOST), Verdict::Violation);
        let flips = [set(0, Some(1), "a"), set(2, None, "b"), get(3, 4, "b"), get(5, 6, "a")];
        assert_eq!(check(&flips, MOST), Verdict::Violation);
        let add = |at, n| op(at, Some(at + 1), Deed::Add(1), Said::Number(n));
        assert_eq!(check(&[add(0, 1), add(2, 3)], MOST), Verdict::Violation);
        let lost = [set(0, Some(1), "a"), op(2, Some(3), Deed::Get, Said::Nil)];
        assert_eq!(check(&lost, MOST), Verdict::Violation);
        let twice = op(0, Some(9), Deed::Append(b"x".to_vec()), Said::Number(1));
        assert_eq!(check(&[twice, get(10, 11, "xx")], MOST), Verdict::Violation);
        let both = |at| op(at, Some(at + 1), Deed::SetAbsent(b"m".to_vec()), Said::Number(1));
        assert_eq!(check(&[both(0), both(2)], MOST), Verdict::Violation);
    }

    #[test]
    fn too_much_to_look_at_is_said() {
        let mut history: Vec<_> = (0..40).map(|n| set(n, None, &n.to_string())).collect();
        history.push(get(100, 101, "never written"));
        assert_eq!(check(&history, 1000), Verdict::Undecided);
    }
}
