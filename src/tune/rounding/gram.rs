//! Sums over what a group of weights is multiplied with, in which the error of any rounding can be told.

use super::patches::Patches;
use crate::threads;
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, Axis, s};

/// Rows of patches at once.
const TILE: usize = 2048;
/// Rows of the Gram matrix that are a turn of a thread.
const TURN: usize = 128;

/// Sums over positions: of the products of numbers of a patch with each other, and with what is left of each output between float
/// and rounded.
#[derive(Debug, Clone)]
pub struct Gram {
    /// How many positions.
    rows: f64,
    /// Patch with patch; the half at and above the diagonal counts.
    squares: Array2<f32>,
    /// Patch with what is left of each output.
    left: Array2<f32>,
    sums: Vec<f64>,
    left_sums: Vec<f64>,
}

/// What is left between float and rounded of the outputs of one group: `get` tells it of an item of the batch, a position and an
/// output.
pub type Left<'a> = dyn Fn(usize, usize, usize) -> f32 + Sync + 'a;

impl Gram {
    /// Sums of nothing, for so many numbers in a patch and so many outputs.
    pub fn new(length: usize, outputs: usize) -> Self {
        Self {
            rows: 0.0,
            squares: Array2::zeros((length, length)),
            left: Array2::zeros((length, outputs)),
            sums: vec![0.0; length],
            left_sums: vec![0.0; outputs],
        }
    }

    /// Whether there are as many positions as numbers in a patch.
    pub fn is_determined(&self) -> bool {
        self.rows >= self.sums.len() as f64
    }

    /// Adds every `step`-th position.
    pub fn add(&mut self, patches: &Patches<'_>, left: &Left<'_>, step: usize) {
        let (length, outputs) = self.left.dim();
        for item in 0..patches.batch {
            for from in (0..patches.each).step_by(TILE * step) {
                let positions = from..(from + TILE * step).min(patches.each);
                let count = positions.len().div_ceil(step);
                let rows = patches.rows(item, positions.clone(), step);
                let mut rest = Vec::with_capacity(count * outputs);
                for position in positions.step_by(step) {
                    rest.extend((0..outputs).map(|output| left(item, position, output)));
                }
                for row in rows.chunks_exact(length) {
                    self.sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
                }
                for row in rest.chunks_exact(outputs) {
                    self.left_sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
                }
                self.rows += count as f64;
                let (Ok(rows), Ok(rest)) =
                    (ArrayView2::from_shape((count, length), &rows), ArrayView2::from_shape((count, outputs), &rest))
                else {
                    continue;
                };
                let blocks = self.squares.axis_chunks_iter_mut(Axis(0), TURN);
                let blocks = blocks.zip(self.left.axis_chunks_iter_mut(Axis(0), TURN)).enumerate();
                threads::for_each(blocks.collect::<Vec<_>>().into_iter(), |(block, (mut squares, mut left))| {
                    let first = block * TURN;
                    let own = rows.slice(s![.., first..(first + TURN).min(length)]);
                    let behind = rows.slice(s![.., first..]);
                    general_mat_mul(1.0, &own.t(), &behind, 1.0, &mut squares.slice_mut(s![.., first..]));
                    general_mat_mul(1.0, &own.t(), &rest, 1.0, &mut left);
                });
            }
        }
    }

    /// The means over positions of the products: patch with patch, and patch with what is left. About the means of either where the
    /// mean of an output is made right otherwise.
    pub fn means(&self, about_means: bool) -> (Array2<f64>, Array2<f64>) {
        let (length, outputs) = self.left.dim();
        let count = self.rows.max(1.0);
        let mean = |sum: f64| if about_means { sum / count } else { 0.0 };
        let squares = Array2::from_shape_fn((length, length), |(i, j)| {
            let (i, j) = (i.min(j), i.max(j));
            f64::from(self.squares[[i, j]]) / count - mean(self.sums[i]) * mean(self.sums[j])
        });
        let left = Array2::from_shape_fn((length, outputs), |(i, o)| {
            f64::from(self.left[[i, o]]) / count - mean(self.sums[i]) * mean(self.left_sums[o])
        });
        (squares, left)
    }
}
