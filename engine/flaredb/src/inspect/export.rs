//! A group as lines of JSON.

use std::fmt::Write as _;
use std::io::Write;

use engine::{GroupId, Index};
use serde_json::json;
use wal::inspect::{Export, Files};

use super::Failure;

/// Writes the state of a group and then its entries, one a line.
pub(super) fn export(
    files: &mut Files,
    group: GroupId,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut export = Export::open(files, group)?;
    let (hard, first, last) = (export.hard_state(), export.first(), export.last());
    let state = json!({
        "group": group.0,
        "term": hard.term.0,
        "vote": hard.vote.map(|node| node.0),
        "commit": hard.commit.0,
        "first_index": first.0,
        "last_index": last.0,
    });
    writeln!(out, "{state}")?;
    for index in first.0..=last.0 {
        let Some(entry) = export.entry(Index(index))? else { break };
        let line = json!({
            "index": index,
            "term": entry.id.term.0,
            "kind": entry.kind,
            "data": hex(&entry.data),
        });
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
