//! The models that are run to look at layers, and what they show of a sample.

use super::super::border::Border;
use super::super::twin;
use super::cut::{constants_on_grids, cut, on_grids, outputs_in_float, shaken};
use super::error::LayerSums;
use super::names::follow_clamps;
use super::places::{Place, places};
use crate::dequantize::{self, Found};
use crate::error::{Error, Result};
use crate::exec::{Executor, Session, Types};
use crate::file;
use crate::ir::{Model, NodeId, ValueId};
use crate::quant::HalfType;
use crate::tensor::{DataType, Tensor, TensorType};
use std::collections::HashMap;

/// The values of one run, by place.
type Values = Vec<Option<Tensor>>;

/// A model, and the places of the values that are observed of it.
struct Shown<'a> {
    session: Session<'a>,
    at: Vec<usize>,
}

impl Shown<'_> {
    /// What it shows of a sample, for each of `count` places.
    fn values(&self, inputs: &[Tensor], count: usize) -> Result<Values> {
        let mut values: Values = vec![None; count];
        let mut see = |k: usize, shape: &[usize], numbers: &[f32]| {
            values[self.at[k]] = Some(Tensor::from_f32(shape.to_vec(), numbers));
        };
        self.session.run(inputs, &mut see)?;
        Ok(values)
    }
}

/// A quantized model turned back to float, with its constants as it has them and the grids that its activations were on.
pub struct Restored {
    /// The float model.
    pub model: Model,
    /// What it had quantized.
    pub found: Found,
    /// The nodes that cut off what lies beyond the grids of outputs.
    pub(super) cuts: Vec<NodeId>,
}

impl Restored {
    /// That of `written`.
    ///
    /// # Errors
    /// When it cannot be turned back.
    pub fn of(written: &Model) -> Result<Self> {
        let mut model = written.clone();
        let (_, mut found) = dequantize::take_apart(&mut model).map_err(|e| {
            Error::other(format!("layers are looked at in the quantized model turned back to float, which fails: {e}"))
        })?;
        let mut model = Model::from_proto(model.to_proto()?)?;
        let cuts = outputs_in_float(&mut model, &mut found)?;
        constants_on_grids(&mut model, &mut found)?;
        Ok(Self { model, found, cuts })
    }
}

/// What is run for each sample.
pub(super) struct Runs<'a> {
    places: Vec<Place>,
    /// The original's inputs that are places, by their index.
    inputs: Vec<(usize, usize)>,
    border: Border,
    halves: Option<HalfType>,
    original: Shown<'a>,
    /// The places that layers by themselves are fed.
    fed: Vec<usize>,
    /// Each layer of the quantized model by itself, and the same with shaken weights.
    alone: Shown<'a>,
    shaken: Shown<'a>,
    /// The quantized model from end to end.
    whole: Shown<'a>,
}

impl<'a> Runs<'a> {
    /// Makes all models ready for inputs like the `first` ones.
    ///
    /// # Errors
    /// When the quantized model cannot be turned back, or one of them cannot be made.
    pub fn new(float: &Model, quantized: &Model, executor: &'a dyn Executor, first: &[Tensor]) -> Result<Self> {
        let twin = |model: &Model| Ok::<_, Error>(twin::in_float32(model)?.map(|twin| twin.model));
        let (float_twin, quantized_twin) = (twin(float)?, twin(quantized)?);
        let (original, written) = (float_twin.as_ref().unwrap_or(float), quantized_twin.as_ref().unwrap_or(quantized));
        let Restored { model: mut restored, mut found, cuts } = Restored::of(written)?;
        follow_clamps(&original.graph, &mut restored.graph, &mut found);
        let first = first.iter().map(Tensor::widened).collect::<Result<Vec<_>>>()?;
        let types = types(original, &restored, executor, &first)?;
        let places = places(original, (&restored, &cuts), &types, &found.grids)?;

        let made = |is_inner: bool| {
            let of = |&k: &usize| !places[k].node.is_empty() && places[k].is_inner == is_inner;
            (0..places.len()).filter(of).collect::<Vec<usize>>()
        };
        let (made, inner) = (made(false), made(true));
        let names: Vec<String> = made.iter().map(|&k| places[k].name.clone()).collect();
        let shown = |model: &Model, names: &[String], at: &[usize]| {
            let model = twin::runnable(model, executor)?;
            Ok::<_, Error>(Shown { session: Session::observing(executor, &model, names.to_vec())?, at: at.to_vec() })
        };
        let (alone, _) = cut(&restored, names.iter().map(|name| (name.as_str(), DataType::Float32)));
        let shaken = shaken(&alone, &found.grids)?;
        let (whole, renamed) = match found.dynamic.is_empty() {
            true => on_grids(&restored, &found)?,
            // Grids that are found while it runs are nowhere but in the model itself.
            false => {
                let mut whole = written.clone();
                outputs_in_float(&mut whole, &mut Found::default())?;
                (whole, HashMap::new())
            }
        };
        let alone_at = [made.as_slice(), &inner].concat();
        let alone_names: Vec<String> = alone_at.iter().map(|&k| places[k].name.clone()).collect();
        let computed = |name: &String| {
            let made = |&v: &ValueId| whole.graph.value(v).producer().is_some();
            let float = |v| whole.graph.element_type(v).is_none_or(DataType::is_float);
            whole.graph.find(name).filter(made).is_some_and(float)
        };
        let (at, ends): (Vec<usize>, Vec<String>) = places
            .iter()
            .enumerate()
            .filter(|(_, place)| !place.is_inner)
            .map(|(k, place)| (k, renamed.get(&place.name).unwrap_or(&place.name).clone()))
            .filter(|(_, name)| computed(name))
            .unzip();
        let place_of = |name: &str| places.iter().position(|place| place.name == name);
        let inputs = original.graph.inputs().enumerate();
        Ok(Self {
            inputs: inputs.filter_map(|(i, v)| Some((i, place_of(original.graph.value(v).name())?))).collect(),
            border: Border::of(quantized)?,
            halves: quantized_twin.as_ref().map(|_| coarsest(quantized)),
            original: shown(original, &names, &made)?,
            alone: shown(&alone, &alone_names, &alone_at)?,
            fed: made.clone(),
            shaken: shown(&shaken, &names, &made)?,
            whole: shown(&whole, &ends, &at)?,
            places,
        })
    }

    /// The values that both models have.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The type of 16 bits that nodes of the quantized model compute in, the coarser one if there are both.
    pub fn halves(&self) -> Option<HalfType> {
        self.halves
    }

    /// What a sample shows of each place. `whole` is what the quantized model as a whole is fed, which a body is by what stands
    /// around it; `None` where it does not come that far.
    ///
    /// # Errors
    /// When the engine cannot run one of the models.
    pub fn look(&self, inputs: &[Tensor], whole: Option<&[Tensor]>) -> Result<Vec<LayerSums>> {
        let count = self.places.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        let widened = |inputs: &[Tensor]| inputs.iter().map(Tensor::widened).collect::<Result<Vec<_>>>();
        let inputs = &widened(inputs)?;
        let mut reference = self.original.values(inputs, count)?;
        for &(input, k) in &self.inputs {
            reference[k] = Some(inputs[input].clone());
        }
        let quantized = self.border.quantize(inputs)?;
        let mut fed = quantized.clone();
        for &k in &self.fed {
            let missing = || Error::value(&self.places[k].name, "was not computed in the original model");
            fed.push(reference[k].clone().ok_or_else(missing)?);
        }
        let (alone, shaken) = (self.alone.values(&fed, count)?, self.shaken.values(&fed, count)?);
        let whole = match whole {
            Some(whole) => self.whole.values(&self.border.quantize(&widened(whole)?)?, count)?,
            None => vec![None; count],
        };
        let sums = self.places.iter().enumerate().map(|(k, place)| match place.is_inner {
            true => LayerSums::of(place, alone[k].as_ref(), [&None, &None, &None]),
            false => LayerSums::of(place, reference[k].as_ref(), [&alone[k], &shaken[k], &whole[k]]),
        });
        sums.collect()
    }
}

/// The types of the values of `original` for inputs like the `first` ones. Of what lies behind operators that tell nothing, a Loop
/// say, they are those that a run shows.
fn types(original: &Model, restored: &Model, executor: &dyn Executor, first: &[Tensor]) -> Result<Types> {
    let concrete =
        |tensor: &Tensor| TensorType { dtype: tensor.dtype(), dims: tensor.shape().iter().map(|&d| Some(d)).collect() };
    let inputs: Vec<TensorType> = first.iter().map(concrete).collect();
    let mut types = executor.types(&file::outline(original)?, &inputs)?;
    let graph = &original.graph;
    let unknown = graph.value_ids().filter(|&value| {
        let name = graph.value(value).name();
        graph.value(value).producer().is_some() && restored.graph.find(name).is_some() && !types.contains_key(name)
    });
    let unknown: Vec<ValueId> = unknown.collect();
    if unknown.is_empty() {
        return Ok(types);
    }
    let run = |model: &Model| {
        let model = twin::runnable(model, executor)?;
        Session::new(executor, &model, vec![])?.run(first, &mut |_, _, _| {})
    };
    let mut shown = original.clone();
    shown.graph.conceal(0);
    unknown.iter().for_each(|&value| shown.graph.expose(value));
    let tensors = match run(&shown) {
        Ok(tensors) => tensors,
        // One of them may be no tensor. Where the model itself does not run, nothing behind it would be looked at.
        Err(_) => run(original).map(|_| Vec::new())?,
    };
    for (value, tensor) in unknown.into_iter().zip(tensors) {
        types.insert(graph.value(value).name().to_owned(), concrete(&tensor));
    }
    Ok(types)
}

/// The coarsest type of 16 bits that a model has.
fn coarsest(model: &Model) -> HalfType {
    let graph = &model.graph;
    let coarse = graph.value_ids().any(|value| graph.element_type(value) == Some(HalfType::Bfloat16.dtype()));
    if coarse { HalfType::Bfloat16 } else { HalfType::Float16 }
}
