//! What is found of a case, and what counts as a failure.

use super::super::metrics::Sums;
use super::super::side::Side;
use crate::error::{Error, Result};
use crate::tensor::Tensor;
use serde::Serialize;
use std::fmt;

/// An output is far off where the root of its mean squared error is more than this many times that of the worst sample ...
const FAR_TIMES: f64 = 4.0;
/// ... and its SQNR lies by this many dB below that of the worst sample: larger numbers have larger errors.
const FAR_DB: f64 = 6.0;
/// Error beside the signal of samples that other arithmetic may make: 60 dB.
const NOISE: f64 = 1e-6;

/// What was found of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StressVerdict {
    /// Both models run, no output is NaN or infinite, and they are no further apart than on samples.
    Ok,
    /// Both refuse it, or both make NaN or infinities of it in the same places.
    Alike,
    /// They are much further apart than on any sample.
    Far,
    /// The float model makes NaN or infinities of it where the quantized one has numbers.
    FloatNotFinite,
    /// The float model refuses it.
    FloatRefused,
    /// The quantized model makes NaN or infinities of it where the float one has numbers.
    NotFinite,
    /// The outputs have other shapes.
    OtherShape,
    /// The quantized model refuses it.
    Refused,
}

impl StressVerdict {
    /// Whether the quantized model falls over what the float one stands.
    pub fn is_bad(self) -> bool {
        matches!(self, Self::NotFinite | Self::OtherShape | Self::Refused)
    }
}

impl fmt::Display for StressVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Alike => "as the float model does",
            Self::Far => "much further apart than on samples",
            Self::FloatNotFinite => "finite where the float model is not",
            Self::FloatRefused => "runs where the float model does not",
            Self::NotFinite => "NaN or infinite where the float model is not",
            Self::OtherShape => "of another shape than the float model's",
            Self::Refused => "refused where the float model runs",
        })
    }
}

/// One output of one case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseOutput {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// SQNR in dB over the elements that are finite in both; `None` where there is no error, or no signal.
    pub sqnr_db: Option<f64>,
    /// Largest absolute error of these.
    pub max_abs: f64,
    /// The root of the mean squared error beside that of the worst sample; `None` without samples.
    pub error_times: Option<f64>,
    /// Whether it is much further off than on any sample; `None` without samples.
    pub far: Option<bool>,
    /// Elements that are NaN or infinite in the float model's.
    pub not_finite_float: u64,
    /// The same in the quantized model's.
    pub not_finite: u64,
}

/// What one output shows.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    shape: Vec<usize>,
    not_finite_float: u64,
    not_finite: u64,
    /// Elements that are finite in the float model's alone, and in the quantized model's alone.
    lost: u64,
    gained: u64,
}

/// What a case feeds.
pub(super) struct Fed {
    /// The inputs whose shapes no sample has, with these; none where it is their numbers that are refused.
    shapes: Vec<String>,
}

impl Fed {
    /// Tensors of `shapes` for the inputs `names`, where samples have the shapes `usual`, as far as these are known.
    pub fn of(names: &[String], shapes: &[Vec<usize>], usual: &[Option<Vec<usize>>]) -> Self {
        let is_other = |(_, (shape, usual)): &(_, (&Vec<usize>, &Option<Vec<usize>>))| usual.as_ref() != Some(*shape);
        let other = names.iter().zip(shapes.iter().zip(usual)).filter(is_other);
        Self { shapes: other.map(|(name, (shape, _))| format!("{name} of {shape:?}")).collect() }
    }

    fn said(&self) -> String {
        match self.shapes.is_empty() {
            true => "these numbers".to_owned(),
            false => self.shapes.join(" and "),
        }
    }

    fn remedy(&self) -> &'static str {
        match self.shapes.is_empty() {
            true => "check inputs before you feed them",
            false => "bring inputs to a size that the model takes before you feed them",
        }
    }

    fn loss(&self) -> &'static str {
        match self.shapes.is_empty() {
            true => "an app that ran with the float model fails here",
            false => {
                "an app that ran with the float model fails here; if these sizes do not occur, fix them with --dim"
            }
        }
    }
}

/// Why a model does not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The operator and the name of the node that stands in the way, where that is known.
    node: Option<String>,
    words: String,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Node { node, op_type, message } => Self { node: Some(format!("{op_type} {node}")), words: message },
            other => Self { node: None, words: other.to_string() },
        }
    }
}

impl Refusal {
    fn said(&self, by: &str, fed: &Fed, then: &str) -> String {
        let fed = fed.said();
        match &self.node {
            Some(node) => format!("{node} of {by} cannot compute what becomes of {fed}; {then}"),
            None => format!("{by} cannot be run with {fed}; {then}"),
        }
    }
}

/// What both models made of an input.
pub(super) struct Outcome {
    /// What refused it: the float model, the quantized one.
    refused: [Option<Refusal>; 2],
    other_shape: Option<String>,
    seen: Vec<Seen>,
    sums: Vec<Sums>,
    /// What goes wrong in the runtime.
    pub runtime: Option<String>,
    runtime_words: Option<String>,
}

impl Outcome {
    /// Runs float and quantized model on `inputs`, and the quantized one in the runtime.
    ///
    /// # Errors
    /// When an output holds no numbers.
    pub fn of(sides: [&Side<'_>; 2], runtime: Option<&Side<'_>>, inputs: &[Tensor], names: &[String]) -> Result<Self> {
        let [float, quantized] = sides.map(|side| side.attempt(inputs).map_err(Refusal::from));
        let mut outcome = Self {
            refused: [float.as_ref().err().cloned(), quantized.as_ref().err().cloned()],
            other_shape: None,
            seen: Vec::new(),
            sums: Vec::new(),
            runtime: None,
            runtime_words: None,
        };
        let Ok(float) = float else { return Ok(outcome) };
        if let Some(runtime) = runtime {
            outcome.runtime = match runtime.attempt(inputs).map_err(Refusal::from) {
                Err(Refusal { node, words }) => {
                    outcome.runtime_words = Some(words);
                    Some(node.map_or("refuses it".to_owned(), |node| format!("refuses it: {node} stops it")))
                }
                Ok(found) => {
                    let lost = float.iter().zip(&found).zip(names).map(|((a, b), name)| Ok((name, lost(a, b)?)));
                    let lost = lost.collect::<Result<Vec<_>>>()?.into_iter().find(|(_, lost)| *lost > 0);
                    lost.map(|(name, lost)| format!("makes {lost} elements of {name} NaN or infinite"))
                }
            };
        }
        let Ok(quantized) = quantized else { return Ok(outcome) };
        for ((a, b), name) in float.iter().zip(&quantized).zip(names) {
            if a.shape() != b.shape() {
                outcome.other_shape = Some(format!("{name} is {:?} and not {:?}", b.shape(), a.shape()));
                return Ok(outcome);
            }
            let (x, y) = (a.to_f32()?, b.to_f32()?);
            let count = |what: fn(f32, f32) -> bool| x.iter().zip(&*y).filter(|&(&a, &b)| what(a, b)).count() as u64;
            outcome.seen.push(Seen {
                shape: a.shape().to_vec(),
                not_finite_float: count(|a, _| !a.is_finite()),
                not_finite: count(|_, b| !b.is_finite()),
                lost: count(|a, b| a.is_finite() && !b.is_finite()),
                gained: count(|a, b| !a.is_finite() && b.is_finite()),
            });
            outcome.sums.push(Sums::of(&x, &y));
        }
        Ok(outcome)
    }

    /// Whether the quantized model ran.
    pub fn quantized_ran(&self) -> bool {
        self.refused[1].is_none()
    }

    /// The sums over each output, where both models ran.
    pub fn sums(&self) -> Option<&[Sums]> {
        (!self.sums.is_empty()).then_some(self.sums.as_slice())
    }

    /// Whose refusal, or what shape, stands in the way, and what follows from it for whoever feeds the model. `fed` is what is
    /// refused.
    pub fn refused(&self, fed: &Fed) -> Option<String> {
        match &self.refused {
            [Some(_), Some(why)] => Some(why.said("both models", fed, fed.remedy())),
            [Some(why), None] => {
                Some(why.said("the float model", fed, "what the quantized one gives has nothing to be held against"))
            }
            [None, Some(why)] => Some(why.said("the quantized model", fed, fed.loss())),
            [None, None] => self.other_shape.clone(),
        }
    }

    /// The words of the engine that refused it.
    pub fn words(&self) -> Option<String> {
        match &self.refused {
            [Some(float), Some(quantized)] if float.words == quantized.words => Some(float.words.clone()),
            [Some(float), Some(quantized)] => {
                Some(format!("float model: {}; quantized model: {}", float.words, quantized.words))
            }
            [one, other] => {
                let words = one.as_ref().or(other.as_ref()).map(|why| &why.words);
                words.or(self.runtime_words.as_ref()).cloned()
            }
        }
    }

    /// What that means.
    pub fn verdict(&self, yardstick: &Yardstick) -> StressVerdict {
        match &self.refused {
            [Some(_), Some(_)] => return StressVerdict::Alike,
            [None, Some(_)] => return StressVerdict::Refused,
            [Some(_), None] => return StressVerdict::FloatRefused,
            [None, None] if self.other_shape.is_some() => return StressVerdict::OtherShape,
            [None, None] => {}
        }
        let any = |what: fn(&Seen) -> u64| self.seen.iter().any(|seen| what(seen) > 0);
        if any(|seen| seen.lost) {
            StressVerdict::NotFinite
        } else if any(|seen| seen.gained) {
            StressVerdict::FloatNotFinite
        } else if any(|seen| seen.not_finite) {
            StressVerdict::Alike
        } else if self.sums.iter().enumerate().any(|(k, sums)| yardstick.is_far(k, sums) == Some(true)) {
            StressVerdict::Far
        } else {
            StressVerdict::Ok
        }
    }

    /// Each output, for the report.
    pub fn outputs(&self, names: &[String], yardstick: &Yardstick) -> Vec<CaseOutput> {
        let all = names.iter().zip(self.seen.iter().zip(&self.sums)).enumerate();
        let one = |(k, (name, (seen, sums))): (usize, (&String, (&Seen, &Sums)))| CaseOutput {
            name: name.clone(),
            shape: seen.shape.clone(),
            sqnr_db: sqnr(sums).filter(|db| db.is_finite()),
            max_abs: sums.max_abs,
            error_times: yardstick.times(k, sums),
            far: yardstick.is_far(k, sums),
            not_finite_float: seen.not_finite_float,
            not_finite: seen.not_finite,
        };
        all.map(one).collect()
    }
}

/// How many elements are finite in `float` alone.
fn lost(float: &Tensor, other: &Tensor) -> Result<usize> {
    let (x, y) = (float.to_f32()?, other.to_f32()?);
    Ok(x.iter().zip(&*y).filter(|(a, b)| a.is_finite() && !b.is_finite()).count())
}

/// SQNR in dB: infinite without an error.
fn sqnr(sums: &Sums) -> Option<f64> {
    match sums.error > 0.0 {
        true => (sums.reference > 0.0).then(|| 10.0 * (sums.reference / sums.error).log10()),
        false => Some(f64::INFINITY),
    }
}

/// How far apart both models are on samples: for each output, the largest root of the mean squared error of one, and the least
/// SQNR.
pub(super) struct Yardstick(Vec<(f64, f64)>);

impl Yardstick {
    /// From the sums of each sample over each output; none tell nothing.
    pub fn of(samples: &[&[Sums]]) -> Self {
        let outputs = samples.first().map_or(0, |sums| sums.len());
        let of = |k: usize| {
            let all = || samples.iter().filter_map(|sums| sums.get(k));
            let power = |sums: &Sums| sums.reference / sums.count.max(1) as f64;
            // What other arithmetic makes of samples is no error to speak of.
            let least = all().map(power).fold(0.0, f64::max) * NOISE;
            let error = all().map(mean).fold(least, f64::max).sqrt();
            (error, all().filter_map(sqnr).fold(-10.0 * NOISE.log10(), f64::min))
        };
        Self((0..outputs).map(of).collect())
    }

    /// The root of the mean squared error of an output, in those of the worst sample.
    pub fn times(&self, output: usize, sums: &Sums) -> Option<f64> {
        let (error, _) = self.0.get(output)?;
        Some(mean(sums).sqrt() / error.max(f64::MIN_POSITIVE))
    }

    /// Whether an output is much further off than on any sample; `None` without samples.
    pub fn is_far(&self, output: usize, sums: &Sums) -> Option<bool> {
        let (_, least) = self.0.get(output)?;
        let noisy = sqnr(sums).is_none_or(|db| db < least - FAR_DB);
        Some(noisy && self.times(output, sums)? > FAR_TIMES)
    }
}

/// The mean squared error.
fn mean(sums: &Sums) -> f64 {
    sums.error / sums.count.max(1) as f64
}
