//! The quantized model as a runtime computes it, beside its re-execution and the float model: whether a difference comes from
//! quantization, from what the runtime makes of the model, or from a fault.

mod verdict;

pub(super) use verdict::Nearness;
pub use verdict::{Distance, Verdict};

use super::handed::Handed;
use super::metrics::Sums;
use super::side::Side;
use super::steps;
use crate::error::{Error, Result};
use crate::exec::Executor;
use crate::ir::Model;
use crate::prepare;
use crate::tensor::Tensor;
use serde::Serialize;
use std::sync::OnceLock;

/// What runs the models of a comparison.
pub struct Engines<'a> {
    /// Runs both.
    pub own: &'a dyn Executor,
    /// Runs the quantized one, too.
    pub runtime: Option<Runtime<'a>>,
}

/// A runtime that models are quantized for.
pub struct Runtime<'a> {
    /// Its name and version.
    pub name: String,
    /// Running each operator as it stands in the model.
    pub disable_all: &'a dyn Executor,
    /// As it runs a model for whoever asks for nothing.
    pub default: &'a dyn Executor,
}

/// The quantized model as a runtime computes it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ThreeWay {
    /// The runtime's name and version.
    pub runtime: String,
    /// Without graph optimizations.
    pub disable_all: AtLevel,
    /// As it runs a model by default.
    pub default: AtLevel,
    /// Each output, in the order of the graph.
    pub outputs: Vec<RuntimeOutput>,
    /// The integers that layers hand to each other, where layers were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<Handed>,
}

/// What became of the model at one level of optimization.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AtLevel {
    /// The runtime's words, where it does not load or run the model.
    pub refused: Option<String>,
}

/// One output of the quantized model. A step is that of the output's grid or, where it has none, a 255th of the range of its
/// numbers and zero.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuntimeOutput {
    /// The output's name.
    pub name: String,
    /// Where a difference comes from.
    pub verdict: Verdict,
    /// The step that differences are measured in; 0 where all numbers are.
    pub step: f64,
    /// From the float model to the re-execution.
    pub float_to_own: Distance,
    /// From the re-execution to the runtime without graph optimizations.
    pub own_to_disable_all: Option<Distance>,
    /// From the float model to the same.
    pub float_to_disable_all: Option<Distance>,
    /// From the re-execution to the runtime as it runs by default.
    pub own_to_default: Option<Distance>,
    /// From the float model to the same.
    pub float_to_default: Option<Distance>,
}

/// What one sample shows of one output: the sums of a runtime's level against the re-execution, against the float model, and
/// against a recording, where there is one.
type Triple = ([Sums; 2], Option<Sums>);

/// What one sample shows.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// At both levels, of each output; or why not.
    levels: [std::result::Result<Vec<Triple>, String>; 2],
    /// The re-execution against the float model.
    own: Vec<Sums>,
    /// The smallest and largest number of the re-execution, for each output.
    ends: Vec<(f32, f32)>,
}

/// The quantized model in a runtime.
pub(super) struct Witnesses<'a> {
    runtime: String,
    levels: [Witness<'a>; 2],
    /// The steps of outputs that have grids.
    steps: Vec<Option<f64>>,
    /// Whether the model has numbers of 16 bits.
    halves: bool,
}

struct Witness<'a> {
    side: Side<'a>,
    /// Why the runtime does not load the model: what was found once need not be tried with every sample.
    refused: OnceLock<String>,
}

impl Witness<'_> {
    /// The outputs, or why there are none.
    fn run(&self, inputs: &[Tensor]) -> Result<std::result::Result<Vec<Tensor>, String>> {
        if let Some(why) = self.refused.get() {
            return Ok(Err(why.clone()));
        }
        match self.side.check(inputs) {
            Err(Error::Engine(why)) => return Ok(Err(self.refused.get_or_init(|| why).clone())),
            other => other?,
        }
        match self.side.run(inputs) {
            Ok(outputs) => Ok(Ok(outputs)),
            Err(Error::Engine(why)) => Ok(Err(why)),
            Err(other) => Err(other),
        }
    }
}

impl<'a> Witnesses<'a> {
    /// Makes `quantized` ready for both levels of `runtime`.
    ///
    /// # Errors
    /// When its metadata or a constant is malformed.
    pub fn new(runtime: &Runtime<'a>, quantized: &Model) -> Result<Self> {
        let witness =
            |engine: &'a dyn Executor| Ok(Witness { side: Side::new(engine, quantized)?, refused: OnceLock::new() });
        let levels = [witness(runtime.disable_all)?, witness(runtime.default)?];
        let halves = prepare::has_halves(&mut quantized.graph.clone())?;
        Ok(Self { runtime: runtime.name.clone(), levels, steps: steps::of_outputs(quantized)?, halves })
    }

    /// What a sample shows, whose outputs by the float model are `float`, by the re-execution `own`, and `recorded` elsewhere.
    ///
    /// # Errors
    /// When a tensor is malformed.
    pub fn look(&self, inputs: &[Tensor], [float, own]: [&[Tensor]; 2], recorded: Option<&[Tensor]>) -> Result<Seen> {
        let pairs = |outputs: Vec<Tensor>| {
            if outputs.iter().zip(own).any(|(a, b)| a.shape() != b.shape()) {
                let shapes = |tensors: &[Tensor]| tensors.iter().map(|t| t.shape().to_vec()).collect::<Vec<_>>();
                return Ok(Err(format!("it gives shapes {:?} instead of {:?}", shapes(&outputs), shapes(own))));
            }
            let triple = |(at, ((found, own), float)): (usize, ((&Tensor, &Tensor), &Tensor))| {
                let found = found.to_f32()?;
                let recorded = recorded.and_then(|recorded| recorded.get(at)).map(Tensor::to_f32).transpose()?;
                let pair = [Sums::of(&own.to_f32()?, &found), Sums::of(&float.to_f32()?, &found)];
                Ok((pair, recorded.map(|recorded| Sums::of(&recorded, &found))))
            };
            outputs.iter().zip(own).zip(float).enumerate().map(triple).collect::<Result<Vec<Triple>>>().map(Ok)
        };
        let level = |witness: &Witness<'_>| match witness.run(inputs)? {
            Ok(outputs) => pairs(outputs),
            Err(why) => Ok(Err(why)),
        };
        let levels = [level(&self.levels[0])?, level(&self.levels[1])?];
        let compared = |(own, float): (&Tensor, &Tensor)| Ok(Sums::of(&float.to_f32()?, &own.to_f32()?));
        let ends = |tensor: &Tensor| {
            let numbers = tensor.to_f32()?;
            let finite = numbers.iter().copied().filter(|v| v.is_finite());
            Ok(finite.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v))))
        };
        Ok(Seen {
            levels,
            own: own.iter().zip(float).map(compared).collect::<Result<_>>()?,
            ends: own.iter().map(ends).collect::<Result<_>>()?,
        })
    }

    /// How far each level is from what was recorded of output `index`, where it runs the model.
    pub fn beside_recorded(&self, index: usize, samples: &[(String, Seen)], step: f64) -> [Option<Distance>; 2] {
        [0, 1].map(|level| {
            let sums =
                |(name, seen): &'_ (String, Seen)| Some((name.clone(), seen.levels[level].as_ref().ok()?[index].1?));
            let sums: Option<Vec<(String, Sums)>> = samples.iter().map(sums).collect();
            let sums = sums.filter(|sums| !sums.is_empty())?;
            Some(Distance::of(&sums.iter().map(|(name, sums)| (name.as_str(), *sums)).collect::<Vec<_>>(), step))
        })
    }

    /// What all samples show, in their order with their names, of the outputs called `names`.
    pub fn sum_up<'s>(&self, names: &[String], samples: &'s [(String, Seen)]) -> ThreeWay {
        let refused = |level: usize| {
            let why = |(name, seen): &'s (String, Seen)| Some((name, seen.levels[level].as_ref().err()?));
            let mut refused = samples.iter().filter_map(why);
            let (name, why) = refused.next()?;
            // What it runs for some samples fails for the numbers or shapes of others.
            Some(if refused.count() + 1 == samples.len() {
                why.clone()
            } else {
                format!("for the sample {name}: {why}")
            })
        };
        let levels = [0, 1].map(|level| AtLevel { refused: refused(level) });
        let outputs =
            names.iter().enumerate().map(|(index, name)| self.output(index, name, samples, &levels)).collect();
        let [disable_all, default] = levels;
        ThreeWay { runtime: self.runtime.clone(), disable_all, default, outputs, layers: None }
    }

    fn output(&self, index: usize, name: &str, samples: &[(String, Seen)], levels: &[AtLevel; 2]) -> RuntimeOutput {
        let ends = samples.iter().map(|(_, seen)| seen.ends[index]);
        // As a grid would, the range holds zero.
        let (low, high) = ends.fold((0f32, 0f32), |(low, high), (l, h)| (low.min(l), high.max(h)));
        let range = f64::from(high) - f64::from(low);
        let step = self.steps[index].unwrap_or(range / 255.0);
        let at = |level: usize, against: usize| {
            levels[level].refused.is_none().then(|| {
                let sums = samples.iter().filter_map(|(sample, seen)| {
                    Some((sample.as_str(), seen.levels[level].as_ref().ok()?[index].0[against]))
                });
                Distance::of(&sums.collect::<Vec<_>>(), step)
            })
        };
        let own: Vec<_> = samples.iter().map(|(sample, seen)| (sample.as_str(), seen.own[index])).collect();
        let (own_to_disable_all, own_to_default) = (at(0, 0), at(1, 0));
        let lost = Distance::of(&own, step);
        let near = |found: &Option<Distance>| found.as_ref().map(|found| Nearness::of(found, &lost, step, self.halves));
        RuntimeOutput {
            name: name.to_owned(),
            verdict: Verdict::of(near(&own_to_disable_all), near(&own_to_default)),
            step,
            float_to_own: lost,
            own_to_disable_all,
            float_to_disable_all: at(0, 1),
            own_to_default,
            float_to_default: at(1, 1),
        }
    }
}

#[cfg(test)]
mod tests;
