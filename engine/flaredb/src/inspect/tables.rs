//! Answers for people: lines and columns.

use std::io::{self, Write};
use std::ops::ControlFlow;

use engine::GroupId;
use wal::inspect::{
    Batch, Files, Gap, Item, Record, Report, Stat, TailBatch, Verdict, kind_name, walk,
};

use super::Failure;

/// Which records to list.
pub(super) struct Filter {
    pub(super) group: Option<GroupId>,
    pub(super) from: Option<u64>,
    pub(super) to: Option<u64>,
}

impl Filter {
    fn wants(&self, record: &Record<'_>) -> bool {
        let head = &record.header;
        let ranged = self.from.is_some() || self.to.is_some();
        self.group.is_none_or(|group| group.0 == head.group)
            && self.from.is_none_or(|from| from <= head.index)
            && self.to.is_none_or(|to| head.index <= to)
            && !(ranged && head.index == 0)
    }
}

/// Lists the records of a log, and the places where no batch is.
pub(super) fn dump(files: &mut Files, filter: &Filter, out: &mut dyn Write) -> Result<(), Failure> {
    writeln!(
        out,
        "{:20} {:>10} {:>9} {:>12} {:>9} {:>7}  {:13} {:>10} {:>10}",
        "segment", "offset", "batch", "group", "index", "term", "kind", "data", "bytes"
    )?;
    let mut failed = None;
    walk(files, &mut |item| {
        let written = match item {
            Item::Batch(batch) => dump_batch(&batch, filter, out),
            Item::Gap(gap) => note(&gap, out),
            Item::Segment(_) | Item::Headless { zero: true, .. } => Ok(()),
            Item::Headless { segment, bytes, .. } => {
                writeln!(out, "-- segment {segment} ({bytes} bytes) has no valid header")
            }
        };
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    failed.map_or(Ok(()), |error| Err(error.into()))
}

fn dump_batch(batch: &Batch<'_>, filter: &Filter, out: &mut dyn Write) -> io::Result<()> {
    for record in batch.records().filter(|record| filter.wants(record)) {
        let head = &record.header;
        writeln!(
            out,
            "{:20} {:>10} {:>9} {:>12} {:>9} {:>7}  {:13} {:>10} {:>10}{}",
            batch.segment.to_string(),
            record.offset,
            batch.header.batch_seq,
            head.group,
            head.index,
            head.term,
            kind_name(head.kind),
            head.data_len,
            wal::record::record_bytes(record.data.len()),
            behind(batch.behind_gap),
        )?;
    }
    Ok(())
}

const fn behind(gap: bool) -> &'static str {
    if gap { "  (behind a gap)" } else { "" }
}

fn note(gap: &Gap, out: &mut dyn Write) -> io::Result<()> {
    let may = if gap.newest { "a torn tail or damage, `verify` knows" } else { "damage" };
    writeln!(out, "-- {gap} ({} bytes, {may})", gap.bytes)
}

/// Says whether a log is whole.
pub(super) fn report(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let Report { segments, batches, bytes, groups, .. } = report;
    let sound = format!(
        "{segments} segments, {batches} batches, {bytes} bytes, {groups} groups, every byte \
         verified"
    );
    match &report.verdict {
        Verdict::Sound => writeln!(out, "sound: {sound}"),
        Verdict::Torn(torn) => writeln!(
            out,
            "torn tail: segment {} at offset {}: batch {} was being written when the process or \
             the machine stopped, and it was never acknowledged; the next start leaves it out\n\
             sound before it: {sound}",
            torn.segment, torn.offset, torn.batch_seq
        ),
        Verdict::Damaged(error) => {
            writeln!(out, "corruption: {error}")?;
            for gap in &report.gaps {
                writeln!(out, "-- {gap} ({} bytes)", gap.bytes)?;
            }
            writeln!(
                out,
                "{batches} intact batches ({bytes} bytes) in {segments} segments; `dump` shows \
                 what can be read, `quarantine` what would be left without the damage"
            )
        }
    }
}

/// Shows the last batches.
pub(super) fn tail(batches: &[TailBatch], gaps: &[Gap], out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{:20} {:>10} {:>9} {:>9} {:>6} {:>7} {:>7} {:>9} {:>5}  kind",
        "segment", "offset", "batch", "durable", "epoch", "records", "groups", "bytes", "fill"
    )?;
    let mut gaps = gaps.iter().peekable();
    for batch in batches {
        let place = (batch.segment, batch.offset);
        while let Some(gap) = gaps.next_if(|gap| (gap.segment, gap.offset) < place) {
            note(gap, out)?;
        }
        tail_batch(batch, out)?;
    }
    gaps.try_for_each(|gap| note(gap, out))
}

/// Shows one batch.
pub(super) fn tail_batch(batch: &TailBatch, out: &mut dyn Write) -> io::Result<()> {
    let head = &batch.header;
    writeln!(
        out,
        "{:20} {:>10} {:>9} {:>9} {:>6} {:>7} {:>7} {:>9} {:>4.0}%  {}{}",
        batch.segment.to_string(),
        batch.offset,
        head.batch_seq,
        head.durable_seq,
        head.epoch,
        head.n_records,
        batch.groups,
        head.total_len,
        f64::from(head.data_len + 64) * 100.0 / f64::from(head.total_len),
        batch_kind(head.flags),
        behind(batch.behind_gap),
    )
}

fn batch_kind(kind: u16) -> String {
    use wal::record::flags::{BEACON, CKPT, CLOSE, NORMAL, RELOC};
    match kind {
        NORMAL => "NORMAL".to_owned(),
        RELOC => "RELOC".to_owned(),
        CKPT => "CKPT".to_owned(),
        BEACON => "BEACON".to_owned(),
        CLOSE => "CLOSE".to_owned(),
        other => format!("UNKNOWN {other}"),
    }
}

/// Counts for people; the `groups` largest groups.
pub(super) fn stat(stat: &Stat, groups: usize, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{:20} {:>6} {:>12} {:>12} {:>9}",
        "segment", "epoch", "bytes", "used", "batches"
    )?;
    for segment in &stat.segments {
        writeln!(
            out,
            "{:20} {:>6} {:>12} {:>12} {:>9}",
            segment.segment.to_string(),
            segment.epoch,
            segment.bytes,
            segment.used,
            segment.batches
        )?;
    }
    if stat.unused > 0 {
        let (files, bytes) = (stat.unused, stat.unused_bytes);
        writeln!(
            out,
            "and {files} files not in use ({bytes} bytes): spares, or headers that are not valid"
        )?;
    }
    let counts = stat.batches;
    writeln!(
        out,
        "\nbatches: {} normal, {} beacon, {} close, {} other; {} bytes, {:.1} % of them filled",
        counts.normal,
        counts.beacon,
        counts.close,
        counts.other,
        stat.bytes,
        100.0 * stat.fill()
    )?;
    writeln!(out, "\n{:13} {:>10} {:>14} {:>14}", "kind", "records", "data", "bytes")?;
    for (&kind, found) in &stat.kinds {
        let name = kind_name(kind);
        let (records, data, bytes) = (found.records, found.data_bytes, found.bytes);
        writeln!(out, "{name:13} {records:>10} {data:>14} {bytes:>14}")?;
    }
    let mut largest: Vec<_> = stat.groups.iter().collect();
    largest.sort_by_key(|(group, found)| (std::cmp::Reverse(found.bytes), group.0));
    let shown = groups.min(largest.len());
    writeln!(out, "\n{} groups, the {shown} largest:", largest.len())?;
    writeln!(out, "{:>12} {:>10} {:>14}  last entry", "group", "records", "bytes")?;
    for (group, found) in &largest[..shown] {
        let (records, bytes, last) = (found.records, found.bytes, found.last);
        writeln!(out, "{:>12} {records:>10} {bytes:>14}  {last}", group.0)?;
    }
    stat.gaps.iter().try_for_each(|gap| note(gap, out))
}
