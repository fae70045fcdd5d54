//! Answers for programs.

use serde_json::{Value, json};
use wal::OpenError;
use wal::inspect::{Gap, Report, Stat, Verdict, kind_name};

fn gap(gap: &Gap) -> Value {
    let identity = gap.identity();
    json!({
        "segment": gap.segment.to_string(),
        "offset": gap.offset,
        "bytes": gap.bytes,
        "batch": gap.batch_seq,
        "group": identity.map(|(group, _)| group.0),
        "index": identity.map(|(_, index)| index.0),
        "text": gap.to_string(),
    })
}

fn damage(error: &OpenError) -> Value {
    let (segment, offset, identity) = match error {
        OpenError::Corrupt(damage) => (Some(damage.segment), Some(damage.offset), damage.identity),
        OpenError::Hole { segment, offset, group, expected, .. } => {
            (Some(*segment), Some(*offset), Some((*group, *expected)))
        }
        OpenError::DamagedHeader { segment }
        | OpenError::Truncated { segment, .. }
        | OpenError::StraySegment { segment, .. }
        | OpenError::WrongStore { segment, .. }
        | OpenError::WrongCore { segment, .. }
        | OpenError::MissingSegment { missing: segment, .. } => (Some(*segment), None, None),
        _ => (None, None, None),
    };
    json!({
        "segment": segment.map(|segment| segment.to_string()),
        "offset": offset,
        "group": identity.map(|(group, _)| group.0),
        "index": identity.map(|(_, index)| index.0),
        "text": error.to_string(),
    })
}

/// Whether a log is whole.
pub(super) fn report(report: &Report) -> Value {
    let (verdict, torn, damaged) = match &report.verdict {
        Verdict::Sound => ("sound", None, None),
        Verdict::Torn(torn) => {
            let (segment, offset) = (torn.segment.to_string(), torn.offset);
            let torn = json!({ "segment": segment, "offset": offset, "batch": torn.batch_seq });
            ("torn tail", Some(torn), None)
        }
        Verdict::Damaged(error) => ("corruption", None, Some(damage(error))),
    };
    json!({
        "verdict": verdict,
        "torn_tail": torn,
        "damage": damaged,
        "gaps": report.gaps.iter().map(gap).collect::<Vec<_>>(),
        "store": format!("{:032x}", report.store),
        "core": report.core,
        "segments": report.segments,
        "batches": report.batches,
        "bytes": report.bytes,
        "groups": report.groups,
        "unused_files": report.unused,
    })
}

/// What a log holds.
pub(super) fn stat(stat: &Stat) -> Value {
    let segments = stat.segments.iter().map(|segment| {
        json!({
            "segment": segment.segment.to_string(),
            "epoch": segment.epoch,
            "bytes": segment.bytes,
            "used": segment.used,
            "batches": segment.batches,
            "created_unix_ns": segment.created,
        })
    });
    let kinds = stat.kinds.iter().map(|(&kind, found)| {
        json!({
            "kind": kind,
            "name": kind_name(kind),
            "records": found.records,
            "data_bytes": found.data_bytes,
            "bytes": found.bytes,
        })
    });
    let groups = stat.groups.iter().map(|(group, found)| {
        json!({
            "group": group.0,
            "records": found.records,
            "bytes": found.bytes,
            "last_index": found.last.index.0,
            "last_term": found.last.term.0,
        })
    });
    let counts = stat.batches;
    json!({
        "segments": segments.collect::<Vec<_>>(),
        "unused_files": stat.unused,
        "unused_bytes": stat.unused_bytes,
        "batches": {
            "normal": counts.normal,
            "beacon": counts.beacon,
            "close": counts.close,
            "other": counts.other,
        },
        "bytes": stat.bytes,
        "fill": stat.fill(),
        "kinds": kinds.collect::<Vec<_>>(),
        "groups": groups.collect::<Vec<_>>(),
        "gaps": stat.gaps.iter().map(gap).collect::<Vec<_>>(),
    })
}
