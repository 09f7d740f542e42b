//! Weights whose products survive 16-bit sums.
//!
//! On x86 processors without VNNI, integer kernels multiply uint8 activations with int8 weights two at a time and add the
//! two products in saturating 16 bits. Two neighbouring weights of the same sign whose sum passes 128 can then exceed
//! 32,767 = 255 * 128.5, and the result is wrong without a word.

/// In which order a kernel walks over a weight when it sums up one output channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SumOrder {
    /// A filter `[output channels, input channels, taps...]`: for each tap, over input channels (as channels-last kernels
    /// do).
    Filter,
    /// A matrix, one output channel for each row.
    Rows,
    /// A matrix, one output channel for each column.
    Columns,
}

/// The largest magnitude that two rounded weights may sum up to.
const LARGEST_SUM: f32 = 128.0;

/// The least scale for each output channel of `weight` at which no two neighbours in the sum exceed 128, however
/// they are rounded. An odd one out at the end of a sum is its own pair.
pub fn pair_safe_scales(weight: &[f32], shape: &[usize], order: SumOrder) -> Vec<f32> {
    let rest = |from: usize| shape[from..].iter().product::<usize>();
    let largest: Vec<f32> = match order {
        SumOrder::Columns => largest_of_columns(weight, shape[1]),
        SumOrder::Filter if shape[1] > 1 && rest(2) > 1 => {
            let filters = (0..shape[0]).map(|channel| &weight[channel * rest(1)..][..rest(1)]);
            let mut sorted = Vec::new();
            filters.map(|filter| largest_of_filter(filter, rest(2), &mut sorted)).collect()
        }
        // One input channel or one tap: the kernel's order is that of the array.
        SumOrder::Filter | SumOrder::Rows => {
            (0..shape[0]).map(|channel| largest_of_row(&weight[channel * rest(1)..][..rest(1)])).collect()
        }
    };
    // Each of the two may be rounded up by half.
    largest.into_iter().map(|sum| sum / (LARGEST_SUM - 1.0)).collect()
}

/// The larger, or the second where the first is NaN. One instruction, unlike `f32::max`.
fn larger(v: f32, most: f32) -> f32 {
    if v > most { v } else { most }
}

/// The largest sum of neighbours, from the first on in pairs.
fn largest_of_row(row: &[f32]) -> f32 {
    // Lanes, so that the compiler can use vector instructions.
    const LANES: usize = 8;
    let (chunks, rest) = row.as_chunks::<{ 2 * LANES }>();
    let mut most = [0.0; LANES];
    for chunk in chunks {
        for (lane, most) in most.iter_mut().enumerate() {
            *most = larger((chunk[2 * lane] + chunk[2 * lane + 1]).abs(), *most);
        }
    }
    let rest = rest.chunks(2).map(|pair| pair.iter().sum::<f32>().abs());
    rest.fold(most.into_iter().fold(0.0, |most, v| larger(v, most)), |most, v| larger(v, most))
}

/// The largest sum in a filter `[input channels, taps]`, whose neighbours are input channels at one tap.
fn largest_of_filter(filter: &[f32], taps: usize, sorted: &mut Vec<f32>) -> f32 {
    let inputs = filter.len() / taps;
    if inputs.is_multiple_of(2) {
        let sums = filter.chunks_exact(2 * taps).flat_map(|pair| {
            let (one, other) = pair.split_at(taps);
            one.iter().zip(other).map(|(a, b)| (a + b).abs())
        });
        return sums.fold(0.0, |most, v| larger(v, most));
    }
    // The last input channel of a tap is the neighbour of the first one of the next.
    sorted.clear();
    (0..taps).for_each(|tap| sorted.extend(filter[tap..].iter().step_by(taps)));
    largest_of_row(sorted)
}

/// The largest sum in each column of a matrix, whose rows are `columns` long.
fn largest_of_columns(weight: &[f32], columns: usize) -> Vec<f32> {
    let mut most = vec![0.0; columns];
    for pair in weight.chunks(2 * columns.max(1)) {
        let (one, other) = pair.split_at(columns);
        if other.is_empty() {
            most.iter_mut().zip(one).for_each(|(most, v)| *most = larger(v.abs(), *most));
        } else {
            most.iter_mut().zip(one.iter().zip(other)).for_each(|(most, (a, b))| *most = larger((a + b).abs(), *most));
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_the_sum_are_neighbours_in_the_kernels_order() {
        // Two input channels, two taps: the kernel pairs the channels at one tap.
        let filter = [1.0, 5.0, 2.0, -5.0];
        assert_eq!(pair_safe_scales(&filter, &[1, 2, 1, 2], SumOrder::Filter), [3.0 / 127.0]);
        assert_eq!(pair_safe_scales(&filter, &[1, 4], SumOrder::Rows), [6.0 / 127.0]);
        assert_eq!(pair_safe_scales(&filter, &[2, 2], SumOrder::Columns), [3.0 / 127.0, 0.0]);
        assert_eq!(pair_safe_scales(&[4.0, -4.0, 8.0], &[1, 3], SumOrder::Rows), [8.0 / 127.0]);
    }

    /// Element `k` of the sum of one output channel.
    fn at(weight: &[f32], shape: &[usize], order: SumOrder, channel: usize, k: usize) -> f32 {
        let length: usize = shape[1..].iter().product();
        let taps: usize = shape[2..].iter().product();
        weight[match order {
            SumOrder::Filter => channel * length + k % shape[1] * taps + k / shape[1],
            SumOrder::Rows => channel * length + k,
            SumOrder::Columns => k * shape[1] + channel,
        }]
    }

    #[test]
    fn every_shape_and_order_is_that_of_the_sum() {
        use SumOrder::{Columns, Filter, Rows};
        let filters =
            [&[3, 1, 3, 3][..], &[2, 3, 3, 3], &[2, 4, 5], &[5, 7, 1, 1], &[2, 64, 3, 3], &[0, 2, 3], &[1, 1, 1]];
        let cases = filters.into_iter().map(|shape| (shape, Filter));
        let cases = cases.chain([(&[3, 33][..], Rows), (&[3, 1], Rows), (&[33, 3], Columns), (&[8, 20], Columns)]);
        for (shape, order) in cases {
            let count: usize = shape.iter().product();
            let weight: Vec<f32> = (0..count).map(|i| (i * 7919 % 1009) as f32 / 500.0 - 1.0).collect();
            let (channels, length) =
                if order == Columns { (shape[1], shape[0]) } else { (shape[0], shape[1..].iter().product()) };
            let wanted = (0..channels).map(|channel| {
                let sum: Vec<f32> = (0..length).map(|k| at(&weight, shape, order, channel, k)).collect();
                sum.chunks(2).map(|pair| pair.iter().sum::<f32>().abs()).fold(0.0, f32::max) / 127.0
            });
            assert_eq!(pair_safe_scales(&weight, shape, order), wanted.collect::<Vec<_>>(), "{shape:?} {order:?}");
        }
    }

    #[test]
    fn no_pair_of_rounded_weights_passes_the_limit() {
        let weight: Vec<f32> = (0..600u32).map(|i| ((i * 7919 % 1000) as f32 / 500.0 - 1.0).powi(3)).collect();
        let scales = pair_safe_scales(&weight, &[6, 100], SumOrder::Rows);
        for (row, scale) in weight.chunks(100).zip(scales) {
            let q: Vec<f32> = row.iter().map(|w| (w / scale).round_ties_even()).collect();
            assert!(q.chunks(2).all(|pair| pair.iter().sum::<f32>().abs() <= LARGEST_SUM));
        }
    }
}
