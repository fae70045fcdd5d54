//! Whether one copy of a key could have given all these answers (Wing and Gong; memory by Lowe).
//!
//! The search walks from the empty key: any operation that started before every other one yet to
//! come had ended may be next. What was reached before (the same operations done, the same value)
//! is not walked again.

use std::collections::{HashMap, HashSet};

use super::history::{Operation, Outcome};

/// What the search came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Linearizable,
    Violation,
    /// More to look at than was allowed.
    Undecided,
}

/// Which operations have taken effect, and the number of the value they left behind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    numbers: HashMap<Option<String>, usize>,
    values: Vec<Option<String>>,
}

impl Values {
    fn number(&mut self, value: Option<String>) -> usize {
        if let Some(&number) = self.numbers.get(&value) {
            return number;
        }
        self.values.push(value.clone());
        self.numbers.insert(value, self.values.len() - 1);
        self.values.len() - 1
    }
}

/// Judges the history of one key, which began without a value.
pub(crate) fn check(history: &[Operation], most_places: usize) -> Verdict {
    check_from(history, &[None], most_places).0
}

/// Judges what was done to a key that held one of these values; also tells all values it may have
/// come to hold on the way.
pub(crate) fn check_from(
    history: &[Operation],
    starts: &[Option<String>],
    most_places: usize,
) -> (Verdict, Vec<Option<String>>) {
    let mut history: Vec<&Operation> = history.iter().collect();
    history.sort_by_key(|operation| operation.started);
    let mut values = Values::default();
    let done: Box<[u64]> = vec![0; history.len().div_ceil(64)].into();
    let start =
        |value: &Option<String>| Place { done: done.clone(), value: values.number(value.clone()) };
    let mut open: Vec<Place> = starts.iter().map(start).collect();
    let mut seen: HashSet<Place> = open.iter().cloned().collect();
    while let Some(place) = open.pop() {
        let Some(next) = successors(&history, &place, &mut values) else {
            return (Verdict::Linearizable, values.values);
        };
        for place in next {
            if seen.insert(place.clone()) {
                open.push(place);
            }
        }
        if seen.len() > most_places + starts.len() {
            return (Verdict::Undecided, values.values);
        }
    }
    (Verdict::Violation, values.values)
}

/// Where one more operation leads, the most promising last; nothing if every answer is explained.
fn successors(history: &[&Operation], place: &Place, values: &mut Values) -> Option<Vec<Place>> {
    let left = || (0..history.len()).filter(|&n| !place.has(n));
    let known = left().filter(|&n| history[n].is_known());
    let soonest = known.map(|n| history[n].ended()).min()?;
    let mut next = Vec::new();
    let mut forgotten: Vec<&Operation> = Vec::new();
    for n in left().take_while(|&n| history[n].started <= soonest) {
        let operation = history[n];
        let (value, would_reply) = operation.action.apply(&values.values[place.value]);
        let value = values.number(value);
        match &operation.outcome {
            Outcome::Known { reply, .. } if *reply != would_reply => {}
            // It fits and changes nothing: whatever is possible later is possible after it.
            Outcome::Known { .. } if value == place.value => {
                return Some(vec![place.with(n, value)]);
            }
            Outcome::Known { ended, .. } => next.push((*ended, place.with(n, value))),
            // Without an effect it need not have happened; of twins the elder can stand for both.
            Outcome::Unknown(_) => {
                let twin = forgotten.iter().any(|other| other.action == operation.action);
                if value != place.value && !twin {
                    forgotten.push(operation);
                    next.push((u64::MAX, place.with(n, value)));
                }
            }
        }
    }
    next.sort_by_key(|(ended, _)| std::cmp::Reverse(*ended));
    Some(next.into_iter().map(|(_, place)| place).collect())
}
