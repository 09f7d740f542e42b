//! A quantized model becomes a float one again: pairs of QuantizeLinear and DequantizeLinear vanish, operators on integers
//! become the float operators that they stand for, and stored integers the float32 numbers that they stand for.
//!
//! Every integer value is followed to the float value whose integers it holds. What cannot be followed is an error that
//! names the node: a model that is half turned back would be neither.

mod blocks;
mod clamps;
mod constants;
mod dynamic;
mod forms;
mod found;
mod moved;
mod outside;
mod recurrent;
mod stored;

pub use clamps::{CLAMPS, clamps_as_text};
pub use found::{Direct, Found};

use crate::error::Result;
use crate::ir::{Graph, Model, NewNode, NodeId, Source, ValueId};
use crate::qoperators::{self, MICROSOFT};
use clamps::{Bounds, Clamps};
use found::Notes;
use std::collections::HashMap;

/// What was turned back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// QuantizeLinear and DynamicQuantizeLinear nodes that are gone.
    pub quantizers: usize,
    /// Stored tensors that are float32 again.
    pub stored: usize,
    /// Operators on integers that are float operators again.
    pub operators: usize,
}

/// Turns `model` back. Graph inputs and outputs keep names, types and order; where these are integers themselves, the node
/// that dequantizes or quantizes there stays.
///
/// # Errors
/// At the first node that cannot be turned back, with the reason; the model is then to be thrown away.
pub fn dequantize(model: &mut Model) -> Result<Done> {
    take_apart(model).map(|(done, _)| done)
}

/// The same, and the grids that it had.
///
/// # Errors
/// As [`dequantize`].
pub fn take_apart(model: &mut Model) -> Result<(Done, Found)> {
    let (mut done, mut found) = (Done::default(), Found::default());
    let moved = constants::store(&mut model.graph)?;
    let (opset, clamps) = (model.opset("").unwrap_or(0), Clamps::of(model));
    outside::bring_in(&mut model.graph, &HashMap::new())?;
    walk(&mut model.graph, opset, &clamps, false, (&mut done, &mut found))?;
    model.remove_metadata(CLAMPS);
    // Before, each stored tensor had to be listed as an input.
    if done.stored + moved > 0 {
        model.require_ir_version(4);
    }
    Ok((done, found))
}

fn walk(
    graph: &mut Graph,
    opset: i64,
    clamps: &Clamps,
    inside: bool,
    (done, found): (&mut Done, &mut Found),
) -> Result<()> {
    // Other quantizers leave the types of the float values that were; these are to have their names again.
    graph.free_unused_names();
    let mut walk = Walk {
        opset,
        inside,
        clamps,
        real: HashMap::new(),
        fed: HashMap::new(),
        stored: HashMap::new(),
        gates: HashMap::new(),
        blocks: HashMap::new(),
        bounds: HashMap::new(),
        notes: Notes::default(),
        done: Done::default(),
    };
    for id in graph.topological()? {
        if graph.get_node(id).is_none() {
            continue;
        }
        walk.node(graph, id)?;
        for index in 0..graph.get_node(id).map_or(0, |_| graph.body_count(id)) {
            graph.edit_body(id, index, |body| self::walk(body, opset, clamps, true, (&mut walk.done, found)))?;
        }
    }
    graph.remove_unused();
    walk.check(graph)?;
    walk.notes.settle(graph, inside, found);
    done.quantizers += walk.done.quantizers;
    done.stored += walk.done.stored;
    done.operators += walk.done.operators;
    Ok(())
}

/// Scale and zero point; no zero point is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Grid {
    scale: ValueId,
    zero_point: Option<ValueId>,
}

/// What integers stand for.
#[derive(Debug, Clone, Copy)]
struct Real {
    float: ValueId,
    grid: Grid,
}

/// One graph on its way.
struct Walk<'a> {
    opset: i64,
    /// Whether it is the body of a node.
    inside: bool,
    clamps: &'a Clamps,
    /// The float value that each integer value stands for.
    real: HashMap<ValueId, Real>,
    /// The float value that each integer input of the model stands for where a quantized operator reads it.
    fed: HashMap<ValueId, Real>,
    /// The float32 constants made of stored integers, by grid and axis.
    stored: HashMap<(ValueId, Grid, i64), ValueId>,
    /// The same of the weights of recurrent operators.
    gates: HashMap<(ValueId, Grid), ValueId>,
    /// The same of weights in blocks.
    blocks: HashMap<(ValueId, Grid, blocks::Form), ValueId>,
    /// Bounds that float values keep to.
    bounds: HashMap<ValueId, Bounds>,
    /// The grids that were met.
    notes: Notes,
    done: Done,
}

impl Walk<'_> {
    fn node(&mut self, graph: &mut Graph, id: NodeId) -> Result<()> {
        let node = graph.node(id);
        let (op_type, domain) = (node.op_type().to_owned(), node.domain().to_owned());
        let ours = domain.is_empty() || domain == MICROSOFT;
        match op_type.as_str() {
            "QuantizeLinear" if ours => self.quantizer(graph, id),
            "DynamicQuantizeLinear" if domain.is_empty() => self.dynamic_quantizer(graph, id),
            "DequantizeLinear" if ours => self.dequantizer(graph, id),
            "MatMulInteger" | "ConvInteger" if ours => self.accumulated(graph, id),
            "DynamicQuantizeMatMul" if ours => self.dynamic_product(graph, id),
            "DynamicQuantizeLSTM" if domain == MICROSOFT => self.recurrent(graph, id),
            "MatMulNBits" if domain == MICROSOFT => self.product_of_blocks(graph, id),
            "MatMulBnb4" if domain == MICROSOFT => self.product_of_codes(graph, id),
            "GatherBlockQuantized" if domain == MICROSOFT => self.look_up_blocks(graph, id),
            _ => match qoperators::find(&domain, &op_type) {
                Some(form) => self.form(graph, id, form),
                None => self.other(graph, id),
            },
        }
    }

    fn quantizer(&mut self, graph: &mut Graph, id: NodeId) -> Result<()> {
        let node = graph.node(id);
        let (Some(float), Some(scale), Some(integers)) = (node.input(0), node.input(1), node.output(0)) else {
            return Err(graph.node_error(id, "has no input, no scale or no output"));
        };
        let grid = Grid { scale, zero_point: node.input(2) };
        self.done.quantizers += 1;
        if is_constant(graph, float) {
            self.real.insert(integers, Real { float, grid });
            self.note_rounded(graph, id, float, grid, integers)?;
            return self.note_quantized_constant(graph, float, grid);
        }
        let float = self.clamped(graph, float, grid)?;
        self.real.insert(integers, Real { float, grid });
        self.note_activation(graph, float, grid, integers)
    }

    fn dequantizer(&mut self, graph: &mut Graph, id: NodeId) -> Result<()> {
        let node = graph.node(id);
        let (Some(integers), Some(scale), Some(output)) = (node.input(0), node.input(1), node.output(0)) else {
            return Err(graph.node_error(id, "has no input, no scale or no output"));
        };
        let grid = Grid { scale, zero_point: node.input(2) };
        if graph.value(integers).source() == Source::Input {
            // The caller feeds integers: to make numbers of them is part of what the model computes.
            // What a body reads from around stays, too.
            if self.inside {
                return Ok(());
            }
            self.fed.entry(integers).or_insert(Real { float: output, grid });
            return self.note_activation(graph, output, grid, integers);
        }
        let axis = node.attributes().int("axis").unwrap_or(1);
        let block = node.attributes().int("block_size").unwrap_or(0);
        if graph.is_constant(integers) {
            let plain = block == 0 && !graph.value(output).goes_by_name();
            if let Some(&known) = self.stored.get(&(integers, grid, axis)).filter(|_| plain) {
                graph.redirect_readers(output, known);
                graph.remove_if_unused(id);
                return Ok(());
            }
            let numbers = stored::numbers(graph, id, integers, grid, axis, block)?;
            self.note_stored(graph, output, (integers, grid), axis, block)?;
            graph.make_constant(output, &numbers);
            // Under its own name, where that can be told.
            let name = float_name(graph, integers);
            if !graph.value(output).goes_by_name() && graph.find(&name).is_none() {
                graph.rename(output, &name);
            }
            if plain {
                self.stored.insert((integers, grid, axis), output);
            }
            self.done.stored += 1;
            return Ok(());
        }
        let float = self.float(graph, id, integers, grid, axis)?;
        replace(graph, id, output, float);
        Ok(())
    }

    /// The float value that `integers`, which `id` reads on `grid`, stand for. Where they are stored, their scales lie along
    /// `axis`.
    fn float(&mut self, graph: &mut Graph, id: NodeId, integers: ValueId, grid: Grid, axis: i64) -> Result<ValueId> {
        if let Some(real) = self.real.get(&integers).copied() {
            let why = || format!("reads {:?} on another grid than it was made on", graph.value(integers).name());
            return if same(graph, real.grid, grid)? { Ok(real.float) } else { Err(graph.node_error(id, why())) };
        }
        if graph.is_constant(integers) {
            if let Some(&known) = self.stored.get(&(integers, grid, axis)) {
                return Ok(known);
            }
            let numbers = stored::numbers(graph, id, integers, grid, axis, 0)?;
            let name = float_name(graph, integers);
            let made = graph.add_initializer(&name, &numbers);
            self.note_stored(graph, made, (integers, grid), axis, 0)?;
            self.stored.insert((integers, grid, axis), made);
            self.done.stored += 1;
            return Ok(made);
        }
        if self.is_fed(graph, integers) {
            return self.read_fed(graph, id, integers, grid);
        }
        if let Some(moved) = self.moved_from_start(graph, integers, grid, axis)? {
            return Ok(moved);
        }
        let name = graph.value(integers).name();
        Err(graph
            .node_error(id, format!("reads the integers {name:?}, and nothing tells which float numbers they are")))
    }

    /// Whether the caller feeds `value`.
    fn is_fed(&self, graph: &Graph, value: ValueId) -> bool {
        !self.inside && graph.value(value).source() == Source::Input
    }

    /// The numbers that the caller's `integers` stand for on `grid`: a DequantizeLinear makes them, which stays.
    fn read_fed(&mut self, graph: &mut Graph, id: NodeId, integers: ValueId, grid: Grid) -> Result<ValueId> {
        if let Some(known) = self.fed.get(&integers).copied()
            && same(graph, known.grid, grid)?
        {
            return Ok(known.float);
        }
        let one = graph.constant(grid.scale)?.is_some_and(|scale| scale.len() == 1);
        if !one {
            return Err(graph.node_error(id, "reads integers of the caller with no scale, several, or a computed one"));
        }
        let name = format!("{}_DequantizeLinear", graph.value(integers).name());
        let inputs = vec![Some(integers), Some(grid.scale), grid.zero_point];
        let new = NewNode { op_type: "DequantizeLinear", name: &name, inputs, ints: vec![] };
        let (_, float) = graph.add_node(new, &format!("{name}_Output"));
        self.fed.entry(integers).or_insert(Real { float, grid });
        self.note_activation(graph, float, grid, integers)?;
        Ok(float)
    }

    /// Nothing quantized may be left, but at integers that the caller feeds or gets.
    fn check(&self, graph: &Graph) -> Result<()> {
        for id in graph.node_ids() {
            let node = graph.node(id);
            let reads_fed = || node.input(0).is_some_and(|v| graph.value(v).source() == Source::Input);
            let gives = || node.output(0).is_some_and(|v| graph.value(v).is_output());
            let stays = match node.op_type() {
                "DequantizeLinear" => reads_fed(),
                "QuantizeLinear" | "DynamicQuantizeLinear" => gives(),
                _ => !qoperators::is_quantized(node.domain(), node.op_type()),
            };
            if !stays {
                return Err(graph.node_error(id, "cannot be turned back into a float operator"));
            }
        }
        Ok(())
    }
}

/// Whether the model states the numbers of a value.
fn is_constant(graph: &Graph, value: ValueId) -> bool {
    let stated = graph.value(value).producer().is_some_and(|id| graph.node(id).is("Constant"));
    stated || graph.value(value).source() == Source::Initializer
}

/// Whether two grids are the same numbers.
fn same(graph: &Graph, one: Grid, other: Grid) -> Result<bool> {
    if one == other {
        return Ok(true);
    }
    let scales = (graph.constant(one.scale)?, graph.constant(other.scale)?);
    let (Some(a), Some(b)) = scales else { return Ok(false) };
    let zero = |grid: Grid| stored::zero_points(graph, grid);
    let (Some(za), Some(zb)) = (zero(one)?, zero(other)?) else { return Ok(false) };
    let all = |zeros: &[i64], count: usize| if zeros.is_empty() { vec![0; count] } else { zeros.to_vec() };
    Ok(a.to_f32()? == b.to_f32()? && all(&za, a.len()) == all(&zb, b.len()))
}

/// Everything that reads `from`, which `id` makes, reads `to`; where `from` goes by its name, `to` gets the name.
fn replace(graph: &mut Graph, id: NodeId, from: ValueId, to: ValueId) {
    graph.redirect_readers(from, to);
    let named = |graph: &Graph, v| graph.value(v).goes_by_name();
    if !named(graph, from) {
        return;
    }
    if named(graph, to) || graph.value(to).producer().is_none() {
        for slot in (0..graph.node(id).inputs().len()).rev() {
            graph.set_input(id, slot, (slot == 0).then_some(to));
        }
        graph.clear_attributes(id);
        graph.set_operator(id, "", "Identity");
        return;
    }
    let stem = float_name(graph, to);
    graph.hand_over_name(from, to, &format!("{stem}_was"));
}

/// What to call the float numbers of `integers`.
fn float_name(graph: &Graph, integers: ValueId) -> String {
    let name = graph.value(integers).name();
    stem(name).map_or_else(|| format!("{name}_float"), str::to_owned)
}

/// What the numbers are called that are integers under `name`, where quantizers name them so.
pub fn stem(name: &str) -> Option<&str> {
    let endings = ["_QuantizeLinear_Output", "_QuantizeLinear_Input", "_quantized"];
    endings.iter().find_map(|ending| name.strip_suffix(ending)).filter(|stem| !stem.is_empty())
}

#[cfg(test)]
mod tests;
