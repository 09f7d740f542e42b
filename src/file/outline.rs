//! A model without its weights.

use super::encode;
use crate::error::Result;
use crate::ir::Model;
use crate::proto::tensor_proto::DataType;
use crate::proto::tensor_shape_proto::{Dimension, dimension::Value as Dim};
use crate::proto::type_proto::{Tensor, Value as Kind};
use crate::proto::{ModelProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto};
use std::collections::HashSet;

/// Bytes of a constant that may say something about shapes, as the factors of a Resize do.
const SMALL: usize = 32;
/// What reads constants whose numbers say nothing about shapes, however small they are: weights and biases.
const LAYERS: &[&str] = &["Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization"];

/// The model as one protobuf message, for whoever asks for types only: weights are inputs of their types, behind the
/// model's own. No type depends on their numbers, they are most of the bytes, and tract holds each constant against all
/// others, which takes the square of their number.
///
/// # Errors
/// As [`super::to_bytes`].
pub fn outline(model: &Model) -> Result<Vec<u8>> {
    let mut proto = model.to_proto()?;
    hide_weights(&mut proto);
    encode(proto)
}

fn hide_weights(proto: &mut ModelProto) {
    let Some(graph) = &mut proto.graph else { return };
    let listed: HashSet<Option<String>> = graph.input.iter().map(|i| i.name.clone()).collect();
    let (of_layers, of_others): (Vec<_>, Vec<_>) = graph.node.iter().partition(|node| LAYERS.contains(&node.op_type()));
    let names = |nodes: Vec<&NodeProto>| nodes.into_iter().flat_map(|node| node.input.clone()).collect::<HashSet<_>>();
    let (of_layers, of_others) = (names(of_layers), names(of_others));
    let is_weight = |t: &TensorProto| {
        let is_small = t.raw_data().len() <= SMALL && t.float_data.len() * 4 <= SMALL && t.external_data.is_empty();
        t.data_type() == DataType::Float as i32
            && (!is_small || of_layers.contains(t.name()) && !of_others.contains(t.name()))
            && !listed.contains(&t.name)
    };
    let (weights, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut graph.initializer).into_iter().partition(is_weight);
    graph.initializer = kept;
    graph.input.extend(weights.into_iter().map(|t| {
        let dim = |&size: &i64| Dimension { value: Some(Dim::DimValue(size)), ..Dimension::default() };
        let shape = Some(TensorShapeProto { dim: t.dims.iter().map(dim).collect() });
        let tensor = Tensor { elem_type: t.data_type, shape };
        let ty = TypeProto { value: Some(Kind::TensorType(tensor)), ..TypeProto::default() };
        ValueInfoProto { name: t.name, r#type: Some(ty), ..ValueInfoProto::default() }
    }));
}
