//! Small models for tests, in the words of the file format.

use super::model::Model;
use super::tensors::tensor_to_proto;
use crate::proto::attribute_proto::AttributeType;
use crate::proto::tensor_shape_proto::{Dimension, dimension};
use crate::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, type_proto,
};
use crate::tensor::{DataType, Tensor};

/// Builds one model. A dimension of -1 varies.
pub struct Builder {
    proto: ModelProto,
}

impl Builder {
    /// An empty model at an opset.
    pub fn new(opset: i64) -> Self {
        let opset = OperatorSetIdProto { domain: Some(String::new()), version: Some(opset) };
        let graph = GraphProto { name: Some("test".to_owned()), ..GraphProto::default() };
        let proto =
            ModelProto { ir_version: Some(8), opset_import: vec![opset], graph: Some(graph), ..ModelProto::default() };
        Self { proto }
    }

    fn graph(&mut self) -> &mut GraphProto {
        self.proto.graph.get_or_insert_default()
    }

    /// A float32 graph input.
    pub fn input(mut self, name: &str, dims: &[i64]) -> Self {
        self.graph().input.push(info(name, DataType::Float32, dims));
        self
    }

    /// A float32 graph output.
    pub fn output(mut self, name: &str, dims: &[i64]) -> Self {
        self.graph().output.push(info(name, DataType::Float32, dims));
        self
    }

    /// An initializer.
    pub fn constant(mut self, name: &str, tensor: &Tensor) -> Self {
        self.graph().initializer.push(tensor_to_proto(name, tensor));
        self
    }

    /// A float32 initializer.
    pub fn floats(self, name: &str, dims: &[usize], values: &[f32]) -> Self {
        self.constant(name, &Tensor::from_f32(dims.to_vec(), values))
    }

    /// A float32 initializer with numbers between -1 and 1 that depend on `seed`.
    pub fn noise(self, name: &str, dims: &[usize], seed: u32) -> Self {
        self.floats(name, dims, &noise(dims.iter().product(), seed))
    }

    /// An int64 initializer of one dimension.
    pub fn ints(self, name: &str, values: &[i64]) -> Self {
        self.constant(name, &Tensor::from_i64(vec![values.len()], values))
    }

    /// A node. It is called as its first output, with the operator before it; inputs of "" are left out.
    pub fn node(mut self, op_type: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<AttributeProto>) -> Self {
        let texts = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        self.graph().node.push(NodeProto {
            name: Some(format!("{op_type}_{}", outputs[0])),
            op_type: Some(op_type.to_owned()),
            input: texts(inputs),
            output: texts(outputs),
            attribute: attributes,
            ..NodeProto::default()
        });
        self
    }

    /// The message.
    pub fn proto(self) -> ModelProto {
        self.proto
    }

    /// The model. Panics when the message is none.
    pub fn build(self) -> Model {
        let model = Model::from_proto(self.proto).expect("a valid model");
        model.graph.verify().expect("a sound graph");
        model
    }
}

fn info(name: &str, dtype: DataType, dims: &[i64]) -> ValueInfoProto {
    let dim = |d: &i64| match d {
        -1 => dimension::Value::DimParam("N".to_owned()),
        d => dimension::Value::DimValue(*d),
    };
    let dim = dims.iter().map(|d| Dimension { value: Some(dim(d)), denotation: None }).collect();
    let tensor = type_proto::Tensor { elem_type: Some(dtype.onnx()), shape: Some(TensorShapeProto { dim }) };
    let ty = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), denotation: None };
    ValueInfoProto { name: Some(name.to_owned()), r#type: Some(ty), ..ValueInfoProto::default() }
}

/// Numbers between -1 and 1 that look random.
pub fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// An integer attribute.
pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), ..attribute(name, AttributeType::Int) }
}

/// A float attribute.
pub fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: Some(value), ..attribute(name, AttributeType::Float) }
}

/// A list of integers.
pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..attribute(name, AttributeType::Ints) }
}

/// A list of floats.
pub fn floats(name: &str, values: &[f32]) -> AttributeProto {
    AttributeProto { floats: values.to_vec(), ..attribute(name, AttributeType::Floats) }
}

/// A text.
pub fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: Some(value.as_bytes().to_vec().into()), ..attribute(name, AttributeType::String) }
}

/// A tensor.
pub fn tensor(name: &str, value: &Tensor) -> AttributeProto {
    AttributeProto {
        t: Some(TensorProto { name: None, ..tensor_to_proto("", value) }),
        ..attribute(name, AttributeType::Tensor)
    }
}

/// A body.
pub fn body(name: &str, graph: GraphProto) -> AttributeProto {
    AttributeProto { g: Some(graph), ..attribute(name, AttributeType::Graph) }
}

fn attribute(name: &str, r#type: AttributeType) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), r#type: Some(r#type as i32), ..AttributeProto::default() }
}
