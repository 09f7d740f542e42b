//! Operators of our own for tract, and those of tract's that are wrapped.

use super::{corners, extreme, products, qdq, softmax, states};
use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::array::Slice;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_core::ops::math::{div, mul};
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::activations::Elu;

pub type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// What tract's own builders are called once ours stand in their place.
const STOCK: [(&str, &str); 7] = [
    ("Gemm", "stock Gemm"),
    ("MatMul", "stock MatMul"),
    ("Pad", "stock Pad"),
    ("ReduceMax", "stock ReduceMax"),
    ("ReduceMin", "stock ReduceMin"),
    ("Resize", "stock Resize"),
    ("Softmax", "stock Softmax"),
];

/// Puts our operators beside, and in the place of, tract's.
pub fn register(operators: &mut OnnxOpRegister) {
    qdq::register(operators);
    for (name, stock) in STOCK {
        if let Some(builder) = operators.0.get(name).copied() {
            operators.insert(stock, builder);
        }
    }
    operators.insert("TareFence", |_, _| Ok((expand(Fence), vec![])));
    operators.insert("TareReverse", |_, node| Ok((expand(Reverse(node.get_attr::<i64>("axis")? as usize)), vec![])));
    operators.insert("TareStates", states::build);
    operators.insert("Celu", |_, node| Ok((expand(Celu(node.get_attr_opt("alpha")?.unwrap_or(1.0))), vec![])));
    operators.insert("ReduceMax", |context, node| extreme::build(stock(context, node, "stock ReduceMax")?));
    operators.insert("ReduceMin", |context, node| extreme::build(stock(context, node, "stock ReduceMin")?));
    operators.insert("MatMul", |context, node| products::build(stock(context, node, "stock MatMul")?, [false; 2]));
    operators.insert("Gemm", |context, node| {
        let flag = |name| TractResult::Ok(node.get_attr_opt::<i64>(name)?.unwrap_or(0) != 0);
        products::build(stock(context, node, "stock Gemm")?, [flag("transA")?, flag("transB")?])
    });
    operators.insert("Pad", pad);
    operators.insert("Resize", corners::build);
    operators.insert("Softmax", |context, node| softmax::build(stock(context, node, "stock Softmax")?));
    operators.insert("Upsample", |context, node| {
        let context = ParsingContext { onnx_operator_set_version: 10, ..context.clone() };
        stock(&context, node, "stock Resize")
    });
}

/// What tract builds for a node by the builder that was renamed to `name`.
pub fn stock(context: &ParsingContext<'_>, node: &NodeProto, name: &str) -> Built {
    let builder = context.framework.op_register.0.get(name).with_context(|| format!("no builder {name}"))?;
    builder(context, node)
}

pub fn expansion((operator, _): (Box<dyn InferenceOp>, Vec<String>)) -> TractResult<Box<dyn Expansion>> {
    let name = operator.name();
    let found = operator.into_any().downcast::<Box<dyn Expansion>>();
    Ok(*found.map_err(|_| format_err!("tract's {name} is not what it was"))?)
}

/// Passes its input on, and lets nothing be fused across.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct Fence;

impl Expansion for Fence {
    fn name(&self) -> StaticName {
        "TareFence".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> TractResult<()> {
        check_input_arity(inputs, 1)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.equals(&inputs[0].shape, &outputs[0].shape)?;
        solver.equals(&inputs[0].value, &outputs[0].value)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        // Only convolutions of real numbers are fused wrongly, and shapes must stay what tract can calculate with.
        match model.outlet_fact(inputs[0])?.datum_type.is_float() {
            true => model.wire_node(prefix, self.clone(), inputs),
            false => Ok(inputs.into()),
        }
    }
}

impl Op for Fence {
    fn name(&self) -> StaticName {
        "TareFence".into()
    }

    op_as_typed_op!();
}

impl TypedOp for Fence {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].without_value()))
    }

    as_op!();
}

impl EvalOp for Fence {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Ok(inputs)
    }
}

/// Turns the order of slices along an axis round.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct Reverse(usize);

impl Expansion for Reverse {
    fn name(&self) -> StaticName {
        "TareReverse".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> TractResult<()> {
        check_input_arity(inputs, 1)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        ensure!(self.0 < model.outlet_fact(inputs[0])?.rank(), "a sequence of too low a rank");
        model.wire_node(prefix, self.clone(), inputs)
    }
}

impl Op for Reverse {
    fn name(&self) -> StaticName {
        "TareReverse".into()
    }

    op_as_typed_op!();
}

impl TypedOp for Reverse {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].without_value()))
    }

    as_op!();
}

impl EvalOp for Reverse {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let steps = inputs[0].shape()[self.0];
        let slices = (0..steps).rev().map(|at| inputs[0].slice(self.0, at, at + 1));
        let slices = slices.collect::<TractResult<Vec<_>>>()?;
        if slices.is_empty() {
            return Ok(inputs);
        }
        Ok(tvec!(Tensor::stack_tensors(self.0, &slices)?.into_tvalue()))
    }
}

/// `max(0, x) + min(0, alpha * (exp(x / alpha) - 1))`; tract leaves the product out. In float32, whatever `x` is.
#[derive(Debug, Clone)]
struct Celu(f32);

impl Expansion for Celu {
    fn name(&self) -> StaticName {
        "TareCelu".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> TractResult<()> {
        check_input_arity(inputs, 1)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let fact = model.outlet_fact(inputs[0])?;
        let (dtype, rank) = (fact.datum_type, fact.rank());
        let alpha = model.add_const(format!("{prefix}.alpha"), tensor0(self.0).broadcast_into_rank(rank)?)?;
        let wide = model.wire_node(format!("{prefix}.wide"), cast(f32::datum_type()), inputs)?[0];
        let scaled = model.wire_node(format!("{prefix}.scaled"), div(), &[wide, alpha])?;
        let bent = Elu(1.0).wire(&format!("{prefix}.bent"), model, &scaled)?[0];
        let back = model.wire_node(format!("{prefix}.back"), mul(), &[bent, alpha])?;
        model.wire_node(prefix, cast(dtype), &back)
    }
}

/// Pad, which crops where a pad is negative: tract takes it for a huge one.
#[derive(Debug, Clone)]
struct Pad {
    inner: Box<dyn Expansion>,
    /// Which input names the axes that are padded.
    axes: Option<usize>,
}

fn pad(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let given = |slot: usize| node.input.get(slot).is_some_and(|name| !name.is_empty());
    if !given(1) {
        return stock(context, node, "stock Pad");
    }
    let context = ParsingContext { onnx_operator_set_version: 18, ..context.clone() };
    let inner = expansion(stock(&context, node, "stock Pad")?)?;
    Ok((expand(Pad { inner, axes: given(3).then(|| 2 + usize::from(given(2))) }), vec![]))
}

impl Expansion for Pad {
    fn name(&self) -> StaticName {
        "TarePad".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> TractResult<()> {
        self.inner.rules(solver, inputs, outputs)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let integers = |model: &TypedModel, outlet: OutletId| -> TractResult<Option<Vec<i64>>> {
            let Some(constant) = &model.outlet_fact(outlet)?.konst else { return Ok(None) };
            Ok(Some(constant.cast_to::<i64>()?.try_as_plain_ram()?.as_slice::<i64>()?.to_vec()))
        };
        let pads = integers(model, inputs[1])?.context("pads must be constants")?;
        if pads.iter().all(|&p| p >= 0) {
            return self.inner.wire(prefix, model, inputs);
        }
        let rank = model.outlet_fact(inputs[0])?.rank() as i64;
        let axes = match self.axes {
            Some(input) => integers(model, inputs[input])?.context("axes must be constants")?,
            None => (0..rank).collect(),
        };
        ensure!(pads.len() == 2 * axes.len(), "{} pads for {} axes", pads.len(), axes.len());
        let mut inputs: TVec<OutletId> = inputs.into();
        for (at, axis) in axes.iter().enumerate() {
            let axis = if *axis < 0 { axis + rank } else { *axis };
            ensure!((0..rank).contains(&axis), "axis {axis} of a tensor of rank {rank}");
            let (axis, before, after) = (axis as usize, pads[at].min(0), pads[at + axes.len()].min(0));
            let size = model.outlet_fact(inputs[0])?.shape[axis].clone();
            let slice = Slice::new(axis, -before, size + after);
            inputs[0] = model.wire_node(format!("{prefix}.crop-{axis}"), slice, &inputs[..1])?[0];
        }
        let outer: Vec<i64> = pads.iter().map(|&p| p.max(0)).collect();
        inputs[1] = model.add_const(format!("{prefix}.pads"), tensor1(&outer))?;
        self.inner.wire(prefix, model, &inputs)
    }
}
