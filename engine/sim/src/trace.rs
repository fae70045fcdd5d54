//! What happened, as a running hash always and as text where somebody wants to read it.

use crate::{NANOS_PER_MS, Nanos};

/// The trace of a run.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    from: Nanos,
    until: Nanos,
    lines: Vec<String>,
}

impl Trace {
    /// Keeps the lines from one time to another.
    pub(crate) fn new(from: Nanos, until: Nanos) -> Self {
        Self { hash: 0xCBF2_9CE4_8422_2325, from, until, lines: Vec::new() }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines
    }

    fn mix(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(23);
    }

    /// Notes an event with what makes it up; the text is made only if it is kept.
    pub(crate) fn note(&mut self, now: Nanos, words: &[u64], text: impl FnOnce() -> String) {
        self.mix(now);
        words.iter().for_each(|word| self.mix(*word));
        if now >= self.from && now <= self.until {
            let (ms, rest) = (now / NANOS_PER_MS, now % NANOS_PER_MS / 1000);
            self.lines.push(format!("{ms:>7}.{rest:03} ms  {}", text()));
        }
    }
}
