//! What a model says for people alone, in what becomes of it.

use super::*;
use crate::progress::Silent;
use crate::proto::StringStringEntryProto;
use crate::quant::KnownGrids;
use prost::Message;

const TRACE: &str = "file /home/somebody/model.py, line 7";
const SCOPE: &str = "encoder.layer";

/// A layer on which its exporter left two notes.
fn noted() -> Vec<u8> {
    let model = Builder::new(21)
        .input("x", &[1, 64])
        .noise("w", &[64, 64], 1)
        .node("MatMul", &["x", "w"], &["y"], vec![])
        .output("y", &[1, 64])
        .build();
    let mut message = model.to_proto().expect("a message");
    let entry = |key: &str, value: &str| StringStringEntryProto { key: Some(key.into()), value: Some(value.into()) };
    let notes = vec![entry("pkg.torch.onnx.stack_trace", TRACE), entry("pkg.torch.onnx.name_scopes", SCOPE)];
    message.graph.as_mut().expect("a graph").node[0].metadata_props = notes;
    message.encode_to_vec()
}

/// How many bytes of notes the report says were left out of `model`, and what was written.
fn converted(model: &[u8], more: &str) -> (u64, Vec<u8>) {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("m.onnx"), model).expect("a file");
    let text = format!("version: 1\nmodel: m.onnx\noutput: o.onnx\n{more}");
    let settings = Raw::parse(&text, &at("p.yaml")).and_then(|raw| raw.settings()).expect("a policy");
    let known = KnownGrids::default();
    let context = Context { threads: 1, progress: &Silent, known: &known, onnxruntime: None };
    let report = quantize(&settings, Found::Samples, &context).expect("a conversion");
    (report.notes_left_out, std::fs::read(at("o.onnx")).expect("a model"))
}

/// Which of the two notes are in a file.
fn left(file: &[u8]) -> [bool; 2] {
    [TRACE, SCOPE].map(|text| file.windows(text.len()).any(|part| part == text.as_bytes()))
}

#[test]
fn stack_traces_go_and_all_or_nothing_as_told() {
    let (float, weights) = (noted(), "mode: weight-only\nstrip: nothing\n");
    let quantized = converted(&float, weights).1;
    let cases = [
        (&float, "mode: weight-only\n"),
        (&float, "mode: float16\n"),
        (&float, "mode: dynamic\n"),
        (&quantized, "quantized_input: keep\n"),
    ];
    for (model, mode) in cases {
        let (traces, file) = converted(model, mode);
        assert!(traces > TRACE.len() as u64 && left(&file) == [false, true], "{mode}");
        let (all, file) = converted(model, &format!("{mode}strip: everything\n"));
        assert!(all > traces + SCOPE.len() as u64 && left(&file) == [false, false], "{mode}");
        let (none, file) = converted(model, &format!("{mode}strip: nothing\n"));
        assert!(none == 0 && left(&file) == [true, true], "{mode}");
    }
}
