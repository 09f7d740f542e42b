//! Inputs and outputs as integers.

use super::*;

fn with_io(io: &str, rest: &str, net: Builder) -> Made {
    quantized_by(&format!("activations: {{ calibrator: minmax }}\nio: {{ {io} }}\n{rest}"), net)
}

fn three() -> Builder {
    conv(conv(start(), "c", "d"), "d", "y").output("y", &[1, 4, 8, 8])
}

fn dtype(made: &Made, name: &str) -> DataType {
    made.graph().stated_type(made.value(name)).expect("a stated type").dtype
}

#[test]
fn integers_come_in_and_go_out_under_the_same_names() {
    for (word, onnx) in [("uint8", DataType::Uint8), ("int8", DataType::Int8), ("uint16", DataType::Uint16)] {
        let made = with_io(&format!("inputs: {word}, outputs: {word}"), "", three());
        assert_eq!((dtype(&made, "x"), dtype(&made, "y")), (onnx, onnx));
        let inside = made.operators();
        assert!(inside.last() == Some(&"QuantizeLinear"), "{inside:?}");
        let reader = made.graph().value(made.value("x")).readers().next().expect("a reader").0;
        assert!(made.graph().node(reader).is("DequantizeLinear"));
        assert!(made.border_sqnr() > 27.0, "{word}: {} dB", made.border_sqnr());
    }
}

#[test]
fn the_layer_of_an_output_makes_the_type_that_it_reads() {
    let types = |io: &str| {
        let made = with_io(io, "", three());
        let graph = made.graph();
        let read = made.activation(made.named("Conv_y"), 0).1.dtype();
        let output = graph.node(made.named("Conv_y")).output(0).expect("an output");
        let quantizer = graph.value(output).readers().next().expect("its grid").0;
        let own = graph.constant(made.input(quantizer, 2)).expect("a tensor").expect("a constant").dtype();
        (read, own, dtype(&made, "y"))
    };
    // Integers of as many bits are converted behind the layer, more bits are there from before it.
    assert_eq!(types("outputs: int8"), (DataType::Uint8, DataType::Uint8, DataType::Int8));
    assert_eq!(types("outputs: uint16"), (DataType::Uint16, DataType::Uint16, DataType::Uint16));
    assert_eq!(types("outputs: uint8"), (DataType::Uint8, DataType::Uint8, DataType::Uint8));
}

#[test]
fn the_largest_score_of_another_sample_has_room() {
    let model = three().build();
    let scale = |rest: &str| {
        let settings = settings(&format!("io: {{ outputs: uint8 }}\n{rest}"));
        let made = plan(&model.graph, &settings, &OnnxRuntimeCpu, &[], &Known::default()).expect("a plan");
        let y = made.io.first().expect("an integer output").value;
        resolve(&made, &pretended(&made)).expect("grids").params(y).expect("a grid").scale
    };
    let seen = scale("rules: [{ match: { value: y }, activations: { calibrator: minmax } }]\n");
    assert!((scale("") / seen - 17.0 / 16.0).abs() < 1e-5, "{} beside {seen}", scale(""));
}

#[test]
fn float_nodes_at_the_border_read_and_make_integers_too() {
    let net = Builder::new(13).input("x", &[1, 4, 8, 8]).node("Erf", &["x"], &["e"], vec![]);
    let net = conv(net, "e", "c").node("Softmax", &["c"], &["y"], vec![int("axis", 1)]).output("y", &[1, 4, 8, 8]);
    let made = with_io("inputs: uint8, outputs: int8", "", net);
    assert_eq!((dtype(&made, "x"), dtype(&made, "y")), (DataType::Uint8, DataType::Int8));
    assert!(made.border_sqnr() > 25.0, "{} dB", made.border_sqnr());
}

#[test]
fn an_output_on_a_shared_grid_of_another_type_is_converted() {
    let net = start().ints("flat", &[1, 256]).node("Reshape", &["c", "flat"], &["y"], vec![]).output("y", &[1, 256]);
    let made = with_io("outputs: { y: int16 }", "rules: [{ match: { op_type: Reshape }, quantize: true }]\n", net);
    assert_eq!((dtype(&made, "x"), dtype(&made, "y")), (DataType::Float32, DataType::Int16));
    assert!(made.border_sqnr() > 27.0, "{} dB", made.border_sqnr());
}

#[test]
fn an_output_that_nodes_read_too_keeps_both() {
    let net = conv(start(), "c", "y").output("c", &[1, 4, 8, 8]).output("y", &[1, 4, 8, 8]);
    let made = with_io("outputs: uint8", "", net);
    assert_eq!((dtype(&made, "c"), dtype(&made, "y")), (DataType::Uint8, DataType::Uint8));
    made.activation(made.named("Conv_y"), 0);
    assert!(made.border_sqnr() > 27.0);
}

#[test]
fn what_cannot_be_is_refused() {
    let refused = |io: &str, rest: &str, net: Builder| {
        let settings = settings(&format!("io: {{ {io} }}\n{rest}"));
        let model = net.build();
        plan(&model.graph, &settings, &OnnxRuntimeCpu, &[], &Known::default()).expect_err(io).to_string()
    };
    let error = refused("inputs: { z: uint8 }", "", three());
    let why = "io.inputs names \"z\", which is no input of the model; there are [\"x\"]";
    assert_eq!(error, format!("p.yaml:2:17: {why}"));
    let error = refused("outputs: { y: int8, \"z.z\": int8 }", "", three());
    assert!(error.starts_with("p.yaml:2:27: io.outputs names \"z.z\", which is no output of the model"), "{error}");
    let whole =
        || Builder::new(13).input("x", &[1, 4]).constant("k", &Tensor::from_i64(vec![1], &[1])).output("k", &[1]);
    let whole = || whole().node("Relu", &["x"], &["y"], vec![]).output("y", &[1, 4]);
    let error = refused("outputs: { k: uint8 }", "", whole());
    assert_eq!(error, "p.yaml:2:18: value \"k\": cannot be uint8: it is not float32 in the float model");
    let rule = "rules: [{ match: { value: x }, quantize: false }]\n";
    let error = refused("inputs: uint8", rule, three());
    let why = "is to be an integer input or output, but a rule of the policy keeps it float";
    assert_eq!(error, format!("p.yaml:3:9: value \"x\": {why}"));
}

/// A picture with one more channel that holds `mark`, and a layer behind it.
fn marked(mark: f32) -> Builder {
    let net = Builder::new(13).input("x", &[1, 3, 8, 8]).ints("pads", &[0, 0, 0, 0, 0, 1, 0, 0]);
    let net = net.floats("mark", &[], &[mark]).node("Pad", &["x", "pads", "mark"], &["p"], vec![]);
    conv(net, "p", "y").output("y", &[1, 4, 8, 8])
}

#[test]
fn a_pad_with_a_number_of_a_stated_grid_moves_integers() {
    let rule = "rules: [{ match: { value: x }, scale: 0.0078125, zero_point: 128 }]\n";
    let made = with_io("inputs: uint8, outputs: uint8", rule, marked(-0.5));
    let pad = made.the("Pad");
    made.producer(made.input(pad, 0), "DequantizeLinear");
    assert!(made.border_sqnr() > 30.0, "{} dB", made.border_sqnr());
    let mut model = made.model.clone();
    let kept = to_qoperators(&mut model, &made.plan).expect("sound constants");
    assert!(kept.is_empty(), "{kept:?}");
    let pad = model.graph.node_ids().find(|&id| model.graph.node(id).is("Pad")).expect("a Pad");
    let mark = model.graph.node(pad).input(2).and_then(|v| model.graph.constant(v).ok().flatten()).expect("a constant");
    assert_eq!((mark.dtype(), &mark.bytes()[..]), (DataType::Uint8, &[64][..]));
    // Between two numbers of the grid, or beyond it, or on one that is found later.
    for (rule, mark) in [(rule, 0.003), (rule, 1.5), ("", -0.5)] {
        let made = with_io("inputs: uint8, outputs: uint8", rule, marked(mark));
        let quantized = made.producer(made.input(made.named("Conv_y"), 0), "DequantizeLinear");
        assert!(made.plan.nodes.iter().any(|n| n.op_type == "Pad" && matches!(n.placement, Placement::Float { .. })));
        made.producer(made.input(quantized, 0), "QuantizeLinear");
    }
}
