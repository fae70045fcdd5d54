//! `add-nodes`: how new replicas begin.

use std::cell::RefCell;
use std::rc::Rc;

use raft_core::{ConfState, Config, HardState, Index, LogId, NodeId, SnapshotMeta, Term};

use super::arguments::{Arguments, Outcome};
use super::disk::{Disk, Platter};
use super::node::Node;

/// Nodes beyond this are refused.
const NODES_MAX: u64 = ConfState::MEMBERS_MAX as u64;

/// What new replicas have in common.
pub(crate) struct Setup {
    pub(crate) count: u64,
    config: Config,
    platter: Platter,
    is_async: bool,
}

impl Setup {
    pub(crate) fn parse(args: &mut Arguments, existing: u64) -> Outcome<Self> {
        let count = args.number("how many nodes")?;
        if count == 0 || existing + count > NODES_MAX {
            return Err(format!("between 1 and {NODES_MAX} nodes, please"));
        }
        let is_async = args.flag("async-storage-writes")?.unwrap_or(false);
        let config = parse_config(args)?;
        let platter = parse_platter(args)?;
        foreign_options(args)?;
        args.end()?;
        Ok(Self { count, config, platter, is_async })
    }

    /// The replica with this id.
    pub(crate) fn node(&self, id: u64) -> Outcome<Node> {
        let config = Config { id: NodeId(id), ..self.config.clone() };
        let disk = Disk(Rc::new(RefCell::new(self.platter.clone())));
        Node::new(config, disk, self.is_async).map_err(|e| format!("node {id} does not start: {e}"))
    }
}

fn parse_config(args: &mut Arguments) -> Outcome<Config> {
    let mut config = Config {
        election_timeout_ticks: 3,
        heartbeat_interval_ticks: 1,
        pre_vote: false,
        check_quorum: false,
        snapshot_timeout_ticks: 30,
        ..Config::new(NodeId(1))
    };
    let ticks: [(&str, &mut u64); 5] = [
        ("election-tick", &mut config.election_timeout_ticks),
        ("heartbeat-tick", &mut config.heartbeat_interval_ticks),
        ("snapshot-timeout", &mut config.snapshot_timeout_ticks),
        ("lease", &mut config.lease_ticks),
        ("seed", &mut config.seed),
    ];
    for (key, field) in ticks {
        *field = args.count(key)?.unwrap_or(*field);
    }
    for key in ["max-inflight", "inflight"] {
        let limit = args.count(key)?.map(|n| n as usize);
        config.inflight_messages_max = limit.unwrap_or(config.inflight_messages_max);
    }
    let limits: [(&str, &mut usize); 6] = [
        ("max-inflight-bytes", &mut config.inflight_bytes_max),
        ("max-size-per-msg", &mut config.message_bytes_max),
        ("max-uncommitted", &mut config.uncommitted_bytes_max),
        ("max-committed-size-per-ready", &mut config.committed_bytes_max),
        ("max-entry-size", &mut config.entry_bytes_max),
        ("log-cache", &mut config.log_cache_bytes_max),
    ];
    for (key, field) in limits {
        *field = args.count(key)?.map_or(*field, |n| n as usize);
    }
    for key in ["pre-vote", "prevote"] {
        config.pre_vote = args.flag(key)?.unwrap_or(config.pre_vote);
    }
    for key in ["check-quorum", "checkquorum"] {
        config.check_quorum = args.flag(key)?.unwrap_or(config.check_quorum);
    }
    match args.value("read-only")?.as_deref() {
        None | Some("safe") => {}
        Some("lease-based") if config.lease_ticks > 0 => {}
        Some("lease-based") => {
            config.lease_ticks = config.election_timeout_ticks.saturating_sub(1);
        }
        Some(other) => return Err(format!("read-only is safe or lease-based, not {other:?}")),
    }
    Ok(config)
}

/// A group that begins with a log has applied it: the log begins with a snapshot.
fn parse_platter(args: &mut Arguments) -> Outcome<Platter> {
    let mut conf = ConfState::of_voters(args.list("voters")?.into_iter().map(NodeId));
    conf.learners = args.list("learners")?.into_iter().map(NodeId).collect();
    conf.learners.sort_unstable();
    conf.learners.dedup();
    if !conf.is_sound() {
        return Err("nobody is both voter and learner, and learners need a voter".into());
    }
    let index = args.count("index")?.unwrap_or(0);
    let term = args.count("term")?.unwrap_or(u64::from(index > 0));
    if index > 0 && term == 0 {
        return Err("a log has entries of terms from 1 on".into());
    }
    // What a snapshot contains is the host's affair; the core never sees it.
    let _ = args.option("content");
    let hard = HardState { term: Term(term), vote: None, commit: Index(index) };
    let mut platter = Platter { hard, initial: conf.clone(), ..Platter::default() };
    if index > 0 {
        platter.base = LogId::new(Term(term), Index(index));
        platter.machine = SnapshotMeta { last: platter.base, conf };
    }
    Ok(platter)
}

/// Options that other implementations have: taken where this core does the same anyway.
fn foreign_options(args: &mut Arguments) -> Outcome {
    if args.flag("disable-conf-change-validation")? == Some(true) {
        return Err("changes of the members are always validated here".into());
    }
    if args.flag("step-down-on-removal")? == Some(false) {
        return Err("a leader that was removed always steps down here".into());
    }
    Ok(())
}
