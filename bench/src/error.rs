//! What can go wrong in a measurement: it has no figure then, never a wrong one.

use std::io;
use std::path::PathBuf;

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// A program is not on PATH.
    #[error("{program} is not on PATH; install it with: {install}")]
    Missing {
        /// The program.
        program: &'static str,
        /// The command that installs it.
        install: &'static str,
    },
    /// The system refused something.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        error: io::Error,
    },
    /// A server did not start or ended by itself.
    #[error("{server} {what}; its output is in {log}")]
    Server {
        /// The server.
        server: &'static str,
        /// What it did.
        what: String,
        /// Where its output is.
        log: PathBuf,
    },
    /// A server answered what it should not have.
    #[error("unexpected answer: {0}")]
    Answer(String),
    /// Nothing was answered for a long time.
    #[error("no answer for {seconds} s with {waiting} operations under way")]
    Stalled {
        /// How long.
        seconds: u64,
        /// How many operations were waiting.
        waiting: usize,
    },
    /// A consensus core did not do what it should.
    #[error("unexpected of a core: {0}")]
    Core(String),
    /// A write-ahead log did not do what it should.
    #[error("unexpected of a log: {0}")]
    Log(String),
    /// The command line asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
}

/// Adds what was tried to an I/O error.
pub(crate) trait Tried<T> {
    /// `Err` becomes `what: error`.
    fn tried(self, what: impl Into<String>) -> Result<T, BenchError>;
}

impl<T> Tried<T> for io::Result<T> {
    fn tried(self, what: impl Into<String>) -> Result<T, BenchError> {
        self.map_err(|error| BenchError::Io { what: what.into(), error })
    }
}
