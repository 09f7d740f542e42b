//! What the cases are made of.

use super::super::cases::{Case, cases};
use super::super::kinds::{self, Input, Kind};
use super::super::numbers::{self, resized};
use super::super::shapes::{open, sizes};
use super::super::span::Span;
use super::super::{specs, tables};
use crate::inputs::Preprocess;
use crate::ir::Model;
use crate::ir::build::{Builder, int};
use crate::tensor::{DataType, Tensor};

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.to_f32().expect("numbers").into_owned()
}

fn inputs(float: &Model, quantized: &Model, preprocess: Option<&Preprocess>, samples: &[Vec<Tensor>]) -> Vec<Input> {
    let specs = specs(float, quantized).expect("types");
    kinds::inputs((float, quantized), &specs, preprocess, samples).expect("inputs")
}

/// A model that only hands its inputs on.
fn plain(shapes: &[(&str, DataType, &[i64])]) -> Model {
    let mut net = Builder::new(13);
    for (name, _, dims) in shapes {
        net = net.input(name, dims).node("Identity", &[name], &[&format!("{name}_out")], vec![]);
    }
    for (name, _, dims) in shapes {
        net = net.output(&format!("{name}_out"), dims);
    }
    let mut model = net.build();
    for (name, dtype, _) in shapes {
        let value = model.graph.find(name).expect("an input");
        model.graph.set_element_type(value, *dtype);
    }
    model
}

fn made<'a>(all: &'a [Case], name: &str) -> &'a Case {
    all.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("{name}: {all:?}"))
}

#[test]
fn black_and_white_are_those_of_the_preprocessing_then_of_the_samples_then_of_the_grid() {
    let model = plain(&[("x", DataType::Float32, &[1, 3, 1, 2])]);
    let mut quantized = model.clone();
    let value = quantized.graph.find("x").expect("an input");
    quantized.graph.set_element_type(value, DataType::Uint8);
    quantized.set_metadata("tare.io.x", r#"{"scale":0.5,"zero_point":10}"#);
    let preprocess = Preprocess { mean: vec![0.5, 0.25, 0.0], std: vec![0.5, 0.5, 2.0], ..Preprocess::default() };
    let sample = Tensor::from_f32(vec![1, 3, 1, 2], &[-2.0, 3.0, f32::NAN, 0.0, f32::INFINITY, 1.0]);
    let samples = [vec![sample]];
    let ends = |model: &Model, quantized: &Model, preprocess, samples: &[Vec<Tensor>]| {
        let inputs = inputs(model, quantized, preprocess, samples);
        let base = vec![Tensor::from_f32(vec![1, 3, 1, 2], &[0.0; 6])];
        let all = cases(&inputs, &base, &[]);
        ["lowest", "highest"].map(|name| numbers(&made(&all, name).tensors(&inputs, &base).expect("tensors")[0]))
    };
    let levels = ends(&model, &model, Some(&preprocess), &samples);
    for (found, wanted) in levels.iter().flatten().zip([-1.0, -1.0, -0.5, -0.5, 0.0, 0.0, 1.0, 1.0, 1.5, 1.5, 0.5, 0.5])
    {
        assert!((found - wanted).abs() < 1e-6, "{levels:?}");
    }
    assert_eq!(ends(&model, &model, None, &samples), [[-2.0; 6], [3.0; 6]]);
    assert_eq!(ends(&model, &quantized, None, &[]), [[-5.0; 6], [122.5; 6]]);
    assert_eq!(ends(&model, &model, None, &[]), [[-1.0; 6], [1.0; 6]]);
    // A state that is 0 at the start of each sample tells nothing.
    assert_eq!(ends(&model, &model, None, &[vec![Tensor::from_f32(vec![1], &[0.0])]]), [[-1.0; 6], [1.0; 6]]);
    // What a grid takes are its numbers, and none beyond it.
    assert_eq!(ends(&model, &quantized, Some(&preprocess), &[])[1], [1.0, 1.0, 1.5, 1.5, 0.5, 0.5]);
    let odd = inputs(&model, &quantized, None, &[vec![Tensor::from_f32(vec![2], &[0.3, 0.9])]]);
    let base = vec![Tensor::from_f32(vec![1, 3, 1, 2], &[0.0; 6])];
    let all = cases(&odd, &base, &[]);
    assert_eq!(numbers(&made(&all, "lowest").tensors(&odd, &base).expect("tensors")[0]), [0.5; 6]);
    let names: Vec<&str> = all.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names, ["lowest", "highest", "middle", "zero", "checkers", "noise"]);
}

#[test]
fn levels_of_a_quantized_input_are_the_numbers_that_its_bytes_stand_for() {
    let model = plain(&[("x", DataType::Float32, &[1, 2, 1, 1])]);
    let mut quantized = model.clone();
    let value = quantized.graph.find("x").expect("an input");
    quantized.graph.set_element_type(value, DataType::Uint8);
    quantized.set_metadata("tare.io.x", r#"{"scale":[0.5,0.25],"zero_point":[3.5,100.0],"axis":1}"#);
    let inputs = inputs(&model, &quantized, None, &[]);
    let base = vec![Tensor::from_f32(vec![1, 2, 1, 1], &[0.0; 2])];
    let all = cases(&inputs, &base, &[]);
    let of = |name: &str| numbers(&made(&all, name).tensors(&inputs, &base).expect("tensors")[0]);
    assert_eq!((of("lowest"), of("highest")), (vec![-1.75, -25.0], vec![125.75, 38.75]));
    // 0 lies between two bytes of the first channel.
    assert_eq!(of("zero"), [0.25, 0.0]);
}

#[test]
fn beyond_and_noise_have_the_width_that_they_say() {
    let inputs = [Input {
        name: "x".to_owned(),
        dtype: DataType::Float32,
        kind: Kind::Numbers(Span::plain(1.0, 3.0, "a test")),
        meaning: None,
    }];
    let base = vec![Tensor::from_f32(vec![1, 1000], &[2.0; 1000])];
    let all = cases(&inputs, &base, &[]);
    let of = |name: &str| numbers(&made(&all, name).tensors(&inputs, &base).expect("tensors")[0]);
    assert_eq!((of("below")[0], of("above")[999], of("middle")[5]), (-19.0, 23.0, 2.0));
    for (name, low, high) in [("noise", 1.0, 3.0), ("loud", -8.0, 12.0), ("huge", -999_998.0, 1_000_002.0)] {
        let noise = of(name);
        let (least, most) = noise.iter().fold((f32::MAX, f32::MIN), |(a, b), &v| (a.min(v), b.max(v)));
        let tenth = (high - low) / 10.0;
        assert!(least >= low && least < low + tenth && most <= high && most > high - tenth, "{name} {least} {most}");
        assert_eq!(noise, of(name));
    }
    assert!(of("noise")[..2] == [of("noise")[0], of("noise")[1]] && of("noise")[0] != of("noise")[1]);
    let one = of("one-nan");
    assert_eq!((one.iter().filter(|v| v.is_nan()).count(), one[0]), (1, 2.0));
    assert!(of("minus-infinity").iter().all(|v| *v == f32::NEG_INFINITY));
    assert_eq!(of("checkers")[..3], [1.0, 3.0, 1.0]);
    let hard = all.iter().filter(|case| !case.counts).map(|case| case.name.as_str());
    assert_eq!(hard.collect::<Vec<_>>(), ["huge", "one-nan", "nan", "one-infinity", "infinity", "minus-infinity"]);
}

#[test]
fn chance_differs_from_case_to_case_and_from_input_to_input() {
    let first = |name: &str, input: usize| numbers::chance(name, input).between((0.0, 1.0));
    assert_eq!(first("noise", 0), first("noise", 0));
    assert!(first("noise", 0) != first("noise", 1) && first("noise", 0) != first("loud", 0));
    let mut chance = numbers::chance("ids", 0);
    let ids: Vec<i64> = (0..100).map(|_| numbers::id(&mut chance, -1, 1)).collect();
    assert!([-1, 0, 1].iter().all(|id| ids.contains(id)) && ids.iter().all(|id| (-1..=1).contains(id)));
}

#[test]
fn words_are_those_that_the_smallest_table_has() {
    let net = Builder::new(13).input("ids", &[1, -1]).input("mask", &[1, -1]).input("rate", &[1]);
    let net = net.noise("words", &[30, 4], 1).noise("kinds", &[4, 7], 2).ints("to", &[-1]);
    let net = net.node("Gather", &["words", "ids"], &["a"], vec![]).node("Reshape", &["ids", "to"], &["flat"], vec![]);
    let net = net.node("Gather", &["kinds", "flat"], &["b"], vec![int("axis", -1)]);
    let net = net.node("Identity", &["mask"], &["m"], vec![]).node("Identity", &["rate"], &["r"], vec![]);
    let mut model = net.output("a", &[1, -1, 4]).output("b", &[4, -1]).output("m", &[1, -1]).output("r", &[1]).build();
    for name in ["ids", "mask", "rate"] {
        let value = model.graph.find(name).expect("an input");
        model.graph.set_element_type(value, DataType::Int64);
    }
    assert_eq!(tables::rows(&model.graph, model.graph.find("ids").expect("an input")), Some(7));
    assert_eq!(tables::rows(&model.graph, model.graph.find("mask").expect("an input")), None);
    let told = inputs(&model, &model, None, &[]);
    assert!(matches!(told[0].kind, Kind::Ids { low: 0, high: 6, .. }), "{told:?}");
    assert_eq!((&told[1].kind, &told[2].kind), (&Kind::Flags, &Kind::Kept));
    let of = |values: &[i64]| Tensor::from_i64(vec![1, values.len()], values);
    let rate = || Tensor::from_i64(vec![1], &[16_000]);
    let samples = [vec![of(&[1, 2]), of(&[1, 1]), rate()], vec![of(&[3, 2]), of(&[5, 1]), rate()]];
    let shown = inputs(&model, &model, None, &samples[..1]);
    assert_eq!((&shown[1].kind, &shown[2].kind), (&Kind::Flags, &Kind::Kept));
    let base = &samples[0];
    let all = cases(&shown, base, &[]);
    let of_case = |name: &str| {
        let tensors = made(&all, name).tensors(&shown, base).expect("tensors");
        tensors.iter().map(|tensor| tensor.to_i64().expect("integers").into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(of_case("last-ids"), [vec![6, 6], vec![1, 1], vec![16_000]]);
    assert_eq!(of_case("first-ids")[0], [0, 0]);
    assert_eq!(of_case("mask-0"), [vec![1, 2], vec![0, 0], vec![16_000]]);
    assert!(all.iter().all(|case| case.counts));
    // Integers that samples show to be no mask go as far as these.
    let wide = inputs(&model, &model, None, &samples);
    assert!(matches!(wide[1].kind, Kind::Ids { low: 1, high: 5, .. }), "{wide:?}");
}

#[test]
fn a_table_that_is_stored_as_integers_has_its_rows() {
    let bytes = Tensor::new(DataType::Int8, vec![5, 2], vec![0; 10].into()).expect("bytes");
    let net = Builder::new(13).input("ids", &[1, -1]).constant("stored", &bytes).floats("s", &[], &[1.0]);
    let net = net.node("DequantizeLinear", &["stored", "s"], &["table"], vec![]);
    let model = net.node("Gather", &["table", "ids"], &["y"], vec![]).output("y", &[1, -1, 2]).build();
    assert_eq!(tables::rows(&model.graph, model.graph.find("ids").expect("an input")), Some(5));
}

#[test]
fn sizes_stay_within_four_times_a_sample_and_go_where_both_models_are_open() {
    let two = |names: [&str; 4]| {
        let mut net = Builder::new(13).input("x", &[-1, 3, 64, 96]).node("Identity", &["x"], &["y"], vec![]);
        net = net.output("y", &[-1, 3, -1, -1]);
        let mut proto = net.proto();
        let info = proto.graph.as_mut().and_then(|graph| graph.input.first_mut()).expect("an input");
        let crate::proto::type_proto::Value::TensorType(ty) =
            info.r#type.as_mut().and_then(|ty| ty.value.as_mut()).expect("a type")
        else {
            panic!("no tensor")
        };
        for (dim, name) in ty.shape.as_mut().expect("a shape").dim.iter_mut().zip(names) {
            if !name.is_empty() {
                dim.value = Some(crate::proto::tensor_shape_proto::dimension::Value::DimParam(name.to_owned()));
            }
        }
        Model::from_proto(proto).expect("a model")
    };
    let (float, fixed) = (two(["n", "", "h", "w"]), two(["n", "", "", "w"]));
    let base = vec![Tensor::from_f32(vec![1, 3, 64, 96], &[0.0; 3 * 64 * 96])];
    let names = |models: [&Model; 2]| {
        let all = sizes(&open(models, &base), &base);
        assert!(all.iter().all(|(_, _, shapes)| shapes[0].iter().product::<usize>() <= 4 * base[0].len()), "{all:?}");
        all.into_iter().map(|(name, _, _)| name).collect::<Vec<_>>()
    };
    let all = ["n=2", "h=0", "h=1", "h=32", "h=256", "w=0", "w=1", "w=32", "w=384"];
    let both = ["1x1", "32x32", "1x384", "256x1", "32x768", "512x32", "128x192"];
    assert_eq!(names([&float, &float]), [&all[..], &both[..]].concat());
    assert_eq!(names([&float, &fixed]), ["n=2", "w=0", "w=1", "w=32", "w=384"]);
    // One name for sides of two sizes.
    let unlike = two(["n", "", "?", "?"]);
    assert_eq!(names([&unlike, &unlike])[..3], ["n=2", "x[2]=0", "x[2]=1"]);
    assert!(names([&unlike, &unlike]).contains(&"x[3]=384".to_owned()));
    // One name for both sides of a square: four times the one is sixteen times the whole.
    let square = vec![Tensor::from_f32(vec![1, 3, 64, 64], &[0.0; 3 * 64 * 64])];
    let same = two(["n", "", "s", "s"]);
    let all: Vec<String> = sizes(&open([&same, &same], &square), &square).into_iter().map(|one| one.0).collect();
    assert_eq!(all, ["n=2", "s=0", "s=1", "s=32", "s=128"]);
}

#[test]
fn a_sample_of_another_size_is_the_same_in_proportion() {
    let tensor = Tensor::from_i64(vec![2, 3], &[0, 1, 2, 3, 4, 5]);
    let of = |shape: &[usize]| resized(&tensor, shape).expect("a tensor").to_i64().expect("integers").into_owned();
    assert_eq!(of(&[4, 3]), [0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5]);
    assert_eq!(of(&[1, 2]), [0, 1]);
    assert_eq!(of(&[2, 0]), [0; 0]);
    let none = Tensor::from_i64(vec![0, 3], &[]);
    assert_eq!(resized(&none, &[1, 3]).expect("a tensor").to_i64().expect("integers")[..], [0, 0, 0]);
}
