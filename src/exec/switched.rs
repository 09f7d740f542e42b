//! Programs some of whose parts are rounded or not from run to run.

use crate::error::Result;
use crate::quant::Params;
use crate::tensor::Tensor;

/// What can be rounded in a model. What is on is told as one flag for each of `grids`, and then one for each of `layers`.
#[derive(Debug, Clone, Copy)]
pub struct Switches<'a> {
    /// The grids of activations: that of the model's operators TareSwitch whose attribute `index` is the place here.
    pub grids: &'a [Params],
    /// The names of nodes whose constants are others in the rounded model.
    pub layers: &'a [String],
}

/// What a run computed, for the next ones to begin from.
pub trait Ran: Send + Sync {
    /// The outputs.
    fn outputs(&self) -> &[Tensor];

    /// The run as its engine knows it.
    fn as_any(&self) -> &dyn std::any::Any;
}

/// What a layer made of one sample, in float and with everything rounded: elements in the order of the shape.
pub struct Sides<'a> {
    /// In float.
    pub float: &'a [f32],
    /// Rounded. What is left here is what stands behind the layer reads.
    pub rounded: &'a mut [f32],
}

/// Who sees what layers make while samples run in float and rounded side by side, and may correct the latter.
pub trait Corrector {
    /// Layer `layer`, a place in [`Switches::layers`], made tensors of this `shape` of all samples.
    ///
    /// # Errors
    /// When no correction can be computed.
    fn correct(&mut self, layer: usize, shape: &[usize], samples: &mut [Sides<'_>]) -> Result<()>;
}

/// A program for inputs of one shape. Any number of threads may run it at once.
pub trait Switched: Send + Sync {
    /// Runs all of it and keeps what it computed, which is as much memory as all activations of a sample take.
    ///
    /// # Errors
    /// As [`Program::run`](super::Program::run).
    fn run(&self, inputs: &[Tensor], on: &[bool]) -> Result<Box<dyn Ran>>;

    /// The outputs for the inputs of `ran` where something else is on: only what depends on that is computed again. They are those
    /// of [`run`](Self::run), bit for bit.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    fn vary(&self, ran: &dyn Ran, inputs: &[Tensor], on: &[bool]) -> Result<Vec<Tensor>>;

    /// Runs all `samples` side by side, with nothing on and with everything on, layer by layer. Returns the outputs of each, in
    /// float and rounded. Layers are shown where the model has an operator TareMark behind them, whose attribute `index` is
    /// their place.
    ///
    /// # Errors
    /// As [`run`](Self::run), and as the corrector.
    fn correct(&self, samples: &[Vec<Tensor>], corrector: &mut dyn Corrector) -> Result<Vec<[Vec<Tensor>; 2]>>;

    /// The bytes of all that a sample has at once at the worst step of [`correct`](Self::correct).
    fn live_bytes(&self) -> usize;
}
