//! Recurrent layers as DynamicQuantizeLSTM.

use super::*;
use crate::dequantize;
use crate::ir::build::{body, text};
use crate::plan::Stored;
use crate::proto::{GraphProto, NodeProto, ValueInfoProto};
use crate::qoperators::MICROSOFT;

const INPUT: usize = 6;
const HIDDEN: usize = 5;

/// Sequences of four steps and two rows, through a layer that makes their first output `y`.
fn layer(direction: &str, attributes: &[(&str, i64)]) -> Builder {
    let count = if direction == "bidirectional" { 2 } else { 1 };
    let all = [("hidden_size", HIDDEN as i64)].iter().chain(attributes).map(|(name, value)| int(name, *value));
    let attributes = all.chain([text("direction", direction)]).collect();
    let net = Builder::new(14).input("x", &[4, 2, INPUT as i64]).noise("w", &[count, 4 * HIDDEN, INPUT], 1);
    let net = net.noise("r", &[count, 4 * HIDDEN, HIDDEN], 2).noise("b", &[count, 8 * HIDDEN], 3);
    net.node("LSTM", &["x", "w", "r", "b"], &["y"], attributes).output("y", &[4, count as i64, 2, HIDDEN as i64])
}

fn dynamic(weights: &str, net: Builder) -> Made {
    quantized_by(&format!("mode: dynamic\nweights: {{ form: contrib, {weights} }}\n"), net)
}

/// The operator's constants: the integers, scales and zero points of both weights.
fn operands(made: &Made) -> Vec<Tensor> {
    let all: Vec<_> = made.graph().node_ids().filter(|&id| is_operator(made.graph(), id)).collect();
    assert_eq!(all.len(), 1, "{:?}", made.operators());
    let constant = |slot| made.graph().constant(made.input(all[0], slot)).expect("a tensor").expect("a constant");
    [1, 8, 9, 2, 10, 11].map(constant).to_vec()
}

fn is_operator(graph: &Graph, id: NodeId) -> bool {
    (graph.node(id).domain(), graph.node(id).op_type()) == (MICROSOFT, "DynamicQuantizeLSTM")
}

#[test]
fn every_type_and_granularity_is_as_near_as_its_steps() {
    for direction in ["forward", "reverse", "bidirectional"] {
        let count = if direction == "bidirectional" { 2 } else { 1 };
        for (weights, rows) in [
            ("type: int8", true),
            ("type: uint8, range: minmax", true),
            ("type: int8, granularity: per_tensor, symmetric: false", false),
            ("type: uint8, granularity: per_tensor, symmetric: false", false),
        ] {
            let made = dynamic(weights, layer(direction, &[]));
            assert_eq!(made.operators(), ["DynamicQuantizeLSTM"]);
            assert!(made.sqnr() > 30.0, "{direction}, {weights}: {} dB", made.sqnr());
            assert_eq!((made.model.opset(""), made.model.opset(MICROSOFT)), (Some(14), Some(1)));
            let shapes: Vec<_> = operands(&made).iter().map(|tensor| tensor.shape().to_vec()).collect();
            let scales = if rows { vec![count, 4 * HIDDEN] } else { vec![count] };
            let matrix = |length| vec![count, length, 4 * HIDDEN];
            assert_eq!(shapes[..3], [matrix(INPUT), scales.clone(), scales.clone()], "{direction}, {weights}");
            assert_eq!(shapes[3..], [matrix(HIDDEN), scales.clone(), scales]);
        }
    }
}

#[test]
fn each_number_stands_where_the_operator_looks_for_it() {
    let made = dynamic("type: int8, range: minmax, avoid_saturation: false", layer("bidirectional", &[]));
    let (stored, float) = (operands(&made), made.original.graph.find("r").expect("the weight"));
    let float = made.original.graph.constant(float).expect("a tensor").expect("a constant");
    let (float, scales) = (float.to_f32().expect("numbers"), stored[4].to_f32().expect("scales"));
    let integers = stored[3].to_i64().expect("integers");
    for direction in 0..2 {
        for row in 0..4 * HIDDEN {
            let own = |column: usize| float[(direction * 4 * HIDDEN + row) * HIDDEN + column];
            let scale = scales[direction * 4 * HIDDEN + row];
            let largest = (0..HIDDEN).map(|column| own(column).abs()).fold(0f32, f32::max);
            assert!((scale - largest / 127.0).abs() < 1e-6);
            for column in 0..HIDDEN {
                let q = integers[(direction * HIDDEN + column) * 4 * HIDDEN + row] as f32;
                assert!((q * scale - own(column)).abs() <= 0.501 * scale, "{direction}, {row}, {column}");
            }
        }
    }
}

#[test]
fn neighbours_in_a_sum_survive_16_bits() {
    // Where all are as large as the largest, so would be two products.
    let alike = || {
        let net = Builder::new(14).input("x", &[4, 2, INPUT as i64]);
        let net = net.floats("w", &[1, 4 * HIDDEN, INPUT], &[0.5; 4 * HIDDEN * INPUT]);
        let net = net.floats("r", &[1, 4 * HIDDEN, HIDDEN], &[0.5; 4 * HIDDEN * HIDDEN]);
        let net = net.node("LSTM", &["x", "w", "r"], &["y"], vec![int("hidden_size", HIDDEN as i64)]);
        net.output("y", &[4, 1, 2, HIDDEN as i64])
    };
    for (more, most) in [("avoid_saturation: true", 64), ("avoid_saturation: false", 127)] {
        let made = dynamic(&format!("range: minmax, {more}"), alike());
        let stored = operands(&made);
        for integers in [&stored[0], &stored[3]] {
            assert_eq!(integers.to_i64().expect("integers").iter().max(), Some(&most), "{more}");
        }
    }
}

#[test]
fn what_the_operator_does_not_take_stays_as_it_is_without() {
    let batch_first = layer("forward", &[("layout", 1)]).output("x", &[4, 2, INPUT as i64]);
    let made = dynamic("type: int8", batch_first);
    assert_eq!((made.count("LSTM"), made.count("DequantizeLinear"), made.model.opset(MICROSOFT)), (1, 2, None));
    let gru = Builder::new(14).input("x", &[4, 2, 6]).noise("w", &[1, 15, 6], 1).noise("r", &[1, 15, 5], 2);
    let gru = gru.node("GRU", &["x", "w", "r"], &["y"], vec![int("hidden_size", 5)]).noise("m", &[5, 5], 3);
    let gru = gru.node("MatMul", &["y", "m"], &["z"], vec![]).output("z", &[4, 1, 2, 5]);
    let made = dynamic("type: int8", gru);
    // Everything else is what it is without the form.
    let counts = ["GRU", "DequantizeLinear", "MatMulInteger", "MatMul"].map(|op| made.count(op));
    assert_eq!((counts, made.model.opset(MICROSOFT)), ([1, 2, 1, 0], None), "{:?}", made.operators());
}

#[test]
fn a_layout_that_says_nothing_is_left_out() {
    let made = dynamic("type: int8", layer("forward", &[("layout", 0)]));
    let id = made.graph().node_ids().find(|&id| is_operator(made.graph(), id)).expect("the operator");
    assert!(!made.graph().node(id).attributes().has("layout"));
    assert!(made.plan.listing(made.graph()).contains("integer on grids of each run, weight int8"));
}

#[test]
fn a_layer_of_another_mode_may_have_it_by_a_rule() {
    let policy = "mode: float32\nrules:\n- { match: { op_type: LSTM }, mode: dynamic, weights: { form: contrib } }\n";
    assert_eq!(quantized_by(policy, layer("reverse", &[])).operators(), ["DynamicQuantizeLSTM"]);
}

/// An If whose branches are the same layer with weights of the graph around.
fn branches() -> Builder {
    let branch = |output: &str| {
        let node = NodeProto {
            op_type: Some("LSTM".to_owned()),
            input: ["x", "w", "r"].map(str::to_owned).to_vec(),
            output: vec![output.to_owned()],
            attribute: vec![int("hidden_size", HIDDEN as i64)],
            ..NodeProto::default()
        };
        let again = NodeProto {
            op_type: Some(if output == "a" { "Neg" } else { "Abs" }.to_owned()),
            input: vec![output.to_owned()],
            output: vec![format!("{output}_out")],
            ..NodeProto::default()
        };
        GraphProto {
            name: Some(output.to_owned()),
            node: vec![node, again],
            output: vec![ValueInfoProto { name: Some(format!("{output}_out")), ..ValueInfoProto::default() }],
            ..GraphProto::default()
        }
    };
    let net = Builder::new(14).input("x", &[4, 2, 60]).noise("w", &[1, 4 * HIDDEN, 60], 1);
    let net = net.noise("r", &[1, 4 * HIDDEN, HIDDEN], 2).floats("none", &[], &[0.0]);
    let net = net.node("ReduceSum", &["x"], &["sum"], vec![int("keepdims", 0)]);
    let net = net.node("Greater", &["sum", "none"], &["flag"], vec![]);
    let bodies = vec![body("then_branch", branch("a")), body("else_branch", branch("b"))];
    net.node("If", &["flag"], &["y"], bodies).output("y", &[4, 1, 2, HIDDEN as i64])
}

#[test]
fn branches_have_it_too_and_share_what_they_have_alike() {
    let made = dynamic("type: int8", branches());
    let graph = made.graph();
    for index in 0..2 {
        let inside = graph.body(made.the("If"), index).expect("a body");
        assert_eq!(inside.node_ids().filter(|&id| is_operator(&inside, id)).count(), 1);
        assert!(inside.value_ids().all(|v| inside.constant(v).expect("sound").is_none_or(|t| t.bytes().len() < 1024)));
    }
    assert_eq!(graph.value_ids().filter(|&v| graph.value(v).name().ends_with("_shared")).count(), 1);
    assert!(made.sqnr() > 30.0, "{} dB", made.sqnr());
    let mut back = made.model.clone();
    let done = dequantize::dequantize(&mut back).expect("a float model");
    assert_eq!((done.operators, done.stored), (2, 4));
}

#[test]
fn one_that_was_it_is_it_again_in_every_mode_with_the_same_integers() {
    for weights in ["type: int8", "type: uint8, granularity: per_tensor, symmetric: false"] {
        for direction in ["forward", "bidirectional"] {
            let made = dynamic(weights, layer(direction, &[]));
            let mut model = made.model.clone();
            let (_, found) = dequantize::take_apart(&mut model).expect("a float model");
            let model = Model::from_proto(model.to_proto().expect("a message")).expect("a model");
            let known = Known { own: found.grids, dynamic: found.dynamic, ..Known::default() };
            for mode in ["dynamic", "weight-only", "static", "float16"] {
                let again = quantized_knowing(model.clone(), &format!("mode: {mode}\n"), &known, calibrated);
                assert_eq!(operands(&again), operands(&made), "{weights}, {direction}, {mode}");
                let Some(Placement::Recurrent(plans)) = again.plan.nodes.first().map(|node| node.placement.clone())
                else {
                    panic!("{:?}", again.operators())
                };
                assert!(plans.iter().all(|plan| plan.form == Stored::Recurrent && plan.known.is_some()));
            }
        }
    }
}
