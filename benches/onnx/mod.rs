//! Large models as bytes: the few messages of `onnx.proto3` that they need.

use prost::Message;

/// The messages; field numbers are those of `onnx.proto3`.
#[derive(Clone, PartialEq, Message)]
pub struct ModelProto {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSetIdProto>,
}

#[derive(Clone, PartialEq, Message)]
struct OperatorSetIdProto {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfoProto>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    op_type: String,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfoProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    r#type: Option<TypeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TypeProto {
    #[prost(message, optional, tag = "1")]
    tensor_type: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(int32, tag = "1")]
    elem_type: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<TensorShapeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(int64, tag = "1")]
    dim_value: i64,
}

/// `TensorProto.DataType.FLOAT`.
const FLOAT: i32 = 1;
/// Channels of every value, which has one pixel.
const CHANNELS: i64 = 4;

/// The file.
pub fn bytes(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}

/// A chain of so many Convs, each with a weight and a bias of its own.
pub fn convs(count: usize) -> ModelProto {
    let mut graph = GraphProto::default();
    for i in 0..count {
        graph.conv(i, &format!("v{i}"), &format!("v{}", i + 1), i);
    }
    graph.model(&[format!("v{count}")])
}

/// A chain of Convs, each with a Relu behind it, so many nodes in all.
pub fn convs_and_relus(count: usize) -> ModelProto {
    let mut graph = GraphProto::default();
    for i in 0..count / 2 {
        graph.conv(i, &format!("v{i}"), &format!("c{i}"), i);
        graph.add("Relu", &[&format!("c{i}")], &format!("v{}", i + 1));
    }
    graph.model(&[format!("v{}", count / 2)])
}

/// A chain of Convs that share one weight and one bias.
pub fn convs_with_one_weight(count: usize) -> ModelProto {
    let mut graph = GraphProto::default();
    for i in 0..count {
        graph.conv(0, &format!("v{i}"), &format!("v{}", i + 1), i);
    }
    graph.model(&[format!("v{count}")])
}

/// Convs that all read the graph's input, each making an output of the graph.
pub fn convs_of_one_input(count: usize) -> ModelProto {
    let mut graph = GraphProto::default();
    for i in 0..count {
        graph.conv(i, "v0", &format!("v{}", i + 1), i);
    }
    let outputs: Vec<_> = (1..=count).map(|i| format!("v{i}")).collect();
    graph.model(&outputs)
}

impl GraphProto {
    fn add(&mut self, op_type: &str, inputs: &[&str], output: &str) {
        self.node.push(NodeProto {
            input: inputs.iter().map(|&n| n.to_owned()).collect(),
            output: vec![output.to_owned()],
            name: format!("{op_type}_{output}"),
            op_type: op_type.to_owned(),
        });
    }

    /// A Conv with weight and bias number `weight`, which are made with the node number `weight`.
    fn conv(&mut self, weight: usize, input: &str, output: &str, number: usize) {
        let (w, b) = (format!("w{weight}"), format!("b{weight}"));
        if weight == number {
            self.constant(&w, vec![CHANNELS, CHANNELS, 1, 1]);
            self.constant(&b, vec![CHANNELS]);
        }
        self.add("Conv", &[input, &w, &b], output);
    }

    fn constant(&mut self, name: &str, dims: Vec<i64>) {
        let count = dims.iter().product::<i64>();
        let raw_data = (0..count).flat_map(|i| (i as f32 * 0.1 - 0.5).to_le_bytes()).collect();
        self.initializer.push(TensorProto { dims, data_type: FLOAT, name: name.to_owned(), raw_data });
    }

    fn model(mut self, outputs: &[String]) -> ModelProto {
        "large".clone_into(&mut self.name);
        self.input.push(value("v0"));
        self.output.extend(outputs.iter().map(|name| value(name)));
        let opset = OperatorSetIdProto { domain: String::new(), version: 13 };
        ModelProto { ir_version: 8, graph: Some(self), opset_import: vec![opset] }
    }
}

fn value(name: &str) -> ValueInfoProto {
    let dim = [1, CHANNELS, 1, 1].map(|dim_value| Dimension { dim_value }).to_vec();
    let tensor_type = Some(TensorType { elem_type: FLOAT, shape: Some(TensorShapeProto { dim }) });
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type }) }
}
