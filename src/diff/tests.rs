//! Small models that differ in one thing, and all that is said of it.

mod loose;
mod odd;
mod renamed;
mod wiring;

use super::*;
use crate::ir::build::{Builder, body, int, ints, tensor};
use crate::tensor::{DataType, Tensor};
use bytes::Bytes;

fn bytes(dtype: DataType, shape: &[usize], values: &[u8]) -> Tensor {
    Tensor::new(dtype, shape.to_vec(), Bytes::copy_from_slice(values)).expect("a tensor")
}

/// What stands for `w`, `[2, 2]`, and for the grid of `x`.
struct Net {
    scale: f32,
    zero: u8,
    weight: [u8; 4],
    weight_scale: f32,
}

const NET: Net = Net { scale: 0.5, zero: 128, weight: [4, 0xfc, 8, 2], weight_scale: 0.25 };

impl Net {
    fn start(&self) -> Builder {
        Builder::new(13)
            .input("x", &[1, 2])
            .floats("s", &[], &[self.scale])
            .floats("t", &[], &[self.weight_scale])
            .constant("z", &bytes(DataType::Uint8, &[], &[self.zero]))
            .constant("k", &bytes(DataType::Int8, &[], &[0]))
            .constant("w_quantized", &bytes(DataType::Int8, &[2, 2], &self.weight))
            .node("QuantizeLinear", &["x", "s", "z"], &["q"], vec![])
    }

    fn pairs(&self) -> Model {
        let net = self.start().node("DequantizeLinear", &["q", "s", "z"], &["d"], vec![]);
        net.node("DequantizeLinear", &["w_quantized", "t", "k"], &["w_d"], vec![])
            .node("MatMul", &["d", "w_d"], &["p"], vec![])
            .node("QuantizeLinear", &["p", "s", "z"], &["r"], vec![])
            .node("DequantizeLinear", &["r", "s", "z"], &["y"], vec![])
            .output("y", &[1, 2])
            .build()
    }

    fn operators(&self) -> Model {
        let reads = ["q", "s", "z", "w_quantized", "t", "k", "s", "z"];
        let net = self.start().node("QLinearMatMul", &reads, &["r"], vec![]);
        net.node("DequantizeLinear", &["r", "s", "z"], &["y"], vec![]).output("y", &[1, 2]).build()
    }
}

fn of(a: &Model, b: &Model) -> Difference {
    diff(a, b, ["a.onnx", "b.onnx"]).expect("a difference")
}

#[test]
fn a_model_is_itself() {
    for model in [NET.pairs(), NET.operators()] {
        let same = of(&model, &model);
        assert!(same.is_empty() && same.notes.is_empty(), "{same:?}");
        assert!(same.to_string().starts_with("no difference "), "{same}");
        assert_eq!((same.compared.grids, same.compared.constants), (2, 1), "{same:?}");
    }
}

#[test]
fn grids_are_those_of_the_values_whatever_the_form() {
    let found = of(&NET.pairs(), &NET.operators());
    assert!(found.grids.is_empty() && found.one_sided.is_empty() && found.constants.is_empty(), "{found:?}");
    assert_eq!((found.compared.grids, found.compared.constants), (2, 1));
    assert!(!found.is_empty());
    assert!(found.to_string().contains("QLinearMatMul"), "{found}");
}

#[test]
fn scales_and_zero_points_are_compared_and_what_differs_most_comes_first() {
    let other = of(&NET.pairs(), &Net { scale: 1.0, zero: 120, ..NET }.pairs());
    assert_eq!(other.grids.len(), 2, "{other:?}");
    let grid = &other.grids[0];
    assert_eq!((grid.scale_ratio, grid.a.zero_point, grid.b.zero_point), (Some(2.0), 128, 120));
    assert!(other.changed.is_empty() && other.constants.is_empty(), "{other:?}");
    assert!(other.to_string().contains("uint8 5e-1 128 -> uint8 1e0 120, scale x 2.0000"), "{other}");
    // Of several, by the ratio, up or down.
    let net = |scales: [f32; 3]| {
        let mut net = Builder::new(13).input("v0", &[1]).constant("z", &bytes(DataType::Uint8, &[], &[0]));
        for (k, scale) in scales.into_iter().enumerate() {
            let names = [format!("s{k}"), format!("v{k}"), format!("q{k}"), format!("d{k}"), format!("v{}", k + 1)];
            let [s, v, q, d, next] = names.each_ref().map(String::as_str);
            net = net.floats(s, &[], &[scale]).node("QuantizeLinear", &[v, s, "z"], &[q], vec![]);
            net = net.node("DequantizeLinear", &[q, s, "z"], &[d], vec![]).node("Neg", &[d], &[next], vec![]);
        }
        net.output("v3", &[1]).build()
    };
    let found = of(&net([1.0, 1.0, 1.0]), &net([0.9, 0.25, 2.0]));
    // Zero points of 0, behind which a Relu may have vanished, change no names.
    let order: Vec<&str> = found.grids.iter().map(|grid| grid.value.as_str()).collect();
    assert_eq!(order, ["v1", "v2", "v0"]);
}

#[test]
fn stored_integers_are_counted_and_their_numbers_measured() {
    let found = of(&NET.pairs(), &Net { weight: [4, 0xfc, 9, 3], ..NET }.pairs());
    let [weight] = &found.constants[..] else { panic!("{found:?}") };
    assert_eq!((weight.differing, weight.count, weight.max_abs), (Some(2), 4, Some(0.25)));
    // 1, -1, 2, 0.5 against two differences of 0.25.
    assert!((weight.sqnr_db.expect("noise") - 10.0 * (6.25f64 / 0.125).log10()).abs() < 1e-9);
    assert!(found.grids.is_empty());
    // Other scales, the same integers.
    let found = of(&NET.pairs(), &Net { weight_scale: 0.5, ..NET }.pairs());
    let [weight] = &found.constants[..] else { panic!("{found:?}") };
    assert_eq!((weight.differing, weight.scale_ratio), (Some(0), Some([2.0, 2.0])));
}

#[test]
fn what_is_integer_in_one_and_float_in_the_other_is_told() {
    let float = Builder::new(13).input("x", &[1, 2]).floats("w", &[2, 2], &[1.0, -1.0, 2.0, 0.5]);
    let float = float.node("MatMul", &["x", "w"], &["y"], vec![]).output("y", &[1, 2]).build();
    for (a, b, flipped) in [(&float, &NET.pairs(), false), (&NET.pairs(), &float, true)] {
        let found = of(a, b);
        let told: Vec<_> =
            found.one_sided.iter().map(|one| (one.name.as_str(), one.a.as_str(), one.b.as_str())).collect();
        let integer = |name, ty| if flipped { (name, ty, "float") } else { (name, "float", ty) };
        for wanted in [integer("x", "uint8"), integer("y", "uint8")] {
            assert!(told.contains(&wanted), "{told:?}");
        }
        assert!(found.one_sided.iter().any(|one| one.kind == "constant"), "{told:?}");
        assert!(!found.changed.iter().any(|node| node.operator == "MatMul"), "{found:?}");
        assert_eq!(found.constants[0].max_abs, Some(0.0), "{found:?}");
    }
}

fn conv(name: &str, pads: i64, opset: i64) -> Builder {
    let attributes = vec![ints("pads", &[pads, pads, pads, pads]), int("group", 1)];
    let net = Builder::new(opset).input("x", &[1, 1, 4, 4]).noise("w", &[1, 1, 3, 3], 1);
    net.node("Conv", &["x", "w"], &[name], attributes).node("Relu", &[name], &["y"], vec![])
}

#[test]
fn structure_attributes_and_what_is_around_are_compared() {
    let (a, b) =
        (conv("c", 1, 13).output("y", &[1, 1, 4, 4]).build(), conv("c", 0, 17).output("y", &[1, 1, 2, 2]).build());
    let mut b = b;
    b.set_metadata("made", "by hand");
    let found = of(&a, &b);
    let what = |changes: &[Changed]| changes.iter().map(|change| change.what.clone()).collect::<Vec<_>>();
    assert_eq!(what(&found.around), ["opset of ai.onnx", "metadata made"]);
    assert_eq!(found.around[1], Changed { what: "metadata made".into(), a: None, b: Some("by hand".into()) });
    assert_eq!(what(&found.interface), ["output y"]);
    assert_eq!((found.changed.len(), what(&found.changed[0].changes)), (1, vec!["attribute pads".to_owned()]));
    assert_eq!(found.changed[0].changes[0].b.as_deref(), Some("[0, 0, 0, 0]"));
    assert!(found.removed.is_empty() && found.added.is_empty());
    // A node more.
    let more = conv("c", 1, 13).node("Neg", &["y"], &["z"], vec![]).output("y", &[1, 1, 4, 4]).build();
    let found = of(&a, &more);
    assert_eq!(
        found.added,
        [NodeOf { node: more.graph.label(last(&more)).to_owned(), operator: "Neg".into(), part_of: None }]
    );
    assert_eq!(of(&more, &a).removed, found.added);
    assert!(found.changed.is_empty());
}

fn last(model: &Model) -> crate::ir::NodeId {
    model.graph.node_ids().last().expect("a node")
}

#[test]
fn nodes_without_names_are_matched_by_output_by_what_they_read_and_by_place() {
    let net = |name: &str, axis: i64| {
        let net = Builder::new(13).input("x", &[2, 2]).node("Neg", &["x"], &[name], vec![]);
        let mut proto = net.node("Softmax", &[name], &["y"], vec![int("axis", axis)]).output("y", &[2, 2]).proto();
        proto.graph.iter_mut().flat_map(|graph| &mut graph.node).for_each(|node| node.name = None);
        Model::from_proto(proto).expect("a model")
    };
    let found = of(&net("a", 1), &net("b", 0));
    assert_eq!((found.removed.len(), found.added.len(), found.changed.len()), (0, 0, 1), "{found:?}");
    assert_eq!(found.renamed, [Changed { what: "value".into(), a: Some("a".into()), b: Some("b".into()) }]);
    // Only names: different, but nothing is another node.
    let found = of(&net("a", 1), &net("b", 1));
    assert!(found.changed.is_empty() && !found.is_empty());
}

#[test]
fn nodes_of_other_names_are_matched_by_what_they_read() {
    let net = |suffix: &str, more: bool| {
        let name = |text: &str| format!("{text}{suffix}");
        let mut net = Builder::new(13).input("x", &[2, 2]);
        if more {
            net = net.node("Neg", &["x"], &["first"], vec![]).node("Neg", &["first"], &["second"], vec![]);
        }
        net.node("Abs", &["x"], &[&name("a")], vec![])
            .node("Neg", &[&name("a")], &[&name("b")], vec![])
            .node("Neg", &[&name("b")], &["y"], vec![])
            .output("y", &[2, 2])
            .build()
    };
    // Neither name nor output tells, and there are others of that operator.
    let found = of(&net("_1", false), &net("_2", true));
    assert!(found.removed.is_empty() && found.changed.is_empty(), "{found:?}");
    assert_eq!(found.added.iter().map(|node| node.operator.as_str()).collect::<Vec<_>>(), ["Neg", "Neg"]);
    assert!(found.added.iter().all(|node| !node.node.contains("_2")), "{found:?}");
}

#[test]
fn bodies_are_compared_and_their_constants() {
    let net = |number: f32| {
        let inner = |number: f32| {
            let inner = Builder::new(13).floats("c", &[1], &[number]);
            inner.node("Add", &["x", "c"], &["o"], vec![]).output("o", &[1]).proto().graph.expect("a graph")
        };
        let outer = Builder::new(13).input("x", &[1]).constant("yes", &bytes(DataType::Bool, &[], &[1]));
        let branches = vec![body("then_branch", inner(number)), body("else_branch", inner(0.0))];
        outer.node("If", &["yes"], &["y"], branches).output("y", &[1]).build()
    };
    assert!(of(&net(1.0), &net(1.0)).is_empty());
    let found = of(&net(1.0), &net(1.5));
    let [constant] = &found.constants[..] else { panic!("{found:?}") };
    assert!(constant.name.contains("body 0: c") && constant.max_abs == Some(0.5), "{constant:?}");
    // What a Constant node holds is an attribute.
    let stated = |number: f32| {
        let value = vec![tensor("value", &Tensor::from_f32(vec![1], &[number]))];
        let net = Builder::new(13).input("x", &[1]).node("Constant", &[], &["c"], value);
        net.node("Add", &["x", "c"], &["y"], vec![]).output("y", &[1]).build()
    };
    let found = of(&stated(1.0), &stated(2.0));
    assert_eq!(found.changed[0].changes[0].what, "attribute value");
    assert!(of(&stated(1.0), &stated(1.0)).is_empty());
}

#[test]
fn constants_under_another_name_are_found_by_who_reads_them() {
    let net = |name: &str, first: f32| {
        let net = Builder::new(13).input("x", &[1, 2]).floats(name, &[2, 2], &[first, 0.0, 0.0, 1.0]);
        net.node("MatMul", &["x", name], &["y"], vec![]).output("y", &[1, 2]).build()
    };
    let found = of(&net("w", 1.0), &net("weight", 3.0));
    let [constant] = &found.constants[..] else { panic!("{found:?}") };
    assert_eq!((constant.b_name.as_deref(), constant.differing), (Some("weight"), Some(1)));
    assert_eq!(found.renamed[0].what, "constant");
    // Where nobody tells, each is there once; a shape that differs has no distance.
    let other = Builder::new(13).input("x", &[1, 2]).floats("w", &[2, 1], &[1.0, 0.0]);
    let other = other.node("MatMul", &["x", "w"], &["y"], vec![]).output("y", &[1, 1]).build();
    let found = of(&net("w", 1.0), &other);
    assert_eq!((found.constants.len(), found.constants[0].max_abs, found.constants[0].differing), (1, None, None));
}

#[test]
fn what_cannot_be_turned_back_is_said_and_the_rest_compared() {
    // Integers that nothing tells the numbers of.
    let odd =
        Builder::new(13).input("x", &[1, 2]).floats("s", &[], &[0.5]).constant("k", &bytes(DataType::Int8, &[], &[0]));
    let odd = odd.node("Cast", &["x"], &["i"], vec![int("to", 3)]);
    let odd = odd.node("DequantizeLinear", &["i", "s", "k"], &["y"], vec![]).output("y", &[1, 2]).build();
    let found = of(&odd, &NET.pairs());
    assert!(found.notes.iter().any(|note| note.starts_with("a.onnx cannot be turned back")), "{:?}", found.notes);
    assert!(found.grids.is_empty() && !found.constants.is_empty() && !found.removed.is_empty());
    assert!(of(&odd, &odd).is_empty());
}

#[test]
fn the_text_is_bounded_and_says_how_much_is_left() {
    let net = |count: usize| {
        let mut net = Builder::new(13).input("v0", &[1]);
        for k in 0..count {
            net = net.node("Neg", &[&format!("v{k}")], &[&format!("v{}", k + 1)], vec![]);
        }
        net.node("Identity", &[&format!("v{count}")], &["y"], vec![]).output("y", &[1]).build()
    };
    let found = of(&net(2), &net(300));
    let text = found.to_string();
    assert_eq!(found.added.len(), 298);
    assert!(text.contains("added        298 Neg\n") && text.contains("  and 288 more\n"), "{text}");
    assert!(text.lines().count() < 40, "{text}");
    // Long texts keep both ends.
    let (mut a, mut b) = (net(1), net(1));
    a.set_metadata("k", &format!("a{}b", "é".repeat(300)));
    b.set_metadata("k", "short");
    let text = of(&a, &b).to_string();
    assert!(text.contains("metadata k: aé") && text.contains("éb -> short") && text.len() < 500, "{text}");
}
