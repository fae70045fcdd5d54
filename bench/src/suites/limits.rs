//! `bench limits`: what the disk, the loopback and a checksum can do here.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::error::BenchError;
use crate::limits::{self, DiskRate, Loopback};
use crate::machine::Machine;
use crate::process::Scratch;

/// Depths at which durable writes are measured.
const DEPTHS: [usize; 3] = [1, 2, 8];

/// Everything `bench limits` found.
#[derive(Debug, Serialize)]
pub(crate) struct Limits {
    machine: Machine,
    disk: Vec<DiskRate>,
    loopback: Loopback,
    checksum_gib_per_second: f64,
}

/// Measures and prints.
pub(crate) fn run(folder: &Path, measured: Duration) -> Result<Limits, BenchError> {
    let machine = Machine::look();
    machine.print();
    println!();
    let scratch = Scratch::new(folder, "limits")?;
    let mut disk = Vec::new();
    for depth in DEPTHS {
        let rate = limits::disk(scratch.path(), depth, measured)?;
        print_disk(&rate);
        disk.push(rate);
    }
    let loopback = limits::loopback(measured)?;
    println!(
        "loopback TCP round trip of 64 B        {:>9.0}/s   p50 {:>7.1} us",
        loopback.per_second, loopback.p50_micros
    );
    let checksum = limits::checksum(measured);
    println!("CRC-32C of 4 KiB blocks, one processor {checksum:>9.1} GiB/s");
    Ok(Limits { machine, disk, loopback, checksum_gib_per_second: checksum })
}

/// One line about durable writes.
pub(crate) fn print_disk(rate: &DiskRate) {
    println!(
        "durable 4 KiB writes, {} under way      {:>9.0}/s   p50 {:>7.1} us   p99 {:>7.1} us",
        rate.depth, rate.per_second, rate.p50_micros, rate.p99_micros
    );
}
