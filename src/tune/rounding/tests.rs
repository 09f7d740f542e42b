use super::solve::{Factor, descend};
use super::*;
use crate::exec::Shown;
use crate::ir::build::noise;
use crate::quant::{AxisParams, GridType, Scheme};

const S4: Scheme = Scheme::new(GridType::Int4, true);

/// Samples of a layer: what it read, what it made in float and what it made rounded.
struct Run {
    shape: Vec<usize>,
    read: Vec<Vec<f32>>,
    float: Vec<Vec<f32>>,
    rounded: Vec<Vec<f32>>,
    made: Vec<usize>,
}

impl Run {
    fn sides(&mut self) -> Vec<Sides<'_>> {
        let Self { shape, read, float, rounded, .. } = self;
        let both = float.iter().zip(rounded).zip(read);
        both.map(|((float, rounded), numbers)| Sides { read: Shown { shape, numbers }, float, rounded }).collect()
    }

    fn error(&self) -> f64 {
        let pairs = self.float.iter().flatten().zip(self.rounded.iter().flatten());
        pairs.map(|(f, r)| f64::from(f - r).powi(2)).sum()
    }
}

/// What a convolution makes, computed place by place.
fn convolved(
    x: &[f32],
    [channels, height, width]: [usize; 3],
    weight: &Tensor,
    (groups, stride, pad): (usize, usize, usize),
) -> Vec<f32> {
    let w = weight.to_f32().expect("numbers");
    let &[outputs, inner, rows, columns] = weight.shape() else { panic!("a window") };
    let size = |length: usize, taps: usize| (length + 2 * pad - taps) / stride + 1;
    let (high, wide) = (size(height, rows), size(width, columns));
    let mut made = Vec::new();
    for o in 0..outputs {
        let first = o / (outputs / groups) * (channels / groups);
        for (top, left) in (0..high).flat_map(|top| (0..wide).map(move |left| (top, left))) {
            let mut sum = 0.0;
            for (c, r, k) in (0..inner).flat_map(|c| (0..rows).flat_map(move |r| (0..columns).map(move |k| (c, r, k))))
            {
                let (y, z) = (top * stride + r, left * stride + k);
                if (pad..height + pad).contains(&y) && (pad..width + pad).contains(&z) {
                    sum += x[((first + c) * height + y - pad) * width + z - pad]
                        * w[((o * inner + c) * rows + r) * columns + k];
                }
            }
            made.push(sum);
        }
    }
    made
}

fn product(x: &[f32], length: usize, weight: &Tensor, outputs_first: bool) -> Vec<f32> {
    let w = weight.to_f32().expect("numbers");
    let outputs = w.len() / length;
    let one = |row: &[f32], o: usize| -> f32 {
        row.iter().enumerate().map(|(i, x)| x * w[if outputs_first { o * length + i } else { i * outputs + o }]).sum()
    };
    x.chunks(length).flat_map(|row| (0..outputs).map(move |o| (row, o))).map(|(row, o)| one(row, o)).collect()
}

/// A weight on grids for each index of `axis`.
fn weight(shape: &[usize], axis: usize, reach: Reach, groups: usize) -> Weight {
    let count = shape.iter().product();
    let numbers = noise(count, 7);
    let grids = AxisParams::min_max(&numbers, shape, axis, S4).channels;
    let cut = crate::quant::Cut::new(shape, Some(axis), None).expect("an axis");
    let on_grid = |(at, &x): (usize, &f32)| grids[cut.grid(at)].dequantize(grids[cut.grid(at)].quantize(x));
    let nearest: Vec<f32> = numbers.iter().enumerate().map(on_grid).collect();
    let sides = [numbers, nearest].map(|numbers| Tensor::from_f32(shape.to_vec(), &numbers));
    Weight {
        reach,
        groups,
        outputs_first: axis == 0,
        sides,
        known: KnownConstant { axis: Some(axis), block: None, grids },
    }
}

/// Numbers each like the one before it: what neighbouring weights do to them can be made up for.
fn alike(count: usize, seed: u32) -> Vec<f32> {
    let mut before = 0.0;
    let mut next = |x: f32| {
        before = 0.9 * before + 0.4 * x;
        before
    };
    noise(count, seed).into_iter().map(&mut next).collect()
}

/// Rounds the weight of a layer that `makes` tensors of `made` of numbers of `shape`, by what 8 samples show: what was found, and the
/// samples as they are then.
fn rounded(
    weight: &Weight,
    (shape, made): (&[usize], &[usize]),
    method: Method,
    makes: impl Fn(&[f32], &Tensor) -> Vec<f32>,
) -> (Option<Rounding>, f64, Run) {
    let read: Vec<Vec<f32>> = (0..8).map(|seed| alike(shape.iter().product(), seed + 1)).collect();
    let with = |side: usize| read.iter().map(|x| makes(x, &weight.sides[side])).collect();
    let mut run =
        Run { shape: shape.to_vec(), float: with(0), rounded: with(1), read: read.clone(), made: made.to_vec() };
    let before = run.error();
    let made = run.made.clone();
    let found = round(weight, &Asked::default(), method, &made, &mut run.sides()).expect("a weight");
    if let Some(found) = &found {
        // What is said to come of it is what comes of it.
        let known = &weight.known;
        let cut = known.cut(weight.sides[0].shape()).expect("an axis");
        let nearest = weight.sides[1].to_f32().expect("numbers");
        let moved = |at: usize| nearest[at] + f32::from(found.steps[at]) * known.grids[cut.grid(at)].scale;
        let numbers: Vec<f32> = (0..nearest.len()).map(moved).collect();
        let moved = Tensor::from_f32(weight.sides[0].shape().to_vec(), &numbers);
        for (x, got) in read.iter().zip(&run.rounded) {
            let want = makes(x, &moved);
            assert!(want.iter().zip(got).all(|(a, b)| (a - b).abs() < 1e-3), "{:?} {:?}", &want[..4], &got[..4]);
        }
    }
    (found, before / run.error(), run)
}

fn window(taps: &[usize], stride: usize, pad: usize) -> Reach {
    let all = |one: usize| vec![one; taps.len()];
    Reach::Window(Window { taps: taps.to_vec(), strides: all(stride), dilations: all(1), before: all(pad) })
}

#[test]
fn a_convolution_is_nearer_to_float_with_integers_by_what_it_makes() {
    for (groups, stride, pad) in [(1, 1, 0), (1, 2, 1), (2, 1, 1), (6, 1, 1)] {
        let (channels, outputs) = (6, 12);
        let weight = weight(&[outputs, channels / groups, 3, 3], 0, window(&[3, 3], stride, pad), groups);
        let size = (14 + 2 * pad - 3) / stride + 1;
        let shapes = ([1, channels, 14, 14], [1, outputs, size, size]);
        let makes = |x: &[f32], w: &Tensor| convolved(x, [channels, 14, 14], w, (groups, stride, pad));
        let gains = [Method::Gptq, Method::Learned].map(|method| {
            let (found, gain, _) = rounded(&weight, (&shapes.0, &shapes.1), method, makes);
            assert!(found.is_some(), "{groups} groups");
            gain
        });
        assert!(gains[0] > 1.5 && gains[1] > 1.7 && gains[1] > 0.95 * gains[0], "{groups} groups: {gains:?}");
    }
}

#[test]
fn a_product_is_nearer_to_float_whichever_way_its_weight_lies() {
    for outputs_first in [false, true] {
        let (shape, axis) = if outputs_first { ([10, 24], 0) } else { ([24, 10], 1) };
        let weight = weight(&shape, axis, Reach::Rows, 1);
        let makes = |x: &[f32], w: &Tensor| product(x, 24, w, outputs_first);
        let (found, gain, _) = rounded(&weight, (&[4, 16, 24], &[4, 16, 10]), Method::Learned, makes);
        assert!(found.is_some() && gain > 2.0, "{gain}");
    }
}

#[test]
fn pruned_weights_stay_pruned_and_blocks_have_their_own_grids() {
    let mut weight = weight(&[24, 10], 1, Reach::Rows, 1);
    let shape = vec![24, 10];
    let pruned = |tensor: &Tensor| {
        let numbers: Vec<f32> = tensor
            .to_f32()
            .expect("numbers")
            .iter()
            .enumerate()
            .map(|(i, &x)| if i % 3 == 0 { 0.0 } else { x })
            .collect();
        numbers
    };
    let float = pruned(&weight.sides[0]);
    let blocks = crate::quant::Blocks::new(&shape, 0, 8);
    let grids = blocks.min_max(&float, S4);
    let cut = crate::quant::Cut::new(&shape, Some(0), Some(8)).expect("blocks");
    let nearest: Vec<f32> = float
        .iter()
        .enumerate()
        .map(|(at, &x)| grids[cut.grid(at)].dequantize(grids[cut.grid(at)].quantize(x)))
        .collect();
    weight.sides = [float, nearest].map(|numbers| Tensor::from_f32(shape.clone(), &numbers));
    weight.known = KnownConstant { axis: Some(0), block: Some(8), grids };
    let makes = |x: &[f32], w: &Tensor| product(x, 24, w, false);
    let (found, gain, _) = rounded(&weight, (&[64, 24], &[64, 10]), Method::Learned, makes);
    let found = found.expect("integers");
    assert!(gain > 1.5, "{gain}");
    assert!(found.steps.iter().enumerate().all(|(at, &step)| at % 3 != 0 || step == 0));
}

#[test]
fn what_cannot_be_looked_at_stays_nearest() {
    let weight = weight(&[24, 10], 1, Reach::Rows, 1);
    let nothing = |read: &[usize], made: &[usize]| {
        let (x, float, mut other) = (vec![1.0; 48], vec![0.0; 20], vec![0.0; 20]);
        let read = Shown { shape: read, numbers: &x };
        let mut sides = [Sides { read, float: &float, rounded: &mut other }];
        round(&weight, &Asked::default(), Method::Gptq, made, &mut sides).expect("no error").is_none()
    };
    assert!(nothing(&[2, 24], &[2, 10]), "one sample fits, and none decides");
    assert!(nothing(&[4, 12], &[2, 10]));
    let makes = |x: &[f32], w: &Tensor| product(x, 24, w, false).iter().map(|y| y * f32::NAN).collect();
    let (found, _, _) = rounded(&weight, (&[64, 24], &[64, 10]), Method::Learned, makes);
    assert_eq!(found, None);
}

#[test]
fn a_factor_solves_and_its_nearest_plane_is_no_farther_than_rounding() {
    let size = 6;
    let numbers: Vec<f64> = noise(size * size, 3).into_iter().map(f64::from).collect();
    let dot = |i: usize, j: usize| (0..size).map(|k| numbers[i * size + k] * numbers[j * size + k]).sum::<f64>();
    let matrix: Vec<f64> =
        (0..size * size).map(|at| dot(at / size, at % size) + f64::from(u8::from(at / size == at % size))).collect();
    let factor = Factor::of(size, matrix.clone()).expect("a positive matrix");
    let times = |x: &[f64]| -> Vec<f64> {
        matrix.chunks(size).map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum()).collect()
    };
    let target = [0.4, -1.6, 2.5, 0.5, 3.3, -0.7];
    let solved = factor.solve(&times(&target));
    assert!(solved.iter().zip(target).all(|(a, b)| (a - b).abs() < 1e-9));
    let error = |x: &[f64]| {
        let by: Vec<f64> = x.iter().zip(target).map(|(x, t)| x - t).collect();
        times(&by).iter().zip(&by).map(|(a, b)| a * b).sum::<f64>()
    };
    let mut plane = factor.nearest_plane(&target, |_, x| x.round());
    let nearest: Vec<f64> = target.iter().map(|x| x.round()).collect();
    assert!(error(&plane) <= error(&nearest), "{plane:?}");
    let before = error(&plane);
    let mut gradient = times(&plane.iter().zip(target).map(|(x, t)| x - t).collect::<Vec<_>>());
    descend(&mut plane, &mut gradient, &matrix, |_, x, by| (x + by).round() - x);
    assert!(error(&plane) <= before && plane.iter().all(|x| x.fract() == 0.0));
    assert!(Factor::of(1, vec![-1.0]).is_none() && Factor::of(1, vec![f64::NAN]).is_none());
}
