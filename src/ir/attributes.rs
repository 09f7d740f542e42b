//! Typed reading of a node's attributes.

use super::tensors::tensor_from_proto;
use super::unusual::holds_strings;
use crate::error::Result;
use crate::proto::AttributeProto;
use crate::tensor::Tensor;

/// The attributes of one node.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a>(pub(super) &'a [AttributeProto]);

impl<'a> Attributes<'a> {
    fn get(self, name: &str) -> Option<&'a AttributeProto> {
        self.0.iter().find(|a| a.name() == name)
    }

    /// The names, in file order.
    pub fn names(self) -> impl Iterator<Item = &'a str> {
        self.0.iter().map(AttributeProto::name)
    }

    /// Whether the attribute is there.
    pub fn has(self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// An integer.
    pub fn int(self, name: &str) -> Option<i64> {
        self.get(name)?.i
    }

    /// A float.
    pub fn float(self, name: &str) -> Option<f32> {
        self.get(name)?.f
    }

    /// A list of integers.
    pub fn ints(self, name: &str) -> Option<&'a [i64]> {
        self.get(name).map(|a| a.ints.as_slice())
    }

    /// A list of floats.
    pub fn floats(self, name: &str) -> Option<&'a [f32]> {
        self.get(name).map(|a| a.floats.as_slice())
    }

    /// A text.
    pub fn text(self, name: &str) -> Option<&'a str> {
        std::str::from_utf8(self.get(name)?.s.as_ref()?).ok()
    }

    /// A tensor.
    ///
    /// # Errors
    /// When the stored tensor is malformed.
    pub fn tensor(self, name: &str) -> Result<Option<Tensor>> {
        self.get(name).and_then(|a| a.t.as_ref()).map(tensor_from_proto).transpose()
    }

    /// Whether attribute `name` is there and the same in both; bodies aside.
    ///
    /// # Errors
    /// When a stored tensor is malformed.
    pub fn same(self, other: Attributes<'_>, name: &str) -> Result<bool> {
        let (Some(one), Some(two)) = (self.get(name), other.get(name)) else { return Ok(false) };
        if let (Some(one), Some(two)) = (&one.t, &two.t) {
            if holds_strings(one) && holds_strings(two) {
                return Ok((&one.dims, &one.string_data) == (&two.dims, &two.string_data));
            }
            if holds_strings(one) || holds_strings(two) {
                return Ok(false);
            }
            return Ok(tensor_from_proto(one)? == tensor_from_proto(two)?);
        }
        let bare = |a: &AttributeProto| {
            let bodies = usize::from(a.g.is_some()) + a.graphs.len();
            (bodies, AttributeProto { doc_string: None, r#type: None, g: None, graphs: vec![], ..a.clone() })
        };
        Ok(bare(one) == bare(two))
    }

    /// The value of an attribute as a short text: of a tensor, type and shape.
    pub fn shown(self, name: &str) -> Option<String> {
        let a = self.get(name)?;
        let bytes = |s: &bytes::Bytes| format!("{:?}", String::from_utf8_lossy(s));
        let list = |all: &[bytes::Bytes]| format!("[{}]", all.iter().map(bytes).collect::<Vec<_>>().join(", "));
        Some(match a {
            a if !a.ref_attr_name().is_empty() => format!("that of the call, {:?}", a.ref_attr_name()),
            AttributeProto { i: Some(i), .. } => i.to_string(),
            AttributeProto { f: Some(f), .. } => f.to_string(),
            AttributeProto { s: Some(s), .. } => bytes(s),
            AttributeProto { t: Some(t), .. } if holds_strings(t) => list(&t.string_data),
            a if a.sparse_tensor.is_some() => "a sparse tensor".to_owned(),
            AttributeProto { t: Some(t), .. } => match tensor_from_proto(t) {
                Ok(t) => format!("{}{:?}", t.dtype(), t.shape()),
                Err(_) => "a tensor".to_owned(),
            },
            a if a.g.is_some() || !a.graphs.is_empty() => "a body".to_owned(),
            a if !a.floats.is_empty() => format!("{:?}", a.floats),
            a if !a.strings.is_empty() => list(&a.strings),
            a => format!("{:?}", a.ints),
        })
    }

    /// The attributes that stand for those of the call, in the definition of a function.
    pub fn references(self) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(|a| !a.ref_attr_name().is_empty()).map(AttributeProto::name)
    }

    /// Whether any attribute is a graph (the body of an If, Loop or Scan).
    pub fn has_bodies(self) -> bool {
        self.0.iter().any(|a| a.g.is_some() || !a.graphs.is_empty())
    }
}
