//! Models of a few bytes that ask for more time or memory than there is.

use super::*;
use crate::proto::AttributeProto;

fn types(model: &Model) -> crate::exec::Types {
    let x = TensorType { dtype: DataType::Float32, dims: vec![Some(1), Some(2)] };
    Tract::default().types(&crate::file::to_bytes(model).expect("bytes"), &[x]).expect("types")
}

/// Were one of these given to tract, the test would not end.
#[test]
fn axes_that_are_no_permutation_are_refused() {
    for perm in [&[0, 0][..], &[1, 1], &[0, 3], &[-1, 0], &[1, 2]] {
        // Of an input, and of a constant, which tract would compute as soon as it has read the model.
        for from in ["x", "c"] {
            let model = Builder::new(13).input("x", &[1, 2]).floats("c", &[1, 2], &[1.0, 2.0]);
            let model = model.node("Transpose", &[from], &["t"], vec![build::ints("perm", perm)]);
            let model = model.node("Neg", &["x"], &["n"], vec![]).output("t", &[-1, -1]).output("n", &[1, 2]).build();
            let text = failure(&model, &[row(&[1.0, 2.0])]);
            let (node, why) =
                ("cannot run Transpose \"Transpose_t\"", format!("{perm:?}, which does not hold each axis once"));
            assert!(text.contains(node) && text.contains(&why), "{text}");
            assert_eq!(types(&model)["n"].dims, [Some(1), Some(2)]);
        }
    }
}

/// What makes `y` of `x`, of shape `[1, 2]`, and of what the builder holds already.
fn asking(model: Builder, op_type: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> Model {
    model.node(op_type, inputs, &["y"], attributes).output("y", &[-1]).build()
}

/// Were one of these computed, the test would run out of memory.
#[test]
fn tensors_of_absurd_size_are_refused() {
    let (many, both) = (1 << 31, [1 << 16, 1 << 16]);
    let base = || Builder::new(13).input("x", &[1, 2]).floats("c", &[1, 2], &[1.0, 2.0]).floats("none", &[0], &[]);
    let cases = [
        ("ConstantOfShape", asking(base().ints("s", &both), "ConstantOfShape", &["s"], vec![])),
        ("Expand", asking(base().ints("s", &[1 << 31, 1, 2]), "Expand", &["x", "s"], vec![])),
        ("Expand", asking(base().ints("s", &[1 << 31, 1, 2]), "Expand", &["c", "s"], vec![])),
        ("Expand", asking(base().ints("s", &[1 << 31, 1 << 31, 2]), "Expand", &["c", "s"], vec![])),
        ("Tile", asking(base().ints("s", &[many, 1]), "Tile", &["x", "s"], vec![])),
        ("Tile", asking(base().ints("s", &[many, 1]), "Tile", &["c", "s"], vec![])),
        ("Pad", asking(base().ints("s", &[1 << 30, 1 << 30, 0, 0]), "Pad", &["x", "s"], vec![])),
        ("Pad", asking(base().ints("s", &[1 << 30, 1 << 30, 0, 0]), "Pad", &["c", "s"], vec![])),
        ("Resize", asking(base().floats("f", &[2], &[1.0, 1e10]), "Resize", &["x", "", "f"], vec![])),
        ("Resize", asking(base().ints("s", &both), "Resize", &["c", "", "none", "s"], vec![])),
    ];
    for (op_type, model) in cases {
        let text = failure(&model, &[row(&[1.0, 2.0])]);
        let node = format!("cannot run {op_type} \"{op_type}_y\"");
        assert!(text.contains(&node) && text.contains("of more than 2147483648 elements"), "{text}");
        types(&model);
    }
}

#[test]
fn products_of_absurd_size_are_refused() {
    let wide = vec![1.0; 100_000];
    let model = Builder::new(13).input("x", &[1, 2]).floats("r", &[1, 100_000], &wide);
    let model = asking(model.floats("c", &[100_000, 1], &wide), "MatMul", &["c", "r"], vec![]);
    assert!(failure(&model, &[row(&[1.0, 2.0])]).contains("shape [100000, 100000]"));
}

/// A shape that is not known before the model runs.
#[test]
fn tensors_of_absurd_size_are_refused_while_the_model_runs() {
    let model = Builder::new(13).input("x", &[-1, -1]).input("s", &[2]);
    let model = model.node("Cast", &["s"], &["t"], vec![build::int("to", 7)]);
    let model = model.node("Expand", &["x", "t"], &["y"], vec![]).output("y", &[-1, -1]).build();
    let inputs = |rows: f32| [row(&[1.0, 2.0]), Tensor::from_f32(vec![2], &[rows, 1.0])];
    assert_eq!(run(&model, &inputs(3.0))[0].shape(), [3, 2]);
    let text = failure(&model, &inputs(2e9));
    assert!(text.contains("cannot run Expand \"Expand_y\": it would make a tensor"), "{text}");
}

#[test]
fn a_convolution_of_a_scalar_is_an_error_in_raw_mode_too() {
    // The Reshape to a computed shape keeps tract from analysing the model.
    let model = Builder::new(13)
        .input("x", &[-1, -1])
        .input("s", &[2])
        .node("Cast", &["s"], &["t"], vec![build::int("to", 7)])
        .node("Reshape", &["x", "t"], &["r"], vec![])
        .floats("c", &[], &[0.5])
        .noise("w", &[4, 1, 3, 3], 1)
        .node("Conv", &["c", "w"], &["d"], vec![build::int("group", 4)])
        .node("Add", &["r", "d"], &["y"], vec![])
        .output("y", &[-1, -1])
        .build();
    let s = Tensor::from_f32(vec![2], &[1.0, 2.0]);
    let text = failure(&model, &[row(&[1.0, 2.0]), s]);
    assert!(text.contains("Conv"), "{text}");
}
