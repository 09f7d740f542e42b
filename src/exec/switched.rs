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
    /// What it read with everything rounded.
    pub read: Shown<'a>,
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

/// What the channels of a tensor are multiplied by, and what is then added to them.
#[derive(Debug, Clone, PartialEq)]
pub struct Correction {
    /// How many numbers of a channel follow each other.
    pub inner: usize,
    /// The factor of each channel.
    pub gains: Vec<f32>,
    /// The addend of each.
    pub shifts: Vec<f32>,
}

impl Correction {
    /// Corrects the elements of a tensor.
    pub fn apply(&self, elements: &mut [f32]) {
        let channels = self.gains.iter().zip(&self.shifts).cycle();
        for (block, (gain, shift)) in elements.chunks_exact_mut(self.inner).zip(channels) {
            block.iter_mut().for_each(|x| *x = gain * *x + shift);
        }
    }
}

/// Corrections of what layers make, by their places in [`Switches::layers`].
pub type Corrections = Vec<(usize, Correction)>;

/// How all of a program runs.
#[derive(Debug, Clone, Copy)]
pub enum Side<'a> {
    /// With nothing rounded.
    Float,
    /// With everything rounded, and what layers make corrected.
    Rounded(&'a [(usize, Correction)]),
}

/// Who sees what layers make while samples run in float and rounded side by side, and may correct the latter. Layers are told by
/// their places in [`Switches::layers`].
pub trait Corrector: Sync {
    /// Whether it corrects what layer `layer` makes of all samples at once, and by what the layer read of each.
    fn corrects(&self, layer: usize) -> bool;

    /// Layer `layer` made tensors of this `shape` of all samples.
    ///
    /// # Errors
    /// When no correction can be computed.
    fn correct(&mut self, layer: usize, shape: &[usize], samples: &mut [Sides<'_>]) -> Result<()>;

    /// Whether it looks at what layer `layer` makes of one sample after the other.
    fn sees(&self, layer: usize) -> bool;

    /// Layer `layer` made tensors of this `shape` of sample `sample`, in float and rounded. Any number of threads show one each, in any
    /// order.
    fn see(&self, layer: usize, shape: &[usize], sample: usize, made: [&[f32]; 2]);

    /// What is to be done, of each sample, to what layer `layer` makes rounded. All samples were shown.
    fn settle(&mut self, layer: usize) -> Option<Correction>;
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

    /// Runs all `samples` side by side, with nothing on and with everything on, layer by layer. Layers are shown where the model has
    /// an operator TareMark behind them, whose attribute `index` is their place, and whose second input is what they read. Each sample
    /// may hold about `room` bytes while the others go on: it goes twice through stretches that would hold more, if these are short.
    /// Returns the corrections that the corrector settled for.
    ///
    /// # Errors
    /// As [`run`](Self::run), and as the corrector.
    fn correct(&self, samples: &[Vec<Tensor>], room: usize, corrector: &mut dyn Corrector) -> Result<Corrections>;

    /// Runs all `samples` side by side, in float and with everything rounded, stretch by stretch: each on the grids that were chosen for
    /// those before it.
    ///
    /// # Errors
    /// As [`run`](Self::run), and as the chooser.
    fn choose(&self, samples: &[Vec<Tensor>], chooser: &mut dyn Chooser) -> Result<()>;

    /// The outputs of a sample on one side, keeping no more than what is still needed.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    fn outputs(&self, inputs: &[Tensor], side: Side<'_>) -> Result<Vec<Tensor>>;

    /// The bytes that each sample holds in [`correct`](Self::correct) while the others go on, where it may about `room`.
    fn bytes_held(&self, room: usize, corrector: &dyn Corrector) -> usize;

    /// The bytes that a sample takes at its worst step, in float and rounded.
    fn bytes_at_once(&self) -> usize;
}
