//! Requests from any thread.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use raft_core::{GroupId, LogId};

use crate::mesh::{Mesh, Parcel, ReplyTo, Request, SendRefused};
use crate::request::{Op, Outcome, RequestError};
use crate::view::NodeView;

/// Sends requests to the groups of a node from any thread, sync or async. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    mesh: Mesh,
    view: Arc<NodeView>,
}

/// The waiting end of a caller on a thread of its own.
#[derive(Debug)]
pub(crate) struct ClientReply(oneshot::Sender<Outcome>);

impl ClientReply {
    pub(crate) fn send(self, outcome: Outcome) {
        // The caller may have stopped waiting: then nobody wants to know.
        let _ = self.0.send(outcome);
    }
}

/// An outcome that is on its way: wait for it with [`Pending::wait`], or `.await` it.
#[derive(Debug)]
#[must_use = "the outcome says whether the request had an effect"]
pub struct Pending(oneshot::Receiver<Outcome>);

/// A node that ends without an answer leaves the fate of the request open.
const UNKNOWN: RequestError =
    RequestError::Uncertain { id: LogId::new(raft_core::Term(0), raft_core::Index(0)) };

impl Pending {
    /// Blocks until the outcome is there.
    ///
    /// # Errors
    /// As [`RequestError`] says; `Uncertain` with entry `0/0` if the node ended meanwhile.
    pub fn wait(self) -> Outcome {
        self.0.recv().unwrap_or(Err(UNKNOWN))
    }

    /// Blocks until the outcome is there, at most this long; `None` if it is not.
    #[must_use]
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Outcome> {
        match self.0.recv_timeout(timeout) {
            Ok(outcome) => Some(outcome),
            Err(oneshot::RecvTimeoutError::Timeout) => None,
            Err(oneshot::RecvTimeoutError::Disconnected) => Some(Err(UNKNOWN)),
        }
    }
}

impl Future for Pending {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        Pin::new(&mut self.0).poll(context).map(|received| received.unwrap_or(Err(UNKNOWN)))
    }
}

impl Client {
    pub(crate) fn new(mesh: Mesh, view: Arc<NodeView>) -> Self {
        Self { mesh, view }
    }

    /// Replicates a command and answers with the state machine's reply.
    pub fn write(&self, group: GroupId, command: impl Into<Bytes>) -> Pending {
        self.submit(group, Op::Write(command.into()))
    }

    /// Answers a query linearizably.
    pub fn read(&self, group: GroupId, query: impl Into<Bytes>) -> Pending {
        self.submit(group, Op::Read(query.into()))
    }

    /// What the node knows of itself, the cluster and the leaders.
    #[must_use]
    pub fn view(&self) -> &NodeView {
        &self.view
    }

    fn submit(&self, group: GroupId, op: Op) -> Pending {
        let (sender, receiver) = oneshot::channel();
        let request = Request { group, op, reply_to: ReplyTo::Client(ClientReply(sender)) };
        let refused = match self.mesh.send(self.view.shard_of(group), Parcel::Request(request)) {
            Ok(()) => None,
            Err(SendRefused::Full(parcel)) => {
                Some((parcel, RequestError::Busy { retry_after: Duration::from_millis(5) }))
            }
            Err(SendRefused::Ended(parcel)) => Some((parcel, RequestError::Stopped)),
        };
        if let Some((Parcel::Request(Request { reply_to: ReplyTo::Client(reply), .. }), error)) =
            refused
        {
            reply.send(Err(error));
        }
        Pending(receiver)
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("node", &self.view.node()).finish_non_exhaustive()
    }
}
