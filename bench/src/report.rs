//! Tables: medians over the rounds, beside the limit of the disk.

use crate::limits::DiskRate;
use crate::peers::Peer;
use crate::suites::cluster::Run;

/// A load generator that keeps a processor this busy may be what was measured.
const CLIENT_BUSY: f64 = 0.9;

/// Prints a row per peer and depth, in the order in which they were first measured.
pub(crate) fn print(runs: &[Run], disk: &[DiskRate]) {
    println!();
    println!(
        "{:<26} {:>5} {:>10} {:>19} {:>9} {:>9} {:>7} {:>10} {:>7} {:>6} {:>6} {:>8}",
        "system",
        "depth",
        "ops/s",
        "min..max",
        "p50 ms",
        "p99 ms",
        "cores",
        "ops/cpu-s",
        "client",
        "other",
        "stolen",
        "x disk"
    );
    let durable = median(disk.iter().map(|d| d.per_second));
    for (peer, depth) in rows(runs) {
        let of = |f: fn(&Run) -> f64| {
            let same = runs.iter().filter(|r| r.peer == peer && r.depth == depth);
            same.map(f).collect::<Vec<f64>>()
        };
        let rate = of(|r| r.per_second);
        let (low, high) = rate.iter().fold((f64::MAX, 0f64), |(l, h), &r| (l.min(r), h.max(r)));
        let client = median(of(|r| r.client_cores));
        print!("{:<26} {depth:>5} ", peer.title());
        print!("{:>10.0} ", median(rate.iter().copied()));
        print!("{:>19} ", format!("{low:.0}..{high:.0}"));
        print!("{:>9.3} ", median(of(|r| r.p50_millis)));
        print!("{:>9.3} ", median(of(|r| r.p99_millis)));
        print!("{:>7.2} ", median(of(|r| r.server_cores)));
        print!("{:>10.0} ", median(of(|r| r.per_cpu_second)));
        let mark = if client > CLIENT_BUSY { "*" } else { " " };
        print!("{client:>6.2}{mark} ");
        print!("{:>6.2} ", median(of(|r| r.other_cores)));
        print!("{:>6.2} ", median(of(|r| r.stolen_cores)));
        let of_disk = median(rate.iter().copied()) / durable.max(1.0);
        println!("{of_disk:>8.2}");
    }
    println!();
    println!("medians of the rounds; cores, client, other, stolen: processors that the servers,");
    println!("the load, everything else and the hypervisor took;");
    println!(
        "x disk: operations per durable 4 KiB write of this disk, one at a time ({durable:.0}/s)"
    );
    if runs.iter().any(|r| r.client_cores > CLIENT_BUSY) {
        println!(
            "*: the load generator was about as busy as it can be and may be what was measured"
        );
    }
}

fn rows(runs: &[Run]) -> Vec<(Peer, usize)> {
    let mut rows = Vec::new();
    for run in runs {
        if !rows.contains(&(run.peer, run.depth)) {
            rows.push((run.peer, run.depth));
        }
    }
    rows.sort_by_key(|&(_, depth)| depth);
    rows
}

/// The median; of an even number of figures the mean of the middle two; of none zero.
pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() {
        0 => 0.0,
        n if n % 2 == 1 => figures[middle],
        _ => (figures[middle - 1] + figures[middle]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median([]), 0.0);
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
