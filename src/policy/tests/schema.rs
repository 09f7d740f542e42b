//! The JSON Schema says what the reader reads.

use super::*;
use serde_json::Value;

/// Whether `value` is made of the keys, words and types that `schema` allows.
fn fits(value: &Value, schema: &Value, root: &Value, path: &str) -> std::result::Result<(), String> {
    if let Some(name) = schema["$ref"].as_str() {
        return fits(value, root.pointer(name.trim_start_matches('#')).expect(name), root, path);
    }
    if let Some(options) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
        let tried: Vec<_> = options.iter().map(|option| fits(value, option, root, path)).collect();
        return if tried.iter().any(std::result::Result::is_ok) { Ok(()) } else { Err(format!("{tried:?}")) };
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let allowed = |t: &Value| t == kind || (t == "number" && kind == "integer");
    let types = &schema["type"];
    let word = schema["const"].is_null() || schema["const"] == *value;
    let word = word && schema["enum"].as_array().is_none_or(|words| words.contains(value));
    if !word || !(types.is_null() || allowed(types) || types.as_array().is_some_and(|all| all.iter().any(allowed))) {
        return Err(format!("{path}: {value} is not {schema}"));
    }
    for item in value.as_array().into_iter().flatten() {
        fits(item, &schema["items"], root, &format!("{path}[]"))?;
    }
    for (key, item) in value.as_object().into_iter().flatten() {
        let known = schema["properties"].get(key).ok_or_else(|| format!("{path}.{key} is not in {schema}"))?;
        assert_eq!(schema["additionalProperties"], json!(false), "{path}");
        assert!(known["description"].is_string(), "{path}.{key} is not described");
        fits(item, known, root, &format!("{path}.{key}"))?;
    }
    Ok(())
}

#[test]
fn the_schema_describes_the_policy() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["title"], "tare policy");
    assert_eq!(schema["required"], json!(["version"]));
    assert_eq!(schema["$defs"]["Weights"]["properties"]["granularity"]["default"], "per_channel");
    assert_eq!(schema["$defs"]["CalibrationData"]["properties"]["samples"]["default"], CALIBRATION_SAMPLES);
    assert_eq!(schema["$defs"]["Activations"]["properties"]["calibrator"]["default"], DEFAULT_CALIBRATOR.to_string());
    let sample = json!({
        "version": 1, "model": "model.onnx", "output": "o.onnx", "report": null, "junit": "j.xml",
        "lock": "o.lock", "write_encodings": "o.encodings", "encodings_version": "0.6.1",
        "mode": "static", "format": "qdq", "contrib": false, "quantized_input": "refuse", "target": "onnxruntime",
        "data": {
            "calibration": { "path": "photos/", "samples": 100, "on_bad_file": "stop" },
            "validation": { "path": "test/", "labels": "test.csv", "samples": 50, "on_bad_file": "skip" },
            "encodings": "in.encodings", "engine": "onnxruntime", "reference": "onnxruntime",
            "stress": ["lowest", "nan"],
            "preprocess": {
                "size": [224, 224], "fit": "crop", "layout": "nchw", "channels": "grey",
                "scale": 0.5, "mean": 0.5, "std": [1, 1, 1],
            },
        },
        "activations": { "type": "uint8", "symmetric": false, "calibrator": "percentile", "percentile": 99.99 },
        "weights": { "type": "int8", "symmetric": true, "granularity": "per_tensor", "reduce_range": false },
        "repairs": { "awq": false, "bias_correction": false, "refit": null, "rounding": "gptq", "rounding_seconds": 60 },
        "rules": [
            { "match": { "node": "a", "op_type": "Conv", "value": null }, "quantize": false, "reason": "r" },
            { "match": { "op_type": ["Conv"] }, "weights": { "type": "uint8" } },
            { "match": { "value": "v" }, "range": [0, 6.5] },
        ],
        "validation": { "task": "segment-classes", "mask_above": 0.5, "charset": "c.txt" },
        "thresholds": {
            "defaults": false, "relative_mse": 0.1, "top1_drop": 0.1, "top1_agreement": 1, "top5_agreement": 1,
            "f1": 0.9, "iou": 0.9, "text_match": 0.9, "neighbours": 0.9, "sqnr_db": 1, "mse": 1, "cosine": 1, "max_abs": null,
        },
    });
    fits(&sample, &schema, &schema, "").unwrap();
    // The schema and the reader agree: JSON is YAML.
    assert!(settings(&sample.to_string()).is_ok());
    let mut none = sample.clone();
    none["thresholds"] = json!("none");
    fits(&none, &schema, &schema, "").unwrap();
    assert_eq!(settings(&none.to_string()).unwrap().thresholds.defaults, Some(false));
    for (pointer, bad) in [
        ("/version", json!(2)),
        ("/mode", json!("x")),
        ("/weights/type", json!("int9")),
        ("/data", json!([])),
        ("/thresholds", json!("all")),
    ] {
        let mut wrong = sample.clone();
        *wrong.pointer_mut(pointer).unwrap() = bad;
        assert!(fits(&wrong, &schema, &schema, "").is_err(), "{pointer}");
        assert!(settings(&wrong.to_string()).is_err(), "{pointer}");
    }
}
