//! Inputs and outputs that are to be integers.

use super::{Known, Plan};
use crate::error::{Error, Result};
use crate::ir::{Graph, ValueId};
use crate::policy::{ActivationSettings, Calibrator, IoType, Matched, OneOrEach, Settings};
use crate::quant::GridType;
use crate::tensor::DataType;

/// An input or output of the model that is an integer tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntegerIo {
    /// The value.
    pub value: ValueId,
    /// Its type.
    pub dtype: GridType,
    /// Which of the graph's outputs it is; `None` for an input.
    pub output: Option<usize>,
}

/// The inputs and outputs that the policy wants as integers, whose types `matched` then has.
///
/// # Errors
/// When it names one that there is not, or that cannot be integers.
pub(super) fn integer_io(
    graph: &Graph,
    settings: &Settings,
    known: &Known,
    matched: &mut Matched,
) -> Result<Vec<IntegerIo>> {
    let mut all = Vec::new();
    let sides = [("io.inputs", "input", &settings.io.inputs), ("io.outputs", "output", &settings.io.outputs)];
    for (key, what, side) in sides {
        let Some(side) = side else { continue };
        let input = what == "input";
        let values: Vec<ValueId> = if input { graph.inputs().collect() } else { graph.outputs().collect() };
        check_names(graph, settings, (key, what), side, &values)?;
        for (index, value) in values.into_iter().enumerate() {
            let name = graph.value(value).name();
            let Some(dtype) = side.of(name).and_then(IoType::integer) else { continue };
            let named = matches!(side, OneOrEach::Each(_));
            match no_integers(graph, value, input) {
                None => all.push(IntegerIo { value, dtype, output: (!input).then_some(index) }),
                // One type for all is one for those that can have it.
                Some(why) if named => {
                    let error = Error::value(name, format!("cannot be {dtype}: {why}"));
                    return Err(settings.blame_name(key, name, error));
                }
                Some(_) => {}
            }
        }
    }
    let asked = |side: &Option<OneOrEach<IoType>>| {
        side.as_ref().is_some_and(|side| side.values().into_iter().any(|ty| ty.integer().is_some()))
    };
    for (key, what, side) in sides {
        // Where both sides were asked for, one may be enough.
        if all.is_empty() && asked(side) {
            let why = format!("{key} asks for integers, and the model has no {what} that could be: none is float32");
            return Err(settings.blame_key(key, Error::other(format!("{why}; remove it"))));
        }
    }
    for one in &all {
        let of_rule = &mut matched.values[one.value.index()];
        if !of_rule.quantize {
            let why = "is to be an integer input or output, but a rule of the policy keeps it float";
            let error = Error::value(graph.value(one.value).name(), why);
            return Err(settings.blame(of_rule.decided_on, error));
        }
        of_rule.activations.scheme.dtype = one.dtype;
    }
    state_levels(graph, settings, known, matched, &all)?;
    Ok(all)
}

/// Whether each name of a side is one of `values`.
fn check_names(
    graph: &Graph,
    settings: &Settings,
    (key, what): (&str, &str),
    side: &OneOrEach<IoType>,
    values: &[ValueId],
) -> Result<()> {
    let names: Vec<&str> = values.iter().map(|&v| graph.value(v).name()).collect();
    let Some(wrong) = side.names().find(|name| !names.contains(name)) else { return Ok(()) };
    let why = format!("{key} names {wrong:?}, which is no {what} of the model; there are {names:?}");
    Err(settings.blame_name(key, wrong, Error::other(why)))
}

/// Why a value cannot be handed over as integers.
pub fn no_integers(graph: &Graph, value: ValueId, input: bool) -> Option<&'static str> {
    let ty = graph.known_type(value);
    if ty.is_some_and(|ty| ty.dtype != DataType::Float32) {
        return Some("it is not float32 in the float model");
    }
    let found = graph.value(value);
    if found.is_captured() {
        return Some("the body of an If, Loop or Scan reads it");
    }
    if input && found.is_output() {
        return Some("it is an output, too");
    }
    (!input && found.producer().is_none()).then_some("no node makes it")
}

/// States the grid of uint8 inputs on which each integer is the level of a picture.
fn state_levels(
    graph: &Graph,
    settings: &Settings,
    known: &Known,
    matched: &mut Matched,
    integer: &[IntegerIo],
) -> Result<()> {
    for one in integer.iter().filter(|one| one.output.is_none() && one.dtype == GridType::Uint8) {
        let name = graph.value(one.value).name();
        let Some(&grid) = known.levels.get(name) else { continue };
        let value = &mut matched.values[one.value.index()];
        if value.range.is_some() || value.grid.is_some() {
            let why = "has a range or scale by a rule of the policy, and io.fold_normalization gives it another";
            return Err(settings.blame(value.stated_on, Error::value(name, why)));
        }
        value.grid = Some(grid);
    }
    Ok(())
}

impl Plan {
    /// Gives outputs on a shared grid of another type a grid of their own type, too. The range of outputs is all that was
    /// seen and some headroom, unless a rule says otherwise: what is cut off are the largest scores, by which a classifier
    /// decides.
    pub(super) fn settle_outputs(&mut self, matched: &Matched) {
        for one in self.io.iter().filter(|one| one.output.is_some()) {
            let root = self.root(one.value);
            if let Some(&index) = self.index.get(&root).filter(|_| !matched.values[root.index()].calibrator_stated) {
                self.values[index].settings.calibrator = Calibrator::MinMax;
                self.values[index].headroom = true;
            }
            let own = self.value(root).map(|value| value.settings.scheme.dtype);
            let Some(&index) = self.index.get(&one.value) else { continue };
            let types = &mut self.values[index].also;
            if own != Some(one.dtype) && types.iter().all(|ty| ty.scheme.dtype != one.dtype) {
                let stated = &matched.values[one.value.index()];
                let calibrator =
                    if stated.calibrator_stated { stated.activations.calibrator } else { Calibrator::MinMax };
                types.push(ActivationSettings { calibrator, ..stated.activations });
            }
        }
    }
}
