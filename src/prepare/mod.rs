//! Makes the float graph ready to be planned: weights become constants that can be seen, what can be folded into them is,
//! and the operator set is one that quantized models can be written in. The graph computes the same as before.

mod affine;
mod axes;
mod bias;
mod bodies;
mod border;
mod constants;
mod dims;
mod functions;
mod fuse;
mod gemm;
mod hard;
mod identity;
mod inputs;
mod kernels;
mod kinds;
mod levels;
mod matmul;
mod normals;
mod opset;
mod pad;
mod types;
mod widen;

pub use border::widen_border;
pub(crate) use dims::Fix as FixDimensions;
pub use kinds::Kinds;
pub use levels::{TakesLevels, take_levels};
pub use normals::Normals;
pub use opset::later_scans;
pub use types::in_float32;
pub use widen::{has_halves, widen};

use crate::error::Result;
use crate::exec::Executor;
use crate::ir::Model;
use crate::ops;
use crate::pass::{self, Outcome, Pass};
use crate::quant::HalfType;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// The oldest operator set in which DequantizeLinear has an axis.
pub const OUTPUT_OPSET: i64 = 13;

/// What each pass did, in order.
pub type Preparation = Vec<(&'static str, Outcome)>;

/// What may be left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Sizes of dimensions that the model leaves open: by their name, or as `input[axis]`.
    pub dims: BTreeMap<String, usize>,
    /// Whether what an exporter spelled out is replaced by the one operator that ONNX has for it.
    pub fuse_patterns: bool,
    /// Whether operators become what integer kernels can compute.
    pub for_integers: bool,
    /// Whether weights in bodies of If, Loop and Scan become constants that can be seen.
    pub bodies: bool,
    /// The operator set that a model of an older one is brought up to: from `OUTPUT_OPSET` to 25. Models of later ones
    /// stay as they are. 8-bit integers with float32 scales need 13; float8, and scales of float16, need 19; integers of
    /// 4 and 16 bits, and scales for blocks, need 21; integers of 2 bits need 25.
    pub opset: i64,
    /// Types of 16 bits that nodes are to compute in: the model is brought up to where ONNX has its operators for them.
    pub halves: Vec<HalfType>,
}

impl Default for Options {
    fn default() -> Self {
        let (dims, opset, halves) = (BTreeMap::new(), OUTPUT_OPSET, Vec::new());
        Self { dims, fuse_patterns: true, for_integers: true, bodies: false, opset, halves }
    }
}

/// Runs every pass that `options` ask for.
///
/// # Errors
/// When the model's operator set or the one to reach is not understood, or the model is malformed.
pub fn prepare(model: &mut Model, executor: &dyn Executor, options: &Options) -> Result<Preparation> {
    prepare_noting(model, executor, options).map(|(done, _)| done)
}

/// What is gone when a model is prepared.
#[derive(Debug, Default)]
pub struct Noted {
    /// The types that values had before they became float32.
    pub kinds: Kinds,
    /// How what each BatchNormalization makes is distributed.
    pub normals: Normals,
}

/// The same, and what is gone then.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_noting(model: &mut Model, executor: &dyn Executor, options: &Options) -> Result<(Preparation, Noted)> {
    let widen = widen::Widen::new(executor);
    let normals = &RefCell::new(Normals::new());
    let (always, integers) = (true, options.for_integers);
    let passes: &[(bool, &dyn Pass)] = &[
        (always, &inputs::DefaultsToConstants),
        (always, &dims::Fix { sizes: &options.dims }),
        (always, &functions::Inline { name: "inline-functions" }),
        (always, &opset::Upgrade { to: options.opset, executor }),
        (always, &functions::Inline { name: "inline-upgraded-functions" }),
        (always, &widen),
        (always, &constants::Fold { executor }),
        (always, &identity::Eliminate),
        (always, &types::Learn { executor }),
        (always, &axes::WriteOut),
        (always, &gemm::FoldAlphaBeta),
        // A reader that no output needs must not keep a layer as it is.
        (always, &RemoveUnused),
        (always, &bias::Detach),
        (always, &matmul::Normalize),
        // Weights that the passes before turned.
        (always, &constants::Fold { executor }),
        (always, &normals::Note { normals }),
        // First what stands between a layer and its activation; the activation's own nodes must not be taken apart.
        (always, &affine::Fold { spare_activations: true, normals }),
        (integers, &hard::Lower { normals }),
        (always, &fuse::Fuse { enabled: options.fuse_patterns }),
        (always, &affine::Fold { spare_activations: false, normals }),
        (integers, &kernels::Substitute),
        (integers, &pad::Fold),
        (options.bodies, &bodies::FoldConstants { executor }),
        (always, &RemoveUnused),
    ];
    let wanted = passes.iter().filter(|(wanted, _)| *wanted);
    let mut done: Preparation = wanted.map(|(_, p)| Ok((p.name(), pass::run(*p, model)?))).collect::<Result<_>>()?;
    // Which operators there are is known only now.
    let since = options.halves.iter().map(|kind| ops::half_opset(&model.graph, kind.dtype())).max();
    if let Some(to) = since.filter(|to| model.opset("").is_some_and(|own| own < *to)) {
        let upgrade = opset::Upgrade { to, executor };
        done.push((upgrade.name(), pass::run(&upgrade, model)?));
    }
    Ok((done, Noted { kinds: widen.kinds.into_inner(), normals: normals.take() }))
}

/// Drops nodes and constants that no output needs.
struct RemoveUnused;

impl Pass for RemoveUnused {
    fn name(&self) -> &'static str {
        "remove-unused"
    }

    fn run(&self, model: &mut Model) -> Result<Outcome> {
        let before = model.graph.node_ids().count();
        model.graph.remove_unused();
        Ok(Outcome { changed: before - model.graph.node_ids().count(), ..Outcome::default() })
    }
}

#[cfg(test)]
mod tests;
