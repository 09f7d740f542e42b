//! Which sizes the dimensions take that both models leave open.

use crate::ir::{Model, says_length};
use crate::tensor::Tensor;

/// An axis as long as this many times its usual length makes for an extreme aspect.
const LONG: usize = 8;
/// So many times the elements of a usual sample at most does a case have: a larger one tells nothing more, and has to fit into
/// memory.
const LARGEST: usize = 4;
/// Strides mostly come to this much: sizes that are multiples of it stay such.
const STRIDE: usize = 32;

/// An open dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Its name, or `input[axis]`.
    pub name: String,
    /// Where it stands: inputs by number, and axes.
    pub at: Vec<(usize, usize)>,
    /// The size that it has in samples.
    pub size: usize,
}

impl Open {
    /// Whether it is a batch: the first of several axes, whose name does not say that it is a length.
    fn is_batch(&self, base: &[Tensor]) -> bool {
        !says_length(&self.name) && self.at.iter().any(|&(input, axis)| axis == 0 && base[input].shape().len() > 1)
    }
}

/// The dimensions that both models leave open, of samples like `base`.
pub fn open(models: [&Model; 2], base: &[Tensor]) -> Vec<Open> {
    let [float, quantized] = models.map(|model| {
        let place = |value| model.graph.inputs().position(|input| input == value);
        let axes = model.graph.open_axes().into_iter();
        axes.filter_map(|open| Some((open.name, place(open.input)?, open.axis))).collect::<Vec<_>>()
    });
    let mut all: Vec<Open> = Vec::new();
    for (name, input, axis) in float {
        let Some(&size) = base.get(input).and_then(|tensor| tensor.shape().get(axis)) else { continue };
        match all.iter_mut().find(|open| open.name == name && open.size == size) {
            Some(open) => open.at.push((input, axis)),
            None => all.push(Open { name, at: vec![(input, axis)], size }),
        }
    }
    // One name for two sizes names neither.
    let names: Vec<String> = all.iter().map(|open| open.name.clone()).collect();
    let inputs: Vec<_> = models[0].graph.inputs().collect();
    for open in &mut all {
        if names.iter().filter(|name| **name == open.name).count() > 1
            && let Some(&(input, axis)) = open.at.first()
        {
            open.name = format!("{}[{axis}]", models[0].graph.value(inputs[input]).name());
        }
    }
    let is_open = |at: &(usize, usize)| quantized.iter().any(|(_, input, axis)| (*input, *axis) == *at);
    all.retain(|open| open.at.iter().all(is_open));
    all
}

/// A case's name, what it is, and the shape of each input.
pub type Sized = (String, String, Vec<Vec<usize>>);

/// The sizes to try, each with the shapes of all inputs.
pub fn sizes(open: &[Open], base: &[Tensor]) -> Vec<Sized> {
    let shapes = |sizes: &[(&Open, usize)]| {
        let mut shapes: Vec<Vec<usize>> = base.iter().map(|tensor| tensor.shape().to_vec()).collect();
        for (open, size) in sizes {
            open.at.iter().for_each(|&(input, axis)| shapes[input][axis] = *size);
        }
        shapes
    };
    let fits = |shapes: &[Vec<usize>]| {
        let count = |shape: &[usize]| crate::tensor::element_count(shape);
        shapes.iter().zip(base).all(|(shape, tensor)| count(shape).is_some_and(|n| n <= LARGEST * tensor.len().max(1)))
    };
    let mut all: Vec<Sized> = Vec::new();
    let mut add = |name: String, what: String, shapes: Vec<Vec<usize>>| {
        let usual = shapes.iter().zip(base).all(|(shape, tensor)| shape == tensor.shape());
        if !usual && fits(&shapes) && all.iter().all(|(_, _, other)| *other != shapes) {
            all.push((name, what, shapes));
        }
    };
    let (batches, others): (Vec<&Open>, Vec<&Open>) = open.iter().partition(|open| open.is_batch(base));
    for batch in batches {
        add(format!("{}={}", batch.name, 2 * batch.size), "a batch".to_owned(), shapes(&[(batch, 2 * batch.size)]));
    }
    for one in &others {
        let small = if one.size.is_multiple_of(STRIDE) { STRIDE } else { 1 };
        // Where a name stands for both sides of a square, four times is too much.
        let large = [LARGEST, 2].map(|times| one.size * times).into_iter().find(|&size| fits(&shapes(&[(one, size)])));
        for size in [0, 1, small].into_iter().chain(large) {
            let what = if size == 0 { "nothing" } else { "another size" };
            add(format!("{}={size}", one.name), what.to_owned(), shapes(&[(one, size)]));
        }
    }
    for input in 0..base.len() {
        let sides: Vec<&&Open> = others.iter().filter(|open| open.at.iter().any(|at| at.0 == input)).collect();
        let [height, width] = sides[..] else { continue };
        let (h, w) = (height.size, width.size);
        for (a, b) in pairs(h, w) {
            let what = "another height and width";
            add(format!("{a}x{b}"), what.to_owned(), shapes(&[(height, a), (width, b)]));
        }
    }
    all
}

/// Sizes of two sides that belong together.
fn pairs(h: usize, w: usize) -> Vec<(usize, usize)> {
    let strided = h.is_multiple_of(STRIDE) && w.is_multiple_of(STRIDE);
    let narrow = |side: usize| if strided { STRIDE.min(side) } else { side.div_ceil(LONG) };
    let long = |side: usize, other: usize| {
        let most = (LARGEST * h * w / narrow(other).max(1)).min(LONG * side);
        if strided { most / STRIDE * STRIDE } else { most }
    };
    vec![
        (1, 1),
        (narrow(h), narrow(w)),
        (1, LARGEST * w),
        (LARGEST * h, 1),
        (narrow(h), long(w, h)),
        (long(h, w), narrow(w)),
        (2 * h, 2 * w),
    ]
}
