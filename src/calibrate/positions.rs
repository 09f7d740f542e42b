//! Positions of one sample that are far louder than the others.
//!
//! A position is what all channels show at one place: a pixel of a feature map, a token of a text. Its energy is the mean of
//! their squares.

use crate::quant::ChannelAxis;

/// An outlier has so many times the energy of the ordinary positions.
const FAR: f64 = 8.0;
/// The energy of fewer channels is chance.
const LEAST_CHANNELS: usize = 8;
/// Of fewer positions each is too large a part of the sample to be given up.
const LEAST_POSITIONS: usize = 1024;
/// How often what ordinary means is asked anew, without the outliers found before: they lift the mean that they are held
/// against.
const ROUNDS: usize = 5;
/// Positions whose energies are summed up side by side while they stay in the processor's cache.
const BLOCK: usize = 2048;
/// Numbers that are looked at side by side, so that the compiler can use vector instructions.
const LANES: usize = 16;

/// The numbers at all outliers among the positions of `values`, an array of shape `shape` whose channels lie along `axis`.
pub fn outliers(values: &[f32], shape: &[usize], axis: ChannelAxis) -> Vec<f32> {
    let Some(axis) = axis.index(shape) else { return Vec::new() };
    let (channels, length) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
    if channels < LEAST_CHANNELS || values.len() / channels < LEAST_POSITIONS {
        return Vec::new();
    }
    let energies = energies(values, channels, length);
    let limit = limit(&energies);
    let mut numbers = Vec::new();
    for (energies, row) in energies.chunks_exact(length).zip(values.chunks_exact(channels * length)) {
        let far: Vec<usize> = (0..length).filter(|&at| energies[at] > limit).collect();
        if !far.is_empty() {
            row.chunks_exact(length).for_each(|run| numbers.extend(far.iter().map(|&at| run[at])));
        }
    }
    numbers
}

/// The sum of the squares of each position's channels; rows of so many runs of `length` neighbours each.
fn energies(values: &[f32], channels: usize, length: usize) -> Vec<f32> {
    let rows = values.chunks_exact(channels * length);
    if length == 1 {
        return rows.map(squares).collect();
    }
    let mut energies = vec![0.0; values.len() / channels];
    for (energies, row) in energies.chunks_exact_mut(length).zip(rows) {
        for (block, energies) in energies.chunks_mut(BLOCK).enumerate() {
            for run in row.chunks_exact(length) {
                energies.iter_mut().zip(&run[block * BLOCK..]).for_each(|(energy, &v)| *energy += v * v);
            }
        }
    }
    energies
}

fn squares(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0f32; LANES];
    chunks.iter().for_each(|chunk| lanes.iter_mut().zip(chunk).for_each(|(lane, &v)| *lane += v * v));
    lanes.iter().sum::<f32>() + rest.iter().map(|v| v * v).sum::<f32>()
}

/// The energy beyond which a position is an outlier.
fn limit(energies: &[f32]) -> f32 {
    let mut limit = f32::INFINITY;
    for _ in 0..ROUNDS {
        let (sum, count) = up_to(energies, limit);
        let next = (FAR * sum / count as f64) as f32;
        if next >= limit {
            break;
        }
        limit = next;
    }
    limit
}

/// The sum and the number of all energies up to a limit.
fn up_to(energies: &[f32], limit: f32) -> (f64, u64) {
    let (mut sum, mut count) = (0.0, 0);
    // Few enough at a time that float32 serves.
    for block in energies.chunks(LANES * 64) {
        let (mut sums, mut counts) = ([0f32; LANES], [0u32; LANES]);
        for chunk in block.chunks(LANES) {
            for ((sum, count), &energy) in sums.iter_mut().zip(&mut counts).zip(chunk) {
                *sum += if energy <= limit { energy } else { 0.0 };
                *count += u32::from(energy <= limit);
            }
        }
        sum += sums.iter().map(|&s| f64::from(s)).sum::<f64>();
        count += counts.iter().map(|&n| u64::from(n)).sum::<u64>();
    }
    (sum, count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::build::noise;

    /// Noise of shape `[rows, channels, length]`, sixteen times as loud at the positions given; with their numbers, sorted.
    fn with_loud(rows: usize, channels: usize, length: usize, loud: &[usize]) -> (Vec<f32>, Vec<f32>) {
        let mut values = noise(rows * channels * length, 3);
        let mut wanted = Vec::new();
        for (i, v) in values.iter_mut().enumerate() {
            if loud.contains(&(i / (channels * length) * length + i % length)) {
                *v *= 16.0;
                wanted.push(*v);
            }
        }
        (values, sorted(wanted))
    }

    fn sorted(mut values: Vec<f32>) -> Vec<f32> {
        values.sort_by(f32::total_cmp);
        values
    }

    #[test]
    fn loud_positions_are_found_wherever_the_channels_lie() {
        let loud = [0, 7, 1000, 1023, 2500, 5999];
        for (rows, channels, length) in [(1, 16, 6000), (2, 9, 3000), (6000, 24, 1), (6000, 37, 1)] {
            let (values, wanted) = with_loud(rows, channels, length, &loud);
            let shape = if length == 1 { vec![2, rows / 2, channels] } else { vec![rows, channels, length / 4, 4] };
            let axis = if length == 1 { ChannelAxis::Last } else { ChannelAxis::Second };
            assert_eq!(sorted(outliers(&values, &shape, axis)), wanted, "{shape:?}");
            assert_eq!(wanted.len(), loud.len() * channels);
        }
    }

    #[test]
    fn outliers_do_not_hide_each_other() {
        // With a twentieth so loud, the mean of all is 13 times that of the others.
        let loud: Vec<usize> = (0..100).map(|i| i * 20).collect();
        let (values, wanted) = with_loud(1, 16, 2000, &loud);
        assert_eq!(sorted(outliers(&values, &[1, 16, 2000], ChannelAxis::Second)), wanted);
        // Some much louder than these.
        let mut values = values;
        (0..16).for_each(|channel| values[channel * 2000 + 7] = 1e4);
        assert_eq!(outliers(&values, &[1, 16, 2000], ChannelAxis::Second).len(), 101 * 16);
    }

    #[test]
    fn few_channels_or_few_positions_have_none() {
        for (channels, length) in [(16, 1000), (7, 2000)] {
            let (values, _) = with_loud(1, channels, length, &[5]);
            assert!(outliers(&values, &[1, channels, length], ChannelAxis::Second).is_empty());
        }
        let (values, _) = with_loud(1, 16, 2000, &[]);
        assert!(outliers(&values, &[1, 16, 2000], ChannelAxis::Second).is_empty());
    }

    #[test]
    fn any_array_is_taken() {
        for shape in [&[][..], &[0], &[1, 0, 5000], &[5000, 8], &[1, 8, 2000]] {
            for value in [0.0, f32::MAX, 1e-45] {
                let values = vec![value; shape.iter().product()];
                for axis in [ChannelAxis::Second, ChannelAxis::Last] {
                    assert!(outliers(&values, shape, axis).is_empty(), "{value} {shape:?}");
                }
            }
        }
    }
}
