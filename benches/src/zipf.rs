//! Keys of unequal weight: the one of rank k is asked for in proportion to 1 / k^0.99, as
//! in YCSB, and ranks are spread over all numbers.
//!
//! Drawn by the method of Gray et al., "Quickly generating billion-record synthetic
//! databases" (1994): one uniform number, no table.

use crate::contents::SplitMix;

const THETA: f64 = 0.99;

#[derive(Clone, Debug)]
pub(crate) struct Zipf {
    count: u32,
    zeta: f64,
    alpha: f64,
    eta: f64,
}

impl Zipf {
    /// Takes time in proportion to `count`, which is not 0.
    pub(crate) fn new(count: u32) -> Self {
        let zeta_of = |n: u32| (1..=n).map(|k| f64::from(k).powf(-THETA)).sum::<f64>();
        let zeta = zeta_of(count);
        let all = f64::from(count);
        Self {
            count,
            zeta,
            alpha: 1.0 / (1.0 - THETA),
            eta: (1.0 - (2.0 / all).powf(1.0 - THETA)) / (1.0 - zeta_of(2.min(count)) / zeta),
        }
    }

    /// A number below the count.
    pub(crate) fn draw(&self, random: &mut SplitMix) -> u32 {
        let rank = self.rank(random);
        // Neighbours in rank shall not be neighbours in order. Two ranks may meet.
        SplitMix(u64::from(rank)).below(self.count)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "53 random bits; a rank is below the count"
    )]
    fn rank(&self, random: &mut SplitMix) -> u32 {
        let uniform = (random.next() >> 11) as f64 / (1_u64 << 53) as f64;
        let scaled = uniform * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < 1.0 + 0.5_f64.powf(THETA) {
            return 1.min(self.count - 1);
        }
        let spread = (self.eta * uniform - self.eta + 1.0).powf(self.alpha);
        ((f64::from(self.count) * spread) as u32).min(self.count - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_come_as_often_as_their_weight_says() {
        let (count, draws) = (1_000, 200_000_u32);
        let zipf = Zipf::new(count);
        let mut random = SplitMix(3);
        let mut seen = vec![0_u32; 1_000];
        for _ in 0..draws {
            seen[zipf.rank(&mut random) as usize] += 1;
        }
        for rank in [0_u32, 1] {
            let wanted = f64::from(draws) * f64::from(rank + 1).powf(-THETA) / zipf.zeta;
            let ratio = f64::from(seen[rank as usize]) / wanted;
            assert!((0.95..1.05).contains(&ratio), "rank {rank}: {ratio}");
        }
        let head: u32 = seen[..100].iter().sum();
        let weights = (1..=100).map(|k| f64::from(k).powf(-THETA)).sum::<f64>();
        let ratio = f64::from(head) / (f64::from(draws) * weights / zipf.zeta);
        assert!((0.95..1.05).contains(&ratio), "the first hundred: {ratio}");
    }

    #[test]
    fn every_draw_is_below_the_count() {
        for count in [1, 2, 3, 100] {
            let zipf = Zipf::new(count);
            let mut random = SplitMix(1);
            assert!(
                (0..10_000).all(|_| zipf.draw(&mut random) < count),
                "{count}"
            );
        }
    }
}
