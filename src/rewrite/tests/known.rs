//! Grids that are known beforehand: neither observed nor chosen.

use super::*;
use crate::quant::{GridType, KnownConstant, KnownGrids, Params};

const MINMAX: &str = "activations: { calibrator: minmax }\n";

fn grid(dtype: GridType, scale: f32, zero_point: i32) -> Params {
    Params { dtype, scale, zero_point }
}

fn constant(axis: Option<usize>, block: Option<usize>, grids: Vec<Params>) -> KnownConstant {
    KnownConstant { axis, block, grids }
}

/// What is known of these values and constants.
fn grids(activations: &[(&str, Params)], constants: &[(&str, KnownConstant)]) -> KnownGrids {
    KnownGrids {
        activations: activations.iter().map(|(name, params)| ((*name).to_owned(), *params)).collect(),
        constants: constants.iter().map(|(name, known)| ((*name).to_owned(), known.clone())).collect(),
        ..KnownGrids::default()
    }
}

fn told(activations: &[(&str, Params)], constants: &[(&str, KnownConstant)]) -> Known {
    Known { told: grids(activations, constants), ..Known::default() }
}

fn own(activations: &[(&str, Params)], constants: &[(&str, KnownConstant)]) -> Known {
    Known { own: grids(activations, constants), ..Known::default() }
}

fn unused(made: &Made) -> Vec<String> {
    made.plan.unused.iter().map(|unused| format!("{}: {}", unused.name, unused.reason)).collect()
}

/// Three layers: `x`, `c`, `d`, `y`.
fn three() -> Builder {
    conv(conv(start(), "c", "d"), "d", "y").output("y", &[1, 4, 8, 8])
}

fn error(net: Builder, known: &Known) -> String {
    let model = net.build();
    let planned = plan(&model.graph, &settings(""), &OnnxRuntimeCpu, &[], known);
    planned.expect_err("grids that do not fit").to_string()
}

#[test]
fn known_grids_are_written_as_they_are_and_nothing_is_observed_for_them() {
    let weight = constant(Some(0), None, (1..5).map(|i| grid(GridType::Int8, i as f32 * 0.011, 0)).collect());
    let bytes = [("x", 0.02, 120), ("c", 0.03, 7), ("d", 0.05, 130), ("y", 0.11, 128)];
    let all = bytes.map(|(name, scale, zero)| (name, grid(GridType::Uint8, scale, zero)));
    let made = quantized_knowing(three().build(), MINMAX, &told(&all, &[("d_w", weight.clone())]), |_, plan| {
        assert_eq!(plan.observed().count(), 0);
        Calibration::default()
    });
    assert_eq!(unused(&made), Vec::<String>::new());
    let layer = made.named("Conv_d");
    let [integers, scales, zeros] = made.constant(layer, 1);
    assert_eq!(*scales.to_f32().expect("scales"), [0.011, 0.022, 3.0 * 0.011, 0.044]);
    assert_eq!((integers.dtype(), zeros.to_i64().expect("integers")[..].to_vec()), (DataType::Int8, vec![0; 4]));
    let (scale, zero) = made.activation(layer, 0);
    assert_eq!((scale, zero.to_i64().expect("an integer")[0]), (0.03, 7));
    let (scale, zero) = made.activation(made.named("Conv_y"), 0);
    assert_eq!((scale, zero.to_i64().expect("an integer")[0]), (0.05, 130));
}

#[test]
fn a_known_type_wins_at_its_value_and_what_goes_with_it_follows() {
    let made =
        quantized_knowing(three().build(), MINMAX, &told(&[("c", grid(GridType::Int8, 0.03, 3))], &[]), calibrated);
    let types = ["Conv_c", "Conv_d", "Conv_y"].map(|node| made.activation(made.named(node), 0).1.dtype());
    // The first layer makes int8, so it reads int8; from there on nothing is converted.
    assert_eq!(types, [DataType::Int8; 3]);
    assert!(made.sqnr() > 20.0, "{} dB", made.sqnr());
}

#[test]
fn words_of_the_policy_come_first() {
    let policy = "rules:\n  - match: { value: c }\n    range: [-1, 2]\n";
    let known = told(&[("c", grid(GridType::Uint8, 0.5, 0)), ("q", grid(GridType::Uint8, 0.5, 0))], &[]);
    let made = quantized_knowing(three().build(), policy, &known, calibrated);
    assert_ne!(made.activation(made.named("Conv_d"), 0).0, 0.5);
    assert_eq!(
        unused(&made),
        ["c: a rule of the policy states its range or scale", "q: the prepared model has no such value"]
    );
}

/// A layer, something that moves, and a layer behind it.
fn moved(also_read: bool) -> Builder {
    let net = start().node("Transpose", &["c"], &["t"], vec![crate::ir::build::ints("perm", &[0, 1, 3, 2])]);
    let net = conv(net, "t", "y").output("y", &[1, 4, 8, 8]);
    if also_read { conv(net, "c", "z").output("z", &[1, 4, 8, 8]) } else { net }
}

#[test]
fn the_grid_of_what_is_moved_is_that_of_where_it_comes_from() {
    let known = grid(GridType::Uint8, 0.04, 99);
    let alone = quantized_knowing(moved(false).build(), MINMAX, &told(&[("t", known)], &[]), calibrated);
    assert_eq!(alone.activation(alone.the("Transpose"), 0).0, 0.04);
    assert_eq!(unused(&alone), Vec::<String>::new());
    // Others read what is moved, too: one grid for all is what calibration finds.
    let shared = quantized_knowing(moved(true).build(), MINMAX, &told(&[("t", known)], &[]), calibrated);
    assert_ne!(shared.activation(shared.named("Conv_y"), 0).0, 0.04);
    assert_eq!(unused(&shared), ["t: it is moved on the grid of \"c\""]);
    // A model that has it so keeps both.
    let kept = quantized_knowing(moved(true).build(), MINMAX, &own(&[("t", known)], &[]), calibrated);
    assert_eq!(kept.activation(kept.named("Conv_y"), 0).0, 0.04);
    assert_ne!(kept.activation(kept.named("Conv_z"), 0).0, 0.04);
}

#[test]
fn a_models_own_grids_stay_where_the_plan_has_none() {
    let weight = constant(None, None, vec![grid(GridType::Uint8, 0.02, 130)]);
    let net = || start().node("Exp", &["c"], &["e"], vec![]).node("Tanh", &["e"], &["y"], vec![]);
    let net = || net().output("y", &[1, 4, 8, 8]);
    let policy = "rules:\n  - match: { node: Conv_c }\n    quantize: false\n";
    let known = own(&[("e", grid(GridType::Uint8, 0.01, 0))], &[("c_w", weight.clone())]);
    let made = quantized_knowing(net().build(), policy, &known, calibrated);
    assert_eq!(made.activation(made.the("Tanh"), 0).0, 0.01);
    let [integers, scale, zero] = made.constant(made.the("Conv"), 1);
    assert_eq!(
        (integers.dtype(), scale.first_f32(), zero.to_i64().expect("one")[0]),
        (DataType::Uint8, Some(0.02), 130)
    );
    assert_eq!(unused(&made), Vec::<String>::new());
    // What is only stated is for what the plan puts on a grid.
    let known = Known { told: known.own, ..Known::default() };
    let made = quantized_knowing(net().build(), policy, &known, calibrated);
    assert!(!made.operators().contains(&"QuantizeLinear"));
    assert_eq!(unused(&made), ["c_w: no node reads it as integers", "e: the plan leaves it in float"]);
}

#[test]
fn a_layer_that_was_on_integers_stays_so_in_every_mode() {
    let known = own(
        &[("x", grid(GridType::Uint8, 0.02, 120)), ("c", grid(GridType::Uint8, 0.03, 7))],
        &[("c_w", constant(None, None, vec![grid(GridType::Int8, 0.02, 0)]))],
    );
    for mode in ["weight-only", "dynamic", "float16"] {
        let made = quantized_knowing(three().build(), &format!("mode: {mode}\n"), &known, calibrated);
        let first = made.named("Conv_c");
        assert_eq!(made.constant(first, 2)[0].dtype(), DataType::Int32, "{mode}");
        assert_eq!(made.activation(first, 0).0, 0.02, "{mode}");
        let made_next = made.plan.by_node().values().filter(|n| matches!(n.placement, Placement::Integer(_))).count();
        assert_eq!(made_next, 1, "{mode}");
    }
}

#[test]
fn weights_of_few_bits_and_in_blocks_are_stored_and_the_layer_computes_in_float() {
    let four: Vec<_> = (0..4).map(|i| grid(GridType::Int4, 0.1 + i as f32 * 0.01, 0)).collect();
    let blocks: Vec<_> = (0..8).map(|i| grid(GridType::Int8, 0.01 + i as f32 * 0.001, i)).collect();
    for known in [constant(Some(0), None, four), constant(Some(1), Some(2), blocks)] {
        let scales: Vec<f32> = known.grids.iter().map(|grid| grid.scale).collect();
        let made = quantized_knowing(three().build(), MINMAX, &told(&[], &[("d_w", known)]), calibrated);
        let layer = made.named("Conv_d");
        assert_eq!(*made.constant(layer, 1)[1].to_f32().expect("scales"), scales);
        assert!(made.plan.nodes.iter().any(|n| n.name == "Conv_d" && matches!(n.placement, Placement::Weight(_))));
        assert!(made.sqnr() > 15.0, "{} dB", made.sqnr());
    }
}

#[test]
fn a_bias_too_large_for_known_steps_stays_float() {
    let known = told(
        &[("c", grid(GridType::Uint8, 1e-6, 0))],
        &[("d_w", constant(None, None, vec![grid(GridType::Int8, 1e-6, 0)]))],
    );
    let made = quantized_knowing(three().build(), MINMAX, &known, calibrated);
    let bias = made.input(made.named("Conv_d"), 2);
    assert!(
        made.graph().is_constant(bias)
            && made.graph().constant(bias).expect("a tensor").is_some_and(|t| t.dtype() == DataType::Float32)
    );
}

#[test]
fn integers_of_a_bias_that_float32_does_not_hold_are_kept() {
    // Odd and beyond 2^24.
    let integers = vec![(1 << 25) + 1, -(1 << 26) - 3, 5, 0];
    let (input, weight) = (0.001f32, 0.0003f32);
    let scale = input * weight;
    let floats: Vec<f32> = integers.iter().map(|&q| q as f32 * scale).collect();
    let net = Builder::new(13).input("x", &[1, 4, 8, 8]).noise("w", &[4, 4, 1, 1], 3).floats("b", &[4], &floats);
    let net = net.node("Conv", &["x", "w", "b"], &["y"], vec![]).output("y", &[1, 4, 8, 8]).build();
    let mut known = own(
        &[("x", grid(GridType::Uint8, input, 0)), ("y", grid(GridType::Uint8, 0.1, 0))],
        &[("w", constant(None, None, vec![grid(GridType::Int8, weight, 0)]))],
    );
    known.biases.insert("b".to_owned(), crate::quant::KnownBias { integers: integers.clone(), scales: vec![scale] });
    let stored = |known: &Known| {
        let made = quantized_knowing(net.clone(), MINMAX, known, calibrated);
        let bias = made.constant(made.the("Conv"), 2)[0].to_i64().expect("integers").into_owned();
        bias.into_iter().map(|q| q as i32).collect::<Vec<_>>()
    };
    assert_eq!(stored(&known), integers);
    // Of another bias they are not.
    known.biases.get_mut("b").expect("the bias").integers[2] = 6;
    assert_ne!(stored(&known), integers);
}

#[test]
fn grids_that_do_not_fit_are_an_error_that_names_the_constant() {
    let int8 = |count| vec![grid(GridType::Int8, 0.1, 0); count];
    let why = |known: KnownConstant| error(three(), &told(&[], &[("d_w", known)]));
    let found = why(constant(Some(1), None, int8(4)));
    assert!(found.contains("\"d_w\": has known grids along axis 1") && found.contains("axis 0"), "{found}");
    assert!(why(constant(Some(0), None, int8(3))).contains("3 known grids; expected 4 along axis 0"));
    assert!(why(constant(Some(4), None, int8(3))).contains("along axis 4, but its shape is [4, 4, 1, 1]"));
    assert!(why(constant(None, None, vec![grid(GridType::Int8, 0.0, 0)])).contains("known scale 0"));
    assert!(why(constant(None, None, vec![grid(GridType::Int8, 1.0, 300)])).contains("known zero point 300"));
    let mixed = vec![grid(GridType::Int8, 1.0, 0), grid(GridType::Uint8, 1.0, 0)];
    assert!(why(constant(Some(0), None, mixed)).contains("of int8 and of uint8"));
}

#[test]
fn who_read_the_float_numbers_beside_the_grid_goes_on_doing_so() {
    let net = || start().node("Exp", &["c"], &["e"], vec![]).node("Tanh", &["e"], &["t"], vec![]);
    let net = || net().node("Sin", &["e"], &["u"], vec![]).node("Add", &["t", "u"], &["y"], vec![]);
    let mut known = own(&[("e", grid(GridType::Uint8, 0.01, 0))], &[]);
    let direct = crate::dequantize::Direct { nodes: ["Sin_u".to_owned()].into(), by_name: false };
    known.direct.insert("e".to_owned(), direct);
    let made = quantized_knowing(net().output("y", &[1, 4, 8, 8]).build(), MINMAX, &known, calibrated);
    assert_eq!(made.activation(made.the("Tanh"), 0).0, 0.01);
    made.producer(made.input(made.the("Sin"), 0), "Exp");
}

#[test]
fn what_is_moved_is_not_rounded_ahead_for_who_reads_the_float_numbers() {
    let net = start().node("Exp", &["c"], &["e"], vec![]).ints("shape", &[256]);
    let net = net.node("Reshape", &["e", "shape"], &["m"], vec![]);
    let net = net.node("Tanh", &["m"], &["t"], vec![]).node("Sin", &["m"], &["u"], vec![]);
    let net = net.node("Add", &["t", "u"], &["y"], vec![]).output("y", &[256]);
    let mut known = own(&[("m", grid(GridType::Uint8, 0.01, 0))], &[]);
    let direct = crate::dequantize::Direct { nodes: ["Sin_u".to_owned()].into(), by_name: false };
    known.direct.insert("m".to_owned(), direct);
    let made = quantized_knowing(net.build(), MINMAX, &known, calibrated);
    made.producer(made.input(made.the("Sin"), 0), "Reshape");
    made.producer(made.input(made.the("Reshape"), 0), "Exp");
}

#[test]
fn integers_that_are_there_already_are_not_made_again() {
    let zero = |name: &str, builder: Builder| {
        let tensor = Tensor::new(DataType::Uint8, vec![], bytes::Bytes::from_static(&[3])).expect("a byte");
        builder.constant(name, &tensor)
    };
    let net =
        Builder::new(13).input("x", &[2]).floats("s", &[], &[0.5]).floats("t", &[], &[0.5]).floats("u", &[], &[0.25]);
    let net = zero("y1", zero("z1", net))
        .node("QuantizeLinear", &["x", "s", "z1"], &["q"], vec![])
        .node("DequantizeLinear", &["q", "s", "z1"], &["d"], vec![])
        .node("QuantizeLinear", &["d", "t", "y1"], &["r"], vec![])
        .node("DequantizeLinear", &["r", "t", "y1"], &["y"], vec![])
        .node("QuantizeLinear", &["d", "u", "y1"], &["w"], vec![])
        .node("DequantizeLinear", &["w", "u", "y1"], &["v"], vec![])
        .output("y", &[2])
        .output("v", &[2]);
    let mut model = net.build();
    crate::rewrite::collapse(&mut model.graph).expect("a sound graph");
    model.graph.verify().expect("a sound graph");
    let order = model.graph.topological().expect("no circle");
    let quantizers = order.iter().filter(|&&id| model.graph.node(id).is("QuantizeLinear")).count();
    assert_eq!((quantizers, order.len()), (2, 5));
    assert!(model.graph.find("y").is_some_and(|value| model.graph.value(value).is_output()));
}

#[test]
fn a_known_range_stands_in_for_what_samples_show() {
    let mut known = Known::default();
    let ranges = [("x", (-1.0, 1.55)), ("c", (-2.0, 2.0)), ("d", (0.5, 5.1)), ("y", (-3.0, 2.1)), ("q", (0.0, 1.0))];
    known.told.ranges.extend(ranges.map(|(name, range)| (name.to_owned(), range)));
    let policy = "rules:\n  - match: { value: c }\n    range: [-1, 4.1]\n  - match: { value: y }\n    activations: { symmetric: true }\n";
    let made = quantized_knowing(three().build(), policy, &known, |_, plan| {
        assert_eq!(plan.observed().count(), 0);
        Calibration::default()
    });
    let activation = |node: &str| {
        let (scale, zero) = made.activation(made.named(node), 0);
        (scale, zero.to_i64().expect("an integer")[0])
    };
    assert_eq!(activation("Conv_c"), (0.01, 100));
    // A rule's own word comes first, and a range is widened to hold zero.
    assert_eq!((activation("Conv_d"), activation("Conv_y")), ((0.02, 50), (0.02, 0)));
    assert_eq!(unused(&made), ["c: its range or grid is stated elsewhere", "q: the prepared model has no such value"]);
}

#[test]
fn what_is_known_to_stay_float_does() {
    let mut known = Known::default();
    known.told.floats.extend(["c", "y_w", "q"].map(str::to_owned));
    let made = quantized_knowing(three().build(), MINMAX, &known, calibrated);
    let float = |node: &crate::plan::NodePlan| match &node.placement {
        crate::plan::Placement::Float { reason } => Some((node.name.clone(), reason.clone())),
        _ => None,
    };
    let reasons: Vec<_> = made.plan.nodes.iter().filter_map(float).collect();
    let of = |name: &str| reasons.iter().find(|(node, _)| node == name).map(|(_, reason)| reason.as_str());
    assert!(
        of("Conv_d").is_some_and(|why| why.contains("\"c\" stays float: the encodings leave it in float")),
        "{reasons:?}"
    );
    assert_eq!(of("Conv_y"), Some("the encodings leave its weight in float"));
    assert_eq!(unused(&made), ["q: the prepared model has no such value or constant"]);
}
