//! Dimensions that the model leaves open, and the sizes that they are given.

use super::*;

/// A batch of unnamed length `N` (as the builder calls it), and an output of the same.
fn open() -> Model {
    Builder::new(13).input("x", &[-1, 3]).output("y", &[-1, 3]).node("Neg", &["x"], &["y"], vec![]).build()
}

fn fixed(sizes: &[(&str, usize)]) -> Result<Model> {
    let mut model = open();
    let dims = sizes.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect();
    prepare(&mut model, &Tract::default(), &Options { dims, ..Options::default() })?;
    Ok(model)
}

fn dims(model: &Model, value: &str) -> Vec<Option<usize>> {
    let value = model.graph.find(value).expect("a value");
    model.graph.stated_type(value).expect("a type").dims
}

#[test]
fn a_dimension_is_fixed_by_its_name_or_by_input_and_axis() {
    for name in ["N", "x[0]"] {
        let model = fixed(&[(name, 5)]).expect("a dimension");
        assert_eq!(dims(&model, "x"), [Some(5), Some(3)], "{name}");
        assert_eq!(dims(&model, "y"), [Some(5), Some(3)], "what has the same name has the same size");
        assert!(model.graph.open_dims().is_empty());
    }
    assert_eq!(open().graph.open_dims(), ["N"]);
}

/// x and y of two open dimensions that are both called `name`.
fn both_called(name: &str) -> Model {
    use crate::proto::{tensor_shape_proto::dimension, type_proto};
    let net = Builder::new(13).input("x", &[-1, -1]).output("y", &[-1, -1]).node("Neg", &["x"], &["y"], vec![]);
    let mut proto = net.proto();
    let graph = proto.graph.as_mut().expect("a graph");
    for info in graph.input.iter_mut().chain(&mut graph.output) {
        let Some(type_proto::Value::TensorType(ty)) = info.r#type.as_mut().and_then(|ty| ty.value.as_mut()) else {
            panic!("no tensor")
        };
        for dim in &mut ty.shape.as_mut().expect("a shape").dim {
            dim.value = Some(dimension::Value::DimParam(name.to_owned()));
        }
    }
    Model::from_proto(proto).expect("a model")
}

#[test]
fn what_is_no_name_does_not_tie_dimensions() {
    for name in ["?", "-1", "*", "None", "unknown", ""] {
        let mut model = both_called(name);
        assert_eq!(model.graph.open_dims(), ["x[0]", "x[1]"], "{name}");
        let dims_of = |sizes: &[(&str, usize)]| sizes.iter().map(|(n, s)| ((*n).to_owned(), *s)).collect();
        let options = Options { dims: dims_of(&[("x[0]", 48), ("x[1]", 192)]), ..Options::default() };
        prepare(&mut model, &Tract::default(), &options).expect("two sizes");
        assert_eq!(dims(&model, "x"), [Some(48), Some(192)], "{name}");
        let mut model = both_called(name);
        let options = Options { dims: dims_of(&[(name, 48)]), ..Options::default() };
        let error = prepare(&mut model, &Tract::default(), &options).expect_err("no name").to_string();
        assert!(error.contains("the model leaves open: x[0], x[1]"), "{error}");
    }
    let mut model = both_called("side");
    let options = Options { dims: [("x[0]".to_owned(), 48)].into(), ..Options::default() };
    prepare(&mut model, &Tract::default(), &options).expect("one size");
    assert_eq!(dims(&model, "x"), [Some(48), Some(48)], "a name that is one ties them");
}

/// The shape that the engine infers for what has as many rows as x has more rows than columns.
#[test]
fn dimensions_without_a_name_are_not_taken_for_equal() {
    let made = |name: &str| {
        let mut proto = both_called(name).to_proto().expect("a message");
        let more = Builder::new(13).ints("zero", &[0]).ints("one", &[1]);
        let more = more.node("Shape", &["x"], &["s"], vec![]).node("Gather", &["s", "zero"], &["h"], vec![]);
        let more = more.node("Gather", &["s", "one"], &["w"], vec![]).node("Div", &["h", "w"], &["d"], vec![]);
        let more = more.node("ConstantOfShape", &["d"], &["c"], vec![]).proto().graph.expect("a graph");
        let graph = proto.graph.as_mut().expect("a graph");
        graph.node.extend(more.node);
        graph.initializer.extend(more.initializer);
        let x = crate::tensor::TensorType { dtype: crate::tensor::DataType::Float32, dims: vec![None, None] };
        let bytes = crate::file::to_bytes(&Model::from_proto(proto).expect("a model")).expect("bytes");
        Tract::default().types(&bytes, &[x]).expect("types").get("c").map(|ty| ty.dims.clone())
    };
    assert_eq!(made("side"), Some(vec![Some(1)]));
    assert_ne!(made("?"), Some(vec![Some(1)]));
}

#[test]
fn a_dimension_that_is_not_open_is_an_error_that_names_those_that_are() {
    for name in ["batch", "x[7]", "z[0]", "x[", "[0]"] {
        let error = fixed(&[(name, 2)]).expect_err("no such dimension").to_string();
        assert!(error.contains(name) && error.contains("leaves open: N"), "{error}");
    }
    let error = fixed(&[("x[1]", 2)]).expect_err("another size").to_string();
    assert!(error.contains("x[1] is 3") && error.contains("cannot be 2"), "{error}");
    // The size that it has is no contradiction.
    fixed(&[("x[1]", 3)]).expect("the same size");
}
