use super::*;
use crate::quant::{Float8, GridType};

fn parse(text: &str) -> Encodings {
    Encodings::parse(text.as_bytes()).expect(text)
}

fn error(bytes: impl AsRef<[u8]>) -> String {
    let text = Encodings::parse(bytes.as_ref()).expect_err("an error").to_string();
    assert!(!text.contains('\n') && text.len() < 400, "{text}");
    text
}

fn grid(dtype: GridType, scale: f32, zero_point: i32) -> Params {
    Params { dtype, scale, zero_point }
}

fn constant(grids: Vec<Params>, axis: StatedAxis, block: Option<usize>) -> StatedConstant {
    StatedConstant { grids, axis, block }
}

#[test]
fn offsets_count_from_the_lowest_of_unsigned_integers() {
    let found = parse(
        r#"{"version": "0.6.1",
            "activation_encodings": {
                "x": [{"bitwidth": 8, "dtype": "int", "is_symmetric": "False", "max": 2.0, "min": -0.55, "offset": -55, "scale": 0.01}],
                "wide": [{"bitwidth": 16, "dtype": "int", "is_symmetric": "True", "max": 3.2767, "min": -3.2768, "offset": -32768, "scale": 0.0001}],
                "half": [{"bitwidth": 16, "dtype": "float"}]},
            "param_encodings": {
                "w": [{"bitwidth": 8, "dtype": "int", "is_symmetric": "True", "max": 1.27, "min": -1.28, "offset": -128, "scale": 0.01},
                      {"bitwidth": 8, "dtype": "int", "is_symmetric": "True", "max": 1.27, "min": -1.27, "offset": -127, "scale": 0.01}],
                "odd": [{"bitwidth": 8, "is_symmetric": false, "offset": -100, "scale": 0.5}],
                "four": [{"bitwidth": 4, "dtype": "int", "is_symmetric": "True", "offset": -8, "scale": 0.5}],
                "zero": [{"bitwidth": 8, "dtype": "int", "is_symmetric": "True", "min": -1.27, "max": 1.27, "offset": 0, "scale": 0.01}],
                "ends": [{"bitwidth": 8, "dtype": "int", "is_symmetric": "False", "min": 0.0, "max": 2.55}],
                "b": [{"bitwidth": 32, "dtype": "int", "is_symmetric": "True", "offset": -2147483648, "scale": 0.0001}]}}"#,
    );
    assert_eq!(found.format, "AIMET encodings 0.6.1");
    assert_eq!(found.known.activations["x"], grid(GridType::Uint8, 0.01, 55));
    assert_eq!(found.known.activations["wide"], grid(GridType::Uint16, 0.0001, 32768));
    assert_eq!(found.known.floats.iter().collect::<Vec<_>>(), ["half"]);
    let one = |dtype, scale, zero| constant(vec![grid(dtype, scale, zero)], StatedAxis::None, None);
    let channels = vec![grid(GridType::Int8, 0.01, 0); 2];
    assert_eq!(found.constants["w"], constant(channels, StatedAxis::Channels, None));
    assert_eq!(found.constants["odd"], one(GridType::Uint8, 0.5, 100));
    assert_eq!(found.constants["four"], one(GridType::Int4, 0.5, 0));
    assert_eq!(found.constants["zero"], one(GridType::Int8, 0.01, 0));
    assert_eq!(found.constants["ends"], one(GridType::Uint8, 0.01, 0));
    assert_eq!((found.passed_over.len(), found.passed_over[0].0.as_str(), found.count()), (1, "b", 8));
}

#[test]
fn version_1_0_0_lists_names() {
    let found = parse(
        r#"{"version": "1.0.0", "producer": {"package": "aimet-onnx"},
            "activation_encodings": [
                {"name": "x", "bw": 8, "dtype": "INT", "enc_type": "PER_TENSOR", "is_sym": false, "offset": [-3.0], "scale": [0.25]},
                {"name": "f", "bw": 16, "dtype": "FLOAT", "enc_type": "PER_TENSOR"}],
            "param_encodings": [
                {"name": "w", "bw": 8, "dtype": "INT", "enc_type": "PER_CHANNEL", "is_sym": true, "offset": [-128, -128], "scale": [0.5, 1]},
                {"name": "b", "bw": 4, "dtype": "INT", "enc_type": "PER_BLOCK", "is_sym": true, "offset": [-8, -8], "scale": [0.5, 1], "block_size": 16},
                {"name": "l", "bw": 8, "compressed_bw": 4, "dtype": "INT", "enc_type": "LPBQ", "is_sym": true, "offset": [-128, -128],
                 "scale": [0.5, 1], "per_block_int_scale": [1, 16, 3, 4], "block_size": 8}]}"#,
    );
    assert_eq!(found.known.activations["x"], grid(GridType::Uint8, 0.25, 3));
    // A constant may be read like an activation.
    assert_eq!(found.constants["x"].grids, [grid(GridType::Uint8, 0.25, 3)]);
    assert!(found.known.floats.contains("f"));
    let of = |dtype, scales: &[f32]| scales.iter().map(|&scale| grid(dtype, scale, 0)).collect::<Vec<_>>();
    assert_eq!(found.constants["w"], constant(of(GridType::Int8, &[0.5, 1.0]), StatedAxis::Channels, None));
    assert_eq!(found.constants["b"], constant(of(GridType::Int4, &[0.5, 1.0]), StatedAxis::Channels, Some(16)));
    let products = of(GridType::Int4, &[0.5, 8.0, 3.0, 4.0]);
    assert_eq!(found.constants["l"], constant(products, StatedAxis::Channels, Some(8)));
}

#[test]
fn version_2_0_0_speaks_of_types() {
    let found = parse(
        r#"{"version": "2.0.0", "encodings": [
            {"name": "x", "output_dtype": "uint16", "y_scale": 0.5, "y_zero_point": 7},
            {"name": "s", "output_dtype": "int8", "y_scale": 0.5},
            {"name": "w", "output_dtype": "int8", "y_scale": [0.5, 1], "axis": 1},
            {"name": "b", "output_dtype": "int4", "y_scale": [[0.5, 1], [2, 4]], "y_zero_point": [[0, 1], [-8, 7]], "axis": -2, "block_size": 4},
            {"name": "l", "output_dtype": "int4", "per_channel_float_scale": [[0.5, 1]], "per_block_int_scale": [[1, 2], [3, 4]], "axis": 0, "block_size": 4},
            {"name": "e", "output_dtype": "float8e4m3fn", "y_scale": 0.25},
            {"name": "f", "output_dtype": "float16"},
            {"name": "bias", "output_dtype": "int32", "y_scale": [0.5], "axis": 0}]}"#,
    );
    assert_eq!(found.known.activations["x"], grid(GridType::Uint16, 0.5, 7));
    assert_eq!(found.known.activations["s"], grid(GridType::Int8, 0.5, 0));
    assert_eq!(found.known.activations["e"], grid(GridType::Float8(Float8::E4m3fn), 0.25, 0));
    assert_eq!(found.constants["w"].axis, StatedAxis::At(1));
    let blocks: Vec<_> =
        [(0.5, 0), (1.0, 1), (2.0, -8), (4.0, 7)].map(|(scale, zero)| grid(GridType::Int4, scale, zero)).to_vec();
    assert_eq!(found.constants["b"], constant(blocks, StatedAxis::At(-2), Some(4)));
    assert_eq!(found.constants["l"].grids.iter().map(|g| g.scale).collect::<Vec<_>>(), [0.5, 2.0, 1.5, 4.0]);
    assert_eq!((found.known.floats.len(), found.passed_over.len()), (1, 1));
}

#[test]
fn ranges_are_read_in_every_form() {
    let saved = parse(
        r#"{"CLS": "TensorsData", "calibration_method": {"CLS": "CalibrationMethod", "value": "CalibrationMethod.Entropy"},
            "smooth_quant": false, "data": {"x": {"lowest": -1.5, "highest": 2.5, "hist": {"data": [1, 2], "dtype": "int64", "CLS": "numpy.array"},
            "std": NaN, "CLS": "TensorData"}}}"#,
    );
    assert_eq!((saved.format.as_str(), saved.known.ranges["x"]), ("ONNX Runtime ranges (Entropy)", (-1.5, 2.5)));
    let table = parse(
        r#"{"CLS": {"lowest": 0, "highest": 1, "CLS": "TensorData"}, "y": {"lowest": {"data": [-1.0, -3.0], "dtype": "float32",
            "CLS": "numpy.array"}, "highest": {"data": [0.5, 0.25], "dtype": "float32", "CLS": "numpy.array"}, "CLS": "TensorData"}}"#,
    );
    assert_eq!(table.known.ranges["y"], (-3.0, 0.5));
    let plain = parse("\u{feff} {\"x\": [0, 6], \"y\": [[-1.0], [1.0]], \"z\": [-1, 2, [1, 2], [0, 1, 2]]}");
    assert_eq!(plain.known.ranges.values().collect::<Vec<_>>(), [&(0.0, 6.0), &(-1.0, 1.0), &(-1.0, 2.0)]);
    let text = parse("a b 2.5\n/x_output_0 0.125\r\nnone 0.0\nbelow -3.0\n");
    assert_eq!(text.known.ranges["a b"], (-2.5, 2.5));
    assert_eq!(text.known.ranges["/x_output_0"], (-0.125, 0.125));
    assert_eq!(text.passed_over.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["below", "none"]);
}

/// The bytes of a table of one entry, laid out as the format's own library does it.
fn table(key: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| {
        let mut bytes = (text.len() as u32).to_le_bytes().to_vec();
        bytes.extend(text.as_bytes());
        bytes.resize((bytes.len() + 1).next_multiple_of(4), 0);
        bytes
    };
    let (key, value) = (text(key), text(value));
    // The root; its layout of one field; the table; the list; the layout of the entry; the entry; its texts.
    let mut bytes = vec![12, 0, 0, 0, 0, 0, 6, 0, 8, 0, 4, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 12, 0, 0, 0];
    bytes.extend([8, 0, 12, 0, 4, 0, 8, 0, 8, 0, 0, 0, 8, 0, 0, 0]);
    bytes.extend(((4 + key.len()) as u32).to_le_bytes());
    bytes.extend(key);
    bytes.extend(value);
    bytes
}

#[test]
fn the_table_of_texts_is_read() {
    let bytes = table("/relu_output_0", "3.25");
    let found = Encodings::parse(&bytes).expect("a table");
    assert_eq!(found.known.ranges["/relu_output_0"], (-3.25, 3.25));
    assert!(error(table("x", "wide")).contains("value \"x\": expected a finite number, found \"wide\""));
    // What is cut off or damaged is an error, or another table, but never a panic.
    for cut in 0..bytes.len() {
        let _ = Encodings::parse(&bytes[..cut]);
        for with in [0, 1, 127, 255] {
            let mut damaged = bytes.clone();
            damaged[cut] = with;
            let _ = Encodings::parse(&damaged);
        }
    }
}

#[test]
fn what_makes_no_sense_names_the_entry() {
    let legacy = |entry: &str| format!(r#"{{"activation_encodings": {{"x": {entry}}}, "param_encodings": {{}}}}"#);
    let channel = |scale: &str, offset: &str| {
        legacy(&format!(
            r#"[{{"bitwidth": 8, "dtype": "int", "is_symmetric": "False", "offset": {offset}, "scale": {scale}}}]"#
        ))
    };
    let one = |keys: &str| {
        let entry = format!(r#"{{"name": "w", "dtype": "INT", "is_sym": true, {keys}}}"#);
        format!(r#"{{"version": "1.0.0", "activation_encodings": [], "param_encodings": [{entry}]}}"#)
    };
    let types = |keys: &str| format!(r#"{{"version": "2.0.0", "encodings": [{{"name": "w", {keys}}}]}}"#);
    for (text, part) in [
        (String::new(), "holds no encodings"),
        ("{}".to_owned(), "expected AIMET encodings"),
        ("[1, 2]".to_owned(), "found a list of 2"),
        ("{\"a\": {\"b\": 1}, \"c\": 2}".to_owned(), "found the keys \"a\", \"c\""),
        ("{\"activation_encodings\": []".to_owned(), "is not valid JSON: EOF"),
        ("{\"activation_encodings\": 3}".to_owned(), "activation_encodings must be a list, or keys that are names; found 3"),
        ("{\"version\": \"3.0.0\", \"encodings\": []}".to_owned(), "version \"3.0.0\"; 0.4.0 to 2.0.0 are read"),
        (channel("-0.5", "0"), "entry \"x\": scale must be a positive number that float32 holds; found -0.5"),
        (channel("NaN", "0"), "entry \"x\": scale must be a number; found nothing"),
        (channel("1e300", "0"), "entry \"x\": scale must be a positive number"),
        (channel("1e-44", "0"), "entry \"x\": scale must be a positive number"),
        (channel("1", "11"), "entry \"x\": offset must be a whole number from -255 to 0; found 11"),
        (channel("1", "-0.5"), "offset must be a whole number"),
        (channel("\"1\"", "0"), "scale must be a number; found the text \"1\""),
        (legacy("[]"), "entry \"x\": must be a list with an encoding for each channel; found a list of 0"),
        (legacy("[{\"bitwidth\": 6, \"scale\": 1, \"offset\": 0}]"), "has 6 bits; expected 2, 4, 8 or 16"),
        (legacy("[{\"bitwidth\": 4, \"scale\": 1, \"offset\": 0}]"), "has 1 grids of 4 bits; an activation has one"),
        (legacy("[{\"bitwidth\": 32, \"scale\": 1, \"offset\": 0}]"), "has 32 bits; activations have 8 or 16"),
        (legacy("[{\"bitwidth\": 8, \"scale\": 1, \"offset\": -5, \"min\": -90, \"max\": 5}]"), "found -90"),
        (legacy("[{\"bitwidth\": 8, \"min\": 2, \"max\": -2}]"), "min must not be above max"),
        (legacy("[{\"bitwidth\": 8, \"dtype\": \"complex\", \"scale\": 1, \"offset\": 0}]"), "dtype must be int or float"),
        (one("\"bw\": 8, \"enc_type\": \"PER_TENSOR\", \"scale\": [1, 2], \"offset\": [0, 0]"), "has one scale; found 2"),
        (one("\"bw\": 8, \"enc_type\": \"PER_CHANNEL\", \"scale\": [1, 2], \"offset\": [0]"), "found 2 and 1"),
        (one("\"bw\": 8, \"enc_type\": \"VECTOR\", \"scale\": [1], \"offset\": [0]"), "enc_type must be"),
        (one("\"bw\": 8, \"enc_type\": \"PER_BLOCK\", \"scale\": [1], \"offset\": [0]"), "block_size must be"),
        (one("\"bw\": 8, \"enc_type\": \"PER_TENSOR\", \"scale\": 1, \"offset\": [0]"), "a list of numbers; found 1"),
        (one("\"bw\": 2, \"zero_point_shift\": [0.5], \"enc_type\": \"PER_TENSOR\""), "zero_point_shift"),
        (types("\"output_dtype\": \"int3\", \"y_scale\": 1"), "a type of 2 to 16 bits; found \"int3\""),
        (types("\"output_dtype\": \"int8\", \"y_scale\": [1, 2]"), "must have an axis, with 2 scales"),
        (types("\"output_dtype\": \"int8\", \"y_scale\": 1, \"y_zero_point\": 128"), "from -128 to 127; found 128"),
        (types("\"output_dtype\": \"int8\", \"y_scale\": [], \"axis\": 0"), "found 0 and 0"),
        ("{\"encodings\": [{\"output_dtype\": \"int8\"}]}".to_owned(), "encodings[0]: name must be a name; found no such key"),
        (
            "{\"encodings\": [{\"name\": \"a\", \"output_dtype\": \"int32\"}, {\"name\": \"a\", \"output_dtype\": \"int32\"}]}".to_owned(),
            "entry \"a\": is given twice",
        ),
        ("{\"x\": [3, 2]}".to_owned(), "value \"x\": the range must be of finite float32 numbers, the low end first; found 3 to 2"),
        ("{\"x\": [0, 1e300]}".to_owned(), "value \"x\": the range must be of finite"),
        ("{\"x\": [NaN, 1]}".to_owned(), "value \"x\": the low end must be a finite number; found nothing"),
        ("{\"x\": [1]}".to_owned(), "must be [low, high]; found a list of 1"),
        ("{\"x\": {\"CLS\": \"TensorData\", \"avg\": 1}}".to_owned(), "value \"x\": lowest must be a finite number"),
        ("x 1.0\nx 2.0".to_owned(), "value \"x\": is given twice"),
        ("x 1.0\nwide".to_owned(), "line 2: expected a name and a number; found \"wide\""),
        ("x inf".to_owned(), "value \"x\": expected a finite number, found \"inf\""),
        ("TRT-8501-EntropyCalibration2\nx: 3c010a14".to_owned(), "is a cache of TensorRT itself"),
    ] {
        let found = error(&text);
        assert!(found.contains(part), "{text}: {found}");
    }
    assert!(error([0xff, 0xfe, 1]).contains("neither UTF-8"));
    assert!(error([0u8; 64]).contains("no whole table"));
}

/// Grids of every kind, and the shapes of their constants.
fn every_kind() -> (KnownGrids, BTreeMap<&'static str, Vec<usize>>) {
    use crate::quant::KnownConstant;
    let mut known = KnownGrids::default();
    let activations = [
        ("x", grid(GridType::Uint8, 0.1, 3)),
        ("s", grid(GridType::Int8, 1.0 / 3.0, -5)),
        ("wide", grid(GridType::Uint16, 1.234_567_8e-7, 65_535)),
        ("wide signed", grid(GridType::Int16, 3.0e-5, -7)),
    ];
    known.activations.extend(activations.map(|(name, grid)| (name.to_owned(), grid)));
    let of = |dtype, axis, block, zeros: &[i32]| {
        let scale = |at: usize| 0.1 + at as f32 / 7.0;
        let grids = zeros.iter().enumerate().map(|(at, &zero)| grid(dtype, scale(at), zero)).collect();
        KnownConstant { axis, block, grids }
    };
    let constants = [
        ("w", of(GridType::Int8, None, None, &[0]), vec![3, 4]),
        ("odd", of(GridType::Uint8, None, None, &[128]), vec![3, 4]),
        ("channels", of(GridType::Int8, Some(1), None, &[0, 0, 0]), vec![2, 3]),
        ("unlike", of(GridType::Uint8, Some(1), None, &[0, 128, 255]), vec![2, 3]),
        ("rows", of(GridType::Int4, Some(1), Some(4), &[0; 6]), vec![3, 8]),
        ("columns", of(GridType::Uint4, Some(0), Some(4), &[0, 15, 8, 1, 2, 3]), vec![8, 3]),
    ];
    let shapes = constants.iter().map(|(name, _, shape)| (*name, shape.clone())).collect();
    known.constants.extend(constants.map(|(name, constant, _)| (name.to_owned(), constant)));
    (known, shapes)
}

#[test]
fn what_is_written_is_read_again_bit_for_bit() {
    let (mut known, shapes) = every_kind();
    for version in [Version::V2_0_0, Version::V1_0_0, Version::V0_6_1] {
        if version == Version::V0_6_1 {
            let text = to_json(&known, version, |name| shapes.get(name).cloned(), ("t", "1")).expect_err("blocks");
            assert!(
                text.to_string().contains("\"columns\": has a grid that encodings 0.6.1 cannot state: it is of blocks")
            );
            known.constants.retain(|_, constant| constant.block.is_none());
        }
        let text = to_json(&known, version, |name| shapes.get(name).cloned(), ("tool", "1.2")).expect("encodings");
        assert!(text.contains("\"tool\"") && text.ends_with("}\n"));
        let found = parse(&text);
        assert_eq!(found.format, format!("AIMET encodings {version}"));
        for (name, grid) in &known.activations {
            // Without a type, a grid counts from the lowest of unsigned integers.
            assert_eq!(found.known.activations[name].stored_as(grid.dtype), *grid, "{name} {version}");
        }
        for (name, constant) in &known.constants {
            let stated = &found.constants[name];
            let mut grids = stated.grids.clone();
            if (name.as_str(), version) == ("columns", Version::V1_0_0) {
                // The blocks of a channel stand side by side.
                grids = [0, 2, 4, 1, 3, 5].map(|at| stated.grids[at]).to_vec();
            }
            assert_eq!((&grids, stated.block), (&constant.grids, constant.block), "{name} {version}");
        }
    }
}

#[test]
fn what_a_version_cannot_state_is_refused() {
    let mut known = KnownGrids::default();
    known.activations.insert("e".to_owned(), grid(GridType::Float8(Float8::E4m3fn), 0.5, 0));
    let write = |version| to_json(&known, version, |_| None, ("t", "1"));
    assert!(write(Version::V2_0_0).is_ok_and(|text| text.contains("float8e4m3fn")));
    for version in [Version::V1_0_0, Version::V0_6_1] {
        let text = write(version).expect_err("no such type").to_string();
        assert!(text.contains("value \"e\"") && text.contains("take version 2.0.0"), "{text}");
    }
}
