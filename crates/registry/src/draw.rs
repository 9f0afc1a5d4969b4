//! Many numbers from one draw.
//!
//! A decision takes one `u64`; this stretches it (splitmix64, Steele, Lea and Flood 2014), so that whoever logs the draw
//! can replay the decision.

/// A short stream of numbers from one draw.
#[derive(Clone, Debug)]
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) const fn new(draw: u64) -> Self {
        Self(draw)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`, by multiplication instead of division (Lemire 2019); its bias, below `bound` / 2^32, is far
    /// under what any traffic can show. 0 when `bound` is 0.
    pub(crate) const fn below(&mut self, bound: u32) -> u32 {
        (((self.next() >> 32) * bound as u64) >> 32) as u32
    }

    /// A number within 0 and 1, 1 excluded, in steps of 2^-53.
    pub(crate) const fn unit(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are what an f64 holds exactly")]
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        unit
    }
}

/// Spreads each bit of `x` over all bits: splitmix64's finaliser.
pub(crate) const fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_below_their_bound() {
        let mut draws = Draws::new(3);
        assert!((0..1000).all(|_| draws.below(7) < 7));
        assert!((0..1000).all(|_| (0.0..1.0).contains(&draws.unit())));
        assert_eq!(draws.below(0), 0);
    }

    #[test]
    fn every_number_below_the_bound_comes() {
        let mut draws = Draws::new(1);
        let mut seen = [0_u32; 10];
        for _ in 0..10_000 {
            seen[draws.below(10) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| (850..1150).contains(&count)), "{seen:?}");
    }
}
