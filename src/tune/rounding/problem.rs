//! A layer whose integers are looked for: its weights group by group, what samples say of them, and what follows for what it makes.

use super::gram::Gram;
use super::patches::Patches;
use super::solve::{Factor, descend};
use super::{Asked, Method, Reach, Weight};
use crate::error::Result;
use crate::exec::Sides;
use crate::quant::{Params, pair_safe_scales};
use crate::threads;
use ndarray::{Array2, ArrayView1};

/// One sample in so many fits nothing but decides what is kept.
const CHECKED: usize = 4;
/// What is added to the diagonal, as a share of its mean: what few samples say of the weights is not believed without bounds. A layer
/// has about as many positions as a patch has numbers; of .01 to .8 this is best on MiniLM-L3 and EfficientNet-Lite0, and all but .5 and
/// more are alike on CIFAR-10.
const DAMPING: f64 = 0.2;
/// The most numbers that an output may be a sum of: their Gram matrix takes the square of it.
const LONGEST: usize = 3072;
/// Positions that are looked at: so many, and so many times the numbers of a patch.
const POSITIONS: (usize, usize) = (4096, 12);

/// One group of outputs: its weights in float and to nearest, a column for each output, and the grid of each.
pub struct Group {
    pub float: Array2<f64>,
    pub nearest: Array2<f64>,
    grids: Array2<u32>,
}

/// A layer as it is looked at.
pub struct Problem<'a> {
    weight: &'a Weight,
    made: &'a [usize],
    /// Numbers in a patch, and outputs of a group.
    length: usize,
    outputs: usize,
    pub groups: Vec<Group>,
}

impl<'a> Problem<'a> {
    pub fn new(weight: &'a Weight, made: &'a [usize]) -> Result<Option<Self>> {
        let [float, rounded] = &weight.sides;
        let shape = float.shape();
        let (Some(&first), Some(&last)) = (shape.first(), shape.last()) else { return Ok(None) };
        let outputs = if weight.outputs_first { first } else { last };
        let known = weight.known.cut(shape).filter(|cut| cut.count() == weight.known.grids.len());
        let whole = outputs > 0 && outputs % weight.groups.max(1) == 0 && float.len() % outputs == 0;
        let (Some(cut), true) = (known, whole && rounded.shape() == shape) else { return Ok(None) };
        let (length, each) = (float.len() / outputs, outputs / weight.groups.max(1));
        if length == 0 || length > LONGEST || weight.known.grids.iter().any(|grid| grid.dtype.is_float()) {
            return Ok(None);
        }
        let (float, rounded) = (float.to_f32()?, rounded.to_f32()?);
        let mut problem = Self { weight, made, length, outputs: each, groups: Vec::new() };
        for group in 0..weight.groups.max(1) {
            let at = |(i, o)| problem.index(group, i, o);
            let of = |numbers: &[f32]| Array2::from_shape_fn((length, each), |place| f64::from(numbers[at(place)]));
            let grids = Array2::from_shape_fn((length, each), |place| cut.grid(at(place)) as u32);
            let group = Group { float: of(&float), nearest: of(&rounded), grids };
            problem.groups.push(group);
        }
        Ok(Some(problem))
    }

    /// Where number `i` of output `o` of a group lies in the weight.
    fn index(&self, group: usize, i: usize, o: usize) -> usize {
        let output = group * self.outputs + o;
        if self.weight.outputs_first {
            output * self.length + i
        } else {
            i * self.outputs * self.weight.groups.max(1) + output
        }
    }

    /// Where a number of what the layer made lies: of an item of the batch, a position, and an output of a group.
    fn place(&self, each: usize, group: usize) -> impl Fn(usize, usize, usize) -> usize + Sync {
        let (own, all) = (self.outputs, self.outputs * self.weight.groups.max(1));
        let rows = self.weight.reach == Reach::Rows;
        move |item, position, output| {
            let output = group * own + output;
            if rows { position * all + output } else { (item * all + output) * each + position }
        }
    }

    fn patches<'s>(&self, sides: &Sides<'s>, group: usize) -> Option<Patches<'s>> {
        let read = sides.read;
        let patches = Patches::new(
            &self.weight.reach,
            (read.shape, read.numbers),
            self.made,
            (group, self.weight.groups.max(1)),
        )?;
        let all = self.outputs * self.weight.groups.max(1);
        let fits = patches.length == self.length && patches.batch * patches.each * all == sides.float.len();
        fits.then_some(patches)
    }

    /// Sums for each group over the samples that fit, and over those that check.
    pub fn grams(&self, samples: &[Sides<'_>]) -> Option<(Vec<Gram>, Vec<Gram>)> {
        let positions: usize = self.patches(samples.first()?, 0).map(|one| one.each * one.batch)? * samples.len();
        let wanted = POSITIONS.0 + POSITIONS.1 * self.length;
        let mut step = positions.div_ceil(wanted).max(1);
        // Not the same columns of a picture in each of its rows.
        let row = *self.made.last()?;
        while step > 1 && row % step == 0 {
            step += 1;
        }
        let new = || (0..self.groups.len()).map(|_| Gram::new(self.length, self.outputs)).collect::<Vec<_>>();
        let (mut fitted, mut checked) = (new(), new());
        if samples.iter().any(|sides| self.patches(sides, 0).is_none()) {
            return None;
        }
        threads::for_each(fitted.iter_mut().zip(&mut checked).enumerate(), |(group, (fitted, checked))| {
            for (index, sides) in samples.iter().enumerate() {
                let Some(patches) = self.patches(sides, group) else { return };
                let place = self.place(patches.each, group);
                let left = |item: usize, position: usize, output: usize| {
                    let at = place(item, position, output);
                    sides.float[at] - sides.rounded[at]
                };
                let gram = if index % CHECKED == CHECKED - 1 { &mut *checked } else { &mut *fitted };
                gram.add(&patches, &left, step);
            }
        });
        Some((fitted, checked))
    }

    /// The weights of a group on their grids: for its own error, and for that of what it reads, too. `None` where numbers are none.
    pub fn solve(&self, group: &Group, gram: &Gram, method: Method, shift: bool) -> Option<[Array2<f64>; 2]> {
        let (mut squares, left) = gram.means(shift);
        let size = self.length;
        let damping = DAMPING * squares.diag().sum() / size as f64;
        if !damping.is_normal() {
            return None;
        }
        squares.diag_mut().iter_mut().for_each(|x| *x += damping);
        // What counts most is rounded first, and all others make up for it.
        let mut order: Vec<usize> = (0..size).collect();
        order.sort_by(|&a, &b| squares[[a, a]].total_cmp(&squares[[b, b]]));
        let turned: Vec<f64> =
            order.iter().flat_map(|&i| order.iter().map(move |&j| (i, j))).map(|(i, j)| squares[[i, j]]).collect();
        let factor = Factor::of(size, turned)?;
        let matrix = squares.as_slice()?;
        let asked = left + squares.dot(&(&group.nearest - &group.float));
        let mut outputs: Vec<(usize, [Vec<f64>; 2])> = (0..self.outputs).map(|o| (o, [vec![], vec![]])).collect();
        threads::for_each(outputs.iter_mut(), |(o, found)| {
            let (float, grids) = (group.float.column(*o), group.grids.column(*o));
            let one = |asked: Option<ArrayView1<'_, f64>>| {
                let on_grid = |i: usize, x: f64| {
                    // What was pruned stays so.
                    if float[i] == 0.0 { 0.0 } else { self.on_grid(grids[i], x) }
                };
                let mut target: Vec<f64> = order.iter().map(|&i| float[i]).collect();
                if let Some(asked) = asked {
                    let asked: Vec<f64> = order.iter().map(|&i| asked[i]).collect();
                    target.iter_mut().zip(factor.solve(&asked)).for_each(|(t, by)| *t += by);
                }
                let rounded = factor.nearest_plane(&target, |i, x| on_grid(order[i], x));
                let mut x = vec![0f64; size];
                order.iter().zip(rounded).for_each(|(&i, rounded)| x[i] = rounded);
                if method == Method::Learned {
                    let beside: Vec<f64> = x.iter().zip(float).map(|(x, float)| x - float).collect();
                    let beside = ArrayView1::from(&beside);
                    let mut gradient = squares.dot(&beside);
                    if let Some(asked) = asked {
                        gradient -= &asked;
                    }
                    let gradient = gradient.as_slice_mut().unwrap_or_default();
                    descend(&mut x, gradient, matrix, |i, x, by| on_grid(i, x + by) - x);
                }
                x
            };
            *found = [one(None), one(Some(asked.column(*o)))];
        });
        let both = [0, 1].map(|which| Array2::from_shape_fn((size, self.outputs), |(i, o)| outputs[o].1[which][i]));
        both.iter().all(|x| x.iter().all(|x| x.is_finite())).then_some(both)
    }

    fn grid(&self, grid: u32) -> &Params {
        &self.weight.known.grids[grid as usize]
    }

    /// The number on a grid that is nearest.
    fn on_grid(&self, grid: u32, x: f64) -> f64 {
        let grid = self.grid(grid);
        f64::from(grid.dequantize(grid.quantize(x as f32)))
    }

    /// Outputs whose sums could overflow stay as they were.
    pub fn keep_safe(&self, asked: &Asked, rounded: &mut [Array2<f64>]) {
        let Some((order, largest)) = &asked.sums else { return };
        let shape = self.weight.sides[0].shape();
        let mut numbers = vec![0f32; self.weight.sides[0].len()];
        for (group, x) in rounded.iter().enumerate() {
            x.indexed_iter().for_each(|((i, o), &x)| numbers[self.index(group, i, o)] = x as f32);
        }
        let safe = pair_safe_scales(&numbers, shape, *order, largest);
        for (group, x) in rounded.iter_mut().enumerate() {
            for o in 0..self.outputs {
                let own = &self.groups[group];
                let scale = self.grid(own.grids[[0, o]]).scale;
                if safe.get(group * self.outputs + o).is_some_and(|&safe| safe > scale) {
                    x.column_mut(o).assign(&own.nearest.column(o));
                }
            }
        }
    }

    /// By how many steps each weight lies beside the nearest. Outputs with more than can be told stay as they were.
    pub fn steps(&self, rounded: &mut [Array2<f64>]) -> Vec<i8> {
        let mut steps = vec![0i8; self.weight.sides[0].len()];
        for (group, (x, own)) in rounded.iter_mut().zip(&self.groups).enumerate() {
            for o in 0..self.outputs {
                let step = |i: usize| {
                    let by = x[[i, o]] - own.nearest[[i, o]];
                    (by / f64::from(self.grid(own.grids[[i, o]]).scale)).round()
                };
                let column: Vec<f64> = (0..self.length).map(step).collect();
                if column.iter().any(|step| step.abs() > f64::from(i8::MAX)) {
                    x.column_mut(o).assign(&own.nearest.column(o));
                    continue;
                }
                column.iter().enumerate().for_each(|(i, &step)| steps[self.index(group, i, o)] = step as i8);
            }
        }
        steps
    }

    /// Adds to what was made what the other integers change.
    pub fn follow(&self, rounded: &[Array2<f64>], samples: &mut [Sides<'_>]) {
        for (group, (x, own)) in rounded.iter().zip(&self.groups).enumerate() {
            let by = (x - &own.nearest).mapv(|by| by as f32);
            if by.iter().all(|&by| by == 0.0) {
                continue;
            }
            threads::for_each(samples.iter_mut(), |sides| {
                let Some(patches) = self.patches(sides, group) else { return };
                let place = self.place(patches.each, group);
                for item in 0..patches.batch {
                    for from in (0..patches.each).step_by(AT_ONCE) {
                        let positions = from..(from + AT_ONCE).min(patches.each);
                        let rows = patches.rows(item, positions.clone(), 1);
                        let Ok(rows) = Array2::from_shape_vec((positions.len(), self.length), rows) else { continue };
                        for ((row, o), by) in rows.dot(&by).indexed_iter() {
                            sides.rounded[place(item, from + row, o)] += by;
                        }
                    }
                }
            });
        }
    }
}

/// Positions at once.
const AT_ONCE: usize = 1024;
