//! Crash tests of small models, from end to end.

mod making;
mod ruling;

use super::*;
use crate::exec::Tract;
use crate::ir::build::{Builder, int};
use crate::progress::Silent;

/// A model of one operator, on an input of open length.
fn of(op_type: &str) -> Model {
    let net = Builder::new(13).input("x", &[1, -1]).node(op_type, &["x"], &["y"], vec![]);
    net.output("y", &[1, -1]).build()
}

fn all(float: &Model, quantized: &Model) -> Stress {
    some(float, quantized, &StressCases::All).expect("crash tests")
}

fn some(float: &Model, quantized: &Model, cases: &StressCases) -> Result<Stress> {
    let (own, options) =
        (Tract::default(), StressOptions { cases, blame: &|_, why| why, preprocess: None, samples: None });
    let engines = Engines { own: &own, runtime: None };
    stress(float, quantized, &engines, &options, 2, &Silent)
}

fn case<'a>(stress: &'a Stress, name: &str) -> &'a StressCase {
    stress.cases.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("{name}: {stress:?}"))
}

#[test]
fn a_model_that_is_the_same_stands_them_all() {
    let stress = all(&of("Tanh"), &of("Tanh"));
    assert!(!stress.is_failed(), "{stress:?}");
    let odd: Vec<&StressCase> = stress.cases.iter().filter(|case| case.verdict != StressVerdict::Ok).collect();
    assert!(odd.iter().all(|case| case.verdict == StressVerdict::Alike && case.name.contains("nan")), "{odd:?}");
    assert_eq!((stress.samples, case(&stress, "N=0").shapes[0].as_slice()), (0, &[1, 0][..]));
    assert!(case(&stress, "noise").outputs[0].far.is_none());
}

#[test]
fn numbers_that_are_lost_fail_but_not_those_of_nan_or_of_numbers_that_no_sensor_gives() {
    let stress = all(&of("Abs"), &of("Sqrt"));
    let lowest = case(&stress, "lowest");
    assert_eq!((lowest.verdict, lowest.is_failed()), (StressVerdict::NotFinite, true));
    assert_eq!((lowest.outputs[0].not_finite, lowest.outputs[0].not_finite_float), (64, 0));
    assert!(!case(&stress, "highest").is_failed());
    let huge = case(&stress, "huge");
    assert_eq!((huge.verdict, huge.is_failed()), (StressVerdict::NotFinite, false));
    assert_eq!((case(&stress, "nan").verdict, case(&stress, "nan").is_failed()), (StressVerdict::Alike, false));
    // The other way round nothing is lost.
    let back = all(&of("Sqrt"), &of("Abs"));
    assert_eq!(case(&back, "lowest").verdict, StressVerdict::FloatNotFinite);
    assert!(!back.is_failed());
}

#[test]
fn a_size_that_only_the_quantized_model_refuses_fails() {
    let net = Builder::new(13).input("x", &[1, -1]).ints("to", &[1, 64]);
    let fixed = net.node("Reshape", &["x", "to"], &["y"], vec![]).output("y", &[1, -1]).build();
    let stress = all(&of("Abs"), &fixed);
    let failed: Vec<&str> =
        stress.cases.iter().filter(|case| case.is_failed()).map(|case| case.name.as_str()).collect();
    assert_eq!(failed, ["N=0", "N=1", "N=32", "N=256"]);
    let one = case(&stress, "N=1");
    assert_eq!(one.verdict, StressVerdict::Refused);
    let said = "Reshape Reshape_y of the quantized model cannot compute what becomes of x of [1, 1]; an app that ran with the float model fails here; if these sizes do not occur, fix them with --dim";
    assert_eq!(one.refused.as_deref(), Some(said));
    // The engine's words are there for whoever asks for them.
    assert!(one.engine_words.as_ref().is_some_and(|words| !said.contains(words.as_str())), "{one:?}");
    let back = all(&fixed, &of("Abs"));
    assert_eq!((case(&back, "N=1").verdict, back.is_failed()), (StressVerdict::FloatRefused, false));
    let both = all(&fixed, &fixed);
    assert_eq!(case(&both, "N=1").verdict, StressVerdict::Alike);
    let said = "Reshape Reshape_y of both models cannot compute what becomes of x of [1, 1]; bring inputs to a size that the model takes before you feed them";
    assert_eq!(case(&both, "N=1").refused.as_deref(), Some(said));
    assert_eq!((&case(&both, "lowest").refused, &case(&both, "lowest").engine_words), (&None, &None));
}

#[test]
fn an_output_of_another_shape_fails() {
    let net = Builder::new(13).input("x", &[1, -1]).node("ReduceSum", &["x"], &["y"], vec![int("keepdims", 1)]);
    let stress = all(&of("Abs"), &net.output("y", &[1, -1]).build());
    let lowest = case(&stress, "lowest");
    assert_eq!((lowest.verdict, lowest.is_failed()), (StressVerdict::OtherShape, true));
    assert_eq!(lowest.refused.as_deref(), Some("y is [1, 1] and not [1, 64]"));
}

#[test]
fn cases_are_run_by_name_and_an_unknown_name_is_an_error_that_knows_all() {
    let named = |names: &[&str]| StressCases::Named(names.iter().map(|name| (*name).to_owned()).collect());
    let (model, whole) = (of("Tanh"), all(&of("Tanh"), &of("Tanh")));
    let two = some(&model, &model, &named(&["N=1", "noise"])).expect("two");
    // The numbers are those of the whole run.
    assert_eq!(two.cases, [case(&whole, "noise").clone(), case(&whole, "N=1").clone()]);
    let why = some(&model, &model, &named(&["noise", "nosie"])).expect_err("unknown").to_string();
    assert!(why.contains("no crash test \"nosie\"") && why.contains("noise, below") && why.contains("N=1"), "{why}");
}

/// `x` on a grid from -0.05 to 1.225 times two.
fn on_grid(activation: Option<&str>) -> Model {
    let mut net = Builder::new(13).input("x", &[1, 4]).floats("s", &[], &[0.005]);
    net = net.constant(
        "z",
        &crate::tensor::Tensor::new(crate::tensor::DataType::Uint8, vec![], vec![10].into()).expect("a byte"),
    );
    net = net.floats("two", &[], &[2.0]).node(activation.unwrap_or("Identity"), &["x"], &["a"], vec![]);
    net = net.node("QuantizeLinear", &["a", "s", "z"], &["q"], vec![]).node(
        "DequantizeLinear",
        &["q", "s", "z"],
        &["d"],
        vec![],
    );
    net.node("Mul", &["d", "two"], &["y"], vec![]).output("y", &[1, 4]).build()
}

fn in_float(activation: &str) -> Model {
    let net = Builder::new(13).input("x", &[1, 4]).floats("two", &[], &[2.0]);
    net.node(activation, &["x"], &["a"], vec![]).node("Mul", &["a", "two"], &["y"], vec![]).output("y", &[1, 4]).build()
}

#[test]
fn what_lies_beyond_a_grid_is_counted_by_value_and_node() {
    let stress = all(&in_float("Tanh"), &on_grid(Some("Tanh")));
    let [low] = &case(&stress, "below").saturated[..] else { panic!("{stress:?}") };
    assert_eq!((low.value.as_str(), low.node.as_str(), low.op_type.as_str()), ("a", "Tanh_a", "Tanh"));
    assert_eq!((low.share, low.share_on_samples), (1.0, None));
    assert!((low.furthest - 0.95 / 1.275).abs() < 1e-5, "{low:?}");
    assert!(case(&stress, "above").saturated.is_empty() && stress.saturation_not_counted.is_none());
    let checkers = &case(&stress, "checkers").saturated;
    assert_eq!(checkers[0].share, 0.5);
}

#[test]
fn what_a_relu_would_cut_off_is_not_beyond() {
    // Another quantizer has taken the Relu away.
    let stress = all(&in_float("Relu"), &on_grid(Some("Tanh")));
    assert!(case(&stress, "below").saturated.is_empty(), "{stress:?}");
    let above = all(&in_float("Relu"), &on_grid(None));
    let above = &case(&above, "above").saturated[0];
    assert_eq!((above.value.as_str(), above.share), ("a", 1.0));
}
