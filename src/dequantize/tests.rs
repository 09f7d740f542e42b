//! Quantized models turned back.

mod blocks;

use super::*;
use crate::error::Result;
use crate::exec::{Session, Tract};
use crate::ir::build::{Builder, float, int, ints, tensor as tensor_attribute, text};
use crate::quant::{CodeBook, HalfType};
use crate::tensor::{DataType, Tensor};
use bytes::Bytes;

fn bytes(dtype: DataType, shape: &[usize], values: &[u8]) -> Tensor {
    Tensor::new(dtype, shape.to_vec(), Bytes::copy_from_slice(values)).expect("a tensor")
}

/// A net with scales `s` and `t` and the zero points `z` (uint8) and `k` (int8), both 0.
fn start() -> Builder {
    Builder::new(13)
        .input("x", &[1, 2])
        .floats("s", &[], &[0.5])
        .floats("t", &[], &[0.25])
        .constant("z", &bytes(DataType::Uint8, &[], &[0]))
        .constant("m", &bytes(DataType::Uint8, &[], &[128]))
        .constant("k", &bytes(DataType::Int8, &[], &[0]))
        .constant("w", &bytes(DataType::Int8, &[2, 2], &[4, 0xfc, 8, 2]))
}

fn back(builder: Builder) -> Result<Model> {
    let mut model = builder.build();
    let done = dequantize(&mut model)?;
    model.graph.verify().expect("a sound graph");
    assert_ne!(done, Done::default());
    Ok(model)
}

fn operators(model: &Model) -> Vec<&str> {
    let order = model.graph.topological().expect("no circle");
    order.into_iter().map(|id| model.graph.node(id).op_type()).collect()
}

fn run(model: &Model, x: [f32; 2]) -> Vec<f32> {
    let executor = Tract::default();
    let session = Session::new(&executor, model, vec![]).expect("a model");
    let outputs = session.run(&[Tensor::from_f32(vec![1, 2], &x)], &mut |_, _, _| {}).expect("outputs");
    outputs[0].to_f32().expect("numbers").into_owned()
}

#[test]
fn constants_that_nodes_make_are_as_good_as_stored_ones() {
    let layer = |net: Builder| {
        let net = net.node("QuantizeLinear", &["x", "s", "z"], &["q"], vec![]);
        let net = net.node("DequantizeLinear", &["q", "s", "z"], &["d"], vec![]);
        let net = net.node("DequantizeLinear", &["w", "t", "k"], &["v"], vec![]);
        net.node("MatMul", &["d", "v"], &["y"], vec![]).output("y", &[1, 2])
    };
    let made = |name: &str, tensor: Tensor| (name.to_owned(), tensor);
    let constants = [
        made("t", Tensor::from_f32(vec![], &[0.25])),
        made("z", bytes(DataType::Uint8, &[], &[0])),
        made("k", bytes(DataType::Int8, &[], &[0])),
        made("w", bytes(DataType::Int8, &[2, 2], &[4, 0xfc, 8, 2])),
    ];
    let nodes = constants.iter().fold(Builder::new(13).input("x", &[1, 2]), |net, (name, tensor)| {
        net.node("Constant", &[], &[name], vec![tensor_attribute("value", tensor)])
    });
    let nodes = nodes.node("Constant", &[], &["s"], vec![float("value_float", 0.5)]);
    let (stored, computed) = (back(layer(start())).expect("floats"), back(layer(nodes)).expect("floats"));
    assert_eq!(operators(&computed), ["MatMul"]);
    assert_eq!(run(&computed, [1.0, 3.0]), run(&stored, [1.0, 3.0]));
}

/// `x` quantized with zero point 128, as `q`.
fn quantized() -> Builder {
    start().node("QuantizeLinear", &["x", "s", "m"], &["q"], vec![])
}

#[test]
fn pairs_vanish_and_stored_weights_are_numbers() {
    let net = quantized()
        .node("DequantizeLinear", &["q", "s", "m"], &["d"], vec![])
        .node("DequantizeLinear", &["w", "t", "k"], &["v"], vec![])
        .node("MatMul", &["d", "v"], &["p"], vec![])
        .node("QuantizeLinear", &["p", "s", "m"], &["r"], vec![])
        .node("DequantizeLinear", &["r", "s", "m"], &["y"], vec![])
        .output("y", &[1, 2]);
    let model = back(net).expect("a float model");
    assert_eq!(operators(&model), ["MatMul"]);
    // Nothing is rounded any more: (0.1, 0.3) times ((1, -1), (2, 0.5)).
    let made = run(&model, [0.1, 0.3]);
    assert!((made[0] - 0.7).abs() < 1e-6 && (made[1] - 0.05).abs() < 1e-6, "{made:?}");
}

#[test]
fn operators_on_integers_are_float_operators_again() {
    let inputs = ["q", "s", "m", "w", "t", "k", "s", "m"];
    let net = quantized()
        .node("QLinearMatMul", &inputs, &["r"], vec![])
        .node("Transpose", &["r"], &["u"], vec![ints("perm", &[1, 0])])
        .node("DequantizeLinear", &["u", "s", "m"], &["y"], vec![])
        .output("y", &[2, 1]);
    let model = back(net).expect("a float model");
    assert_eq!(operators(&model), ["MatMul", "Transpose"]);
    assert!((run(&model, [0.1, 0.3])[0] - 0.7).abs() < 1e-6);
}

#[test]
fn integers_of_the_caller_get_their_numbers_from_the_operators_that_read_them() {
    let inputs = ["x", "s", "m", "w", "t", "k", "s", "m"];
    let padded = ["u", "s", "m", "w", "t", "k", "s", "m"];
    let io = |net: Builder, read: &[&str]| net.node("QLinearMatMul", read, &["y"], vec![]).output("y", &[1, 2]);
    let fed = || {
        Builder::new(13)
            .input("x", &[1, 2])
            .floats("s", &[], &[0.5])
            .floats("t", &[], &[0.25])
            .constant("m", &bytes(DataType::Uint8, &[], &[128]))
            .constant("k", &bytes(DataType::Int8, &[], &[0]))
            .constant("w", &bytes(DataType::Int8, &[2, 2], &[4, 0xfc, 8, 2]))
    };
    let moved = fed().node("Identity", &["x"], &["u"], vec![]);
    for net in [io(fed(), &inputs), io(moved, &padded)] {
        let mut model = net.build();
        for name in ["x", "y"] {
            let value = model.graph.find(name).expect("a value");
            model.graph.set_element_type(value, DataType::Uint8);
        }
        let (_, found) = take_apart(&mut model).expect("a float model");
        model.graph.verify().expect("a sound graph");
        let kinds: Vec<_> = operators(&model).into_iter().filter(|op| *op != "Identity").collect();
        assert_eq!(kinds, ["DequantizeLinear", "MatMul", "QuantizeLinear"]);
        assert!(found.lost.is_empty() && found.grids.activations.len() >= 2, "{:?}", found.grids.activations);
        let executor = Tract::default();
        let session = Session::new(&executor, &model, vec![]).expect("a model");
        // (1, 2) times ((1, -1), (2, 0.5)), in steps of a half from 128 on.
        let made = session.run(&[bytes(DataType::Uint8, &[1, 2], &[130, 132])], &mut |_, _, _| {}).expect("outputs");
        assert_eq!(made[0].to_i64().expect("integers")[..], [138, 128]);
    }
}

#[test]
fn dynamic_quantization_is_one_operator_again() {
    let net = start()
        .node("DynamicQuantizeLinear", &["x"], &["q", "qs", "qz"], vec![])
        .node("MatMulInteger", &["q", "w", "qz", "k"], &["i"], vec![])
        .node("Cast", &["i"], &["c"], vec![int("to", 1)])
        .node("Mul", &["qs", "t"], &["f"], vec![])
        .node("Mul", &["c", "f"], &["y"], vec![])
        .output("y", &[1, 2]);
    let model = back(net).expect("a float model");
    assert_eq!(operators(&model), ["MatMul"]);
    assert!((run(&model, [0.1, 0.3])[0] - 0.7).abs() < 1e-6);
}

#[test]
fn a_clamp_that_vanished_is_there_again() {
    let net = |top: f32| {
        quantized()
            .floats("six", &[], &[top / 255.0])
            .node("DequantizeLinear", &["q", "s", "m"], &["d"], vec![])
            .floats("v", &[2, 2], &[1.0, 0.0, 0.0, 1.0])
            .node("MatMul", &["d", "v"], &["p"], vec![])
            .node("QuantizeLinear", &["p", "six", "z"], &["r"], vec![])
            .node("DequantizeLinear", &["r", "six", "z"], &["y"], vec![])
            .output("y", &[1, 2])
    };
    let (six, five) = (back(net(6.0)).expect("a float model"), back(net(5.0)).expect("a float model"));
    assert_eq!((operators(&six), operators(&five)), (vec!["MatMul", "Clip"], vec!["MatMul", "Relu"]));
    assert_eq!(run(&six, [-1.0, 7.0]), [0.0, 6.0]);
    assert_eq!(run(&five, [-1.0, 7.0]), [0.0, 7.0]);
    // Where it is told which ones vanished, no other is taken for one.
    let mut told = net(5.0).build();
    told.set_metadata(CLAMPS, "{}");
    dequantize(&mut told).expect("a float model");
    assert_eq!(run(&told, [-1.0, 7.0]), [-1.0, 7.0]);
    let mut told = net(5.0).build();
    let clamps = [("six".to_owned(), (0.0, 4.5)), ("s".to_owned(), (f32::NEG_INFINITY, 1.0))].into_iter().collect();
    told.set_metadata(CLAMPS, &clamps_as_text(&clamps));
    dequantize(&mut told).expect("a float model");
    assert_eq!((run(&told, [-1.0, 7.0]), told.metadata(CLAMPS)), (vec![0.0, 4.5], None));
    // Another tool may have given the scale a name of its own: then that of the value tells.
    let mut told = net(5.0).build();
    let clamps = [("p_scale".to_owned(), (0.0, 4.5))].into_iter().collect();
    told.set_metadata(CLAMPS, &clamps_as_text(&clamps));
    dequantize(&mut told).expect("a float model");
    assert_eq!(run(&told, [-1.0, 7.0]), [0.0, 4.5]);
}

#[test]
fn an_output_keeps_its_name_even_if_it_is_an_input() {
    let net = quantized().node("DequantizeLinear", &["q", "s", "m"], &["y"], vec![]).output("y", &[1, 2]);
    let model = back(net).expect("a float model");
    assert_eq!((operators(&model), run(&model, [0.1, 9.0])), (vec!["Identity"], vec![0.1, 9.0]));
}

#[test]
fn what_cannot_be_followed_is_named() {
    let why = |net: Builder| back(net).map(|m| format!("{:?}", operators(&m))).unwrap_err().to_string();
    let lost = quantized().node("BitwiseNot", &["q"], &["r"], vec![]);
    let lost = lost.node("DequantizeLinear", &["r", "s", "m"], &["y"], vec![]).output("y", &[1, 2]);
    assert!(why(lost).contains("BitwiseNot_r"));
    let other = quantized().node("DequantizeLinear", &["q", "t", "m"], &["y"], vec![]).output("y", &[1, 2]);
    assert!(why(other).contains("another grid"));
    let sums = start()
        .node("DynamicQuantizeLinear", &["x"], &["q", "qs", "qz"], vec![])
        .node("MatMulInteger", &["q", "w", "qz", "k"], &["i"], vec![])
        .node("Cast", &["i"], &["y"], vec![int("to", 1)])
        .output("y", &[1, 2]);
    assert!(why(sums).contains("MatMulInteger_i"));
}

#[test]
fn what_was_quantized_is_noted_under_the_names_of_the_floats() {
    let net = quantized()
        .constant("bias_quantized", &Tensor::from_i32(vec![2], &[(1 << 25) + 1, -3]))
        .constant("weight_quantized", &bytes(DataType::Int8, &[2, 2], &[4, 0xfc, 8, 2]))
        .floats("ts", &[2], &[0.25, 0.5])
        .constant("ks", &bytes(DataType::Int8, &[2], &[0, 0]))
        .floats("bs", &[2], &[0.125, 0.25])
        .node("DequantizeLinear", &["q", "s", "m"], &["d"], vec![])
        .node("DequantizeLinear", &["weight_quantized", "ts", "ks"], &["v"], vec![int("axis", 1)])
        .node("DequantizeLinear", &["bias_quantized", "bs"], &["b"], vec![int("axis", 0)])
        .node("Gemm", &["d", "v", "b"], &["p"], vec![])
        .node("QuantizeLinear", &["p", "s", "m"], &["r"], vec![])
        .node("DequantizeLinear", &["r", "s", "m"], &["e"], vec![])
        .node("Add", &["e", "p"], &["y"], vec![])
        .output("y", &[1, 2]);
    let mut model = net.build();
    let (_, found) = take_apart(&mut model).expect("a float model");
    let uint8 = |scale| crate::quant::Params { dtype: crate::quant::GridType::Uint8, scale, zero_point: 128 };
    let activations: Vec<_> = found.grids.activations.iter().map(|(name, grid)| (name.as_str(), *grid)).collect();
    assert_eq!(activations, [("p", uint8(0.5)), ("x", uint8(0.5))]);
    let weight = &found.grids.constants["weight"];
    assert_eq!((weight.axis, weight.block), (Some(1), None));
    assert_eq!(weight.grids.iter().map(|grid| grid.scale).collect::<Vec<_>>(), [0.25, 0.5]);
    assert_eq!(found.biases["bias"].integers, [(1 << 25) + 1, -3]);
    // The Add reads both, the rounded and the exact.
    assert_eq!(found.direct["p"].nodes.iter().collect::<Vec<_>>(), ["Add_y"]);
    assert!(found.lost.is_empty() && found.dynamic.is_empty());
}

#[test]
fn a_grid_that_no_name_can_stand_for_is_said_to_be_lost() {
    let net = quantized()
        .floats("other", &[], &[0.75])
        .node("DequantizeLinear", &["q", "s", "m"], &["d"], vec![])
        .node("QuantizeLinear", &["x", "other", "m"], &["r"], vec![])
        .node("DequantizeLinear", &["r", "other", "m"], &["e"], vec![])
        .node("Add", &["d", "e"], &["y"], vec![])
        .output("y", &[1, 2]);
    let (_, found) = take_apart(&mut net.build()).expect("a float model");
    assert_eq!(found.lost, [("x".to_owned(), "it has two grids of one type")]);
}

#[test]
fn grids_are_noted_by_the_names_of_the_float_model() {
    let net = quantized()
        .constant("v_quantized", &bytes(DataType::Int8, &[2, 2], &[4, 0xfc, 8, 2]))
        .floats("c", &[2], &[0.25, 0.5])
        .constant("n", &bytes(DataType::Int8, &[2], &[0, 0]))
        .node("DequantizeLinear", &["q", "s", "m"], &["d"], vec![])
        .node("DequantizeLinear", &["v_quantized", "c", "n"], &["v_DequantizeLinear_Output"], vec![int("axis", -1)])
        .node("MatMul", &["d", "v_DequantizeLinear_Output"], &["p"], vec![])
        .node("QuantizeLinear", &["p", "s", "z"], &["r"], vec![])
        .node("DequantizeLinear", &["r", "s", "z"], &["y"], vec![])
        .output("y", &[1, 2]);
    let mut model = net.build();
    model.set_metadata(CLAMPS, "{}");
    let known = take_apart(&mut model).expect("a float model").1.grids;
    let grid = |dtype, scale, zero_point| crate::quant::Params { dtype, scale, zero_point };
    use crate::quant::GridType::{Int8, Uint8};
    let activations: Vec<_> = known.activations.iter().map(|(name, grid)| (name.as_str(), *grid)).collect();
    assert_eq!(activations, [("x", grid(Uint8, 0.5, 128)), ("y", grid(Uint8, 0.5, 0))]);
    let constant = &known.constants["v"];
    assert_eq!((constant.axis, constant.block), (Some(1), None));
    assert_eq!(constant.grids, [grid(Int8, 0.25, 0), grid(Int8, 0.5, 0)]);
    // Under that name it is saved, too.
    let model = Model::from_proto(model.to_proto().expect("a message")).expect("a model");
    assert!(model.graph.find("v").is_some_and(|v| model.graph.is_constant(v)));
}

/// A DynamicQuantizeLSTM of two states and three numbers a step, of so many directions; with scales `ws` and `rs`.
fn recurrent(directions: usize, ws: (&[usize], &[f32]), rs: (&[usize], &[f32])) -> Builder {
    let matrix = |rows: usize| {
        bytes(
            DataType::Uint8,
            &[directions, rows, 8],
            &(0..16 * rows as u8).collect::<Vec<_>>()[..directions * rows * 8],
        )
    };
    let zeros = |shape: &[usize]| bytes(DataType::Uint8, shape, &vec![4; shape.iter().product()]);
    let direction = if directions == 2 { "bidirectional" } else { "forward" };
    let net = Builder::new(14).input("x", &[2, 1, 3]).constant("w_quantized", &matrix(3));
    let net = net.constant("r_quantized", &matrix(2)).floats("ws", ws.0, ws.1).floats("rs", rs.0, rs.1);
    let net = net.constant("wz", &zeros(ws.0)).constant("rz", &zeros(rs.0));
    let inputs = ["x", "w_quantized", "r_quantized", "", "", "", "", "", "ws", "wz", "rs", "rz"];
    let attributes = vec![int("hidden_size", 2), text("direction", direction)];
    net.node("DynamicQuantizeLSTM", &inputs, &["", "y"], attributes).output("y", &[directions as i64, 1, 2])
}

fn in_domain(net: Builder) -> Model {
    let mut proto = net.proto();
    proto.graph.as_mut().expect("a graph").node[0].domain = Some(MICROSOFT.to_owned());
    Model::from_proto(proto).expect("a model")
}

#[test]
fn recurrent_layers_get_their_matrices_the_other_way_round() {
    let rows: Vec<f32> = (1..17).map(|i| i as f32 * 0.125).collect();
    let one = (&[1][..], &[0.5f32][..]);
    let by_row = (&[1, 8][..], &rows[..8]);
    let each = (&[2][..], &[0.5f32, 0.25][..]);
    let all = (&[2, 8][..], &rows[..]);
    for (directions, ws, rs, grids) in [
        (1, one, by_row, [(None, None, 1), (Some(1), None, 8)]),
        (2, each, all, [(Some(0), None, 2), (Some(2), Some(2), 16)]),
    ] {
        let mut model = in_domain(recurrent(directions, ws, rs));
        let (done, found) = take_apart(&mut model).expect("a float model");
        assert_eq!((operators(&model), done.operators, done.stored), (vec!["LSTM"], 1, 2));
        let lstm = model.graph.node_ids().next().expect("a node");
        assert_eq!(model.graph.node(lstm).inputs().len(), 3);
        assert_eq!(found.dynamic.iter().collect::<Vec<_>>(), ["w", "y"]);
        for (name, columns, scales, (axis, block, count)) in [("w", 3, ws, grids[0]), ("r", 2, rs, grids[1])] {
            let value = model.graph.find(name).expect("a weight");
            let tensor = model.graph.constant(value).expect("a tensor").expect("a constant");
            assert_eq!(tensor.shape(), [directions, 8, columns]);
            let scale = |row: usize| if scales.1.len() == directions { scales.1[row / 8] } else { scales.1[row] };
            let numbers = (0..directions * 8).flat_map(|row| {
                let first = row / 8 * columns * 8 + row % 8;
                (0..columns).map(move |column| ((first + column * 8) as f32 - 4.0) * scale(row)).collect::<Vec<_>>()
            });
            assert_eq!(*tensor.to_f32().expect("numbers"), numbers.collect::<Vec<_>>(), "{name}");
            let known = &found.grids.constants[name];
            assert_eq!((known.axis, known.block, known.grids.len()), (axis, block, count), "{name}");
        }
    }
    let why = dequantize(&mut in_domain(recurrent(2, one, all))).expect_err("a scale is missing").to_string();
    assert!(why.contains("DynamicQuantizeLSTM") && why.contains("scales of shape [1]"), "{why}");
}

#[test]
fn scales_of_16_bits_stand_for_numbers_of_16_bits() {
    let kind = HalfType::Float16;
    let half = |value: f32| kind.tensor(&Tensor::from_f32(vec![], &[value])).expect("a scale");
    let net = |dtype: DataType, stored: &[u8], zero: &[u8]| {
        let net = Builder::new(19).input("x", &[1, 2]).constant("s", &half(0.1)).constant("m", &half(0.3));
        let net = net.constant("w", &bytes(dtype, &[2, 2], stored)).constant("z", &bytes(dtype, &[], zero));
        let net = net.node("DequantizeLinear", &["w", "s", "z"], &["v"], vec![]);
        let mut model = net.node("MatMul", &["x", "v"], &["y"], vec![]).output("y", &[1, 2]).build();
        for name in ["x", "y"] {
            let value = model.graph.find(name).expect("a value");
            model.graph.set_element_type(value, DataType::Float16);
        }
        model
    };
    let mut model = net(DataType::Int8, &[127, 0x81, 3, 0], &[0]);
    let (_, found) = take_apart(&mut model).expect("a float model");
    let layer = model.graph.topological().expect("no circle")[0];
    let weight = model.graph.node(layer).input(1).expect("a weight");
    let weight = model.graph.constant(weight).expect("a tensor").expect("a constant");
    let expected: Vec<f32> = [127.0, -127.0, 3.0, 0.0].map(|q| kind.round(q * kind.round(0.1))).to_vec();
    assert_eq!((weight.dtype(), weight.to_f32().expect("numbers").into_owned()), (DataType::Float16, expected));
    assert_eq!((found.lost, found.grids.constants.len()), (vec![], 1));
    // Of 65536 integers one scale of 16 bits makes numbers that do not tell which it was.
    let mut wide = net(DataType::Int16, &[0, 1, 0xff, 0x7f, 0, 0, 0, 0], &[0, 0]);
    let (_, found) = take_apart(&mut wide).expect("a float model");
    assert!(found.lost[0].1.contains("too many to be told apart"), "{:?}", found.lost);
}

#[test]
fn a_pair_may_have_one_scale_in_two_types() {
    let half = HalfType::Float16.tensor(&Tensor::from_f32(vec![], &[0.5])).expect("a scale");
    let net = start().constant("h", &half).node("QuantizeLinear", &["x", "s", "m"], &["q"], vec![]);
    let net = net.node("DequantizeLinear", &["q", "h", "m"], &["d"], vec![]);
    let net = net.node("Cast", &["d"], &["y"], vec![int("to", 1)]).output("y", &[1, 2]);
    let model = back(net).expect("a float model");
    assert_eq!(operators(&model), ["Cast"]);
}
