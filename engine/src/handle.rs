//! Requests from code that runs on a shard: no hop, no lock, no atomic.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use raft_core::GroupId;

use crate::mesh::{Caller, ReplyTo, Request};
use crate::request::{Op, Outcome};
use crate::view::NodeView;

/// What to do with an outcome, on the shard that asked.
type Callback = Box<dyn FnOnce(Outcome)>;

/// Something to run on a shard.
pub(crate) struct ShardTask(pub(crate) Box<dyn FnOnce(&ShardHandle) + Send>);

/// A shard, seen by code that runs on it. Requests to groups of the same shard do not leave the
/// core; others take the mesh. Cheap to clone; keep it in a callback to go on from there.
#[derive(Clone)]
pub struct ShardHandle {
    shard: usize,
    view: Arc<NodeView>,
    queue: Rc<RefCell<Queue>>,
}

#[derive(Default)]
struct Queue {
    next: u64,
    requests: Vec<Request>,
    callbacks: BTreeMap<u64, Callback>,
}

impl ShardHandle {
    pub(crate) fn new(shard: usize, view: Arc<NodeView>) -> Self {
        Self { shard, view, queue: Rc::default() }
    }

    /// The number of this shard on its node, from zero.
    #[must_use]
    pub fn shard(&self) -> usize {
        self.shard
    }

    /// What the node knows of itself, the cluster and the leaders.
    #[must_use]
    pub fn view(&self) -> &NodeView {
        &self.view
    }

    /// Replicates a command; `then` runs on this shard with the state machine's reply.
    pub fn write(
        &self,
        group: GroupId,
        command: impl Into<Bytes>,
        then: impl FnOnce(Outcome) + 'static,
    ) {
        self.submit(group, Op::Write(command.into()), Box::new(then));
    }

    /// Answers a query linearizably; `then` runs on this shard with the answer.
    pub fn read(
        &self,
        group: GroupId,
        query: impl Into<Bytes>,
        then: impl FnOnce(Outcome) + 'static,
    ) {
        self.submit(group, Op::Read(query.into()), Box::new(then));
    }

    fn submit(&self, group: GroupId, op: Op, then: Callback) {
        let mut queue = self.queue.borrow_mut();
        let key = queue.next;
        queue.next += 1;
        queue.callbacks.insert(key, then);
        let reply_to = ReplyTo::Shard { shard: self.shard, caller: Caller::Handle { key } };
        queue.requests.push(Request { group, op, reply_to });
    }

    /// Requests made and not yet answered.
    pub(crate) fn outstanding(&self) -> usize {
        self.queue.borrow().callbacks.len()
    }

    /// Whether requests were made since they were last taken.
    pub(crate) fn has_requests(&self) -> bool {
        !self.queue.borrow().requests.is_empty()
    }

    /// The requests made since the last call.
    pub(crate) fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.queue.borrow_mut().requests)
    }

    /// Runs the callback of a request. It may make new requests.
    pub(crate) fn complete(&self, key: u64, outcome: Outcome) {
        let then = self.queue.borrow_mut().callbacks.remove(&key);
        if let Some(then) = then {
            then(outcome);
        }
    }
}

impl std::fmt::Debug for ShardHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShardHandle").field("shard", &self.shard).finish_non_exhaustive()
    }
}
