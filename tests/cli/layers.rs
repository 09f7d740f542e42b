//! `validate --layers`.

use super::*;
use tare::ir::{Graph, NodeId, ValueId};
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
