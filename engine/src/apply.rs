//! Applying committed entries, in batches per group, and answering who waited for them.

use bytes::Bytes;
use multi_raft::MultiReady;
use raft_core::{Applied, EntryKind, GroupId, LogId, Storage};

use crate::persist::ENTRY_OVERHEAD;
use crate::shard::{Outlet, Shard};
use crate::state_machine::ApplyBatch;

impl<S: Storage> Shard<S> {
    /// Applies all committed entries of a poll: they come in runs, one per group.
    pub(crate) fn apply(&mut self, ready: &mut MultiReady, io: &mut impl Outlet) {
        let mut committed = ready.committed_entries.drain(..).peekable();
        while let Some(group) = committed.peek().map(|(group, _)| *group) {
            let mut last = LogId::default();
            self.apply_scratch.clear();
            let mut bytes = 0;
            while let Some((_, entry)) = committed.next_if(|(g, _)| *g == group) {
                last = entry.id;
                bytes += (entry.data.len() + ENTRY_OVERHEAD) as u64;
                match entry.kind {
                    EntryKind::Normal => self.apply_scratch.push((entry.id, entry.data)),
                    // These concern the replica alone.
                    EntryKind::NoOp | EntryKind::ConfChange => {}
                }
            }
            self.apply_run(group, io);
            // Whoever still waits for a place up to here lost it, to an empty entry for instance.
            let claimed = self.claim(group, last, io);
            debug_assert!(claimed.is_none(), "an applied entry was claimed twice");
            self.note_applied(group, last, bytes);
            self.serve_reads(group, last.index, None, io);
            if self.raft.applied(group, Applied(last.index)).is_err() {
                tracing::error!(%group, "applied entries of a group that is not here");
            }
        }
    }

    /// Applies the entries in the scratch list to one group. Reads have their turn in between,
    /// where they stood when they came.
    fn apply_run(&mut self, group: GroupId, io: &mut impl Outlet) {
        let entries = std::mem::take(&mut self.apply_scratch);
        let mut replies = std::mem::take(&mut self.replies);
        self.metrics.entries_applied.add(entries.len() as u64);
        let mut rest = &entries[..];
        while let Some((next, _)) = rest.first() {
            let before_reads = self.entries_before_reads(group, rest);
            if before_reads == 0 {
                self.serve_reads(group, next.index.prev(), Some(*next), io);
                continue;
            }
            let (now, later) = rest.split_at(before_reads);
            rest = later;
            if let Some(replica) = self.replica(group) {
                replica.machine.apply(&mut ApplyBatch::new(now, &mut replies));
            }
            for (place, (id, _)) in now.iter().enumerate() {
                if let Some(reply_to) = self.claim(group, *id, io) {
                    self.answer(reply_to, Ok(Bytes::copy_from_slice(replies.reply(place))), io);
                }
            }
        }
        self.replies = replies;
        self.apply_scratch = entries;
    }
}
