//! Types other than uint8 and int8, and nodes of different types beside each other.

use super::*;

fn minmax(rest: &str) -> String {
    format!("activations: {{ calibrator: minmax{rest} }}\n")
}

/// The element types of the integers that QuantizeLinear nodes make, in order.
fn types(made: &Made) -> Vec<DataType> {
    let graph = made.graph();
    let order = graph.topological().expect("no circle").into_iter();
    let quantizers = order.filter(|&id| graph.node(id).is("QuantizeLinear"));
    quantizers.map(|id| graph.constant(made.input(id, 2)).expect("a tensor").expect("a constant").dtype()).collect()
}

fn three_without_output() -> Builder {
    conv(conv(start(), "c", "d"), "d", "y")
}

fn three() -> Builder {
    three_without_output().output("y", &[1, 4, 8, 8])
}

#[test]
fn sixteen_bits_lose_next_to_nothing() {
    for (dtype, onnx) in [("uint16", DataType::Uint16), ("int16", DataType::Int16)] {
        for symmetric in [false, true] {
            let policy = minmax(&format!(", type: {dtype}, symmetric: {symmetric}"));
            // What is left is the error of weights of 8 bits.
            let made = quantized_by(&policy, three());
            assert!(made.sqnr() > 38.0, "{dtype}: {} dB", made.sqnr());
            assert_eq!(types(&made), [onnx; 4]);
            let bias = made.constant(made.named("Conv_d"), 2);
            assert_eq!(bias[0].dtype(), DataType::Int32);
        }
    }
}

#[test]
fn a_constant_beside_an_activation_of_16_bits_has_16_bits() {
    let net = start().noise("k", &[1, 4, 1, 1], 3).node("Relu", &["c"], &["r"], vec![]);
    let net = net.node("Add", &["r", "c"], &["s"], vec![]).node("Mul", &["s", "k"], &["a"], vec![]);
    let made = quantized_by(&minmax(", type: int16"), conv(net, "a", "y").output("y", &[1, 4, 8, 8]));
    let [integers, _, zero] = made.constant(made.the("Mul"), 1);
    assert_eq!((integers.dtype(), zero.dtype(), zero.bytes().len()), (DataType::Int16, DataType::Int16, 2));
    assert!(made.sqnr() > 34.0, "{} dB", made.sqnr());
}

#[test]
fn a_value_between_types_is_converted_once_for_all_its_readers() {
    let net = conv(conv(conv(start(), "c", "d"), "c", "e"), "c", "f");
    let net = net.node("Add", &["d", "e"], &["s"], vec![]).node("Add", &["s", "f"], &["y"], vec![]);
    let policy = minmax("") + "rules: [{ match: { node: Conv_c }, activations: { type: uint16 } }]\n";
    let made = quantized_by(&policy, net.output("y", &[1, 4, 8, 8]));
    let graph = made.graph();
    // The input goes straight to 16 bits, and what three layers of 8 bits read is converted once.
    assert_eq!(types(&made)[..3], [DataType::Uint16, DataType::Uint16, DataType::Uint8]);
    let readers = ["Conv_d", "Conv_e", "Conv_f"].map(|node| made.input(made.named(node), 0));
    assert!(readers.iter().all(|v| *v == readers[0]));
    let second = made.producer(readers[0], "DequantizeLinear");
    let second = made.producer(made.input(second, 0), "QuantizeLinear");
    let first = made.producer(made.input(second, 0), "DequantizeLinear");
    let first = made.producer(made.input(first, 0), "QuantizeLinear");
    assert_eq!(graph.value(made.input(first, 0)).producer(), Some(made.named("Conv_c")));
    // The bias is on the grid of what the layer reads.
    let scale = |slot| made.constant(made.named("Conv_d"), slot)[1].to_f32().expect("numbers").into_owned();
    let (input, _) = made.activation(made.named("Conv_d"), 0);
    assert_eq!(scale(2)[0], input * scale(1)[0]);
}

#[test]
fn a_join_has_one_type_and_what_comes_in_another_is_converted() {
    let net = conv(start(), "c", "d").node("Concat", &["c", "d"], &["j"], vec![int("axis", 1)]);
    let net = net.noise("w", &[4, 8, 1, 1], 3).node("Conv", &["j", "w"], &["y"], vec![]).output("y", &[1, 4, 8, 8]);
    let policy = minmax("") + "rules: [{ match: { node: Conv_d }, activations: { type: int16 } }]\n";
    let made = quantized_by(&policy, net);
    let join = made.the("Concat");
    for slot in 0..2 {
        assert_eq!(made.activation(join, slot).1.dtype(), DataType::Uint8);
    }
    assert_eq!(made.activation(made.named("Conv_d"), 0).1.dtype(), DataType::Int16);
}

#[test]
fn a_movement_takes_any_type() {
    let net = start().ints("flat", &[1, 4, 64, 1]).node("Reshape", &["c", "flat"], &["m"], vec![]);
    let policy = minmax("") + "rules: [{ match: { node: Conv_c }, activations: { type: uint16 } }]\n";
    let made = quantized_by(&policy, conv(net, "m", "y").output("y", &[1, 4, 64, 1]));
    assert_eq!(made.activation(made.the("Reshape"), 0).1.dtype(), DataType::Uint16);
    assert_eq!(made.activation(made.named("Conv_y"), 0).1.dtype(), DataType::Uint8);
}

/// The types that the layers called `nodes` read and make, as far as those are activations on grids.
fn around(made: &Made, nodes: &[&str]) -> Vec<(DataType, DataType)> {
    let graph = made.graph();
    let made_type = |node| {
        let output = graph.node(node).output(0).expect("an output");
        let reader = graph.value(output).readers().find(|(id, _)| graph.node(*id).is("QuantizeLinear"));
        graph.constant(made.input(reader.expect("a grid").0, 2)).expect("a tensor").expect("a constant").dtype()
    };
    let both = |name: &&str| (made.activation(made.named(name), 0).1.dtype(), made_type(made.named(name)));
    nodes.iter().map(both).collect()
}

const WIDE: (DataType, DataType) = (DataType::Uint16, DataType::Uint16);
const NARROW: (DataType, DataType) = (DataType::Uint8, DataType::Uint8);

#[test]
fn layers_around_a_value_read_and_make_the_type_that_a_rule_states_of_it() {
    let net = || conv(conv(three_without_output(), "y", "z"), "z", "u").output("u", &[1, 4, 8, 8]);
    let policy = minmax("") + "rules: [{ match: { value: d }, activations: { type: uint16 } }]\n";
    let made = quantized_by(&policy, net());
    let layers = ["Conv_c", "Conv_d", "Conv_y", "Conv_z", "Conv_u"];
    assert_eq!(around(&made, &layers), [NARROW, WIDE, WIDE, NARROW, NARROW]);
    // A rule about the layer that reads it decides for that layer.
    let stays = policy.replace("rules: [", "rules: [{ match: { node: Conv_y }, activations: { type: uint8 } }, ");
    let made = quantized_by(&stays, net());
    assert_eq!(around(&made, &layers), [NARROW, WIDE, NARROW, NARROW, NARROW]);
    // Clamps and what only moves numbers belong to the layer before them.
    for (op_type, read) in [("Relu", "uint16"), ("Transpose", "int16")] {
        let perm = if op_type == "Transpose" { vec![ints("perm", &[0, 1, 3, 2])] } else { vec![] };
        let net = conv(start(), "c", "d").node(op_type, &["d"], &["e"], perm);
        let stated = policy.replace("value: d", "value: e").replace("uint16", read);
        let made = quantized_by(&stated, conv(net, "e", "y").output("y", &[1, 4, 8, 8]));
        let wide = made.activation(made.named("Conv_y"), 0).1.dtype();
        assert_eq!(wide, if read == "int16" { DataType::Int16 } else { DataType::Uint16 });
        assert_eq!(made.activation(made.named("Conv_d"), 0).1.dtype(), wide, "{op_type}");
        assert_eq!(made.activation(made.named("Conv_c"), 0).1.dtype(), DataType::Uint8);
    }
}

#[test]
fn a_sum_of_a_stated_type_reads_it_on_both_sides() {
    let net = || {
        let net = conv(conv(start(), "c", "d"), "c", "e").node("Add", &["d", "e"], &["s"], vec![]);
        conv(net, "s", "y").output("y", &[1, 4, 8, 8])
    };
    let stated =
        |value: &str| minmax("") + "rules: [{ match: { value: " + value + " }, activations: { type: uint16 } }]\n";
    let made = quantized_by(&stated("s"), net());
    let read = |made: &Made, slot| made.activation(made.the("Add"), slot).1.dtype();
    assert_eq!([0, 1].map(|slot| read(&made, slot)), [DataType::Uint16; 2]);
    assert_eq!(around(&made, &["Conv_d", "Conv_e", "Conv_y"]), [NARROW, NARROW, WIDE]);
    // One of two that it reads is converted to what the sum is.
    let made = quantized_by(&stated("d"), net());
    assert_eq!([0, 1].map(|slot| read(&made, slot)), [DataType::Uint8; 2]);
    assert_eq!(around(&made, &["Conv_d", "Conv_e", "Conv_y"]), [WIDE, NARROW, NARROW]);
}

#[test]
fn a_grid_of_the_policy_is_taken_as_it_is() {
    let policy = minmax("") + "rules: [{ match: { value: d }, scale: 0.125, zero_point: 9 }]\n";
    let made = quantized_by(&policy, three());
    let (scale, zero) = made.activation(made.named("Conv_y"), 0);
    assert_eq!((scale, zero.bytes().as_ref()), (0.125, &[9][..]));
    assert!(made.plan.observed().all(|value| value.name != "d"));
    let wrong = minmax("") + "rules: [{ match: { value: d }, scale: 0.125, zero_point: 256 }]\n";
    let error = plan(&three().build().graph, &settings(&wrong), &OnnxRuntimeCpu, &[], &Known::default())
        .expect_err("no uint8")
        .to_string();
    assert!(
        error.contains("value \"d\": has by a rule of the policy the zero point 256; that of uint8 lies from 0 to 255"),
        "{error}"
    );
    assert!(error.starts_with("p.yaml:3:9: "), "{error}");
}

#[test]
fn every_scale_is_a_power_of_two_where_that_is_asked_for() {
    let policy = minmax(", power_of_two: true") + "weights: { power_of_two: true }\n";
    let made = quantized_by(&policy, three());
    let graph = made.graph();
    let scales = graph.node_ids().filter(|&id| graph.node(id).is("DequantizeLinear")).map(|id| made.input(id, 1));
    let scales: Vec<f32> = scales
        .flat_map(|v| graph.constant(v).expect("a tensor").expect("a constant").to_f32().expect("floats").into_owned())
        .collect();
    assert!(scales.len() > 12 && scales.iter().all(|scale| scale.log2().fract() == 0.0), "{scales:?}");
    assert!(made.sqnr() > 25.0, "{} dB", made.sqnr());
}

#[test]
fn a_bias_stays_float_where_that_is_asked_for() {
    let made = quantized_by(&(minmax("") + "weights: { bias: float32 }\n"), three());
    let bias = made.input(made.named("Conv_d"), 2);
    let bias = made.graph().constant(bias).expect("a tensor").expect("a constant");
    assert_eq!(bias.dtype(), DataType::Float32);
    assert!(made.sqnr() > 30.0);
}

#[test]
fn what_lies_between_two_values_is_chosen() {
    let net = conv(conv(conv(start(), "c", "d"), "d", "e"), "c", "f");
    let net = net.node("Add", &["e", "f"], &["y"], vec![]).output("y", &[1, 4, 8, 8]);
    let policy = minmax("") + "rules: [{ match: { between: [c, e] }, quantize: false }]\n";
    let made = quantized_by(&policy, net);
    let float = |name: &str| {
        let node = made.plan.nodes.iter().find(|node| node.name == name).expect("the node");
        matches!(node.placement, Placement::Float { .. })
    };
    assert_eq!(["Conv_c", "Conv_d", "Conv_e", "Conv_f"].map(float), [false, true, true, false]);
    let wrong = settings(&(minmax("") + "rules: [{ match: { between: [c, q] }, quantize: false }]\n"));
    let error = plan(&three().build().graph, &wrong, &OnnxRuntimeCpu, &[], &Known::default())
        .expect_err("no such value")
        .to_string();
    assert!(error.starts_with("p.yaml:3:33: no value is called \"q\"; the nearest in the model: "), "{error}");
}

#[test]
fn fixed_ranges_fill_16_bits_too() {
    let net = start().node("Sigmoid", &["c"], &["s"], vec![]);
    let made = quantized_by(&minmax(", type: uint16"), conv(net, "s", "y").output("y", &[1, 4, 8, 8]));
    let (scale, zero) = made.activation(made.named("Conv_y"), 0);
    assert_eq!((scale, zero.bytes().as_ref()), (1.0 / 65_536.0, &[0, 0][..]));
}

/// The domains of the Q/DQ nodes whose integers are of `dtype`.
fn domains(made: &Made, dtype: DataType) -> Vec<String> {
    let graph = made.graph();
    let of_type = |id: &NodeId| {
        let zero = graph.node(*id).op_type().ends_with("tizeLinear").then(|| graph.node(*id).input(2)).flatten();
        zero.and_then(|zero| graph.known_type(zero)).is_some_and(|ty| ty.dtype == dtype)
    };
    graph.node_ids().filter(of_type).map(|id| graph.node(id).domain().to_owned()).collect()
}

#[test]
fn types_too_new_for_the_opset_are_of_the_runtimes_domain_where_they_may_be() {
    let mut made = quantized_by(&minmax(", type: uint16"), three());
    let before = made.sqnr();
    to_contrib(&mut made.model).expect("a model");
    assert_eq!((made.model.opset(""), made.model.opset("com.microsoft")), (Some(13), Some(1)));
    let wide = domains(&made, DataType::Uint16);
    assert!(wide.len() == 8 && wide.iter().all(|d| d == "com.microsoft"), "{wide:?}");
    // Weights and biases have types that ONNX's own takes.
    assert!(domains(&made, DataType::Int8).iter().chain(&domains(&made, DataType::Int32)).all(String::is_empty));
    assert_eq!(made.sqnr(), before);
    crate::dequantize::dequantize(&mut made.model).expect("a float model");
    assert!(made.graph().node_ids().all(|id| made.graph().node(id).domain().is_empty()));

    let mut four = quantized_by("mode: weight-only\nweights: { type: int4 }\n", three());
    to_contrib(&mut four.model).expect("a model");
    assert!(domains(&four, DataType::Int4).iter().all(|d| d == "com.microsoft") && four.model.ir_version() >= 10);
    assert!(four.sqnr() > 10.0, "{}", four.sqnr());
}

#[test]
fn models_that_need_no_other_domain_do_not_import_it() {
    let mut made = quantized_by(&minmax(""), three());
    to_contrib(&mut made.model).expect("a model");
    assert_eq!(made.model.opset("com.microsoft"), None);
    let mut newer = quantized_by(&minmax(", type: int16"), three());
    newer.model.set_opset("", 21);
    to_contrib(&mut newer.model).expect("a model");
    assert!(domains(&newer, DataType::Int16).iter().all(String::is_empty));
}

#[test]
fn floats_of_eight_bits_have_no_zero_points_but_zero_and_biases_of_float32() {
    for (dtype, onnx, least) in
        [("float8e4m3fn", DataType::Float8E4M3Fn, 22.0), ("float8e5m2", DataType::Float8E5M2, 16.0)]
    {
        let policy = format!("activations: {{ type: {dtype} }}\nweights: {{ type: {dtype} }}\n");
        let made = quantized_by(&policy, three());
        assert_eq!(types(&made), [onnx; 4]);
        let graph = made.graph();
        for id in graph.node_ids().filter(|&id| graph.node(id).op_type().ends_with("tizeLinear")) {
            let zero = graph.constant(made.input(id, 2)).expect("a tensor").expect("a constant");
            assert!(zero.dtype() == onnx && zero.bytes().iter().all(|&byte| byte == 0));
        }
        let [weight, scales, _] = made.constant(made.named("Conv_d"), 1);
        assert_eq!((weight.dtype(), scales.shape()), (onnx, &[4][..]));
        // The largest of each channel is the largest of the type.
        let largest = if onnx == DataType::Float8E4M3Fn { 0x7e } else { 0x7b };
        assert!(weight.bytes().chunks(4).all(|channel| channel.iter().map(|b| b & 0x7f).max() == Some(largest)));
        let bias = graph.constant(made.input(made.named("Conv_d"), 2)).expect("a tensor").expect("a constant");
        assert_eq!(bias.dtype(), DataType::Float32);
        assert!(made.sqnr() > least, "{dtype}: {} dB", made.sqnr());
    }
}

#[test]
fn floats_of_eight_bits_take_the_whole_range_and_keep_small_numbers() {
    let e4m3 = "activations: { type: float8e4m3fn }\nweights: { type: float8e4m3fn }\n";
    let by = |calibrator: &str| {
        let policy = e4m3.replace("fn }\nw", &format!("fn, calibrator: {calibrator} }}\nw"));
        let made = quantized_by(&policy, three());
        made.activation(made.named("Conv_d"), 0).0
    };
    assert_eq!([by("mse"), by("entropy")], [by("minmax"); 2]);
}

#[test]
fn a_clamp_behind_a_layer_has_the_type_that_a_rule_gives_the_layer() {
    let net = || conv(start().node("Relu", &["c"], &["r"], vec![]), "r", "y").output("y", &[1, 4, 8, 8]);
    let rule = "rules: [{ match: { op_type: Conv }, activations: { type: uint16 } }]\n";
    let made = quantized_by(&(minmax("") + rule), net());
    assert!(types(&made).iter().all(|dtype| *dtype == DataType::Uint16), "{:?}", types(&made));
    // Another rule may still say otherwise of what it makes.
    let other = "rules: [{ match: { op_type: Conv }, activations: { type: uint16 } }, { match: { value: r }, activations: { type: uint8 } }]\n";
    assert!(types(&quantized_by(&(minmax("") + other), net())).contains(&DataType::Uint8));
}

#[test]
fn a_join_reads_all_in_its_own_type_whatever_a_rule_says_of_one_value() {
    let net = || {
        let net = conv(conv(start(), "c", "d"), "c", "e").node("Add", &["d", "e"], &["s"], vec![]);
        conv(net, "s", "y").output("y", &[1, 4, 8, 8])
    };
    let rule = "rules: [{ match: { value: d }, activations: { type: uint16 } }]\n";
    let made = quantized_by(&(minmax("") + rule), net());
    let add = made.the("Add");
    assert!(types(&made).contains(&DataType::Uint16));
    assert_eq!([0, 1].map(|slot| made.activation(add, slot).1.dtype()), [DataType::Uint8; 2]);
    let rule = "rules: [{ match: { value: '*' }, activations: { type: uint16 } }]\n";
    let made = quantized_by(&(minmax("") + rule), net());
    assert!(types(&made).iter().all(|dtype| *dtype == DataType::Uint16), "{:?}", types(&made));
}

#[test]
fn weights_beside_sixteen_bits_need_no_room_for_sums() {
    let scale = |rules: &str| {
        let made = quantized_by(&(minmax("") + rules), three());
        let scales = made.constant(made.named("Conv_d"), 1)[1].to_f32().expect("scales").into_owned();
        scales.into_iter().sum::<f32>()
    };
    let by_value = scale("rules: [{ match: { value: '*' }, activations: { type: uint16 } }]\n");
    assert_eq!(by_value, scale("rules: [{ match: { node: '*' }, activations: { type: uint16 } }]\n"));
}

#[test]
fn floats_and_integers_stand_beside_each_other_but_not_in_one_node() {
    let rule =
        "rules: [{ match: { node: Conv_d }, activations: { type: float8e4m3fn }, weights: { type: float8e5m2 } }]\n";
    let made = quantized_by(&(minmax("") + rule), three());
    assert_eq!(made.activation(made.named("Conv_d"), 0).1.dtype(), DataType::Float8E4M3Fn);
    assert_eq!(made.constant(made.named("Conv_d"), 1)[0].dtype(), DataType::Float8E5M2);
    assert_eq!(made.activation(made.named("Conv_y"), 0).1.dtype(), DataType::Uint8);
    assert!(made.sqnr() > 15.0, "{} dB", made.sqnr());
    let half = minmax("") + "rules: [{ match: { node: Conv_d }, activations: { type: float8e4m3fn } }]\n";
    let error = plan(&three().build().graph, &settings(&half), &OnnxRuntimeCpu, &[], &Known::default())
        .expect_err("a mix")
        .to_string();
    assert!(error.contains("Conv_d") && error.contains("weights of int8 and activations of float8e4m3fn"), "{error}");
    let grid =
        minmax("") + "rules: [{ match: { value: d }, activations: { type: float8e5m2 }, scale: 1, zero_point: 1 }]\n";
    let error = plan(&three().build().graph, &settings(&grid), &OnnxRuntimeCpu, &[], &Known::default())
        .expect_err("a zero")
        .to_string();
    assert!(error.contains("that of float8e5m2 is 0"), "{error}");
}

#[test]
fn weights_alone_are_floats_of_eight_bits_by_tensor_channel_and_block() {
    for granularity in ["per_tensor", "per_channel", "per_block, block_size: 2"] {
        for (dtype, least) in [("float8e4m3fn", 25.0), ("float8e5m2", 19.0)] {
            let policy = format!("mode: weight-only\nweights: {{ type: {dtype}, granularity: {granularity} }}\n");
            let mut made = quantized_by(&policy, three());
            let before = made.sqnr();
            assert!(before > least, "{dtype} {granularity}: {before} dB");
            crate::dequantize::dequantize(&mut made.model).expect("a float model");
            assert_eq!(made.sqnr(), before);
        }
    }
}

#[test]
fn a_table_of_floats_of_eight_bits_is_dequantized_ahead_of_its_lookup() {
    let ids = Tensor::from_i64(vec![1, 3], &[4, 0, 2]);
    let net = Builder::new(13).input("x", &[1, 3, 8]).noise("t", &[6, 8], 3).constant("ids", &ids);
    let net = net.node("Gather", &["t", "ids"], &["e"], vec![]).node("Add", &["e", "x"], &["s"], vec![]);
    let net = net.noise("w", &[8, 5], 4).node("MatMul", &["s", "w"], &["y"], vec![]).output("y", &[1, 3, 5]);
    let made = quantized_by("activations: { type: float8e4m3fn }\nweights: { type: float8e4m3fn }\n", net);
    let graph = made.graph();
    let float8 = |v: ValueId| graph.known_type(v).is_some_and(|ty| ty.dtype == DataType::Float8E4M3Fn);
    assert!(graph.node_ids().filter(|&id| graph.node(id).is("Gather")).all(|id| !float8(made.input(id, 0))));
    assert!(made.sqnr() > 20.0, "{} dB", made.sqnr());
}
