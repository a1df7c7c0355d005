//! Numbers from one number, for what is simulated.

/// Splitmix: any spread will do.
pub(crate) struct Random(u64);

impl Random {
    /// The stream of a seed.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number below a bound; 0 for the bound 0.
    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % if bound == 0 { 1 } else { bound }
    }

    /// True once in so many times.
    pub(crate) const fn once_in(&mut self, chance: u64) -> bool {
        self.below(chance) == 0
    }
}
