//! Choices out of bytes. Beyond the end every choice is the first.

use raft_core::{Index, LogId, Term};

pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// Below `bound`, which is at most 256.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    pub(super) fn flag(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Any number, most of them small.
    pub(super) fn number(&mut self) -> u64 {
        let end = 1 << 62;
        match self.byte() {
            b @ 0..200 => u64::from(b % 10),
            b @ 200..240 => u64::from(b) * 7,
            240..244 => end,
            244..248 => end - 1,
            248..250 => u64::MAX,
            _ => (0..8).fold(0, |n, _| n << 8 | u64::from(self.byte())),
        }
    }

    /// Mostly a number close to `to`.
    pub(super) fn near(&mut self, to: u64) -> u64 {
        match self.byte() {
            0..110 => to,
            110..170 => to.saturating_add(1),
            170..190 => to.saturating_add(2),
            190..220 => to.saturating_sub(1),
            220..232 => to.saturating_sub(2),
            _ => self.number(),
        }
    }

    /// An entry's place; `term_at` says what the log has there, which it mostly is.
    pub(super) fn log_id(
        &mut self,
        close: u64,
        term: Term,
        term_at: impl Fn(Index) -> Option<Term>,
    ) -> LogId {
        let index = Index(self.near(close));
        let known = term_at(index).filter(|_| self.byte() < 200);
        LogId::new(known.unwrap_or_else(|| Term(self.near(term.0))), index)
    }
}
