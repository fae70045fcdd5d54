//! An interpreter for scripts that drive a few replicas in one process and print what they do.
//!
//! A script is lines: a command with its arguments, or a comment that begins with `#`. Nothing
//! happens by itself: messages wait in a network until they are delivered or dropped, time passes
//! when a node is ticked, and a node's outputs are taken when its turn comes. The same script
//! prints the same text on every machine. [`help::HELP`] names every command and the notation.
//!
//! Beside what it is told to do the interpreter watches the laws that need several replicas
//! (Election Safety, Log Matching, Leader Completeness, State Machine Safety; thesis figure 3.2).

mod arguments;
mod changes;
mod disk;
pub(crate) mod help;
mod interpreter;
mod laws;
mod network;
mod node;
mod notation;
mod output;
mod setup;
mod turns;

pub(crate) use interpreter::Interpreter;
