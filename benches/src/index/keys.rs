//! Sorted, distinct keys of five distributions.

/// Where keys come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    /// Microseconds of events: a rate that swings with the day, and bursts.
    Timestamps,
    /// Anything in 64 bits.
    Uniform,
    /// μ = 0, σ = 2, as in the papers on learned indexes.
    Lognormal,
    /// 99 % below 2⁴⁰, the rest anywhere up to 2⁶⁴, often near 2⁶³.
    Outliers,
    /// Ten thousand dense clusters far apart, of all sizes and widths.
    Clustered,
}

impl Distribution {
    pub const ALL: [Distribution; 5] = [
        Distribution::Timestamps,
        Distribution::Uniform,
        Distribution::Lognormal,
        Distribution::Outliers,
        Distribution::Clustered,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Distribution::Timestamps => "timestamps",
            Distribution::Uniform => "uniform",
            Distribution::Lognormal => "lognormal",
            Distribution::Outliers => "outliers",
            Distribution::Clustered => "clustered",
        }
    }

    /// About `count` keys: duplicates are left out.
    pub fn keys(self, count: usize) -> Vec<u64> {
        let mut random = Random::new(7);
        let mut keys: Vec<u64> = match self {
            Distribution::Timestamps => timestamps(count, &mut random),
            Distribution::Uniform => (0..count).map(|_| random.draw()).collect(),
            Distribution::Lognormal => (0..count)
                .map(|_| ((random.normal() * 2.0).exp() * 1e12) as u64)
                .collect(),
            Distribution::Outliers => (0..count)
                .map(|_| match random.below(200) {
                    0 => random.draw(),
                    1 => (1 << 63) + random.below(1 << 20),
                    _ => random.below(1 << 40),
                })
                .collect(),
            Distribution::Clustered => clustered(count, &mut random),
        };
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

fn timestamps(count: usize, random: &mut Random) -> Vec<u64> {
    const DAY: f64 = 86_400e6;
    let mut at = 1.7e15;
    let mut burst = 0;
    (0..count)
        .map(|_| {
            let daily = 1.0 + 0.8 * (at / DAY * std::f64::consts::TAU).sin();
            if burst == 0 && random.below(10_000) == 0 {
                burst = random.below(1000);
            }
            let rate = if burst > 0 { 50.0 } else { daily };
            burst = burst.saturating_sub(1);
            at += 1.0 - (1.0 - random.unit()).ln() * 1000.0 / rate;
            at as u64
        })
        .collect()
}

fn clustered(count: usize, random: &mut Random) -> Vec<u64> {
    const CLUSTERS: usize = 10_000;
    let mut keys = Vec::with_capacity(count);
    let mean = count.div_ceil(CLUSTERS) as u64;
    while keys.len() < count {
        let center = random.draw();
        let size = 1 + random.below(2 * mean);
        let width = size << random.below(12);
        keys.extend((0..size).map(|_| center.saturating_add(random.below(width))));
    }
    keys.truncate(count);
    keys
}

/// SplitMix64: the same keys on every run.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.draw()) * u128::from(bound)) >> 64) as u64
    }

    pub fn unit(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}
