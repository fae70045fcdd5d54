//! The real key-value state machine, watched: each entry applied is noted for the oracle.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use engine::{ApplyBatch, GroupId, LogId, Replies, RestoreError, StateMachine};
use flaredb::kv::{Kv, Write};

use crate::plant::Plant;

/// How often the digest of a state is taken, in entries.
const DIGEST_EVERY: u64 = 8;

/// An entry that a replica applied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AppliedEntry {
    pub(crate) group: GroupId,
    pub(crate) id: LogId,
    pub(crate) data: u64,
    pub(crate) digest: Option<u64>,
}

/// What the replicas of a node have applied since somebody looked.
pub(crate) type AppliedList = Rc<RefCell<Vec<AppliedEntry>>>;

/// A replica's state machine.
pub(crate) struct Machine {
    pub(crate) kv: Kv,
    pub(crate) group: GroupId,
    pub(crate) node: usize,
    pub(crate) applied: AppliedList,
    pub(crate) clock_ms: Rc<Cell<u64>>,
    pub(crate) plant: Option<Plant>,
}

impl Machine {
    fn apply_one(&mut self, id: LogId, data: &bytes::Bytes, reply: &mut Vec<u8>) {
        let due = self.node == 0 && id.index.0 % 16 == 9;
        let mut times = 1;
        let mut data = data.clone();
        match self.plant {
            Some(Plant::ApplyTwice) if due => times = 2,
            Some(Plant::SkipApply) if due => times = 0,
            Some(Plant::LocalClock) => {
                if let Some((_, write)) = Write::decode(&data.clone()) {
                    data = write.encode(self.clock_ms.get());
                }
            }
            _ => {}
        }
        let mut replies = Replies::default();
        for _ in 0..times {
            let entries = [(id, data.clone())];
            self.kv.apply(&mut ApplyBatch::new(&entries, &mut replies));
        }
        reply.extend_from_slice(replies.reply(0));
    }
}

impl StateMachine for Machine {
    fn apply(&mut self, batch: &mut ApplyBatch<'_>) {
        while let Some((id, data, reply)) = batch.next_entry() {
            self.apply_one(id, data, reply);
            let look = id.index.0 % DIGEST_EVERY == 0;
            let digest = look.then(|| self.kv.digest());
            let (group, data) = (self.group, crate::hash(data));
            self.applied.borrow_mut().push(AppliedEntry { group, id, data, digest });
        }
    }

    fn read(&mut self, query: &[u8], reply: &mut Vec<u8>) {
        self.kv.read(query, reply);
    }

    fn digest(&self) -> u64 {
        self.kv.digest()
    }

    fn begin_snapshot(&mut self) -> bool {
        self.kv.begin_snapshot()
    }

    fn snapshot_piece(&mut self, bytes: usize, piece: &mut Vec<u8>) -> bool {
        self.kv.snapshot_piece(bytes, piece)
    }

    fn restore_piece(&mut self, piece: &[u8]) -> Result<(), RestoreError> {
        self.kv.restore_piece(piece)
    }
}
