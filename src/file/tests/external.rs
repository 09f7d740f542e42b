//! Tensors in a file beside the model.

use super::*;
use crate::proto::tensor_proto::DataLocation;
use crate::proto::{StringStringEntryProto, TensorProto};

fn entries(pairs: &[(&str, &str)]) -> Vec<StringStringEntryProto> {
    let entry = |(key, value): &(&str, &str)| StringStringEntryProto {
        key: Some((*key).to_owned()),
        value: Some((*value).to_owned()),
    };
    pairs.iter().map(entry).collect()
}

/// Two weights `a` and `b` of 1201 float32 each, and their bytes one after the other.
fn weights() -> (ModelProto, Vec<u8>) {
    let mut proto = Builder::new(13)
        .input("x", &[1201])
        .noise("a", &[1201], 1)
        .noise("b", &[1201], 2)
        .node("Add", &["x", "a"], &["s"], vec![])
        .node("Add", &["s", "b"], &["y"], vec![])
        .output("y", &[1201])
        .proto();
    let tensors = &mut proto.graph.as_mut().expect("a graph").initializer;
    let data = tensors.iter_mut().flat_map(|t| t.raw_data.take().expect("raw")).collect();
    (proto, data)
}

/// A folder `folder` with `model.onnx`, whose weights are described by these entries.
fn write_model(folder: &Path, a: &[(&str, &str)], b: &[(&str, &str)]) -> PathBuf {
    let (mut proto, data) = weights();
    for (tensor, pairs) in proto.graph.as_mut().expect("a graph").initializer.iter_mut().zip([a, b]) {
        tensor.data_location = Some(DataLocation::External as i32);
        tensor.external_data = entries(pairs);
    }
    std::fs::create_dir_all(folder).expect("a folder");
    std::fs::write(folder.join("w.bin"), data).expect("written");
    let path = folder.join("model.onnx");
    std::fs::write(&path, proto.encode_to_vec()).expect("written");
    path
}

const A: &[(&str, &str)] = &[("location", "w.bin"), ("offset", "0"), ("length", "4804")];
const B: &[(&str, &str)] = &[("location", "w.bin"), ("offset", "4804"), ("length", "4804")];

fn constant(model: &Model, name: &str) -> Tensor {
    model.graph.constant(model.graph.find(name).expect("the value")).expect("readable").expect("a constant")
}

fn is_whole(model: &Model) {
    for (name, seed) in [("a", 1), ("b", 2)] {
        assert_eq!(constant(model, name), Tensor::from_f32(vec![1201], &build::noise(1201, seed)), "{name}");
    }
}

/// The error for a model whose tensor `b` is described like this.
fn refused(b: &[(&str, &str)]) -> String {
    let outer = folder();
    std::fs::write(outer.path().join("outside.bin"), [0; 9608]).expect("written");
    let path = write_model(&outer.path().join("inner"), A, b);
    let text = load(&path).expect_err("refused").to_string();
    assert!(text.contains("model.onnx") && text.contains("\"b\""), "the file and the tensor are named: {text}");
    text
}

#[test]
fn data_is_read_from_its_file_through_one_mapping() {
    let folder = folder();
    let model = load(&write_model(folder.path(), A, B)).expect("a model");
    is_whole(&model);
    let start = |name: &str| constant(&model, name).bytes().as_ptr() as usize;
    assert_eq!(start("b") - start("a"), 4804);
}

#[test]
fn offset_and_length_may_be_left_out() {
    let folder = folder();
    let path = write_model(folder.path(), &[("location", "./w.bin")], &[("location", "w.bin"), ("offset", "4804")]);
    is_whole(&load(&path).expect("a model"));
}

#[test]
fn data_that_is_still_read_is_not_written_over_by_another_model() {
    let folder = folder();
    let (a, b) = (&[("location", "other.data"), A[1], A[2]], &[("location", "other.data"), B[1], B[2]]);
    let path = write_model(folder.path(), a, b);
    std::fs::rename(folder.path().join("w.bin"), folder.path().join("other.data")).expect("renamed");
    let (model, other) = (load(&path).expect("a model"), folder.path().join("other"));
    let before = std::fs::read(folder.path().join("other.data")).expect("data");
    let said = stage(&model, &other).err().expect("refused").to_string();
    assert!(said.contains("other.data") && said.contains("would be written over"), "{said}");
    assert_eq!(std::fs::read(folder.path().join("other.data")).expect("data"), before);
    // Nor by anything else.
    let data = folder.path().join("other.data");
    let said = check_outputs(&[&data], &[]).expect_err("refused").to_string();
    assert!(said.contains("would be written over"), "{said}");
    write_atomically(&data, b"report").expect_err("refused");
    is_whole(&model);
    drop(model);
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 2);
}

#[test]
fn data_outside_the_folder_of_the_model_is_refused() {
    let absolute = std::env::temp_dir().join("w.bin");
    for location in ["../outside.bin", "/etc/hostname", "a/../../outside.bin", &absolute.to_string_lossy()] {
        let text = refused(&[("location", location)]);
        assert!(text.contains("outside the model's folder") && text.contains(location), "{text}");
    }
}

#[cfg(unix)]
#[test]
fn a_link_may_lead_within_the_folder_but_not_out_of_it() {
    let outer = folder();
    let inner = outer.path().join("inner");
    let linked = [("location", "link.bin"), ("offset", "4804")];
    let path = write_model(&inner, A, &linked);
    std::fs::copy(inner.join("w.bin"), outer.path().join("outside.bin")).expect("copied");
    std::os::unix::fs::symlink("../outside.bin", inner.join("link.bin")).expect("a link");
    let text = load(&path).expect_err("refused").to_string();
    assert!(text.contains("outside the model's folder"), "{text}");
    std::fs::remove_file(inner.join("link.bin")).expect("removed");
    std::os::unix::fs::symlink("w.bin", inner.join("link.bin")).expect("a link");
    is_whole(&load(&path).expect("a model"));
}

#[test]
fn data_that_is_too_short_says_what_is_needed_and_what_is_there() {
    for offset in ["4805", "9608", "99999999"] {
        let text = refused(&[("location", "w.bin"), ("offset", offset), ("length", "4804")]);
        assert!(text.contains("4804 bytes at offset") && text.contains("9608") && text.contains("truncated"), "{text}");
    }
    assert!(refused(&[("location", "w.bin"), ("offset", "4805")]).contains("truncated"));
}

#[test]
fn numbers_that_overflow_or_are_none_are_errors() {
    let huge = usize::MAX.to_string();
    let text = refused(&[("location", "w.bin"), ("offset", &huge), ("length", "4804")]);
    assert!(text.contains("truncated") && text.contains(&huge), "{text}");
    for (key, number) in [("offset", "-1"), ("length", "many"), ("offset", "99999999999999999999999"), ("length", "")] {
        let text = refused(&[("location", "w.bin"), (key, number)]);
        assert!(text.contains(key) && text.contains("not a number"), "{text}");
    }
}

#[test]
fn data_that_is_missing_is_named() {
    assert!(refused(&[("location", "gone.bin")]).contains("\"gone.bin\" cannot be read"));
    assert!(refused(&[("offset", "0")]).contains("without a location"));
    for folder in ["", "."] {
        assert!(refused(&[("location", folder)]).contains("is not a file"));
    }
}

#[test]
fn data_of_the_wrong_length_is_an_error_where_it_is_used() {
    let folder = folder();
    let model = load(&write_model(folder.path(), A, &[("location", "w.bin"), ("length", "4")])).expect("loads");
    let text = model.graph.constant(model.graph.find("b").expect("b")).expect_err("too short").to_string();
    assert!(text.contains("\"b\"") && text.contains("4804"), "{text}");
}

#[test]
fn a_model_that_came_with_external_data_is_saved_with_it() {
    let folder = folder();
    let model = load(&write_model(folder.path(), A, B)).expect("a model");
    let copy = folder.path().join("out/copy.onnx");
    save(&model, &copy).expect("saved");
    assert_eq!(names(copy.parent().expect("a folder")), ["copy.onnx", "copy.onnx.data"]);
    is_whole(&load(&copy).expect("a model"));
    let read = ModelProto::decode(std::fs::read(&copy).expect("bytes").as_slice()).expect("a message");
    for tensor in &read.graph.expect("a graph").initializer {
        assert_eq!((tensor.data_location(), tensor.raw_data.is_none()), (DataLocation::External, true));
        let offset = tensor.external_data.iter().find(|e| e.key() == "offset").expect("an offset").value();
        assert_eq!(offset.parse::<u64>().expect("a number") % 64, 0);
    }
    let sizes = [&copy, &folder.path().join("out/copy.onnx.data")].map(|p| std::fs::metadata(p).expect("a file").len());
    assert_eq!(size(&copy).expect("a size"), sizes[0] + sizes[1]);
}

#[test]
fn a_model_may_be_saved_over_itself_while_its_data_is_mapped() {
    let folder = folder();
    let path = write_model(folder.path(), A, B);
    save(&load(&path).expect("a model"), &path).expect("saved");
    let again = load(&path).expect("a model");
    save(&again, &path).expect("saved over its own mapping");
    is_whole(&again);
    is_whole(&load(&path).expect("a model"));
    assert_eq!(names(folder.path()), ["model.onnx", "model.onnx.data", "w.bin"]);
}

#[test]
fn a_stage_is_read_with_its_own_data_before_it_has_a_name() {
    let folder = folder();
    let model = load(&write_model(folder.path(), A, B)).expect("a model");
    let staged = stage(&model, &folder.path().join("new.onnx")).expect("staged");
    is_whole(&staged.load().expect("a model"));
    drop(staged);
    assert_eq!(names(folder.path()), ["model.onnx", "w.bin"]);
}

#[test]
fn one_file_of_bytes_holds_what_was_external() {
    let folder = folder();
    let model = load(&write_model(folder.path(), A, B)).expect("a model");
    let bytes = to_bytes(&model).expect("bytes");
    is_whole(&load_bytes(&bytes).expect("a model of its own"));
}

#[test]
fn every_tensor_is_found_wherever_it_lies() {
    let tensor = |name: &str| TensorProto {
        name: Some(name.to_owned()),
        data_location: Some(DataLocation::External as i32),
        external_data: entries(&[("location", name)]),
        ..TensorProto::default()
    };
    let node = |name: &str| {
        let attribute = crate::proto::AttributeProto { t: Some(tensor(name)), ..Default::default() };
        crate::proto::NodeProto { attribute: vec![attribute], ..Default::default() }
    };
    let graph = |name: &str| crate::proto::GraphProto { initializer: vec![tensor(name)], ..Default::default() };
    let mut main = crate::proto::GraphProto { node: vec![node("attribute")], ..graph("initializer") };
    main.node
        .push(crate::proto::NodeProto { attribute: vec![build::body("body", graph("in_body"))], ..Default::default() });
    let sparse = crate::proto::SparseTensorProto {
        values: Some(tensor("values")),
        indices: Some(tensor("indices")),
        dims: vec![],
    };
    main.sparse_initializer = vec![sparse];
    let mut proto = ModelProto {
        graph: Some(main),
        functions: vec![crate::proto::FunctionProto { node: vec![node("function")], ..Default::default() }],
        training_info: vec![crate::proto::TrainingInfoProto {
            algorithm: Some(graph("training")),
            ..Default::default()
        }],
        ..ModelProto::default()
    };
    let found: Vec<_> = super::super::external::locations(&mut proto).into_iter().collect();
    assert_eq!(found, ["attribute", "function", "in_body", "indices", "initializer", "training", "values"]);
}
