//! Faults that last: partitions of every shape, clocks that stand still, disks that hang, power
//! cuts.

use super::cluster::Cluster;

/// What is wrong at the moment, and for how many steps more.
pub(crate) struct Weather {
    /// `cut[from][to]`: nothing arrives.
    pub(super) cut: Vec<Vec<bool>>,
    /// Nodes whose clock stands still.
    pub(super) frozen: Vec<bool>,
    /// Nodes whose disk completes nothing.
    pub(super) stuck: Vec<bool>,
    /// Entries are lost and votes are not: leaders change and little is replicated.
    pub(super) starved: bool,
    lasts: usize,
}

impl Weather {
    pub(super) fn new(size: usize) -> Self {
        let cut = vec![vec![false; size]; size];
        let (frozen, stuck) = (vec![false; size], vec![false; size]);
        Self { cut, frozen, stuck, starved: false, lasts: 100 }
    }

    pub(super) fn clear(&mut self) {
        self.cut.iter_mut().flatten().for_each(|cut| *cut = false);
        self.frozen.fill(false);
        self.stuck.fill(false);
        self.starved = false;
    }
}

impl Cluster {
    /// Lets the present weather last, or draws the next. Most trouble is for the leader.
    pub(super) fn change_weather(&mut self) {
        if self.weather.lasts > 0 {
            self.weather.lasts -= 1;
            return;
        }
        self.weather.lasts = 10 + self.random.below(200);
        if self.random.permille(700) {
            self.weather.clear();
        }
        let any = self.random.below(self.size());
        let victim = self.leader().filter(|_| self.random.permille(600)).unwrap_or(any);
        match self.random.below(12) {
            0..2 => self.weather.clear(),
            2..4 => {
                self.cut_off(victim, true, true);
                self.weather.frozen[victim] = self.random.permille(500);
            }
            4 => self.cut_off(victim, true, false),
            5 => self.cut_off(victim, false, true),
            6 => self.split(),
            7 => self.weather.stuck[victim] = true,
            8 => self.cut_power(),
            9..11 => self.weather.starved = true,
            _ => {
                let (a, b) = (victim, self.random.below(self.size()));
                (self.weather.cut[a][b], self.weather.cut[b][a]) = (true, true);
            }
        }
    }

    fn cut_off(&mut self, node: usize, hears_nobody: bool, is_not_heard: bool) {
        for other in 0..self.size() {
            self.weather.cut[other][node] |= hears_nobody;
            self.weather.cut[node][other] |= is_not_heard;
        }
    }

    fn split(&mut self) {
        let side: Vec<bool> = (0..self.size()).map(|_| self.random.permille(500)).collect();
        for (from, row) in self.weather.cut.iter_mut().enumerate() {
            for (to, cut) in row.iter_mut().enumerate() {
                *cut |= side[from] != side[to];
            }
        }
    }

    /// Every node dies at once, each with what its disk had, and comes back.
    fn cut_power(&mut self) {
        for n in 0..self.size() {
            self.crash(n);
        }
        for n in 0..self.size() {
            assert!(!self.is_up(n));
            self.start(n);
        }
    }
}
