//! The commands.

use std::panic::{AssertUnwindSafe, catch_unwind};

use raft_core::{Bytes, Index, InstallSnapshot, Message, NodeId, ReadId, SnapshotStatus, Tick};

use super::arguments::{Arguments, Outcome, number};
use super::changes;
use super::help::HELP;
use super::laws::Laws;
use super::network::{Envelope, Filter, Network};
use super::node::Node;
use super::notation;
use super::output::{Level, Output};
use super::setup::Setup;

/// Ticks beyond this are refused.
const TICKS_MAX: u64 = 1_000_000;

/// A command that was executed, as it was written, and what it printed.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) statement: String,
    pub(crate) output: String,
}

/// Replicas, the network between them, and what they have said.
#[derive(Default)]
pub(crate) struct Interpreter {
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    pub(crate) laws: Laws,
    pub(crate) out: Output,
    /// Commands refused and laws broken.
    pub(crate) refused: usize,
    /// A change of the members whose steps may follow on the next line.
    waiting: Option<String>,
}

impl Interpreter {
    /// Takes a line. Returns the commands that are complete now.
    pub(crate) fn feed(&mut self, line: &str) -> Vec<Done> {
        let line = line.trim();
        let mut done = Vec::new();
        if let Some(first) = self.waiting.take() {
            if changes::is_steps(line) {
                return vec![self.run(&first, line)];
            }
            done.push(self.run(&first, ""));
        }
        if line.is_empty() || line.starts_with('#') {
            return done;
        }
        let parsed = Arguments::parse(line).unwrap_or_default();
        if parsed.name == "propose-conf-change" && parsed.has_no_steps() {
            self.waiting = Some(line.into());
        } else {
            done.push(self.run(line, ""));
        }
        done
    }

    /// No more lines belong to the command before.
    pub(crate) fn finish(&mut self) -> Vec<Done> {
        self.feed("")
    }

    /// How many commands were refused, and laws broken.
    pub(crate) const fn refused(&self) -> usize {
        self.refused
    }

    fn run(&mut self, line: &str, more: &str) -> Done {
        let level = self.out.level;
        let work = AssertUnwindSafe(|| {
            let mut args = Arguments::parse(line)?;
            args.extend(more);
            self.execute(args)
        });
        let outcome = catch_unwind(work).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            Err(format!("LAW BROKEN: {text}"))
        });
        self.out.group(None);
        if let Err(sentence) = outcome {
            self.refused += 1;
            let prefix = if sentence.starts_with("LAW") { "" } else { "refused: " };
            self.out.line(Level::Silent, &format!("{prefix}{sentence}"));
        }
        let broken = self.laws.compare(&self.nodes);
        self.broken(broken);
        if !line.starts_with("log-level") {
            self.out.level = level;
        }
        let statement = if more.is_empty() { line.into() } else { format!("{line}\n{more}") };
        Done { statement, output: self.out.take() }
    }

    fn execute(&mut self, args: Arguments) -> Outcome {
        match args.name.clone().as_str() {
            "add-nodes" => self.add_nodes(args),
            "campaign" => self.campaign(args),
            "compact" => self.compact(args),
            "deliver-msgs" => self.deliver_msgs(args),
            "forget-leader" => Err("this core forgets no leader on request; it stops clinging to \
                                    one election-tick ticks after it was heard last: let time pass"
                .into()),
            "heal" => self.heal(args),
            "help" => self.help(),
            "log-level" => self.log_level(args),
            "messages" => self.messages(args),
            "partition" => self.partition(args),
            "process-append" | "process-append-thread" => self.process_append(args),
            "process-apply" | "process-apply-thread" => self.process_apply(args),
            "process-ready" => self.process_ready(args),
            "propose" => self.propose(args),
            "propose-conf-change" => self.propose_conf_change(args),
            "raft-log" => self.raft_log(args),
            "raft-state" => self.raft_state(args),
            "read-index" => self.read_index(args),
            "report-snapshot" => self.report_snapshot(args),
            "report-unreachable" => self.report_unreachable(args),
            "restart" => self.restart(args),
            "send-snapshot" => self.send_snapshot(args),
            "set-randomized-election-timeout" => self.set_timeout(args),
            "stabilize" => self.stabilize_some(args),
            "status" => self.status(args),
            "tick" => self.tick(args),
            "tick-election" => self.tick_by(args, |n| n.core.config().election_timeout_ticks),
            "tick-heartbeat" => self.tick_by(args, |n| n.core.config().heartbeat_interval_ticks),
            "transfer-leadership" => self.transfer(args),
            other => Err(format!("there is no command {other:?}; help names them all")),
        }
    }

    /// The place of a node.
    fn place(&self, id: u64) -> Outcome<usize> {
        let known = self.nodes.iter().position(|n| n.id == id);
        known.ok_or_else(|| format!("there is no node {id}"))
    }

    /// The node that the next word names.
    fn node(&self, args: &mut Arguments) -> Outcome<usize> {
        self.place(args.number("a node")?)
    }

    /// The one node that the words name.
    fn only_node(&self, mut args: Arguments) -> Outcome<usize> {
        let at = self.node(&mut args)?;
        args.end()?;
        Ok(at)
    }

    /// The nodes that the words name.
    fn some_nodes(&self, args: &mut Arguments) -> Outcome<Vec<usize>> {
        args.numbers()?.into_iter().map(|id| self.place(id)).collect()
    }

    fn all_nodes(&self) -> Vec<usize> {
        (0..self.nodes.len()).collect()
    }

    fn add_nodes(&mut self, mut args: Arguments) -> Outcome {
        let existing = self.nodes.len() as u64;
        let setup = Setup::parse(&mut args, existing)?;
        let new: Outcome<Vec<_>> = (1..=setup.count).map(|n| setup.node(existing + n)).collect();
        self.nodes.extend(new?);
        Ok(())
    }

    fn campaign(&mut self, args: Arguments) -> Outcome {
        let at = self.only_node(args)?;
        self.nodes[at].input(|core| core.handle_campaign());
        Ok(())
    }

    fn compact(&mut self, mut args: Arguments) -> Outcome {
        let at = self.node(&mut args)?;
        let through = Index(args.number("an index")?);
        args.end()?;
        if self.nodes[at].compact(through) {
            return Ok(());
        }
        let platter = self.nodes[at].disk.0.borrow();
        let (base, applied) = (platter.base.index, platter.machine.last.index);
        Err(format!("the log goes from {base} and is applied up to {applied}"))
    }

    fn deliver_msgs(&mut self, mut args: Arguments) -> Outcome {
        let kind = match args.value("type")? {
            None => "",
            Some(name) => {
                let known =
                    notation::KINDS.iter().find(|(ours, etcd)| name == *ours || name == *etcd);
                known.ok_or_else(|| format!("there is no message {name:?}"))?.0
            }
        };
        let filter = Filter {
            kind,
            from: args.list("from")?,
            count: args.count("count")?,
            keep: args.flag("keep")?.unwrap_or(false),
        };
        let drop = args.list("drop")?;
        let to = self.some_nodes(&mut args)?;
        args.end()?;
        if let Some(both) = to.iter().find(|at| drop.contains(&self.nodes[**at].id)) {
            return Err(format!("deliver or drop what goes to {}?", self.nodes[*both].id));
        }
        let delivered: usize = to.iter().map(|at| self.deliver(*at, &filter)).sum();
        let dropped: usize = drop.iter().map(|to| self.drop_messages(*to, &filter)).sum();
        if delivered + dropped == 0 {
            self.out.line(Level::Plain, "no messages");
        }
        Ok(())
    }

    fn heal(&mut self, args: Arguments) -> Outcome {
        args.end()?;
        self.network.cut.clear();
        Ok(())
    }

    fn help(&mut self) -> Outcome {
        HELP.lines().filter(|l| !l.is_empty()).for_each(|l| self.out.line(Level::Silent, l));
        Ok(())
    }

    fn log_level(&mut self, mut args: Arguments) -> Outcome {
        let level = Level::parse(&args.word("a level")?)?;
        args.end()?;
        self.out.level = level;
        Ok(())
    }

    fn messages(&mut self, args: Arguments) -> Outcome {
        args.end()?;
        for envelope in &self.network.messages {
            self.out.line(Level::Plain, &envelope.text());
        }
        Ok(())
    }

    fn partition(&mut self, mut args: Arguments) -> Outcome {
        let ids = args.numbers()?;
        args.end()?;
        ids.iter().try_for_each(|id| self.place(*id).map(|_| ()))?;
        self.network.cut = ids.into_iter().collect();
        Ok(())
    }

    /// A step of one node, or of several under headings.
    fn each(
        &mut self,
        nodes: &[usize],
        what: &str,
        mut act: impl FnMut(&mut Self, usize) -> Outcome,
    ) -> Outcome {
        match nodes {
            [] => Err("a node is missing".into()),
            [at] => act(self, *at),
            _ => nodes.iter().try_for_each(|at| self.headed(*at, what, |this| act(this, *at))),
        }
    }

    fn process_ready(&mut self, mut args: Arguments) -> Outcome {
        let nodes = self.some_nodes(&mut args)?;
        args.end()?;
        self.each(&nodes, "ready", Self::turn)
    }

    /// The nodes named, and whether everything outstanding is meant.
    fn outstanding(&self, args: &mut Arguments) -> Outcome<(Vec<usize>, bool)> {
        let mut words = args.words();
        let all = words.last().is_some_and(|w| w == "all");
        words.truncate(words.len() - usize::from(all));
        args.end()?;
        let nodes: Outcome<Vec<_>> =
            words.iter().map(|w| number(w).and_then(|id| self.place(id))).collect();
        Ok((nodes?, all))
    }

    fn process_append(&mut self, mut args: Arguments) -> Outcome {
        let (nodes, all) = self.outstanding(&mut args)?;
        self.each(&nodes, "persists", |this, at| {
            if !this.persist(at)? {
                this.out.line(Level::Plain, "nothing to persist");
            }
            while all && this.persist(at)? {}
            Ok(())
        })
    }

    fn process_apply(&mut self, mut args: Arguments) -> Outcome {
        let (nodes, all) = self.outstanding(&mut args)?;
        self.each(&nodes, "applies", |this, at| {
            if !this.apply(at) {
                this.out.line(Level::Plain, "nothing to apply");
            }
            while all && this.apply(at) {}
            Ok(())
        })
    }

    fn propose(&mut self, args: Arguments) -> Outcome {
        let (id, data) =
            args.rest.split_once(char::is_whitespace).unwrap_or((args.rest.as_str(), ""));
        if id.is_empty() {
            return Err("a node is missing".into());
        }
        let at = self.place(number(id)?)?;
        let data = data.trim();
        let quoted = data.strip_prefix('"').and_then(|d| d.strip_suffix('"'));
        let data = Bytes::copy_from_slice(quoted.unwrap_or(data).as_bytes());
        let proposed = self.nodes[at].input(|core| core.handle_proposal(data));
        proposed.map(|_| ()).map_err(|e| e.to_string())
    }

    fn propose_conf_change(&mut self, mut args: Arguments) -> Outcome {
        let at = self.node(&mut args)?;
        let change = changes::parse(&mut args)?;
        args.end()?;
        let proposed = self.nodes[at].input(|core| core.handle_conf_change(&change));
        proposed.map(|_| ()).map_err(|e| e.to_string())
    }

    fn raft_log(&mut self, args: Arguments) -> Outcome {
        let at = self.only_node(args)?;
        let node = &self.nodes[at];
        let platter = node.disk.0.borrow();
        self.out.line(Level::Plain, &format!("{} base", platter.base));
        for entry in &platter.entries {
            self.out.line(Level::Plain, &notation::entry(entry));
        }
        for (receipt, write) in &node.writes {
            let (hard, snapshot) = (write.hard.as_ref(), write.snapshot.as_ref());
            let batch = notation::batch(hard, snapshot, &write.entries);
            self.out.line(Level::Plain, &format!("not durable #{}: {batch}", receipt.seq().0));
        }
        Ok(())
    }

    fn raft_state(&mut self, args: Arguments) -> Outcome {
        args.end()?;
        for node in &self.nodes {
            self.out.line(Level::Plain, &notation::state(node));
        }
        Ok(())
    }

    fn read_index(&mut self, mut args: Arguments) -> Outcome {
        let at = self.node(&mut args)?;
        let id = ReadId(args.number("the name of the read, a number")?);
        args.end()?;
        self.nodes[at].input(|core| core.handle_read(id)).map_err(|e| e.to_string())
    }

    fn report_snapshot(&mut self, mut args: Arguments) -> Outcome {
        let at = self.node(&mut args)?;
        let to = NodeId(args.number("to whom")?);
        let status = match args.value("status")?.as_deref() {
            None | Some("failed") => SnapshotStatus::Failed,
            Some("moving") => SnapshotStatus::Moving,
            Some(_) => return Err("status is failed or moving; who has it says so itself".into()),
        };
        args.end()?;
        self.nodes[at].input(|core| core.handle_snapshot_status(to, status));
        Ok(())
    }

    fn report_unreachable(&mut self, mut args: Arguments) -> Outcome {
        let at = self.node(&mut args)?;
        let to = NodeId(args.number("who")?);
        args.end()?;
        self.nodes[at].input(|core| core.handle_unreachable(to));
        Ok(())
    }

    fn restart(&mut self, mut args: Arguments) -> Outcome {
        let at = self.node(&mut args)?;
        let kept = args.count("writes")?.unwrap_or(0) as usize;
        let torn = args.flag("torn")?.unwrap_or(false);
        args.end()?;
        self.nodes[at].restart(kept, torn)
    }

    fn send_snapshot(&mut self, mut args: Arguments) -> Outcome {
        let at = self.node(&mut args)?;
        let to = args.number("to whom")?;
        args.end()?;
        let node = &self.nodes[at];
        if node.core.leader() != Some(NodeId(node.id)) {
            return Err(format!("node {} does not lead; only a leader sends snapshots", node.id));
        }
        let snapshot = Box::new(node.disk.0.borrow().machine.clone());
        if snapshot.last.index == Index(0) {
            return Err(format!("node {} has applied nothing", node.id));
        }
        let message =
            Message::InstallSnapshot(InstallSnapshot { term: node.core.term(), snapshot });
        let envelope = Envelope { from: node.id, to, message };
        self.out.line(Level::Plain, &envelope.text());
        self.network.messages.push(envelope);
        Ok(())
    }

    fn set_timeout(&mut self, mut args: Arguments) -> Outcome {
        let at = self.node(&mut args)?;
        let ticks = args.count("timeout")?.ok_or("timeout is missing")?;
        args.end()?;
        self.nodes[at].set_timeout(Some(ticks).filter(|t| *t > 0));
        Ok(())
    }

    fn stabilize_some(&mut self, mut args: Arguments) -> Outcome {
        let level = args.value("log-level")?.map(|l| Level::parse(&l)).transpose()?;
        let among = self.some_nodes(&mut args)?;
        args.end()?;
        self.out.level = level.unwrap_or(self.out.level);
        let among = if among.is_empty() { self.all_nodes() } else { among };
        self.stabilize(&among)
    }

    fn status(&mut self, args: Arguments) -> Outcome {
        let at = self.only_node(args)?;
        let core = &self.nodes[at].core;
        let status = core.status();
        let mut lines = vec![notation::state(&self.nodes[at])];
        lines.push(format!("durable={} clock={}", status.durable, core.now()));
        lines.push(format!("configuration {} {}", core.conf_index(), notation::conf(core.conf())));
        lines.extend(status.transfer.map(|to| format!("leadership on its way to {to}")));
        lines.extend(core.lease_until().map(|until| format!("lease until {until}")));
        lines.extend(core.peers().map(|p| notation::peer(&p)));
        lines.iter().for_each(|l| self.out.line(Level::Plain, l));
        Ok(())
    }

    fn tick(&mut self, mut args: Arguments) -> Outcome {
        let at = self.node(&mut args)?;
        let count = if args.has_words() { args.number("how many ticks")? } else { 1 };
        args.end()?;
        self.pass_time(at, count)
    }

    fn tick_by(&mut self, args: Arguments, count: impl Fn(&Node) -> u64) -> Outcome {
        let at = self.only_node(args)?;
        let count = count(&self.nodes[at]);
        self.pass_time(at, count)
    }

    fn pass_time(&mut self, at: usize, count: u64) -> Outcome {
        if count > TICKS_MAX {
            return Err(format!("no more than {TICKS_MAX} ticks at a time"));
        }
        for _ in 0..count {
            self.nodes[at].input(|core| {
                let now = core.now();
                core.handle_time(Tick(now.0.saturating_add(1)));
            });
        }
        Ok(())
    }

    fn transfer(&mut self, mut args: Arguments) -> Outcome {
        let from = args.count("from")?.ok_or("from is missing")?;
        let to = NodeId(args.count("to")?.ok_or("to is missing")?);
        args.end()?;
        let at = self.place(from)?;
        self.nodes[at].input(|core| core.handle_transfer(to)).map_err(|e| e.to_string())
    }
}
