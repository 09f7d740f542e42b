//! Integers of least error: for each output of a layer, those `x` for which `(x - t)' H (x - t)` is small, where `H` is the Gram
//! matrix of what its weights are multiplied with, and `t` are the weights that would do best if they were no integers.

/// A lower triangular matrix `L` with `L L' = H`, row by row.
pub struct Factor {
    size: usize,
    rows: Vec<f64>,
}

/// Numbers that are multiplied and added side by side, so that the compiler can use vector instructions.
const LANES: usize = 8;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, rest_a) = a.as_chunks::<LANES>();
    let (b, rest_b) = b.as_chunks::<LANES>();
    let mut sums = [0f64; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

/// Takes `by` times `row` from `numbers`.
fn take(numbers: &mut [f64], by: f64, row: &[f64]) {
    numbers.iter_mut().zip(row).for_each(|(number, row)| *number -= by * row);
}

impl Factor {
    /// The factor of a symmetric matrix, of which the lower half counts; `None` where it is not positive definite.
    pub fn of(size: usize, mut rows: Vec<f64>) -> Option<Self> {
        for i in 0..size {
            let (above, row) = rows.split_at_mut(i * size);
            for j in 0..i {
                let other = &above[j * size..][..=j];
                row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
            }
            let rest = row[i] - dot(&row[..i], &row[..i]);
            if rest.is_nan() || rest <= 0.0 {
                return None;
            }
            row[i] = rest.sqrt();
        }
        Some(Self { size, rows })
    }

    fn row(&self, i: usize) -> &[f64] {
        &self.rows[i * self.size..][..=i]
    }

    /// The `y` with `H y = g`.
    pub fn solve(&self, g: &[f64]) -> Vec<f64> {
        let mut y = g.to_vec();
        for i in 0..self.size {
            let row = self.row(i);
            y[i] = (y[i] - dot(&row[..i], &y[..i])) / row[i];
        }
        for i in (0..self.size).rev() {
            let row = self.row(i);
            y[i] /= row[i];
            let (before, at) = y.split_at_mut(i);
            take(before, at[0], row);
        }
        y
    }

    /// Rounds `target` number by number from the last to the first, each with what the errors of those before it ask of it: `round`
    /// is told its place and that number. This is Babai's nearest plane, and the order and compensation of Frantar et al., GPTQ
    /// (2022, arXiv:2210.17323), by one factor instead of an inverse.
    pub fn nearest_plane(&self, target: &[f64], mut round: impl FnMut(usize, f64) -> f64) -> Vec<f64> {
        let mut rounded = target.to_vec();
        // What the errors so far ask of each number, times the diagonal.
        let mut asked = vec![0f64; self.size];
        for i in (0..self.size).rev() {
            let row = self.row(i);
            rounded[i] = round(i, target[i] + asked[i] / row[i]);
            take(&mut asked[..i], rounded[i] - target[i], row);
        }
        rounded
    }
}

/// Moves numbers of `x` by whole steps while that makes the error smaller, one at a time and in turns over all of them: descent along
/// coordinates. `gradient` is half the gradient there, `H (x - t)`; `H` is symmetric, row by row. `moved` is told a place and by how
/// many steps it had best move, and says by how much it moves.
pub fn descend(x: &mut [f64], gradient: &mut [f64], matrix: &[f64], mut moved: impl FnMut(usize, f64, f64) -> f64) {
    let size = x.len();
    for _ in 0..TURNS {
        let mut any = false;
        for i in 0..size {
            let row = &matrix[i * size..][..size];
            let by = moved(i, x[i], -gradient[i] / row[i]);
            if by != 0.0 {
                x[i] += by;
                take(gradient, -by, row);
                any = true;
            }
        }
        if !any {
            return;
        }
    }
}

/// So many turns at most.
const TURNS: usize = 20;
