//! Numbers that look like chance, and are the same each time.

/// SplitMix64 (Steele, Lea and Flood 2014).
pub struct Chance(u64);

impl Chance {
    /// Those of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Those that go by `name`, with a seed.
    pub fn named(name: &str, seed: u64) -> Self {
        // FNV-1a.
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self(name.bytes().fold(0xcbf2_9ce4_8422_2325 ^ seed, hash))
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number between two.
    pub fn between(&mut self, (low, high): (f32, f32)) -> f64 {
        let share = (self.bits() >> 11) as f64 / (1u64 << 53) as f64;
        f64::from(low) + share * (f64::from(high) - f64::from(low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_paper() {
        // Of the seed 0, as other implementations have them.
        let mut chance = Chance::new(0);
        assert_eq!([chance.bits(), chance.bits()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
        assert_ne!(Chance::named("a", 1).bits(), Chance::named("b", 1).bits());
        let all: Vec<f64> = (0..100).map(|_| chance.between((-1.0, 3.0))).collect();
        assert!(all.iter().all(|v| (-1.0..3.0).contains(v)) && all.iter().any(|v| *v < 0.0), "{all:?}");
    }
}
