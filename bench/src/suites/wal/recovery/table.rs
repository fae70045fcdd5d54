//! The table of openings: medians, ours beside the others.

use super::{Reopened, figures, middle, ratio};
use crate::logs::{self, DISK, OURS};
use crate::report::median;

/// Prints the heading.
pub(super) fn print_head() {
    println!(
        "{:>5}  {:<12} {:>7} {:>13} {:>7} {:>7} {:>8} {:>8} {:>9} {:>9} {:>10} {:>7}",
        "bytes",
        "system",
        "cold s",
        "min..max",
        "cpu s",
        "warm s",
        "cold MiB",
        "warm MiB",
        "B/entry",
        "first/s",
        "random/s",
        "it/ours"
    );
}

/// Prints a row for each log.
pub(super) fn print_payload(found: &[Reopened]) {
    let Some(payload) = found.first().map(|r| r.payload) else {
        return;
    };
    let measured = |name: &&str| found.iter().any(|r| r.system == *name);
    let names = logs::systems().into_iter().map(|system| system.name);
    for (nth, system) in names.filter(|name| measured(name)).enumerate() {
        if nth == 0 {
            print!("{payload:>5}  ");
        } else {
            print!("{:>5}  ", "");
        }
        print_row(found, payload, system);
    }
}

fn print_row(found: &[Reopened], payload: usize, system: &str) {
    let cold = figures(found, (system, payload, true), |r| r.look.seconds);
    let low = cold.iter().copied().fold(f64::INFINITY, f64::min);
    let high = cold.iter().copied().fold(0.0, f64::max);
    let of = |cold, figure| middle(found, (system, payload, cold), figure).unwrap_or_default();
    print!("{system:<12} {:>7.3} {:>13} ", median(cold), format!("{low:.2}..{high:.2}"));
    print!("{:>7.3} {:>7.3} ", of(true, |r| r.look.cpu_seconds), of(false, |r| r.look.seconds));
    let mib = |r: &Reopened| r.look.device_bytes as f64 / f64::from(1 << 20);
    print!("{:>8.0} {:>8.0} ", of(true, mib), of(false, mib));
    if system == DISK {
        print!("{:>9} {:>9} {:>10} ", "-", "-", "-");
    } else {
        print!("{:>9.1} ", of(true, Reopened::index_bytes));
        print!("{:>9.0} ", of(false, |r| r.look.compared_per_second));
        print!("{:>10.0} ", of(false, |r| r.look.reads_per_second));
    }
    let times = ratio(found, (system, OURS), (payload, true), |r| r.look.seconds);
    match times.filter(|_| system != OURS) {
        Some(times) => println!("{times:>7.2}"),
        None => println!("{:>7}", "-"),
    }
}

/// Prints what the figures mean.
pub(super) fn print_notes() {
    println!();
    println!(
        "cold, warm s: to open the log with the page cache empty and full; ours reads past it"
    );
    println!("and proves every byte either way. cpu s: processor time of the cold opening. MiB:");
    println!(
        "what came from the device. B/entry: memory in use after opening, per entry. first/s:"
    );
    println!("entries read for the first time after a warm opening, in the order of the log, each");
    println!("compared with what was written. random/s: read again, in no order. it/ours: time of");
    println!("the cold opening beside ours.");
    println!("{DISK}: the segments of ours read one after the other, looked at by nobody.");
}
