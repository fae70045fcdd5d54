//! Planted faults: what a careless host, disk or client would do. Each must be found.

use clap::ValueEnum;

/// A fault planted into the host, the disk, the state machine or the clients of a simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Plant {
    /// The host hands receipts back as soon as a batch is appended, before it is durable.
    AckBeforeDurable,
    /// The vote is lost at a restart.
    ForgetVote,
    /// Term, vote and commit are lost at a restart.
    ForgetHardState,
    /// The hard state is left out of a unit that also has entries.
    SplitUnit,
    /// Units without entries are not written: terms and votes are only in memory.
    SkipVoteWrite,
    /// The disk says that a write is done and has not done it, now and then.
    LyingDisk,
    /// The last block of the log is lost at a restart.
    CutTail,
    /// An entry is applied twice, now and then.
    ApplyTwice,
    /// An entry is not applied, now and then.
    SkipApply,
    /// Apply takes the time from the node, not from the entry.
    LocalClock,
    /// Any replica answers reads from its state.
    AnyReplicaReads,
    /// Whoever believes to lead answers reads without a round.
    LeaderReadsAtOnce,
    /// A write is answered when the leader has taken it in.
    EarlyAnswer,
    /// A write whose fate is unknown is answered as certainly not applied.
    UncertainMeansNo,
    /// A request is answered twice, now and then.
    AnswerTwice,
    /// A request is not answered, now and then.
    LoseAnswer,
    /// A granted vote counts once more, as if from another node.
    CountVoteTwice,
    /// An acknowledgement counts once more, as if from another node.
    CountAckTwice,
    /// A follower does not compare the term of the entry before the new ones.
    IgnorePrevTerm,
    /// One node believes to be the only voter of a group.
    LoneVoter,
    /// A lane that went down is never dialled again.
    NeverRedial,
    /// Once the disk was full no segment is ever made again.
    NoRoomForEver,
    /// A snapshot counts as durable while it is not: a death loses it.
    SnapshotNotKept,
    /// A state machine made of a snapshot is taken to end one entry before it does.
    RepeatAfterSnapshot,
    /// The log is cut behind the newest snapshot's end, where its followers and it still need it.
    CutTooFar,
    /// Clients take unknown outcomes for failures.
    UnknownMeansNo,
}
