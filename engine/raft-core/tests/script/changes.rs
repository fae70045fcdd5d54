//! `propose-conf-change`: how a change of the members is written.

use raft_core::{ConfChange, ConfStep, NodeId, Transition};

use super::arguments::{Arguments, NUMBER_MAX, Outcome};

/// Whether a line is nothing but steps: it belongs to the command before it.
pub(crate) fn is_steps(line: &str) -> bool {
    let mut words = line.split_whitespace().peekable();
    words.peek().is_some() && words.all(|w| step(w).is_ok())
}

/// What a word wants done; updating a node changes no configuration.
fn step(word: &str) -> Outcome<Option<ConfStep>> {
    let wrong = || format!("{word:?} is no step: v, l, r or u and a node, as in v3");
    let mut letters = word.chars();
    let what = letters.next();
    let node = letters.as_str().parse().map_err(|_| wrong())?;
    if node > NUMBER_MAX {
        return Err(wrong());
    }
    let node = NodeId(node);
    match what {
        Some('v') => Ok(Some(ConfStep::AddVoter(node))),
        Some('l') => Ok(Some(ConfStep::AddLearner(node))),
        Some('r') => Ok(Some(ConfStep::Remove(node))),
        Some('u') => Ok(None),
        _ => Err(wrong()),
    }
}

/// Reads the options and the steps; no steps leave the joint configuration.
pub(crate) fn parse(args: &mut Arguments) -> Outcome<ConfChange> {
    let single = args.flag("v1")?.unwrap_or(false);
    let transition = match args.value("transition")?.as_deref() {
        None | Some("auto") => Transition::Auto,
        Some("implicit") => Transition::JointAuto,
        Some("explicit") => Transition::JointExplicit,
        Some(_) => return Err("transition is auto, implicit or explicit".into()),
    };
    if single && transition != Transition::Auto {
        return Err("v1 has no transitions".into());
    }
    let mut words = args.words();
    words.retain(|w| w != "leave");
    if words.is_empty() {
        return Ok(ConfChange::Leave);
    }
    let mut steps = Vec::new();
    for word in &words {
        steps.extend(step(word)?);
    }
    if single && words.len() > 1 {
        return Err("v1 changes one node at a time".into());
    }
    Ok(ConfChange::Steps { steps, transition })
}
