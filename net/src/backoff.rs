//! How long to wait before dialing again.

use std::time::Duration;

/// The first wait of a [`Backoff`], before jitter.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(10);
/// The longest wait of a [`Backoff`].
pub const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Waits that double from [`BACKOFF_FIRST`] to [`BACKOFF_MAX`], each shortened by a random part
/// of up to a half so that the lanes of a cluster do not dial in step.
#[derive(Clone, Debug)]
pub struct Backoff {
    ceiling: Duration,
    random: u64,
}

impl Backoff {
    /// A backoff whose jitter follows from `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { ceiling: BACKOFF_FIRST, random: seed }
    }

    /// How long to wait after one more failure.
    pub fn next_wait(&mut self) -> Duration {
        let ceiling = self.ceiling;
        self.ceiling = (ceiling * 2).min(BACKOFF_MAX);
        let half = ceiling / 2;
        let jitter = self.next_random() % (half.as_nanos() as u64 + 1);
        half + Duration::from_nanos(jitter)
    }

    /// After a success the next wait is the first again.
    pub const fn reset(&mut self) {
        self.ceiling = BACKOFF_FIRST;
    }

    /// SplitMix64 (Steele, Lea, Flood, 2014): enough for jitter, one word of state.
    const fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_jitter_takes_at_most_half() {
        let mut backoff = Backoff::new(7);
        let mut ceiling = BACKOFF_FIRST;
        for _ in 0..20 {
            let wait = backoff.next_wait();
            assert!(wait >= ceiling / 2 && wait <= ceiling, "{wait:?} of {ceiling:?}");
            ceiling = (ceiling * 2).min(BACKOFF_MAX);
        }
        backoff.reset();
        assert!(backoff.next_wait() <= BACKOFF_FIRST);
    }

    #[test]
    fn a_seed_repeats_and_seeds_differ() {
        let waits = |seed| {
            let mut backoff = Backoff::new(seed);
            (0..8).map(|_| backoff.next_wait()).collect::<Vec<_>>()
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }
}
