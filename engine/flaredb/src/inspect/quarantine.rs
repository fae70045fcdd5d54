//! What would be left of a damaged log, what that means, and doing it.

use std::io::{self, Write};
use std::process::ExitCode;

use wal::inspect::{Files, Quarantine, Report, verify};

use super::{Failure, tables};

const MEANING: &str = "\
What this means: started on what stays, this node has forgotten the rest, entries, terms and votes
that it acknowledged. If a majority of a group counted on them, an acknowledged write is lost or
two leaders are elected in one term. Do it only while a majority of the other replicas of every
group is whole, and keep the quarantine until this node has caught up. Safe without conditions is
only to restore the folder.";

/// How many groups are named.
const GROUPS_MAX: usize = 20;

/// Says what would go, and moves it if `yes`.
pub(super) fn quarantine(
    files: &mut Files,
    yes: bool,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let Some(plan) = Quarantine::plan(files)? else {
        writeln!(out, "nothing to move: the node can start on this log")?;
        tables::report(&verify(files)?, out)?;
        return Ok(ExitCode::SUCCESS);
    };
    describe(&plan, out)?;
    if !yes {
        writeln!(out, "\nNothing was changed. Repeat with --yes to do it.")?;
        return Ok(ExitCode::from(2));
    }
    plan.carry_out()?;
    let left: Report = verify(files)?;
    writeln!(out, "\nDone. What is left:")?;
    tables::report(&left, out)?;
    Ok(ExitCode::SUCCESS)
}

fn describe(plan: &Quarantine<'_>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}\n", plan.reason())?;
    writeln!(out, "What goes to {}:", plan.folder().display())?;
    if let Some((segment, offset)) = plan.cut() {
        writeln!(out, "  {segment} (what lies before offset {offset} stays, in a copy)")?;
    }
    for segment in plan.moved() {
        writeln!(out, "  {segment}")?;
    }
    let lost = plan.lost();
    let (batches, entries, groups) = (lost.batches, lost.entries, lost.groups.len());
    write!(out, "What can still be read of it: {batches} batches, {entries} entries")?;
    if groups > 0 {
        let named = lost.groups.iter().take(GROUPS_MAX).map(|group| group.0.to_string());
        let more = if groups > GROUPS_MAX { ", ..." } else { "" };
        let named = named.collect::<Vec<_>>().join(", ");
        write!(out, ", of {groups} groups ({named}{more})")?;
    }
    match plan.last_batch() {
        0 => writeln!(out, "\nWhat stays: an empty log\n")?,
        last => writeln!(out, "\nWhat stays: everything up to batch {last}\n")?,
    }
    writeln!(out, "{MEANING}")
}
