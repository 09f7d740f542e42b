//! Weights whose products survive 16-bit sums.
//!
//! On x86 processors without VNNI, integer kernels multiply uint8 activations with int8 weights two at a time and add the
//! two products in saturating 16 bits. Beyond 32,767 the result is wrong without a word: where both activations are 255, two
//! neighbouring weights of the same sign that sum up to 129 are enough. Where a channel stays smaller, so do its products.

/// In which order a kernel walks over a weight when it sums up one output channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SumOrder {
    /// A filter `[output channels, input channels of a group, taps...]`: for each tap, over input channels (as channels-last
    /// kernels do).
    Filter {
        /// Into how many groups output and input channels are divided.
        groups: usize,
    },
    /// A matrix, one output channel for each row.
    Rows,
    /// A matrix, one output channel for each column.
    Columns,
}

/// The axis of an activation along which the channels lie that a layer sums over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChannelAxis {
    /// The second, as a convolution has it.
    Second,
    /// The last, as a matrix product has it.
    Last,
}

impl ChannelAxis {
    /// The axis in an array of shape `shape`; `None` where there is none.
    pub fn index(self, shape: &[usize]) -> Option<usize> {
        match self {
            Self::Second => (shape.len() > 1).then_some(1),
            Self::Last => shape.len().checked_sub(1),
        }
    }
}

/// The largest magnitude that two products may sum up to.
const LARGEST_SUM: f32 = 32_767.0;

/// The least scale for each output channel of `weight` at which no two neighbours in the sum saturate, however they are
/// rounded. An odd one out at the end of a sum is its own pair.
///
/// `largest` is the largest uint8 activation of each input channel, one group after the other. Where it has another length,
/// nothing is known of them: each may be 255.
pub fn pair_safe_scales(weight: &[f32], shape: &[usize], order: SumOrder, largest: &[u8]) -> Vec<f32> {
    let (inputs, groups) = match order {
        SumOrder::Columns => (shape[0], 1),
        SumOrder::Rows => (shape[1], 1),
        SumOrder::Filter { groups } => (shape[1], groups),
    };
    let known = groups > 0 && shape[0].is_multiple_of(groups) && largest.len() == inputs * groups;
    let groups = if known { groups } else { 1 };
    let largest: Vec<f32> = if known { largest.iter().map(|&a| f32::from(a)).collect() } else { vec![255.0; inputs] };
    let length = shape[1..].iter().product::<usize>();
    let rows = (0..shape[0]).map(|channel| {
        let group = channel / (shape[0] / groups);
        (&weight[channel * length..][..length], &largest[group * inputs..][..inputs])
    });
    let sums: Vec<f32> = match order {
        SumOrder::Columns => largest_of_columns(weight, shape[1], &largest),
        SumOrder::Filter { .. } if length > inputs => {
            let mut sorted = Vec::new();
            let ones = vec![1.0; length];
            rows.map(|(filter, largest)| largest_of_filter(filter, largest, &mut sorted, &ones)).collect()
        }
        // One tap: the kernel's order is that of the array.
        SumOrder::Filter { .. } | SumOrder::Rows => rows.map(|(row, largest)| largest_of_row(row, largest)).collect(),
    };
    // Each of the two weights may be rounded up by half, which is half of each activation.
    let rounding = largest.iter().copied().fold(0.0, f32::max);
    sums.into_iter().map(|sum| sum / (LARGEST_SUM - rounding)).collect()
}

/// The larger, or the second where the first is NaN. One instruction, unlike `f32::max`.
fn larger(v: f32, most: f32) -> f32 {
    if v > most { v } else { most }
}

/// The largest sum of neighbours, from the first on in pairs, each number times its `factor`.
fn largest_of_row(row: &[f32], factors: &[f32]) -> f32 {
    // Lanes, so that the compiler can use vector instructions.
    const LANES: usize = 8;
    let ((chunks, rest), (factors, last)) = (row.as_chunks::<{ 2 * LANES }>(), factors.as_chunks::<{ 2 * LANES }>());
    let mut most = [0.0; LANES];
    for (chunk, by) in chunks.iter().zip(factors) {
        for (lane, most) in most.iter_mut().enumerate() {
            let sum = chunk[2 * lane] * by[2 * lane] + chunk[2 * lane + 1] * by[2 * lane + 1];
            *most = larger(sum.abs(), *most);
        }
    }
    let rest =
        rest.chunks(2).zip(last.chunks(2)).map(|(pair, by)| pair.iter().zip(by).map(|(w, a)| w * a).sum::<f32>());
    rest.fold(most.into_iter().fold(0.0, |most, v| larger(v, most)), |most, v| larger(v.abs(), most))
}

/// The largest sum in a filter `[input channels, taps]`, whose neighbours are input channels at one tap. `largest` has a
/// factor for each input channel, `ones` a one for each element.
fn largest_of_filter(filter: &[f32], largest: &[f32], sorted: &mut Vec<f32>, ones: &[f32]) -> f32 {
    let taps = filter.len() / largest.len().max(1);
    if let (pairs, []) = largest.as_chunks::<2>() {
        let sums = filter.chunks_exact(2 * taps).zip(pairs).flat_map(|(pair, &[a, b])| {
            let (one, other) = pair.split_at(taps);
            one.iter().zip(other).map(move |(v, w)| (v * a + w * b).abs())
        });
        return sums.fold(0.0, |most, v| larger(v, most));
    }
    // The last input channel of a tap is the neighbour of the first one of the next.
    sorted.clear();
    (0..taps).for_each(|tap| sorted.extend(filter[tap..].iter().step_by(taps).zip(largest).map(|(w, a)| w * a)));
    largest_of_row(sorted, ones)
}

/// The largest sum in each column of a matrix, whose rows are `columns` long, each with a factor.
fn largest_of_columns(weight: &[f32], columns: usize, factors: &[f32]) -> Vec<f32> {
    let mut most = vec![0.0; columns];
    for (pair, by) in weight.chunks(2 * columns.max(1)).zip(factors.chunks(2)) {
        let (one, other) = pair.split_at(columns);
        if let (&[a, b], false) = (by, other.is_empty()) {
            let sums = one.iter().zip(other).map(|(v, w)| (v * a + w * b).abs());
            most.iter_mut().zip(sums).for_each(|(most, sum)| *most = larger(sum, *most));
        } else {
            most.iter_mut().zip(one).for_each(|(most, v)| *most = larger((v * by[0]).abs(), *most));
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use super::SumOrder::{Columns, Filter, Rows};
    use super::*;

    #[test]
    fn neighbours_in_the_sum_are_neighbours_in_the_kernels_order() {
        // Two input channels, two taps: the kernel pairs the channels at one tap.
        let filter = [1.0, 5.0, 2.0, -5.0];
        let scales = |shape: &[usize], order| {
            let scales = pair_safe_scales(&filter, shape, order, &[]).into_iter();
            scales.map(|s| (s * (32_767.0 - 255.0) / 255.0 * 1000.0).round() / 1000.0).collect::<Vec<_>>()
        };
        assert_eq!(scales(&[1, 2, 1, 2], Filter { groups: 1 }), [3.0]);
        assert_eq!(scales(&[1, 4], Rows), [6.0]);
        assert_eq!(scales(&[2, 2], Columns), [3.0, 0.0]);
    }

    /// The place in the array of element `k` of the sum of one output channel, and its input channel, counted over all groups.
    fn place(shape: &[usize], order: SumOrder, channel: usize, k: usize) -> (usize, usize) {
        let length: usize = shape[1..].iter().product();
        let taps: usize = shape[2..].iter().product();
        match order {
            Filter { groups } => {
                let input = k % shape[1];
                let group = channel * groups / shape[0];
                (channel * length + input * taps + k / shape[1], group * shape[1] + input)
            }
            Rows => (channel * length + k, k),
            Columns => (k * shape[1] + channel, k),
        }
    }

    /// Each shape and order with its number of output channels, the length of their sums, and the number of input channels.
    /// A weight's shape, its order, and output channels, inputs of each, and groups.
    type Case = (&'static [usize], SumOrder, (usize, usize, usize));

    fn cases() -> Vec<Case> {
        let filters: [(&[usize], usize); 11] = [
            (&[3, 1, 3, 3], 1),
            (&[4, 1, 3, 3], 4),
            (&[2, 3, 3, 3], 1),
            (&[2, 4, 5], 1),
            (&[5, 7, 1, 1], 1),
            (&[6, 7, 1, 1], 3),
            (&[6, 4, 3], 3),
            (&[4, 3, 2, 2], 2),
            (&[2, 64, 3, 3], 1),
            (&[0, 2, 3], 1),
            (&[1, 1, 1], 1),
        ];
        let filters = filters.into_iter().map(|(shape, groups)| {
            (shape, Filter { groups }, (shape[0], shape[1..].iter().product(), shape[1] * groups))
        });
        let rows = [&[3, 33][..], &[3, 1]].map(|s| (s, Rows, (s[0], s[1], s[1])));
        let columns = [&[33, 3][..], &[8, 20], &[1, 2]].map(|s| (s, Columns, (s[1], s[0], s[0])));
        filters.chain(rows).chain(columns).collect()
    }

    fn weights(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 % 1009) as f32 / 500.0 - 1.0).powi(3)).collect()
    }

    /// Activations from 0 to 255, both included.
    fn activations(count: usize) -> Vec<u8> {
        (0..count).map(|i| [255, 0, 17, 255, 130, 255, 255, 3, 90][i * 31 % 9]).collect()
    }

    #[test]
    fn no_pair_saturates_whatever_the_shape_order_and_rounding() {
        for (shape, order, (channels, length, inputs)) in cases() {
            let weight = weights(shape.iter().product());
            for largest in [activations(inputs), vec![255; inputs], vec![1; inputs], vec![0; inputs]] {
                let scales = pair_safe_scales(&weight, shape, order, &largest);
                assert_eq!(scales.len(), channels);
                for (channel, safe) in scales.into_iter().enumerate() {
                    let term = |k: usize| {
                        let (at, input) = place(shape, order, channel, k);
                        (weight[at], i64::from(largest[input]))
                    };
                    let terms: Vec<_> = (0..length).map(term).collect();
                    // As wide a grid as the weights need in any case.
                    let least = terms.iter().fold(0f32, |most, t| most.max(t.0.abs())) / 127.0;
                    let scale = safe.max(least);
                    let mut widest = 0f64;
                    for pair in terms.chunks(2) {
                        let sum: i64 = pair.iter().map(|(w, a)| (w / scale).round_ties_even() as i64 * a).sum();
                        assert!((-32_768..=32_767).contains(&sum), "{sum}: {pair:?} at {scale}, {shape:?} {order:?}");
                        // Rounded away from zero, as far as rounding goes.
                        let up = |(w, a): &(f32, i64)| {
                            let steps = f64::from(*w) / f64::from(scale);
                            (steps + 0.5f64.copysign(steps)) * *a as f64
                        };
                        if pair.iter().all(|t| t.0 >= 0.0) || pair.iter().all(|t| t.0 <= 0.0) {
                            widest = widest.max(pair.iter().map(up).sum::<f64>().abs());
                        }
                    }
                    assert!(widest < 32_767.5, "{widest}: {shape:?} {order:?}");
                    // No wider than that asks for, but for a step's share.
                    assert!(safe <= least || widest > 32_767.0 - 255.0, "{widest}: {shape:?} {order:?}");
                }
            }
        }
    }

    #[test]
    fn small_activations_leave_weights_as_they_are() {
        let weight = [1.0, 1.0, -1.0, -1.0];
        let scale = |largest: &[u8]| pair_safe_scales(&weight, &[1, 4], Rows, largest)[0];
        assert!(scale(&[255, 255, 0, 0]) > 1.9 / 127.0);
        assert!(scale(&[127, 127, 255, 0]) <= 1.0 / 127.0);
        assert_eq!(scale(&[0; 4]), 0.0);
    }

    #[test]
    fn what_is_not_known_counts_as_the_most() {
        let weight = weights(48);
        let of = |shape: &[usize], groups, largest: &[u8]| pair_safe_scales(&weight, shape, Filter { groups }, largest);
        let all = of(&[4, 4, 3], 1, &[255; 4]);
        for (groups, largest) in [(1, &[][..]), (1, &[0; 3]), (1, &[0; 8]), (2, &[0; 4]), (3, &[0; 12]), (0, &[0; 4])] {
            assert_eq!(of(&[4, 4, 3], groups, largest), all, "{groups} groups, {} numbers", largest.len());
        }
    }
}
