//! A histogram that widens without seeing its data again.
//!
//! The bin width is a power of two and bins start at multiples of it, so doubling the width merges bins in pairs, exactly:
//! `floor(x / 2w) = floor(floor(x / w) / 2)`. The final width depends only on the largest magnitude, and so do the
//! counts: not on the order of the data, nor on how it was split.

use crate::vectors::on_vectors;

/// Bins on each side of zero.
const HALF: usize = 2048;
/// The narrowest width is `2^MIN_EXPONENT`: its reciprocal is still a normal float32.
const MIN_EXPONENT: i32 = -126;

/// Counts of finite numbers. Zeros are counted apart: every grid holds zero exactly, so they say nothing about a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    /// The bin width is `2^exponent`.
    exponent: i32,
    /// Bin `i` counts numbers in `[(i - HALF) * width, (i - HALF + 1) * width)`. Empty until the first number.
    counts: Vec<u64>,
    zeros: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { exponent: MIN_EXPONENT, counts: Vec::new(), zeros: 0 }
    }
}

/// The smallest exponent at which a number of magnitude `largest` has a bin.
fn exponent_for(largest: f32) -> i32 {
    let mut exponent = MIN_EXPONENT;
    // floor(log2) by the bits of the number; a bin index must stay below HALF = 2^11.
    if largest >= f32::MIN_POSITIVE {
        let log2 = ((largest.to_bits() >> 23) & 0xff) as i32 - 127;
        exponent = exponent.max(log2 + 1 - HALF.ilog2() as i32);
    }
    exponent
}

/// Adding 1.5 * 2^23 rounds a number of magnitude below 2^22 to an integer, which is then in the low bits of the sum.
const ROUND: f32 = 12_582_912.0;
/// Numbers whose bins are found before any is counted: finding them then runs on vectors.
const BLOCK: usize = 64;
/// Zeros come in long runs, and a count waits for the one before it in the same place: so they go by turns to so many places
/// behind the bins.
const ZEROS: usize = 16;
/// Places of a table while numbers are counted: more than are used, but a power of two, to which an index is cut for free.
const PLACES: usize = 4 * HALF;
/// No table of 32 bits overflows by so many numbers.
const MOST: usize = 1 << 30;

/// The place of `v`, number `index` of a block. In bin widths its magnitude must be below `HALF`.
#[inline(always)]
fn place_of(v: f32, reciprocal: f32, index: usize) -> u32 {
    let x = v * reciprocal;
    let sum = x + ROUND;
    // The floor is exact, unlike that of `x + HALF`, which rounds before it is cut off.
    let above = u32::from(sum - ROUND > x);
    let bin = sum.to_bits().wrapping_sub(above).wrapping_add(HALF as u32);
    if v == 0.0 { (2 * HALF + index % ZEROS) as u32 } else { bin }
}

/// Counts the place of every number in `table`.
fn tally(values: &[f32], reciprocal: f32, table: &mut [u32; PLACES]) {
    on_vectors!("avx2", count(values: &[f32], reciprocal: f32, table: &mut [u32; PLACES]) -> ());
    count(values, reciprocal, table);
}

#[inline(always)]
fn count(values: &[f32], reciprocal: f32, table: &mut [u32; PLACES]) {
    let mut places = [0; BLOCK];
    let (blocks, rest) = values.as_chunks::<BLOCK>();
    for block in blocks {
        for index in 0..BLOCK {
            places[index] = place_of(block[index], reciprocal, index);
        }
        // Eight at a time: otherwise counting the places takes as long as counting in them.
        for eight in places.as_chunks::<8>().0 {
            let [a, b, c, d, e, f, g, h] = eight.map(|place| place as usize % PLACES);
            table[a] += 1;
            table[b] += 1;
            table[c] += 1;
            table[d] += 1;
            table[e] += 1;
            table[f] += 1;
            table[g] += 1;
            table[h] += 1;
        }
    }
    for &v in rest {
        table[place_of(v, reciprocal, 0) as usize % PLACES] += 1;
    }
}

impl Histogram {
    /// Counts finite `values`, whose magnitudes are at most `largest`.
    pub fn add(&mut self, values: &[f32], largest: f32) {
        if values.is_empty() {
            return;
        }
        self.widen(exponent_for(largest));
        let reciprocal = 2f32.powi(-self.exponent);
        for part in values.chunks(MOST) {
            let mut table = [0; PLACES];
            tally(part, reciprocal, &mut table);
            let (bins, behind) = table.split_at(2 * HALF);
            self.counts.iter_mut().zip(bins).for_each(|(count, &n)| *count += u64::from(n));
            self.zeros += behind[..ZEROS].iter().map(|&n| u64::from(n)).sum::<u64>();
        }
    }

    /// Takes over the counts of another histogram.
    pub fn merge(&mut self, other: &Self) {
        self.zeros += other.zeros;
        if other.counts.is_empty() {
            return;
        }
        self.widen(other.exponent);
        let shift = self.exponent - other.exponent;
        for (bin, &count) in other.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            self.counts[merged_bin(bin, shift)] += count;
        }
    }

    /// Doubles the bin width until it is at least `2^exponent`.
    pub(super) fn widen(&mut self, exponent: i32) {
        if self.counts.is_empty() {
            self.counts = vec![0; 2 * HALF];
            self.exponent = self.exponent.max(exponent);
        }
        let shift = exponent - self.exponent;
        if shift <= 0 {
            return;
        }
        let mut wide = vec![0; 2 * HALF];
        for (bin, &count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            wide[merged_bin(bin, shift)] += count;
        }
        self.counts = wide;
        self.exponent = exponent;
    }

    /// The width of a bin.
    pub fn width(&self) -> f64 {
        2f64.powi(self.exponent)
    }

    /// The bin width is two to the power of this.
    pub(super) fn exponent(&self) -> i32 {
        self.exponent
    }

    /// The counts of all bins; none before the first number.
    pub(super) fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The lower edge of the bin at an index of [`Histogram::counts`].
    pub(super) fn edge(&self, bin: usize) -> f64 {
        (bin as f64 - HALF as f64) * self.width()
    }

    /// The mean of the numbers' squares, to the width of a bin; zero where there are none.
    pub(super) fn energy(&self) -> f64 {
        let half = self.width() / 2.0;
        let squares = self.bins().fold(0.0, |sum, (low, count)| sum + count as f64 * (low + half).powi(2));
        squares / self.total().max(1) as f64
    }

    /// Whether all numbers of another one are among these, in bins of the same width.
    pub(super) fn holds(&self, other: &Self) -> bool {
        let pairs = self.counts.iter().zip(&other.counts);
        let alike = other.total() == 0 || self.exponent == other.exponent && self.counts.len() == other.counts.len();
        alike && self.zeros >= other.zeros && pairs.into_iter().all(|(own, other)| own >= other)
    }

    /// The numbers without those of another one, which are among them.
    pub(super) fn without(&self, other: &Self) -> Self {
        let mut rest = self.clone();
        rest.zeros -= other.zeros;
        rest.counts.iter_mut().zip(&other.counts).for_each(|(own, other)| *own -= other);
        rest
    }

    /// How many zeros were counted.
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// How many numbers were counted, zeros included.
    pub fn total(&self) -> u64 {
        self.zeros + self.counts.iter().sum::<u64>()
    }

    /// Non-empty bins in rising order: lower edge and count. Zeros are not among them.
    pub fn bins(&self) -> impl DoubleEndedIterator<Item = (f64, u64)> + '_ {
        let bins = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        bins.map(|(bin, &count)| (self.edge(bin), count))
    }

    /// What has to be stored beside the exponent: zeros, and each non-empty bin with its count.
    pub(super) fn parts(&self) -> (u64, Vec<(i32, u64)>) {
        let bins = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        (self.zeros, bins.map(|(bin, &count)| (bin as i32 - HALF as i32, count)).collect())
    }

    /// The histogram with these parts; `None` when they are not those of one.
    pub(super) fn from_parts(exponent: i32, zeros: u64, bins: &[(i32, u64)]) -> Option<Self> {
        if !(MIN_EXPONENT..=127).contains(&exponent) {
            return None;
        }
        let mut counts = if bins.is_empty() && zeros == 0 { Vec::new() } else { vec![0u64; 2 * HALF] };
        for &(bin, count) in bins {
            let slot = counts.get_mut(usize::try_from(i64::from(bin) + HALF as i64).ok()?)?;
            *slot = slot.checked_add(count)?;
        }
        // Their sum must be a number too.
        counts.iter().try_fold(zeros, |sum, &count| sum.checked_add(count))?;
        Some(Self { exponent, counts, zeros })
    }
}

fn merged_bin(bin: usize, shift: i32) -> usize {
    let signed = bin as i64 - HALF as i64;
    ((signed >> shift.min(62)) + HALF as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn largest(values: &[f32]) -> f32 {
        values.iter().fold(0.0, |m, v| m.max(v.abs()))
    }

    fn numbers(seed: u32, count: usize, scale: f32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.4
        };
        (0..count).map(|_| next() * scale).collect()
    }

    #[test]
    fn a_number_just_below_an_edge_stays_below_it_at_every_width() {
        for wide in [1.0f32, 100.0, 2000.0] {
            let mut h = Histogram::default();
            h.add(&[wide], wide);
            let below = f32::from_bits((h.width() as f32).to_bits() - 1);
            h.add(&[below, -below], wide);
            let edges: Vec<f64> = h.bins().map(|b| b.0).collect();
            assert_eq!(edges[..2], [-h.width(), 0.0]);
        }
    }

    #[test]
    fn order_and_splits_leave_no_trace() {
        let pieces: Vec<Vec<f32>> = (0..9).map(|i| numbers(i, 500, 3f32.powi(i as i32 - 4))).collect();
        let all: Vec<f32> = pieces.concat();
        let mut whole = Histogram::default();
        whole.add(&all, largest(&all));
        let mut forward = Histogram::default();
        pieces.iter().for_each(|p| forward.add(p, largest(p)));
        let mut merged = Histogram::default();
        for piece in pieces.iter().rev() {
            let mut own = Histogram::default();
            own.add(piece, largest(piece));
            merged.merge(&own);
        }
        assert_eq!(whole, forward);
        assert_eq!(whole, merged);
        assert_eq!(whole.total(), all.len() as u64);
    }

    #[test]
    fn every_number_lies_in_its_bin() {
        for value in [1.0f32, -1.0, 0.999, -0.001, 3.4e38, -3.4e38, 1e-40, 2048.0, -2048.0, 5e-39] {
            let mut one = Histogram::default();
            one.add(&[value], value.abs());
            let (edge, count) = one.bins().next().expect("one bin");
            let (v, slack) = (f64::from(value), one.width() * 1e-3);
            assert!(count == 1 && edge <= v + slack && v <= edge + one.width() + slack, "{value} in {edge}");
        }
    }

    /// Of no round length.
    #[test]
    fn every_way_of_counting_is_that_of_the_floor() {
        let values: Vec<f32> = numbers(5, 999 * BLOCK + 7, 3.0).iter().map(|v| v.max(-0.5)).collect();
        let values = [values, vec![0.0, -0.0, 1.0, -1.0, 1e-40, -1e-40, 0.75, -0.75]].concat();
        for part in [&values[..], &values[values.len() - BLOCK - 3..], &values[values.len() - 9..]] {
            let mut made = Histogram::default();
            made.add(part, largest(part));
            let mut wanted = vec![0u64; 2 * HALF];
            for v in part.iter().filter(|v| **v != 0.0) {
                wanted[((f64::from(*v) / made.width()).floor() + HALF as f64) as usize] += 1;
            }
            assert_eq!(made.counts, wanted);
            assert_eq!(made.zeros(), part.iter().filter(|v| **v == 0.0).count() as u64);
        }
    }

    #[test]
    fn zeros_are_apart() {
        let mut h = Histogram::default();
        h.add(&[0.0, -0.0, 1.0], 1.0);
        assert_eq!((h.zeros(), h.total(), h.bins().count()), (2, 3, 1));
    }

    #[test]
    fn what_is_taken_out_again_leaves_no_trace() {
        let (some, others) = (numbers(1, 300, 1.0), numbers(2, 300, 1.0));
        let of = |parts: &[&[f32]]| {
            let mut h = Histogram::default();
            parts.iter().for_each(|part| h.add(part, 1.0));
            h
        };
        let (all, part) = (of(&[&some, &[0.0], &others]), of(&[&others, &[0.0]]));
        assert_eq!(all.without(&part), of(&[&some]));
        assert_eq!(all.without(&Histogram::default()), all);
        assert!(all.holds(&part) && all.holds(&Histogram::default()) && !part.holds(&all));
        let squares = some.iter().map(|v| f64::from(v * v)).sum::<f64>();
        let energy = of(&[&some, &[0.0; 100]]).energy();
        assert!((energy - squares / 400.0).abs() < 1e-3 * energy, "{energy}");
        assert_eq!(Histogram::default().energy(), 0.0);
    }

    #[test]
    fn parts_make_it_again() {
        let mut h = Histogram::default();
        h.add(&numbers(7, 1000, 9.0), 9.0);
        let (zeros, bins) = h.parts();
        assert_eq!(Histogram::from_parts(h.exponent(), zeros, &bins), Some(h));
        assert_eq!(Histogram::from_parts(0, 0, &[(1 << 20, 1)]), None);
        assert_eq!(Histogram::from_parts(0, 1, &[(0, u64::MAX)]), None);
    }
}
