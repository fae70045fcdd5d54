//! The laws, checked while the cluster runs. The oracle sees everything and touches nothing.

use std::collections::BTreeMap;

use raft_core::{AppendOutcome, Entry, GroupId, Index, LogId, Message, NodeId, Term};

use crate::machine::AppliedEntry;
use crate::snapshots::Shelf;

/// Something a node did that laws speak about.
#[derive(Clone, Debug)]
pub(crate) enum Note {
    /// Entries were given to the log, behind an entry of this term.
    Appended { group: GroupId, prev: Term, entries: Vec<(LogId, u64)> },
    /// A vote left the node.
    Voted { group: GroupId, term: Term, candidate: NodeId },
    /// The node said that its log is durable and equal up to here; this is how far it is durable.
    Promised { group: GroupId, matched: Index, durable: Index },
    /// A snapshot took the place of the log and the state up to here.
    Installed { group: GroupId, last: LogId },
    /// Something that is wrong by itself.
    Wrong(String),
}

/// A law that was broken, and how.
pub(crate) type Broken = Result<(), String>;

/// What is known of the whole cluster.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    leaders: BTreeMap<(GroupId, Term), usize>,
    votes: BTreeMap<(usize, GroupId, Term), NodeId>,
    entries: BTreeMap<(GroupId, Index, Term), (u64, Term)>,
    chosen: BTreeMap<(GroupId, Index), Term>,
    top: BTreeMap<GroupId, LogId>,
    digests: BTreeMap<(GroupId, Index), u64>,
    applied: BTreeMap<(GroupId, usize), Index>,
    pub(crate) elections: u64,
    pub(crate) installs: u64,
    pub(crate) checked: u64,
}

/// What a message says that laws speak about, when it leaves a node.
pub(crate) fn note_of(
    own: NodeId,
    to: NodeId,
    group: GroupId,
    message: &Message,
    durable: impl Fn() -> Index,
) -> Option<Note> {
    match message {
        Message::RequestVote(m) => Some(Note::Voted { group, term: m.term, candidate: own }),
        Message::RequestVoteReply(m) if m.granted => {
            Some(Note::Voted { group, term: m.term, candidate: to })
        }
        Message::AppendEntriesReply(m) => match m.outcome {
            AppendOutcome::Accepted { matched } => {
                Some(Note::Promised { group, matched, durable: durable() })
            }
            _ => None,
        },
        _ => None,
    }
}

/// The identity and the checksum of each entry.
pub(crate) fn digest_of(entries: &[Entry]) -> Vec<(LogId, u64)> {
    entries.iter().map(|e| (e.id, crate::hash(&e.data) << 2 | e.kind as u64)).collect()
}

impl Oracle {
    /// The newest entry of a group known to be committed.
    pub(crate) fn top(&self, group: GroupId) -> LogId {
        self.top.get(&group).copied().unwrap_or_default()
    }

    pub(crate) fn committed(&self) -> usize {
        self.chosen.len()
    }

    pub(crate) fn note(&mut self, node: usize, note: Note) -> Broken {
        self.checked += 1;
        match note {
            Note::Appended { group, mut prev, entries } => {
                for (id, data) in entries {
                    let known = self.entries.entry((group, id.index, id.term));
                    let known = *known.or_insert((data, prev));
                    if known != (data, prev) {
                        return Err(format!(
                            "Log Matching: node {} has another entry {id} in group {group}",
                            node + 1
                        ));
                    }
                    prev = id.term;
                }
                Ok(())
            }
            Note::Voted { group, term, candidate } => {
                let vote = *self.votes.entry((node, group, term)).or_insert(candidate);
                if vote == candidate {
                    return Ok(());
                }
                Err(format!(
                    "One Vote Per Term: node {} voted for {vote} and {candidate} in term {term} \
                     of group {group}",
                    node + 1
                ))
            }
            Note::Promised { group, matched, durable } if matched > durable => Err(format!(
                "Persist Before Send: node {} promised {matched} of group {group}, durable is \
                 {durable}",
                node + 1
            )),
            Note::Promised { .. } => Ok(()),
            Note::Installed { group, last } => {
                self.installs += 1;
                let applied = self.applied.entry((group, node)).or_default();
                *applied = (*applied).max(last.index);
                match self.chosen.get(&(group, last.index)) {
                    Some(term) if *term == last.term => Ok(()),
                    chosen => Err(format!(
                        "State Machine Safety: node {} installed a snapshot up to {last} of group \
                         {group}, chosen is {chosen:?}",
                        node + 1
                    )),
                }
            }
            Note::Wrong(what) => Err(what),
        }
    }

    /// A node leads.
    pub(crate) fn leads(
        &mut self,
        node: usize,
        group: GroupId,
        term: Term,
        term_at: impl Fn(Index) -> Option<Term>,
    ) -> Broken {
        if let Some(leader) = self.leaders.get(&(group, term)) {
            if *leader == node {
                return Ok(());
            }
            let (one, two) = (leader + 1, node + 1);
            return Err(format!(
                "Election Safety: nodes {one} and {two} lead group {group} in term {term}"
            ));
        }
        self.leaders.insert((group, term), node);
        self.elections += 1;
        let top = self.top(group);
        if top.term < term && top.index > Index(0) && term_at(top.index) != Some(top.term) {
            return Err(format!(
                "Leader Completeness: node {} leads group {group} in term {term} without \
                 committed entry {top}",
                node + 1
            ));
        }
        Ok(())
    }

    /// A node knows everything up to this index as committed. True if that was news.
    pub(crate) fn commits(
        &mut self,
        node: usize,
        group: GroupId,
        commit: Index,
        term_at: impl Fn(Index) -> Option<Term>,
    ) -> Result<bool, String> {
        let top = self.top(group);
        let wrong = |index: Index, found: Option<Term>, term: Term| {
            Err(format!(
                "State Machine Safety: node {} committed term {found:?} at {index} of group \
                 {group}, but term {term} was chosen",
                node + 1
            ))
        };
        if let Some(term) = self.chosen.get(&(group, commit)) {
            let found = term_at(commit);
            return if found == Some(*term) { Ok(false) } else { wrong(commit, found, *term) };
        }
        for index in top.index.0 + 1..=commit.0 {
            let index = Index(index);
            let Some(term) = term_at(index) else {
                return Err(format!("node {} committed {index}, which it has not", node + 1));
            };
            self.chosen.insert((group, index), term);
            self.top.insert(group, LogId::new(term, index));
        }
        Ok(commit > top.index)
    }

    /// How many nodes hold the newest committed entry, of how many.
    pub(crate) fn held(&self, group: GroupId, holders: usize, nodes: usize) -> Broken {
        if 2 * holders > nodes {
            return Ok(());
        }
        Err(format!(
            "Committed Is Durable: {} of group {group} is on {holders} of {nodes} disks",
            self.top(group)
        ))
    }

    /// A replica applied an entry.
    pub(crate) fn applies(&mut self, node: usize, entry: AppliedEntry) -> Broken {
        self.checked += 1;
        let AppliedEntry { group, id, data, digest } = entry;
        let last = self.applied.entry((group, node)).or_default();
        if id.index <= *last {
            return Err(format!("node {} applied {id} of group {group} again", node + 1));
        }
        *last = id.index;
        let written = self.entries.get(&(group, id.index, id.term)).map(|(hash, _)| *hash);
        if written != Some(data << 2) {
            return Err(format!(
                "State Machine Safety: node {} applied another {id} of group {group} than was \
                 written",
                node + 1
            ));
        }
        if let Some(digest) = digest {
            let known = *self.digests.entry((group, id.index)).or_insert(digest);
            if known != digest {
                return Err(format!(
                    "Equal States: node {} differs after {id} of group {group}",
                    node + 1
                ));
            }
        }
        Ok(())
    }

    /// A node starts again: its state machines are what its snapshots hold.
    pub(crate) fn restarted(&mut self, node: usize, shelf: &Shelf) {
        for ((group, _), applied) in self.applied.iter_mut().filter(|((_, n), _)| *n == node) {
            *applied = shelf.last(*group).index;
        }
    }
}
