//! A bound on the size of tensors: a file of a few bytes may ask for more memory than there is.

use std::fmt::{Display, Formatter};
use tract_onnx::tract_hir::internal::*;

/// The most elements that a tensor may have.
const MOST: usize = 1 << 31;

/// A tensor would be too large. No other way to run the model helps.
#[derive(Debug)]
pub struct TooLarge(Vec<usize>);

impl Display for TooLarge {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "it would make a tensor of shape {:?}, of more than {MOST} elements", self.0)
    }
}

impl std::error::Error for TooLarge {}

/// # Errors
/// [`TooLarge`] when a tensor of this shape is.
fn check(shape: &[TDim]) -> TractResult<()> {
    let dims: Vec<usize> = shape.iter().filter_map(|d| d.to_usize().ok()).collect();
    // What is not known yet has one element at least, or none together with all the others.
    if dims.contains(&0) || dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).is_some_and(|n| n <= MOST) {
        return Ok(());
    }
    Err(TooLarge(dims).into())
}

/// Makes every operator of a model refuse to make a tensor that is too large, as soon as its shape is known: tract then
/// neither computes it beforehand, where its inputs are constant, nor at all.
pub fn impose(model: &mut InferenceModel) {
    for node in &mut model.nodes {
        if let Some(expansion) = node.op_as::<Box<dyn Expansion>>() {
            node.op = expand(Bounded(expansion.clone()));
        }
    }
}

/// The largest tensor whose elements may tell the shape of another.
const SHAPE: usize = 64;

/// Operators, by tract's names, that take for granted what their inference found out.
const UNCHECKED: [&str; 3] = ["ConvHir", "MaxPool", "SumPool"];

/// Checks what an operator that runs as it stands would make of these inputs.
///
/// # Errors
/// [`TooLarge`] when that is too large, and whatever does not fit a window over an image, which tract does not check again.
/// Whatever else is wrong shows when it runs.
pub fn check_run(op: &dyn InferenceOp, inputs: &[TValue]) -> TractResult<()> {
    let fact = |value: &TValue| match value.len() <= SHAPE {
        true => InferenceFact::from(value.clone().into_tensor()),
        false => InferenceFact::dt_shape(value.datum_type(), value.shape()),
    };
    let inputs: Vec<InferenceFact> = inputs.iter().map(fact).collect();
    let unknown = InferenceFact::default();
    let mut op = tract_onnx::tract_core::dyn_clone::clone_box(op);
    let outputs = tvec![&unknown; op.nboutputs()?];
    match op.infer_facts(inputs.iter().collect(), outputs, tvec![]) {
        Err(why) if why.root_cause().is::<TooLarge>() || UNCHECKED.contains(&&*op.name()) => Err(why),
        _ => Ok(()),
    }
}

#[derive(Debug, Clone)]
struct Bounded(Box<dyn Expansion>);

impl Expansion for Bounded {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    fn validation(&self) -> Validation {
        self.0.validation()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        self.0.info()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        (*self.0).nboutputs()
    }

    fn runs_out_of_plan(&self) -> bool {
        (*self.0).runs_out_of_plan()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> TractResult<()> {
        for output in outputs {
            solver.given(&output.shape, |_, shape| check(&shape))?;
        }
        self.0.rules(solver, inputs, outputs)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        self.0.wire(prefix, model, inputs)
    }

    fn wire_with_inference_model_and_node(
        &self,
        prefix: &str,
        model: &InferenceModel,
        node: &InferenceNode,
        typed: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        self.0.wire_with_inference_model_and_node(prefix, model, node, typed, inputs)
    }
}
