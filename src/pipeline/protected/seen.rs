//! What samples show of the values ahead of stored weights: how large channels are, and some of the positions that layers look at.

use super::{Group, Layer};
use crate::inputs::spread;
use crate::tensor::Tensor;
use crate::tune::awq::Read;
use crate::tune::rounding::{Patches, Reach};
use ndarray::Array2;

/// Positions of each sample that are kept.
const POSITIONS: usize = 64;
/// Every so many samples, one decides and does not fit.
const DECIDES: usize = 4;

/// The bytes of what is kept of what a layer reads, of so many samples.
pub(super) fn bytes(layer: &Layer<'_>, samples: usize) -> usize {
    samples * POSITIONS * layer.channels * layer.taps * size_of::<f32>()
}

/// What is known of a value.
pub(super) struct Seen {
    pub read: Read,
    /// The smallest and largest number of each channel, zero counted in.
    pub ends: Vec<(f64, f64)>,
}

/// What one sample showed of a value; nothing where its numbers are not finite, or not as the layer says.
#[derive(Default)]
pub(super) struct Shown {
    /// The sum of magnitudes of each channel, and how many numbers each has.
    sums: Vec<f64>,
    count: usize,
    ends: Vec<(f64, f64)>,
    /// Some positions, one after the other.
    rows: Vec<f32>,
    /// Numbers in each.
    length: usize,
}

/// Which places of a text hold words; nobody asks what is computed of the others.
pub(super) struct Mask {
    /// Texts, and places in each.
    shape: Vec<usize>,
    held: Vec<bool>,
}

impl Mask {
    /// Of an input that says so; `None` where it does not have two axes, or there are no words.
    pub fn new(input: &Tensor) -> Option<Self> {
        let held: Vec<bool> = input.to_i64().ok()?.iter().map(|&one| one != 0).collect();
        let any = input.shape().len() == 2 && held.contains(&true);
        any.then(|| Self { shape: input.shape().to_vec(), held })
    }

    /// What is computed of words, as rows, of a tensor with a row for each place; `None` of any other.
    fn words(&self, shape: &[usize], numbers: &[f32]) -> Option<(Vec<usize>, Vec<f32>)> {
        let (&length, places) = shape.split_last()?;
        if places != self.shape {
            return None;
        }
        let rows = numbers.chunks_exact(length.max(1)).zip(&self.held).filter(|(_, held)| **held);
        let words: Vec<f32> = rows.flat_map(|(row, _)| row).copied().collect();
        Some((vec![words.len() / length.max(1), length], words))
    }
}

/// The values of a sample while it runs.
pub(super) struct Showing<'a> {
    groups: &'a [Group<'a>],
    shown: Vec<Shown>,
    /// Of each row and place of text, whether a word is there.
    mask: Option<Mask>,
    /// What convolutions read, until what they make is known, and its shape.
    read: Vec<Option<(Vec<usize>, Vec<f32>)>>,
}

impl<'a> Showing<'a> {
    /// Of nothing so far, for a sample with a mask.
    pub fn new(groups: &'a [Group<'a>], mask: Option<Mask>) -> Self {
        let shown = groups.iter().map(|_| Shown::default()).collect();
        Self { groups, shown, mask, read: groups.iter().map(|_| None).collect() }
    }

    /// Takes a value: what the layers of each group read, and behind them what these make.
    pub fn take(&mut self, value: usize, shape: &[usize], numbers: &[f32]) {
        let Some(layer) = self.groups.get(value).map(|group| &group.layers[0]) else {
            self.made(value - self.groups.len(), shape);
            return;
        };
        if !numbers.iter().all(|number| number.is_finite()) {
            return;
        }
        match layer.reach {
            Reach::Rows if shape.last() == Some(&layer.channels) => {
                let words = self.mask.as_ref().and_then(|mask| mask.words(shape, numbers));
                let (shape, numbers) =
                    words.as_ref().map_or((shape, numbers), |(shape, words)| (shape.as_slice(), words.as_slice()));
                self.shown[value].channels(numbers, layer.channels, 1);
                self.shown[value].positions(layer, shape, numbers, &[]);
            }
            Reach::Window(_) if shape.get(1) == Some(&layer.channels) => {
                self.shown[value].channels(numbers, layer.channels, shape[2..].iter().product());
                self.read[value] = Some((shape.to_vec(), numbers.to_vec()));
            }
            _ => {}
        }
    }

    fn made(&mut self, group: usize, shape: &[usize]) {
        if let Some((read, numbers)) = self.read[group].take() {
            self.shown[group].positions(&self.groups[group].layers[0], &read, &numbers, shape);
        }
    }

    /// What was shown of all.
    pub fn settled(self) -> Vec<Shown> {
        self.shown
    }
}

impl Shown {
    /// Takes in how large channels are; behind each there are so many neighbouring numbers.
    fn channels(&mut self, numbers: &[f32], channels: usize, each: usize) {
        (self.sums, self.ends) = (vec![0.0; channels], vec![(0.0, 0.0); channels]);
        self.count = numbers.len() / channels;
        for (at, run) in numbers.chunks_exact(each.max(1)).enumerate() {
            let (sum, ends) = (&mut self.sums[at % channels], &mut self.ends[at % channels]);
            for &number in run {
                *sum += f64::from(number.abs());
                *ends = (ends.0.min(f64::from(number)), ends.1.max(f64::from(number)));
            }
        }
    }

    /// Keeps some of the positions that a layer looks at.
    fn positions(&mut self, layer: &Layer<'_>, shape: &[usize], numbers: &[f32], made: &[usize]) {
        let Some(patches) = Patches::new(&layer.reach, (shape, numbers), made, (0, 1)) else { return };
        self.length = patches.length;
        for position in spread(patches.batch * patches.each, POSITIONS) {
            let (item, at) = (position / patches.each, position % patches.each);
            self.rows.extend(patches.rows(item, at..at + 1, 1));
        }
    }
}

/// What all samples showed of so many values, in the order of the samples.
pub(super) fn merged(values: usize, samples: Vec<Vec<Shown>>) -> Vec<Option<Seen>> {
    let mut all: Vec<Vec<Shown>> = (0..values).map(|_| Vec::new()).collect();
    for shown in samples {
        all.iter_mut().zip(shown).for_each(|(all, own)| all.push(own));
    }
    all.into_iter().map(seen).collect()
}

/// What samples showed of a value; `None` where there are too few to choose by and to decide by.
fn seen(mut samples: Vec<Shown>) -> Option<Seen> {
    samples.retain(|sample| sample.length > 0);
    let length = samples.first()?.length;
    let channels = samples[0].sums.len();
    let alike = samples.iter().all(|sample| sample.length == length && sample.sums.len() == channels);
    if samples.len() < 2 || !alike {
        return None;
    }
    let (mut sizes, mut ends) = (vec![0f64; channels], vec![(0f64, 0f64); channels]);
    let (mut count, mut fitting, mut checking) = (0usize, Vec::new(), Vec::new());
    let last = samples.len() - 1;
    for (at, sample) in samples.into_iter().enumerate() {
        // Of few, the last.
        let decides = at % DECIDES == DECIDES - 1 || last < DECIDES - 1 && at == last;
        if decides {
            checking.extend(sample.rows);
        } else {
            sizes.iter_mut().zip(&sample.sums).for_each(|(all, own)| *all += own);
            count += sample.count;
            fitting.extend(sample.rows);
        }
        ends.iter_mut().zip(&sample.ends).for_each(|(all, own)| *all = (all.0.min(own.0), all.1.max(own.1)));
    }
    sizes.iter_mut().for_each(|size| *size /= count.max(1) as f64);
    let rows = |numbers: Vec<f32>| Array2::from_shape_vec((numbers.len() / length, length), numbers).ok();
    Some(Seen { read: Read { sizes, fitting: rows(fitting)?, checking: rows(checking)? }, ends })
}
