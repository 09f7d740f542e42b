//! What is loaded and not touched is saved as it was.

use super::super::build::{self, Builder};
use super::*;
use crate::proto::attribute_proto::AttributeType;
use crate::proto::simple_sharded_dim_proto::Dim;
use crate::proto::*;
use crate::tensor::DataType;
use prost::Message;

fn kept(proto: ModelProto) {
    let model = Model::from_proto(proto.clone()).expect("a valid model");
    model.graph.verify().expect("a sound graph");
    let saved = model.to_proto().expect("no circle");
    assert_eq!(saved, proto);
    assert_eq!(saved.encode_to_vec(), proto.encode_to_vec());
    assert_eq!(ModelProto::decode(saved.encode_to_vec().as_slice()).expect("readable"), proto);
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn pairs(key: &str) -> Vec<StringStringEntryProto> {
    vec![StringStringEntryProto { key: text(key), value: text("kept") }]
}

fn relu() -> Builder {
    Builder::new(21).input("x", &[-1, 4]).node("Relu", &["x"], &["y"], vec![]).output("y", &[-1, 4])
}

fn float_tensor(name: &str, values: &[f32]) -> TensorProto {
    TensorProto {
        name: text(name),
        data_type: Some(1),
        dims: vec![values.len() as i64],
        float_data: values.to_vec(),
        ..TensorProto::default()
    }
}

fn sparse(name: &str) -> SparseTensorProto {
    let indices = TensorProto { data_type: Some(7), dims: vec![1], int64_data: vec![3], ..TensorProto::default() };
    SparseTensorProto { values: Some(float_tensor(name, &[5.0])), indices: Some(indices), dims: vec![9] }
}

#[test]
fn texts_and_metadata_at_every_place() {
    let mut proto = relu().floats("w", &[1], &[1.0]).proto();
    (proto.producer_name, proto.producer_version, proto.domain) = (text("maker"), text("1.2"), text("org.example"));
    (proto.model_version, proto.doc_string) = (Some(7), text("the model"));
    proto.metadata_props = pairs("model");
    proto.opset_import.push(OperatorSetIdProto { domain: text("com.microsoft"), version: Some(1) });
    let graph = graph_of(&mut proto);
    (graph.doc_string, graph.metadata_props) = (text("the graph"), pairs("graph"));
    let annotation = TensorAnnotation { tensor_name: text("w"), quant_parameter_tensor_names: pairs("SCALE_TENSOR") };
    graph.quantization_annotation = vec![annotation];
    let node = &mut graph.node[0];
    (node.doc_string, node.metadata_props, node.overload) = (text("the node"), pairs("node"), text("v2"));
    node.domain = text("ai.onnx");
    (graph.input[0].doc_string, graph.input[0].metadata_props) = (text("an input"), pairs("input"));
    graph.output[0].doc_string = text("an output");
    (graph.initializer[0].doc_string, graph.initializer[0].metadata_props) = (text("a weight"), pairs("weight"));
    kept(proto);
}

#[test]
fn functions_and_training_graphs() {
    let mut proto = relu().proto();
    proto.functions = vec![FunctionProto {
        name: text("Twice"),
        domain: text("local"),
        overload: text("float"),
        input: vec!["a".to_owned()],
        output: vec!["b".to_owned()],
        attribute: vec!["alpha".to_owned()],
        attribute_proto: vec![build::int("beta", 3)],
        node: vec![raw_node("Add", &["a", "a"], &["b"])],
        doc_string: text("a function"),
        opset_import: vec![OperatorSetIdProto { domain: text(""), version: Some(21) }],
        value_info: vec![named("b")],
        metadata_props: pairs("function"),
    }];
    proto.training_info = vec![TrainingInfoProto {
        initialization: Some(body_graph(&[], "start")),
        algorithm: Some(body_graph(&["start", "start"], "step")),
        initialization_binding: pairs("w"),
        update_binding: pairs("w"),
    }];
    kept(proto);
}

#[test]
fn device_configurations() {
    let mut proto = relu().proto();
    let device = vec!["gpu:0".to_owned(), "gpu:1".to_owned()];
    proto.configuration = vec![DeviceConfigurationProto { name: text("two"), num_devices: Some(2), device }];
    let shard = SimpleShardedDimProto { dim: Some(Dim::DimParam("N".to_owned())), num_shards: Some(2) };
    let spec = ShardingSpecProto {
        tensor_name: text("x"),
        device: vec![0, 1],
        index_to_device_group_map: vec![IntIntListEntryProto { key: Some(0), value: vec![0, 1] }],
        sharded_dim: vec![ShardedDimProto { axis: Some(0), simple_sharding: vec![shard] }],
    };
    let one = NodeDeviceConfigurationProto {
        configuration_id: text("two"),
        sharding_spec: vec![spec],
        pipeline_stage: Some(1),
    };
    graph_of(&mut proto).node[0].device_configurations = vec![one];
    kept(proto);
}

#[test]
fn types_that_are_no_dense_tensors() {
    use type_proto::{Map, Opaque, Optional, Sequence, SparseTensor, Value};
    let mut proto = relu().proto();
    let graph = graph_of(&mut proto);
    let inner = graph.input[0].r#type.clone();
    let boxed = || inner.clone().map(Box::new);
    let kinds = [
        Value::SequenceType(Box::new(Sequence { elem_type: boxed() })),
        Value::MapType(Box::new(Map { key_type: Some(7), value_type: boxed() })),
        Value::OptionalType(Box::new(Optional { elem_type: boxed() })),
        Value::SparseTensorType(SparseTensor { elem_type: Some(1), shape: None }),
        Value::OpaqueType(Opaque { domain: text("d"), name: text("n") }),
    ];
    for (index, kind) in kinds.into_iter().enumerate() {
        let r#type = Some(TypeProto { value: Some(kind), denotation: text("IMAGE") });
        graph.input.push(ValueInfoProto { r#type, ..named(&format!("x{index}")) });
    }
    kept(proto);
}

#[test]
fn attributes_of_every_kind() {
    let kind = |name: &str, kind: AttributeType| AttributeProto {
        name: text(name),
        r#type: Some(kind as i32),
        doc_string: text("an attribute"),
        ..AttributeProto::default()
    };
    let mut reference = kind("ref", AttributeType::Float);
    reference.ref_attr_name = text("outer");
    let attributes = vec![
        reference,
        build::float("float", -0.0),
        build::text("text", "\u{7fff}"),
        AttributeProto { s: Some(vec![0xff, 0].into()), ..kind("bytes", AttributeType::String) },
        AttributeProto { floats: vec![1.5], ..kind("floats", AttributeType::Floats) },
        build::ints("ints", &[-1, i64::MAX]),
        AttributeProto { strings: vec![vec![1].into()], ..kind("strings", AttributeType::Strings) },
        AttributeProto { t: Some(float_tensor("", &[1.0])), ..kind("tensor", AttributeType::Tensor) },
        AttributeProto { tensors: vec![float_tensor("t", &[])], ..kind("tensors", AttributeType::Tensors) },
        AttributeProto { sparse_tensor: Some(sparse("s")), ..kind("sparse", AttributeType::SparseTensor) },
        AttributeProto { sparse_tensors: vec![sparse("s")], ..kind("sparses", AttributeType::SparseTensors) },
        AttributeProto { tp: Some(TypeProto::default()), ..kind("type", AttributeType::TypeProto) },
        AttributeProto { type_protos: vec![TypeProto::default()], ..kind("types", AttributeType::TypeProtos) },
        AttributeProto { graphs: vec![body_graph(&["x", "x"], "b")], ..kind("graphs", AttributeType::Graphs) },
    ];
    kept(Builder::new(21).input("x", &[1]).node("Any", &["x", ""], &["y"], attributes).output("y", &[1]).proto());
}

#[test]
fn tensors_of_every_element_type() {
    let mut proto = relu().proto();
    for code in 1..=28 {
        let dtype = DataType::from_onnx(code).expect("a type of ONNX");
        let mut tensor = TensorProto { data_type: Some(code), dims: vec![4], ..TensorProto::default() };
        tensor.name = Some(dtype.to_string());
        match dtype.bits() {
            Some(bits) => tensor.raw_data = Some((0..bits as u8 / 2).collect()),
            None => tensor.string_data = ["a", "", "\u{e9}", "d"].map(|s| s.as_bytes().to_vec().into()).to_vec(),
        }
        graph_of(&mut proto).initializer.push(tensor);
    }
    assert_eq!(DataType::from_onnx(29), None);
    let model = Model::from_proto(proto.clone()).expect("a valid model");
    for code in (1..=28).filter(|&code| code != DataType::String.onnx()) {
        let dtype = DataType::from_onnx(code).expect("a type of ONNX");
        let tensor = model.graph.constant(value(&model.graph, &dtype.to_string())).expect("readable");
        assert_eq!(tensor.map(|t| t.dtype()), Some(dtype));
    }
    let strings = value(&model.graph, "string");
    assert!(model.graph.constant(strings).expect("readable").is_none());
    assert!(
        model.graph.unusual(strings).expect("readable").is_some_and(|held| held.said.starts_with("string, shape "))
    );
    kept(proto);
}

#[test]
fn sparse_initializers() {
    let mut proto =
        Builder::new(21).input("x", &[9]).node("Add", &["x", "s"], &["y"], vec![]).output("y", &[9]).proto();
    graph_of(&mut proto).sparse_initializer = vec![sparse("s"), sparse("unused")];
    kept(proto);
}

#[test]
fn bodies_that_read_from_outside() {
    let mut inner = body_graph(&["x", "own"], "own_too");
    inner.initializer = vec![float_tensor("own", &[1.0])];
    let branch = vec![build::body("then_branch", inner), build::body("else_branch", body_graph(&["x", "w"], "other"))];
    let model = Builder::new(21).input("c", &[]).input("x", &[1]).floats("w", &[1], &[2.0]);
    kept(model.node("If", &["c"], &["y"], branch).output("y", &[1]).proto());
}

#[test]
fn weights_listed_as_inputs_before_ir_version_4() {
    let mut proto = Builder::new(7)
        .input("w", &[2])
        .input("x", &[2])
        .floats("w", &[2], &[1.0, 2.0])
        .node("Add", &["x", "w"], &["y"], vec![])
        .output("y", &[2])
        .proto();
    proto.ir_version = Some(3);
    let model = Model::from_proto(proto.clone()).expect("a valid model");
    assert_eq!(model.graph.inputs().collect::<Vec<_>>(), [value(&model.graph, "x")]);
    assert!(model.graph.is_overridable(value(&model.graph, "w")));
    kept(proto);
}

#[test]
fn type_hints_even_of_values_that_are_not_there() {
    let mut proto = relu().proto();
    let graph = graph_of(&mut proto);
    let ty = graph.input[0].r#type.clone();
    graph.value_info =
        ["gone", "y", "x", "gone_too"].map(|n| ValueInfoProto { r#type: ty.clone(), ..named(n) }).to_vec();
    kept(proto);
}

#[test]
fn names_that_are_left_out_or_empty() {
    let mut proto = relu().proto();
    let graph = graph_of(&mut proto);
    graph.node.push(raw_node("Dropout", &["x", "", "x"], &["d", ""]));
    graph.node.push(NodeProto { name: text(""), domain: text(""), ..raw_node("Relu", &["d"], &["e"]) });
    graph.value_info = vec![ValueInfoProto { r#type: graph.input[0].r#type.clone(), ..ValueInfoProto::default() }];
    kept(proto);
}
