//! Dimensions that a file leaves open, and giving them a size.

use super::graph::{Graph, ValueId};
use crate::proto::tensor_shape_proto::{Dimension, dimension};
use crate::proto::{ValueInfoProto, type_proto};

/// What giving a dimension a size came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fixed {
    /// It has the size now, in so many places.
    Places(usize),
    /// The file states another size.
    Already(i64),
    /// There is no such dimension.
    Unknown,
}

/// An axis of an input whose size a file leaves open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAxis {
    /// The input.
    pub input: ValueId,
    /// Which axis.
    pub axis: usize,
    /// The name of the dimension, or `input[axis]` where it has none.
    pub name: String,
}

/// Parts of the names of dimensions that are no batch, first as they may be.
const LENGTHS: [&str; 8] = ["seq", "len", "time", "frame", "token", "chunk", "sample", "num"];

/// Whether a dimension of this name is a length and no batch. `input[axis]`, which names one by the input, does not say so.
pub fn says_length(name: &str) -> bool {
    let lower = name.to_lowercase();
    !lower.ends_with(']') && LENGTHS.iter().any(|part| lower.contains(part))
}

/// Words that exporters put where a dimension has no name.
const NAMELESS: [&str; 6] = ["none", "null", "nan", "unknown", "unk", "dynamic"];

/// Whether `name` tells a dimension from others: without a letter (`?`, `-1`) or as one of a few words it says that the size is not
/// known, and several of the same may have different sizes.
pub fn names_dimension(name: &str) -> bool {
    name.chars().any(char::is_alphabetic) && !NAMELESS.iter().any(|word| name.eq_ignore_ascii_case(word))
}

fn dims(info: &mut ValueInfoProto) -> Option<&mut Vec<Dimension>> {
    match info.r#type.as_mut()?.value.as_mut()? {
        type_proto::Value::TensorType(tensor) => Some(&mut tensor.shape.as_mut()?.dim),
        _ => None,
    }
}

impl Graph {
    /// The dimensions that inputs leave open: by their name, or as `input[axis]` where they have none.
    pub fn open_dims(&self) -> Vec<String> {
        let mut names = Vec::new();
        for open in self.open_axes() {
            if !names.contains(&open.name) {
                names.push(open.name);
            }
        }
        names
    }

    /// Every axis of an input whose size is open.
    pub fn open_axes(&self) -> Vec<OpenAxis> {
        let mut open = Vec::new();
        for (value, info) in &self.inputs {
            let mut info = info.clone();
            for (axis, dim) in dims(&mut info).map(std::mem::take).unwrap_or_default().into_iter().enumerate() {
                let name = match dim.value {
                    Some(dimension::Value::DimValue(size)) if size > 0 => continue,
                    Some(dimension::Value::DimParam(name)) if names_dimension(&name) => name,
                    _ => format!("{}[{axis}]", self.value(*value).name()),
                };
                open.push(OpenAxis { input: *value, axis, name });
            }
        }
        open
    }

    /// Gives the dimension called `name` a size, wherever the file uses the name. `?` and the like are no names.
    pub fn fix_dim(&mut self, name: &str, size: usize) -> Fixed {
        if !names_dimension(name) {
            return Fixed::Unknown;
        }
        let hints = self.values.iter_mut().filter_map(|v| v.info.as_mut());
        let listed = self.inputs.iter_mut().chain(&mut self.outputs).map(|(_, info)| info);
        let called = |d: &&mut Dimension| matches!(&d.value, Some(dimension::Value::DimParam(n)) if n == name);
        let mut places = 0;
        for dim in listed.chain(hints).filter_map(dims).flatten().filter(called) {
            dim.value = Some(dimension::Value::DimValue(size as i64));
            places += 1;
        }
        if places > 0 { Fixed::Places(places) } else { Fixed::Unknown }
    }

    /// Gives axis `axis` of the graph input called `input` a size, and every other dimension of the same name.
    pub fn fix_input_axis(&mut self, input: &str, axis: usize, size: usize) -> Fixed {
        let Some(value) = self.find(input) else { return Fixed::Unknown };
        let Some((_, info)) = self.inputs.iter_mut().find(|(v, _)| *v == value) else { return Fixed::Unknown };
        let Some(dim) = dims(info).and_then(|dims| dims.get_mut(axis)) else { return Fixed::Unknown };
        match dim.value.clone() {
            Some(dimension::Value::DimParam(name)) if names_dimension(&name) => self.fix_dim(&name, size),
            Some(dimension::Value::DimValue(known)) if known > 0 && known != size as i64 => Fixed::Already(known),
            _ => {
                dim.value = Some(dimension::Value::DimValue(size as i64));
                Fixed::Places(1)
            }
        }
    }
}
