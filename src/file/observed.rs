//! A model whose inner values are outputs too.

use super::{decode, encode};
use crate::error::Result;
use crate::proto::ValueInfoProto;
use bytes::Bytes;
use std::collections::HashSet;

/// See [`with_outputs`].
pub struct Exposed {
    /// The model, as a protobuf message.
    pub bytes: Vec<u8>,
    /// The names of all its outputs, in order.
    pub outputs: Vec<String>,
    /// How many of them, the first, it had before.
    pub own: usize,
}

/// The model in `bytes` with the values called `names` as outputs, behind its own; those that are outputs stay where they are.
///
/// # Errors
/// When it is no model, or becomes larger than a protobuf message can be.
pub fn with_outputs(bytes: &[u8], names: &[String]) -> Result<Exposed> {
    let mut proto = decode(Bytes::copy_from_slice(bytes))?;
    let graph = proto.graph.get_or_insert_default();
    let mut outputs: Vec<String> = graph.output.iter().map(|output| output.name().to_owned()).collect();
    let own = outputs.len();
    let mut listed: HashSet<String> = outputs.iter().cloned().collect();
    for name in names {
        if listed.insert(name.clone()) {
            // Of what type it is follows from its node.
            graph.output.push(ValueInfoProto { name: Some(name.clone()), ..ValueInfoProto::default() });
            outputs.push(name.clone());
        }
    }
    Ok(Exposed { bytes: encode(proto)?, outputs, own })
}
