//! Tests of reading and writing: damaged files, external data, atomic replacement.

mod external;
mod writing;

use super::*;
use crate::ir::build::{self, Builder};
use crate::tensor::Tensor;
use std::path::PathBuf;

fn small() -> Model {
    Builder::new(13)
        .input("x", &[1, 2])
        .floats("w", &[2], &[1.0, 2.0])
        .node("Add", &["x", "w"], &["y"], vec![build::int("axis", 1)])
        .output("y", &[1, 2])
        .build()
}

#[test]
fn an_outline_states_weights_as_inputs_and_keeps_what_may_be_a_shape() {
    let model = Builder::new(13).input("x", &[1, 40]).noise("w", &[40, 9], 1).floats("scales", &[2], &[1.0, 2.0]);
    let model = model.node("MatMul", &["x", "w"], &["m"], vec![]).node("Resize", &["m", "", "scales"], &["y"], vec![]);
    let model = model.output("y", &[1, 18]).build();
    let outlined = decode(Bytes::from(outline(&model).expect("bytes"))).expect("a message").graph.expect("a graph");
    assert_eq!(outlined.input.iter().map(crate::proto::ValueInfoProto::name).collect::<Vec<_>>(), ["x", "w"]);
    assert_eq!(outlined.initializer.iter().map(crate::proto::TensorProto::name).collect::<Vec<_>>(), ["scales"]);
    let executor = crate::exec::Tract::default();
    let input = model.graph.inputs().map(|v| model.graph.stated_type(v).expect("a type")).collect::<Vec<_>>();
    let types = |bytes: Vec<u8>| crate::exec::Executor::types(&executor, &bytes, &input).expect("types");
    let whole = types(to_bytes(&model).expect("bytes"));
    assert_eq!(whole["y"].dims, [Some(1), Some(18)]);
    assert_eq!(types(outline(&model).expect("bytes")), whole);
}

#[test]
fn observed_values_become_outputs_behind_the_models_own() {
    let model = Builder::new(13).input("x", &[2]).node("Neg", &["x"], &["a"], vec![]);
    let model = model.node("Relu", &["a"], &["y"], vec![]).output("y", &[2]).build();
    let names = ["a", "y", "x", "a"].map(str::to_owned);
    let exposed = with_outputs(&to_bytes(&model).expect("bytes"), &names).expect("a model");
    assert_eq!((exposed.outputs.as_slice(), exposed.own), (&["y", "a", "x"].map(str::to_owned)[..], 1));
    let graph = decode(Bytes::from(exposed.bytes)).expect("a message").graph.expect("a graph");
    assert_eq!(graph.output.iter().map(crate::proto::ValueInfoProto::name).collect::<Vec<_>>(), ["y", "a", "x"]);
    assert!(graph.output[0].r#type.is_some() && graph.output[1].r#type.is_none());
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> = entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Writes `bytes` as a model file and loads it; what is said goes without the path in front.
fn load_bytes(bytes: &[u8]) -> std::result::Result<Model, String> {
    let folder = folder();
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, bytes).expect("written");
    load(&path).map_err(|e| {
        let text = e.to_string();
        assert!(text.starts_with(&path.display().to_string()), "the file is named: {text}");
        text[path.display().to_string().len()..].to_owned()
    })
}

#[test]
fn a_file_cut_anywhere_is_an_error_that_says_so_or_a_model() {
    let mut proto = small().to_proto().expect("no circle");
    // Fields before the graph and behind the operator sets.
    proto.producer_name = Some("maker".to_owned());
    proto.metadata_props = vec![crate::proto::StringStringEntryProto { key: Some("k".to_owned()), value: None }];
    let whole = proto.encode_to_vec();
    assert!(load_bytes(&whole).is_ok());
    let mut models = 0;
    for end in 1..whole.len() {
        match load_bytes(&whole[..end]) {
            Ok(model) => {
                models += 1;
                assert_eq!(model.to_proto().expect("no circle").graph, proto.graph, "cut at {end}");
            }
            Err(text) => assert!(text.contains("truncated"), "cut at {end}: {text}"),
        }
    }
    // Only the cut between the operator sets and the metadata goes unnoticed: the format has no length of its own.
    assert_eq!(models, 1);
}

#[test]
fn a_damaged_byte_is_never_a_panic() {
    let whole = to_bytes(&small()).expect("bytes");
    for at in 0..whole.len() {
        for flip in [1, 2, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            if let Ok(model) = decode(Bytes::from(bytes)).and_then(Model::from_proto) {
                model.graph.value_ids().for_each(|id| drop(model.graph.constant(id)));
                model.graph.verify().expect("what loads is sound");
            }
        }
    }
}

#[test]
fn what_is_no_model_is_said_to_be_none() {
    for (bytes, expected) in [
        (&b""[..], "is empty"),
        (b"this is a text, not a model\n", "not an ONNX model"),
        (b"<!DOCTYPE html><html></html>", "not an ONNX model"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "not an ONNX model"),
        (b"PK\x03\x04\x14\x00\x00\x00", "not an ONNX model"),
        (b"{\n  \"format\": \"tare-lock\",\n", "--locked FILE"),
        (b"{\"format\":\"tare-statistics\",", "--ranges FILE"),
        (b"{\"format\":\"tare-locket\",", "not an ONNX model"),
        (b"\x08\x08", "not an ONNX model"),
        (&[0xff; 64], "not an ONNX model"),
    ] {
        let text = load_bytes(bytes).expect_err("no model");
        assert!(text.contains(expected), "{bytes:?}: {text}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = folder();
    for path in [folder.path().join("no.onnx"), folder.path().to_path_buf()] {
        let text = load(&path).expect_err("no file").to_string();
        assert!(text.starts_with(&path.display().to_string()) && text.contains("cannot be read"), "{text}");
    }
}

#[test]
fn raw_tensors_share_the_bytes_of_the_file() {
    let bytes = Bytes::from(to_bytes(&small()).expect("bytes"));
    let buffer = bytes.as_ptr_range();
    let model = Model::from_proto(decode(bytes.clone()).expect("a message")).expect("a model");
    let weight = model.graph.constant(model.graph.find("w").expect("w")).expect("readable").expect("constant");
    let found = weight.bytes().as_ptr_range();
    assert!(buffer.start <= found.start && found.end <= buffer.end);
    assert_eq!(weight, Tensor::from_f32(vec![2], &[1.0, 2.0]));
}

#[test]
fn a_model_saved_and_loaded_is_the_same_message() {
    let folder = folder();
    let path = folder.path().join("m.onnx");
    save(&small(), &path).expect("saved");
    let proto = small().to_proto().expect("no circle");
    assert_eq!(load(&path).expect("a model").to_proto().expect("no circle"), proto);
    assert_eq!(std::fs::read(&path).expect("bytes"), to_bytes(&small()).expect("bytes"));
    assert_eq!(size(&path).expect("a size"), proto.encoded_len() as u64);
}

#[test]
fn the_digest_of_a_folder_is_that_of_its_files_and_their_names() {
    let write = |folder: &Path, files: &[(&str, &str)]| {
        for (name, text) in files {
            write_atomically(&folder.join(name), text.as_bytes()).expect("written");
        }
        digest_all(folder).expect("a digest")
    };
    let (a, b) = (folder(), folder());
    let files = [("x/1", "one"), ("2", "two")];
    let first = write(a.path(), &files);
    assert_eq!(first, write(b.path(), &files));
    assert_ne!(first, write(b.path(), &[("2", "other")]));
    assert_ne!(first, write(b.path(), &[("2", "two"), ("3", "")]));
    assert_eq!(digest_all(&a.path().join("2")).expect("a digest"), digest_bytes(b"two"));
}

#[test]
fn a_digest_is_the_sha_256_of_the_bytes() {
    let folder = folder();
    let path = folder.path().join("abc");
    std::fs::write(&path, "abc").expect("written");
    let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!((digest(&path).expect("a digest"), digest_bytes(b"abc")), (known.to_owned(), known.to_owned()));
}
