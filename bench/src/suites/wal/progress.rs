//! What is going on, on standard error.

use std::io::{IsTerminal, Write};

/// A line that says what is going on: one that is written over on a terminal, else a line of its
/// own whenever the part changes.
#[derive(Debug, Default)]
pub(super) struct Progress {
    part: String,
}

impl Progress {
    /// Says it.
    pub(super) fn say(&mut self, part: &str, detail: &str) {
        let mut out = std::io::stderr().lock();
        // Nobody is worse off when it cannot be said.
        if out.is_terminal() {
            let _ = write!(out, "\r\x1b[K{part}, {detail}");
            let _ = out.flush();
        } else if self.part != part {
            let _ = writeln!(out, "{part}");
        }
        part.clone_into(&mut self.part);
    }

    /// Makes room for the table.
    pub(super) fn clear(&self) {
        let mut out = std::io::stderr().lock();
        if out.is_terminal() {
            let _ = write!(out, "\r\x1b[K");
            let _ = out.flush();
        }
    }
}
