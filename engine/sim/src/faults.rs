//! What goes wrong, how often and for how long: every seed draws its own mix.

use crate::rng::Rng;
use crate::{NANOS_PER_MS, Nanos};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A process is killed: its connections end at once.
    Kill,
    /// A machine loses power: nobody is told.
    Power,
    /// A node dies at a chosen step of its next turns.
    KillAtStep,
    /// All nodes lose power.
    Blackout,
    /// A process stands still.
    Pause,
    /// One way between two nodes is cut.
    CutWay,
    /// A node is cut off from all others, both ways.
    Isolate,
    /// Some nodes are cut off from the others, both ways.
    Split,
    /// Two nodes do not reach each other, but both reach the others.
    Bridge,
    /// A node hears nobody, but is heard.
    Deafen,
    /// A connection breaks, also in the middle of a frame.
    Reset,
    /// A way becomes slow, lossy or narrow.
    BadWay,
    /// A disk becomes slow.
    SlowDisk,
    /// A disk is full: no new segment can be made.
    FullDisk,
    /// A write to the disk fails: the log ends for good, the node with it.
    WriteError,
    /// A leader is told to hand over.
    Transfer,
    /// A replica is told to campaign.
    Campaign,
    /// The wall clock of a node jumps.
    ClockJump,
}

/// All kinds of faults.
pub const FAULTS: [Fault; 18] = [
    Fault::Kill,
    Fault::Power,
    Fault::KillAtStep,
    Fault::Blackout,
    Fault::Pause,
    Fault::CutWay,
    Fault::Isolate,
    Fault::Split,
    Fault::Bridge,
    Fault::Deafen,
    Fault::Reset,
    Fault::BadWay,
    Fault::SlowDisk,
    Fault::FullDisk,
    Fault::WriteError,
    Fault::Transfer,
    Fault::Campaign,
    Fault::ClockJump,
];

/// What ends by itself after a while.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    Way { from: usize, to: usize },
    Disk { node: usize },
}

/// A step of a turn at which a node can die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Before anything of the turn is submitted.
    BeforeSubmit,
    /// The log's writes are under way, nothing was sent.
    BeforeSend,
    /// Everything of the turn is under way.
    AfterSend,
    /// The disk has ended a write, the node does not know.
    WriteDone,
    /// A segment file was made, the node does not know.
    SegmentMade,
    /// A snapshot is durable, the shard does not know.
    SnapshotMade,
}

pub(crate) const STEPS: [Step; 6] = [
    Step::BeforeSubmit,
    Step::BeforeSend,
    Step::AfterSend,
    Step::WriteDone,
    Step::SegmentMade,
    Step::SnapshotMade,
];

/// The sizes and the mix of one run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) nodes: usize,
    pub(crate) groups: u64,
    pub(crate) clients: usize,
    pub(crate) keys: u64,
    pub(crate) think_ms: u64,
    pub(crate) faults: Vec<Fault>,
    pub(crate) pause_ms: u64,
    pub(crate) faults_for: Nanos,
    pub(crate) segment_bytes: u64,
    pub(crate) batch_bytes_max: usize,
    pub(crate) depth: usize,
    pub(crate) snapshot_log_bytes: u64,
    pub(crate) value_bytes_max: u64,
    pub(crate) write_nanos: Nanos,
}

impl Plan {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let nodes = [3, 3, 3, 3, 5, 5, 2, 1][rng.place(8)];
        let share = rng.between(1, 3);
        let mut faults: Vec<Fault> =
            FAULTS.iter().copied().filter(|_| rng.below(4) < share).collect();
        if faults.is_empty() {
            faults.push(FAULTS[rng.place(FAULTS.len())]);
        }
        Self {
            nodes,
            groups: rng.between(1, 5),
            clients: rng.between(2, 6) as usize,
            keys: rng.between(2, 8),
            think_ms: [2, 10, 50][rng.place(3)],
            faults,
            pause_ms: [200, 600, 1500, 4000][rng.place(4)],
            faults_for: rng.between(8, 20) * 1000 * NANOS_PER_MS,
            segment_bytes: 64 << 10 << rng.below(3),
            batch_bytes_max: 4096 << rng.below(6),
            depth: rng.between(1, 6) as usize,
            snapshot_log_bytes: [300, 3_000, 20_000, 200_000, u64::MAX][rng.place(5)],
            value_bytes_max: [16, 16, 200, 6000][rng.place(4)],
            write_nanos: rng.between(50, 4000) * 1000,
        }
    }
}
