//! Whose recording it is, and what the difference says.

use super::*;

fn of(recorded: [f32; 4], float: [f32; 4], own: [f32; 4]) -> RecordedOutput {
    let tensor = |numbers: [f32; 4]| Tensor::from_f32(vec![1, 4], &numbers);
    let seen = Beside::of(&tensor(recorded), &tensor(float), &tensor(own)).expect("numbers");
    output((0, "y"), &[("s", seen)], Some(0.25), None)
}

const FLOAT: [f32; 4] = [1.1, -2.3, 30.4, 0.6];
const OWN: [f32; 4] = [1.0, -2.5, 30.0, 0.5];

#[test]
fn the_verdict_follows_from_what_is_near_to_what() {
    let cases = [
        (OWN, Verdict::Quantization, Some(RecordedOf::Quantized)),
        // A step away.
        ([1.25, -2.5, 30.0, 0.5], Verdict::Quantization, Some(RecordedOf::Quantized)),
        (FLOAT, Verdict::Quantization, Some(RecordedOf::Float)),
        ([1.1, -2.3, 30.41, 0.6], Verdict::Quantization, Some(RecordedOf::Float)),
        // Neither is near.
        ([1.0, -2.5, 30.0, 5.0], Verdict::Disagreement, None),
        ([1.0, -2.5, f32::INFINITY, 0.5], Verdict::Disagreement, None),
    ];
    for (recorded, verdict, whose) in cases {
        let found = of(recorded, FLOAT, OWN);
        assert_eq!((found.verdict, found.of), (verdict, whose), "{recorded:?}");
        assert_eq!(found.step, 0.25);
    }
    let exact = of(OWN, FLOAT, OWN);
    assert!(exact.recorded_to_own.identical && !exact.recorded_to_float.identical);
    assert!((exact.float_to_own.max_abs - 0.4).abs() < 1e-6);
    assert_eq!((of(OWN, OWN, OWN).verdict, of(OWN, OWN, OWN).of), (Verdict::Quantization, None));
    // Much is lost, and what is left is far less than that: rounding.
    let (float, own) = ([0.0, 100.0, -100.0, 50.0], [10.0, 120.0, -80.0, 40.0]);
    let near = of([10.5, 120.0, -80.0, 40.0], float, own);
    assert_eq!((near.verdict, near.of), (Verdict::Rounding, Some(RecordedOf::Quantized)));
}

#[test]
fn a_row_may_be_a_whole_tensor_and_other_shapes_are_named() {
    let names = ["y".to_owned()];
    let like = [Tensor::from_f32(vec![2, 2], &[0.0; 4])];
    let fit = |shape: &[usize], count: usize| {
        fitting(&[Tensor::from_f32(shape.to_vec(), &vec![1.0; count])], &like, &names, "r.npz[3]")
    };
    assert_eq!(fit(&[2, 2], 4).expect("the same")[0].shape(), [2, 2]);
    assert_eq!(fit(&[1, 2, 2], 4).expect("a row")[0].shape(), [2, 2]);
    // The rows of a batch that the tensor does not have.
    let fixed = fit(&[3, 2, 2], 12).expect("the same thrice");
    assert_eq!(fixed, [Tensor::from_f32(vec![2, 2], &[1.0; 4])]);
    let scalar = [Tensor::from_f32(vec![], &[0.0])];
    let rows = |numbers: &[f32]| fitting(&[Tensor::from_f32(vec![2], numbers)], &scalar, &names, "r.npz[3]");
    assert_eq!(rows(&[0.5, 0.5]).expect("the same twice"), [Tensor::from_f32(vec![], &[0.5])]);
    let said = rows(&[0.5, 0.25]).expect_err("two numbers").to_string();
    assert!(said.contains("\"y\"") && said.contains("2 rows recorded in r.npz[3] differ"), "{said}");
    let said = fit(&[4, 1], 4).expect_err("another shape").to_string();
    assert!(said.contains("\"y\"") && said.contains("[4, 1] in r.npz[3]") && said.contains("[2, 2]"), "{said}");
    let said = fitting(&[], &like, &names, "s").expect_err("none").to_string();
    assert!(said.contains("0 outputs are recorded, the model has 1"), "{said}");
}
