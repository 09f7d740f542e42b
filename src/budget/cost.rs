//! What it costs to run a plan, told without running it.

use crate::exec::Types;
use crate::ir::{Graph, NodeId};
use crate::ops;
use crate::plan::{Placement, Plan};
use crate::tensor::TensorType;
use std::collections::HashMap;

/// What a multiply-accumulate costs beside one of 8-bit integers: of 16-bit numbers, and of float32. These are the widths of what
/// a core reads for it.
const SIXTEEN_BITS: f64 = 2.0;
const FLOAT32: f64 = 4.0;
/// What it costs to convert one number between float and integer: about what a core needs to read and write it.
const CONVERSION: f64 = 8.0;

/// What a node costs more in float than on integers, where what it makes, of type `made`, is then converted.
pub fn in_float<'a>(
    graph: &Graph,
    id: NodeId,
    of: impl Fn(&str) -> Option<&'a TensorType>,
    made: Option<&TensorType>,
) -> f64 {
    let work = ops::multiply_accumulates(graph, id, of).unwrap_or(0) as f64;
    (FLOAT32 - 1.0) * work + CONVERSION * numbers(made)
}

/// How many numbers a value has; dimensions that are not known count as one.
fn numbers(ty: Option<&TensorType>) -> f64 {
    ty.map_or(1.0, |ty| ty.dims.iter().map(|dim| dim.unwrap_or(1) as f64).product())
}

/// What it costs to run `plan`, in multiply-accumulates of 8-bit integers. What has an unknown size counts as one.
pub fn cost(plan: &Plan, graph: &Graph, types: Option<&Types>) -> f64 {
    let of = |name: &str| types.and_then(|types| types.get(name));
    let mut total = 0.0;
    let mut on_integers: HashMap<NodeId, bool> = HashMap::new();
    plan.walk(graph, &mut |within, node| {
        let width = match &node.placement {
            Placement::Integer(integer) => match integer.settings {
                Some(settings) if settings.scheme.dtype.bits() > 8 => SIXTEEN_BITS,
                _ => 1.0,
            },
            Placement::Dynamic(_) | Placement::Recurrent(_) => 1.0,
            Placement::Half(_) => SIXTEEN_BITS,
            _ => FLOAT32,
        };
        total += width * ops::multiply_accumulates(within, node.id, of).unwrap_or(0) as f64;
        if std::ptr::eq(within, graph) {
            let vanishes = matches!(node.placement, Placement::Integer(_) | Placement::Clamp { .. });
            on_integers.insert(node.id, vanishes);
        }
    });
    let converts = |id: NodeId| !on_integers.get(&id).copied().unwrap_or(false);
    for value in &plan.values {
        let own = graph.value(value.id);
        let made = own.producer().is_none_or(converts);
        let read = own.readers().any(|(reader, _)| converts(reader));
        total += CONVERSION * numbers(of(&value.name)) * (f64::from(made) + f64::from(read));
    }
    total
}
