//! The identities of Raft, each its own type so that a term is never taken for an index.

use core::fmt;

macro_rules! identity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

identity! {
    /// A process that takes part in the cluster. Zero is never a valid node. One that lost its data
    /// comes back under another number: what it acknowledged before still counts under the old one.
    NodeId
}
identity! {
    /// One Raft group (a shard of the key space). Unique in the cluster, never reused.
    GroupId
}
identity! {
    /// A term, Raft's logical clock of leaderships (thesis 3.3). Zero means "before the first
    /// election".
    Term
}
identity! {
    /// A position in the log, from 1; zero is the position before the first entry (thesis 3.5).
    Index
}
identity! {
    /// A point in time, in ticks of the caller's choice since the core was made.
    Tick
}

impl Index {
    /// The position after this one; the last one there is has none after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The position before this one; the position before zero is zero.
    #[must_use]
    pub const fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl Term {
    /// The term after this one; the last one there is has none after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The identity of a log entry: no two different entries of a group ever share one (thesis 3.5, Log
/// Matching).
///
/// Ordered by term, then index: the order in which a vote compares logs (thesis 3.6.1). Prints as
/// `7/42`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    /// The term of the leader that made the entry.
    pub term: Term,
    /// Its position.
    pub index: Index,
}

impl LogId {
    /// An identity from its parts.
    #[must_use]
    pub const fn new(term: Term, index: Index) -> Self {
        Self { term, index }
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.term, self.index)
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
