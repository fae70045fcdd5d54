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

/// The largest value that a majority has reached; without voters there is nothing to wait for.
/// Sorts `values`.
fn reached(values: &mut [u64]) -> u64 {
    if values.is_empty() {
        return u64::MAX;
    }
    values.sort_unstable();
    values[values.len() - majority(values.len())]
}

#[cfg(test)]
mod tests {
    use super::{majority, reached};

    #[test]
    fn majorities_of_even_and_odd_groups() {
        assert_eq!([1, 2, 3, 4, 5].map(majority), [1, 2, 2, 3, 3]);
    }

    #[test]
    fn reached_is_what_a_majority_has() {
        assert_eq!(reached(&mut []), u64::MAX);
        assert_eq!(reached(&mut [7]), 7);
        assert_eq!(reached(&mut [9, 3]), 3);
        assert_eq!(reached(&mut [9, 3, 5]), 5);
        assert_eq!(reached(&mut [9, 3, 5, 4]), 4);
    }
}
