//! Models that tract cannot analyse.

use super::*;
use crate::proto::GraphProto;

/// x -> Neg -> n -> Reshape to the shape in s -> r -> QuantizeLinear -> DequantizeLinear -> y.
fn reshaped() -> Model {
    let model = Builder::new(13).input("x", &[-1, -1]).input("s", &[2]).floats("scale", &[], &[0.5]);
    let model = model.constant("zero", &Tensor::new(DataType::Uint8, vec![], vec![9].into()).expect("one byte"));
    let model = model.node("Neg", &["x"], &["n"], vec![]).node("Cast", &["s"], &["t"], vec![build::int("to", 7)]);
    let model = model.node("Reshape", &["n", "t"], &["r"], vec![]);
    let model = model.node("QuantizeLinear", &["r", "scale", "zero"], &["q"], vec![]);
    model.node("DequantizeLinear", &["q", "scale", "zero"], &["y"], vec![]).output("y", &[-1, -1]).build()
}

#[test]
fn a_shape_that_is_computed_from_inputs() {
    let tract = Tract::default();
    let observed = ["r", "y", "n", "x", "scale"].map(str::to_owned).to_vec();
    let session = Session::new(&tract, &reshaped(), observed).expect("a session");
    // 0.75 and 1.25 lie half way between two steps; 300 lies beyond the grid.
    let x = Tensor::from_f32(vec![2, 3], &[-0.75, -1.25, 0.5, -300.0, 0.0, 300.0]);
    for shape in [[3, 2], [1, 6]] {
        let s = Tensor::from_f32(vec![2], &shape.map(|d| d as f32));
        let mut seen: Vec<Option<(Vec<usize>, Vec<f32>)>> = vec![None; 5];
        let outputs = session.run(&[x.clone(), s], &mut |which, shape: &[usize], values: &[f32]| {
            assert_eq!(seen[which].replace((shape.to_vec(), values.to_vec())), None, "told of {which} twice");
        });
        let expected = vec![1.0, 1.0, -0.5, 123.0, 0.0, -4.5];
        assert_eq!(outputs.expect("runs")[0], Tensor::from_f32(shape.to_vec(), &expected));
        let negated = vec![0.75, 1.25, -0.5, 300.0, -0.0, -300.0];
        assert_eq!(seen[0], Some((shape.to_vec(), negated.clone())));
        assert_eq!(seen[1], Some((shape.to_vec(), expected)));
        assert_eq!(seen[2], Some((vec![2, 3], negated)));
        assert_eq!(seen[3].as_ref().map(|s| s.0.clone()), Some(vec![2, 3]));
        assert_eq!(seen[4], Some((vec![], vec![0.5])));
    }
}

#[test]
fn branches_of_different_rank() {
    let body = |model: Builder| -> GraphProto { model.proto().graph.expect("a graph") };
    // A branch may hand out a value from outside as it is.
    let then = body(Builder::new(13).output("n", &[-1, -1]));
    let flat = Builder::new(13).ints("f", &[-1]).node("Reshape", &["n", "f"], &["e"], vec![]);
    let otherwise = body(flat.output("e", &[-1]));
    let model = Builder::new(13).input("x", &[2, 2]).input("c", &[]).node("Neg", &["x"], &["n"], vec![]);
    let model = model.node("Cast", &["c"], &["b"], vec![build::int("to", 9)]);
    let bodies = vec![build::body("then_branch", then), build::body("else_branch", otherwise)];
    let model = model.node("If", &["b"], &["y"], bodies).output("y", &[-1, -1]).build();
    let x = Tensor::from_f32(vec![2, 2], &[1.0, 2.0, 3.0, 4.0]);
    for (condition, shape) in [(1.0, vec![2, 2]), (0.0, vec![4])] {
        let found = run(&model, &[x.clone(), Tensor::from_f32(vec![], &[condition])]);
        assert_eq!(found[0], Tensor::from_f32(shape, &[-1.0, -2.0, -3.0, -4.0]));
    }
}

#[test]
fn a_node_that_fails_is_named() {
    let s = Tensor::from_f32(vec![2], &[4.0, 4.0]);
    let text = failure(&reshaped(), &[Tensor::from_f32(vec![2, 3], &[0.0; 6]), s]);
    assert!(text.contains("cannot run Reshape \"Reshape_r\"") && !text.contains('\n'), "{text}");
}

#[test]
fn models_of_both_kinds_are_timed_node_by_node_at_all_shapes() {
    use crate::exec::{Timer, Timing, types_of};
    let chain = Builder::new(13).input("x", &[-1, -1]).input("s", &[2]).node("Neg", &["x"], &["n"], vec![]);
    let chain = chain.node("Softmax", &["n"], &["y"], vec![]).output("y", &[-1, -1]);
    // With a second output, so that its second input is read.
    let chain = chain.node("Sqrt", &["s"], &["z"], vec![]).output("z", &[2]).build();
    let folder = tempfile::tempdir().expect("a folder");
    for (name, model, wanted) in
        [("raw", reshaped(), ["Neg", "Reshape", "QuantizeLinear"]), ("optimised", chain, ["Neg", "Softmax", "Sqrt"])]
    {
        let path = folder.path().join(name);
        crate::file::save(&model, &path).expect("written");
        let sample = |rows: usize| {
            [Tensor::from_f32(vec![rows, 3], &vec![0.5; 3 * rows]), Tensor::from_f32(vec![2], &[rows as f32, 3.0])]
        };
        for nodes in [true, false] {
            let timing = Timing { threads: 1, nodes };
            let mut loaded = Tract::default().load(&path, &types_of(&sample(2)), timing).expect("loads").program;
            for rows in [2, 4, 2] {
                assert!(!loaded.run(&sample(rows)).expect("runs").is_zero(), "{name}");
            }
            let told = loaded.nodes().expect("nodes");
            for op_type in wanted {
                let found = told.iter().filter(|node| node.op_type == op_type).count();
                assert_eq!(found, usize::from(nodes), "{name}: {op_type} in {told:?}");
            }
        }
    }
    let error = Tract::default().load(&folder.path().join("none"), &[], Timing { threads: 1, nodes: false });
    assert!(error.is_err_and(|why| why.to_string().contains("none")));
    let odd = [Tensor::from_f32(vec![2, 3], &[0.0; 6]), Tensor::from_f32(vec![2], &[4.0, 4.0])];
    let mut loaded = Tract::default()
        .load(&folder.path().join("raw"), &types_of(&odd), Timing { threads: 1, nodes: false })
        .expect("what cannot be analysed is loaded as it stands")
        .program;
    let error = loaded.run(&odd).expect_err("a shape that does not fit").to_string();
    assert!(error.contains("cannot run Reshape \"Reshape_r\""), "{error}");
}
