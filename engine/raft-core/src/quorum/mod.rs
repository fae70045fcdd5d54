//! Majorities, in one configuration or in two at a time (thesis 3.4, 3.5, 4.3).

#[cfg(test)]
mod laws;
mod members;
mod votes;

pub(crate) use members::Members;
pub(crate) use votes::{Tally, Votes};

/// The smallest number of voters of which any two sets share one.
const fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

/// What two of three have reached.
#[inline]
fn middle(a: u64, b: u64, c: u64) -> u64 {
    a.max(b).min(a.min(b).max(c))
}

/// The largest value that a majority has reached; without voters there is nothing to wait for.
#[inline]
fn reached(values: &[u64]) -> u64 {
    if let [a, b, c] = *values {
        return middle(a, b, c);
    }
    let needed = majority(values.len());
    let is_reached = |v: &u64| values.iter().filter(|other| *other >= v).count() >= needed;
    values.iter().copied().filter(is_reached).max().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::majority;

    #[test]
    fn majorities_of_even_and_odd_groups() {
        assert_eq!([1, 2, 3, 4, 5].map(majority), [1, 2, 2, 3, 3]);
    }
}
