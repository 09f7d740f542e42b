//! Types and shapes of values, as far as they follow from those of the inputs.

use super::super::Types;
use super::failure::{Failure, guarded};
use super::message::{Message, stated_type};
use super::{bounds, convert, refuse};
use crate::error::Result;
use crate::ir::names_dimension;
use crate::tensor::TensorType;
use std::collections::{HashMap, HashSet};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dim;
use tract_onnx::pb::type_proto::Value as Kind;
use tract_onnx::pb::{GraphProto, NodeProto, ValueInfoProto};
use tract_onnx::prelude::*;

/// The type of every value that tract can tell for inputs of the types `inputs`, and what the model states of others.
///
/// # Errors
/// When `bytes` are no model.
pub fn types(onnx: &tract_onnx::Onnx, bytes: &[u8], inputs: &[TensorType]) -> Result<Types> {
    let mut message = guarded(|| Message::read(onnx, bytes, false))?;
    hide_unreadable(onnx, &mut message);
    let mut known = stated(&message);
    if let Ok(inferred) = guarded(|| inferred(onnx, &message, inputs).map_err(|e| Failure::of(&e, &message.labels))) {
        known.extend(inferred);
    }
    Ok(known)
}

fn inferred(onnx: &tract_onnx::Onnx, message: &Message, inputs: &[TensorType]) -> TractResult<Types> {
    let parsed = onnx.parse(&message.proto, None)?;
    let (mut model, outlets) = (parsed.model, parsed.outlets_by_name);
    bounds::impose(&mut model);
    for index in 0..model.outputs.len() {
        model.set_output_fact(index, InferenceFact::default())?;
    }
    let symbols = model.symbols.clone();
    let names = dimension_names(message);
    for (index, ty) in inputs.iter().enumerate() {
        let mut axis = 0..ty.dims.len();
        let mut unknown = ty.dims.iter().enumerate().filter(|(_, d)| d.is_none()).map(|(axis, _)| axis);
        let fact = convert::fact(ty, || {
            let axis = unknown.next().or_else(|| axis.next()).unwrap_or_default();
            let own = format!("varying_{index}_{axis}");
            // Inputs that name a dimension alike have it in common.
            symbols.sym(names.get(&(index, axis)).unwrap_or(&own)).to_dim()
        });
        model.set_input_fact(index, fact?)?;
    }
    // Weights behind them keep their types without being inputs: tract looks for each value it reads among all of those.
    model.inputs.truncate(inputs.len());
    // Obstinate: what follows in spite of an operator that cannot be analysed is still told.
    let _ = model.analyse(true);
    let known = |outlet| convert::tensor_type(model.outlet_fact(outlet).ok()?);
    Ok(outlets.into_iter().filter_map(|(name, outlet)| Some((name, known(outlet)?))).collect())
}

/// Nodes that tract refuses to read become nodes of an operator that it does not know: it then reads the others.
fn hide_unreadable(onnx: &tract_onnx::Onnx, message: &mut Message) {
    let model = &message.proto;
    let Some(graph) = &model.graph else { return };
    let opset = model.opset_import.iter().find(|i| matches!(i.domain.as_str(), "" | "ai.onnx"));
    let context = ParsingContext {
        onnx_operator_set_version: opset.map_or(0, |i| i.version),
        framework: onnx,
        model,
        parent_graphs: vec![graph],
        model_dir: None,
        template: InferenceModel::default(),
    };
    let readable = |node: &NodeProto| {
        !refuse::is_malformed(node)
            && match onnx.op_register.0.get(&node.op_type) {
                Some(builder) => guarded(|| builder(&context, node).map_err(Failure::from)).is_ok(),
                None => true,
            }
    };
    let unreadable: Vec<usize> = (0..graph.node.len()).filter(|&n| !readable(&graph.node[n])).collect();
    if let Some(graph) = &mut message.proto.graph {
        for index in unreadable {
            graph.node[index].op_type.push_str(" (unreadable)");
        }
    }
}

/// What the dimensions of the model's inputs are called, by input and axis.
fn dimension_names(message: &Message) -> HashMap<(usize, usize), String> {
    let Some(graph) = &message.proto.graph else { return HashMap::new() };
    let stored: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let fed = graph.input.iter().filter(|input| !stored.contains(input.name.as_str()));
    let dims = |info: &ValueInfoProto| {
        let Kind::TensorType(tensor) = info.r#type.as_ref()?.value.as_ref()?;
        Some(tensor.shape.as_ref()?.dim.clone())
    };
    let named = fed.enumerate().flat_map(|(input, info)| {
        let dims = dims(info).unwrap_or_default().into_iter().enumerate();
        dims.filter_map(move |(axis, dim)| match dim.value? {
            Dim::DimParam(name) if names_dimension(&name) => Some(((input, axis), format!("dim_{}", plain(&name)))),
            _ => None,
        })
    });
    named.collect()
}

/// A name that tract cannot take for an expression.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// The types that the model states itself.
fn stated(message: &Message) -> Types {
    let infos = |graph: &GraphProto| [&graph.value_info[..], &graph.input[..], &graph.output[..]].concat();
    let of = |info: ValueInfoProto| Some((info.name.clone(), stated_type(&info)?));
    message.proto.graph.iter().flat_map(infos).filter_map(of).collect()
}
