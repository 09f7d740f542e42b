//! Operators of our own for tract, and those of tract's that are wrapped.

use super::own::{Kernel, Own, Stock, Wired, shaped_like_first, wrapped};
use super::{
    attention, axes, beside, branches, corners, dynamic, extreme, float8, lstm, pad, products, qdq, rounded, softmax,
    states, switched,
};
use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_core::ops::math::{div, mul};
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::activations::Elu;

pub type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// What tract's own builders are called once ours stand in their place.
const STOCK: [(&str, &str); 11] = [
    ("Attention", "stock Attention"),
    ("Celu", "stock Celu"),
    ("Gemm", "stock Gemm"),
    ("DynamicQuantizeLinear", "stock DynamicQuantizeLinear"),
    ("If", "stock If"),
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
    operators.insert("DynamicQuantizeLSTM", lstm::build);
    operators.insert("TareLSTM", lstm::build);
    operators.insert("TareFloat8", float8::build);
    operators.insert("TareRound", rounded::build);
    operators.insert("TareReverse", |_, node| {
        Ok((shaped_like_first(Reverse(node.get_attr::<i64>("axis")? as usize), 1, None), vec![]))
    });
    operators.insert("TareStates", states::build);
    operators.insert("TareSwitch", switched::build);
    operators.insert("TareMark", beside::build);
    operators.insert("Celu", |context, node| {
        let alpha = node.get_attr_opt("alpha")?.unwrap_or(1.0);
        rewired(context, node, "stock Celu", move |_, prefix, model, inputs| celu(alpha, prefix, model, inputs))
    });
    operators.insert("DynamicQuantizeLinear", |context, node| {
        rewired(context, node, "stock DynamicQuantizeLinear", dynamic::wire)
    });
    operators.insert("ReduceMax", |context, node| rewired(context, node, "stock ReduceMax", extreme::wire));
    operators.insert("ReduceMin", |context, node| rewired(context, node, "stock ReduceMin", extreme::wire));
    operators.insert("MatMul", |context, node| {
        rewired(context, node, "stock MatMul", |stock, prefix, model, inputs| {
            products::wire([false; 2], stock, prefix, model, inputs)
        })
    });
    operators.insert("Gemm", |context, node| {
        let flag = |name| TractResult::Ok(node.get_attr_opt::<i64>(name)?.unwrap_or(0) != 0);
        let transposed = [flag("transA")?, flag("transB")?];
        rewired(context, node, "stock Gemm", move |stock, prefix, model, inputs| {
            products::wire(transposed, stock, prefix, model, inputs)
        })
    });
    operators.insert("Attention", attention::build);
    operators.insert("If", branches::build);
    operators.insert("Pad", pad::build);
    operators.insert("Resize", corners::build);
    operators.insert("Softmax", |context, node| rewired(context, node, "stock Softmax", softmax::wire));
    operators.insert("Squeeze", axes::build);
    operators.insert("Unsqueeze", axes::build);
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

/// The same, whose nodes `wire` makes.
fn rewired(
    context: &ParsingContext<'_>,
    node: &NodeProto,
    name: &str,
    wire: impl Fn(&Stock, &str, &mut TypedModel, &[OutletId]) -> Wired + Send + Sync + 'static,
) -> Built {
    Ok((wrapped(expansion(stock(context, node, name)?)?, wire), vec![]))
}

/// What tract built, in the form that knows types and makes nodes.
///
/// # Errors
/// When it is not what it was when this was written.
pub fn expansion((operator, _): (Box<dyn InferenceOp>, Vec<String>)) -> TractResult<Stock> {
    let name = operator.name();
    let found = operator.into_any().downcast::<Stock>();
    Ok(*found.map_err(|_| format_err!("tract's {name} is not what it was"))?)
}

/// Passes its input on, and lets nothing be fused across.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct Fence;

impl Expansion for Fence {
    fn name(&self) -> StaticName {
        Kernel::name(self)
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

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> Wired {
        // Only convolutions of real numbers are fused wrongly, and shapes must stay what tract can calculate with.
        match model.outlet_fact(inputs[0])?.datum_type.is_float() {
            true => model.wire_node(prefix, Own(self.clone()), inputs),
            false => Ok(inputs.into()),
        }
    }
}

impl Kernel for Fence {
    fn name(&self) -> StaticName {
        "TareFence".into()
    }

    fn run(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Ok(inputs)
    }
}

/// Turns the order of slices along an axis round.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct Reverse(usize);

impl Kernel for Reverse {
    fn name(&self) -> StaticName {
        "TareReverse".into()
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(self.0 < inputs[0].rank(), "a sequence of too low a rank");
        Ok(tvec!(inputs[0].without_value()))
    }

    fn run(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
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
fn celu(alpha: f32, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> Wired {
    let fact = model.outlet_fact(inputs[0])?;
    let (dtype, rank) = (fact.datum_type, fact.rank());
    let alpha = model.add_const(format!("{prefix}.alpha"), tensor0(alpha).broadcast_into_rank(rank)?)?;
    let wide = model.wire_node(format!("{prefix}.wide"), cast(f32::datum_type()), inputs)?[0];
    let scaled = model.wire_node(format!("{prefix}.scaled"), div(), &[wide, alpha])?;
    let bent = Elu(1.0).wire(&format!("{prefix}.bent"), model, &scaled)?[0];
    let back = model.wire_node(format!("{prefix}.back"), mul(), &[bent, alpha])?;
    model.wire_node(prefix, cast(dtype), &back)
}
