//! The number from which every choice of a run follows.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A run's seed. A scenario's own seed is derived from it by name, so that the choices of one
/// scenario depend neither on which others run nor on their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Seed(pub u64);

impl Seed {
    /// The seed of a named part of the run.
    ///
    /// FNV-1a (64 bit) over the seed's bytes and the label, then the SplitMix64 finaliser: stable
    /// across platforms and releases, which `std`'s hasher does not promise.
    #[must_use]
    pub fn derive(self, label: &str) -> Seed {
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for byte in self.0.to_le_bytes().into_iter().chain(label.bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Seed(hash ^ (hash >> 31))
    }

    /// A generator whose stream is the same on every platform.
    pub fn rng(self) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.0)
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl FromStr for Seed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => text.parse(),
        };
        parsed.map(Seed).map_err(|_| {
            format!("`{text}` is no seed; expected a number of 64 bits, decimal or 0x-hexadecimal")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_reads_back_as_it_is_printed() {
        for value in [0, 1, 42, u64::MAX] {
            assert_eq!(Seed(value).to_string().parse(), Ok(Seed(value)));
        }
        assert!("0xzz".parse::<Seed>().is_err());
    }

    #[test]
    fn derived_seeds_are_stable_and_differ_by_label() {
        assert_eq!(Seed(7).derive("HLTH-2"), Seed(7).derive("HLTH-2"));
        assert_ne!(Seed(7).derive("HLTH-2"), Seed(7).derive("HLTH-3"));
        assert_ne!(Seed(7).derive("HLTH-2"), Seed(8).derive("HLTH-2"));
    }
}
