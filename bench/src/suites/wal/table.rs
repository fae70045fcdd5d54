//! Tables of appends: medians, ours beside the others and beside the disk.

use super::sample::{Cell, Figure, Sample, cells, figures, middle, ratio};
use crate::logs::{DISK, Load, OURS, Shape, THREADS_MAX};
use crate::report::median;

/// Rows in which others had more processors than this are marked.
const LOST_CORES: f64 = 0.5;

/// Prints the heading.
pub(super) fn print_head() {
    println!(
        "{:>5} {:>5}  {:<12} {:>9} {:>20} {:>8} {:>8} {:>9} {:>5} {:>5} {:>6} {:>8} {:>8}",
        "outst",
        "bytes",
        "system",
        "ops/s",
        "min..max",
        "p50 us",
        "p99 us",
        "max us",
        "cores",
        "lost",
        "MB/s",
        "op/flush",
        "ours/it"
    );
}

/// Prints a row for each log.
pub(super) fn print_cell(samples: &[Sample]) {
    for cell in cells(samples) {
        for (nth, system) in systems(samples).into_iter().enumerate() {
            print_row(samples, cell, system, nth == 0);
        }
    }
}

fn print_row(samples: &[Sample], cell: Cell, system: &'static str, first: bool) {
    let of = |figure: Figure| figures(samples, system, cell, figure);
    let middle = |figure| median(of(figure));
    let (low, high) = range(&of(|s| s.per_second));
    if first {
        print!("{:>5} {:>5}  ", cell.outstanding, cell.payload);
    } else {
        print!("{:>5} {:>5}  ", "", "");
    }
    print!("{:<12} {:>9.0} ", system, middle(|s| s.per_second));
    print!("{:>20} ", format!("{low:.0}..{high:.0}"));
    print!("{:>8.0} {:>8.0} ", middle(|s| s.p50_micros), middle(|s| s.p99_micros));
    print!("{:>9.0} {:>5.2} ", range(&of(|s| s.max_micros)).1, middle(|s| s.usage.own_cores));
    let lost = middle(Sample::lost_cores);
    print!("{lost:>4.2}{} ", if lost > LOST_CORES { "!" } else { " " });
    print!("{:>6.0} {:>8.1} ", middle(|s| s.bytes_per_second() / 1e6), middle(Sample::per_flush));
    let beside = ratio(samples, (OURS, system), cell, |s| s.per_second);
    match beside.filter(|_| system != OURS) {
        Some(ratio) => println!("{ratio:>8.2}"),
        None => println!("{:>8}", "-"),
    }
}

/// Prints what the figures mean.
pub(super) fn print_notes(samples: &[Sample]) {
    println!();
    println!("medians of the rounds; max: of all rounds; ours/it: the median of the rounds' own");
    println!("ratios of ops/s. cores: this process; lost: everything else, the kernel's threads");
    println!("and the hypervisor included; '!' where that was more than {LOST_CORES} cores.");
    println!(
        "op/flush: appends per flush of the disk by anybody. Up to {THREADS_MAX} outstanding,"
    );
    println!("the others have a thread for each; beyond, one thread writes one batch of all.");
    println!("disk: the blocks of ours with O_DIRECT|O_DSYNC, without a log:");
    for cell in cells(samples) {
        let shape = shape(cell);
        println!(
            "  {:>4} x {:>4} B: {} at a time of {} KiB with {} appends each",
            cell.outstanding,
            cell.payload,
            shape.depth,
            shape.bytes / 1024,
            shape.appends
        );
    }
    let waits: u64 = samples.iter().filter_map(|s| s.segment_waits).sum();
    println!("times that ours had to wait for a segment, all rounds together: {waits}");
}

/// The writes of the disk in this cell.
pub(super) fn shape(cell: Cell) -> Shape {
    let (warm_up, measured) = Default::default();
    let Cell { outstanding, payload } = cell;
    Shape::of(&Load { outstanding, payload, warm_up, measured })
}

/// Prints the longest waits of each log.
pub(super) fn print_stall(samples: &[Sample]) {
    println!(
        "{:<12} {:>9} {:>8} {:>8} {:>9} {:>20} {:>6} {:>5}",
        "system", "ops/s", "p50 us", "p99 us", "p99.9 us", "max us of the rounds", "MB/s", "lost"
    );
    for cell in cells(samples) {
        for system in systems(samples) {
            let middle = |figure| middle(samples, system, cell, figure).unwrap_or_default();
            print!("{system:<12} {:>9.0} ", middle(|s| s.per_second));
            print!("{:>8.0} {:>8.0} ", middle(|s| s.p50_micros), middle(|s| s.p99_micros));
            print!("{:>9.0} ", middle(|s| s.p999_micros));
            let longest = figures(samples, system, cell, |s| s.max_micros);
            let longest: Vec<String> = longest.iter().map(|max| format!("{max:.0}")).collect();
            print!("{:>20} ", longest.join(" "));
            println!(
                "{:>6.0} {:>5.2}",
                middle(|s| s.bytes_per_second() / 1e6),
                middle(Sample::lost_cores)
            );
        }
    }
    println!("{DISK}: what this machine does to a thread that only writes.");
}

/// The logs, ours first.
fn systems(samples: &[Sample]) -> Vec<&'static str> {
    let measured = crate::logs::systems().into_iter().map(|system| system.name);
    measured.filter(|name| samples.iter().any(|sample| sample.system == *name)).collect()
}

fn range(figures: &[f64]) -> (f64, f64) {
    let low = figures.iter().copied().fold(f64::INFINITY, f64::min);
    (low, figures.iter().copied().fold(0.0, f64::max))
}
