//! The model in memory: a graph of nodes and values with ids, and everything else of the file kept as it was read.
//!
//! Names are for the door: inside, nodes and values are ids, and every edit goes through a verb of [`Graph`]. What no
//! verb touches (attributes, functions, metadata, custom domains, doc strings) is saved exactly as it was loaded.

mod attributes;
mod bodies;
mod body_model;
mod convert;
mod dims;
mod edit;
mod extract;
mod functions;
mod graph;
mod hold;
mod inline;
mod model;
mod operators;
mod remove;
mod strip;
mod tensors;
mod topology;
mod unusual;
mod verify;

#[cfg(test)]
pub mod build;
#[cfg(test)]
mod tests;

pub use attributes::Attributes;
pub use body_model::Surroundings;
pub use dims::{Fixed, OpenAxis, names_dimension, says_length};
pub use edit::NewNode;
pub use functions::{FunctionId, FunctionUses, Functions};
pub use graph::{Graph, Node, NodeId, Source, Use, Value, ValueId};
pub use model::Model;
pub use tensors::{tensor_from_proto, tensor_to_proto};
pub use unusual::Unusual;
