//! Verdicts, with runtimes that do what a test tells them.

use super::super::steps;
use super::*;
use crate::exec::{Observer, Program, Tract, Types};
use crate::ir::build::{self, Builder};
use crate::tensor::TensorType;

/// tract, with something done to every output.
#[derive(Default)]
struct Runs {
    tract: Tract,
    /// What becomes of number `.0` of an output, which is `.1`.
    change: Option<fn(usize, f32) -> f32>,
    /// Why it does not load a model.
    refuses: Option<&'static str>,
    /// Inputs that begin with a number above this it does not run.
    most: Option<f32>,
    /// Whether it takes numbers of 16 bits.
    halves: bool,
}

struct Changed(Box<dyn Program>, Option<fn(usize, f32) -> f32>, Option<f32>);

impl Program for Changed {
    fn run(&self, inputs: &[Tensor], observe: &mut Observer<'_>) -> Result<Vec<Tensor>> {
        if self.2.is_some_and(|most| inputs[0].to_f32().expect("floats")[0] > most) {
            return Err(Error::Engine("too much".to_owned()));
        }
        let change = |tensor: Tensor| match self.1 {
            None => tensor,
            Some(change) => {
                let numbers = tensor.to_f32().expect("floats");
                let changed: Vec<f32> = numbers.iter().enumerate().map(|(i, &v)| change(i, v)).collect();
                Tensor::from_f32(tensor.shape().to_vec(), &changed)
            }
        };
        Ok(self.0.run(inputs, observe)?.into_iter().map(change).collect())
    }
}

impl Executor for Runs {
    fn name(&self) -> String {
        "a runtime".to_owned()
    }

    fn compile(&self, model: Vec<u8>, inputs: &[TensorType], observed: &[String]) -> Result<Box<dyn Program>> {
        match self.refuses {
            Some(why) => Err(Error::Engine(why.to_owned())),
            None => Ok(Box::new(Changed(self.tract.compile(model, inputs, observed)?, self.change, self.most))),
        }
    }

    fn types(&self, model: &[u8], inputs: &[TensorType]) -> Result<Types> {
        self.tract.types(model, inputs)
    }

    fn runs_halves(&self) -> bool {
        self.halves
    }
}

fn changing(change: fn(usize, f32) -> f32) -> Runs {
    Runs { change: Some(change), ..Runs::default() }
}

/// y is what is left of x after a grid of a quarter, from -32 to 31.75.
fn quantized() -> Model {
    let model = Builder::new(13).input("x", &[64]).floats("scale", &[], &[0.25]);
    let zero = Tensor::new(crate::tensor::DataType::Int8, vec![], vec![0u8].into()).expect("a zero point");
    let model = model.constant("zero", &zero).node("QuantizeLinear", &["x", "scale", "zero"], &["q"], vec![]);
    let model = model.node("DequantizeLinear", &["q", "scale", "zero"], &["d"], vec![]);
    model.node("Reshape", &["d", "shape"], &["y"], vec![]).ints("shape", &[64]).output("y", &[64]).build()
}

fn numbers(seed: u32) -> Vec<f32> {
    build::noise(64, seed).iter().map(|v| v * 8.0).collect()
}

/// What two samples show where the float model gives what it reads, plus `lost` times noise.
fn shown(disable_all: &Runs, default: &Runs, lost: f32) -> ThreeWay {
    let model = quantized();
    let runtime = Runtime { name: "a runtime".to_owned(), disable_all, default };
    let witnesses = Witnesses::new(&runtime, &model).expect("witnesses");
    let own = Runs::default();
    let own = Side::new(&own, &model).expect("a side");
    let sample = |seed: u32| {
        let x = Tensor::from_f32(vec![64], &numbers(seed));
        let noise = build::noise(64, seed + 100);
        let float: Vec<f32> = numbers(seed).iter().zip(noise).map(|(v, n)| v + lost * n).collect();
        let outputs = own.run(std::slice::from_ref(&x)).expect("runs");
        let seen = witnesses.look(&[x], [&[Tensor::from_f32(vec![64], &float)], &outputs], None).expect("seen");
        (format!("sample {seed}"), seen)
    };
    witnesses.sum_up(&["y".to_owned()], &[sample(1), sample(2)])
}

fn verdict(disable_all: &Runs, default: &Runs) -> Verdict {
    shown(disable_all, default, 0.0).outputs[0].verdict
}

#[test]
fn the_verdict_says_where_the_difference_begins() {
    let same = Runs::default();
    let one_step = changing(|i, v| if i == 5 { v + 0.25 } else { v });
    let two_steps = changing(|i, v| if i == 5 { v - 0.5 } else { v });
    let nan = changing(|i, v| if i == 5 { f32::NAN } else { v });
    assert_eq!(verdict(&same, &same), Verdict::Quantization);
    assert_eq!(verdict(&one_step, &one_step), Verdict::Quantization);
    assert_eq!(verdict(&one_step, &two_steps), Verdict::Fusion);
    assert_eq!(verdict(&two_steps, &same), Verdict::Disagreement);
    assert_eq!(verdict(&two_steps, &two_steps), Verdict::Disagreement);
    assert_eq!(verdict(&same, &nan), Verdict::Fusion);
}

#[test]
fn what_is_far_below_the_loss_is_rounding() {
    let (same, two_steps) = (Runs::default(), changing(|i, v| if i == 5 { v - 0.5 } else { v }));
    let of = |lost| shown(&two_steps, &same, lost).outputs[0].verdict;
    assert_eq!((of(0.0), of(2.0)), (Verdict::Disagreement, Verdict::Rounding));
    // As far below in all, but further off in one place than quantization is anywhere.
    let spike = changing(|i, v| if i == 5 { v - 4.0 } else { v });
    assert_eq!(shown(&spike, &same, 3.0).outputs[0].verdict, Verdict::Disagreement);
    assert_eq!(shown(&same, &two_steps, 2.0).outputs[0].verdict, Verdict::Rounding);
}

#[test]
fn distances_are_in_steps_of_the_grid() {
    let (same, moved) = (Runs::default(), changing(|i, v| if i == 5 { v - 0.5 } else { v }));
    let shown = shown(&same, &moved, 0.0);
    let output = &shown.outputs[0];
    assert_eq!((output.step, shown.runtime.as_str()), (0.25, "a runtime"));
    assert!(output.own_to_disable_all.as_ref().is_some_and(|d| d.identical && d.worst_sample.is_none()));
    let off = output.own_to_default.as_ref().expect("a distance");
    assert_eq!((off.max_abs, off.steps, off.worst_sample.as_deref()), (0.5, Some(2.0), Some("sample 1")));
    assert_eq!(output.float_to_disable_all, Some(output.float_to_own.clone()));
    assert!(output.float_to_own.max_abs <= 0.125);
}

#[test]
fn a_refusal_is_told_in_the_runtimes_words() {
    let (same, refuses) = (Runs::default(), Runs { refuses: Some("no kernel for Conv"), ..Runs::default() });
    let found = shown(&same, &refuses, 0.0);
    assert_eq!(found.default.refused.as_deref(), Some("no kernel for Conv"));
    assert_eq!((found.disable_all.refused, found.outputs[0].verdict), (None, Verdict::Refused));
    assert!(found.outputs[0].own_to_default.is_none() && found.outputs[0].float_to_default.is_none());
    // The level that counts runs it.
    let found = shown(&refuses, &same, 0.0);
    assert_eq!((found.default.refused, found.outputs[0].verdict), (None, Verdict::Quantization));
    let moved = changing(|_, v| v + 1.0);
    assert_eq!(verdict(&refuses, &moved), Verdict::Disagreement);
}

#[test]
fn a_run_that_fails_for_some_samples_names_the_first() {
    let (same, first) = (Runs::default(), numbers(1)[0].min(numbers(2)[0]));
    let fails = Runs { most: Some(first), ..Runs::default() };
    let bad = if numbers(1)[0] > first { 1 } else { 2 };
    let found = shown(&same, &fails, 0.0);
    assert_eq!(found.default.refused, Some(format!("for the sample sample {bad}: too much")));
    assert_eq!(found.outputs[0].verdict, Verdict::Refused);
}

#[test]
fn an_engine_that_takes_numbers_of_16_bits_is_given_them() {
    let model = Builder::new(13).input("x", &[2]).node("Cast", &["x"], &["y"], vec![build::int("to", 1)]);
    let mut model = model.output("y", &[2]).build();
    let x = model.graph.find("x").expect("the input");
    model.graph.set_element_type(x, crate::tensor::DataType::Float16);
    for halves in [true, false] {
        let engine = Runs { halves, ..Runs::default() };
        let side = Side::new(&engine, &model).expect("a side");
        assert_eq!(side.is_twin(), !halves);
        let outputs = side.run(&[Tensor::from_f32(vec![2], &[1.0 + 1.0 / 4096.0, 3.0])]).expect("runs");
        assert_eq!(outputs, [Tensor::from_f32(vec![2], &[1.0, 3.0])]);
    }
}

#[test]
fn outputs_without_a_grid_have_none_to_tell() {
    let model = Builder::new(13).input("x", &[4]).node("Relu", &["x"], &["y"], vec![]).output("y", &[4]).build();
    assert_eq!(steps::of_outputs(&model).expect("steps"), [None]);
    assert_eq!(steps::of_outputs(&quantized()).expect("steps"), [Some(0.25)]);
    // A 255th of the range, then.
    let engine = Runs::default();
    let runtime = Runtime { name: String::new(), disable_all: &engine, default: &engine };
    let witnesses = Witnesses::new(&runtime, &model).expect("witnesses");
    let tensor = |values: &[f32]| [Tensor::from_f32(vec![4], values)];
    let (x, y) = (tensor(&[-1.0, 0.0, 1.0, 2.55]), tensor(&[0.0, 0.0, 1.0, 2.55]));
    let seen = witnesses.look(&x, [&y, &y], None).expect("seen");
    let found = witnesses.sum_up(&["y".to_owned()], &[("a".to_owned(), seen)]);
    assert!((found.outputs[0].step - 0.01).abs() < 1e-9, "{}", found.outputs[0].step);
}

#[test]
fn numbers_of_16_bits_may_differ_as_much_as_quantization() {
    let of = |count: u64, db: f64, most: f64| Distance {
        count,
        identical: false,
        sqnr_db: Some(db),
        max_abs: most,
        steps: None,
        not_finite: 0,
        worst_sample: None,
    };
    let distance = |db, most| of(1000, db, most);
    let near = |db, most, halves| Nearness::of(&distance(db, most), &distance(28.3, 1.0), 0.01, halves);
    assert_eq!([near(30.0, 1.2, true), near(30.0, 1.2, false)], [Nearness::Rounding, Nearness::Apart]);
    assert_eq!([near(20.0, 1.0, true), near(30.0, 3.0, true)], [Nearness::Apart; 2]);
    assert_eq!(near(36.0, 1.0, false), Nearness::Rounding);
    // Few numbers are told by their steps, however little noise there is.
    let near = |count, most| Nearness::of(&of(count, 39.0, most), &of(count, 40.0, 0.05), 0.01, false);
    assert_eq!(
        [near(8, 0.03), near(8, 0.045), near(100, 0.03)],
        [Nearness::Rounding, Nearness::Apart, Nearness::Apart]
    );

    // The model says whether it has such numbers.
    let engine = Runs::default();
    let runtime = Runtime { name: String::new(), disable_all: &engine, default: &engine };
    let cast = |to: i64| {
        let model = Builder::new(13).input("x", &[2]).node("Cast", &["x"], &["h"], vec![build::int("to", to)]);
        model.node("Cast", &["h"], &["y"], vec![build::int("to", 1)]).output("y", &[2]).build()
    };
    let halves = |to| Witnesses::new(&runtime, &cast(to)).expect("witnesses").halves;
    assert_eq!([halves(10), halves(16), halves(1)], [true, true, false]);
}
