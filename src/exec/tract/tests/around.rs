//! Weights of nodes in bodies that lie in a graph around: what the engine has no operator or type for is written out there, too.

use super::*;
use crate::ir::build::{body, int};

/// A node of ONNX Runtime's domain, or of ONNX's own, that reads `x` and the constants of [`stored`].
struct Case {
    op_type: &'static str,
    inputs: &'static [&'static str],
    attributes: &'static [(&'static str, i64)],
    own: bool,
    dims: [i64; 2],
}

const CASES: [Case; 4] = [
    Case {
        op_type: "MatMulNBits",
        inputs: &["x", "bytes", "scales"],
        attributes: &[("K", 16), ("N", 3), ("bits", 8), ("block_size", 16)],
        own: false,
        dims: [2, 3],
    },
    Case {
        op_type: "MatMulBnb4",
        inputs: &["x", "codes", "scales"],
        attributes: &[("K", 16), ("N", 3), ("block_size", 16), ("quant_type", 1)],
        own: false,
        dims: [2, 3],
    },
    Case {
        op_type: "GatherBlockQuantized",
        inputs: &["table", "ids", "table_scales"],
        attributes: &[("bits", 8), ("block_size", 16), ("gather_axis", 0), ("quantize_axis", 1)],
        own: false,
        dims: [2, 16],
    },
    Case {
        op_type: "DequantizeLinear",
        inputs: &["nibbles", "nibble_scales"],
        attributes: &[("axis", 0), ("block_size", 2)],
        own: true,
        dims: [4, 2],
    },
];

/// A model with the constants that cases read.
fn stored() -> Builder {
    let bytes = |dims: &[usize], dtype: DataType, count: usize| {
        let data: Vec<u8> = (0..count).map(|i| (i * 37 % 251) as u8).collect();
        Tensor::new(dtype, dims.to_vec(), data.into()).expect("as many as the shape says")
    };
    Builder::new(21)
        .input("x", &[2, 16])
        .input("flag", &[1])
        .constant("bytes", &bytes(&[3, 1, 16], DataType::Uint8, 48))
        .constant("codes", &bytes(&[24], DataType::Uint8, 24))
        .floats("scales", &[3], &[0.5, 0.25, 0.125])
        .constant("table", &bytes(&[5, 16], DataType::Uint8, 80))
        .floats("table_scales", &[5, 1], &[1.0, 2.0, 3.0, 4.0, 5.0])
        .ints("ids", &[3, 1])
        .constant("nibbles", &bytes(&[4, 2], DataType::Int4, 4))
        .floats("nibble_scales", &[2, 2], &[1.0, 0.5, 0.25, 2.0])
}

impl Case {
    /// Adds its node to a graph, or to a body.
    fn add(&self, graph: Builder, output: &str) -> Builder {
        let attributes = self.attributes.iter().map(|&(name, value)| int(name, value)).collect();
        graph.node(self.op_type, self.inputs, &[output], attributes)
    }

    /// As a node of the model itself, or in the branches of as many If as `depth` says.
    fn model(&self, depth: usize) -> Model {
        let net = stored().floats("half", &[1], &[0.5]).node("Greater", &["flag", "half"], &["is"], vec![]);
        let made = match depth {
            0 => self.add(net, "y"),
            _ => net.node("If", &["is"], &["y"], self.branches(depth, "y")),
        };
        let mut proto = made.output("y", &self.dims).proto();
        if !self.own {
            proto.graph.iter_mut().for_each(|graph| graph.node.iter_mut().for_each(|node| self.place(node)));
        }
        Model::from_proto(proto).expect("a model")
    }

    /// Two branches, of which the second gives the opposite.
    fn branches(&self, depth: usize, around: &str) -> Vec<crate::proto::AttributeProto> {
        let branch = |opposite: bool| {
            let (name, last) = (format!("{around}_{opposite}"), format!("{around}_{opposite}_last"));
            let graph = match depth {
                1 => self.add(Builder::new(21), &name),
                _ => Builder::new(21).node("If", &["is"], &[&name], self.branches(depth - 1, &name)),
            };
            let graph = graph.node(if opposite { "Neg" } else { "Identity" }, &[&name], &[&last], vec![]);
            graph.output(&last, &self.dims).proto().graph.expect("a graph")
        };
        vec![body("then_branch", branch(false)), body("else_branch", branch(true))]
    }

    fn place(&self, node: &mut crate::proto::NodeProto) {
        if node.op_type() == self.op_type {
            node.domain = Some("com.microsoft".to_owned());
        }
        for graph in node.attribute.iter_mut().filter_map(|attribute| attribute.g.as_mut()) {
            graph.node.iter_mut().for_each(|inner| self.place(inner));
        }
    }
}

#[test]
fn nodes_in_bodies_read_weights_from_around() {
    let x = Tensor::from_f32(vec![2, 16], &build::noise(32, 3));
    for case in &CASES {
        let flagged = |depth: usize, flag: f32| {
            let made = run(&case.model(depth), &[x.clone(), Tensor::from_f32(vec![1], &[flag])]);
            made[0].to_f32().expect("numbers").into_owned()
        };
        let wanted = flagged(0, 1.0);
        assert!(wanted.iter().any(|v| *v != 0.0), "{}", case.op_type);
        for depth in [1, 2] {
            assert_eq!(flagged(depth, 1.0), wanted, "{} in {depth}", case.op_type);
            let turned = if depth == 1 { -1.0 } else { 1.0 };
            let opposite: Vec<f32> = wanted.iter().map(|v| v * turned).collect();
            assert_eq!(flagged(depth, 0.0), opposite, "{} in {depth}, the other branch", case.op_type);
        }
    }
}

#[test]
fn what_follows_constant_branches_reads_the_one_that_was_chosen() {
    let branch = |name: &str, number: f32| {
        let graph = Builder::new(13).floats(&format!("{name}_c"), &[2], &[number, 2.0 * number]);
        let graph = graph.node("Identity", &[&format!("{name}_c")], &[name], vec![]).output(name, &[2]);
        graph.proto().graph.expect("a graph")
    };
    let bodies = || vec![body("then_branch", branch("t", 1.0)), body("else_branch", branch("e", 5.0))];
    let net = Builder::new(13).input("x", &[1]).floats("half", &[1], &[0.5]);
    let net = net.node("Greater", &["x", "half"], &["is"], vec![]).node("If", &["is"], &["c"], bodies());
    let model = net.node("Neg", &["c"], &["y"], vec![]).output("y", &[2]).build();
    for (flag, wanted) in [(1.0, [-1.0, -2.0]), (0.0, [-5.0, -10.0])] {
        let made = run(&model, &[Tensor::from_f32(vec![1], &[flag])]);
        assert_eq!(*made[0].to_f32().expect("numbers"), wanted);
    }
    // A condition that is known goes as before.
    let known = Tensor::new(DataType::Bool, vec![], vec![0].into()).expect("a flag");
    let net = Builder::new(13).input("x", &[2]).constant("is", &known).node("If", &["is"], &["c"], bodies());
    let model = net.node("Add", &["c", "x"], &["y"], vec![]).output("y", &[2]).build();
    let made = run(&model, &[Tensor::from_f32(vec![2], &[0.0, 1.0])]);
    assert_eq!(*made[0].to_f32().expect("numbers"), [5.0, 11.0]);
}
