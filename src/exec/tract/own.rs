//! What an operator of ours, or a wrapping of one of tract's, says of itself; all else that tract asks of operators is said
//! here, once.

use std::fmt::{Debug, Formatter};
use std::hash::Hash;
use std::sync::Arc;
use tract_onnx::tract_core::ops::change_axes::{AxisChangeConsequence, AxisOp, InOut};
use tract_onnx::tract_hir::internal::*;

/// What an operator computes once types and shapes are known. An error says that its inputs are none that it takes.
pub trait Kernel: Clone + Debug + Eq + Hash + Send + Sync + 'static {
    /// What it is called in errors.
    fn name(&self) -> StaticName;

    /// The outputs.
    fn run(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>>;

    /// The type and shape of each output: where nothing is said, one like the first input.
    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].without_value()))
    }

    /// What to put in the place of `node`, which is such an operator.
    fn simplified(&self, _: &TypedModel, _: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
        Ok(None)
    }

    /// Whether it is run beforehand where all its inputs are constants.
    fn folds(&self) -> bool {
        true
    }

    /// Which axes of inputs and outputs go together.
    fn axes(&self, inputs: &[&TypedFact], outputs: &[&TypedFact]) -> TractResult<AxesMapping> {
        AxesMapping::disconnected(inputs, outputs)
    }

    /// The same operator on inputs whose axes were changed, if there is one.
    fn with_axes(&self, _: &AxisOp) -> Option<Self> {
        None
    }
}

/// A kernel as tract wants it.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
pub struct Own<K>(pub K);

impl<K: Kernel> Op for Own<K> {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    op_as_typed_op!();
}

impl<K: Kernel> TypedOp for Own<K> {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.facts(inputs)
    }

    fn axes_mapping(&self, inputs: &[&TypedFact], outputs: &[&TypedFact]) -> TractResult<AxesMapping> {
        self.0.axes(inputs, outputs)
    }

    fn declutter(&self, model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
        self.0.simplified(model, node)
    }

    fn change_axes(
        &self,
        model: &TypedModel,
        node: &TypedNode,
        _: InOut,
        change: &AxisOp,
    ) -> TractResult<Option<AxisChangeConsequence>> {
        let changed = self.0.with_axes(change).map(|kernel| Box::new(Self(kernel)) as Box<dyn TypedOp>);
        Ok(changed.map(|op| AxisChangeConsequence::new(model, node, Some(op), change)))
    }

    as_op!();
}

impl<K: Kernel> EvalOp for Own<K> {
    fn eval(&self, _: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.0.run(inputs)
    }

    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        if self.0.folds() { self.0.run(inputs).map(Some) } else { Ok(None) }
    }
}

/// An operator of `inputs` inputs that becomes one node, which makes something of the shape of the first of them: of its type,
/// or of `dtype`.
pub fn shaped_like_first<K: Kernel>(kernel: K, inputs: usize, dtype: Option<DatumType>) -> Box<dyn InferenceOp> {
    expand(LikeFirst { kernel, inputs, dtype })
}

#[derive(Debug, Clone)]
struct LikeFirst<K> {
    kernel: K,
    inputs: usize,
    dtype: Option<DatumType>,
}

impl<K: Kernel> Expansion for LikeFirst<K> {
    fn name(&self) -> StaticName {
        self.kernel.name()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> TractResult<()> {
        check_input_arity(inputs, self.inputs)?;
        match self.dtype {
            Some(dtype) => solver.equals(&outputs[0].datum_type, dtype)?,
            None => solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?,
        }
        solver.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn runs_out_of_plan(&self) -> bool {
        self.kernel.folds()
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> Wired {
        model.wire_node(prefix, Own(self.kernel.clone()), inputs)
    }
}

/// The outlets of the nodes that an operator became, or why it could not.
pub type Wired = TractResult<TVec<OutletId>>;

/// Makes nodes, called after the second argument, for an operator that reads the outlets; the first is what tract would do.
type Rewire = dyn Fn(&Stock, &str, &mut TypedModel, &[OutletId]) -> Wired + Send + Sync;

/// tract's own operator, as one that wraps it sees it.
pub type Stock = Box<dyn Expansion>;

/// An operator that tract knows the types and shapes of, but whose nodes `wire` makes.
pub fn wrapped(
    stock: Stock,
    wire: impl Fn(&Stock, &str, &mut TypedModel, &[OutletId]) -> Wired + Send + Sync + 'static,
) -> Box<dyn InferenceOp> {
    expand(Wrapped { stock, wire: Arc::new(wire) })
}

#[derive(Clone)]
struct Wrapped {
    stock: Stock,
    wire: Arc<Rewire>,
}

impl Debug for Wrapped {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wrapped({:?})", self.stock)
    }
}

impl Expansion for Wrapped {
    fn name(&self) -> StaticName {
        self.stock.name()
    }

    fn validation(&self) -> Validation {
        self.stock.validation()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        (*self.stock).nboutputs()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> TractResult<()> {
        self.stock.rules(solver, inputs, outputs)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> Wired {
        (self.wire)(&self.stock, prefix, model, inputs)
    }
}
