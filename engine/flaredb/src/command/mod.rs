//! Commands: from a client's words to a reply, or to a request to a group.

mod cluster;
mod config;
mod connection;
mod introspection;
mod keys;
mod refusal;
mod server;
mod strings;
mod table;

use bytes::Bytes;
use engine::{GroupId, NodeView, Op};

use crate::kv::number::parse_i64;
use crate::kv::{Query, Write};
use crate::resp::{Args, Writer};
use crate::server::Server;
use crate::session::Session;
use crate::slots::slot_of;

pub(crate) use keys::{cursor, next_group, split_cursor};
pub(crate) use refusal::Refusal;
pub(crate) use table::{NO_AUTH, Spec, find};

/// A command being executed.
pub(crate) struct Call<'c> {
    pub(crate) args: Args<'c>,
    pub(crate) spec: &'static Spec,
    pub(crate) now: u64,
    pub(crate) view: &'c NodeView,
    pub(crate) session: &'c mut Session,
    /// Where a local reply goes. A command that refuses has written nothing.
    pub(crate) out: &'c mut Vec<u8>,
}

/// What is to be done after a command was executed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing: the reply has been written.
    Replied,
    /// Close the connection: the reply has been written.
    Close,
    /// Ask the group of the command's keys.
    Keyed(Op),
    /// Ask the group of this slot.
    Slot(u16, Op),
    /// Ask this group for the page of keys that the cursor names.
    Page {
        /// What the client gave.
        cursor: u64,
        /// The group to ask.
        group: GroupId,
        /// The question.
        op: Op,
    },
    /// Ask all groups led here, and make one reply of theirs.
    Gather(Merge, Op),
}

/// How the answers of many groups become one reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merge {
    /// Numbers are added.
    Sum,
    /// Arrays are joined.
    Join,
    /// All must have said yes.
    All,
    /// The page of one group's keys that this cursor names; the next page may be another group's.
    Page {
        /// The cursor.
        cursor: u64,
    },
}

/// What executing a command comes to.
pub(crate) type Executed = Result<Action, Refusal>;

impl Call<'_> {
    pub(crate) fn server(&self) -> &Server {
        self.session.server()
    }

    pub(crate) fn writer(&mut self) -> Writer<'_> {
        Writer::new(self.out, self.session.version)
    }

    /// An argument as an integer.
    pub(crate) fn integer(&self, number: usize) -> Result<i64, Refusal> {
        parse_i64(self.args.at(number)).ok_or(Refusal::NOT_AN_INTEGER)
    }

    pub(crate) fn status(&mut self, word: &str) -> Executed {
        self.writer().status(word);
        Ok(Action::Replied)
    }

    pub(crate) fn reply_integer(&mut self, n: i64) -> Executed {
        self.writer().integer(n);
        Ok(Action::Replied)
    }

    pub(crate) fn write(&self, write: &Write<'_>) -> Executed {
        Ok(Action::Keyed(Op::Write(write.encode(self.now))))
    }

    pub(crate) fn read(&self, query: &Query<'_>) -> Executed {
        Ok(Action::Keyed(Op::Read(query.encode(self.now))))
    }

    pub(crate) fn written(&self, entry: Bytes) -> Executed {
        Ok(Action::Keyed(Op::Write(entry)))
    }

    pub(crate) fn asked(&self, query: Bytes) -> Executed {
        Ok(Action::Keyed(Op::Read(query)))
    }

    /// Whether an argument is this word, whatever its case.
    pub(crate) fn is(&self, number: usize, word: &str) -> bool {
        self.args.at(number).eq_ignore_ascii_case(word.as_bytes())
    }
}

/// The slot that all keys of a command have; none if it has no keys.
pub(crate) fn slot(spec: &Spec, args: &Args<'_>) -> Result<Option<u16>, Refusal> {
    let Some((first, last)) = spec.key_range(args.len()) else {
        return Ok(None);
    };
    let slot = slot_of(args.at(first));
    for number in (first..=last).step_by(spec.key_step).skip(1) {
        if slot_of(args.at(number)) != slot {
            return Err(Refusal::CROSS_SLOT);
        }
    }
    Ok(Some(slot))
}

/// The name and arity of a subcommand, and what it does.
pub(crate) struct Sub {
    pub(crate) name: &'static str,
    /// As of [`Spec::arity`], the command's own name included.
    pub(crate) arity: i8,
    pub(crate) run: fn(&mut Call<'_>) -> Executed,
}

/// Executes the subcommand that the second word names.
fn dispatch(call: &mut Call<'_>, subs: &'static [Sub]) -> Executed {
    let given = call.args.at(1);
    let Some(sub) = subs.iter().find(|sub| given.eq_ignore_ascii_case(sub.name.as_bytes())) else {
        return Err(Refusal::unknown_subcommand(call.spec.name, given));
    };
    if !table::arity_allows(sub.arity, call.args.len()) {
        return Err(Refusal::sub_arity(call.spec.name, sub.name));
    }
    (sub.run)(call)
}
