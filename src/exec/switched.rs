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

/// What a layer read and made of one sample, elements in the order of their shapes.
pub struct Sides<'a> {
    /// What it read with everything rounded, if it is shown.
    pub read: Option<Shown<'a>>,
    /// What it made in float.
    pub float: &'a [f32],
    /// What it made with everything rounded. What is left here is what stands behind the layer reads.
    pub rounded: &'a mut [f32],
}

/// A tensor that is shown.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// Its shape.
    pub shape: &'a [usize],
    /// Its elements.
    pub numbers: &'a [f32],
}

/// Who sees what layers make while samples run in float and rounded side by side, and may correct the latter.
pub trait Corrector {
    /// Whether it wants to see what layer `layer` read, too.
    fn reads(&self, layer: usize) -> bool;

    /// Layer `layer`, a place in [`Switches::layers`], made tensors of this `shape` of all samples.
    ///
    /// # Errors
    /// When no correction can be computed.
    fn correct(&mut self, layer: usize, shape: &[usize], samples: &mut [Sides<'_>]) -> Result<()>;
}

/// A stretch of a program: the nodes between two places, on what was made before them with everything rounded as it was chosen.
pub trait Stretch {
    /// The grids that it rounds on: places in [`Switches::grids`].
    fn grids(&self) -> Vec<usize>;

    /// How many samples there are.
    fn samples(&self) -> usize;

    /// How far what it makes of each of these samples is from what it makes in float, with some grids `changed`: the squares of what
    /// lies between as shares of those in float, summed over what is read behind it.
    ///
    /// # Errors
    /// When a node fails.
    fn errors(&self, changed: &[(usize, Params)], samples: &[usize]) -> Result<Vec<f64>>;
}

/// Who chooses grids, stretch by stretch.
pub trait Chooser {
    /// Looks at a stretch, and tells which grids are to be others from here on.
    ///
    /// # Errors
    /// When the stretch cannot run.
    fn choose(&mut self, stretch: &dyn Stretch) -> Result<Vec<(usize, Params)>>;
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
    /// their place, and what they read where that is its second input.
    ///
    /// # Errors
    /// As [`run`](Self::run), and as the corrector.
    fn correct(&self, samples: &[Vec<Tensor>], corrector: &mut dyn Corrector) -> Result<Vec<[Vec<Tensor>; 2]>>;

    /// Runs all `samples` side by side, in float and with everything rounded, stretch by stretch: each on the grids that were chosen for
    /// those before it.
    ///
    /// # Errors
    /// As [`run`](Self::run), and as the chooser.
    fn choose(&self, samples: &[Vec<Tensor>], chooser: &mut dyn Chooser) -> Result<()>;

    /// The outputs of a sample with everything on or nothing, keeping no more than what is still needed.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    fn outputs(&self, inputs: &[Tensor], on: bool) -> Result<Vec<Tensor>>;

    /// The bytes that each sample holds at the worst layer of [`correct`](Self::correct) while the others go on, and those that one
    /// takes at its worst step. `reads` tells of which layers what they read is held, too.
    fn live_bytes(&self, reads: &dyn Fn(usize) -> bool) -> (usize, usize);
}
