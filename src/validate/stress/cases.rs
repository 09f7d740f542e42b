//! The cases: inputs that no sample shows.

use super::kinds::{Input, Kind};
use super::numbers::{self, of_numbers, resized};
use super::shapes::{Open, sizes};
use super::span::Span;
use crate::error::Result;
use crate::tensor::Tensor;

/// Beyond what an input is meant for by so many times its span.
const BEYOND: f64 = 10.0;
/// The same for numbers that no sensor gives.
const HUGE: f64 = 1e6;

/// What the numbers of a case are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fill {
    /// Those of a sample.
    Sample,
    /// So far from the lowest (0) to the highest (1).
    Share(f64),
    /// All 0.
    Zero,
    /// Lowest and highest in turn.
    Checkers,
    /// Noise that spans so many times what the input is meant for.
    Noise(f64),
    /// This number.
    All(f32),
    /// This number in the middle of a sample.
    One(f32),
    /// Integers so far from the lowest (0) to the highest (1).
    Ids(f64),
    /// Random integers.
    RandomIds,
    /// Masks of this.
    Flags(f64),
}

/// One case.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub what: String,
    /// What its numbers are.
    pub fill: Fill,
    /// The shape of each input.
    pub shapes: Vec<Vec<usize>>,
    /// Whether a quantized model has to stand it.
    pub counts: bool,
}

/// The cases for these inputs and open dimensions, where a usual sample is `base`.
pub fn cases(inputs: &[Input], base: &[Tensor], open: &[Open]) -> Vec<Case> {
    use Fill::{All, Checkers, Flags, Ids, Noise, One, RandomIds, Sample, Share, Zero};
    let any = |what: fn(&Input) -> bool| inputs.iter().any(what);
    let mut all = Vec::new();
    let shapes: Vec<Vec<usize>> = base.iter().map(|tensor| tensor.shape().to_vec()).collect();
    let pictures = shapes.iter().any(|shape| shape.len() == 4);
    let seen = |what: &str, word: &str| if pictures { format!("{what}: {word}") } else { what.to_owned() };
    let mut add = |name: &str, what: &str, fill: Fill, counts: bool| {
        all.push(Case { name: name.to_owned(), what: what.to_owned(), fill, shapes: shapes.clone(), counts });
    };
    if any(|input| matches!(input.kind, Kind::Numbers(_))) {
        add("lowest", &seen("every number the lowest", "black"), Share(0.0), true);
        add("highest", &seen("every number the highest", "white"), Share(1.0), true);
        add("middle", &seen("every number between", "grey"), Share(0.5), true);
        add("zero", "every number 0", Zero, true);
        add("checkers", "lowest and highest in turn", Checkers, true);
        add("noise", "noise from lowest to highest", Noise(1.0), true);
    }
    if any(Input::takes_any_number) {
        add("below", "every number ten spans below the lowest", Share(-BEYOND), true);
        add("above", &seen("every number ten spans above the highest", "glare"), Share(1.0 + BEYOND), true);
        add("loud", "noise over ten spans", Noise(BEYOND), true);
        add("huge", "noise over a million spans", Noise(HUGE), false);
        add("one-nan", "a sample with one NaN", One(f32::NAN), false);
        add("nan", "every number NaN", All(f32::NAN), false);
        add("one-infinity", "a sample with one infinity", One(f32::INFINITY), false);
        add("infinity", "every number infinite", All(f32::INFINITY), false);
        add("minus-infinity", "every number minus infinity", All(f32::NEG_INFINITY), false);
    }
    if any(|input| matches!(input.kind, Kind::Ids { .. })) {
        add("first-ids", "every integer the lowest", Ids(0.0), true);
        add("last-ids", "every integer the highest", Ids(1.0), true);
        add("random-ids", "random integers", RandomIds, true);
    }
    if any(|input| input.kind == Kind::Flags) {
        add("mask-0", "masks of 0", Flags(0.0), true);
        add("mask-1", "masks of 1", Flags(1.0), true);
    }
    let of_size = |(name, what, shapes)| Case { name, what, fill: Sample, shapes, counts: true };
    all.extend(sizes(open, base).into_iter().map(of_size));
    all
}

impl Case {
    /// The inputs of the case, made of a usual sample.
    ///
    /// # Errors
    /// When an input is of a type that cannot be made.
    pub fn tensors(&self, inputs: &[Input], base: &[Tensor]) -> Result<Vec<Tensor>> {
        let one = |(index, (input, base)): (usize, (&Input, &Tensor))| {
            let shape = &self.shapes[index];
            let base = resized(base, shape)?;
            match &input.kind {
                Kind::Numbers(span) => self.numbers((index, input), span, base),
                Kind::Ids { low, high, .. } => {
                    let mut chance = numbers::chance(&self.name, index);
                    let id = |_: usize| match self.fill {
                        Fill::Ids(share) => Some(if share > 0.0 { *high } else { *low } as f64),
                        Fill::RandomIds => Some(numbers::id(&mut chance, *low, *high) as f64),
                        _ => None,
                    };
                    let ids: Option<Vec<f64>> = (0..base.len()).map(id).collect();
                    ids.filter(|ids| !ids.is_empty()).map_or(Ok(base), |ids| of_numbers(input, shape.clone(), &ids))
                }
                Kind::Flags => match self.fill {
                    Fill::Flags(flag) => of_numbers(input, shape.clone(), &vec![flag; base.len()]),
                    _ => Ok(base),
                },
                Kind::Kept => Ok(base),
            }
        };
        inputs.iter().zip(base).enumerate().map(one).collect()
    }

    fn numbers(&self, (index, input): (usize, &Input), span: &Span, base: Tensor) -> Result<Tensor> {
        let shape = base.shape().to_vec();
        let beyond = match self.fill {
            Fill::Share(share) => !(0.0..=1.0).contains(&share),
            Fill::Noise(spans) => spans > 1.0,
            Fill::All(_) | Fill::One(_) => true,
            _ => false,
        };
        if beyond && !input.takes_any_number() {
            return Ok(base);
        }
        let mut chance = numbers::chance(&self.name, index);
        let columns = shape.last().copied().unwrap_or(1).max(1);
        let mut number = |at: usize| {
            let (low, high) = span.at(&shape, at);
            let width = f64::from(high) - f64::from(low);
            let centre = f64::from(low) + width / 2.0;
            match self.fill {
                Fill::Share(share) => f64::from(low) + share * width,
                Fill::Checkers => f64::from(if (at % columns + at / columns).is_multiple_of(2) { low } else { high }),
                Fill::Noise(spans) => centre + (chance.between((low, high)) - centre) * spans,
                Fill::All(number) => f64::from(number),
                Fill::Zero | Fill::Sample | Fill::One(_) | Fill::Ids(_) | Fill::RandomIds | Fill::Flags(_) => 0.0,
            }
        };
        let numbers: Vec<f64> = match self.fill {
            Fill::Sample | Fill::Ids(_) | Fill::RandomIds | Fill::Flags(_) => return Ok(base),
            Fill::One(odd) => {
                let mut numbers: Vec<f64> = base.to_f32()?.iter().map(|&v| f64::from(v)).collect();
                let middle = numbers.len() / 2;
                if let Some(number) = numbers.get_mut(middle) {
                    *number = f64::from(odd);
                }
                numbers
            }
            _ => (0..base.len()).map(&mut number).collect(),
        };
        of_numbers(input, shape, &numbers)
    }
}
