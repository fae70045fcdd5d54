//! One measurement of one log, and how measurements are compared.

use serde::Serialize;

use crate::logs::{Done, Load};
use crate::meter::Usage;
use crate::report::median;

/// What is measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Cell {
    /// Appends under way.
    pub(super) outstanding: usize,
    /// Bytes of an entry.
    pub(super) payload: usize,
}

/// One measurement.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Sample {
    pub(super) system: &'static str,
    #[serde(flatten)]
    pub(super) cell: Cell,
    /// Which round, from 1.
    pub(super) round: usize,
    /// Durable appends per second.
    pub(super) per_second: f64,
    pub(super) p50_micros: f64,
    pub(super) p99_micros: f64,
    /// The 99.9th percentile.
    pub(super) p999_micros: f64,
    pub(super) max_micros: f64,
    #[serde(flatten)]
    pub(super) usage: Usage,
    /// How often an append had to wait for the next segment, if the log says so.
    pub(super) segment_waits: Option<u64>,
}

impl Sample {
    pub(super) fn new(system: &'static str, load: &Load, round: usize, done: &Done) -> Self {
        let micros = |q| done.latency.value_at_quantile(q) as f64 / 1e3;
        Self {
            system,
            cell: Cell { outstanding: load.outstanding, payload: load.payload },
            round,
            per_second: done.latency.len() as f64 / done.usage.seconds,
            p50_micros: micros(0.5),
            p99_micros: micros(0.99),
            p999_micros: micros(0.999),
            max_micros: done.latency.max() as f64 / 1e3,
            usage: done.usage,
            segment_waits: done.segment_waits,
        }
    }

    /// Payload bytes per second.
    pub(super) fn bytes_per_second(&self) -> f64 {
        self.per_second * self.cell.payload as f64
    }

    /// Processors that nobody measured here had.
    pub(super) fn lost_cores(&self) -> f64 {
        self.usage.other_cores + self.usage.stolen_cores
    }

    /// Appends per flush of the disk, whoever asked for it.
    pub(super) fn per_flush(&self) -> f64 {
        self.per_second * self.usage.seconds / self.usage.disk_flushes.max(1) as f64
    }
}

/// One figure per round.
pub(super) type Figures = Vec<f64>;

/// A figure of a sample.
pub(super) type Figure = fn(&Sample) -> f64;

/// The figures of one log in one cell, round by round.
pub(super) fn figures(samples: &[Sample], system: &str, cell: Cell, of: Figure) -> Figures {
    let same = samples.iter().filter(|s| s.system == system && s.cell == cell);
    same.map(of).collect()
}

/// The median of one log in one cell; nothing if it was not measured.
pub(super) fn middle(samples: &[Sample], system: &str, cell: Cell, of: Figure) -> Option<f64> {
    let figures = figures(samples, system, cell, of);
    if figures.is_empty() { None } else { Some(median(figures)) }
}

/// The median of the ratios, each within one round; nothing if one of the two was not measured.
pub(super) fn ratio(
    samples: &[Sample],
    (above, below): (&str, &str),
    cell: Cell,
    of: Figure,
) -> Option<f64> {
    let above = figures(samples, above, cell, of);
    let below = figures(samples, below, cell, of);
    ratio_of(&above, &below)
}

/// The median of the ratios of figures that belong to each other; nothing if there are none.
pub(super) fn ratio_of(above: &[f64], below: &[f64]) -> Option<f64> {
    let pairs: Figures = above.iter().zip(below).map(|(a, b)| a / b).collect();
    if pairs.is_empty() { None } else { Some(median(pairs)).filter(|r| r.is_finite()) }
}

/// The cells in the order in which they were measured.
pub(super) fn cells(samples: &[Sample]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for sample in samples {
        if !cells.contains(&sample.cell) {
            cells.push(sample.cell);
        }
    }
    cells
}

/// A sample of nothing but a rate, for the tests of what is made of samples.
#[cfg(test)]
pub(super) fn example(system: &'static str, cell: Cell, round: usize, per_second: f64) -> Sample {
    Sample {
        system,
        cell,
        round,
        per_second,
        p50_micros: 1e6 / per_second,
        p99_micros: 2e6 / per_second,
        p999_micros: 3e6 / per_second,
        max_micros: 4e6 / per_second,
        usage: Usage { seconds: 1.0, own_cores: 0.5, ..Usage::default() },
        segment_waits: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_within_a_round() {
        let cell = Cell { outstanding: 1, payload: 128 };
        // A machine of half the speed in the second round changes no ratio.
        let samples = [
            example("a", cell, 1, 4.0),
            example("b", cell, 1, 2.0),
            example("b", cell, 2, 1.0),
            example("a", cell, 2, 2.0),
            example("a", cell, 3, 40.0),
            example("b", cell, 3, 2.0),
        ];
        assert_eq!(ratio(&samples, ("a", "b"), cell, |s| s.per_second), Some(2.0));
        assert_eq!(ratio(&samples, ("a", "c"), cell, |s| s.per_second), None);
        assert_eq!(middle(&samples, "a", cell, |s| s.per_second), Some(4.0));
        assert_eq!(cells(&samples), [cell]);
    }
}
