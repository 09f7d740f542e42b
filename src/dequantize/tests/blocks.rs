//! Operators of ONNX Runtime's that read weights in blocks.

use super::*;

const INNER: usize = 20;

/// A model of one node that multiplies or looks up, with the inputs `a`, `w`, `s` and more.
fn net(op_type: &str, more: &[&str], attributes: &[(&str, i64)]) -> Builder {
    let inputs: Vec<&str> = ["a", "w", "s"].iter().chain(more).copied().collect();
    let inputs = match op_type {
        "GatherBlockQuantized" => vec!["w", "a", "s"].into_iter().chain(more.iter().copied()).collect(),
        _ => inputs,
    };
    Builder::new(17).node(op_type, &inputs, &["y"], attributes.iter().map(|&(name, value)| int(name, value)).collect())
}

fn taken_apart(net: Builder) -> Result<(Model, Found)> {
    let mut proto = net.proto();
    proto.graph.as_mut().expect("a graph").node[0].domain = Some(MICROSOFT.to_owned());
    let mut model = Model::from_proto(proto)?;
    let (_, found) = take_apart(&mut model)?;
    model.graph.verify().expect("a sound graph");
    Ok((model, found))
}

/// The constant that `op_type` reads at `slot`.
fn weight(model: &Model, op_type: &str, slot: usize) -> Tensor {
    let id = model.graph.node_ids().find(|&id| model.graph.node(id).is(op_type)).expect("a node");
    let value = model.graph.node(id).input(slot).expect("a weight");
    model.graph.constant(value).expect("a tensor").expect("a constant")
}

/// A matrix of two columns in blocks of 16, the second of which is short.
fn columns(bits: usize, more: &[&str]) -> (Builder, Vec<u8>) {
    let packed: Vec<u8> = (0..2 * 32 * bits / 8).map(|at| (at * 37 + 11) as u8).collect();
    let (k, n) = (INNER as i64, 2);
    let net = net("MatMulNBits", more, &[("K", k), ("N", n), ("bits", bits as i64), ("block_size", 16)]);
    let net = net.input("a", &[1, k]).output("y", &[1, n]).floats("s", &[4], &[0.5, 0.25, 2.0, 1.0]);
    (net.constant("w", &bytes(DataType::Uint8, &[2, 2, 2 * bits], &packed)), packed)
}

/// Integer `at` of bytes that are filled from below.
fn integer(packed: &[u8], bits: usize, at: usize) -> f32 {
    f32::from(packed[at * bits / 8] >> (at * bits % 8) & (0xff >> (8 - bits)))
}

#[test]
fn a_matrix_in_blocks_is_one_of_numbers_again() {
    let scales = [0.5, 0.25, 2.0, 1.0];
    for bits in [2, 4, 8] {
        let stored: Vec<u8> = if bits == 8 { vec![1, 2, 3, 4] } else { vec![0b1001, 0b0110] };
        let each = 2 * bits / 8;
        let own = |grid: usize| integer(&stored, bits, if bits == 2 { grid / 2 * 4 + grid % 2 } else { grid });
        let all = [f32::from(1u8 << (bits - 1)); 4];
        let zeros = bytes(DataType::Uint8, &[stored.len()], &stored);
        let real = Tensor::from_f32(vec![4], &[0.5, 1.5, 2.25, 0.0]);
        for (more, zero) in [(None, all), (Some(zeros), [0, 1, 2, 3].map(own)), (Some(real), [0.5, 1.5, 2.25, 0.0])] {
            let (net, packed) = columns(bits, if more.is_some() { &["z"] } else { &[] });
            let whole = more.as_ref().is_none_or(|zeros| zeros.dtype() == DataType::Uint8);
            let net = more.iter().fold(net, |net, zeros| net.constant("z", zeros));
            let (model, found) = taken_apart(net).expect("a float model");
            let number = |row: usize, column: usize| {
                let grid = column * 2 + row / 16;
                (integer(&packed, bits, column * 32 + row) - zero[grid]) * scales[grid]
            };
            let wanted: Vec<f32> = (0..INNER * 2).map(|at| number(at / 2, at % 2)).collect();
            let found_weight = weight(&model, "MatMul", 1);
            assert_eq!((found_weight.shape(), &*found_weight.to_f32().expect("numbers")), (&[INNER, 2][..], &*wanted));
            assert_eq!(found.grids.constants.is_empty(), !whole, "{each}");
            for known in found.grids.constants.values() {
                let cut = known.cut(&[INNER, 2]).expect("blocks");
                assert_eq!((known.grids.len(), cut.count()), (4, 4));
                let again: Vec<f32> = (0..INNER * 2)
                    .map(|at| {
                        let grid = &known.grids[cut.grid(at)];
                        grid.dequantize(grid.quantize(wanted[at]))
                    })
                    .collect();
                assert_eq!(again, wanted, "{bits} bits");
            }
        }
    }
}

#[test]
fn a_bias_is_added_behind() {
    let (net, _) = columns(4, &["", "", "b"]);
    let (model, _) = taken_apart(net.floats("b", &[2], &[3.0, -1.0])).expect("a float model");
    assert_eq!(operators(&model), ["MatMul", "Add"]);
    assert_eq!(*weight(&model, "Add", 1).to_f32().expect("numbers"), [3.0, -1.0]);
}

#[test]
fn codes_are_numbers_of_their_book() {
    for (kind, book) in [(0, CodeBook::Fp4), (1, CodeBook::Nf4)] {
        let packed: Vec<u8> = (0..INNER).map(|at| (at * 29 + 5) as u8).collect();
        let scales = [0.5f32, 2.0, 1.5];
        let attributes = [("K", INNER as i64), ("N", 2), ("block_size", 16), ("quant_type", kind)];
        let net = net("MatMulBnb4", &[], &attributes).input("a", &[1, INNER as i64]).output("y", &[1, 2]);
        let net = net.constant("w", &bytes(DataType::Uint8, &[INNER], &packed)).floats("s", &[3], &scales);
        let (model, _) = taken_apart(net).expect("a float model");
        let number = |row: usize, column: usize| {
            let at = column * INNER + row;
            let code = if at.is_multiple_of(2) { packed[at / 2] >> 4 } else { packed[at / 2] & 15 };
            book.numbers()[usize::from(code)] * scales[at / 16]
        };
        let wanted: Vec<f32> = (0..INNER * 2).map(|at| number(at / 2, at % 2)).collect();
        assert_eq!(*weight(&model, "MatMul", 1).to_f32().expect("numbers"), wanted);
    }
}

#[test]
fn a_table_in_blocks_is_one_of_numbers_again() {
    let packed: Vec<u8> = (0..24).map(|at| (at * 53 + 7) as u8).collect();
    for (dtype, bits, columns) in [(DataType::Uint4, 4, 24), (DataType::Uint8, 2, 48), (DataType::Uint8, 8, 12)] {
        let stored = columns * bits / if dtype == DataType::Uint8 { 8 } else { bits };
        let attributes = [("bits", bits as i64), ("block_size", 16), ("gather_axis", 0), ("quantize_axis", 1)];
        let net = net("GatherBlockQuantized", &[], &attributes).constant("w", &bytes(dtype, &[2, stored], &packed));
        let along = columns.div_ceil(16);
        let scales: Vec<f32> = (0..2 * along).map(|at| 0.25 * (at + 1) as f32).collect();
        let net = net.floats("s", &[2, along], &scales).ints("a", &[1]).output("y", &[1, columns as i64]);
        let (model, found) = taken_apart(net).expect("a float model");
        let zero = if dtype == DataType::Uint8 { f32::from(1u8 << (bits - 1)) } else { 0.0 };
        let number = |at: usize| {
            let grid = at / columns * along + at % columns / 16;
            (integer(&packed, bits, at) - zero) * scales[grid]
        };
        let wanted: Vec<f32> = (0..2 * columns).map(number).collect();
        assert_eq!(*weight(&model, "Gather", 0).to_f32().expect("numbers"), wanted, "{dtype} {bits}");
        assert_eq!(found.grids.constants.len(), 1);
    }
}

#[test]
fn what_does_not_fit_is_refused_with_what_was_expected() {
    let matrix = |attributes: &[(&str, i64)], more: &[&str]| {
        let net = net("MatMulNBits", more, attributes).input("a", &[1, 20]).output("y", &[1, 2]);
        let net = net.floats("s", &[4], &[1.0; 4]).constant("w", &bytes(DataType::Uint8, &[2, 2, 8], &[0; 32]));
        taken_apart(net.ints("g", &[0])).expect_err("refused").to_string()
    };
    let huge = i64::MAX;
    for (attributes, more, why) in [
        (&[("K", 20), ("N", 2), ("block_size", 16)][..], &["", "g"][..], "another order (g_idx)"),
        (&[("K", 20), ("N", 2), ("block_size", 0)], &[], "block_size is Some(0), expected a number above 0"),
        (&[("K", 20), ("N", 2), ("block_size", 16), ("bits", 3)], &[], "bits is 3, expected 2, 4 or 8"),
        (&[("K", 20), ("N", 3), ("block_size", 16)], &[], "needs 48 bytes, found 32"),
        (&[("K", huge), ("N", huge), ("block_size", huge)], &[], "bytes"),
        (&[("K", huge), ("N", 2), ("block_size", huge - 1)], &[], "more than memory can hold"),
        (&[("K", huge), ("N", 2), ("block_size", 16)], &[], "more than memory can hold"),
        (&[("N", 2), ("block_size", 16)], &[], "K is None"),
        (&[("K", 20), ("N", 2), ("block_size", 32)], &[], "4 scales and 4 zero points, expected 2"),
        (&[("K", 20), ("N", 2), ("block_size", 16)], &["a"], "is computed while the model runs"),
    ] {
        let told = matrix(attributes, more);
        assert!(told.contains(why) && told.contains("MatMulNBits"), "{why}: {told}");
    }
    let table = |zeros: &Tensor| {
        let attributes = [("bits", 4), ("block_size", 16), ("gather_axis", 0), ("quantize_axis", 1)];
        let net = net("GatherBlockQuantized", &["z"], &attributes).ints("a", &[1]).output("y", &[1, 32]);
        let net = net.constant("w", &bytes(DataType::Uint8, &[2, 16], &[0; 32])).floats("s", &[2, 2], &[1.0; 4]);
        taken_apart(net.constant("z", zeros))
    };
    let refused = |zeros: &Tensor| table(zeros).expect_err("refused").to_string();
    assert!(refused(&bytes(DataType::Uint8, &[], &[0])).contains("its integers have no axis"));
    assert!(refused(&bytes(DataType::Uint8, &[3, 1], &[0; 3])).contains("4 scales and 6 zero points"));
    assert!(refused(&bytes(DataType::Int8, &[2, 1], &[0; 2])).contains("are int8, expected bytes (uint8)"));
    assert!(table(&bytes(DataType::Uint8, &[2, 1], &[0; 2])).is_ok());
    let codes = |attributes: &[(&str, i64)]| {
        let net = net("MatMulBnb4", &[], attributes).input("a", &[1, 4]).output("y", &[1, 2]);
        let net = net.floats("s", &[1], &[1.0]).constant("w", &bytes(DataType::Uint8, &[4], &[0; 4]));
        taken_apart(net).expect_err("refused").to_string()
    };
    assert!(codes(&[("K", 4), ("N", 2), ("block_size", 16), ("quant_type", 7)]).contains("0 (FP4) or 1 (NF4)"));
    let turned = [("K", 4), ("N", 2), ("block_size", 16), ("quant_type", 0), ("transB", 0)];
    assert!(codes(&turned).contains("as in training"));
    assert!(codes(&[("K", 4), ("N", 3), ("block_size", 16), ("quant_type", 0)]).contains("do not fit 4 x 3"));
}
