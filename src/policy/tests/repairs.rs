//! Repairs: what is on, and what they are for.

use super::*;

#[test]
fn refits_are_for_what_samples_calibrate() {
    assert_eq!(settings("version: 1").expect("a policy").repairs.refit, None);
    let why = "refit is for layers on grids that samples show; set mode: static, or remove this";
    fails("mode: dynamic\nrepairs: { refit: true }", 3, 19, why);
    assert!(settings("version: 1\nmode: dynamic\nrepairs: { refit: false }").is_ok());
}

#[test]
fn integers_are_looked_for_where_weights_are_stored() {
    let keys = |text: &str| settings(text).expect("a policy").canonical()["repairs"].clone();
    assert_eq!(keys("version: 1\nrepairs: { rounding: nearest, rounding_seconds: 5 }"), serde_json::Value::Null);
    assert_eq!(keys("version: 1\nrepairs: { rounding: learned }"), serde_json::json!({ "rounding": "learned" }));
    assert!(settings("version: 1\nmode: weight-only\nrepairs: { rounding: gptq }").is_ok());
    let why = "integers of weights are looked for in mode static and weight-only; set one of them, or remove this";
    fails("mode: dynamic\nrepairs: { rounding: gptq }", 3, 22, why);
    fails("mode: static\nrepairs: { rounding_seconds: 0 }", 3, 30, "rounding_seconds lies from 1 to 86400");
}

#[test]
fn smoothing_is_on_unless_the_policy_says_otherwise() {
    let keys = |text: &str| settings(text).expect("a policy").canonical()["repairs"].clone();
    assert!(settings("version: 1\nmode: dynamic").expect("a policy").repairs.smooth);
    assert_eq!(keys("version: 1\nrepairs: { smooth: true }"), serde_json::Value::Null);
    let both = keys("version: 1\nrepairs: { smooth: false, refit: false }");
    assert_eq!(both, serde_json::json!({ "refit": false, "smooth": false }));
    let why = "smooth is for layers on grids that samples show; set mode: static, or remove this";
    fails("mode: weight-only\nrepairs: { smooth: true }", 3, 20, why);
    let why = "what smooths is an operator in float, which strict: true does not let be; remove one of the two";
    fails("strict: true\nrepairs: { smooth: true }", 3, 20, why);
    assert!(settings("version: 1\nstrict: true").is_ok());
}

#[test]
fn ranges_are_chosen_block_by_block_where_the_policy_says_so() {
    let keys = |text: &str| settings(text).expect("a policy").canonical()["repairs"].clone();
    assert!(!settings("version: 1").expect("a policy").repairs.reconstruct);
    assert_eq!(keys("version: 1\nrepairs: { reconstruct: false }"), serde_json::Value::Null);
    assert_eq!(keys("version: 1\nrepairs: { reconstruct: true }"), serde_json::json!({ "reconstruct": true }));
    let why = "reconstruct is for layers on grids that samples show; set mode: static, or remove this";
    fails("mode: weight-only\nrepairs: { reconstruct: true }", 3, 25, why);
}

#[test]
fn layers_are_equalized_by_their_weights_unless_the_policy_says_otherwise() {
    let stated = |text: &str| settings(text).expect("a policy").repairs.equalize;
    assert_eq!(stated("version: 1"), None);
    assert_eq!(stated("version: 1\nrepairs: { equalize: true }"), Some(true));
    assert_eq!(stated("version: 1\nmode: dynamic\nrepairs: { equalize: false }"), Some(false));
    let why = "equalize is for layers on grids that samples show; set mode: static, or remove this";
    fails("mode: weight-only\nrepairs: { equalize: true }", 3, 22, why);
}

#[test]
fn biases_are_corrected_in_the_modes_that_have_what_it_takes() {
    let keys = |text: &str| settings(text).expect("a policy").canonical()["repairs"].clone();
    assert_eq!(keys("version: 1"), serde_json::Value::Null);
    assert_eq!(
        keys("version: 1\nrepairs: { bias_correction: false }"),
        serde_json::json!({ "bias_correction": false })
    );
    assert_eq!(
        keys("version: 1\nrepairs: { bias_correction: analytic }"),
        serde_json::json!({ "bias_correction": "analytic" })
    );
    assert!(settings("version: 1\nmode: dynamic\nrepairs: { bias_correction: analytic }").is_ok());
    assert!(settings("version: 1\nmode: weight-only\nrepairs: { bias_correction: empirical }").is_ok());
    assert!(settings("version: 1\nmode: float16\nrepairs: { bias_correction: false }").is_ok());
    let why =
        "empirical is for mode static and weight-only; set one of them, or bias_correction: analytic, or remove this";
    fails("mode: dynamic\nrepairs: { bias_correction: empirical }", 3, 29, why);
    let why =
        "biases are corrected where weights are integers; set mode: static, dynamic or weight-only, or remove this";
    fails("mode: float16\nrepairs: { bias_correction: analytic }", 3, 29, why);
    let said = |word: &str| {
        settings(&format!("version: 1\nrepairs: {{ bias_correction: {word} }}")).expect_err(word).to_string()
    };
    for (word, why) in [("true", "empirical"), ("analytical", "analytic"), ("7", "must be one of analytic, empirical")]
    {
        assert!(said(word).starts_with("dir/p.yaml:2:29: ") && said(word).contains(why), "{}", said(word));
    }
}

#[test]
fn biases_are_absorbed_where_grids_are_stored() {
    let keys = |text: &str| settings(text).expect("a policy").canonical()["repairs"].clone();
    assert_eq!(keys("version: 1\nrepairs: { absorb: false }"), serde_json::Value::Null);
    assert_eq!(keys("version: 1\nrepairs: { absorb: true }"), serde_json::json!({ "absorb": true }));
    let why = "absorb is for layers on grids that are stored; set mode: static, or remove this";
    fails("mode: weight-only\nrepairs: { absorb: true }", 3, 20, why);
}
