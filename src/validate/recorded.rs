//! The quantized model beside outputs that were recorded elsewhere, on a phone or by another runtime.

use super::metrics::Sums;
use super::three_way::{Distance, Nearness, ThreeWay, Verdict};
use crate::error::{Error, Result};
use crate::tensor::Tensor;
use serde::Serialize;

/// The quantized model and the float one beside recorded outputs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recorded {
    /// The file or folder that holds them.
    pub path: String,
    /// Each output, in the order of the graph.
    pub outputs: Vec<RecordedOutput>,
}

/// Which of the two models a recording is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedOf {
    /// The float model: it is 6 dB or more nearer to that than quantization leads away from it.
    Float,
    /// The quantized model, or something near it.
    Quantized,
}

/// One recorded output. A step is what it is in [`super::RuntimeOutput`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordedOutput {
    /// The output's name.
    pub name: String,
    /// Where a difference comes from.
    pub verdict: Verdict,
    /// The model that was recorded; `None` where it is neither, or both give the same.
    pub of: Option<RecordedOf>,
    /// The step that differences are measured in; 0 where all numbers are.
    pub step: f64,
    /// From the float model to the re-execution of the quantized one.
    pub float_to_own: Distance,
    /// From the recording to the float model.
    pub recorded_to_float: Distance,
    /// From the recording to the re-execution.
    pub recorded_to_own: Distance,
    /// From the recording to the runtime that was asked for, without graph optimizations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded_to_disable_all: Option<Distance>,
    /// From the recording to the same runtime as it runs by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded_to_default: Option<Distance>,
}

/// What one sample shows of one output: from the recording to the float model and to the re-execution, from the float model to
/// the re-execution, and the ends of the latter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beside {
    float: Sums,
    own: Sums,
    lost: Sums,
    ends: (f32, f32),
}

/// The recorded outputs of `sample`, called `names`, in the shapes of `like`: a row may be a whole tensor, and all rows of a
/// sample the same one.
///
/// # Errors
/// When there are others, or their shapes are others, or rows differ that are one tensor.
pub(super) fn fitting(recorded: &[Tensor], like: &[Tensor], names: &[String], sample: &str) -> Result<Vec<Tensor>> {
    if recorded.len() != like.len() {
        let (found, wanted) = (recorded.len(), like.len());
        return Err(Error::other(format!("{sample}: {found} outputs are recorded, the model has {wanted}")));
    }
    let fit = |((tensor, like), name): ((&Tensor, &Tensor), &String)| {
        let (found, wanted) = (tensor.shape(), like.shape());
        let rows = match found {
            _ if found == wanted => 1,
            &[rows, ref row @ ..] if row == wanted && rows > 0 => rows,
            _ => {
                let why = format!("is recorded with shape {found:?} in {sample}, the model gives {wanted:?}");
                return Err(Error::value(name, why));
            }
        };
        let size = tensor.bytes().len() / rows;
        let first = tensor.bytes().slice(..size);
        // A tensor without the axis of the batch stands once for each row of it.
        if size > 0 && tensor.bytes().chunks_exact(size).any(|row| row != first) {
            let why = format!("the {rows} rows recorded in {sample} differ but are one tensor of shape {wanted:?}");
            return Err(Error::value(name, why));
        }
        Tensor::new(tensor.dtype(), wanted.to_vec(), first)
    };
    recorded.iter().zip(like).zip(names).map(fit).collect()
}

impl Beside {
    pub fn of(recorded: &Tensor, float: &Tensor, own: &Tensor) -> Result<Self> {
        let (recorded, float, own) = (recorded.to_f32()?, float.to_f32()?, own.to_f32()?);
        let finite = own.iter().copied().filter(|v| v.is_finite());
        Ok(Self {
            float: Sums::of(&recorded, &float),
            own: Sums::of(&recorded, &own),
            lost: Sums::of(&float, &own),
            ends: finite.fold((0.0, 0.0), |(low, high): (f32, f32), v| (low.min(v), high.max(v))),
        })
    }
}

/// What all samples show of the output `index` called `name`, each with its name; `runtime` is what one makes of the model, if
/// one was asked for, with its own distances from the recording.
pub(super) fn output(
    (index, name): (usize, &str),
    samples: &[(&str, Beside)],
    step: Option<f64>,
    runtime: Option<(&ThreeWay, [Option<Distance>; 2])>,
) -> RecordedOutput {
    let low = samples.iter().map(|(_, seen)| seen.ends.0).fold(0.0, f32::min);
    let high = samples.iter().map(|(_, seen)| seen.ends.1).fold(0.0, f32::max);
    let step = step.unwrap_or((f64::from(high) - f64::from(low)) / 255.0);
    let distance = |sums: fn(&Beside) -> Sums| {
        Distance::of(&samples.iter().map(|(name, seen)| (*name, sums(seen))).collect::<Vec<_>>(), step)
    };
    let (to_float, to_own, lost) = (distance(|s| s.float), distance(|s| s.own), distance(|s| s.lost));
    let near = Nearness::of(&to_own, &lost, step, false);
    let is_float = to_float.identical || Nearness::of(&to_float, &lost, 0.0, false) == Nearness::Rounding;
    let fused = || {
        let (three_way, [_, default]) = runtime.as_ref()?;
        let seen = three_way.outputs.get(index)?;
        let at_default = Nearness::of(default.as_ref()?, &lost, step, false) != Nearness::Apart;
        Some(at_default && seen.verdict == Verdict::Fusion)
    };
    let (verdict, of) = match near {
        _ if is_float && !to_own.identical => (Verdict::Quantization, Some(RecordedOf::Float)),
        Nearness::Step => (Verdict::Quantization, Some(RecordedOf::Quantized)),
        Nearness::Rounding => (Verdict::Rounding, Some(RecordedOf::Quantized)),
        Nearness::Apart if fused() == Some(true) => (Verdict::Fusion, Some(RecordedOf::Quantized)),
        Nearness::Apart => (Verdict::Disagreement, None),
    };
    // Where nothing is lost, it may be of either.
    let of = of.filter(|_| !lost.identical);
    let [recorded_to_disable_all, recorded_to_default] = runtime.map_or([None, None], |(_, distances)| distances);
    RecordedOutput {
        name: name.to_owned(),
        verdict,
        of,
        step,
        float_to_own: lost,
        recorded_to_float: to_float,
        recorded_to_own: to_own,
        recorded_to_disable_all,
        recorded_to_default,
    }
}

#[cfg(test)]
mod tests;
