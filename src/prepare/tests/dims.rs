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
