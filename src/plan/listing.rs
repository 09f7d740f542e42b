//! The plan as text: one line for each node and value, in a fixed order, so that two plans can be compared with `diff`.

use super::{ConstantPlan, Idle, IntegerNode, Placement, Plan, RangeSource, Unused};
use crate::ir::Graph;
use crate::quant::Params;
use std::fmt::Write;

impl Plan {
    /// The listing.
    pub fn listing(&self, graph: &Graph) -> String {
        let mut text = format!("# structure\n{}\n", self.structure);
        if let Some(was) = self.was_half {
            let _ = writeln!(text, "# floats\n{was}");
        }
        text.push_str("# nodes\n");
        self.walk(graph, &mut |graph, node| {
            let what = match &node.placement {
                Placement::Integer(integer) => format!("integer{}", constants(integer)),
                Placement::Clamp { into, low, high } => {
                    format!("clamp [{low}, {high}], vanishes into {} if its grid ends within", graph.label(*into))
                }
                Placement::Lookup(table) => format!("integer, table {}", grids(table)),
                Placement::Half(half) => half.kind.to_string(),
                Placement::Weight(weights) => {
                    let all: Vec<_> = weights.iter().map(|weight| format!(", weight {}", grids(weight))).collect();
                    format!("float{}", all.concat())
                }
                Placement::Dynamic(weight) => format!("integer on grids of each run, weight {}", grids(weight)),
                Placement::Recurrent(weights) => {
                    let all: Vec<_> = weights.iter().map(|weight| format!(", weight {}", grids(weight))).collect();
                    format!("integer on grids of each run{}", all.concat())
                }
                Placement::NoFloats => "no floats".to_owned(),
                Placement::Float { reason } => format!("float: {reason}"),
            };
            let _ = writeln!(text, "{} {}: {what}", node.op_type, node.name);
        });
        text.push_str("# values\n");
        for value in &self.values {
            let (scheme, calibrator) = (value.settings.scheme, value.settings.calibrator);
            let how = match value.range {
                RangeSource::Observed => format!("{scheme}, range by {calibrator}"),
                RangeSource::Fixed(range) => format!("{scheme}, {range}"),
                RangeSource::Given(low, high) => format!("{scheme}, range [{low}, {high}] as stated"),
                RangeSource::Grid { scale, zero_point } => {
                    format!("{}, scale {scale} and zero point {zero_point} by the policy", scheme.dtype)
                }
                RangeSource::Known(Params { dtype, scale, zero_point }) => {
                    format!(
                        "{dtype}, scale {scale} and zero point {zero_point} known{}",
                        if value.kept { ", kept" } else { "" }
                    )
                }
                RangeSource::SameAs(other) => format!("the grid of {}", graph.value(other).name()),
            };
            let also: String = value.also.iter().map(|ty| format!(", also {}", ty.scheme)).collect();
            let _ = writeln!(text, "{}: {how}{also}", value.name);
        }
        let idle = self.idle();
        if !idle.is_empty() {
            text.push_str("# rules without effect\n");
            for Idle { line, name, reason } in idle {
                let _ = writeln!(text, "line {line}, {name}: {reason}");
            }
        }
        if !self.unused.is_empty() {
            text.push_str("# known grids not used\n");
            for Unused { name, reason } in &self.unused {
                let _ = writeln!(text, "{name}: {reason}");
            }
        }
        text
    }
}

fn grids(constant: &ConstantPlan) -> String {
    let axis = match (constant.axis, constant.block) {
        (None, _) => "per tensor".to_owned(),
        (Some(axis), None) => format!("per channel on axis {axis}"),
        (Some(axis), Some(block)) => format!("in blocks of {block} along axis {axis}"),
    };
    let known = if constant.known.is_some() { ", known" } else { "" };
    let split = constant.split.map(|split| format!(", columns above {} in float", split.threshold));
    format!("{} {axis}{known}{}", constant.scheme, split.unwrap_or_default())
}

fn constants(node: &IntegerNode) -> String {
    let mut text = String::new();
    for constant in &node.constants {
        let what = if constant.is_weight { "weight" } else { "constant" };
        let _ = write!(text, ", {what} {}", grids(constant));
    }
    if node.bias.is_some() {
        text.push_str(", bias int32");
    }
    if !node.quantized_output {
        text.push_str(", float output");
    }
    text
}
