//! Clamps that had vanished into grids: a Relu or Clip need not be computed where the integers behind it end at its bounds,
//! so quantizers take it out. Without the integers it has to be there again.

use super::{Grid, Walk, stored};
use crate::error::Result;
use crate::ir::{Graph, Model, NewNode, NodeId, ValueId};
use crate::qoperators;
use crate::quant::HalfType;
use crate::tensor::{DataType, Tensor};
use std::collections::{BTreeMap, HashMap};

/// The metadata entry that says which clamps vanished: JSON, the bounds by the name of the grid's scale.
pub const CLAMPS: &str = "tare.clamps";

/// Lower and upper bound.
pub(super) type Bounds = (f32, f32);

/// The bound of ReLU6, the one Clip that is common behind layers.
const SIX: f32 = 6.0;

/// The entry's text. Bounds without an end are null.
pub fn clamps_as_text(clamps: &BTreeMap<String, (f32, f32)>) -> String {
    let end = |v: f32| v.is_finite().then_some(v);
    let all: BTreeMap<_, _> = clamps.iter().map(|(name, &(low, high))| (name, [end(low), end(high)])).collect();
    serde_json::to_string(&all).unwrap_or_default()
}

/// What is known of the clamps that vanished.
#[derive(Debug)]
pub(super) enum Clamps {
    /// These, by the name of the scale.
    Told(HashMap<String, Bounds>),
    /// Nothing: the model was quantized by another program.
    Unknown,
}

impl Clamps {
    pub fn of(model: &Model) -> Self {
        let told = model.metadata(CLAMPS).and_then(|text| serde_json::from_str(text).ok());
        let Some(all): Option<HashMap<String, [Option<f32>; 2]>> = told else { return Self::Unknown };
        let bounds = |[low, high]: [Option<f32>; 2]| (low.unwrap_or(f32::NEG_INFINITY), high.unwrap_or(f32::INFINITY));
        Self::Told(all.into_iter().map(|(name, ends)| (name, bounds(ends))).collect())
    }

    /// Whether a scale is named.
    fn tells_of(&self, scale: &str) -> bool {
        matches!(self, Self::Told(clamps) if clamps.contains_key(scale))
    }
}

/// What the scale of a value's own grid is called.
fn own_scale(value: &str) -> String {
    format!("{value}_scale")
}

impl Walk<'_> {
    /// `float` within the bounds of the clamp that vanished into `grid`, if one did.
    pub(super) fn clamped(&mut self, graph: &mut Graph, float: ValueId, grid: Grid) -> Result<ValueId> {
        let Some((low, high)) = self.vanished(graph, float, grid)? else { return Ok(float) };
        let known = self.bounds.get(&float).copied().unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
        if low <= known.0 && known.1 <= high {
            return Ok(float);
        }
        let name = graph.value(float).name().to_owned();
        let relu = low == 0.0 && high == f32::INFINITY;
        let op_type = if relu { "Relu" } else { "Clip" };
        let mut inputs = vec![Some(float)];
        if !relu && self.opset >= 11 {
            // It reads numbers of the type of their scale.
            let kind = graph.element_type(grid.scale).and_then(HalfType::of);
            let mut bound = |end: &str, v: f32| {
                let constant = Tensor::from_f32(vec![], &[v]);
                let constant = kind.and_then(|kind| kind.tensor(&constant).ok()).unwrap_or(constant);
                v.is_finite().then(|| graph.add_initializer(&format!("{name}_{end}"), &constant))
            };
            inputs.extend([bound("min", low), bound("max", high)]);
            while inputs.last() == Some(&None) {
                inputs.pop();
            }
        }
        // What it made keeps the name that the grid goes by.
        let own = own_scale(&name);
        let of_grid = graph.value(grid.scale).name() == own || self.clamps.tells_of(&own);
        let made = if of_grid && !graph.value(float).goes_by_name() {
            graph.rename(float, &format!("{name}_{op_type}_Input"));
            name.clone()
        } else {
            format!("{name}_{op_type}_Output")
        };
        let new = NewNode { op_type, name: &format!("{name}_{op_type}"), inputs, ints: vec![] };
        let (id, output) = graph.add_node(new, &made);
        if !relu && self.opset < 11 {
            let ends = [("min", low), ("max", high)];
            ends.into_iter().filter(|end| end.1.is_finite()).for_each(|(end, v)| graph.set_float(id, end, v));
        }
        self.bounds.insert(output, (low.max(known.0), high.min(known.1)));
        Ok(output)
    }

    fn vanished(&self, graph: &Graph, float: ValueId, grid: Grid) -> Result<Option<Bounds>> {
        if graph.value(float).producer().is_none() {
            return Ok(None);
        }
        if let Clamps::Told(clamps) = self.clamps {
            // Another tool may have given the scale a name of its own.
            let own = || clamps.get(&own_scale(graph.value(float).name()));
            return Ok(clamps.get(graph.value(grid.scale).name()).or_else(own).copied());
        }
        // A grid that begins at zero holds no negative number: behind a layer a Relu stood there, or none was ever seen.
        let (Some(zero), Some(scale)) = (grid.zero_point, graph.constant(grid.scale)?) else { return Ok(None) };
        let zeros = stored::zero_points(graph, grid)?.unwrap_or_default();
        let (lowest, highest) = match graph.known_type(zero).map(|ty| ty.dtype) {
            Some(DataType::Uint8) => (0, 255),
            Some(DataType::Int8) => (-128, 127),
            Some(DataType::Uint16) => (0, 65535),
            Some(DataType::Int16) => (-32768, 32767),
            _ => return Ok(None),
        };
        let (&[zero], &[scale]) = (&zeros[..], &*scale.to_f32()?) else { return Ok(None) };
        if zero != lowest {
            return Ok(None);
        }
        let top = (highest - lowest) as f32 * scale;
        let six = (top - SIX).abs() <= scale * 0.5;
        Ok(Some((0.0, if six { SIX } else { f32::INFINITY })))
    }

    /// Notes the bounds that what `id` makes keeps to.
    pub(super) fn note_bounds(&mut self, graph: &Graph, id: NodeId) -> Result<()> {
        let node = graph.node(id);
        if !node.domain().is_empty() {
            return Ok(());
        }
        let own = |slot: usize| node.input(slot).and_then(|v| self.bounds.get(&v).copied());
        let constant = |slot: usize, otherwise: f32| match node.input(slot) {
            Some(value) => Ok(graph.constant(value)?.and_then(|t| t.first_f32()).unwrap_or(otherwise)),
            None => crate::error::Result::Ok(otherwise),
        };
        let all = || {
            let read = |v: &Option<ValueId>| self.bounds.get(&(*v)?).copied();
            let all: Option<Vec<Bounds>> = node.inputs().iter().map(read).collect();
            all.filter(|all| !all.is_empty())
        };
        let bounds = match node.op_type() {
            "Relu" => Some((0.0, own(0).map_or(f32::INFINITY, |b| b.1))),
            "Clip" => {
                let attribute = |name: &str, otherwise: f32| node.attributes().float(name).unwrap_or(otherwise);
                let low = constant(1, attribute("min", f32::NEG_INFINITY))?;
                Some((low, constant(2, attribute("max", f32::INFINITY))?))
            }
            "Sigmoid" | "HardSigmoid" | "Softmax" => Some((0.0, 1.0)),
            "Abs" | "Exp" | "Sqrt" | "Softplus" => Some((0.0, f32::INFINITY)),
            "AveragePool" | "GlobalAveragePool" | "GlobalMaxPool" | "Dropout" | "Identity" | "ReduceMean" => own(0),
            "Pad" => {
                let padding = constant(2, 0.0)?;
                own(0).map(|(low, high)| (low.min(padding), high.max(padding)))
            }
            op_type if qoperators::moves_integers(op_type) => own(0),
            "Concat" => all().map(|all| {
                all.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |b, one| (b.0.min(one.0), b.1.max(one.1)))
            }),
            "Add" | "Mul" => all().filter(|all| all.iter().all(|b| b.0 >= 0.0)).map(|_| (0.0, f32::INFINITY)),
            _ => None,
        };
        if let Some(bounds) = bounds {
            self.bounds.extend(node.outputs().iter().flatten().map(|&output| (output, bounds)));
        }
        Ok(())
    }
}
