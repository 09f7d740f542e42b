//! Runs all variants of a model on samples.

use super::parts::Parts;
use super::state::{Keeper, State};
use super::sums::{Row, Total};
use crate::error::{Error, Result};
use crate::exec::{Switched, Tract};
use crate::inputs::{Dataset, Sample};
use crate::progress::Progress;
use crate::tensor::TensorType;
use crate::threads;

/// How many programs are kept for shapes that samples may show again.
const PROGRAMS: usize = 4;

/// Which of the two runs that are kept a variant begins from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Float,
    Quantized,
}

/// A way to run the model: what is on, and the run that is nearest to it.
struct Variant {
    from: From,
    on: Vec<bool>,
}

/// The variants of one unit, as places among all.
#[derive(Debug, Clone, Copy)]
pub struct OfUnit {
    /// It alone is rounded.
    pub alone: usize,
    /// Its weights alone; `None` where it has none.
    pub weights: Option<usize>,
    /// Its activations alone; `None` where it has none.
    pub activations: Option<usize>,
    /// It alone is not.
    pub float: usize,
}

/// All variants.
pub struct Variants {
    all: Vec<Variant>,
    /// Those of each unit.
    pub units: Vec<OfUnit>,
}

/// The variant in which everything is rounded.
pub const QUANTIZED: usize = 0;

impl Variants {
    /// Those of `parts`.
    pub fn of(parts: &Parts) -> Self {
        let mut all = vec![Variant { from: From::Quantized, on: parts.all(true) }];
        let mut add = |from: From, switches: &[&[usize]]| {
            let mut on = parts.all(from == From::Quantized);
            switches.iter().flat_map(|some| some.iter()).for_each(|&k| on[k] = from == From::Float);
            all.push(Variant { from, on });
            all.len() - 1
        };
        let unit = |unit| {
            let [weights, activations] = parts.switches(unit);
            let alone = add(From::Float, &[&weights, &activations]);
            let float = add(From::Quantized, &[&weights, &activations]);
            // Where there is one of the two alone, it is all there is.
            let both = !weights.is_empty() && !activations.is_empty();
            let mut one = |some: &[usize]| match (some.is_empty(), both) {
                (true, _) => None,
                (false, false) => Some(alone),
                (false, true) => Some(add(From::Float, &[some])),
            };
            OfUnit { alone, weights: one(&weights), activations: one(&activations), float }
        };
        let units = parts.units.iter().map(unit).collect();
        Self { all, units }
    }

    /// What is on in each.
    #[cfg(test)]
    pub fn switches(&self) -> impl Iterator<Item = &[bool]> {
        self.all.iter().map(|variant| variant.on.as_slice())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }
}

/// Runs the samples `indices` of `data`, those that `state` does not have yet, and returns the sums.
///
/// # Errors
/// When a sample is bad, the engine cannot run the model, or the state cannot be kept.
pub fn run(
    parts: &Parts,
    variants: &Variants,
    (data, indices): (&Dataset, &[usize]),
    mut state: State,
    keeper: &Keeper,
    progress: &dyn Progress,
) -> Result<State> {
    let executor = Tract::default();
    let mut programs: Vec<(Vec<TensorType>, Box<dyn Switched>)> = Vec::new();
    let rest = indices.get(state.samples..).unwrap_or_default();
    progress.start("measuring", rest.len() * variants.count());
    for sample in data.read(rest) {
        let sample = sample?;
        let inputs = parts.inputs(&sample.inputs)?;
        let types: Vec<TensorType> = Sample { inputs: inputs.clone(), ..sample.clone() }.types();
        if !programs.iter().any(|(known, _)| *known == types) {
            if programs.len() == PROGRAMS {
                programs.remove(0);
            }
            programs.push((types.clone(), parts.program(&executor, &types)?));
        }
        let program = programs.iter().find(|(known, _)| *known == types).map(|(_, program)| &**program);
        let program = program.ok_or_else(|| Error::other("no program for a sample"))?;
        let rows = rows(parts, variants, program, (&sample, &inputs), progress)?;
        for (total, row) in state.totals.iter_mut().zip(&rows) {
            Total::add(total, row);
        }
        state.samples += 1;
        keeper.save(&state)?;
    }
    progress.finish();
    Ok(state)
}

/// What a sample adds to each variant.
fn rows(
    parts: &Parts,
    variants: &Variants,
    program: &dyn Switched,
    (sample, inputs): (&Sample, &[crate::tensor::Tensor]),
    progress: &dyn Progress,
) -> Result<Vec<Row>> {
    let mut kept = [None, None];
    threads::for_each(kept.iter_mut().zip([false, true]), |(place, on)| {
        *place = Some(program.run(inputs, &parts.all(on)));
    });
    let [float, quantized] = kept.map(|run| run.unwrap_or_else(|| Err(Error::other("a run was left out"))));
    let (float, quantized) = (float?, quantized?);
    let mut rows: Vec<Option<Result<Row>>> = variants.all.iter().map(|_| None).collect();
    threads::for_each(variants.all.iter().zip(&mut rows), |(variant, row)| {
        let near = if variant.from == From::Float { &*float } else { &*quantized };
        let outputs = program.vary(near, inputs, &variant.on);
        *row = Some(outputs.and_then(|outputs| Row::of(float.outputs(), &outputs, sample.label, &parts.groups)));
        progress.step();
    });
    rows.into_iter().map(|row| row.unwrap_or_else(|| Err(Error::other("a run was left out")))).collect()
}
