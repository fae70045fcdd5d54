//! Instructions per entry, as valgrind counts them: what no other process can disturb.

use std::process::Command;

use super::Figures;
use super::table::{Goal, Row};
use crate::cores::System;
use crate::error::{BenchError, Tried};

/// Two lengths of a run. What they have in common, from the start of the process to the warm-up,
/// drops out of the difference.
const ENTRIES: (usize, usize) = (4_096, 20_480);

/// Counts for every core and batch, or says that there is nothing to count with.
pub(super) fn measure(
    systems: &[System],
    batches: &[usize],
    rows: &mut Vec<Row>,
) -> Result<(), BenchError> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("instructions per entry: valgrind is not on PATH; apt-get install valgrind");
        return Ok(());
    }
    for &batch in batches {
        let mut figures = Vec::new();
        for system in systems {
            figures.push(Figures { core: system.name, rounds: vec![per_entry(system, batch)?] });
        }
        let what = format!("instructions per entry, batch {batch}");
        Row::add(rows, what, 0, Goal::None, figures);
    }
    Ok(())
}

fn per_entry(system: &System, batch: usize) -> Result<f64, BenchError> {
    let short = ENTRIES.0.next_multiple_of(batch);
    let long = ENTRIES.1.next_multiple_of(batch);
    let count = |entries| counted(system.name, batch, entries, long);
    let difference = count(long)?.saturating_sub(count(short)?);
    Ok(difference as f64 / (long - short) as f64)
}

/// Instructions of one whole run.
fn counted(core: &str, batch: usize, entries: usize, room: usize) -> Result<u64, BenchError> {
    let program = std::env::current_exe().tried("looking for the own program")?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["core-bare", "--core", core])
        .args(["--batch", &batch.to_string(), "--entries", &entries.to_string()])
        .args(["--room", &room.to_string()])
        .output()
        .tried("starting valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    match collected(&said) {
        Some(instructions) if output.status.success() => Ok(instructions),
        _ => Err(BenchError::Answer(format!("valgrind said: {said}"))),
    }
}

/// The number in a line like `==17== Collected : 123456`.
fn collected(said: &str) -> Option<u64> {
    let (_, figure) = said.lines().rev().find_map(|line| line.split_once("Collected :"))?;
    figure.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found() {
        let said = "==17== Events    : Ir\n==17== Collected : 123456\n==17== \n";
        assert_eq!(collected(said), Some(123_456));
        assert_eq!(collected("valgrind: failed"), None);
    }
}
