//! Where the two implementations differ on purpose.

use std::collections::BTreeMap;

use raft_core::{AppendEntriesReply, AppendOutcome, Message, NodeId, PeerState, Role};

use super::model::View;
use super::single::{Ask, Case};

/// A difference that is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Divergence {
    /// A pre-vote that is refused because a leader is heard is answered, so that the candidate need
    /// not wait; raft-rs is silent. Neither changes its state.
    RefusalIsSaid,
    /// Who hears a leader refuses pre-votes, whatever the settings (thesis 9.6); raft-rs does so
    /// only with `check_quorum`, so that without it a pre-vote stops no disruption.
    PreVoteAgainstLeader,
    /// Every request of a term that is over is answered with the new term; raft-rs leaves a
    /// candidate, and a leader with a snapshot, to find out by themselves (thesis 3.3).
    StaleSenderIsTold,
    /// An append that begins below commit and ends beyond it is taken whole; raft-rs answers with
    /// its commit index, and the rest is sent again.
    AppendAcrossCommit,
    /// What proves that two histories exist, or that the own log lost entries, stops the replica;
    /// raft-rs panics at some of it, and answers the rest.
    LiarStops,
    /// A snapshot is taken also if its configuration does not name this replica: the entry that
    /// adds it may come after. raft-rs drops it.
    SnapshotBeforeJoining,
    /// `TimeoutNow` comes from the leader of its term and is followed as such, also by a candidate
    /// of that term; raft-rs forgets its sender, and a candidate ignores it.
    TimeoutNowIsOfLeader,
    /// A pre-candidate that gives its vote to another steps back; raft-rs goes on counting.
    VoterStepsBack,
    /// A vote that was refused and then given counts: refusals may answer an older question, and a
    /// grant is a promise. For raft-rs the first answer stands.
    GrantOutweighsRefusal,
    /// A leader that does not hear from a quorum for an election timeout steps down then and there;
    /// raft-rs looks once per election timeout, and so waits for up to two (thesis 6.2).
    QuorumIsWatchedAllTheTime,
    /// A configuration is in force as soon as it is in the log (thesis 4.1), for raft-rs when it is
    /// applied.
    InForceOnAppend,
    /// A vote given again, to somebody who lost, is no sign of life of the leader; for raft-rs it
    /// is, and the leader's time begins again.
    RepeatedVoteIsNoLife,
    /// When a rejection shows that the logs part before the base, the base is still tried before a
    /// snapshot is sent: a round trip more, and no snapshot to who does not need it.
    BaseIsProbed,
    /// Any answer to a probe ends it, also one that says no more than what was known; raft-rs then
    /// waits for the next heartbeat.
    ProbeIsAnswered,
    /// A rejection of what is known to match is stale: the next entry lies beyond what matches,
    /// always. raft-rs steps back while it probes.
    NextIsBeyondMatch,
    /// Who has installed a snapshot has answered, and gets entries without waiting; raft-rs probes
    /// it once more. Ours ends the wait also when older entries turn out to be enough.
    SnapshotAnswerIsEnough,
    /// To hand over to nobody, or to who does not vote, is refused and changes nothing; for raft-rs
    /// to name the leader itself takes a former request back.
    TransferIsRefused,
    /// A single voter leads once its vote is durable (thesis 3.8); raft-rs leads at once, so that
    /// after a crash it may lead the same term again, with other entries. It panics if entries
    /// still are on their way to the disk.
    OwnVoteIsDurable,
    /// Steps of which one at most concerns a voter need no joint configuration (thesis 4.1);
    /// raft-rs takes one for any two steps.
    OneVoterAtATime,
    /// A change that changes nothing is refused; for raft-rs it is a change.
    UnchangedIsRefused,
    /// Two steps for one node are refused; raft-rs takes them one after the other.
    ContradictionIsRefused,
    /// A change that would leave no voter is refused; raft-rs takes its entry, which then cannot be
    /// applied.
    NoVotersIsRefused,
    /// A change is taken once the one before is committed; raft-rs waits until the leader has
    /// applied it.
    ChangeNeedNotBeApplied,
    /// A leader that is no voter any more makes room once that is committed (thesis 4.2.2); raft-rs
    /// leads on until its host stops it.
    RemovedLeaderMakesRoom,
}

impl Divergence {
    /// Those between single replicas.
    pub(crate) const SINGLE: &[Self] = &[
        Self::RefusalIsSaid,
        Self::PreVoteAgainstLeader,
        Self::StaleSenderIsTold,
        Self::AppendAcrossCommit,
        Self::LiarStops,
        Self::SnapshotBeforeJoining,
        Self::TimeoutNowIsOfLeader,
        Self::VoterStepsBack,
        Self::GrantOutweighsRefusal,
        Self::QuorumIsWatchedAllTheTime,
        Self::InForceOnAppend,
        Self::RepeatedVoteIsNoLife,
        Self::BaseIsProbed,
        Self::ProbeIsAnswered,
        Self::NextIsBeyondMatch,
        Self::SnapshotAnswerIsEnough,
        Self::TransferIsRefused,
    ];

    /// Those between changes of equal configurations.
    pub(crate) const CHANGES: &[Self] =
        &[Self::OneVoterAtATime, Self::UnchangedIsRefused, Self::ContradictionIsRefused];

    /// Those between clusters.
    pub(crate) const CLUSTER: &[Self] = &[
        Self::UnchangedIsRefused,
        Self::ContradictionIsRefused,
        Self::NoVotersIsRefused,
        Self::ChangeNeedNotBeApplied,
        Self::RemovedLeaderMakesRoom,
        Self::OwnVoteIsDurable,
    ];

    /// The declared difference that a case shows.
    pub(crate) fn of(case: &Case) -> Option<Self> {
        let mut all = Self::SINGLE.iter().chain(Self::CLUSTER).copied();
        all.find(|d| d.explains(case))
    }

    fn explains(self, case: &Case) -> bool {
        match case.ask.message() {
            Some(Message::AppendEntriesReply(reply)) => {
                self.explains_reply(case, reply) || self.explains_any(case)
            }
            Some(message) => self.explains_message(case, message) || self.explains_any(case),
            None => self.explains_any(case),
        }
    }

    /// About messages to followers and candidates.
    fn explains_message(self, case: &Case, message: &Message) -> bool {
        let Case { setup, before, wavered, revoted, ours, theirs, .. } = case;
        let same_state = ours.view == theirs.view;
        match (self, message) {
            (Self::RefusalIsSaid, Message::PreVote(m)) => {
                let hears = setup.check_quorum && before.leader.is_some();
                same_state
                    && hears
                    && m.term.0 > before.term
                    && pre_vote(&ours.sent) == Some(false)
                    && theirs.sent.is_empty()
            }
            (Self::PreVoteAgainstLeader, Message::PreVote(_)) => {
                same_state
                    && before.leader.is_some()
                    && pre_vote(&ours.sent) == Some(false)
                    && pre_vote(&theirs.sent) == Some(true)
            }
            (Self::AppendAcrossCommit, Message::AppendEntries(m)) => {
                let end = m.prev.index.0 + m.entries.len() as u64;
                m.prev.index.0 < before.commit
                    && end > before.commit
                    && accepted(&ours.sent) == Some(end)
                    && accepted(&theirs.sent) == Some(before.commit)
            }
            (Self::SnapshotBeforeJoining, Message::InstallSnapshot(m)) => {
                !m.snapshot.conf.contains(NodeId(setup.id))
                    && accepted(&ours.sent) == Some(m.snapshot.last.index.0)
                    && accepted(&theirs.sent) == Some(before.commit)
            }
            (Self::TimeoutNowIsOfLeader, Message::TimeoutNow(m)) => {
                m.term.0 == before.term && before.role != Role::Follower
                    || ours.view.role == Role::Follower
                        && View { leader: None, ..ours.view.clone() } == theirs.view
            }
            (Self::VoterStepsBack, Message::RequestVote(_)) => {
                theirs.view.role == Role::PreCandidate
                    && View { role: Role::Follower, ..theirs.view.clone() } == ours.view
                    && ours.sent == theirs.sent
            }
            (
                Self::GrantOutweighsRefusal,
                Message::PreVoteReply(_) | Message::RequestVoteReply(_),
            ) => *wavered && rank(ours.view.role) > rank(theirs.view.role),
            (Self::RepeatedVoteIsNoLife, Message::RequestVote(_) | Message::PreVote(_)) => {
                setup.check_quorum && *revoted && before.leader.is_some() && theirs.view == *before
            }
            (Self::OwnVoteIsDurable, Message::TimeoutNow(_)) => {
                theirs.view.stopped && before.leads() && before.conf.voters.len() == 1
            }
            _ => false,
        }
    }

    /// About what a follower answers to entries.
    fn explains_reply(self, case: &Case, reply: &AppendEntriesReply) -> bool {
        let Case { before, ask: Ask::Message(from, _), ours, theirs, .. } = case else {
            return false;
        };
        let Some(peer) = before.peers.iter().find(|peer| peer.0 == *from) else {
            return false;
        };
        let (_, matched, next, state) = *peer;
        let probed = state == PeerState::Probe;
        let explained = match (self, reply.outcome) {
            (Self::BaseIsProbed, AppendOutcome::Rejected { .. }) => {
                let snapshot = |(_, m): &_| matches!(m, Message::InstallSnapshot(_));
                ours.sent.is_empty() && theirs.sent.iter().any(snapshot)
            }
            (Self::SnapshotAnswerIsEnough, AppendOutcome::Accepted { .. }) => {
                state == PeerState::Snapshot
            }
            (Self::ProbeIsAnswered, AppendOutcome::Accepted { matched: again }) => {
                probed && again.0 == matched && matched + 1 == next
            }
            (Self::NextIsBeyondMatch, AppendOutcome::Rejected { prev, .. }) => {
                probed && prev.0 <= matched
            }
            _ => false,
        };
        let rest = |view: &View| View { peers: Vec::new(), ..view.clone() };
        explained && rest(&ours.view) == rest(&theirs.view)
    }

    /// About anything else.
    fn explains_any(self, case: &Case) -> bool {
        let Case { setup, before, ask, honest, ours, theirs, .. } = case;
        match self {
            Self::StaleSenderIsTold => {
                ask.message().is_some_and(|m| m.term().0 < before.term)
                    && ours.view == theirs.view
                    && ours.sent.len() == 1
                    && theirs.sent.is_empty()
            }
            Self::LiarStops => !honest && ours.view.stopped,
            Self::QuorumIsWatchedAllTheTime => {
                matches!(ask, Ask::Tick(_)) && before.leads() && !ours.view.leads()
            }
            Self::InForceOnAppend => {
                ours.view.leads()
                    && before.conf.auto_leave
                    && ours.view.log == theirs.view.log
                    && theirs.view.conf == before.conf
            }
            Self::TransferIsRefused => {
                matches!(ask, Ask::Transfer(to) if *to == setup.id)
                    && ours.view == *before
                    && theirs.view.transfer.is_none()
            }
            _ => false,
        }
    }
}

/// How near to leading.
fn rank(role: Role) -> u32 {
    match role {
        Role::Follower => 0,
        Role::PreCandidate => 1,
        Role::Candidate => 2,
        Role::Leader => 3,
    }
}

/// What a pre-vote was answered, if that is all that was sent.
fn pre_vote(sent: &[(u64, Message)]) -> Option<bool> {
    if let [(_, Message::PreVoteReply(m))] = sent { Some(m.granted) } else { None }
}

/// The index up to which entries or a snapshot were accepted, if nothing else was sent.
fn accepted(sent: &[(u64, Message)]) -> Option<u64> {
    let [(_, Message::AppendEntriesReply(m))] = sent else {
        return None;
    };
    if let AppendOutcome::Accepted { matched } = m.outcome { Some(matched.0) } else { None }
}

/// What a run has seen.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    divergences: BTreeMap<Divergence, u64>,
    compared: BTreeMap<String, u64>,
}

impl Tally {
    pub(crate) fn note(&mut self, divergence: Divergence) {
        *self.divergences.entry(divergence).or_default() += 1;
    }

    /// Something was compared.
    pub(crate) fn compared(&mut self, what: impl Into<String>) {
        *self.compared.entry(what.into()).or_default() += 1;
    }

    /// How often something was compared.
    pub(crate) fn count(&self, what: &str) -> u64 {
        self.compared.get(what).copied().unwrap_or_default()
    }

    /// Prints everything; with `all`, each of the declared differences must have occurred.
    pub(crate) fn report(&self, declared: &[Divergence], all: bool) {
        for (what, count) in &self.compared {
            println!("compared {count:>8} x {what}");
        }
        for divergence in declared {
            let count = self.divergences.get(divergence).copied().unwrap_or_default();
            println!("declared {count:>8} x {divergence:?}");
            assert!(!all || count > 0, "{divergence:?} is declared and does not occur any more");
        }
    }
}
