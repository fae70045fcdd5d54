//! How much the answers under way on a connection may come to.

/// Parsing pauses while the answers under way are expected to have this many bytes together.
const ANSWERS_BYTES_MAX: usize = 16 << 20;
/// What the answer about one key is expected to have until the client's own are known.
const ANSWER_BYTES_FIRST: usize = 64 << 10;

/// The reads under way, and how long an answer has been of late.
#[derive(Debug)]
pub(super) struct Budget {
    /// Keys that are being read.
    keys: usize,
    /// How long the answer about one key is expected to be: a maximum that fades.
    expected: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { keys: 0, expected: ANSWER_BYTES_FIRST }
    }
}

impl Budget {
    /// A request about so many keys is under way; none if its answer is short whatever they hold.
    pub(super) fn add(&mut self, keys: u32) {
        self.keys += keys as usize;
    }

    /// The request has its answer, of so many bytes.
    pub(super) fn done(&mut self, keys: u32, bytes: usize) {
        if let Some(each) = bytes.checked_div(keys as usize) {
            self.expected = (self.expected - self.expected / 32).max(each);
        }
        self.keys = self.keys.saturating_sub(keys as usize);
    }

    /// Whether no more should be asked for now.
    pub(super) fn is_spent(&self) -> bool {
        self.keys.saturating_mul(self.expected) > ANSWERS_BYTES_MAX
    }
}
