//! Operators on quantized tensors become the float operators that they stand for.

use super::{Grid, Real, Walk, float_name, stored};
use crate::error::Result;
use crate::ir::{Graph, NewNode, NodeId, ValueId};
use crate::qoperators::{self, Channels, Form, Part};
use crate::tensor::Tensor;

impl Walk<'_> {
    pub(super) fn form(&mut self, graph: &mut Graph, id: NodeId, form: &Form) -> Result<()> {
        let attributes = graph.node(id).attributes();
        if attributes.int("channels_last").unwrap_or(0) != 0 {
            return Err(graph.node_error(id, "its channels come last, which no float operator knows"));
        }
        // Opset 13 gave another meaning to the axis.
        if attributes.int("opset").is_some_and(|opset| (opset < 13) != (self.opset < 13)) {
            return Err(graph.node_error(id, "it counts its axis as another operator set does"));
        }
        let transposed = attributes.int("transB").unwrap_or(0) != 0;
        let own: Vec<_> = attributes.names().filter(|n| qoperators::is_own_attribute(n)).map(str::to_owned).collect();
        let parts = form.inputs_of(graph.node(id).inputs().len());
        let given = |graph: &Graph, wanted: Part| {
            parts.iter().position(|&part| part == wanted).and_then(|slot| graph.node(id).input(slot))
        };
        let grid_of = |graph: &Graph, slot: usize| {
            let scale = given(graph, Part::Scale(slot))?;
            Some(Grid { scale, zero_point: given(graph, Part::ZeroPoint(slot)) })
        };
        let (mut inputs, mut addend) = (Vec::new(), None);
        for &part in &parts {
            let Some(read) = given(graph, part) else { continue };
            let (slot, float) = match part {
                Part::Integers(slot) => {
                    let grid = grid_of(graph, slot).ok_or_else(|| graph.node_error(id, "a scale is missing"))?;
                    (slot, self.float(graph, id, read, grid, axis(form, slot, transposed))?)
                }
                Part::Bias(slot) => (slot, self.bias(graph, id, read, [0, 1].map(|slot| grid_of(graph, slot)))?),
                Part::Plain(slot) => (slot, read),
                Part::Addend => {
                    addend = Some(read);
                    continue;
                }
                _ => continue,
            };
            if inputs.len() <= slot {
                inputs.resize(slot + 1, None);
            }
            inputs[slot] = Some(float);
        }
        let scale = given(graph, Part::OutputScale);
        let grid = scale.map(|scale| Grid { scale, zero_point: given(graph, Part::OutputZeroPoint) });
        become_float(graph, id, form.float, &inputs);
        own.iter().for_each(|name| graph.remove_attribute(id, name));
        self.done.operators += 1;
        match grid {
            Some(grid) => self.output(graph, id, grid),
            None => {
                add_behind(graph, id, addend);
                Ok(())
            }
        }
    }

    /// What `id` made as integers on `grid` it makes as floats now.
    fn output(&mut self, graph: &mut Graph, id: NodeId, grid: Grid) -> Result<()> {
        let Some(integers) = graph.node(id).output(0) else { return Ok(()) };
        let given = graph.value(integers).is_output();
        if graph.value(integers).is_captured() || given && self.inside {
            return Err(graph.node_error(id, "its integers are an output of a body, or read by one"));
        }
        let name = float_name(graph, integers);
        let float = graph.split_output(id, 0, &name);
        self.note_bounds(graph, id)?;
        let float = self.clamped(graph, float, grid)?;
        if given {
            give_integers(graph, float, grid, integers);
        }
        self.real.insert(integers, Real { float, grid });
        self.note_activation(graph, float, grid, integers)
    }

    /// A stored bias as float32: it is in steps of the product of both scales.
    fn bias(&mut self, graph: &mut Graph, id: NodeId, read: ValueId, grids: [Option<Grid>; 2]) -> Result<ValueId> {
        let scales = grids.map(|grid| grid.map(|grid| graph.constant(grid.scale)).transpose().map(Option::flatten));
        let [input, weight] = scales;
        let (Some(input), Some(weight)) = (input?, weight?) else {
            return Err(graph.node_error(id, "the scales of its bias are computed while the model runs"));
        };
        let Some(integers) = graph.constant(read)? else {
            return Err(graph.node_error(id, "its bias is computed while the model runs"));
        };
        let input = input.first_f32().unwrap_or(0.0);
        let products: Vec<f32> = weight.to_f32()?.iter().map(|scale| input * scale).collect();
        let axis = integers.shape().len() as i64 - 1;
        // The groups of a transposed layer share their scales.
        let channels = integers.shape().last().copied().unwrap_or(1);
        let products: Vec<_> = if products.len() > 1 && channels % products.len() == 0 {
            products.iter().cycle().take(channels).copied().collect()
        } else {
            products
        };
        let scale = Tensor::from_f32(if products.len() == 1 { vec![] } else { vec![products.len()] }, &products);
        let numbers = stored::of(&integers, &scale, &[], axis, 0).map_err(|why| graph.node_error(id, why))?;
        self.done.stored += 1;
        let name = float_name(graph, read);
        let made = graph.add_initializer(&name, &numbers);
        self.note_bias(made, &integers, scale.to_f32()?.into_owned())?;
        Ok(made)
    }
}

/// The caller gets `integers`: a QuantizeLinear makes them of `float`, which stays.
fn give_integers(graph: &mut Graph, float: ValueId, grid: Grid, integers: ValueId) {
    let name = format!("{}_QuantizeLinear", graph.value(integers).name());
    let inputs = vec![Some(float), Some(grid.scale), grid.zero_point];
    let new = NewNode { op_type: "QuantizeLinear", name: &name, inputs, ints: vec![] };
    let (quantizer, _) = graph.add_node(new, &format!("{name}_Output"));
    graph.take_over_output(quantizer, 0, integers);
}

/// Makes `id` run ONNX's `op_type` on `inputs`.
pub(super) fn become_float(graph: &mut Graph, id: NodeId, op_type: &str, inputs: &[Option<ValueId>]) {
    for slot in (0..graph.node(id).inputs().len().max(inputs.len())).rev() {
        graph.set_input(id, slot, inputs.get(slot).copied().flatten());
    }
    graph.set_operator(id, "", op_type);
}

/// Adds `addend` to what `id` makes, if there is one.
pub(super) fn add_behind(graph: &mut Graph, id: NodeId, addend: Option<ValueId>) {
    let (Some(addend), Some(output)) = (addend, graph.node(id).output(0)) else { return };
    let name = graph.value(output).name().to_owned();
    let sum = graph.split_output(id, 0, &format!("{name}_product"));
    let inputs = vec![Some(sum), Some(addend)];
    let new = NewNode { op_type: "Add", name: &format!("{name}_Add"), inputs, ints: vec![] };
    let (add, _) = graph.add_node(new, &format!("{name}_sum"));
    graph.take_over_output(add, 0, output);
}

/// The axis of the scales of input `slot`, where it has several.
fn axis(form: &Form, slot: usize, transposed: bool) -> i64 {
    match form.weight.filter(|_| slot == 1) {
        Some(Channels::Axis(axis)) => axis,
        Some(Channels::OfGemm) => i64::from(!transposed),
        None => 1,
    }
}
