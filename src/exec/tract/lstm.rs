//! LSTM as ONNX Runtime computes it: its own DynamicQuantizeLSTM, which multiplies integers, and what tract's LSTM ignores or
//! does not take (`clip`, `input_forget`, sequences of unlike lengths).

mod weights;

use super::operators::Built;
use super::own::{Kernel, Own, Wired};
use crate::qoperators::MICROSOFT;
use tract_onnx::model::{ParsingContext, optional_inputs, optional_outputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use weights::{Given, Weights};

// Its inputs in their order; the scales and zero points of the weights follow.
const W: usize = 1;
const R: usize = 2;
const B: usize = 3;
const LENGTHS: usize = 4;
const HIDDEN: usize = 5;
const CELL: usize = 6;
const P: usize = 7;
const W_GRID: usize = 8;
const R_GRID: usize = 10;

/// Whether a node is run by the operator built here: ONNX's LSTM where it says what tract's ignores or does not take.
pub fn is_ours(node: &NodeProto) -> bool {
    let attribute = |name: &str| node.attribute.iter().find(|a| a.name == name);
    let more = || {
        let lengths = node.input.get(LENGTHS).is_some_and(|name| !name.is_empty());
        lengths || attribute("clip").is_some() || attribute("input_forget").is_some_and(|a| a.i != 0)
    };
    match (node.domain.as_str(), node.op_type.as_str()) {
        (MICROSOFT, "DynamicQuantizeLSTM") => true,
        ("" | "ai.onnx", "LSTM") => more() && attribute("layout").is_none_or(|a| a.i == 0),
        _ => false,
    }
}

/// Builds the operators `DynamicQuantizeLSTM` and `TareLSTM`, which is ONNX's LSTM.
///
/// # Errors
/// When an attribute is missing or unknown.
pub fn build(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let directions = match node.get_attr_opt::<&str>("direction")?.unwrap_or("forward") {
        "forward" => tvec!(false),
        "reverse" => tvec!(true),
        "bidirectional" => tvec!(false, true),
        other => bail!("a direction {other:?}"),
    };
    let hidden = node.get_attr::<i64>("hidden_size")?;
    ensure!((1..=i64::from(i32::MAX)).contains(&hidden), "a hidden_size of {hidden}");
    let clip: f32 = node.get_attr_opt("clip")?.unwrap_or(f32::MAX);
    let lstm = Lstm {
        integers: node.op_type == "DynamicQuantizeLSTM",
        directions,
        hidden: hidden as usize,
        clip: clip.to_bits(),
        couples: node.get_attr_opt::<i64>("input_forget")?.unwrap_or(0) != 0,
        inputs: optional_inputs(node).take(12).collect(),
        outputs: optional_outputs(node).take(3).collect(),
    };
    Ok((expand(lstm), vec![]))
}

#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct Lstm {
    /// Whether its weights are integers, which are multiplied with integers.
    integers: bool,
    /// For each direction whether it runs from the end of the sequences.
    directions: TVec<bool>,
    hidden: usize,
    /// What the gates are cut off at, as bits.
    clip: u32,
    /// Whether it forgets what it does not let in.
    couples: bool,
    /// Which of the inputs that are given each one is.
    inputs: TVec<Option<usize>>,
    /// The same of the outputs: all of the sequence, the last hidden state, the last cell state.
    outputs: TVec<Option<usize>>,
}

impl Lstm {
    /// The shape of each output that is wanted.
    fn shapes<D: Clone>(&self, sequence: &[D], number: impl Fn(usize) -> D) -> TVec<TVec<D>> {
        let (directions, hidden) = (number(self.directions.len()), number(self.hidden));
        let all = tvec!(sequence[0].clone(), directions.clone(), sequence[1].clone(), hidden.clone());
        let last = tvec!(directions, sequence[1].clone(), hidden);
        let wanted = self.outputs.iter().enumerate().filter(|output| output.1.is_some());
        wanted.map(|(slot, _)| if slot == 0 { all.clone() } else { last.clone() }).collect()
    }
}

impl Expansion for Lstm {
    fn name(&self) -> StaticName {
        Kernel::name(self)
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.outputs.iter().flatten().count())
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> TractResult<()> {
        check_input_arity(inputs, self.inputs.iter().flatten().count())?;
        check_output_arity(outputs, self.nboutputs()?)?;
        solver.equals(&inputs[0].rank, 3)?;
        for (slot, place) in self.outputs.iter().enumerate() {
            let Some(output) = place.map(|place| &outputs[place]) else { continue };
            let first = usize::from(slot == 0);
            solver.equals(&inputs[0].datum_type, &output.datum_type)?;
            solver.equals(&output.rank, 3 + first as i64)?;
            if slot == 0 {
                solver.equals(&inputs[0].shape[0], &output.shape[0])?;
            }
            solver.equals(&output.shape[first], self.directions.len().to_dim())?;
            solver.equals(&inputs[0].shape[1], &output.shape[first + 1])?;
            solver.equals(&output.shape[first + 2], self.hidden.to_dim())?;
        }
        Ok(())
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> Wired {
        ensure!(model.outlet_fact(inputs[0])?.rank() == 3, "a sequence of a rank other than 3");
        model.wire_node(prefix, Own(self.clone()), inputs)
    }
}

impl Kernel for Lstm {
    fn name(&self) -> StaticName {
        if self.integers { "TareDynamicQuantizeLSTM".into() } else { "TareLSTM".into() }
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let sequence = inputs[0].shape.to_tvec();
        Ok(self.shapes(&sequence, |n| n.to_dim()).into_iter().map(|shape| inputs[0].datum_type.fact(shape)).collect())
    }

    fn run(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let given = Given { inputs: &inputs, places: &self.inputs };
        let &[steps, batch, length] = inputs[0].shape() else { bail!("a sequence of a rank other than 3") };
        let (count, hidden) = (self.directions.len(), self.hidden);
        // Nothing is as large as the attribute says unless the weights are.
        let square = if self.integers { [count, hidden, 4 * hidden] } else { [count, 4 * hidden, hidden] };
        given.get(R, &[&square])?.context("its weights are missing")?;
        let x = given.floats(0, &[steps, batch, length])?.unwrap_or_default();
        let lengths = match given.integers(LENGTHS, &[&[batch]])? {
            Some(lengths) => lengths.iter().map(|&n| usize::try_from(n).unwrap_or(0).min(steps)).collect(),
            None => vec![steps; batch],
        };
        let bias = given.floats(B, &[count, 8 * hidden])?;
        let peepholes = given.floats(P, &[count, 3 * hidden])?;
        let start = |slot| given.floats(slot, &[count, batch, hidden]);
        let (first_hidden, first_cell) = (start(HIDDEN)?, start(CELL)?);
        let mut sequence = vec![0f32; steps * count * batch * hidden];
        let (mut last_hidden, mut last_cell) = (vec![0f32; count * batch * hidden], vec![0f32; count * batch * hidden]);
        for (index, &backwards) in self.directions.iter().enumerate() {
            let weights = |slot, grid, rows| match self.integers {
                true => Weights::integers(&given, (slot, grid), (index, count), (rows, 4 * hidden)),
                false => Weights::floats(&given, slot, (index, count), (rows, 4 * hidden)),
            };
            let part = |all: &Option<Vec<f32>>, length: usize| {
                all.as_ref().map(|all| all[index * length..][..length].to_vec())
            };
            let mut run = Direction {
                cell: part(&first_cell, batch * hidden).unwrap_or_else(|| vec![0.0; batch * hidden]),
                hidden: part(&first_hidden, batch * hidden).unwrap_or_else(|| vec![0.0; batch * hidden]),
                bias: part(&bias, 8 * hidden),
                peepholes: part(&peepholes, 3 * hidden),
                size: hidden,
                clip: f32::from_bits(self.clip),
                couples: self.couples,
            };
            let longest = lengths.iter().copied().max().unwrap_or(0);
            // Where a row of the sequence lies that runs backwards to its own end.
            let place = |step: usize, row: usize| match lengths[row] {
                length if backwards && step < length => length - 1 - step,
                _ => step,
            };
            let mut turned = Vec::with_capacity(longest * batch * length);
            for step in 0..longest {
                (0..batch).for_each(|row| turned.extend(&x[(place(step, row) * batch + row) * length..][..length]));
            }
            let mut gates = vec![0f32; longest * batch * 4 * hidden];
            weights(W, W_GRID, length)?.add_product(&turned, &mut gates);
            let recurrence = weights(R, R_GRID, hidden)?;
            for (step, gates) in gates.chunks_mut((batch * 4 * hidden).max(1)).enumerate() {
                recurrence.add_product(&run.hidden, gates);
                for (row, gates) in gates.chunks_mut(4 * hidden).enumerate() {
                    let own = row * hidden..(row + 1) * hidden;
                    if step >= lengths[row] {
                        // ONNX Runtime goes on with zeros, or, where it does not keep the sequence, with the last state.
                        if self.outputs[0].is_some() {
                            run.hidden[own].fill(0.0);
                        }
                        continue;
                    }
                    run.row(gates, row);
                    let at = ((place(step, row) * count + index) * batch + row) * hidden;
                    sequence[at..][..hidden].copy_from_slice(&run.hidden[own.clone()]);
                    if step + 1 == lengths[row] {
                        let at = (index * batch + row) * hidden;
                        last_hidden[at..][..hidden].copy_from_slice(&run.hidden[own.clone()]);
                        last_cell[at..][..hidden].copy_from_slice(&run.cell[own]);
                    }
                }
            }
        }
        let made = [sequence, last_hidden, last_cell].into_iter().zip(&self.outputs);
        let made = made.filter(|(_, place)| place.is_some()).zip(self.shapes(inputs[0].shape(), |n| n));
        let typed = |numbers: Vec<f32>, shape: &[usize]| -> TractResult<TValue> {
            let made = Tensor::from_shape(shape, &numbers)?.cast_to_dt(inputs[0].datum_type())?.into_owned();
            Ok(made.into_tvalue())
        };
        made.map(|((numbers, _), shape)| typed(numbers, &shape)).collect()
    }
}

/// One direction on its way.
struct Direction {
    hidden: Vec<f32>,
    cell: Vec<f32>,
    /// Of the input, then of the recurrence; each in the order input, output, forget, cell.
    bias: Option<Vec<f32>>,
    /// In the order input, output, forget.
    peepholes: Option<Vec<f32>>,
    size: usize,
    clip: f32,
    couples: bool,
}

impl Direction {
    /// A step of one row, whose `gates` lack bias and peepholes.
    fn row(&mut self, gates: &[f32], row: usize) {
        let size = self.size;
        for i in 0..size {
            let gate = |which: usize, seen: Option<f32>| {
                let at = which * size + i;
                let bias = self.bias.as_ref().map_or(0.0, |bias| bias[at] + bias[4 * size + at]);
                let peephole = self.peepholes.as_ref().zip(seen).map_or(0.0, |(all, cell)| all[at] * cell);
                let sum = gates[at] + peephole + bias;
                // `min` and `max` would make a number of NaN.
                if sum.abs() > self.clip { self.clip.copysign(sum) } else { sum }
            };
            let before = self.cell[row * size + i];
            let input = sigmoid(gate(0, Some(before)));
            let forget = if self.couples { 1.0 - input } else { sigmoid(gate(2, Some(before))) };
            let cell = forget * before + input * gate(3, None).tanh();
            let output = sigmoid(gate(1, Some(cell)));
            self.cell[row * size + i] = cell;
            self.hidden[row * size + i] = output * cell.tanh();
        }
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
