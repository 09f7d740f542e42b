//! Inputs that are made up.

use super::*;

fn specs(model: &Model) -> Result<Vec<InputSpec>> {
    let spec = |v| {
        let ty = model.graph.stated_type(v).expect("a type");
        InputSpec { name: model.graph.value(v).name().to_owned(), ty, meaning: None::<Meaning> }
    };
    Ok(model.graph.inputs().map(spec).collect())
}

/// A model with inputs of these dimensions; those of -1 are open, and all called N.
fn model(inputs: &[(&str, &[i64])]) -> Model {
    let begun = inputs.iter().fold(Builder::new(17), |model, (name, dims)| model.input(name, dims));
    begun.node("Relu", &[inputs[0].0], &["y"], vec![]).output("y", inputs[0].1).build()
}

#[test]
fn a_batch_is_1_and_the_numbers_are_the_same_each_time() {
    let mut first = model(&[("x", &[-1, 2, 3]), ("z", &[4])]);
    let made = super::super::made(&mut first, specs).expect("inputs");
    assert_eq!(made.batches, ["N"]);
    let shapes: Vec<&[usize]> = made.inputs.iter().map(Tensor::shape).collect();
    assert_eq!(shapes, [&[1, 2, 3][..], &[4]]);
    let values = made.inputs[0].to_f32().expect("floats");
    assert!(values.iter().all(|v| (0.0..1.0).contains(v)) && values[0] != values[1], "{values:?}");
    let again = super::super::made(&mut model(&[("x", &[-1, 2, 3]), ("z", &[4])]), specs).expect("inputs");
    assert_eq!(made, again);
}

#[test]
fn what_is_no_batch_has_to_be_told() {
    // An inner axis, a single one, and a name that is also that of an inner axis.
    for (inputs, place) in
        [(&[("x", &[1, -1][..])][..], "x[1]"), (&[("x", &[-1])], "x[0]"), (&[("x", &[-1, 2]), ("z", &[2, -1])], "x[0]")]
    {
        let error = super::super::made(&mut model(inputs), specs).expect_err("open").to_string();
        let wanted = format!("leaves open: N ({place}); say how large with --dim N=N, or");
        assert!(error.contains(&wanted) && error.contains("--data"), "{error}");
    }
    // Once its batch is known to be one, a single axis of the same name is, too.
    let made = super::super::made(&mut model(&[("x", &[-1, 2]), ("z", &[-1])]), specs).expect("inputs");
    assert_eq!(made.inputs[1].shape(), [1]);
}

#[test]
fn integers_are_good_indices_and_levels_are_any() {
    use DataType::*;
    for dtype in [Int64, Int32, Int16, Uint64, Uint32, Uint16, Bool, Uint8, Int8, Float16, Bfloat16, Float64] {
        let mut model = model(&[("x", &[50])]);
        let x = model.graph.find("x").expect("x");
        model.graph.set_element_type(x, dtype);
        let made = super::super::made(&mut model, specs).expect("inputs");
        let values = match dtype {
            Bool => made.inputs[0].bytes().iter().map(|&b| f32::from(b)).collect(),
            _ => made.inputs[0].to_f32().expect("numbers").into_owned(),
        };
        let all_one = values.iter().all(|&v| v == 1.0);
        assert_eq!(all_one, !matches!(dtype, Uint8 | Int8) && !dtype.is_float(), "{dtype}: {values:?}");
        if dtype.is_float() {
            assert!(values.iter().all(|v| (0.0..=1.0).contains(v)), "{dtype}: {values:?}");
        }
    }
    let mut strings = model(&[("x", &[2])]);
    let x = strings.graph.find("x").expect("x");
    strings.graph.set_element_type(x, String);
    let error = super::super::made(&mut strings, specs).expect_err("strings").to_string();
    assert!(error.contains("\"x\"") && error.contains("--data"), "{error}");
}

#[test]
fn a_size_that_memory_does_not_hold_is_an_error() {
    let error = super::super::made(&mut model(&[("x", &[1 << 40, 1 << 40])]), specs).expect_err("huge").to_string();
    assert!(error.contains("too large"), "{error}");
}
