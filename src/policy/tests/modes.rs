//! Modes, types and forms: what goes together and what is refused.

use super::*;

#[test]
fn the_policy_as_used_can_be_saved_and_run() {
    let same = |text: &str| {
        let used = settings(&format!("version: 1\n{text}")).unwrap();
        let written = serde_yaml::to_string(&used.written()).unwrap();
        // Paths are from where the program runs.
        let again = Raw::parse(&written, Path::new("again.yaml")).and_then(|raw| raw.settings());
        let again = again.unwrap_or_else(|why| panic!("{why}: {written}"));
        assert_eq!(again.canonical(), used.canonical(), "{written}");
        assert_eq!((&again.model, &again.output), (&used.model, &used.output), "{written}");
    };
    same("");
    same("model: m.onnx\noutput: o.onnx\nstrict: true\nio: { inputs: uint8, fold_normalization: true }");
    same(
        "data: { calibration: { path: c, samples: 7, on_bad_file: skip, on_bad_value: skip }, engine: onnxruntime, \
          preprocess: { size: [8, 9], mean: [0.5, 0.25, 0.125], fit: crop, layout: nhwc, channels: bgr } }",
    );
    same("data: { calibration: { path: c }, validation: { path: v, labels: l.csv, samples: 9 } }");
    same("data: { calibration: { path: c }, validation: { samples: 0 } }");
    same("mode: weight-only\nweights: { type: int4, form: contrib, block_size: 64 }\ncontrib: true");
    same("mode: weight-only\nweights: { type: int4, granularity: per_channel }");
    same("mode: weight-only\nweights: { type: uint4, range: hqq }");
    same("mode: float16\nhalf: { keep_io: false, block: [Exp] }\nstrip: everything");
    same("mode: bfloat16\nhalf: { keep_io: false }");
    same("weights: { type: int4 }");
    same("half: { input: keep }");
    same("repairs: { refit: false, activation_error: false }");
    same("repairs: { rounding: gptq }");
    same("mode: weight-only\nrepairs: { rounding: learned, rounding_seconds: 60 }");
    same("repairs: { smooth: false }");
    same("mode: weight-only\nrepairs: { awq: true, rounding: gptq }");
    same("repairs: { equalize: true }");
    same("repairs: { equalize: false }");
    same("mode: weight-only\nhalf: { input: widen }");
    same("mode: dynamic\nweights: { granularity: per_tensor, symmetric: false, avoid_saturation: false }");
    same("activations: { type: float8e4m3fn }\nweights: { type: float8e4m3fn }\nquantized_input: complete");
    same(
        "activations: { calibrator: percentile, percentile: 99.5, power_of_two: true }\ndims: { N: 3 }\nformat: qoperator",
    );
    same(
        "prepare: { fuse_patterns: false }\nrules:\n- { match: { op_type: [Conv, Gemm], node: 'a/*' }, mode: float16 }\n\
          - { match: { between: [a, b] }, quantize: false, reason: why }\n\
          - { match: { value: x }, scale: 0.5, zero_point: 3, activations: { type: uint16 } }\n\
          - { match: { value: y }, range: [-1, 2.5] }",
    );
}

#[test]
fn few_bits_come_in_blocks_where_the_policy_does_not_say() {
    let of = |text: &str| settings(&format!("version: 1\nmode: weight-only\nweights: {{ {text} }}")).unwrap().weights;
    let blocks = of("type: int4");
    assert_eq!((blocks.granularity, blocks.block_size, blocks.scheme.symmetric), (Granularity::PerBlock, 32, false));
    assert!(of("type: int2, symmetric: true").scheme.symmetric);
    let channels = of("type: int4, granularity: per_channel");
    assert_eq!((channels.granularity, channels.scheme.symmetric), (Granularity::PerChannel, true));
    assert_eq!(of("type: uint8").granularity, Granularity::PerChannel);
    // A rule with another type is as the policy would be with it.
    let mixed = blocks.with(&Weights { dtype: Some(WeightTypeName::Int8), ..Weights::default() });
    assert_eq!(mixed, WeightSettings::default());
    let few = mixed.with(&Weights { dtype: Some(WeightTypeName::Int4), ..Weights::default() });
    assert_eq!(few, blocks);
}

#[test]
fn a_quantized_model_is_refused_unless_the_policy_says_otherwise() {
    let of = |text: &str| settings(&format!("version: 1\n{text}")).unwrap();
    assert_eq!(of("").quantized_input, QuantizedInput::Refuse);
    assert_eq!(of("quantized_input: complete").quantized_input, QuantizedInput::Complete);
    // Policies without the key keep their digest.
    assert_eq!(of("quantized_input: refuse").canonical(), of("").canonical());
    assert_eq!(of("quantized_input: keep").canonical()["quantized_input"], "keep");
    assert_eq!(of("quantized_input: complete").canonical()["quantized_input"], "complete");
    fails("quantized_input: continue", 2, 18, "unknown value \"continue\". Known here: refuse, keep, complete");
    let mut raw = Raw::parse("version: 1\nquantized_input: keep\n", Path::new("p.yaml")).unwrap();
    raw.override_with(&Overrides { quantized_input: Some(QuantizedInput::Complete), ..Overrides::default() });
    assert_eq!(raw.settings().unwrap().quantized_input, QuantizedInput::Complete);
}

#[test]
fn what_a_mode_has_no_use_for_is_refused() {
    fails(
        "weights: { type: int2 }",
        2,
        18,
        "kernels for integer activations take weights of 4 or 8 bits; set type: int4 or int8, or mode: weight-only",
    );
    fails(
        "mode: dynamic\nweights: { type: int4 }",
        3,
        18,
        "kernels for grids that each run finds take weights of 8 bits; set type: int8, or mode: static or weight-only",
    );
    let operators = "operators on integers read weights of 8 bits; set type: int8, or format: qdq";
    fails("format: qoperator\nweights: { type: int4 }", 3, 18, operators);
    let rule = "rules:\n- { match: { op_type: Conv }, weights: { type: int4 } }";
    fails(&format!("format: qoperator\n{rule}"), 4, 48, operators);
    fails(
        "weights: { granularity: per_block }",
        2,
        25,
        "kernels for integer activations take one scale per channel; set granularity: per_channel, or mode: weight-only",
    );
    fails("weights: { block_size: 8 }", 2, 24, "block_size is only for granularity: per_block");
    fails(
        "mode: weight-only\nweights: { granularity: per_block, block_size: 0 }",
        3,
        48,
        "block_size must be at least 1; found 0",
    );
    fails(
        "mode: weight-only\nweights: { reduce_range: true }",
        3,
        26,
        "reduce_range is for integer kernels, and mode weight-only has none; remove it",
    );
    let float = "in mode weight-only no activation has a scale of its own; remove this, or set mode: static";
    fails("mode: weight-only\nactivations: { type: int8 }", 3, 14, float);
    fails("mode: weight-only\nrules: [{ match: { value: a }, range: [0, 1] }]", 3, 39, float);
    fails(
        "rules: [{ match: { value: a }, mode: static }]",
        2,
        38,
        "mode belongs to nodes; match a node or an op_type, without value",
    );
    fails(
        "mode: weight_only",
        2,
        7,
        "unknown value \"weight_only\"; did you mean \"weight-only\"? Known here: weight-only, static, dynamic, float16, bfloat16, float32",
    );
    let s =
        settings("version: 1\nmode: weight-only\nweights: { type: uint4, symmetric: false, granularity: per_block }")
            .unwrap();
    assert_eq!(
        (s.mode, s.weights.scheme.dtype, s.weights.block_size),
        (Mode::WeightOnly, GridType::Uint4, DEFAULT_BLOCK_SIZE)
    );
    assert!(s.opset() == 21 && s.canonical()["weights"]["block_size"] == 32);
}

#[test]
fn operators_on_integers_are_for_mode_static() {
    let why = "format qoperator is made of integer activations, which mode static alone stores; set format: qdq";
    fails("mode: weight-only\nformat: qoperator", 3, 9, why);
    fails("format: qop", 2, 9, "unknown value \"qop\". Known here: qdq, qoperator");
    let s = settings("version: 1\nformat: qoperator").unwrap();
    assert_eq!((s.format, s.canonical()["format"].as_str()), (Format::Qoperator, Some("qoperator")));
    // The digest of policies without the key stays what it was.
    assert!(settings("version: 1\nformat: qdq").unwrap().canonical().get("format").is_none());
    let mut raw = Raw::parse("version: 1\n", Path::new("dir/p.yaml")).unwrap();
    raw.override_with(&Overrides { format: Some(Format::Qoperator), ..Overrides::default() });
    assert_eq!(raw.settings().unwrap().format, Format::Qoperator);
}

#[test]
fn the_runtimes_own_domain_spares_a_newer_opset() {
    let opset = |text: &str| settings(&format!("version: 1\n{text}")).unwrap().opset();
    let wide = "activations: { type: uint16 }\n";
    let four = "mode: weight-only\nweights: { type: int4, granularity: per_channel }\n";
    let blocks = "mode: weight-only\nweights: { type: int4, granularity: per_block }\n";
    let both = |text: &str| [opset(text), opset(&format!("{text}contrib: true\n"))];
    let beside = "weights: { type: int4 }\n";
    let ruled = "rules:\n- { match: { op_type: Conv }, weights: { type: int4 } }\n";
    assert_eq!([both(wide), both(four), both(blocks)], [[21, 13], [21, 13], [21, 21]]);
    assert_eq!([both(beside), both(ruled)], [[21, 13], [21, 13]]);
    assert_eq!(settings("version: 1\ncontrib: true").unwrap().canonical()["contrib"], true);
    assert!(settings("version: 1\ncontrib: false").unwrap().canonical().get("contrib").is_none());
}

#[test]
fn weights_of_four_bits_beside_integers_have_a_scale_for_each_channel() {
    let of = |text: &str| settings(&format!("version: 1\n{text}")).expect("a policy").weights;
    let (beside, alone) = (of("weights: { type: int4 }"), of("mode: weight-only\nweights: { type: int4 }"));
    let of = |weights: WeightSettings| (weights.granularity, weights.scheme.symmetric);
    assert_eq!([of(beside), of(alone)], [(Granularity::PerChannel, true), (Granularity::PerBlock, false)]);
    // One that is stated stays, and is refused where it does not go.
    let refused = |text: &str| settings(&format!("version: 1\n{text}")).expect_err("refused").to_string();
    assert!(refused("weights: { type: int4, granularity: per_block }").contains("take one scale per channel"));
    assert!(refused("weights: { type: uint4, symmetric: false }").contains("per_channel weights are symmetric"));
}

#[test]
fn floats_of_eight_bits_go_together_and_have_no_steps_to_search() {
    let both = "activations: { type: float8e4m3fn }\nweights: { type: float8e5m2 }";
    let s = settings(&format!("version: 1\n{both}")).unwrap();
    assert_eq!((s.opset(), s.activations.scheme.symmetric, s.weights.searches()), (19, true, false));
    assert_eq!(s.canonical()["weights"]["type"], "float8e5m2");
    let blocks = "version: 1\nmode: weight-only\nweights: { type: float8e4m3fn, granularity: per_block }";
    assert_eq!(settings(blocks).unwrap().opset(), 21);
    let mixed =
        "activations of float8e4m3fn do not go with weights of int8; set both types to float8, or both to integers";
    fails("activations: { type: float8e4m3fn }", 2, 22, mixed);
    let mixed =
        "activations of uint8 do not go with weights of float8e5m2; set both types to float8, or both to integers";
    fails("weights: { type: float8e5m2 }", 2, 18, mixed);
    let zero = "floating-point numbers have zero point 0; remove this";
    fails("mode: weight-only\nweights: { type: float8e5m2, symmetric: false }", 3, 41, zero);
    fails("activations: { type: float8e5m2, symmetric: false }", 2, 45, zero);
    let bias = "biases stay float32 beside weights of float8; remove this, or set it to float32";
    fails("weights: { type: float8e5m2, bias: int32 }", 2, 36, bias);
    let range = "range: least_error compares the steps of integers; remove this, or set it to minmax, for float8";
    fails("weights: { type: float8e5m2, range: least_error }", 2, 37, range);
    let reduced = "reduce_range is for integer kernels, and float8 has none; remove it";
    fails("weights: { type: float8e5m2, reduce_range: true }", 2, 44, reduced);
    let dynamic = "kernels for grids that each run finds take integers; set type: int8, or mode: static or weight-only";
    fails("mode: dynamic\nweights: { type: float8e5m2 }", 3, 18, dynamic);
}

#[test]
fn numbers_of_16_bits_have_keys_of_their_own() {
    let s = settings("version: 1\nmode: float16\nhalf: { keep_io: false, block: Softmax }").expect("a policy");
    assert_eq!((s.half.convert_io, s.half.block.as_slice()), (true, &["Softmax".to_owned()][..]));
    let bare = settings("version: 1\nmode: float16").expect("a policy");
    assert_ne!(s.canonical(), bare.canonical());
    assert!(bare.canonical().get("half").is_none());
    let why = "half is for the modes float16 and bfloat16; set one of them, or remove this";
    fails("half: { keep_io: false }", 2, 7, why);
    let input = |text: &str| settings(&format!("version: 1\n{text}")).expect("a policy").keeps_halves();
    assert!(
        input("mode: weight-only") && input("half: { input: keep }") && input("mode: dynamic\nhalf: { input: keep }")
    );
    let float = "mode: weight-only\nrules:\n- { match: { op_type: Conv }, mode: float32 }";
    assert!(input(float) && !input("mode: weight-only\nhalf: { input: widen }") && !input("mode: dynamic"));
    let mixed = "mode: weight-only\nrules:\n- { match: { op_type: Conv }, mode: static }";
    assert!(!input("mode: static") && !input("mode: float16") && !input(mixed));
    let kept = settings("version: 1\nhalf: { input: keep }").expect("a policy");
    assert_eq!(kept.canonical()["half"]["input"], "keep");
    let why = "keep_io is for the modes float16 and bfloat16; set one of them, or remove this";
    fails("half: { input: keep, keep_io: true }", 2, 31, why);
    let why = "the modes float16 and bfloat16 widen what the model has and choose anew what they compute in 16 bits; remove \
               this, or the mode";
    fails("mode: float16\nhalf: { input: keep }", 3, 16, why);
    let why = "operators on integers have float32 scales, so that nothing around them could stay in 16 bits; set it to widen, \
               or format: qdq";
    fails("format: qoperator\nhalf: { input: keep }", 3, 16, why);
    fails("mode: bfloat16\nhalf: { block: [] }", 3, 16, "block names no operator; name one, or remove the key");
    let weights = "in mode float16 no weight becomes integers; remove this, or set mode: weight-only";
    fails("mode: float16\nweights: { type: int4 }", 3, 18, weights);
    let rule = "mode: float16\nrules:\n- match: { op_type: Conv }\n  weights: { granularity: per_tensor }";
    fails(rule, 5, 12, weights);
    assert!(settings("version: 1\nmode: float16\nquantized_input: complete\nweights: { type: uint8 }").is_ok());
    let some = "mode: float16\nweights: { type: uint8 }\nrules:\n- { match: { op_type: Conv }, mode: static }";
    assert!(settings(&format!("version: 1\n{some}")).is_ok());
    fails(
        "mode: float16\nactivations: { type: int8 }",
        3,
        14,
        "in mode float16 no activation has a scale of its own; remove this, or set mode: static",
    );
}

#[test]
fn a_form_and_the_types_that_need_it_fit_each_other() {
    for (text, why) in [
        (
            "mode: weight-only\nweights: { type: nf4, granularity: per_block }",
            "in blocks; set form: contrib and granularity",
        ),
        ("mode: weight-only\nweights: { form: contrib }", "set granularity: per_block"),
        ("mode: weight-only\nweights: { form: contrib, granularity: per_block, block_size: 48 }", "blocks of 16, 32"),
        ("weights: { form: contrib }", "form: contrib is for weights alone, and for grids that each run finds"),
        ("mode: dynamic\nweights: { form: contrib, granularity: per_block }", "set granularity: per_channel"),
        (
            "mode: dynamic\nweights: { form: contrib, type: nf4 }",
            "set mode: weight-only with form: contrib and granularity: per_block",
        ),
        ("weights: { type: fp4 }", "set mode: weight-only with form: contrib and granularity: per_block"),
        ("weights: { type: uint2 }", "kernels for integer activations take weights of 4 or 8 bits"),
    ] {
        let error = settings(&format!("version: 1\n{text}")).unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
    let text = "version: 1\nmode: weight-only\nweights: { form: contrib, granularity: per_block }\nrules:\n- { match: { op_type: MatMul }, weights: { type: nf4 } }\n";
    let s = settings(text).expect("a type that the policy's form reads");
    assert_eq!((s.opset(), &s.canonical()["weights"]["form"]), (13, &serde_json::json!("contrib")));
    assert_eq!(s.canonical()["rules"][0]["weights"]["type"], "nf4");
    let two = settings("version: 1\nmode: weight-only\nweights: { type: uint2 }").expect("a policy");
    assert_eq!(two.opset(), 25);
}
