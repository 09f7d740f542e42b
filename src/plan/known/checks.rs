//! Whether known grids fit what they are of.

use crate::error::{Error, Result};
use crate::ir::{Graph, ValueId};
use crate::quant::{Blocks, KnownConstant, Params};

/// Whether a grid is one of its type.
///
/// # Errors
/// When it is not.
pub(super) fn check_grid(name: &str, params: &Params) -> Result<()> {
    params.check().map_err(|why| Error::value(name, format!("has the known {why}")))
}

/// Whether the grids of a constant fit its shape, and each other.
///
/// # Errors
/// When they do not.
pub(super) fn check_constant(graph: &Graph, value: ValueId, known: &KnownConstant) -> Result<()> {
    let name = graph.value(value).name();
    let Some(shape) = graph.constant(value)?.map(|tensor| tensor.shape().to_vec()) else { return Ok(()) };
    known.grids.iter().try_for_each(|grid| check_grid(name, grid))?;
    if let Some(other) = known.grids.iter().find(|grid| grid.dtype != known.grids[0].dtype) {
        let why = format!("has known grids of {} and of {}; expected one type", known.grids[0].dtype, other.dtype);
        return Err(Error::value(name, why));
    }
    let count = match (known.axis, known.block) {
        (None, _) => 1,
        (Some(axis), _) if axis >= shape.len() => {
            let why = format!("has known grids along axis {axis}, but its shape is {shape:?}");
            return Err(Error::value(name, why));
        }
        (Some(axis), None) => shape[axis],
        (Some(axis), Some(size)) => Blocks::new(&shape, axis, size).count(),
    };
    if known.grids.len() != count {
        let along = match (known.axis, known.block) {
            (None, _) => "for all of it".to_owned(),
            (Some(axis), None) => format!("along axis {axis}"),
            (Some(axis), Some(size)) => format!("for blocks of {size} along axis {axis}"),
        };
        let found = known.grids.len();
        let why = format!("has {found} known grids; expected {count} {along}, its shape is {shape:?}");
        return Err(Error::value(name, why));
    }
    Ok(())
}
