//! `validate --layers`.

use super::*;
use tare::ir::{Graph, NewNode, NodeId, ValueId};
use tare::tensor::Tensor;

/// The quantizers of activations, with what they read.
fn quantizers(graph: &Graph) -> Vec<(NodeId, ValueId)> {
    let read = |id| graph.node(id).input(0).filter(|&value| !graph.is_constant(value));
    let is = |id: &NodeId| graph.node(*id).op_type() == "QuantizeLinear";
    graph.node_ids().filter(is).filter_map(|id| Some((id, read(id)?))).collect()
}

/// Gives a quantizer, and all that shares its grid, four times the scale.
fn coarsen(graph: &mut Graph, quantizer: NodeId) {
    let scale = graph.node(quantizer).input(1).expect("a scale");
    let number = graph.constant(scale).expect("readable").expect("a constant").first_f32().expect("a number");
    graph.replace_constant(scale, &Tensor::from_f32(vec![], &[number * 4.0]));
}

#[test]
fn the_layer_that_breaks_is_the_first_suspect() {
    let folder = folder();
    let config = policy(folder.path(), "");
    let (config, model) = (config.to_str().expect("a name"), model());
    let model = model.to_str().expect("a name");
    ends(&tare(folder.path(), ["quantize", "-q", "-c", config, "-o", "good.onnx"]), 0);
    let validate = |name: &str| {
        let flags = ["validate", model, name, "-c", config, "--layers", "--report", "r.json"];
        let printed = text(&tare(folder.path(), flags).stdout).to_owned();
        (printed, json(folder.path().join("r.json")))
    };
    let (printed, report) = validate("good.onnx");
    assert!(printed.contains("\nlayers       ") && printed.contains("  worst      "), "{printed}");
    assert!(!printed.contains("suspect"), "{printed}");
    // What has accumulated at the end is the error of the output.
    let layers = report["layers"]["layers"].as_array().expect("a list");
    let last = layers.iter().find(|layer| layer["value"] == report["outputs"][0]["name"]).expect("the output");
    let (sum, whole) = (last["accumulated_db"].as_f64(), report["outputs"][0]["sqnr_db"].as_f64());
    assert!((sum.expect("dB") - whole.expect("dB")).abs() < 1.0, "{sum:?} {whole:?}");

    let good = tare::file::load(&folder.path().join("good.onnx")).expect("a model");
    for (k, (quantizer, value)) in quantizers(&good.graph).into_iter().enumerate().step_by(5) {
        let mut bad = good.clone();
        coarsen(&mut bad.graph, quantizer);
        let name = format!("bad{k}.onnx");
        tare::file::save(&bad, &folder.path().join(&name)).expect("saved");
        let (printed, _) = validate(&name);
        let first = printed.lines().find(|line| line.contains("suspect")).unwrap_or_default();
        // An output of the model is called so where it is a float again.
        let value = good.graph.value(value).name().trim_end_matches("_QuantizeLinear_Input");
        assert!(first.contains(&format!("suspect    {value} (")), "{value}: {printed}");
        assert!(printed.contains("its grid is off by 1"), "{printed}");
    }
}

#[test]
fn a_sound_model_has_no_suspects_whatever_its_types() {
    let folder = folder();
    policy(folder.path(), "");
    let model = model();
    let model = model.to_str().expect("a name");
    let samples = repository("calibration/fashion/calibration");
    let samples = samples.to_str().expect("a name");
    let ways = [
        vec!["--io", "uint8"],
        vec!["--io", "int8", "--format", "qoperator"],
        vec!["--mode", "bfloat16"],
        vec!["--mode", "float16"],
        vec!["--mode", "dynamic"],
    ];
    for way in ways {
        let flags = [&["quantize", "-q", "-c", "policy.yaml", "-o", "q.onnx"], way.as_slice()].concat();
        ends(&tare(folder.path(), flags), 0);
        // Other samples may reach further than the grids of those that calibrated.
        let flags = ["validate", model, "q.onnx", "-c", "policy.yaml", "--layers", "--report", "r.json"];
        let flags = [flags.as_slice(), &["--data", samples, "--samples", "16"]].concat();
        let printed = text(&tare(folder.path(), flags).stdout).to_owned();
        assert!(!printed.contains("suspect") && !printed.contains("Tare"), "{way:?}: {printed}");
        let report = json(folder.path().join("r.json"));
        let layers = report["layers"]["layers"].as_array().expect("a list");
        let last = layers.iter().find(|layer| layer["value"] == "logits").expect("the output");
        let (sum, whole) = (last["accumulated_db"].as_f64(), report["outputs"][0]["sqnr_db"].as_f64());
        assert!((sum.expect("dB") - whole.expect("dB")).abs() < 0.5, "{way:?}: {sum:?} {whole:?}");
    }
}

#[test]
fn a_page_is_written_where_layers_cannot_be_compared() {
    let folder = folder();
    policy(folder.path(), "");
    let model = model();
    let model = model.to_str().expect("a name");
    ends(&tare(folder.path(), ["quantize", "-q", "-c", "policy.yaml", "-o", "good.onnx"]), 0);
    let mut odd = tare::file::load(&folder.path().join("good.onnx")).expect("a model");
    // A scale that is computed while the model runs.
    let graph = &mut odd.graph;
    let (quantizer, _) = quantizers(graph)[3];
    let scale = graph.node(quantizer).input(1);
    let new = NewNode { op_type: "Identity", name: "computes", inputs: vec![scale], ints: vec![] };
    let (_, computed) = graph.add_node(new, "computed");
    graph.set_input(quantizer, 1, Some(computed));
    tare::file::save(&odd, &folder.path().join("odd.onnx")).expect("saved");
    let flags = ["validate", model, "odd.onnx", "-c", "policy.yaml", "--report", "page.html", "-q"];
    ends(&tare(folder.path(), flags), 0);
    let page = read(folder.path().join("page.html"));
    assert!(String::from_utf8_lossy(&page).contains("turned back to float, which fails"));
    let output = tare(folder.path(), ["validate", model, "odd.onnx", "-c", "policy.yaml", "--layers"]);
    assert_eq!(output.status.code(), Some(2));
}
