//! For tests: bytes as a bad disk returns them.

/// Damages copies of a file, each in another way: a bit, a sector of zeros, a sector of elsewhere.
pub(crate) struct Damager {
    random: u64,
    round: usize,
}

impl Damager {
    const SECTOR: usize = 512;

    pub(crate) const fn new() -> Self {
        Self { random: 0x2545_F491_4F6C_DD1D, round: 0 }
    }

    /// Any number below this.
    pub(crate) const fn below(&mut self, bound: usize) -> usize {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) as usize % bound
    }

    /// A copy with one thing wrong. It can happen that nothing is: a sector may be equal to the other.
    pub(crate) fn damaged(&mut self, whole: &[u8]) -> Vec<u8> {
        let mut bytes = whole.to_vec();
        let sectors = bytes.len() / Self::SECTOR;
        self.round += 1;
        match self.round % 3 {
            0 => bytes[self.below(whole.len())] ^= 1 << self.below(8),
            1 => bytes[self.below(sectors) * Self::SECTOR..][..Self::SECTOR].fill(0),
            _ => {
                let (from, to) = (self.below(sectors) * Self::SECTOR, self.below(sectors) * Self::SECTOR);
                bytes.copy_within(from..from + Self::SECTOR, to);
            }
        }
        bytes
    }

    /// How many files to damage: many, if the environment asks for the long form.
    pub(crate) fn rounds(bounded: usize) -> usize {
        std::env::var_os("OXKEEPER_CORRUPTION_FULL").map_or(bounded, |_| 20_000)
    }
}
