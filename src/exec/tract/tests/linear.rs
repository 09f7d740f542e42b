//! QuantizeLinear and DequantizeLinear against their definition.

use super::*;
use bytes::Bytes;

/// An integer type: its smallest and largest value, and a tensor of such integers.
struct Grid {
    dtype: DataType,
    low: i64,
    high: i64,
}

const GRIDS: [Grid; 4] = [
    Grid { dtype: DataType::Uint8, low: 0, high: 255 },
    Grid { dtype: DataType::Int8, low: -128, high: 127 },
    Grid { dtype: DataType::Uint16, low: 0, high: 65_535 },
    Grid { dtype: DataType::Int16, low: -32_768, high: 32_767 },
];

impl Grid {
    fn tensor(&self, shape: Vec<usize>, values: &[i64]) -> Tensor {
        let width = self.dtype.bits().expect("no strings") / 8;
        let bytes: Bytes = values.iter().flat_map(|v| v.to_le_bytes().into_iter().take(width)).collect();
        Tensor::new(self.dtype, shape, bytes).expect("as many as the shape says")
    }

    /// The definition: divide, round half to even, add the zero point, saturate.
    fn quantize(&self, x: f32, scale: f32, zero: i64) -> i64 {
        let sum = f64::from((x / scale).round_ties_even()) + zero as f64;
        sum.clamp(self.low as f64, self.high as f64) as i64
    }
}

fn quantizer(dims: &[i64], scale: &Tensor, zero: &Tensor, axis: i64) -> Model {
    let axis = vec![build::int("axis", axis)];
    let model = Builder::new(21).input("x", dims).constant("scale", scale).constant("zero", zero);
    model.node("QuantizeLinear", &["x", "scale", "zero"], &["y"], axis).output("y", dims).build()
}

fn dequantizer(dims: &[i64], scale: &Tensor, zero: &Tensor, axis: i64) -> Model {
    let axis = vec![build::int("axis", axis)];
    let model = Builder::new(21).input("x", dims).constant("scale", scale).constant("zero", zero);
    model.node("DequantizeLinear", &["x", "scale", "zero"], &["y"], axis).output("y", dims).build()
}

fn scalar(value: f32) -> Tensor {
    Tensor::from_f32(vec![], &[value])
}

/// Ties and their neighbours over the whole grid and beyond, and numbers no grid holds.
fn hard_numbers(scale: f32) -> Vec<f32> {
    let ties = (-70_000..70_000).step_by(7).map(|k| (k as f32 + 0.5) * scale);
    let near = ties.clone().flat_map(|x| [x, f32::from_bits(x.to_bits() + 1), f32::from_bits(x.to_bits() - 1)]);
    let far = [0.0, -0.0, 1e-40, 4_194_303.5 * scale, 2_147_483_648.0 * scale, 1e20, 3.4e38, f32::MAX, f32::INFINITY];
    let small = (-600..600).map(|k| k as f32 * 0.5 * scale);
    near.chain(small).chain(far.into_iter().flat_map(|x| [x, -x])).collect()
}

#[test]
fn quantizing_divides_rounds_half_to_even_and_saturates() {
    for grid in GRIDS {
        for scale in [1.0, 0.5, 0.1, 1.0 / 3.0, 0.007_843_138, 1e-20, 3e5] {
            let x = hard_numbers(scale);
            for zero in [grid.low, grid.high, (grid.low + grid.high) / 2 + 1, 0] {
                let model = quantizer(&[-1], &scalar(scale), &grid.tensor(vec![], &[zero]), 1);
                let found = run(&model, &[Tensor::from_f32(vec![x.len()], &x)]);
                assert_eq!(found[0].dtype(), grid.dtype);
                for (x, q) in x.iter().zip(found[0].to_i64().expect("integers").iter()) {
                    let expected = grid.quantize(*x, scale, zero);
                    assert_eq!(*q, expected, "{x:e} / {scale} + {zero} as {}", grid.dtype);
                }
            }
        }
    }
}

#[test]
fn ties_go_to_the_even_integer() {
    let [uint8, ..] = GRIDS;
    let model = quantizer(&[-1], &scalar(2.0), &uint8.tensor(vec![], &[128]), 1);
    let found = run(&model, &[Tensor::from_f32(vec![6], &[1.0, 3.0, 5.0, -1.0, -3.0, -5.0])]);
    assert_eq!(found[0].bytes().as_ref(), [128, 130, 130, 128, 126, 126]);
}

#[test]
fn without_a_zero_point_it_is_uint8_around_zero() {
    let model = Builder::new(13).input("x", &[4]).constant("scale", &scalar(0.5));
    let model = model.node("QuantizeLinear", &["x", "scale"], &["y"], vec![]).output("y", &[4]).build();
    let found = run(&model, &[Tensor::from_f32(vec![4], &[-1.0, 0.3, 100.0, 1000.0])]);
    assert_eq!((found[0].dtype(), found[0].bytes().as_ref()), (DataType::Uint8, &[0, 1, 200, 255][..]));
}

#[test]
fn each_channel_has_its_own_scale_and_zero_point() {
    let shape = [2usize, 3, 4];
    let x: Vec<f32> = build::noise(24, 5).iter().map(|v| v * 40.0).collect();
    let x = Tensor::from_f32(shape.to_vec(), &x);
    let floats = x.to_f32().expect("floats");
    for grid in GRIDS {
        for axis in [0i64, 1, 2, -1, -2, -3] {
            let along = axis.rem_euclid(3) as usize;
            let scales: Vec<f32> = (0..shape[along]).map(|c| 0.1 + 0.3 * c as f32).collect();
            let zeros: Vec<i64> = (0..shape[along] as i64).map(|c| 3 + 20 * c).collect();
            let channels = vec![shape[along]];
            let (scale, zero) = (Tensor::from_f32(channels.clone(), &scales), grid.tensor(channels, &zeros));
            let q = run(&quantizer(&[2, 3, 4], &scale, &zero, axis), std::slice::from_ref(&x));
            let back = run(&dequantizer(&[2, 3, 4], &scale, &zero, axis), &q);
            let (q, back) = (q[0].to_i64().expect("integers"), back[0].to_f32().expect("floats"));
            for i in 0..24 {
                let channel = [i / 12, i / 4 % 3, i % 4][along];
                let expected = grid.quantize(floats[i], scales[channel], zeros[channel]);
                assert_eq!(q[i], expected, "element {i}, axis {axis}, {}", grid.dtype);
                assert_eq!(back[i], (expected - zeros[channel]) as f32 * scales[channel]);
            }
        }
    }
}

#[test]
fn every_integer_is_dequantized_by_one_product() {
    for grid in GRIDS {
        let integers: Vec<i64> = (grid.low..=grid.high).collect();
        for (scale, zero) in [(0.1, grid.low), (1.0 / 3.0, grid.high), (1e-30, 7)] {
            let model = dequantizer(&[-1], &scalar(scale), &grid.tensor(vec![], &[zero]), 1);
            let found = run(&model, &[grid.tensor(vec![integers.len()], &integers)]);
            let expected: Vec<f32> = integers.iter().map(|q| (q - zero) as f32 * scale).collect();
            assert_eq!(found[0].to_f32().expect("floats").as_ref(), expected, "{}", grid.dtype);
        }
    }
}

#[test]
fn an_int32_bias_is_dequantized_by_channel() {
    let bias = [i32::MAX, i32::MIN, 16_777_217, -1];
    let scales = [1.0, 0.5, 2.0, 0.1];
    let model = Builder::new(13).constant("b", &Tensor::from_i32(vec![4], &bias)).floats("scale", &[4], &scales);
    let axis = vec![build::int("axis", 0)];
    let model = model.node("DequantizeLinear", &["b", "scale"], &["y"], axis).output("y", &[4]).build();
    let expected: Vec<f32> = bias.iter().zip(scales).map(|(b, s)| *b as f32 * s).collect();
    assert_eq!(run(&model, &[]), [Tensor::from_f32(vec![4], &expected)]);
}

#[test]
fn scales_that_do_not_fit_are_an_error() {
    let [uint8, ..] = GRIDS;
    let zero = |count: usize| uint8.tensor(vec![count], &vec![0; count]);
    let scale = |count: usize| Tensor::from_f32(vec![count], &vec![1.0; count]);
    let x = Tensor::from_f32(vec![2, 3], &[0.0; 6]);
    for (scales, zeros, axis) in [(2, 2, 1), (3, 2, 1), (3, 3, 5), (3, 3, -4), (0, 0, 1)] {
        let model = quantizer(&[2, 3], &scale(scales), &zero(zeros), axis);
        let text = failure(&model, std::slice::from_ref(&x));
        assert!(!text.contains("panicked"), "{scales} scales, {zeros} zero points, axis {axis}: {text}");
    }
}

#[test]
fn an_empty_tensor_stays_empty() {
    let [uint8, ..] = GRIDS;
    let model = quantizer(&[-1, 3], &scalar(1.0), &uint8.tensor(vec![], &[0]), 1);
    assert_eq!(run(&model, &[Tensor::from_f32(vec![0, 3], &[])])[0].shape(), [0, 3]);
}

#[test]
fn what_cannot_be_re_executed_exactly_is_refused() {
    let blocked = Builder::new(21).input("x", &[4]).floats("scale", &[2], &[1.0, 1.0]);
    let blocked = blocked.node("QuantizeLinear", &["x", "scale"], &["y"], vec![build::int("block_size", 2)]);
    let typed = Builder::new(21).input("x", &[4]).constant("scale", &scalar(1.0));
    let typed = typed.node("QuantizeLinear", &["x", "scale"], &["y"], vec![build::int("output_dtype", 5)]);
    for model in [blocked, typed] {
        let text = failure(&model.output("y", &[4]).build(), &[Tensor::from_f32(vec![4], &[0.0; 4])]);
        assert!(text.contains("not re-executed"), "{text}");
    }
}

fn operators(program: &Optimised) -> String {
    program.plan.model().nodes.iter().map(|node| format!("{} ", node.op.name())).collect()
}

/// Both in one operator, against one after the other in two models.
#[test]
fn a_pair_of_both_computes_what_they_do_alone() {
    let x: Vec<f32> = build::noise(56, 3).iter().map(|v| v * 40.0).collect();
    let edges = [0.75, -0.75, 1.25, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -0.0];
    let x = Tensor::from_f32(vec![2, 4, 8], &[&x[..], &edges].concat());
    for grid in &GRIDS {
        for channels in [1, 4] {
            let scales: Vec<f32> = [0.5, 0.013, 0.3, 0.5][..channels].to_vec();
            let shape = if channels == 1 { vec![] } else { vec![channels] };
            let zeros: Vec<i64> = [grid.low + 3, grid.high, grid.low, 3][..channels].to_vec();
            let base = |builder: Builder| {
                builder.floats("s", &shape, &scales).constant("z", &grid.tensor(shape.clone(), &zeros))
            };
            let dims = [2, 4, 8];
            let first =
                base(Builder::new(21).input("x", &dims)).node("QuantizeLinear", &["x", "s", "z"], &["q"], vec![]);
            let both = base(Builder::new(21).input("x", &dims));
            let both = both.node("QuantizeLinear", &["x", "s", "z"], &["q"], vec![]);
            let both = both.node("DequantizeLinear", &["q", "s", "z"], &["y"], vec![]).output("y", &dims).build();
            let quantized = run(&first.output("q", &dims).build(), std::slice::from_ref(&x)).remove(0);
            let second = base(Builder::new(21).constant("q", &quantized));
            let second = second.node("DequantizeLinear", &["q", "s", "z"], &["y"], vec![]).output("y", &dims).build();
            let (expected, found) = (run(&second, &[]), run(&both, std::slice::from_ref(&x)));
            assert_eq!(found[0].bytes(), expected[0].bytes(), "{:?} of {channels}", grid.dtype);
            let tract = Tract::default();
            let bytes = crate::file::to_bytes(&both).expect("bytes");
            let message = Message::read(&tract.onnx, &bytes, true).expect("a message");
            let ty = TensorType { dtype: DataType::Float32, dims: dims.map(|d| Some(d as usize)).to_vec() };
            let operators = operators(&tract.of_message(&message, &[ty], &[]).expect("a program"));
            assert!(operators.contains("Simulated") && !operators.contains("uantize"), "{operators}");
        }
    }
}

/// One of more than a million elements, which tract would compute in every run.
#[test]
fn a_weight_is_dequantized_once() {
    let numbers: Vec<u8> = (0..1200 * 1000).map(|i| (i % 251) as u8).collect();
    let weight = Tensor::new(DataType::Uint8, vec![1200, 1000], numbers.clone().into()).expect("bytes");
    let zero = Tensor::new(DataType::Uint8, vec![], vec![3].into()).expect("one byte");
    let model = Builder::new(13).input("x", &[1, 1200]).constant("w", &weight).floats("s", &[], &[0.5]);
    let model = model.constant("z", &zero).node("DequantizeLinear", &["w", "s", "z"], &["d"], vec![]);
    let model = model.node("MatMul", &["x", "d"], &["y"], vec![]).output("y", &[1, 1000]).build();
    let bytes = crate::file::to_bytes(&model).expect("bytes");
    let tract = Tract::default();
    let message = Message::read(&tract.onnx, &bytes, true).expect("a message");
    let x = TensorType { dtype: DataType::Float32, dims: vec![Some(1), Some(1200)] };
    let program = tract.of_message(&message, &[x], &[]).expect("a program");
    assert!(!operators(&program).contains("Dequantize"));
    let mut one = vec![0.0; 1200];
    one[7] = 2.0;
    let expected: Vec<f32> = numbers[7000..8000].iter().map(|&q| f32::from(q) - 3.0).collect();
    assert_eq!(run(&model, &[row(&one)])[0], row(&expected));
}

#[test]
fn a_grid_is_found_for_the_numbers_at_hand() {
    let model = Builder::new(21).input("x", &[5]).node("DynamicQuantizeLinear", &["x"], &["q", "s", "z"], vec![]);
    let model = model.node("DequantizeLinear", &["q", "fixed", "zero"], &["y"], vec![]);
    let model = model.constant("fixed", &scalar(1.0)).constant("zero", &GRIDS[0].tensor(vec![], &[0]));
    let model = model.node("Cast", &["z"], &["w"], vec![build::int("to", 1)]);
    let model = model.output("y", &[5]).output("s", &[]).output("w", &[]).build();
    for (numbers, integers, scale, zero) in [
        ([-1.0, 0.0, 0.5, 3.0, 1.0], [64.0, 64.0 + 0.0, 96.0, 255.0, 128.0], 4.0 / 255.0, 64.0),
        // Nothing but zeros.
        ([0.0; 5], [0.0; 5], 1.0, 0.0),
        ([2.0, 4.0, 6.0, 8.0, 255.0], [2.0, 4.0, 6.0, 8.0, 255.0], 1.0, 0.0),
    ] {
        let found = run(&model, &[Tensor::from_f32(vec![5], &numbers)]);
        let found: Vec<_> = found.iter().map(|t| t.to_f32().expect("floats").into_owned()).collect();
        let mut expected = integers.to_vec();
        // The lowest number of all is the lowest integer.
        if numbers[0] < 0.0 {
            expected[0] = 0.0;
        }
        assert_eq!(found, [expected, vec![scale], vec![zero]]);
    }
}

fn float8(dtype: DataType, shape: Vec<usize>, codes: &[u8]) -> Tensor {
    Tensor::new(dtype, shape, Bytes::copy_from_slice(codes)).expect("a byte for each")
}

#[test]
fn floats_of_eight_bits_are_divided_rounded_and_multiplied() {
    for dtype in [DataType::Float8E4M3Fn, DataType::Float8E5M2] {
        let kind = crate::quant::Float8::of(dtype).expect("a type");
        let zero = float8(dtype, vec![], &[0]);
        let scale = 0.3;
        let x: Vec<f32> = (-3000..3000).map(|i| (i as f32 * 0.011).powi(5)).chain([0.0, 1e30, -1e-30]).collect();
        let dims = [x.len() as i64];
        let model = Builder::new(19).input("x", &dims).constant("s", &scalar(scale)).constant("z", &zero);
        let model = model.node("QuantizeLinear", &["x", "s", "z"], &["q"], vec![]);
        let model = model.node("DequantizeLinear", &["q", "s", "z"], &["y"], vec![]).output("y", &dims).build();
        let fed = [Tensor::from_f32(vec![x.len()], &x)];
        let found = run(&model, &fed)[0].to_f32().expect("floats").into_owned();
        let expected: Vec<f32> = x.iter().map(|v| kind.round(v / scale) * scale).collect();
        assert_eq!(found, expected);
        assert!(found.iter().all(|v| v.abs() <= kind.largest() as f32 * scale));
        let rough = Builder::new(19).input("x", &dims).constant("s", &scalar(scale)).constant("z", &zero);
        let rough = rough.node("QuantizeLinear", &["x", "s", "z"], &["q"], vec![build::int("saturate", 0)]);
        let rough = rough.node("DequantizeLinear", &["q", "s", "z"], &["y"], vec![]).output("y", &dims).build();
        let error = failure(&rough, &fed);
        assert!(error.contains("does not saturate"), "{error}");
    }
}
