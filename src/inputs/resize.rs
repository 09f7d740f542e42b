//! Bilinear resampling with antialiasing, in the fixed-point arithmetic that Pillow uses for 8-bit pictures.
//!
//! Most models were trained and are measured on pictures that Pillow resized. Resampling to the same levels keeps a
//! measured difference between two models a difference between the models. Only a window of the result is computed,
//! so that a crop out of a very long picture costs no more than any other.

/// A rectangle of the resized picture, in its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub left: usize,
    pub top: usize,
    pub width: usize,
    pub height: usize,
}

/// Bits after the point of a weight: 8 bits of level and a carry must fit beside it into 31.
const WEIGHT_BITS: u32 = 22;
/// Half a level, added before the fraction is cut off.
const HALF: i32 = 1 << (WEIGHT_BITS - 1);

/// For each output position the first input position and its weights.
struct Taps {
    spans: Vec<(usize, usize)>,
    weights: Vec<i32>,
    /// Weights reserved for each output position.
    stride: usize,
}

impl Taps {
    /// Weights that bring `from` pixels to `to`, for the output positions `first .. first + count`.
    fn new(from: usize, to: usize, first: usize, count: usize) -> Self {
        let ratio = from as f64 / to as f64;
        // Growing interpolates between neighbours, shrinking averages over all that falls together.
        let reach = ratio.max(1.0);
        let per_reach = 1.0 / reach;
        let stride = reach.ceil() as usize * 2 + 1;
        let mut taps = Self { spans: Vec::with_capacity(count), weights: vec![0; stride * count], stride };
        let mut exact = vec![0.0; stride];
        for (position, slot) in (first..first + count).zip(taps.weights.chunks_exact_mut(stride)) {
            let centre = (position as f64 + 0.5) * ratio;
            // `as` saturates: a start before the picture becomes 0.
            let start = (centre - reach + 0.5) as usize;
            let end = ((centre + reach + 0.5) as usize).min(from);
            let span = end.saturating_sub(start).min(stride);
            let mut sum = 0.0;
            for (offset, weight) in exact.iter_mut().take(span).enumerate() {
                let distance = ((start + offset) as f64 - centre + 0.5) * per_reach;
                *weight = (1.0 - distance.abs()).max(0.0);
                sum += *weight;
            }
            for (weight, exact) in slot.iter_mut().zip(&exact[..span]) {
                *weight = (exact / sum * f64::from(1 << WEIGHT_BITS) + 0.5) as i32;
            }
            taps.spans.push((start, span));
        }
        taps
    }

    /// First input position and weights of every output position.
    fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        self.spans.iter().zip(self.weights.chunks_exact(self.stride)).map(|(&(start, span), w)| (start, &w[..span]))
    }

    /// The input positions that any output position needs.
    fn needed(&self) -> std::ops::Range<usize> {
        let first = self.spans.first().map_or(0, |s| s.0);
        first..self.spans.last().map_or(0, |s| s.0 + s.1)
    }
}

/// Rounds a weighted sum to a level.
fn level(sum: i32) -> u8 {
    (sum >> WEIGHT_BITS).clamp(0, 255) as u8
}

/// Resizes `levels`, `size` = [height, width] pixels of `C` interleaved channels, to `full` and returns `window` of that.
///
/// `levels` has as many bytes as `size` says, no side is zero, and `window` lies inside `full`.
pub(super) fn resize<const C: usize>(levels: &[u8], size: [usize; 2], full: [usize; 2], window: Window) -> Vec<u8> {
    let [height, width] = size;
    debug_assert_eq!(levels.len(), height * width * C);
    let across = Taps::new(width, full[1], window.left, window.width);
    let down = Taps::new(height, full[0], window.top, window.height);
    // Rows first: levels are rounded between the passes, so the order shows. Recent versions of Pillow take the columns
    // of some tall pictures first, which moves single levels by one.
    let needed = down.needed();
    let mut rows = Vec::with_capacity(needed.len() * window.width * C);
    for row in levels.chunks_exact(width * C).take(needed.end).skip(needed.start) {
        for (start, weights) in across.iter() {
            let mut sums = [HALF; C];
            for (pixel, weight) in row[start * C..].chunks_exact(C).zip(weights) {
                for (sum, &value) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(value) * weight;
                }
            }
            rows.extend(sums.map(level));
        }
    }
    let row_len = window.width * C;
    let mut result = Vec::with_capacity(window.height * row_len);
    let mut sums = vec![0; row_len];
    for (start, weights) in down.iter() {
        sums.fill(HALF);
        for (row, weight) in rows.chunks_exact(row_len).skip(start - needed.start).zip(weights) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += i32::from(value) * weight;
            }
        }
        result.extend(sums.iter().map(|&sum| level(sum)));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(full: [usize; 2]) -> Window {
        Window { left: 0, top: 0, width: full[1], height: full[0] }
    }

    #[test]
    fn the_same_size_changes_nothing() {
        let levels: Vec<u8> = (0..5 * 7 * 3).map(|v| (v * 37 % 256) as u8).collect();
        assert_eq!(resize::<3>(&levels, [5, 7], [5, 7], whole([5, 7])), levels);
    }

    #[test]
    fn an_even_picture_stays_even() {
        for full in [[3, 2], [9, 31], [1, 1], [40, 40]] {
            let result = resize::<3>(&[200; 11 * 13 * 3], [11, 13], full, whole(full));
            assert_eq!(result, vec![200; full[0] * full[1] * 3], "to {full:?}");
        }
    }

    // Expected levels: PIL.Image.resize(..., BILINEAR) of Pillow 13 on the same numbers.
    #[test]
    fn agrees_with_pillow() {
        let row: Vec<u8> = vec![0, 10, 50, 255, 90, 30, 7];
        assert_eq!(resize::<1>(&row, [1, 7], [1, 3], whole([1, 3])), PILLOW_7_TO_3);
        assert_eq!(resize::<1>(&row, [1, 7], [1, 10], whole([1, 10])), PILLOW_7_TO_10);
        // The same numbers as a column: the second pass has the same weights.
        assert_eq!(resize::<1>(&row, [7, 1], [3, 1], whole([3, 1])), PILLOW_7_TO_3);
    }
    const PILLOW_7_TO_3: [u8; 3] = [15, 140, 35];
    const PILLOW_7_TO_10: [u8; 10] = [0, 5, 20, 48, 183, 197, 87, 45, 20, 7];

    #[test]
    fn a_window_is_a_part_of_the_whole() {
        let levels: Vec<u8> = (0..20 * 30 * 3).map(|v| (v * 61 % 251) as u8).collect();
        let all = resize::<3>(&levels, [20, 30], [11, 17], whole([11, 17]));
        let window = Window { left: 4, top: 3, width: 9, height: 5 };
        let part = resize::<3>(&levels, [20, 30], [11, 17], window);
        let cut: Vec<u8> = (3..8).flat_map(|y| all[(y * 17 + 4) * 3..(y * 17 + 13) * 3].to_vec()).collect();
        assert_eq!(part, cut);
    }

    #[test]
    fn a_window_of_a_very_long_picture_is_cheap() {
        let levels: Vec<u8> = (0..60_000).map(|v| (v / 300) as u8).collect();
        // In full this would be 60 Mpixel times 1000 rows.
        let window = Window { left: 29_999_500, top: 0, width: 1000, height: 1000 };
        let part = resize::<1>(&levels, [1, 60_000], [1000, 60_000_000], window);
        assert_eq!(part.len(), 1_000_000);
        assert!(part.iter().all(|&v| v == 99 || v == 100));
    }
}
