//! Nodes that would be integers by themselves, but that ONNX Runtime then fails at for what stands around them.

use super::conditions::dilated;
use super::op::Role;
use super::table::lookup;
use crate::ir::{Graph, NodeId};

/// What ONNX Runtime carries a DequantizeLinear through, by writing a pair behind it where there is none.
const CARRIED: &[&str] = &["MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"];

/// Whether ONNX Runtime writes a pair of its own behind this node where a DequantizeLinear stands before it.
///
/// From opset 21 on, version 1.31.1 states int8 as the type of such a pair, makes all int8 activations uint8 afterwards, and then
/// refuses the model: "output_dtype INT8 does not match y_zero_point type UINT8".
pub fn carries_dequantization(graph: &Graph, id: NodeId) -> bool {
    CARRIED.iter().any(|op| graph.node(id).is(op))
}

/// For each node, by index, why it has to stay float; `order` is a topological order.
pub fn stays_float(graph: &Graph, order: &[NodeId]) -> Vec<Option<String>> {
    let mut reasons = vec![None; graph.node_bound()];
    near_fixed_axes(graph, order, &mut reasons);
    behind_dilated_averages(graph, order, &mut reasons);
    reasons
}

/// ONNX Runtime moves the channels of an integer Conv to the end with a Transpose before it, and back with one behind it.
/// A Transpose it moves on, behind nodes that take their axes in any order, if another one follows to meet. At some nodes
/// it then errs, and the model does not run: no Transpose may come from before such a node, or none may follow.
fn near_fixed_axes(graph: &Graph, order: &[NodeId], reasons: &mut [Option<String>]) {
    let why = |what: &str| Some(format!("ONNX Runtime does not run an integer Conv near {what}"));
    // Whether such a node follows, with nothing between that a Transpose is not moved through.
    let mut follows: Vec<Option<&str>> = vec![None; graph.node_bound()];
    for &id in order.iter().rev() {
        let mut readers = graph.node(id).outputs().iter().flatten().flat_map(|&v| graph.value(v).readers());
        let what = readers.find_map(|(reader, _)| {
            fixed_axes(graph, reader).or(follows[reader.index()].filter(|_| !stops(graph, reader)))
        });
        follows[id.index()] = what;
        if let Some(what) = what.filter(|_| graph.node(id).is("Conv")) {
            reasons[id.index()] = why(what);
        }
    }
    // The model's own: from those that reach such a node the integer Convs behind it have to stay away.
    let mut turned = vec![false; graph.value_bound()];
    let mut behind: Vec<Option<&str>> = vec![None; graph.value_bound()];
    for &id in order {
        let node = graph.node(id);
        let inputs = || node.inputs().iter().flatten();
        let arrives = inputs().any(|v| turned[v.index()]);
        let what = inputs().find_map(|v| behind[v.index()]).or(fixed_axes(graph, id).filter(|_| arrives));
        if let Some(what) = what.filter(|_| node.is("Conv")) {
            reasons[id.index()] = why(what);
        }
        if !stops(graph, id) {
            for output in node.outputs().iter().flatten() {
                turned[output.index()] = arrives || node.is("Transpose");
                behind[output.index()] = what;
            }
        }
    }
}

/// Whether a Transpose is not moved through a node.
fn stops(graph: &Graph, id: NodeId) -> bool {
    lookup(graph, id).is_some_and(|op| op.role == Role::Compute)
        || ["Flatten", "Reshape", "Shape"].iter().any(|op| graph.node(id).is(op))
}

/// What a node is called that ONNX Runtime moves a Transpose through although it must not.
fn fixed_axes(graph: &Graph, id: NodeId) -> Option<&'static str> {
    let node = graph.node(id);
    let text = |name: &str| node.attributes().text(name);
    if node.is("Pad") && node.input(3).is_some() {
        return Some("a Pad that names its axes");
    }
    if !node.is("Resize") {
        return None;
    }
    if text("mode") == Some("cubic") {
        Some("a cubic Resize")
    } else if node.attributes().has("axes") {
        Some("a Resize that names its axes")
    } else {
        let keeps = text("keep_aspect_ratio_policy").is_some_and(|policy| policy != "stretch");
        keeps.then_some("a Resize that keeps the aspect ratio")
    }
}

/// Between integers ONNX Runtime makes a QLinearAveragePool of every AveragePool, which has no dilations, and refuses the
/// model. It also moves what quantizes to before nodes that only move numbers.
fn behind_dilated_averages(graph: &Graph, order: &[NodeId], reasons: &mut [Option<String>]) {
    let mut averages = vec![false; graph.value_bound()];
    for &id in order {
        let node = graph.node(id);
        let reads = node.inputs().iter().flatten().any(|v| averages[v.index()]);
        if reads {
            reasons[id.index()].get_or_insert_with(|| {
                "ONNX Runtime does not run a dilated AveragePool before an integer node".to_owned()
            });
        }
        let passes = || lookup(graph, id).is_some_and(|op| matches!(op.role, Role::Movement | Role::Clamp));
        if dilated(graph, id) || reads && passes() {
            node.outputs().iter().flatten().for_each(|v| averages[v.index()] = true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Model;
    use crate::ir::build::{Builder, ints, text};

    /// A Conv that makes `c`.
    fn start() -> Builder {
        conv(Builder::new(19).input("x", &[1, 4, -1, -1]), "x", "c")
    }

    fn conv(builder: Builder, x: &str, y: &str) -> Builder {
        let w = format!("{y}_w");
        builder.noise(&w, &[4, 4, 1, 1], 1).node("Conv", &[x, &w], &[y], vec![])
    }

    /// `r`, made from `from` by a cubic Resize.
    fn cubic(builder: Builder, from: &str) -> Builder {
        let builder = builder.floats("scales", &[4], &[1.0, 1.0, 2.0, 2.0]);
        builder.node("Resize", &[from, "", "scales"], &["r"], vec![text("mode", "cubic")])
    }

    /// The labels of the nodes that stay float, with the reasons.
    fn found(builder: Builder) -> Vec<String> {
        let model: Model = builder.output("y", &[-1, -1, -1, -1]).build();
        let order = model.graph.topological().expect("no circle");
        let reasons = stays_float(&model.graph, &order);
        let line = |id: NodeId| Some(format!("{}: {}", model.graph.label(id), reasons[id.index()].as_ref()?));
        order.into_iter().filter_map(line).collect()
    }

    const NEAR: &str = "ONNX Runtime does not run an integer Conv near";

    #[test]
    fn convolutions_before_a_cubic_resize_stay_float() {
        let reason = format!("Conv_c: {NEAR} a cubic Resize");
        assert_eq!(found(conv(cubic(start(), "c"), "r", "y")), std::slice::from_ref(&reason));
        let between = start().node("Relu", &["c"], &["a"], vec![]).node("Add", &["a", "x"], &["b"], vec![]);
        assert_eq!(found(conv(cubic(between, "b"), "r", "y")), [reason]);
        let layer = conv(start(), "c", "d");
        assert_eq!(found(conv(cubic(layer, "d"), "r", "y")), [format!("Conv_d: {NEAR} a cubic Resize")]);
        let reshaped = start().ints("shape", &[1, 4, 2, -1]).node("Reshape", &["c", "shape"], &["f"], vec![]);
        assert_eq!(found(conv(cubic(reshaped, "f"), "r", "y")), [""; 0]);
    }

    #[test]
    fn convolutions_behind_a_cubic_resize_stay_float_if_the_model_transposes_before_it() {
        let turned = Builder::new(19)
            .input("x", &[1, 4, 8, 8])
            .node("Transpose", &["x"], &["t"], vec![ints("perm", &[0, 1, 3, 2])])
            .node("Sigmoid", &["t"], &["s"], vec![]);
        let behind = cubic(turned, "s").node("Tanh", &["r"], &["h"], vec![]);
        assert_eq!(found(conv(behind, "h", "y")), [format!("Conv_y: {NEAR} a cubic Resize")]);
        let straight = cubic(Builder::new(19).input("x", &[1, 4, 8, 8]), "x");
        assert_eq!(found(conv(straight, "r", "y")), [""; 0]);
    }

    #[test]
    fn named_axes_and_kept_ratios_keep_convolutions_float() {
        let sizes = || start().ints("sizes", &[4, 4]);
        let inputs = ["c", "", "", "sizes"];
        let named = sizes().node("Resize", &inputs, &["y"], vec![ints("axes", &[2, 3])]);
        assert_eq!(found(named), [format!("Conv_c: {NEAR} a Resize that names its axes")]);
        let ratio = sizes().node("Resize", &inputs, &["y"], vec![text("keep_aspect_ratio_policy", "not_larger")]);
        assert_eq!(found(ratio), [format!("Conv_c: {NEAR} a Resize that keeps the aspect ratio")]);
        let stretched = sizes().node("Resize", &inputs, &["y"], vec![text("keep_aspect_ratio_policy", "stretch")]);
        assert_eq!(found(stretched), [""; 0]);
        let pads = start().ints("pads", &[1, 1]).ints("axes", &[2]);
        let named = pads.node("Pad", &["c", "pads", "", "axes"], &["y"], vec![]);
        assert_eq!(found(named), [format!("Conv_c: {NEAR} a Pad that names its axes")]);
    }

    #[test]
    fn what_reads_a_dilated_average_stays_float() {
        let pool = |dilations: &[i64]| {
            let attributes = vec![ints("kernel_shape", &[2, 2]), ints("dilations", dilations)];
            let pooled = start().node("AveragePool", &["c"], &["p"], attributes);
            let moved = pooled.node("Relu", &["p"], &["a"], vec![]);
            let moved = moved.node("MaxPool", &["a"], &["m"], vec![ints("kernel_shape", &[1, 1])]);
            conv(conv(moved, "m", "d"), "d", "y")
        };
        let reason = "ONNX Runtime does not run a dilated AveragePool before an integer node";
        let wanted = ["Relu_a", "MaxPool_m", "Conv_d"].map(|label| format!("{label}: {reason}"));
        assert_eq!(found(pool(&[2, 1])), wanted);
        assert_eq!(found(pool(&[1, 1])), [""; 0]);
    }
}
