//! A fast keyed hash with a fixed result: the same on every replica and in every build.

const K0: u64 = 0x9e37_79b9_7f4a_7c15;
const K1: u64 = 0xd6e8_feb8_6659_fd93;
const K2: u64 = 0xa0f1_fa92_1b0d_3f65;

/// How many bits of the hash name a place in the order of a scan.
pub(crate) const PLACE_BITS: u32 = 48;

/// The place of a key in the order of a scan: `PLACE_BITS` bits.
pub(crate) fn place(seed: u64, key: &[u8]) -> u64 {
    hash(seed, key) >> (64 - PLACE_BITS)
}

/// A 64-bit hash of these bytes.
pub(crate) fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let mut state = mix(seed ^ K0, (bytes.len() as u64) ^ K1);
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        state = mix(state ^ word_of(word), K2);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        state = mix(state ^ word_of(rest), K1);
    }
    mix(state ^ K2, K0)
}

/// Up to eight bytes as a number.
fn word_of(bytes: &[u8]) -> u64 {
    if let Ok(whole) = <[u8; 8]>::try_from(bytes) {
        return u64::from_le_bytes(whole);
    }
    bytes.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte))
}

/// Both halves of the product, folded together and with the inputs, so that a zero does not stick.
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64) ^ a.rotate_left(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depends_on_every_byte_and_on_the_seed() {
        let base = hash(1, b"hello world, hello");
        for i in 0..18 {
            let mut other = *b"hello world, hello";
            other[i] ^= 1;
            assert_ne!(base, hash(1, &other), "byte {i}");
        }
        assert_ne!(base, hash(2, b"hello world, hello"));
        assert_ne!(hash(1, b""), hash(1, b"\0"));
    }

    #[test]
    fn spreads_numbered_keys_evenly_over_places() {
        let mut buckets = [0u32; 256];
        for i in 0..65_536 {
            let key = format!("key:{i:012}");
            buckets[(place(7, key.as_bytes()) >> (PLACE_BITS - 8)) as usize] += 1;
        }
        assert!(buckets.iter().all(|n| (160..=360).contains(n)), "{buckets:?}");
    }
}
