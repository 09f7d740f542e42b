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
    let (channels, length) = match order {
        SumOrder::Filter | SumOrder::Rows => (shape[0], shape[1..].iter().product::<usize>()),
        SumOrder::Columns => (shape[1], shape[0]),
    };
    let taps = if order == SumOrder::Filter { shape[2..].iter().product::<usize>() } else { 1 };
    let inputs = length / taps.max(1);
    let at = |channel: usize, k: usize| match order {
        SumOrder::Filter => weight[channel * length + k % inputs * taps + k / inputs],
        SumOrder::Rows => weight[channel * length + k],
        SumOrder::Columns => weight[k * channels + channel],
    };
    let largest = |channel: usize| {
        let pairs =
            (0..length).step_by(2).map(|k| at(channel, k) + if k + 1 < length { at(channel, k + 1) } else { 0.0 });
        pairs.fold(0f32, |most, sum| most.max(sum.abs()))
    };
    // Each of the two may be rounded up by half.
    (0..channels).map(|channel| largest(channel) / (LARGEST_SUM - 1.0)).collect()
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
