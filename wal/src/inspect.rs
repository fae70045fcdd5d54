//! Looking into the folder of a log without its node: what it holds, whether it is whole, and
//! taking away what is not.
//!
//! Everything but [`Quarantine`] only reads. Two views exist of the same files.
//! [`verify`](fn@verify) and [`Export`] believe what [`crate::recover`] proves, as a node would
//! that starts now. [`walk`](fn@walk) shows what is there, also behind damage, and believes no
//! more than the checksums.

mod error;
mod export;
mod files;
mod plan;
mod quarantine;
mod stat;
mod tail;
mod verify;
mod walk;

pub use error::InspectError;
pub use export::{Export, ExportedEntry};
pub use files::Files;
pub use quarantine::{Lost, Quarantine};
pub use stat::{BatchCounts, GroupStat, KindStat, SegmentStat, Stat, stat};
pub use tail::{Follow, TailBatch, tail};
pub use verify::{Report, Verdict, verify};
pub use walk::{Batch, Gap, Item, Record, kind_name, walk};
