//! Ids that nobody can guess: as far as a large sample can tell, each holds enough randomness, and none comes twice.
//!
//! What is measured is an *upper* bound. Each character adds the entropy of its position over the sample, less what
//! another position of the same id, or the same position of the id before it, already tells of it. So the bound sees
//! through a counter, a time, a short id written long, and a generator that repeats itself. It cannot see through a
//! good hash of something guessable; no look at ids can.

use super::Check;
use crate::verdict::{Finding, Verdict};
use std::collections::{BTreeMap, HashMap};

/// With fewer, chance looks like structure.
const SAMPLE_MIN: usize = 5_000;
/// Positions that are looked at, of those that vary: more than enough bits, and the work is their square.
const POSITIONS_MAX: usize = 64;
/// What one position tells of another by chance alone, beyond its bias, in a sample of that size.
const CHANCE_BITS: f64 = 0.1;
/// What the estimate may be off in all.
const TOLERANCE_BITS: f64 = 1.0;

/// Every id holds that many bits, for all that can be seen.
#[derive(Debug, Clone, Copy)]
pub struct Unguessable {
    /// The least number of random bits in an id.
    pub bits_min: u32,
}

impl Check for Unguessable {
    /// Series of ids, each in the order in which they were given out.
    type Evidence = [Vec<String>];

    fn check(&self, series: &[Vec<String>]) -> Verdict {
        let mut times_seen: HashMap<&str, u32> = HashMap::new();
        for id in series.iter().flatten() {
            *times_seen.entry(id).or_default() += 1;
        }
        let count: usize = series.iter().map(Vec::len).sum();
        let repeated = count - times_seen.len();
        if repeated > 0 {
            return Verdict::fail(
                format!("{count} different ids"),
                format!("{repeated} of them had been given out before"),
            );
        }
        if count < SAMPLE_MIN {
            let reason = format!("{count} ids are too few to tell, {SAMPLE_MIN} are needed");
            return Verdict::unknown(reason);
        }
        let bound = Bound::of(series);
        if bound.bits + TOLERANCE_BITS >= f64::from(self.bits_min) {
            return Verdict::Pass;
        }
        let expected = format!("{} random bits in an id", self.bits_min);
        let seen = format!("at most {:.0} in {count} ids", bound.bits.max(0.0));
        Verdict::Fail(Finding::new(expected, seen).with_evidence(bound.told()))
    }
}

/// What a sample says of its ids.
#[derive(Debug, Clone, Copy)]
struct Bound {
    bits: f64,
    positions: usize,
    constant: usize,
    predicted: usize,
}

impl Bound {
    fn of(series: &[Vec<String>]) -> Self {
        let positions = series.iter().flatten().map(String::len).max().unwrap_or(0);
        let columns = (0..positions).map(|position| Column::of(series, position));
        let mut varying: Vec<Column> = columns.filter(|column| column.symbols > 1).collect();
        let constant = positions - varying.len();
        varying.truncate(POSITIONS_MAX);
        let (mut bits, mut predicted) = (0.0, 0);
        for (place, column) in varying.iter().enumerate() {
            let in_id = varying[..place]
                .iter()
                .map(|earlier| column.told_by(earlier));
            let told = in_id.chain([column.told_by_the_id_before()]);
            let told = told.fold(0.0, f64::max);
            predicted += usize::from(told > 0.0);
            bits += column.entropy_bits() - told;
        }
        Self {
            bits,
            positions,
            constant,
            predicted,
        }
    }

    fn told(self) -> String {
        format!(
            "of {} characters, {} never change and {} follow in part from others",
            self.positions, self.constant, self.predicted
        )
    }
}

/// One position of all ids, its characters numbered in the order of their appearance.
struct Column {
    series: Vec<Vec<usize>>,
    symbols: usize,
}

impl Column {
    fn of(series: &[Vec<String>], position: usize) -> Self {
        // Where an id is shorter, its end is a character, too.
        let mut numbers: BTreeMap<Option<u8>, usize> = BTreeMap::new();
        let mut number = |id: &String| {
            let next = numbers.len();
            let byte = id.as_bytes().get(position).copied();
            *numbers.entry(byte).or_insert(next)
        };
        let series = series.iter();
        let series = series.map(|ids| ids.iter().map(&mut number).collect());
        Self {
            series: series.collect(),
            symbols: numbers.len(),
        }
    }

    fn values(&self) -> impl Iterator<Item = usize> {
        self.series.iter().flatten().copied()
    }

    /// By Miller and Madow: what the sample says, and what it cannot have seen.
    fn entropy_bits(&self) -> f64 {
        let mut counts = vec![0; self.symbols];
        let mut total = 0;
        for value in self.values() {
            counts[value] += 1;
            total += 1;
        }
        entropy_bits(&counts, total) + bias_bits(self.symbols - 1, total)
    }

    fn told_by(&self, other: &Self) -> f64 {
        let pairs = self.values().zip(other.values());
        mutual_bits(pairs, self.symbols, other.symbols)
    }

    fn told_by_the_id_before(&self) -> f64 {
        let pairs = self.series.iter().flat_map(|ids| ids.windows(2));
        let pairs = pairs.map(|pair| (pair[1], pair[0]));
        mutual_bits(pairs, self.symbols, self.symbols)
    }
}

/// How much one of a pair tells of the other, beyond chance.
fn mutual_bits(
    pairs: impl Iterator<Item = (usize, usize)>,
    of_symbols: usize,
    by_symbols: usize,
) -> f64 {
    let mut joint = vec![0; of_symbols * by_symbols];
    let (mut of, mut by) = (vec![0; of_symbols], vec![0; by_symbols]);
    let mut total = 0;
    for (one, other) in pairs {
        joint[one * by_symbols + other] += 1;
        of[one] += 1;
        by[other] += 1;
        total += 1;
    }
    if total == 0 {
        return 0.0;
    }
    let mutual = entropy_bits(&of, total) + entropy_bits(&by, total) - entropy_bits(&joint, total);
    let chance = bias_bits((of_symbols - 1) * (by_symbols - 1), total);
    let told = mutual - chance;
    if told > CHANCE_BITS { told } else { 0.0 }
}

fn entropy_bits(counts: &[u32], total: u32) -> f64 {
    let total = f64::from(total);
    let seen = counts.iter().filter(|count| **count > 0);
    seen.map(|count| {
        let share = f64::from(*count) / total;
        -share * share.log2()
    })
    .sum()
}

/// What so many free cells bend an estimate by, in a sample of that size.
fn bias_bits(free_cells: usize, total: u32) -> f64 {
    free_cells as f64 / (2.0 * f64::from(total) * std::f64::consts::LN_2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: Unguessable = Unguessable { bits_min: 128 };

    /// A generator of no quality but enough for this: xorshift64*.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
        }
    }

    fn sample(mut id: impl FnMut(u64, &mut Random) -> String) -> Vec<Vec<String>> {
        let mut random = Random(42);
        let mut one = |number| id(number, &mut random);
        vec![
            (0..3000).map(&mut one).collect(),
            (3000..6000).map(&mut one).collect(),
        ]
    }

    #[test]
    fn ids_of_128_and_of_256_random_bits_pass() {
        let of_128 = sample(|_, random| format!("{:016x}{:016x}", random.next(), random.next()));
        assert_eq!(IDS.check(&of_128), Verdict::Pass);
        const LETTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let letter = |random: &mut Random| LETTERS[(random.next() >> 58) as usize] as char;
        let of_258 = sample(|_, random| (0..43).map(|_| letter(random)).collect());
        assert_eq!(IDS.check(&of_258), Verdict::Pass);
    }

    #[test]
    fn a_version_4_uuid_has_six_bits_too_few() {
        let uuid = sample(|_, random| {
            let (high, low) = (random.next(), random.next());
            let low = (low & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
            format!("{:016x}{low:016x}", (high & !0xf000) | 0x4000)
        });
        match IDS.check(&uuid) {
            Verdict::Fail(finding) => assert!(finding.seen.contains("at most 122"), "{finding:?}"),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn counted_short_and_repeated_randomness_fail() {
        let counted = sample(|number, _| format!("{:032x}", 0x1234_5678_0000 + number));
        let short = sample(|_, random| format!("{:016x}", random.next()));
        let twice = sample(|_, random| {
            let half = random.next();
            format!("{half:016x}{half:016x}")
        });
        let mixed = sample(|number, random| format!("{:016x}{number:016x}", random.next()));
        for ids in [counted, short, twice, mixed] {
            assert_eq!(IDS.check(&ids).word(), "fail");
        }
    }

    #[test]
    fn an_id_that_moves_on_from_the_one_before_fails() {
        let mut high = 0_u64;
        let walking = sample(|_, random| {
            // Each digit is the one before, plus 0 or 1.
            let step = random.next() & 0x1111_1111_1111_1111;
            high = (0..16).fold(0, |sum, digit| {
                let at = |number: u64| (number >> (4 * digit)) & 0xf;
                sum | (((at(high) + at(step)) & 0xf) << (4 * digit))
            });
            format!("{high:016x}{:016x}", random.next())
        });
        assert_eq!(IDS.check(&walking).word(), "fail");
    }

    #[test]
    fn an_id_that_comes_twice_fails_however_few_there_are() {
        let ids = [vec!["a".to_owned(), "b".to_owned()], vec!["a".to_owned()]];
        assert_eq!(IDS.check(&ids).word(), "fail");
    }

    #[test]
    fn a_few_ids_tell_nothing() {
        assert_eq!(IDS.check(&[vec!["a".to_owned()]]).word(), "unknown");
    }
}
