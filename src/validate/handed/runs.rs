//! The models that are run for each sample.

use super::super::border::Border;
use super::super::layers::cut;
use super::super::three_way::Runtime;
use super::super::twin;
use super::places::Place;
use super::verdict::Apart;
use crate::error::{Error, Result};
use crate::exec::{Executor, Session};
use crate::ir::{Graph, Model, NewNode, ValueId};
use crate::quant::{Float8, HalfType};
use crate::tensor::{DataType, Tensor};

/// What one sample shows of each place, or why nothing: of the whole model and of its layers alone, each without
/// optimizations and by default.
pub type Seen = [std::result::Result<Vec<Apart>, String>; 4];

/// The integers of one run by place, as float32, which holds them all.
type Values = Vec<Option<Tensor>>;

/// What is run for each sample.
pub struct Runs<'a> {
    places: Vec<Place>,
    border: Border,
    /// The type of 16 bits of each input, where it has one.
    halves: Vec<Option<HalfType>>,
    /// The model, or what stands in float32 for one with numbers of 16 bits.
    own: Session<'a>,
    /// The whole model and its layers alone, each at both levels.
    others: [Session<'a>; 4],
}

impl<'a> Runs<'a> {
    /// Makes all models ready.
    ///
    /// # Errors
    /// When the model is too large for one message.
    pub fn new(
        quantized: &Model,
        places: Vec<Place>,
        (own, runtime): (&'a dyn Executor, &Runtime<'a>),
    ) -> Result<Self> {
        let names: Vec<String> = places.iter().map(|place| place.integers.clone()).collect();
        let alone = alone(quantized, &places)?;
        // What comes behind the last integers decides whether the whole model is loaded; no layer needs it.
        let at = |(model, shown): &(Model, Vec<String>), level| Session::new(level, model, shown.clone());
        let of = |(model, shown): &(Model, Vec<String>), level| Session::observing(level, model, shown.clone());
        let whole = shown(quantized.clone(), &places)?;
        let (plain, default) = (runtime.disable_all, runtime.default);
        let twin = twin::in_float32(quantized)?;
        let executed = twin.as_ref().map_or(quantized, |twin| &twin.model);
        let kind = |value| quantized.graph.element_type(value).and_then(HalfType::of);
        Ok(Self {
            border: Border::of(quantized)?,
            halves: quantized.graph.inputs().map(kind).collect(),
            own: Session::observing(own, executed, names)?,
            others: [at(&whole, plain)?, at(&whole, default)?, of(&alone, plain)?, of(&alone, default)?],
            places,
        })
    }

    /// The values that are compared.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// What a sample shows.
    ///
    /// # Errors
    /// When the re-execution cannot run the model.
    pub fn look(&self, inputs: &[Tensor]) -> Result<Seen> {
        let inputs = self.border.quantize(inputs)?;
        let halves = |(tensor, kind): (&Tensor, &Option<HalfType>)| match kind {
            Some(kind) if tensor.dtype() == DataType::Float32 => kind.tensor(tensor),
            _ => Ok(tensor.clone()),
        };
        let inputs = inputs.iter().zip(&self.halves).map(halves).collect::<Result<Vec<_>>>()?;
        let widened = inputs.iter().map(Tensor::widened).collect::<Result<Vec<_>>>()?;
        let own = self.values(&self.own, &widened)?;
        let fed = |(place, integers): (&Place, &Option<Tensor>)| match integers {
            Some(integers) => as_fed(integers, place.dtype),
            None => Err(Error::value(&place.integers, "was not computed by the re-execution")),
        };
        let mut with_integers = inputs.clone();
        for pair in self.places.iter().zip(&own) {
            with_integers.push(fed(pair)?);
        }
        let run = |index: usize| {
            let inputs = if index < 2 { &inputs } else { &with_integers };
            match self.values(&self.others[index], inputs) {
                Ok(values) => self.apart(&own, &values),
                Err(Error::Engine(why)) => Ok(Err(why)),
                Err(other) => Err(other),
            }
        };
        Ok([run(0)?, run(1)?, run(2)?, run(3)?])
    }

    fn values(&self, session: &Session<'_>, inputs: &[Tensor]) -> Result<Values> {
        let mut values: Values = vec![None; self.places.len()];
        let mut see = |k: usize, shape: &[usize], numbers: &[f32]| {
            values[k] = Some(Tensor::from_f32(shape.to_vec(), numbers));
        };
        session.run(inputs, &mut see)?;
        Ok(values)
    }

    /// How far each place is off, or that shapes are.
    fn apart(&self, own: &Values, found: &Values) -> Result<std::result::Result<Vec<Apart>, String>> {
        let mut all = Vec::with_capacity(self.places.len());
        for ((place, own), found) in self.places.iter().zip(own).zip(found) {
            let (Some(own), Some(found)) = (own, found) else {
                return Ok(Err(format!("it does not compute {}", place.integers)));
            };
            if own.shape() != found.shape() {
                let (name, shapes) = (&place.integers, (own.shape(), found.shape()));
                return Ok(Err(format!("it gives {name} the shape {:?} instead of {:?}", shapes.1, shapes.0)));
            }
            let on_grid = |number: f32| on_grid(number, place.dtype);
            let (own, found) = (own.to_f32()?, found.to_f32()?);
            all.push(Apart::of(own.iter().zip(found.iter()).map(|(&a, &b)| (on_grid(a), on_grid(b)))));
        }
        Ok(Ok(all))
    }
}

/// Which number of the grid it is, counted in the order of their size.
pub fn on_grid(number: f32, dtype: DataType) -> Option<i32> {
    match Float8::of(dtype) {
        None => Some(number as i32),
        Some(_) if number.is_nan() => None,
        Some(kind) => {
            let magnitude = i32::from(kind.encode(number.abs()));
            Some(if number < 0.0 { -magnitude } else { magnitude })
        }
    }
}

/// What stands for integers that are observed as float32: themselves, but for types that the binding does not hand over.
fn as_fed(integers: &Tensor, dtype: DataType) -> Result<Tensor> {
    let numbers = integers.to_f32()?;
    let bytes: Vec<u8> = match dtype {
        DataType::Uint8 => numbers.iter().map(|&v| v as u8).collect(),
        DataType::Int8 => numbers.iter().map(|&v| (v as i8) as u8).collect(),
        DataType::Uint16 => numbers.iter().flat_map(|&v| (v as u16).to_le_bytes()).collect(),
        DataType::Int16 => numbers.iter().flat_map(|&v| (v as i16).to_le_bytes()).collect(),
        _ => return Ok(integers.clone()),
    };
    Tensor::new(dtype, integers.shape().to_vec(), bytes.into())
}

/// The type that places of the type `dtype` are handed over in.
fn handed_as(dtype: DataType) -> DataType {
    if Float8::of(dtype).is_some() { DataType::Float32 } else { dtype }
}

fn cast(graph: &mut Graph, from: ValueId, to: DataType) -> ValueId {
    let name = format!("{}_as_{to}", graph.value(from).name());
    let ints = vec![("to", i64::from(to.onnx()))];
    let new = NewNode { op_type: "Cast", name: &name, inputs: vec![Some(from)], ints };
    let (_, made) = graph.add_node(new, &name);
    made
}

/// The model, and the names under which it shows its places.
fn shown(mut model: Model, places: &[Place]) -> Result<(Model, Vec<String>)> {
    let graph = &mut model.graph;
    let mut names = Vec::with_capacity(places.len());
    for place in places {
        let found = graph.find(&place.integers);
        let value = found.ok_or_else(|| Error::value(&place.integers, "is not in the model"))?;
        let to = handed_as(place.dtype);
        let value = if to == place.dtype { value } else { cast(graph, value, to) };
        names.push(graph.value(value).name().to_owned());
    }
    Ok((model, names))
}

/// The same cut at the places: each is fed to what reads it as one more input.
fn alone(quantized: &Model, places: &[Place]) -> Result<(Model, Vec<String>)> {
    let ends = places.iter().map(|place| (place.integers.as_str(), handed_as(place.dtype)));
    let (mut model, fed) = cut(quantized, ends);
    for (place, fed) in places.iter().zip(fed) {
        let graph = &mut model.graph;
        if handed_as(place.dtype) != place.dtype {
            let readers: Vec<_> = graph.value(fed).readers().collect();
            let narrow = cast(graph, fed, place.dtype);
            readers.into_iter().for_each(|(node, slot)| graph.set_input(node, slot, Some(narrow)));
        }
    }
    shown(model, places)
}
