//! The only randomness: election timeouts, from a seed.

/// A small generator (splitmix64): equal seeds give equal sequences on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// A generator for one replica: the same seed on two nodes still gives two sequences, or
    /// their elections would collide for ever. Where each begins is itself drawn: places a step
    /// apart would give one sequence twice, shifted.
    pub(crate) fn new(seed: u64, node: u64) -> Self {
        let mut rng = Self(seed ^ node.rotate_left(32));
        let place = rng.draw();
        Self(place ^ node)
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which must not be zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // The high half of a product is uniform enough: the bound is tiny beside 2^64.
        ((u128::from(self.draw()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn equal_seeds_give_equal_sequences_and_nodes_differ() {
        let draws = |node| {
            let mut rng = Rng::new(7, node);
            (0..32).map(|_| rng.below(1000)).collect::<alloc::vec::Vec<_>>()
        };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
        assert!(draws(3).iter().all(|d| *d < 1000));
        for shift in 1..8 {
            assert_ne!(draws(1)[shift..], draws(2)[..32 - shift], "nor is one the other, shifted");
            assert_ne!(draws(2)[shift..], draws(1)[..32 - shift]);
        }
    }
}
