//! How far weights reach, and what is done for those that are stored.

use super::*;

const FOUR: &str = "mode: weight-only\nweights: { type: int4, symmetric: false, granularity: per_block";

#[test]
fn half_quadratic_ranges_are_for_asymmetric_integers_of_weights_alone() {
    let s = settings(&format!("version: 1\n{FOUR}, range: hqq }}")).expect("a policy");
    assert_eq!((s.weights.range, s.weights.searches()), (WeightRange::Hqq, true));
    assert_eq!(s.canonical()["weights"]["range"], "hqq");
    // Of fewer than 8 bits they are in blocks and asymmetric by themselves.
    assert!(settings("version: 1\nmode: weight-only\nweights: { type: int4, range: hqq }").is_ok());
    let alone = "range: hqq is for integers that weights alone are stored as; set it to least_error or minmax, or set mode: \
                 weight-only";
    fails("weights: { range: hqq }", 2, 19, alone);
    fails("mode: dynamic\nweights: { range: hqq }", 3, 19, alone);
    let symmetric = "range: hqq finds zero points, and symmetric weights have none to find; set symmetric: false, or range: \
                     least_error";
    fails("mode: weight-only\nweights: { range: hqq }", 3, 19, symmetric);
    fails("mode: weight-only\nweights: { type: int4, granularity: per_channel, range: hqq }", 3, 57, symmetric);
    let one = "range: hqq is for a grid for each channel or block; set granularity: per_channel or per_block, or range: \
               least_error";
    fails("mode: weight-only\nweights: { symmetric: false, granularity: per_tensor, range: hqq }", 3, 62, one);
    let powers = "range: hqq needs steps of any length; remove power_of_two, or set range: least_error";
    fails("mode: weight-only\nweights: { symmetric: false, power_of_two: true, range: hqq }", 3, 57, powers);
    let floats = "range: hqq fits the steps of integers; remove this, or set it to minmax, for float8";
    fails("mode: weight-only\nweights: { type: float8e4m3fn, range: hqq }", 3, 39, floats);
    let codes = "range: hqq fits steps of one length, and nf4 and fp4 have none; set it to least_error or minmax, or set type: \
                 uint4";
    fails("mode: weight-only\nweights: { type: nf4, granularity: per_block, form: contrib, range: hqq }", 3, 69, codes);
}

#[test]
fn rules_and_flags_state_ranges_and_rules_are_blamed() {
    let rule = |rest: &str| format!("rules:\n- {{ match: {{ op_type: MatMul }}, {rest} }}");
    fails(
        &rule("mode: static, weights: { range: hqq }"),
        3,
        65,
        "range: hqq is for integers that weights alone are stored as; set it to least_error or minmax, or set mode: weight-only",
    );
    // What else the rule meets is known with the model.
    assert!(settings(&format!("version: 1\n{FOUR} }}\n{}", rule("weights: { range: hqq }"))).is_ok());
    let mut raw = Raw::parse(&format!("version: 1\n{FOUR} }}"), Path::new("p.yaml")).expect("a policy");
    raw.override_with(&Overrides { weights_range: Some(WeightRange::Hqq), ..Overrides::default() });
    assert_eq!(raw.settings().expect("a policy").weights.range, WeightRange::Hqq);
}

#[test]
fn channels_are_scaled_for_stored_weights_where_the_policy_says_so() {
    let of = |text: &str| settings(&format!("version: 1\n{text}")).expect("a policy");
    assert!(!of("mode: weight-only").repairs.awq && of("mode: weight-only\nrepairs: { awq: true }").repairs.awq);
    assert_eq!(of("mode: weight-only\nrepairs: { awq: true }").canonical()["repairs"], json!({ "awq": true }));
    assert!(of("repairs: { awq: false }").canonical().get("repairs").is_none());
    assert!(of("repairs: { awq: true }\nrules:\n- { match: { op_type: MatMul }, mode: weight-only }").repairs.awq);
    let why = "awq is for weights that are stored and multiplied in float; set mode: weight-only, or remove this";
    fails("mode: dynamic\nrepairs: { awq: true }", 3, 17, why);
    let mut raw = Raw::parse("version: 1\nmode: weight-only", Path::new("p.yaml")).expect("a policy");
    raw.override_with(&Overrides { awq: Some(true), ..Overrides::default() });
    assert!(raw.settings().expect("a policy").repairs.awq);
}
